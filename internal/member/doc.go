// Package member puts one member together: an engine, the protocol cores, the driver that it
// is given, the lanes that applications publish on, and the table of who listens. The root
// package runs members on sockets, and sim runs the same code on a simulated network.
package member

import "github.com/activeblaze/blaze/internal/lanes"

// Filter keeps lanes away that the member does not want.
type Filter = lanes.Filter

// LaneOf returns the lane that a topic is hashed to.
func LaneOf(name string, n int) uint16 { return lanes.Of(name, n) }
