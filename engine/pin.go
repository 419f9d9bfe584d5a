package engine

import "strconv"

// A PinError is Run's when the engine's thread cannot be pinned to its CPU.
type PinError struct {
	CPU int
	Err error
}

// Error names the CPU and the reason.
func (e *PinError) Error() string {
	return "engine: pin thread to CPU " + strconv.Itoa(e.CPU) + ": " + e.Err.Error()
}

// Unwrap is the reason.
func (e *PinError) Unwrap() error { return e.Err }
