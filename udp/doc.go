// Package udp carries an engine's datagrams over ordinary sockets, on any host and without
// privileges.
//
// A driver has two sockets. The group's socket receives what is sent to the multicast group; several members of
// one host share its port and each receives everything. The member's own socket has the address
// that others send to: unicast comes in through it, and everything goes out
// through it, multicast too. With a list of peers (pointcast) there is the second one only,
// and what goes to the group is sent to each peer.
//
// # What the engine may rely on
//
//   - A driver belongs to one goroutine. Only Wake may be called from others.
//   - A datagram that came through the group is handed out before a unicast datagram that the
//     kernel queued after it. Totem counts on it: data sent before the token is stepped before
//     the token. Under a flood of both sockets a few datagrams may be out of this order: unicast that
//     comes while that before it is read in several calls. (The portable driver keeps the order as
//     well as it can, see Portable.)
//   - Unicast is held back no longer than that takes, and then all of it that waited is handed out,
//     whatever comes through the group meanwhile.
//   - A member does not receive what it sent to the group itself.
//   - Recv and Send never sleep, and allocate nothing.
//
// # On Linux
//
// Datagrams travel in batches (recvmmsg, sendmmsg) and, where the kernel can, as segments of
// one large packet (UDP_SEGMENT since Linux 4.18, UDP_GRO since 5.0). Segmentation is worth
// far more than batching: a packet of 45 datagrams passes through the kernel's stack once.
// A socket filter drops the member's own multicast before it is queued. While no other socket of
// the host wants what is sent to the group, the kernel makes no copies of it at all (loop_linux.go).
//
// A single packet leaves by sendto, or by sendmsg with segments. While reads find nothing, one asks
// for a single packet by recvfrom, the cheapest call. It does not say how long segments are, so the
// datagrams themselves have to (Config.First); without that it is recvmsg. After two reads in a row
// that found something, packets are received in batches until a read finds nothing. A driver
// that spins reads each time the socket that the last datagram came through, and the other one on
// every eighth empty Recv, or when the engine's turns are rare (LookAtAll).
//
// The calls in Recv and Send are raw: they bypass Go's scheduler, so that no other thread
// takes over the processor meanwhile. They are bounded by the batch. Wait is an ordinary
// blocking system call.
//
// # Tried, and no better
//
// Asking epoll first, for both sockets or for the member's own, instead of trying to receive
// from both: an empty look is cheaper (0.2 against 1.1 µs for two empty recvmmsg on Linux
// 6.18), yet a round trip takes 1 to 3 µs longer where epoll is in its path, since it then
// takes two calls and a callback for each packet. Fewer, or more, than 32 slots for coalesced
// packets: within the noise.
package udp
