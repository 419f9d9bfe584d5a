// Package group is the core of a group: who is here. Every member sends a beat to all, and removes a member
// whose signs of life end and that no other member vouches for.
//
// It is a state machine: it does no I/O, starts no goroutine and reads no clock.
//
// The detector takes suspicion, incarnations and refutation from SWIM (Das, Gupta, Motivala: DSN 2002), and
// from Lifeguard (Dadgar, Phillips, Currey: arXiv 1707.00788) that a member distrusts itself first. Unlike
// them it does not choose at random whom to probe: with multicast all receive each beat and each doubt. A
// removed member that is received of again is notified, and comes back with its next incarnation.
package group
