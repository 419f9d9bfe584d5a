// Package core holds what the protocol cores share: what they deliver, and the small parts that each
// of them would otherwise have again. It does no I/O and reads no clock.
package core
