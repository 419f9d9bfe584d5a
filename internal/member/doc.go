// Package member puts one member together: its engines, the protocol cores, the drivers that it is
// given, the lanes that applications publish on, and the table of subscriptions. The root package
// runs members on sockets, and sim runs the same code on a simulated network.
package member
