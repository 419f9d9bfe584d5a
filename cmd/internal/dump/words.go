package dump

import (
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// Writer prints packets in words, one line each and one for each frame of a datagram.
type Writer struct {
	w     io.Writer
	first time.Time // of the first packet; later times count from it
	d     wire.Datagram

	// Counts of what was written.
	Packets, Datagrams, Damaged, Others int
}

// NewWriter writes to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes one packet.
func (w *Writer) Write(p *Packet) error {
	w.Packets++
	if w.first.IsZero() && !p.Time.IsZero() {
		w.first = p.Time
		if _, err := fmt.Fprintf(w.w, "%s is +0\n", p.Time.UTC().Format("2006-01-02 15:04:05.000000000 MST")); err != nil {
			return err
		}
	}
	at := "?"
	if !p.Time.IsZero() {
		at = fmt.Sprintf("%+.9f", p.Time.Sub(w.first).Seconds())
	}
	u, why := open(p)
	if why != "" {
		w.Others++
		_, err := fmt.Fprintf(w.w, "%s %v  %s, %d bytes\n", at, p.Direction, why, p.Length)
		return err
	}
	line := fmt.Sprintf("%s %v  %v → %v  ", at, p.Direction, u.from, u.to)
	for _, id := range u.vlan {
		line += fmt.Sprintf("VLAN %d, ", id)
	}
	_, err := fmt.Fprintf(w.w, "%s%s\n", line, w.datagram(&u))
	return err
}

// datagram prints what a UDP payload is.
func (w *Writer) datagram(u *udp) string {
	n := plural(len(u.payload)+u.cut, "byte")
	if u.cut > 0 {
		w.Damaged++
		return fmt.Sprintf("%s, of which %d were not captured", n, u.cut)
	}
	if err := wire.Decode(u.payload, &w.d); err != nil {
		w.Damaged++
		return fmt.Sprintf("%s, no datagram of ours: %v", n, err)
	}
	w.Datagrams++
	h := &w.d.Header
	s := fmt.Sprintf("%s, cluster %016x, %s of %s, lane %d", n, h.Cluster, Protocol(h.Stream.Protocol()), member(h.Transmitter, h.Incarnation), h.Stream.Lane())
	if !w.d.Canonical {
		s += ", laid out otherwise"
	}
	for i := range w.d.Frames() {
		s += "\n    " + frame(&w.d.Frames()[i])
	}
	return s
}

// Protocol is a protocol's name.
func Protocol(p wire.Protocol) string {
	switch p {
	case wire.BestEffort:
		return "besteffort"
	case wire.NACK:
		return "nack"
	case wire.FEC:
		return "fec"
	case wire.Hybrid:
		return "hybrid"
	case wire.Totem:
		return "totem"
	case wire.Group:
		return "group"
	case wire.ClusterRing:
		return "cluster"
	}
	return fmt.Sprintf("protocol %d", p)
}

// frame prints what a frame carries.
func frame(f *wire.Frame) string {
	switch f.Kind {
	case wire.FrameData:
		d := f.Data()
		return data(&d)
	case wire.FrameNak:
		n := f.Nak()
		return fmt.Sprintf("NAK to %s:%s%s", member(n.Origin, n.OriginIncarnation), gaps(" lacks", n.Gaps()), gaps(" still lacks", n.Again()))
	case wire.FrameHeartbeat:
		h := f.Heartbeat()
		return heartbeat(&h)
	case wire.FrameStatus:
		s := f.Status()
		return fmt.Sprintf("status to %s: next %d of %d, limit %d, room %s, %d missed, %d gone, echo %d held %v",
			member(s.Origin, s.OriginIncarnation), s.Next, s.Highest, s.Limit, plural(int(s.Room), "byte"), s.Missed, s.Gone, s.Echo, time.Duration(s.Held))
	case wire.FrameStart:
		s := f.Start()
		return fmt.Sprintf("start: datagrams from %d, messages from %d, opened %v ago, %s", s.First, s.FirstMessage, time.Duration(min(s.Age, 1<<62)), plural(int(s.Lanes), "lane"))
	case wire.FrameLeave:
		if l := f.Leave(); l.HasLast {
			return fmt.Sprintf("leave: last datagram %d, message %d would be next", l.Last, l.NextMessage)
		}
		return "leave"
	case wire.FrameRepair:
		r := f.Repair()
		return fmt.Sprintf("repair symbol %d of block %d: %d sources, stride %d, %d repairs, scheme %d, %s",
			r.Index, r.Block, r.Sources, r.Stride, r.Repairs, r.Scheme, plural(len(r.Symbol), "byte"))
	case wire.FrameSymbolNak:
		n := f.SymbolNak()
		s := "NAK for symbols to " + member(n.Origin, n.OriginIncarnation) + ":"
		for it := n.Needs(); ; {
			need, ok := it.Next()
			if !ok {
				return s
			}
			s += fmt.Sprintf(" %d of block %d", need.Count, need.Block)
		}
	}
	return ringFrame(f)
}

// ringFrame prints what Totem's frames carry.
func ringFrame(f *wire.Frame) string {
	switch f.Kind {
	case wire.FrameRing:
		r := f.Ring()
		s := fmt.Sprintf("ring %016x/%d: round %d, origin %d", r.Key.Rep, r.Key.Seq, r.Round, r.Origin)
		if r.Safe {
			s += ", safe"
		}
		if r.After {
			s += ", sent after the token"
		}
		if r.Recovered {
			s += fmt.Sprintf(", recovered from old ring %d as number %d", r.Old, r.Number)
		}
		return s
	case wire.FrameToken:
		t := f.Token()
		s := fmt.Sprintf("token %d of ring %s: seq %d, ARU %d", t.TokenSeq, ring(t.Ring), t.Seq, t.Aru)
		if t.AruID != (wire.MemberID{}) {
			s += " by " + short(t.AruID)
		}
		s += fmt.Sprintf(", fcc %d, backlog %d", t.FCC, t.Backlog)
		if t.Recovery {
			s += ", recovery goes on"
		}
		for i := range t.Wanted.Len() {
			if i == 0 {
				s += ", wanted:"
			}
			s += " " + strconv.FormatUint(t.Wanted.At(i), 10)
		}
		return s
	case wire.FrameJoin:
		j := f.Join()
		return fmt.Sprintf("join %d: knows%s; failed%s; ring sequence %d, node %016x", j.Counter, members(j.Proc), members(j.Fail), j.RingSeq, j.Node)
	case wire.FrameCommit:
		c := f.Commit()
		s := fmt.Sprintf("commit of ring %s, %d of %d filled in:", ring(c.Ring), c.Index, c.Entries.Len())
		for i := range c.Entries.Len() {
			e := c.Entries.At(i)
			s += " " + short(e.ID)
			if e.Filled {
				s += fmt.Sprintf(" (old ring %d, ARU %d, high %d)", e.Old, e.Aru, e.High)
			}
		}
		return s
	case wire.FrameNotice:
		n := f.Notice()
		switch n.Kind {
		case wire.MergeDetect:
			return "notice: there is a ring " + ring(n.Ring)
		case wire.HoldCancel:
			return "notice: do not hold the token of ring " + ring(n.Ring)
		}
		return fmt.Sprintf("notice %d of ring %s", n.Kind, ring(n.Ring))
	}
	return groupFrame(f)
}

// maxMessages is how many messages of a datagram are printed one by one.
const maxMessages = 8

func data(d *wire.Data) string {
	if d.Fragment {
		s := fmt.Sprintf("data %d: part of message %d, bytes from %d of %d", d.Number, d.FirstMessage, d.Offset, d.Size)
		for it := d.Messages(); it.Step(); {
			s += fmt.Sprintf(", %s, %s", topic(it.Topic), plural(len(it.Payload), "byte"))
		}
		return s
	}
	s := fmt.Sprintf("data %d: message %d", d.Number, d.FirstMessage)
	if d.Count > 1 {
		s = fmt.Sprintf("data %d: messages %d to %d", d.Number, d.FirstMessage, d.FirstMessage+uint64(d.Count)-1)
	}
	n := 0
	for it := d.Messages(); it.Step(); n++ {
		if n == maxMessages {
			return s + fmt.Sprintf(", and %d more", d.Count-n)
		}
		s += fmt.Sprintf(", %s %s", topic(it.Topic), plural(len(it.Payload), "byte"))
		if it.Kind == wire.KindMessage {
			s += " of a Message"
		} else if it.Kind != wire.KindRaw {
			s += fmt.Sprintf(" of kind %d", it.Kind)
		}
	}
	return s
}

func heartbeat(h *wire.Heartbeat) string {
	s := fmt.Sprintf("heartbeat: last datagram %d, repairable from %d, message %d is next, %s, sent at %d",
		h.Last, h.First, h.NextMessage, plural(int(h.Receivers), "receiver"), h.SentAt)
	if h.RoundTrip > 0 {
		s += fmt.Sprintf(", round trip %v", time.Duration(h.RoundTrip))
		if h.UsualTrip > 0 {
			s += fmt.Sprintf(" (%v for half of the receivers)", time.Duration(h.UsualTrip))
		}
	}
	if h.WantStatus {
		s += ", wants a status"
	}
	if h.Pause > 0 {
		s += fmt.Sprintf(", the next one within %v", time.Duration(h.Pause)*time.Microsecond)
	}
	if h.Evicted {
		s += ", and you are evicted"
	}
	if h.Every > 0 {
		s += fmt.Sprintf(", asks for reports every %d bytes", h.Every)
	}
	return s
}

// gaps lists what is missing, first and last.
func gaps(what string, it wire.GapIter) string {
	var b strings.Builder
	for {
		g, ok := it.Next()
		if !ok {
			return b.String()
		}
		if b.Len() == 0 {
			b.WriteString(what)
		}
		fmt.Fprintf(&b, " %d", g.First)
		if g.Count > 1 {
			fmt.Fprintf(&b, "..%d", g.First+uint64(g.Count)-1)
		}
	}
}

// topic quotes a topic, a long one abridged.
func topic(b []byte) string {
	const longest = 60
	if len(b) > longest {
		return strconv.Quote(string(b[:longest])) + "…"
	}
	return strconv.Quote(string(b))
}

// short is a member by the first 4 of its 16 bytes, which differ between the members of a capture.
func short(id wire.MemberID) string { return hex.EncodeToString(id[:4]) }

func member(id wire.MemberID, incarnation uint32) string {
	return fmt.Sprintf("%s#%d", short(id), incarnation)
}

func members(m wire.Members) string {
	if m.Len() == 0 {
		return " nobody"
	}
	s := ""
	for i := range m.Len() {
		s += " " + short(m.At(i))
	}
	return s
}

func ring(r wire.RingID) string { return fmt.Sprintf("%s/%d", short(r.Rep), r.Seq) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
