package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

// parts is the memory in which a stream puts one message together. When the message is done the
// stream keeps the memory for the next, as long as no other stream needs it.
type parts struct {
	bytes   []byte
	charged int        // bytes that the stream may use, of Config.Assembly
	grown   clock.Time // when the last part came
	refused uint64     // assemblies.freed when there was no memory for the next message, plus 1; 0: there was
	tried   clock.Time // when that was
	whole   bool       // all parts are here, and Sink has refused the message once

	older, newer *stream // in assemblies
}

// assemblies shares Config.Assembly bytes among the streams that put messages together. A message
// is charged with all of its length when its first part comes, so a message that was begun can be
// ended. Streams with a charge are in a list: first those whose memory is idle, then by the time of
// their last part.
//
// A message that gets no charge waits, as one that Sink refuses: then flow control stops its sender
// until other messages are done. A message whose sender is silent for Config.Eviction is given up when
// another message needs its memory; so is one that got no part for patientEvictions times as long.
type assemblies struct {
	limit, charged int
	oldest, newest *stream
	freed          uint64 // how often memory was given back
}

const (
	assemblyMessages = 4 // of the largest size that a member can put together at one time
	patientEvictions = 10
)

// AssemblyBytes is how many bytes a Protocol takes to put messages together: the default of
// Config.Assembly.
func AssemblyBytes(maxMessageSize int) int { return assemblyMessages * maxMessageSize }

// begin charges s for a message of size bytes. It is false when there is no memory for it now.
func (a *assemblies) begin(now clock.Time, s *stream, size int, eviction time.Duration) bool {
	need := max(cap(s.parts.bytes), size)
	for x := a.oldest; a.charged-s.parts.charged+need > a.limit; {
		for x != nil && (x == s || !x.yields(now, eviction)) {
			x = x.parts.newer
		}
		if x == nil {
			s.parts.refused, s.parts.tried = a.freed+1, now
			return false
		}
		victim := x
		x = x.parts.newer
		if victim.assembling {
			victim.p.stats.AssembliesDropped++
			victim.lose(victim.message, core.LossMalformed)
			victim.skipped = victim.message - 1
		}
		a.release(victim)
	}
	a.charged += need - s.parts.charged
	s.parts.charged, s.parts.refused = need, 0
	a.touch(now, s)
	return true
}

// yields reports whether other streams may have the memory of s: it is idle, or its message got no part
// for eviction, and its sender is silent too. A sender that lives may be held up by another receiver;
// then the message has more time.
func (s *stream) yields(now clock.Time, eviction time.Duration) bool {
	since := now.Sub(s.parts.grown)
	return !s.assembling ||
		!s.parts.whole && (since >= eviction && !s.own && now.Sub(s.heard) >= eviction || since >= patientEvictions*eviction)
}

// waits reports whether s waits for memory, and another try is of no use: none was given back since it
// was refused.
func (a *assemblies) waits(now clock.Time, s *stream, eviction time.Duration) bool {
	return s.parts.refused == a.freed+1 && now.Sub(s.parts.tried) < eviction/4
}

// touch makes s the last one to lose its memory.
func (a *assemblies) touch(now clock.Time, s *stream) {
	s.parts.grown = now
	if a.newest == s {
		return
	}
	a.unlink(s)
	if s.parts.older = a.newest; a.newest != nil {
		a.newest.parts.newer = s
	} else {
		a.oldest = s
	}
	a.newest = s
}

// idle notes that s puts nothing together now: its memory is the first that is taken.
func (a *assemblies) idle(s *stream) {
	x := &s.parts
	if x.bytes, x.whole = x.bytes[:0], false; cap(x.bytes) == 0 {
		a.release(s)
		return
	}
	a.charged += cap(x.bytes) - x.charged
	a.freed++
	if x.charged = cap(x.bytes); a.oldest == s {
		return
	}
	a.unlink(s)
	if x.newer = a.oldest; a.oldest != nil {
		a.oldest.parts.older = s
	} else {
		a.newest = s
	}
	a.oldest = s
}

// release takes the memory of s.
func (a *assemblies) release(s *stream) {
	if s.parts.charged > 0 {
		a.unlink(s)
		a.charged -= s.parts.charged
		a.freed++
	}
	s.parts = parts{}
}

func (a *assemblies) unlink(s *stream) {
	x := &s.parts
	if a.oldest == s {
		a.oldest = x.newer
	} else if x.older != nil {
		x.older.parts.newer = x.newer
	}
	if a.newest == s {
		a.newest = x.older
	} else if x.newer != nil {
		x.newer.parts.older = x.older
	}
	x.older, x.newer = nil, nil
}

// add appends one part to a message of size bytes, which was charged. The memory grows as parts
// come: a length that was only announced takes none.
func (x *parts) add(part []byte, size int) {
	if n := len(x.bytes) + len(part); n > cap(x.bytes) {
		b := make([]byte, len(x.bytes), min(max(2*cap(x.bytes), n), size))
		copy(b, x.bytes)
		x.bytes = b
	}
	x.bytes = append(x.bytes, part...)
}
