package nack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// forge seals a datagram with one frame.
func forge(h wire.Header, frame func([]byte) []byte) []byte {
	b := frame(wire.AppendHeader(nil, h))
	wire.Seal(b)
	return b
}

func forgeData(h wire.Header, number, message uint64, size int) []byte {
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, h, number, message)
	w.Add("prices.eu", 0, make([]byte, size))
	off, n := w.Finish()
	return mem[off : off+n]
}

func forgePart(h wire.Header, number, message uint64, offset, size uint32) []byte {
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, h, number, message)
	w.AddFragment("prices.eu", 0, offset, size, make([]byte, 100))
	off, n := w.Finish()
	return mem[off : off+n]
}

// Refused frames change nothing (SE-3), at every bound (SE-12).
func TestForgeriesAreRefused(t *testing.T) {
	net, sender, s := pair(t, 1, 1)
	net.offer(sender, s, 10, 64)
	net.run(time.Millisecond)
	r := net.nodes[1]
	ours, theirs := sender.p.header(testStream), r.p.header(testStream)
	older := ours
	older.Incarnation = 0
	next := s.next
	for _, c := range []struct {
		name string
		to   *node
		data []byte
		err  error
	}{
		{"a datagram again", r, forgeData(ours, 1, 1, 20), ErrStale},
		{"far ahead", r, forgeData(ours, next+1000000, 20, 20), ErrWindow},
		{"the highest number", r, forgeData(ours, math.MaxUint64-1, 11, 20), ErrWindow},
		{"a message of the past", r, forgeData(ours, next, 3, 20), ErrImplausible},
		{"a message of the future", r, forgeData(ours, next, 12, 20), ErrImplausible},
		{"a message far in the future", r, forgeData(ours, next+3, math.MaxUint64-1, 20), ErrImplausible},
		{"a part without its beginning", r, forgePart(ours, next, 11, 500, 5000), ErrImplausible},
		{"an earlier incarnation", r, forgeData(older, next, 11, 20), ErrIncarnation},
		{"a heartbeat of the past", r, forge(ours, func(b []byte) []byte {
			return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 0, FirstMessage: 1, NextMessage: 1, SentAt: 1})
		}), ErrStale},
		{"a status beyond what was sent", sender, forge(theirs, func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: sender.id, OriginIncarnation: 1, Next: 1 << 40, Highest: 1 << 40, Limit: 1 << 41})
		}), ErrImplausible},
		{"a status of another incarnation", sender, forge(theirs, func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: sender.id, OriginIncarnation: 7, Next: 1, Highest: 1, Limit: 1})
		}), ErrIncarnation},
		{"a NAK for what was never sent", sender, forge(theirs, func(b []byte) []byte {
			return wire.AppendNak(b, sender.id, 1, []wire.Gap{{First: 1 << 40, Count: math.MaxUint32}}, nil)
		}), ErrNotSent},
		{"a NAK for a stream that is not there", sender, forge(r.p.header(wire.NewStreamID(wire.NACK, 9)), func(b []byte) []byte {
			return wire.AppendNak(b, sender.id, 1, []wire.Gap{{First: 1, Count: 1}}, nil)
		}), ErrNotSent},
		{"a protocol that is not run", r, forgeData(sender.p.header(wire.NewStreamID(wire.Totem, 0)), 1, 1, 20), ErrProtocol},
	} {
		before := state(c.to)
		drops := c.to.p.Stats().Drops
		err := net.inject(c.to, 99, c.data)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if after := state(c.to); after != before {
			t.Errorf("%s: it changed something:\n%s\n%s", c.name, before, after)
		}
		sum := 0
		for i, n := range c.to.p.Stats().Drops {
			sum += int(n - drops[i])
		}
		if sum != 1 {
			t.Errorf("%s: counted %d times", c.name, sum)
		}
	}
	net.offer(sender, s, 10, 64)
	if !net.until(time.Second, func() bool { return complete(net, 20) }) {
		t.Error("the stream does not go on")
	}
	net.done()
}

