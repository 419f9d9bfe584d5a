// Package afxdp holds what the implementations of an AF_XDP socket share: rings, system calls, and
// the place where a second implementation registers itself. All of it is for Linux.
package afxdp
