// Package pages gets the memory of packets from the operating system. The buffers of a window are used one after the
// other, so that with small pages each costs a walk of the page tables: the memory lies in huge pages where the kernel
// has them. All of it is present: no page fault comes later.
package pages

import "sync/atomic"

// Huge is the size of a huge page in bytes.
const Huge = 2 << 20

var mapped atomic.Int64

// Mapped is how many bytes this process has from Map, Reserved and Packets now.
func Mapped() int64 { return mapped.Load() }