// state is all of a member's protocol state but counters, as text.
func state(n *node) string {
	p := *n.p
	p.stats, p.scratch, p.delivery, p.loss, p.cfg = Stats{}, wire.Datagram{}, core.Delivery{}, core.Loss{}, Config{}
	out := fmt.Sprintf("%d %d %d %v %v %v", p.held, p.next, len(p.control), p.at, p.armed, p.naks)
	for _, s := range p.streams {
		c := *s
		c.p, c.parts.bytes, c.status.arrived = nil, nil, 0 // what comes twice arrives twice
		out += fmt.Sprintf("\n%+v", c)
	}
	for _, s := range p.senders {
		out += fmt.Sprintf("\n%d %d %d %d %+v %+v", s.first, s.sent, s.next, s.message, s.repairs.n, s.receivers)
	}
	return out
}

// Forgeries that look like the truth have a bounded effect on the stream that they
// name, and none on others.
func TestForgeriesAreBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(net *network, r, victim *node, h wire.Header, i int)
		heals  bool // the victim's stream goes on without a loss
	}{
		{"a heartbeat far ahead, once", func(net *network, r, _ *node, h wire.Header, i int) {
			if i == 0 {
				net.inject(r, 99, forge(h, func(b []byte) []byte {
					return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1 << 62, Last: 1 << 62, FirstMessage: 1 << 62, NextMessage: 1 << 62, SentAt: 5})
				}))
			}
		}, true},
		{"heartbeats of datagrams that do not exist", func(net *network, r, _ *node, h wire.Header, i int) {
			net.inject(r, 99, forge(h, func(b []byte) []byte {
				return wire.AppendHeartbeat(b, wire.Heartbeat{First: 1, Last: 1 << 62, FirstMessage: 1, NextMessage: 1 << 62, SentAt: uint64(i), Receivers: math.MaxUint32, RoundTrip: math.MaxUint32, WantStatus: true})
			}))
		}, true},
		{"streams without end", func(net *network, r, _ *node, h wire.Header, i int) {
			binary.LittleEndian.PutUint64(h.Transmitter[8:], uint64(i)+1)
			net.inject(r, 99, forgeData(h, uint64(i)+1, 1, 20))
			net.inject(r, 99, forgeData(h, uint64(i)+3, 3, 1000))
			net.inject(r, 99, forge(h, func(b []byte) []byte {
				return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Lanes: 1})
			}))
		}, true},
		{"receivers without end", func(net *network, _, victim *node, h wire.Header, i int) {
			binary.LittleEndian.PutUint64(h.Transmitter[8:], uint64(i)+1)
			net.inject(victim, 99, forge(h, func(b []byte) []byte {
				return wire.AppendStatus(b, wire.Status{Origin: victim.id, OriginIncarnation: 1, Next: 1, Highest: 1, Limit: 1, Room: 1})
			}))
		}, true},
		{"NAKs for everything", func(net *network, r, victim *node, _ wire.Header, i int) {
			h := r.p.header(testStream)
			net.inject(victim, 99, forge(h, func(b []byte) []byte {
				all := []wire.Gap{{First: 1, Count: math.MaxUint32}}
				return wire.AppendNak(b, victim.id, 1, all, all)
			}))
		}, true},
		{"a farewell", func(net *network, r, _ *node, h wire.Header, _ int) {
			net.inject(r, 99, forge(h, func(b []byte) []byte {
				return wire.AppendLeave(b, wire.Leave{HasLast: true, Last: 100, NextMessage: 500})
			}))
		}, false},
		{"a new incarnation", func(net *network, r, _ *node, h wire.Header, _ int) {
			h.Incarnation = math.MaxUint32
			net.inject(r, 99, forgeData(h, 1, 1, 20))
		}, false},
		{"datagrams of the window, with nothing before them", func(net *network, r, _ *node, h wire.Header, i int) {
			for n := range uint64(200) {
				net.inject(r, 99, forgeData(h, 5+n, 30+n, 1000))
			}
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			net := newNetwork(t, 1)
			net.hostile = true
			victim, other, r := net.add(), net.add(), net.add()
			// What is forged may well be delivered on the stream that it names.
			check := &node{net: net, endpoint: 3, streams: map[string]*heard{}}
			r.p.cfg.Sink = only{other.id, check}
			vs, os := net.open(victim, testStream), net.open(other, testStream)
			net.run(60 * time.Millisecond)
			net.offer(victim, vs, 10, 64)
			net.run(time.Millisecond)
			sent := 0
			for i := range 2000 {
				c.attack(net, r, victim, victim.p.header(testStream), i)
				if i%20 == 0 {
					sent += net.offer(other, os, 3, 64)
					net.offer(victim, vs, 1, 64)
				}
				net.turn(victim)
				net.turn(r)
				net.run(20 * time.Microsecond)
			}
			if n := len(r.p.streams); n > defaultStreams {
				t.Errorf("%d streams", n)
			}
			if n := len(vs.receivers); n > defaultReceivers {
				t.Errorf("%d receivers", n)
			}
			if n := net.sent[wire.FrameNak]; n > 2000 {
				t.Errorf("%d NAKs", n)
			}
			ok := net.until(20*time.Millisecond, func() bool { return check.stream(other.id, testStream).delivered == sent })
			if h := check.stream(other.id, testStream); !ok || len(h.lost) > 0 {
				t.Errorf("the other stream: %d of %d delivered, lost %v", h.delivered, sent, h.lost)
			}
			if c.heals {
				net.run(1500 * time.Millisecond)
				net.offer(victim, vs, 1, 64)
				net.run(300 * time.Millisecond)
				if s := r.p.known[streamKey{victim.id, testStream}]; s == nil || s.message != vs.message || s.due != vs.next {
					t.Errorf("the victim's stream did not heal: %+v, sender at %d, message %d", s, vs.next, vs.message)
				}
				if n := vs.Receivers(); n != 2 {
					t.Errorf("%d receivers left", n)
				}
			}
			net.done()
		})
	}
}

