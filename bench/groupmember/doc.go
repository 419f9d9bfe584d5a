// Package groupmember is one member of a group, as a process that a test or a benchmark drives, and the
// means to drive it. The member takes commands, several at a time, and keeps a log of what its
// handlers were given, in that order, with times that all processes of a host share (on Linux).
package groupmember
