package dump

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// groupFrame prints what the frames of groups carry.
func groupFrame(f *wire.Frame) string {
	switch f.Kind {
	case wire.FramePair:
		p := f.Pair()
		return pair(&p)
	case wire.FramePairAck:
		a := f.PairAck()
		if a.Dead {
			return fmt.Sprintf("pair ack to %s: session %d is dead, %s", short(a.To), a.Session, channel(a.Channel))
		}
		s := fmt.Sprintf("pair ack to %s: session %d, %s: next %d, held %#x, items taken below %d, limit %d, kept back %v",
			short(a.To), a.Session, channel(a.Channel), a.Next, a.Held, a.Taken, a.Limit, micro(a.Delay))
		for i := range a.Refused.Len() {
			x := a.Refused.At(i)
			s += fmt.Sprintf(", item %d refused (%d)", x.Item, x.Reason)
		}
		return s
	case wire.FrameBeat:
		b := f.Beat()
		return fmt.Sprintf("beat: record version %d, next within %v, %s, digest %016x, longest stall %v",
			b.Version, micro(b.Interval), plural(int(b.Members), "member"), b.Digest, micro(b.Stall))
	case wire.FrameHello:
		h := f.Hello()
		s := "hello"
		if h.Ask {
			s = fmt.Sprintf("hello, who is there? attempt %d", h.Attempt)
		}
		return fmt.Sprintf("%s, nonce %016x: %s", s, h.Nonce, record(&h.Record))
	case wire.FrameMembers:
		m := f.Members()
		s := "members"
		if m.Compare {
			s += " to compare"
		}
		s += ": " + plural(m.Count, "record")
		for it := m.Records(); ; {
			r, ok := it.Next()
			if !ok {
				break
			}
			s += "; " + record(&r)
		}
		if m.More {
			s += "; more follow"
		}
		return s
	case wire.FrameProbe:
		p := f.Probe()
		return fmt.Sprintf("probe to %s: %s, incarnation %d, nonce %016x", short(p.To),
			named(uint32(p.Kind), "", "are you there", "I am", "am I in", "you are", "you are removed", "send your record", "I am another"), p.Incarnation, p.Nonce)
	case wire.FrameWord:
		w := f.Word()
		s := "word:"
		for it := w.About(); ; {
			a, ok := it.Next()
			if !ok {
				return s
			}
			s += fmt.Sprintf(" %s of %s", named(uint32(a.Kind), "", "doubt", "vouch", "verdict", "left", "leave"), member(a.ID, a.Incarnation))
			if a.Age != 0 {
				s += fmt.Sprintf(" (%v ago)", micro(a.Age))
			}
		}
	}
	return fmt.Sprintf("frame %d", f.Kind)
}

// maxItems is how many items of a Pair are printed one by one.
const maxItems = 8

func pair(p *wire.Pair) string {
	s := fmt.Sprintf("pair %d to %s: session %d, %s, oldest %d, known %d, %s from %d",
		p.Number, member(p.To, p.ToIncarnation), p.Session, channel(p.Channel), p.Oldest, p.Known, plural(p.Count, "item"), p.FirstItem)
	if p.AckAtOnce {
		s += ", acknowledge at once"
	}
	it := p.Items()
	for n := 0; it.Step(); n++ {
		if n == maxItems {
			return s + ", …"
		}
		s += "; " + named(uint32(it.Kind), "kind 0", "send", "request", "queue item", "queue request", "reply", "result", "cancel", "record", "nothing")
		if it.Kind.Named() {
			s += fmt.Sprintf(" %q", it.Name)
		}
		s += fmt.Sprintf(" of call %d, %s", it.Call, plural(len(it.Payload), "byte"))
		if it.Redelivered {
			s += ", redelivered"
		}
		if it.Fragment {
			s += fmt.Sprintf(" at %d of %d", it.Offset, it.Size)
		}
	}
	return s
}

func record(r *wire.Record) string {
	ip := uint32(r.Address >> 16)
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)}), uint16(r.Address))
	s := fmt.Sprintf("%s %q at %v, version %d", member(r.ID, r.Incarnation), r.Name, at, r.Version)
	if r.Ring {
		s += ", in a ring"
	}
	if r.Partial {
		return s + ", without lists"
	}
	var groups, queues []string
	for it := r.Groups(); ; {
		g, ok := it.Next()
		if !ok {
			break
		}
		groups = append(groups, fmt.Sprintf("%q", g))
	}
	for it := r.Queues(); ; {
		q, ok := it.Next()
		if !ok {
			break
		}
		queues = append(queues, fmt.Sprintf("%q", q.Queue))
	}
	return s + fmt.Sprintf(", groups [%s], queues [%s]", strings.Join(groups, " "), strings.Join(queues, " "))
}

func channel(c wire.Channel) string { return named(uint32(c), "answers", "in-boxes", "queues") }

// named is the word for a kind; a newer one has none.
func named(kind uint32, words ...string) string {
	if kind < uint32(len(words)) && words[kind] != "" {
		return words[kind]
	}
	return fmt.Sprintf("kind %d", kind)
}

func micro(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
