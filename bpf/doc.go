// Package bpf is the XDP filter in front of a member's AF_XDP sockets: one program in C, its
// compiled object, and the loader.
//
// The program runs on every packet that an interface receives. It redirects to the socket of
// the packet's queue what is certainly for this member: datagrams in the canonical layout, to
// the group in a wanted lane or to the member's own address, with our wire version and
// cluster. It passes everything else to the kernel, which never notices it, and counts both by
// reason. It does not judge checksums, senders or contents: whoever reads the socket does.
//
// What it compares with lies in memory that the program and this process share, as words that
// are changed by one store each, so nothing is ever half changed while packets come. Counters
// lie in such memory too, and are read without a system call.
//
// The program is attached by a bpf_link, which this process holds: when it ends, however it
// ends, the interface is as it was. A program of somebody else's is never removed.
//
// Running needs Linux 5.9 or newer (5.18 without CAP_PERFMON), CAP_BPF and CAP_NET_ADMIN. With
// CAP_PERFMON the program is faster: see docs/decisions/xdp-filter.md. The types that describe
// configuration and counters exist on every system.
//
// It serves the rest of this module and may change in any version. What is promised to
// applications is the API of the module's root, package blaze.
package bpf
