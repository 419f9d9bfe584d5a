// Package sleep is how a driver's thread sleeps until a descriptor is ready or another goroutine wakes
// it. No wake-up is lost.
package sleep