// Reports that lie about what arrived slow a stream no further than to rateMin, and only while their receiver is waited
// for; meanwhile that one is named. Reports of a member that nobody knows are TestReportsOfNobody's.
func TestReportsThatLie(t *testing.T) {
	type lie func(i int, s *Sender) wire.Status
	honest := func(s *Sender) wire.Status { // but for what arrived
		return wire.Status{Next: s.sent, Highest: s.sent, Limit: s.sent + 1000, Room: 1 << 30}
	}
	for _, c := range []struct {
		name  string
		lie   lie
		slows bool // the stream, while it is told
	}{
		{"nothing arrives", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = 1, uint64(i+1)*1e6
			return st
		}, true},
		{"a tenth arrives", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = 1+s.pace.sent/10, uint64(i+1)*1e6
			return st
		}, true},
		{"2^63 bytes arrive", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = uint64(i%2)<<63+uint64(i), uint64(i+1)*1e6
			return st
		}, false},
		{"no time passes", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = uint64(i), 7
			return st
		}, false},
		{"time goes backwards", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = uint64(i), math.MaxUint64-uint64(i)*1e6
			return st
		}, false},
		{"time leaps", func(i int, s *Sender) wire.Status {
			st := honest(s)
			st.Arrived, st.Clock = uint64(i), uint64(i)<<60+1
			return st
		}, false},
		{"always behind", func(i int, s *Sender) wire.Status {
			return wire.Status{Next: s.first, Highest: s.first + 1, Limit: s.first + 1, Room: 1, Arrived: 1, Clock: uint64(i+1) * 1e6}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			net, sender, s := pair(t, 1, 1)
			net.hostile = true
			honest := net.nodes[1]
			h := honest.p.header(testStream)
			h.Transmitter = wire.MemberID{66}
			rate := func(d time.Duration, lies bool) float64 {
				before, end := honest.stream(sender.id, testStream).delivered, net.now.Add(d)
				for i := 0; net.now < end; i++ {
					if lies {
						st := c.lie(i, s)
						st.Origin, st.OriginIncarnation, st.Echo = sender.id, 1, lastBeat(s)
						st.Held = uint32(max(net.now.Sub(clock.Time(st.Echo))-10*time.Microsecond, 0))
						if err := net.inject(sender, 99, forge(h, func(b []byte) []byte { return wire.AppendStatus(b, st) })); err != nil {
							t.Fatal(err)
						}
					}
					net.offer(sender, s, 40, 1000)
					net.run(time.Millisecond)
				}
				return float64(honest.stream(sender.id, testStream).delivered-before) / d.Seconds()
			}
			free := rate(200*time.Millisecond, false)
			told := rate(400*time.Millisecond, true)
			l := s.Limited(net.now)
			t.Logf("%.0f messages/s, %.0f while it lies, limited by %+v, pace %.0f", free, told, l, s.pace.rate)
			switch {
			case !c.slows:
				if told < 0.9*free {
					t.Errorf("%.0f messages/s, %.0f while it lies", free, told)
				}
			case l.By != core.ByApplication && l.Member != h.Transmitter:
				t.Errorf("limited by %+v, not by the one that lies", l)
			}
			if r := s.pace.rate; r != 0 && !(r >= rateMin) {
				t.Errorf("a pace of %v bytes/s", r)
			}
			net.run(2 * time.Second) // it is silent, and not waited for any more
			if s.findReceiver(h.Transmitter) != nil {
				t.Fatal("it is still waited for")
			}
			if after := rate(200*time.Millisecond, false); after < 0.9*free || s.pace.rate != 0 {
				t.Errorf("%.0f messages/s before, %.0f after it, pace %v", free, after, s.pace.rate)
			}
			net.done()
		})
	}
}

