package group

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// forge steps a member with one frame in the name of another one, as it came from the wire. It is nil when the
// parser refuses it.
func (r *pairRig) forge(at, from int, frame func(b []byte) []byte) (stepped bool) {
	m, name := r.m[at], r.m[from].p
	b := frame(wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: name.cfg.Self, Incarnation: name.incarnation, Stream: Stream}))
	wire.Seal(b)
	return r.inject(m, name.cfg.Self, b)
}

func (r *pairRig) inject(m *duoMember, from wire.MemberID, b []byte) bool {
	if len(b) > pairDatagram || wire.Decode(b, &r.d) != nil || r.d.Transmitter != from {
		return false
	}
	var lent buf.Buf
	lent.Lend(b)
	frames := r.d.Frames()
	for i := range frames {
		if e := m.p.find(from); e != nil && ofPair(frames[i].Kind) {
			_ = m.p.pairs.step(r.now, &r.d, &frames[i], buf.Received{Buf: &lent}, e)
		}
	}
	return true
}

func ofPair(k wire.FrameKind) bool { return k == wire.FramePair || k == wire.FramePairAck }

// pairFrame appends a Pair with items.
func pairFrame(dst []byte, p wire.Pair, items ...wire.Item) []byte {
	if len(items) == 0 {
		return wire.AppendPairQuestion(dst, &p)
	}
	mem := make([]byte, 4096)
	var w wire.PairWriter
	w.Begin(mem, 4000)
	for i := range items {
		if !w.Add(&items[i]) {
			panic("no room")
		}
	}
	off, n := w.Close(wire.Header{Cluster: 7, Transmitter: wire.MemberID{1}, Stream: Stream}, &p)
	return append(dst, mem[off:][:n][wire.HeaderLen:]...)
}

