//go:build !linux

package proc

// Pinner does nothing here: threads of other processes cannot be moved.
type Pinner struct{}

// Pin does nothing.
func Pin(root, skip int, cpus []int) *Pinner { return &Pinner{} }

// Stop returns no CPU.
func (p *Pinner) Stop() []int { return nil }

// CPUs are not known here.
func CPUs() []int { return nil }