// Forged reports of members that nobody knows, in a flood, change nothing for the stream that they lie to: neither how much
// gets through, nor how late it is, nor how many receivers there are; and a late joiner is found among them.
func TestReportsOfNobody(t *testing.T) {
	type run struct {
		delivered       int
		mean, p99, last time.Duration // of the delays
		beats           int
	}
	type load struct {
		name        string
		protocol    wire.Protocol
		count, size int // each millisecond
		loss        float64
	}
	loads := []load{{"lossy", wire.NACK, 50, 1000, 0.01}, {"full", wire.NACK, 100, 1000, 0}, {"Hybrid", wire.Hybrid, 50, 1000, 0.01}, {"slow", wire.NACK, 1, 100, 0.01}}
	if testing.Short() {
		loads = loads[:1] // make sim has all of them
	}
	for _, load := range loads {
		measure := func(t *testing.T, lie func(i int, s *Sender) wire.Status, ids uint64) (r run) {
			net, sender, s := pairOf(t, 3, load.protocol)
			net.hostile = true
			net.faults.loss = load.loss
			receiver := net.nodes[1]
			net.onSend = func(n *node, _ buf.Send, d *wire.Datagram) {
				if n == sender && d.Frames()[0].Kind == wire.FrameHeartbeat {
					r.beats++
				}
			}
			var at []clock.Time // when each message was offered
			var delays []time.Duration
			net.nodes[1].refuse = func(m *core.Delivery) bool {
				delays = append(delays, net.now.Sub(at[m.Sequence-1]))
				return false
			}
			h, i := receiver.p.header(s.ID()), 0
			flood := func() {
				if i++; lie == nil {
					return
				}
				binary.LittleEndian.PutUint64(h.Transmitter[8:], uint64(i)%ids+1)
				st := lie(i, s)
				st.Origin, st.OriginIncarnation = sender.id, 1
				_ = net.inject(sender, 99, forge(h, func(b []byte) []byte { return wire.AppendStatus(b, st) }))
				net.turn(sender)
			}
			lasts := 300 * time.Millisecond
			if load.count == 1 {
				lasts *= 10 // the few messages that are lost make the mean
			}
			for end := net.now.Add(lasts); net.now < end; net.run(50 * time.Microsecond) {
				if i%20 == 0 {
					for range load.count {
						if net.offer(sender, s, 1, load.size) == 1 {
							at = append(at, net.now)
						}
					}
				}
				flood()
				if s.Receivers() != 2 {
					t.Fatalf("%d receivers", s.Receivers())
				}
			}
			receiver.refuse = nil
			late := net.add()
			if !net.until(300*time.Millisecond, func() bool {
				flood()
				net.offer(sender, s, 1, load.size)
				r := s.findReceiver(late.id)
				return r != nil && r.waits() && s.Receivers() == 3
			}) {
				t.Error("a late joiner is not found")
			}
			slices.Sort(delays)
			sum := time.Duration(0)
			for _, v := range delays {
				sum += v
			}
			r.delivered, r.mean, r.p99, r.last = len(delays), sum/time.Duration(len(delays)), delays[len(delays)*99/100], delays[len(delays)-1]
			net.done()
			return r
		}
		free := measure(t, nil, 1)
		t.Logf("%s, without: %+v", load.name, free)
		for _, c := range []struct {
			name string
			ids  uint64
			lie  func(i int, s *Sender) wire.Status
		}{
			{"no room, nothing has come", math.MaxUint64, func(int, *Sender) wire.Status {
				return wire.Status{Next: 1, Highest: 1, Limit: 1, Room: 1}
			}},
			{"the same few, guessing echoes", 7, func(i int, s *Sender) wire.Status {
				return wire.Status{
					Next: s.first, Highest: s.first, Limit: s.first, Room: 1, Missed: uint64(i) * 10, Arrived: 1, Clock: uint64(i) * 1e6,
					Echo: uint64(s.beat.last) + uint64(i)%999 + 1,
				}
			}},
			{"an old echo", math.MaxUint64, func(i int, s *Sender) wire.Status {
				return wire.Status{Next: s.sent, Highest: s.sent, Limit: s.sent, Room: 1, Echo: 1}
			}},
		} {
			t.Run(load.name+" "+c.name, func(t *testing.T) {
				told := measure(t, c.lie, c.ids)
				t.Logf("%+v", told)
				if told.delivered < free.delivered*99/100 {
					t.Errorf("%d messages, %d without them", told.delivered, free.delivered)
				}
				if told.mean > free.mean*5/4 {
					t.Errorf("a mean delay of %v, without them %v", told.mean, free.mean)
				}
				if told.beats > free.beats+2*newcomersRate+newcomersDepth {
					t.Errorf("%d heartbeats, without them %d", told.beats, free.beats)
				}
			})
		}
	}
}