// TestPairHostile forges frames in the name of a member of a pair that is in use. Each changes nothing, or ends
// the session; it is counted, nothing grows, and the channel goes on.
func TestPairHostile(t *testing.T) {
	// a is member 0, the victim is b, member 1: it is in the session 1 with a, and has taken 2 datagrams of it.
	const a, b = 0, 1
	pair := func(r *pairRig, change func(p *wire.Pair)) wire.Pair {
		p := wire.Pair{To: r.m[b].p.cfg.Self, Session: 1, Channel: wire.ChannelInboxes, Number: 3, Oldest: 3, Known: 3, FirstItem: 3}
		change(&p)
		return p
	}
	ack := func(r *pairRig, change func(k *wire.PairAck)) wire.PairAck {
		k := wire.PairAck{To: r.m[b].p.cfg.Self, Session: 1, Channel: wire.ChannelInboxes, Next: 3, Taken: 3, Limit: 100}
		change(&k)
		return k
	}
	send := wire.Item{Kind: wire.ItemSend, Name: []byte("in"), Payload: []byte("forged")}
	part := func(call uint64, offset, n, size int) wire.Item {
		return wire.Item{Kind: wire.ItemSend, Name: []byte("in"), Call: call, Fragment: true, Offset: uint32(offset), Size: uint32(size), Payload: make([]byte, n)}
	}
	pairs := func(change func(p *wire.Pair), items ...wire.Item) func(r *pairRig) bool {
		return func(r *pairRig) bool {
			return r.forge(b, a, func(d []byte) []byte { return pairFrame(d, pair(r, change), items...) })
		}
	}
	acks := func(change func(k *wire.PairAck)) func(r *pairRig) bool {
		return func(r *pairRig) bool {
			k := ack(r, change)
			return r.forge(b, a, func(d []byte) []byte { return wire.AppendPairAck(d, &k) })
		}
	}
	nothing := func(*wire.Pair) {}
	drops := func(s *PairStats) uint64 { return s.PairDrops }
	refused := func(s *PairStats) uint64 { return s.Refused }
	tests := []struct {
		name    string
		forge   func(r *pairRig) bool
		refused bool                      // by the parser
		counter func(s *PairStats) uint64 // of the victim: grows
		lost    bool                      // the session may end: one Send has an unknown outcome
		taken   bool                      // it is taken, as of a: nothing tells it from a's
	}{
		{name: "for another member", forge: pairs(func(p *wire.Pair) { p.To = wire.MemberID{77} }, send), counter: drops},
		{name: "session 0", forge: pairs(func(p *wire.Pair) { p.Session = 0 }, send), refused: true},
		{name: "a session far ahead", forge: pairs(func(p *wire.Pair) { p.Session = math.MaxUint32; p.Number, p.Oldest, p.FirstItem = 1, 1, 1 }, send), counter: drops, lost: true},
		{name: "a session jump", forge: pairs(func(p *wire.Pair) { p.Session = 1 << 20; p.Number, p.Oldest, p.FirstItem = 1, 1, 1 }, send), lost: true, taken: true},
		{name: "a session from the middle", forge: pairs(func(p *wire.Pair) { p.Session = 9 }, send), counter: drops},
		{name: "a number beyond the window", forge: pairs(func(p *wire.Pair) { p.Number = 3 + maxWindow }, send), counter: drops},
		{name: "the largest number", forge: pairs(func(p *wire.Pair) { p.Number = math.MaxUint64 - 1 }, send), counter: drops},
		{name: "a number that is none", forge: pairs(func(p *wire.Pair) { p.Number = math.MaxUint64 }, send), refused: true},
		{name: "the oldest in the future", forge: pairs(func(p *wire.Pair) { p.Number, p.Oldest = 50, 50 }, send), counter: drops, lost: true},
		{name: "the oldest above the number", forge: pairs(func(p *wire.Pair) { p.Oldest = 4 }, send), refused: true},
		{name: "items left out", forge: pairs(func(p *wire.Pair) { p.FirstItem = 1 << 60 }, send), counter: drops, lost: true},
		{name: "items again", forge: pairs(func(p *wire.Pair) { p.FirstItem = 1 }, send), counter: drops, lost: true},
		{name: "a question", forge: pairs(nothing), counter: func(s *PairStats) uint64 { return s.AcksSent }},
		{name: "an item of an unknown kind", forge: pairs(nothing, wire.Item{Kind: 14}), counter: refused, taken: true, lost: true},
		{name: "a cluster's transfer", forge: pairs(nothing, wire.Item{Kind: 10}), counter: refused, taken: true, lost: true},
		{name: "a reply on the channel of in-boxes", forge: pairs(nothing, wire.Item{Kind: wire.ItemReply, Call: 1}), counter: refused, taken: true, lost: true},
		{name: "a queue's item on the channel of in-boxes", forge: pairs(nothing, wire.Item{Kind: wire.ItemQueue, Name: []byte("q")}), counter: refused, taken: true, lost: true},
		{name: "fragments with a hole", forge: pairs(nothing, part(1, 0, 10, 30), part(1, 20, 10, 30)), counter: refused, taken: true, lost: true},
		{name: "fragments of two sizes", forge: pairs(nothing, part(1, 0, 10, 30), part(1, 10, 10, 20)), counter: refused, taken: true, lost: true},
		{name: "fragments of two calls", forge: pairs(nothing, part(1, 0, 10, 20), part(2, 10, 10, 20)), counter: refused, taken: true, lost: true},
		{name: "the end of a message without its beginning", forge: pairs(nothing, part(1, 10, 10, 20)), counter: refused, taken: true, lost: true},
		{name: "a message of 4 GB", forge: pairs(nothing, part(1, 0, 10, math.MaxInt32), part(1, math.MaxInt32-10, 10, math.MaxInt32)), counter: refused, taken: true, lost: true},
		{name: "a fragment that lies outside", forge: pairs(nothing, part(1, 15, 10, 20)), refused: true},
		{name: "an acknowledgement of another session", forge: acks(func(k *wire.PairAck) { k.Session = 77 }), counter: drops},
		{name: "an acknowledgement from the future", forge: acks(func(k *wire.PairAck) { k.Next = 1000; k.Limit = 1000 }), counter: drops},
		{name: "taken in the future", forge: acks(func(k *wire.PairAck) { k.Taken = 1000 }), counter: drops},
		{name: "held in the future, and a delay of an hour", forge: acks(func(k *wire.PairAck) { k.Held, k.Delay = math.MaxUint64, math.MaxUint32 })},
		{name: "a limit below what is sent", forge: acks(func(k *wire.PairAck) { k.Limit = 3 })},
		{name: "a limit that is none", forge: acks(func(k *wire.PairAck) { k.Limit = math.MaxUint64 })},
		{name: "refused that is not ascending", forge: acks(func(k *wire.PairAck) {
			k.Refused = k.Refused.Append(wire.Refusal{Item: 2, Reason: 1}).Append(wire.Refusal{Item: 1, Reason: 1})
		}), refused: true},
		{name: "refused without a reason", forge: acks(func(k *wire.PairAck) { k.Refused = k.Refused.Append(wire.Refusal{Item: 2}) }), refused: true},
		{name: "refused of an odd length", forge: acks(func(k *wire.PairAck) { k.Refused = make([]byte, 13) }), refused: true},
		{name: "a dead session", forge: acks(func(k *wire.PairAck) { k.Dead = true }), counter: func(s *PairStats) uint64 { return s.SessionsDead }, lost: true},
		{name: "a dead session, of a far one", forge: acks(func(k *wire.PairAck) { k.Dead, k.Taken = true, math.MaxUint64 }), counter: func(s *PairStats) uint64 { return s.SessionsDead }, lost: true},
		{name: "a reply that nobody asked for", forge: pairs(func(p *wire.Pair) { p.Channel, p.Number, p.Oldest, p.FirstItem, p.Known = 0, 1, 1, 1, 1 }, wire.Item{Kind: wire.ItemReply, Call: 12345}),
			counter: func(s *PairStats) uint64 { return s.RepliesUnasked }, taken: true, lost: true},
		{name: "a result that nobody asked for", forge: pairs(func(p *wire.Pair) { p.Channel, p.Number, p.Oldest, p.FirstItem, p.Known = 0, 1, 1, 1, 1 }, wire.Item{Kind: wire.ItemResult, Call: 12345, Attempt: 1}),
			counter: func(s *PairStats) uint64 { return s.RepliesUnasked }, taken: true, lost: true},
		{name: "a cancel of nothing", forge: pairs(func(p *wire.Pair) { p.Channel, p.Number, p.Oldest, p.FirstItem, p.Known = 2, 1, 1, 1, 1 }, wire.Item{Kind: wire.ItemCancel, Call: 12345}), taken: true, lost: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newPairRig(t, 2, 256)
			took := 0
			for _, m := range r.m {
				m.p.HandleInbox("in", m)
				m.take = func(i *Item) (Verdict, wire.RefusalReason) {
					if took++; i.Wanted {
						m.p.Reply(r.now, i.From, i.Call, i.Kind, i.Payload)
					}
					return Take, 0
				}
			}
			var ends []End
			for _, m := range r.m {
				m.ended = func(e *End) { ends = append(ends, *e) }
			}
			for range 2 {
				r.m[a].p.Send(r.now, r.call(a, b, "in", nil))
				r.exchange()
				r.m[b].p.Send(r.now, r.call(b, a, "in", nil))
				r.exchange()
			}
			if len(ends) != 4 {
				t.Fatalf("%d calls have ended", len(ends))
			}
			ends, took = nil, 0
			before := r.m[b].p.pairs.stats
			for range 20 {
				if stepped := test.forge(r); stepped == test.refused {
					t.Fatalf("the parser took it: %t", stepped)
				}
			}
			r.pass(3*time.Millisecond, time.Millisecond)
			if held := r.m[b].p.pairs.held; held > 1 {
				t.Errorf("%d buffers are held", held)
			}
			if after := r.m[b].p.pairs.stats; test.counter != nil && test.counter(&after) <= test.counter(&before) {
				t.Errorf("it is not counted: %+v", after)
			}
			if !test.taken && took > 0 {
				t.Error("it came to the handler")
			}
			// The channel goes on, both ways.
			for i := range 6 {
				r.m[a].p.Send(r.now, r.call(a, b, "in", nil))
				r.pass(300*time.Millisecond, time.Millisecond)
				r.m[b].p.Request(r.now, r.call(b, a, "in", []byte("x")))
				r.pass(300*time.Millisecond, time.Millisecond)
				if len(ends) < 2*i+2 {
					t.Fatalf("%d calls of %d have ended: %+v", len(ends), 2*i+2, r.m[a].p.pairs.stats)
				}
			}
			bad := 0
			for i, e := range ends {
				if e.Why == Answered {
					continue
				}
				if bad++; i >= 8 {
					t.Errorf("call %d of %d: %+v", i, len(ends), e)
				}
			}
			if bad > 0 && !test.lost {
				t.Errorf("%d calls failed: %+v", bad, ends)
			}
			r.idle()
		})
	}
}

