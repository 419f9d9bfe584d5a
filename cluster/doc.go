// Package cluster is the core of a ClusterChannel: maps, locks, a master and services of the application that every member of
// a primary component holds alike (docs/cluster.md). It stands on a ring of its own with safe delivery, on messages from one member to another for the
// transfer of state, and with a DataDir on a store.
//
// A Core is a state machine that is stepped. It does no I/O, starts no goroutine, takes no lock, reads no clock and draws no
// random number. All calls come from one thread, the engine's, and do not overlap.
//
// It serves the rest of this module and may change in any version. What is promised to applications is the API of the
// module's root, package blaze.
package cluster