// only checks one member's streams and takes the rest as it comes.
type only struct {
	from wire.MemberID
	sink *node
}

func (o only) Deliver(m *core.Delivery) bool { return m.From != o.from || o.sink.Deliver(m) }
func (o only) Lost(l *core.Loss) {
	if l.From == o.from {
		o.sink.Lost(l)
	}
}

// FuzzCore feeds a member sequences of events: honest ones, forged frames with every kind of
// number, pauses, silence and farewells. Nothing panics, messages stay in order with every gap
// told, and every buffer comes back.
func FuzzCore(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x05\x02\x09\x03\xff\x04\x01\x05\x01\x06\x02"))
	f.Add([]byte{7, 1, 0, 3, 8, 4, 2, 5, 1, 200, 9, 9, 3, 3, 1, 250, 0, 40, 10, 0, 1, 255})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 160 {
			in = in[:160]
		}
		net := newNetwork(t, 1)
		net.faults.loss, net.hostile = 0.05, true
		small := func(c *Config) { c.Window, c.MaxStreams, c.MaxReceivers, c.MaxMessageSize = 20*1472, 4, 4, 50000 }
		a, b := net.add(small), net.add(small)
		order := &inOrder{t: t, next: map[string]uint64{}}
		b.p.cfg.Sink = order
		s := net.open(a, testStream)
		for i := 0; i+1 < len(in); i += 2 {
			op, x := in[i], uint64(in[i+1])
			h := a.p.header(testStream)
			if op&0x40 != 0 { // of another member
				h.Transmitter[15] = op >> 4
			}
			if op&0x80 != 0 { // a number at a bound
				x = []uint64{0, 1, math.MaxUint32, 1 << 32, 1 << 63, math.MaxUint64 - 2, math.MaxUint64 - 1, math.MaxUint64}[x%8]
			}
			var data []byte
			to := b
			n := s.Sent()
			switch op & 0x0f {
			case 0:
				net.offer(a, s, int(x%64), int(20+min(x, 255)*7))
				continue
			case 1:
				net.run(time.Duration(min(x, 255)) * 40 * time.Microsecond)
				continue
			case 2:
				net.run(time.Duration(min(x, 255)) * 10 * time.Millisecond)
				continue
			case 3:
				order.refuse = x%2 == 1
				net.turn(b)
				continue
			case 4:
				b.p.Forget(net.now, a.id, false)
				continue
			case 5:
				_ = s.Offer(net.now, "prices.eu", 0, payload(a.id, s.message, int(min(x, 255)*200)))
				continue
			case 6:
				data = forgeData(h, max(n+x%30-5, 1)&(math.MaxUint64>>1), max(s.message+x%40-5, 1)&(math.MaxUint64>>1), 40)
			case 7:
				data = forgePart(h, max(n+x%30-5, 1)&(math.MaxUint64>>1), max(s.message+x%40-5, 1)&(math.MaxUint64>>1), uint32(x)*100, uint32(x)*100+uint32(x%3)*5000+100)
			case 8:
				data = forge(h, func(b []byte) []byte {
					return wire.AppendHeartbeat(b, wire.Heartbeat{First: max(x, 1), Last: max(x, 1) + n, FirstMessage: max(x, 1), NextMessage: max(x, 1) + uint64(op), SentAt: x, Receivers: uint32(x), RoundTrip: uint32(x), WantStatus: op&0x20 != 0})
				})
			case 9:
				data = forge(h, func(b []byte) []byte {
					return wire.AppendLeave(b, wire.Leave{HasLast: op&0x20 != 0, Last: x, NextMessage: x + 1})
				})
			case 10:
				h.Incarnation = uint32(x)
				data = forge(h, func(b []byte) []byte {
					return wire.AppendStart(b, wire.Start{First: max(x, 1), FirstMessage: max(x, 1), Age: x, Lanes: 1})
				})
			case 11:
				to, h.Transmitter[14] = a, byte(x)
				data = forge(h, func(b []byte) []byte {
					return wire.AppendStatus(b, wire.Status{Origin: a.id, OriginIncarnation: 1, Next: max(x%(n+2), 1), Highest: max(x%(n+2), 1), Limit: max(x, n+2), Room: uint32(x), Echo: x})
				})
			case 12:
				to, h.Transmitter[14] = a, byte(x)
				g := []wire.Gap{{First: max(x, 1) & (math.MaxUint64 >> 1), Count: uint32(x) + 1}}
				data = forge(h, func(b []byte) []byte { return wire.AppendNak(b, a.id, 1, g, g) })
			case 13:
				a.down = !a.down
				continue
			default:
				data = in[i:]
			}
			_ = net.inject(to, buf.Endpoint(x), data)
			net.turn(to)
		}
		order.refuse = false
		net.run(8 * time.Second)
		if len(b.p.streams) > 4+4 || len(s.receivers) > 4 {
			t.Fatalf("%d streams, %d receivers", len(b.p.streams), len(s.receivers))
		}
		if len(b.p.paused) != 0 {
			t.Fatalf("%d streams still paused", len(b.p.paused))
		}
		net.done()
	})
}

// inOrder checks RM-3 and RM-4 whatever comes: a stream goes on where it was, or begins anew.
type inOrder struct {
	t      *testing.T
	refuse bool
	next   map[string]uint64
}

func (o *inOrder) at(from wire.MemberID, first, last uint64) {
	if last < first || last == math.MaxUint64 {
		o.t.Fatalf("messages %d..%d", first, last)
	}
	o.next[string(from[:])] = last + 1
}

func (o *inOrder) Deliver(m *core.Delivery) bool {
	if o.refuse {
		return false
	}
	o.at(m.From, m.Sequence, m.Sequence)
	return true
}

func (o *inOrder) Lost(l *core.Loss) { o.at(l.From, l.First, l.Last) }

// lastBeat is what a receiver of s would echo.
func lastBeat(s *Sender) uint64 { return s.newcomers.sent[(s.newcomers.n-1)%beatsRemembered] }
