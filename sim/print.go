package sim

import (
	"fmt"
	"io"
	"strings"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// Print writes a line for each datagram that is sent and for each copy that is lost, for
// people: what -seed=N -trace.sim=FILE gives for a run that failed. Call it before Start.
func (c *Cluster) Print(w io.Writer) { c.print = w }

func (w *watcher) printSent(d *Driver, b []byte, to buf.Endpoint) {
	fmt.Fprintf(w.c.print, "%v %s > %s %d bytes%s\n", w.c.Net.Now().Sub(0), w.name(d), w.nameOf(to), len(b), describe(&w.frame, b))
}

func (w *watcher) printLost(to *Driver) {
	fmt.Fprintf(w.c.print, "%v   lost for %s\n", w.c.Net.Now().Sub(0), w.name(to))
}

func (w *watcher) name(d *Driver) string { return fmt.Sprintf("%d(%d)", d.node, d.local) }

func (w *watcher) nameOf(e buf.Endpoint) string {
	if e == buf.Group {
		return "group"
	}
	if int(e) > len(w.c.Net.drivers) {
		return fmt.Sprintf("nobody(%d)", e)
	}
	return w.name(w.c.Net.drivers[e-1])
}

// describe returns what is in a datagram; d is scratch.
func describe(d *wire.Datagram, b []byte) string {
	if err := wire.Decode(b, d); err != nil {
		return " " + err.Error()
	}
	var s strings.Builder
	for i := range d.Frames() {
		switch f := &d.Frames()[i]; f.Kind {
		case wire.FrameData:
			m := f.Data()
			fmt.Fprintf(&s, " data %d: %d messages from %d", m.Number, m.Count, m.FirstMessage)
			if m.Fragment {
				fmt.Fprintf(&s, " fragment at %d of %d", m.Offset, m.Size)
			}
		case wire.FrameNak:
			n := f.Nak()
			fmt.Fprintf(&s, " nak %x", n.Origin[:2])
			for it := n.Gaps(); ; {
				g, ok := it.Next()
				if !ok {
					break
				}
				fmt.Fprintf(&s, " %d+%d", g.First, g.Count)
			}
			for it := n.Again(); ; {
				g, ok := it.Next()
				if !ok {
					break
				}
				fmt.Fprintf(&s, " again %d+%d", g.First, g.Count)
			}
		case wire.FrameHeartbeat:
			h := f.Heartbeat()
			fmt.Fprintf(&s, " heartbeat %d..%d next message %d rtt %dns receivers %d", h.First, h.Last, h.NextMessage, h.RoundTrip, h.Receivers)
			if h.WantStatus {
				s.WriteString(" status?")
			}
		case wire.FrameStatus:
			st := f.Status()
			fmt.Fprintf(&s, " status of %x next %d highest %d limit %d room %d", st.Origin[:2], st.Next, st.Highest, st.Limit, st.Room)
		case wire.FrameStart:
			st := f.Start()
			fmt.Fprintf(&s, " start %d age %d", st.First, st.Age)
		case wire.FrameLeave:
			l := f.Leave()
			fmt.Fprintf(&s, " leave %d", l.Last)
		case wire.FramePair, wire.FramePairAck, wire.FrameBeat, wire.FrameHello, wire.FrameMembers, wire.FrameProbe, wire.FrameWord:
			describeGroup(&s, f)
		}
	}
	return s.String()
}

// describeGroup writes what a frame of groups carries.
func describeGroup(s *strings.Builder, f *wire.Frame) {
	switch f.Kind {
	case wire.FramePair:
		p := f.Pair()
		fmt.Fprintf(s, " pair %d to %x session %d channel %d: items %d..%d, oldest %d known %d", p.Number, p.To[:2], p.Session, p.Channel,
			p.FirstItem, p.FirstItem+uint64(p.Count)-1, p.Oldest, p.Known)
	case wire.FramePairAck:
		a := f.PairAck()
		fmt.Fprintf(s, " pair ack to %x session %d channel %d: next %d held %x taken %d limit %d refused %d", a.To[:2], a.Session, a.Channel,
			a.Next, a.Held, a.Taken, a.Limit, a.Refused.Len())
		if a.Dead {
			s.WriteString(" dead")
		}
	case wire.FrameBeat:
		b := f.Beat()
		fmt.Fprintf(s, " beat version %d interval %dus members %d digest %x", b.Version, b.Interval, b.Members, b.Digest)
	case wire.FrameHello:
		h := f.Hello()
		fmt.Fprintf(s, " hello ask %v attempt %d of %x incarnation %d version %d", h.Ask, h.Attempt, h.Record.ID[:2], h.Record.Incarnation, h.Record.Version)
	case wire.FrameMembers:
		m := f.Members()
		fmt.Fprintf(s, " members %d compare %v more %v", m.Count, m.Compare, m.More)
	case wire.FrameProbe:
		p := f.Probe()
		fmt.Fprintf(s, " probe %d to %x incarnation %d", p.Kind, p.To[:2], p.Incarnation)
	case wire.FrameWord:
		w := f.Word()
		for it := w.About(); ; {
			a, ok := it.Next()
			if !ok {
				return
			}
			fmt.Fprintf(s, " word %d of %x incarnation %d age %dus", a.Kind, a.ID[:2], a.Incarnation, a.Age)
		}
	}
}
