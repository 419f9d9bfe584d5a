// Package clock names instants on a monotonic clock. It reads no clock itself: time is an
// argument everywhere but in the engine's loop, the drivers and the command line.
//
// It serves the rest of this module and may change in any version. What is promised to
// applications is the API of the module's root, package blaze.
package clock

import "time"

// Time is an instant in nanoseconds on a monotonic clock whose zero means nothing.
// On Linux the engine fills it from CLOCK_MONOTONIC, which all processes of a host share;
// simulation counts from 1.
type Time int64

// Add returns t + d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t − u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// Earlier returns the earlier of two deadlines, each with whether there is one.
// It is how a core that has several parts combines their Deadline answers.
func Earlier(a Time, aok bool, b Time, bok bool) (Time, bool) {
	if aok && (!bok || a <= b) {
		return a, true
	}
	return b, bok
}