// A Pair of one that is no member leaves nothing behind, and is not answered.
func TestPairStranger(t *testing.T) {
	r := newRig(t, 2)
	a := r.members[0]
	before := len(a.sent)
	for i := range 100 {
		r.forge(a, wire.MemberID{200, byte(i)}, 0, 77, func(b []byte) []byte {
			return pairFrame(b, wire.Pair{To: a.id(), Session: 1, Channel: 1, Number: 1, Oldest: 1, Known: 1, FirstItem: 1}, wire.Item{Kind: wire.ItemSend, Payload: []byte("x")})
		})
	}
	r.run(50 * time.Millisecond)
	s := a.Stats()
	if s.PairsOpen != 0 || s.AcksSent != 0 || s.Drops[DropUnknown] == 0 {
		t.Errorf("%d pairs, %d acknowledgements, %d of unknown members", s.PairsOpen, s.AcksSent, s.Drops[DropUnknown])
	}
	probes := 0
	for _, k := range a.sent[before:] {
		if k == wire.FrameProbe {
			probes++
		}
	}
	if probes > MaxQuestions {
		t.Errorf("%d probes", probes)
	}
}

// A result for an item that its member was never handed says nothing.
func TestPairForeignResult(t *testing.T) {
	r := newPairRig(t, 3, 256)
	a, b := r.m[0], r.m[1]
	b.begin = func(*Work) {}
	b.p.HandleQueue(r.now, "q", b, 1, 10, 1<<20)
	b.p.Consume(r.now, "q", 1, 0)
	r.announce()
	c := r.call(0, 0, "q", nil)
	a.p.Enqueue(r.now, c)
	a.p.RequestQueue(r.now, r.call(0, 0, "q", nil))
	r.exchange()
	p := wire.Pair{To: a.p.cfg.Self, Session: 1, Channel: 0, Number: 1, Oldest: 1, Known: 1, FirstItem: 1}
	r.forge(0, 2, func(d []byte) []byte {
		return pairFrame(d, p, wire.Item{Kind: wire.ItemResult, Call: c.Number, Attempt: 1}, wire.Item{Kind: wire.ItemReply, Call: c.Number + 1})
	})
	if a.ends != 0 || a.p.pairs.stats.RepliesUnasked != 2 {
		t.Errorf("%d ends, %d unasked", a.ends, a.p.pairs.stats.RepliesUnasked)
	}
}

