// Package check judges recorded runs. A run, simulated or real, is one Log: what was sent,
// what was delivered, what was reported lost, and which faults were injected. Each checker
// reads a Log once and returns what is wrong with it, under the id of the property in
// docs/invariants.md and with its place in the log.
//
// The package is independent of how the run was made, so that the same checkers serve tests,
// simulation and tools.
package check
