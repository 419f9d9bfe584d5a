// Package ring holds the queues between an application's goroutines and an engine's thread.
//
//   - SPSC: one producer, one consumer, slots of one type, filled and read in place.
//   - Bytes: many producers, one consumer, records of any length, claimed, filled and committed.
//   - Signal: lets a producer wake a consumer that sleeps, and costs one load when it does not.
//
// No operation takes a lock, allocates, waits or calls the system. Full and empty are answers;
// waiting is the caller's decision.
//
// # Shape
//
// Positions only grow (64 bits, they never wrap in practice); position & (capacity − 1) is the
// place in memory. Each shared field has one writer, but for the tail of Bytes, which producers
// move by compare-and-swap. Whatever one side writes often lies at least 128 bytes from what the
// other side reads, since adjacent-line prefetch makes pairs of 64-byte lines travel together.
// Each side keeps a copy of the other's position and looks at the real one only when the copy
// makes the ring full or empty: most operations then touch no line that the other core writes, but
// for the data itself.
//
// # Memory order
//
// Go's atomics are sequentially consistent (The Go Memory Model), and an atomic load that sees
// a store happens after it. All ordinary memory (slots, payloads, user words) is ordered by
// such pairs, one in each direction:
//
//	data   producer writes data, stores "published"; consumer loads "published", reads data
//	space  consumer is done with data, stores head;  producer loads head, overwrites data
//
// The race detector understands both; there is no hidden synchronisation.
//
// It serves the rest of this module and may change in any version. What is promised to
// applications is the API of the module's root, package blaze.
package ring

// pad keeps its neighbours in a struct off each other's cache lines, and off the neighbouring
// line that adjacent-line prefetch fetches along.
type pad [128]byte