// FuzzPairs steps the core of two members with forged frames, and with bytes, amid their own calls. Nothing panics
// or grows beyond its bound, and both can talk afterwards.
func FuzzPairs(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13})
	f.Add(bytes.Repeat([]byte{4, 0, 1, 1, 1, 1, 1, 3, 9}, 20))
	f.Add(bytes.Repeat([]byte{5, 1, 1, 0, 2, 0, 2, 40, 0, 0}, 20))
	f.Add(bytes.Repeat([]byte{0, 9, 7, 3, 4, 200, 17, 5, 250, 3, 6, 8, 2}, 30))
	f.Fuzz(fuzzPairs)
}

// fuzzInput is bytes that decide what happens.
type fuzzInput struct{ rest []byte }

func (in *fuzzInput) byte() byte {
	if len(in.rest) == 0 {
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

// near draws a number: small ones mostly.
func (in *fuzzInput) near(n uint64) uint64 {
	switch b := in.byte(); {
	case b < 200:
		return n + uint64(b%8) - min(n, 3)
	case b < 250:
		return n + uint64(b)<<(b%56)
	default:
		return math.MaxUint64 - uint64(b-250)
	}
}

func fuzzPairs(t *testing.T, data []byte) {
	if len(data) > 2000 {
		return
	}
	r := newPairRig(t, 2, 64)
	in := &fuzzInput{data}
	var works []struct {
		m *duoMember
		Work
	}
	for _, m := range r.m {
		m.p.HandleInbox("in", m)
		m.take = func(i *Item) (Verdict, wire.RefusalReason) {
			if len(i.Payload)%7 == 3 && len(in.rest) > 0 {
				return Wait, 0
			}
			if i.Wanted {
				_ = m.p.Reply(r.now, i.From, i.Call, i.Kind, i.Payload)
			}
			return Take, 0
		}
		m.begin = func(w *Work) {
			works = append(works, struct {
				m *duoMember
				Work
			}{m, *w})
		}
		m.p.HandleQueue(r.now, "q", m, 2, 4, 1000)
		m.p.Consume(r.now, "q", 2, 0)
	}
	r.announce()
	finish := func() {
		for _, w := range works {
			w.m.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
		}
		works = nil
	}
	sessions := func(from int) uint64 { return uint64(r.m[from].p.pairs.sessions) }
	for len(in.rest) > 0 {
		from := int(in.byte() & 1)
		to := 1 - from
		m, at := r.m[from], r.m[to]
		switch in.byte() % 12 {
		case 0:
			m.p.Send(r.now, r.call(from, to, "in", make([]byte, int(in.byte())*20)))
		case 1:
			m.p.Request(r.now, r.call(from, to, "in", make([]byte, in.byte())))
		case 2:
			m.p.Enqueue(r.now, r.call(from, from, "q", make([]byte, in.byte())))
		case 3:
			m.p.Cancel(r.now, m.number-uint64(in.byte()%4))
		case 4:
			r.exchange()
		case 5:
			r.pass(time.Duration(in.byte())*100*time.Microsecond, time.Millisecond)
		case 6:
			finish()
		case 7:
			r.forgets(to, from)
		case 8, 9:
			p := wire.Pair{To: at.p.cfg.Self, Session: uint32(in.near(sessions(from))), ToIncarnation: uint32(in.byte() & 1), Channel: wire.Channel(in.byte() % 4),
				AckAtOnce: in.byte()&1 == 0, Number: in.near(3), Oldest: in.near(1), Known: in.near(1), FirstItem: in.near(3)}
			var items []wire.Item
			for range in.byte() % 4 {
				i := wire.Item{Kind: wire.ItemKind(in.byte() & 15), PayloadKind: wire.Kind(in.byte() & 15), Call: in.near(m.number), Attempt: uint32(in.near(1)),
					Result: wire.Result(in.byte() & 7), Backlog: uint32(in.near(1)), Service: uint32(in.near(1)), Payload: make([]byte, in.byte())}
				if i.Kind.Named() {
					i.Name = []byte([]string{"in", "q", "none"}[in.byte()%3])
				}
				if in.byte()&3 == 0 && len(i.Payload) > 0 {
					i.Fragment, i.Offset, i.Size = true, uint32(in.near(0)), uint32(in.near(300))
				}
				items = append(items, i)
			}
			r.forge(to, from, func(b []byte) []byte { return pairFrame(b, p, items...) })
		case 10:
			a := wire.PairAck{To: at.p.cfg.Self, Session: uint32(in.near(sessions(to))), Channel: wire.Channel(in.byte() % 4), Dead: in.byte()&15 == 0,
				Next: in.near(3), Held: in.near(0), Taken: in.near(3), Limit: in.near(20), Delay: uint32(in.near(0))}
			for range in.byte() % 4 {
				a.Refused = a.Refused.Append(wire.Refusal{Item: in.near(2), Reason: wire.RefusalReason(in.byte() % 7)})
			}
			r.forge(to, from, func(b []byte) []byte { return wire.AppendPairAck(b, &a) })
		case 11: // bytes
			n := min(int(in.byte()), len(in.rest))
			b := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: m.p.cfg.Self, Stream: Stream})
			b = append(b, in.rest[:n]...)
			in.rest = in.rest[n:]
			wire.Seal(b)
			r.inject(at, m.p.cfg.Self, b)
		}
		for i, m := range r.m {
			if x := m.p.pairs; x.held > x.total()+1 || x.kept > x.total()/2+1 || x.parts.out > maxParts*x.parts.size || len(x.all) > 1 {
				t.Fatalf("member %d holds %d buffers, %d of them kept, %d bytes of parts, %d pairs", i, x.held, x.kept, x.parts.out, len(x.all))
			}
		}
	}
	for range 40 {
		r.pass(100*time.Millisecond, 5*time.Millisecond)
		finish()
	}
	// Sessions that forgeries have spoilt are over after a call or two.
	for from := range r.m {
		m, good := r.m[from], false
		m.ended = func(e *End) { good = e.Why == Answered }
		for range 4 {
			m.p.Request(r.now, r.call(from, 1-from, "in", []byte("x")))
			r.pass(2*time.Second, 10*time.Millisecond)
		}
		if !good {
			t.Fatalf("member %d reaches the other one no more: %+v", from, m.p.pairs.stats)
		}
	}
	// A forged acknowledgement may have said of a queue item that it was taken: its call waits for its ctx.
	for _, m := range r.m {
		for n := range m.number + 1 {
			m.p.Cancel(r.now, n)
		}
	}
	r.pass(2*time.Second, 10*time.Millisecond)
	for i, m := range r.m {
		if x := m.p.pairs; x.held != 0 || m.pool.Out() != 0 {
			t.Fatalf("member %d holds %d buffers, %d are out", i, x.held, m.pool.Out())
		}
		m.p.Release()
		if m.pool.Out() != 0 {
			t.Fatalf("member %d: %d buffers are out after the end", i, m.pool.Out())
		}
	}
}

