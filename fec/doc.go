// Package fec protects a stream of datagrams with a block erasure code: repair symbols that
// travel beside the datagrams give lost ones back without asking.
//
// It has the code itself (Accumulate, Solver), an Encoder and a Decoder for the blocks of one
// stream, and a Controller that picks how many repair symbols a block gets. All are
// single-threaded state machines: no I/O, no goroutine, time is an argument. They have
// nothing to do with NAKs; docs/decisions/fec-integration.md explains how a protocol uses them.
//
// # Sources
//
//   - RFC 5052: source symbol, repair symbol, source block, systematic code.
//   - RFC 5510: Reed–Solomon codes over GF(2^8), polynomial 0x11d (section 8.1).
//   - RFC 3208, PGM: repair symbols on demand, one of which serves receivers with different losses.
//   - RFC 6298: smoothed value and variation, here of the time between datagrams.
//   - Plank, Greenan, Miller, Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions, 2013.
//   - Blömer and others, An XOR-Based Erasure-Resilient Coding Scheme, 1995: Cauchy matrices.
//
// # Where we deviate, and why
//
//   - The matrix is Cauchy's, not RFC 5510's Vandermonde matrix times an inverse: any row can be
//     computed by itself, does not depend on k and m, and the inverse has a closed form.
//   - Source datagrams carry no block position (RFC 5510's FEC payload ID): they leave unchanged, and
//     the repair symbols say which datagram numbers their block has.
//   - What is protected is the data frame of a datagram with its length and CRC, not the whole
//     datagram: the rest is the same in all of them, or may change when it is sent again.
package fec
