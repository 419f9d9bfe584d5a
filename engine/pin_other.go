//go:build !linux

package engine

import (
	"errors"
	"runtime"
)

func pin(cpu int) error { return &PinError{CPU: cpu, Err: errors.New("it needs Linux")} }

func yield() { runtime.Gosched() }
