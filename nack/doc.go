// Package nack repairs lost datagrams by negative acknowledgement: sender and receiver cores,
// and the Protocol that owns those of one member. It runs four protocols. NACK asks for what was
// lost. BestEffort is NACK that never asks. Hybrid and FEC are these two with repair symbols, made
// by package fec, beside the data (docs/decisions/fec-integration.md).
//
// A Protocol is a single-threaded state machine. It does no I/O, starts no goroutine and reads
// no clock: datagrams are stepped in, now is an argument of every call and never goes
// backwards, and PollSend hands out what is to be sent.
//
// # Files
//
// protocol.go has the steps from outside, control.go the control datagrams that wait to leave,
// schedule.go whose deadline comes next. send_*.go is the sending half of a stream (Sender), recv_*.go
// the receiving half (stream). A data frame passes through the receiving half in one direction: take
// (recv_stream.go) shows it to the decoder if the stream has one (recv_decoding.go), puts it in
// order (recv_order.go) and delivers its messages (recv_assembly.go). What is missing becomes a gap
// (recv_gap.go); when the gap is due is decided in recv_due.go, and recv_ask.go asks for it.
//
// # Memory
//
// Each table has a bound, and what all received streams can hold together is a line in the channel's
// memory budget: buffers in reorder windows and decoders (Config.Pool, Config.Reserved), the streams
// themselves with their windows and gaps (StreamTables), half-assembled messages (Config.Assembly),
// and the block code (FECTables). When a bound is reached a datagram is dropped and counted, a stream
// waits, or a loss is reported.
//
// # Sources
//
//   - RFC 5740, NORM: negative acknowledgement, repair by the sender, sender-side hold-off.
//   - RFC 5401, section 5.2: the random back-off before a NAK, and its hold-off after one.
//   - RFC 3208, PGM: transmit window, late joiners, NAK suppression.
//   - RFC 8985, RACK: the time in which a datagram that was overtaken may still come.
//   - BBR (draft-ietf-ccwg-bbr): the pace as a multiple of the largest delivery rate, with probes.
//   - RFC 6298: smoothed round trip and its variation; Karn's rule for asked-again repairs.
//
// # Where we deviate, and why
//
//   - With up to FewReceivers receivers a NAK goes out at once and by unicast, without back-off:
//     there is no NAK to suppress, and the wait would be most of the repair's latency.
//   - With more, NAKs are multicast, and receivers receive each other's. NORM and PGM let the sender
//     announce what was asked for. That costs the sender a datagram for every loss and adds a
//     round trip before others are silenced (docs/decisions/nak-suppression.md).
//   - A repair is sent at once, not after NORM's aggregation wait: what is asked for twice
//     within a round trip is repaired once, which bounds the cost as well.
//   - A receiver that repeats a request gets the repair by unicast, unless another receiver repeats
//     it too. A repeated request therefore does not suppress other receivers' requests.
//   - The group's round trip is measured with heartbeats and statuses only. RFC 5740's
//     congestion control is replaced by a window that the slowest receiver moves, and by a
//     pace that follows what arrives where much does not (docs/decisions/congestion-control.md). In
//     flight is what the rate needs, and not what sockets hold (docs/decisions/in-flight.md).
//   - A receiver counts when it has echoed a heartbeat (send_newcomers.go): NORM believes every report.
//   - Reports and heartbeats of an idle stream become ever more rare, and each says when the next one
//     comes: silence is judged by that. NORM and PGM keep to one rate.
//   - RFC 6298's minimum of one second is replaced by 20 µs: these are local networks.
package nack
