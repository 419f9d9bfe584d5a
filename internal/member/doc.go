// Package member puts one member together: an engine, the protocol cores, the driver that it
// is given, the lanes that applications publish on, and the table of who listens. The root
// package runs members on sockets, and sim runs the same code on a simulated network.
package member
