// Package gid tells goroutines apart. Go hides their identity on purpose; the one use here is to
// notice that a handler calls a method which would otherwise wait for that handler.
package gid

// Current returns a number that no other goroutine has while the caller lives. It is never 0. A
// goroutine that starts after the caller has ended may get the same number: whoever keeps one must
// drop it before the goroutine ends.
//
// Where the processor's code is known (gid_*.s) the number is the address of the runtime's own record
// of the goroutine, and the call takes a nanosecond. Elsewhere it is read from a stack trace, which
// takes about a microsecond.
func Current() uint64 { return current() }
