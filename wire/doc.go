// Package wire reads and writes Blaze's datagrams without allocating.
//
// blaze.proto in this directory is the truth; package wirepb is the code generated from it, and
// this package is the fast codec for the same bytes. The sources are the protobuf encoding
// (https://protobuf.dev/programming-guides/encoding/) and RFC 3720, B.4 for CRC-32C.
//
// A datagram is canonical when it is laid out as the generated Go code would write it: fields
// in order, shortest varints, and nothing that is unknown to the decoder. Then the header is
// at fixed offsets and the fast path takes the datagram. Every other valid layout takes the
// general path and gives the same values.
//
// We differ from plain protobuf in four places, so that all readers see the same datagram:
//   - a field of the header that comes twice is refused, because an eBPF filter reads the first
//     one at its fixed offset and by protobuf's rule the last one counts;
//   - groups (wire types 3 and 4, long deprecated) are skipped up to 32 levels deep;
//   - fields that blaze.proto marks as required are required, and every number has bounds;
//   - a datagram has at most MaxFrames frames, a Data at most MaxMessages messages and a Nak at
//     most MaxGaps gaps.
package wire
