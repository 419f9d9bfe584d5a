//go:build !linux

package engine

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// monotonicOffset makes the clock start at 1, since zero means "no time".
func monotonicOffset(time.Time) clock.Time { return 1 }
