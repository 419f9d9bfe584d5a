// Package xdp carries an engine's datagrams past the kernel's network stack, over AF_XDP
// sockets. A program in the kernel (package bpf) takes the datagrams of one group, port and
// cluster out of what an interface receives and leaves everything else to the kernel.
//
// # Packet memory
//
// There is one pool of buffers, and all of it is registered with the kernel (UMEM). The kernel receives into
// it, the cores keep in it what they need longer, and a datagram is sent from where it lies:
// the driver writes the packet's headers into the headroom in front of it. So nothing is copied
// in this process. A buffer that the kernel sends from has a reference more until the
// completion ring brings it back.
//
// # Rings
//
// Four rings lead to the kernel and back: fill (empty buffers), RX (received packets), TX
// (packets to send) and completion (buffers that are sent). Each has one writer and one reader;
// indexes are published once for a batch, with acquire and release order. One thread, the
// engine's, touches all four.
//
// # What the engine may rely on
//
//   - A driver belongs to one goroutine. Only Wake may be called from others.
//   - Datagrams are handed out in the order in which they arrived, so data is seen before the
//     token that was sent after it. What the filter passed to the kernel (it was laid out in
//     another way, or came before the filter was there) comes through an ordinary socket, later.
//   - Recv and Send never sleep, and allocate nothing.
//   - Nothing that the kernel, the network or the interface does makes the driver panic. When the
//     link goes down or the interface disappears, what is sent is dropped and counted, and
//     traffic goes on when it returns.
//
// # What it needs
//
// Linux 5.9 or later, and CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_IPC_LOCK. The interface's
// queue has one owner: a second driver that asks for it gets an error that names the first. What
// is sent through AF_XDP does not arrive on the same host, and tcpdump does not see it; Config.Tap
// writes it down.
//
// Sources: the kernel's Documentation/networking/af_xdp.rst, include/uapi/linux/if_xdp.h and
// net/xdp/xsk_queue.h; RFC 791 (IPv4), RFC 768 (UDP), RFC 894 (IPv4 over Ethernet), RFC 1112
// (multicast addresses), RFC 6864 (the identification field).
package xdp
