package intake

import (
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/internal/core"
)

// Times is core.Times that some goroutines count and others read.
type Times [core.TimeClasses]atomic.Uint32

// Add counts one duration.
func (t *Times) Add(d time.Duration) { t[core.TimeClass(d)].Add(1) }

// Copy is what was counted so far.
func (t *Times) Copy() (c core.Times) {
	for i := range t {
		c[i] = t[i].Load()
	}
	return c
}
