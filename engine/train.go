package engine

import (
	"bytes"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

const (
	// trainMark is how many bytes at the beginning are the same in all datagrams of a cluster:
	// version and cluster, with their tags (docs/wire.md).
	trainMark = 14
	// trainTries bounds the places at which a train is tried to be cut.
	trainTries = 8
)

// takeTrain takes a packet whose checksum is wrong because it is several datagrams of equal
// length in a row, the last of them perhaps shorter: that is how a sender's segmentation offload
// looks to an XDP program in generic mode on a virtual interface, where nothing has cut the
// packet up yet. It reports whether the packet was one.
//
// The datagrams' beginnings show where to cut; that the first one then has a right checksum
// shows that the cut is right. A datagram that merely carries such bytes has a right checksum
// itself and never comes here.
func (e *Engine) takeTrain(now clock.Time, r buf.Received, b []byte) bool {
	if len(b) < 2*wire.HeaderLen {
		return false
	}
	mark, at := b[:trainMark], 0
	for range trainTries {
		next := bytes.Index(b[at+1:], mark)
		if next < 0 {
			return false
		}
		if at += 1 + next; at < wire.HeaderLen {
			continue
		}
		if wire.Decode(b[:at], &e.frame) == nil {
			e.stats.Trains++
			e.cut(now, r, b, at)
			return true
		}
	}
	return false
}

// cut takes a train's datagrams, which are size bytes each.
func (e *Engine) cut(now clock.Time, r buf.Received, b []byte, size int) {
	e.stats.Received-- // it counted as one
	e.stats.ReceivedBytes -= uint64(len(b))
	for len(b) > 0 {
		n := min(size, len(b))
		// A view, and not r.Buf itself: a protocol that keeps one datagram must not keep where the next lies.
		e.wagon.Lend(b[:n:n])
		e.take(now, buf.Received{Buf: &e.wagon, From: r.From, Group: r.Group}, false)
		b = b[n:]
	}
}
