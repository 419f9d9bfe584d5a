// Package oversize reports datagrams that are longer than a member's own, which drivers drop.
package oversize

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// every is how often at most one driver reports.
const every = time.Minute

// Log writes a line for the first datagram that was dropped, and then at most once a minute. Its
// zero value is ready. Several goroutines may use it. It reads the clock, so it is for datagrams
// that were dropped only.
type Log struct {
	mu   sync.Mutex
	last time.Time // of the last line
}

// Dropped notes that a datagram of size bytes was dropped, where limit is the most that this member
// takes. Without exact it was size bytes or more. total is how many were dropped so far.
func (l *Log) Dropped(log *slog.Logger, from netip.AddrPort, size int, exact bool, limit int, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < every {
		return
	}
	l.last = now
	bytes := "bytes"
	if !exact {
		bytes = "bytes at least"
	}
	log.Warn("blaze: datagrams longer than this member's MTU allows are dropped; all members need the same mtu",
		"from", from, bytes, size, "largest", limit, "dropped", total, "remedy", "give all members the same mtu=N in their URI")
}
