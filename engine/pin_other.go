//go:build !linux

package engine

import (
	"errors"
	"runtime"
)

func pin(int) error { return errors.New("engine: pinning a thread needs Linux") }

func yield() { runtime.Gosched() }
