// Package nack repairs lost datagrams by negative acknowledgement: sender and receiver cores,
// and the Protocol that owns those of one member. It runs the protocols NACK and BestEffort,
// which is NACK that never asks, and, with package fec, FEC and Hybrid: BestEffort and NACK with
// repair symbols before them (docs/decisions/fec-integration.md).
//
// A Protocol is a single-threaded state machine. It does no I/O, starts no goroutine and reads
// no clock: datagrams are stepped in, now is an argument of every call and never goes
// backwards, and PollSend hands out what is to be sent.
//
// # Sources
//
//   - RFC 5740, NORM: negative acknowledgement, repair by the sender, sender-side hold-off.
//   - RFC 5401, section 5.2: the random back-off before a NAK, and its hold-off after one.
//   - RFC 3208, PGM: transmit window, late joiners, NAK suppression.
//   - RFC 6298: smoothed round trip and its variation; Karn's rule for asked-again repairs.
//
// # Where we deviate, and why
//
//   - With up to FewReceivers receivers a NAK goes out at once and by unicast, without back-off:
//     there is nobody to suppress, and the wait would be most of the repair's latency.
//   - With more, NAKs are multicast, and receivers hear each other. NORM and PGM let the sender
//     announce what was asked for; that costs the sender a datagram for every loss and adds a
//     round trip before others are silenced (docs/decisions/nak-suppression.md).
//   - A repair is sent at once, not after NORM's aggregation wait: what is asked for twice
//     within a round trip is repaired once, which bounds the cost as well.
//   - Who asks again is answered by unicast, unless a second receiver asks again too. Therefore
//     "again" suppresses nobody.
//   - The group's round trip is measured with heartbeats and statuses only. RFC 5740's
//     congestion control is replaced by a window that the slowest receiver moves.
//   - RFC 6298's minimum of one second is replaced by 20 µs: these are local networks.
package nack