// Whoever sends in a member's name and hits the session and the number that is due puts something else into the place
// of what the member sends next. Nothing tells the two apart without keys: a request that goes so waits until its
// caller gives it up. What follows is answered.
func TestPairForgedNext(t *testing.T) {
	for _, test := range []struct {
		name     string
		at, from int
		channel  wire.Channel
		item     wire.Item
	}{
		{"instead of the request", 0, 1, wire.ChannelInboxes, wire.Item{Kind: wire.ItemSend, Name: []byte("in")}},
		{"a part instead of the request", 0, 1, wire.ChannelInboxes, wire.Item{Kind: wire.ItemSend, Call: 7, Fragment: true, Size: 1000, Payload: make([]byte, 50)}},
		{"instead of the reply", 1, 0, wire.ChannelAnswers, wire.Item{Kind: wire.ItemReply, Call: 7}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newPairRig(t, 2, 256)
			var ends []End
			for _, m := range r.m {
				m.p.HandleInbox("in", m)
				m.take = func(i *Item) (Verdict, wire.RefusalReason) {
					if i.Wanted {
						m.p.Reply(r.now, i.From, i.Call, i.Kind, i.Payload)
					}
					return Take, 0
				}
				m.ended = func(e *End) { ends = append(ends, *e) }
			}
			request := func() (number uint64) {
				c := r.call(1, 0, "in", nil)
				r.m[1].p.Request(r.now, c)
				r.pass(2*time.Second, 10*time.Millisecond)
				return c.Number
			}
			request()
			to := r.m[test.at].p.cfg.Self
			r.forge(test.at, test.from, func(d []byte) []byte {
				return pairFrame(d, wire.Pair{To: to, Session: 1, Channel: test.channel, Number: 2, Oldest: 2, Known: 1, FirstItem: 2}, test.item)
			})
			swallowed := request()
			if len(ends) != 1 {
				t.Fatalf("%d calls have ended: %+v", len(ends), ends)
			}
			r.m[1].p.Cancel(r.now, swallowed)
			if len(ends) != 2 || !ends[1].Unknown {
				t.Fatalf("given up, it ends so: %+v", ends)
			}
			request()
			if len(ends) != 3 || ends[2].Why != Answered {
				t.Errorf("the next one ends so: %+v", ends)
			}
			r.idle()
		})
	}
}
