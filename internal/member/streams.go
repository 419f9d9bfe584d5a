package member

import (
	"slices"

	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Streams holds what a member receives and which receivers it has, as its cores' events describe
// them. It belongs to the first engine's thread.
type Streams struct {
	all   []present // in order of their beginning
	index map[presence]int
	gone  int // of all
}

// present is one stream that is received, or one receiver of a stream that is sent.
type present struct {
	nack.Event      // StreamStarted or ReceiverJoined; 0: it is gone
	silent     bool // its last event was StreamSilent
}

// presence names one of them.
type presence struct {
	member   wire.MemberID
	stream   wire.StreamID
	receiver bool
}

// Note takes in an event.
func (s *Streams) Note(e nack.Event) {
	k := presence{e.Member, e.Stream, false}
	switch e.Kind {
	case nack.StreamStarted:
		s.add(k, e)
	case nack.StreamSilent, nack.StreamResumed:
		if i, ok := s.index[k]; ok {
			s.all[i].silent = e.Kind == nack.StreamSilent
		}
	case nack.StreamLeft:
		s.remove(k)
	case nack.ReceiverJoined:
		k.receiver = true
		s.add(k, e)
	case nack.ReceiverLeft, nack.ReceiverEvicted, nack.ReceiverSlow:
		k.receiver = true
		s.remove(k)
	}
}

func (s *Streams) add(k presence, e nack.Event) {
	if s.index == nil {
		s.index = map[presence]int{}
	}
	s.index[k] = len(s.all)
	s.all = append(s.all, present{Event: e})
}

func (s *Streams) remove(k presence) {
	i, ok := s.index[k]
	if !ok {
		return
	}
	delete(s.index, k)
	s.all[i] = present{}
	if s.gone++; s.gone <= len(s.all)/2 {
		return
	}
	s.all = slices.DeleteFunc(s.all, func(p present) bool { return p.Kind == 0 })
	s.gone = 0
	for i, p := range s.all {
		s.index[presence{p.Member, p.Stream, p.Kind == nack.ReceiverJoined}] = i
	}
}

// Each calls f with the events that lead to what is there now, in order of its beginning.
func (s *Streams) Each(f func(nack.Event)) {
	for _, p := range s.all {
		if p.Kind == 0 {
			continue
		}
		f(p.Event)
		if p.silent {
			e := p.Event
			e.Kind = nack.StreamSilent
			f(e)
		}
	}
}
