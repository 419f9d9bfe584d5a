// Package asavie is a second AF_XDP socket, over github.com/asavie/xdp v0.3.3, for comparison and
// as a check of package xdp's own. A program links it by a blank import, and then socket=asavie in a
// URI selects it:
//
//	import _ "github.com/activeblaze/blaze/xdp/asavie"
//
// It works on Linux and amd64; elsewhere the import has no effect. The faults of asavie/xdp are
// contained here:
//
//   - It publishes ring indexes with plain stores: amd64 keeps these in order.
//   - Transmit panics when the link is down. Send recovers.
//   - Transmit does not say that the kernel has sent only a part. Unsent looks at the ring,
//     through a second mapping, and Kick sends the rest. Packets that the device threw away are
//     counted nowhere.
//   - Complete does not say which buffers. Complete reads the ring itself.
//   - Its free list hands out buffers that are in use, and takes time that grows with their
//     number. It is not used.
//   - Close, and a NewSocket that fails, leave the rings mapped, which keeps the queue taken.
//     They are unmapped here.
//   - Close unmaps packet memory, although others may hold buffers of it. It is not called.
//   - Its flags are package variables, and its program evicts others and outlives a crash. The
//     flags are set under a lock, and the program is not used.
//   - It maps packet memory itself, so it cannot replace a socket whose interface was removed:
//     the driver says so and stays down.
package asavie
