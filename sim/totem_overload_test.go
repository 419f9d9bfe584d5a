package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// datagramful is the payload of a message that takes a datagram.
const datagramful = 1300

// queued is how many datagrams wait for the token at most while the application limits.
const queued = 256

// overload makes a member send as much as is taken, again and again, while on returns true.
func (m *RingMember) overload(on func() bool) {
	var next func()
	next = func() {
		for m.Alive() && on() && m.sendOf(datagramful, false) {
		}
		m.c.Net.After(200*time.Microsecond, next)
	}
	next()
}

func always() bool { return true }

// own is how long the messages of a process that were sent after from took to the delivery at their sender, sorted.
func own(l *check.RingLog, p check.Proc, from clock.Time) (list []time.Duration) {
	sent := map[uint64]clock.Time{}
	for i := range l.Records {
		switch r := &l.Records[i]; {
		case r.Kind == check.RingSent && r.Proc == p && r.At >= from:
			sent[r.Number] = r.At
		case r.Kind == check.RingDelivered && r.Proc == p && r.From == p:
			if at, ok := sent[r.Number]; ok {
				list = append(list, r.At.Sub(at))
			}
		}
	}
	slices.Sort(list)
	return list
}

// part is the element of a sorted list that so large a part of it is not above.
func part(l []time.Duration, of float64) time.Duration { return l[int(of*float64(len(l)-1))] }

// slowRing starts n members on a network on which a rotation takes them some milliseconds.
func slowRing(s *RingCluster, n int, loss float64) {
	s.Load.Every = -1
	s.Profile = totem.Tuned()
	s.Start(n, Faults{Delay: 300 * time.Microsecond, Loss: loss})
	s.Until(200 * time.Millisecond)
}

// All members send as fast as they can. A message waits for a few rotations, however many members there are, and
// each rotation carries what it carries at most, the same of each member.
func TestRingOverload(t *testing.T) {
	RunRings(t, 30, func(t *testing.T, s *RingCluster) {
		n := []int{3, 8, 16}[s.Seed%3]
		loss := []float64{0, 0.01}[s.Seed/3%2]
		slowRing(s, n, loss)
		for _, m := range s.Members {
			m.overload(always)
		}
		s.For(300 * time.Millisecond)
		from, before := s.Net.Now(), make([]totem.Stats, n)
		for i, m := range s.Members {
			before[i] = m.Protocol.Stats()
		}
		length := 200 * time.Millisecond
		s.For(length)
		all, rotations := uint64(0), s.Members[0].Protocol.Stats().Tokens-before[0].Tokens
		counts := make([]uint64, n)
		for i, m := range s.Members {
			counts[i] = m.Protocol.Stats().Datagrams - before[i].Datagrams
			all += counts[i]
		}
		rotation := length / time.Duration(rotations)
		most := min(s.Profile.Window, n*s.Profile.Personal)
		t.Logf("%d members, loss %v: a rotation takes %v and carries %.1f of %d datagrams", n, loss, rotation, float64(all)/float64(rotations), most)
		if float64(all) < 0.97*float64(most)*float64(rotations) {
			t.Error("the ring carries less than it could")
		}
		for i, m := range s.Members {
			l := own(s.Log, m.Proc, from)
			if p, q := part(l, 0.5), part(l, 0.99); p > 5*rotation || q > 8*rotation {
				t.Errorf("member %d: own delivery takes %.1f rotations at the median, %.1f at p99", i, p.Seconds()/rotation.Seconds(), q.Seconds()/rotation.Seconds())
			}
			if share := float64(counts[i]*uint64(n)) / float64(all); share < 0.9 || share > 1.1 {
				t.Errorf("member %d has %.2f of an equal share", i, share)
			}
		}
		s.Load.Every = -1
		s.Heal()
	})
}

// A member that sends little is never refused, and its messages wait for no more than the next token, whatever the
// others send.
func TestRingOverloadSpares(t *testing.T) {
	RunRings(t, 20, func(t *testing.T, s *RingCluster) {
		n := []int{3, 8, 16}[s.Seed%3]
		slowRing(s, n, 0)
		few := s.Members[s.rng.IntN(n)]
		for _, m := range s.Members {
			if m != few {
				m.overload(always)
			}
		}
		s.For(200 * time.Millisecond)
		from := s.Net.Now()
		tokens := few.Protocol.Stats().Tokens
		for range 100 {
			s.For(3*time.Millisecond + time.Duration(s.rng.IntN(4000))*time.Microsecond)
			few.sendOf(100, false)
		}
		rotation := s.Net.Now().Sub(from) / time.Duration(few.Protocol.Stats().Tokens-tokens)
		s.For(50 * time.Millisecond)
		l := own(s.Log, few.Proc, from)
		if len(l) != 100 || few.Refused > 0 || part(l, 0.99) > 2*rotation {
			t.Errorf("%d delivered, %d refused, p99 %v where a rotation takes %v", len(l), few.Refused, part(l, 0.99), rotation)
		}
	})
}

// A healthy ring that one member floods through ports of 1 Gbit/s: the others are always behind, and always get on. Nobody
// is told that somebody does not receive what is sent again.
func TestRingFloodLacksNothing(t *testing.T) {
	RunRings(t, 10, func(t *testing.T, s *RingCluster) {
		slowRing(s, 3, 0)
		for i := range s.Members {
			s.Net.SetDown(i, Port{Rate: 1_000_000_000, Queue: 8 << 20})
		}
		m := s.Members[s.rng.IntN(len(s.Members))]
		m.overload(always)
		s.For(2 * time.Second)
		if len(s.stuck) > 0 {
			t.Errorf("told as stuck: %v", s.stuck)
		}
		s.Heal()
	})
}

// Where the rate limits a member, what waits follows its rate.
func TestRingOverloadRate(t *testing.T) {
	const rate = 20_000_000
	RunRings(t, 10, func(t *testing.T, s *RingCluster) {
		s.Change = func(_ int, c *totem.Config) { c.Pacer = core.NewPacer(rate, c.Datagram) }
		slowRing(s, 3, 0)
		for _, m := range s.Members {
			m.overload(always)
		}
		s.For(time.Second)
		m, from := s.Members[0], s.Net.Now()
		before, tokens := m.Protocol.Stats(), s.Members[0].Protocol.Stats().Tokens
		s.For(time.Second)
		rotation := time.Second / time.Duration(m.Protocol.Stats().Tokens-tokens)
		bits := float64(m.Protocol.Stats().DatagramBytes-before.DatagramBytes) * 8
		l := own(s.Log, m.Proc, from)
		t.Logf("%.1f Mbit/s, a rotation takes %v, own delivery p50 %v p99 %v", bits/1e6, rotation, part(l, 0.5), part(l, 0.99))
		if bits < 0.9*rate || part(l, 0.5) > 20*time.Millisecond {
			t.Errorf("%.1f Mbit/s, own delivery p50 %v", bits/1e6, part(l, 0.5))
		}
	})
}

// Bursts of an application that limits itself are taken at once, before an overload, in between and afterwards.
func TestRingOverloadBurst(t *testing.T) {
	RunRings(t, 10, func(t *testing.T, s *RingCluster) {
		n := 3 + 5*int(s.Seed%2)
		slowRing(s, n, 0)
		burst := func(when string) {
			for _, m := range s.Members {
				taken := 0
				for m.sendOf(datagramful, false) {
					taken++
				}
				if taken < queued-1 {
					t.Errorf("%s: %d datagrams of a burst were taken", when, taken)
				}
			}
			s.For(100 * time.Millisecond)
		}
		burst("at first")
		on := make([]bool, n)
		for i, m := range s.Members {
			on[i] = true
			m.overload(func() bool { return on[i] })
		}
		s.For(100 * time.Millisecond)
		for i, m := range s.Members {
			if m.Protocol.Ahead() == 0 {
				t.Errorf("member %d has no bound in an overloaded ring", i)
			}
		}
		clear(on)
		s.For(100 * time.Millisecond)
		burst("after an overload")
		// Less than its share, in bursts that take several visits, while the others send as fast as they can.
		for i := range on[1:] {
			on[1+i] = true
		}
		s.For(100 * time.Millisecond)
		refused := s.Members[0].Refused
		for range 5 {
			for range 200 {
				s.Members[0].sendOf(datagramful, false)
			}
			s.For(100 * time.Millisecond)
		}
		if d := s.Members[0].Refused - refused; d > 0 {
			t.Errorf("%d messages of bursts were refused", d)
		}
	})
}

// laneReader measures how long own messages take to their delivery.
type laneReader struct {
	net  *Network
	self wire.MemberID
	took []time.Duration
}

func (*laneReader) Ready(clock.Time) bool { return true }

func (r *laneReader) Deliver(_ clock.Time, _ string, d *core.Delivery) {
	if d.From == r.self {
		r.took = append(r.took, r.net.Now().Sub(clock.Time(binary.LittleEndian.Uint64(d.Payload))))
	}
}

func (*laneReader) Lost(*core.Loss) {}

// Whichever way messages take to the ring, an overload keeps few of them waiting, and a burst after it is taken at once:
// from a queue that any goroutine puts into or claims in, and with an Invoker.
func TestOverloadedLanes(t *testing.T) {
	put := func(l *member.Lane, now clock.Time, payload []byte) bool {
		return l.Put("t", wire.KindRaw, payload, false)
	}
	claim := func(l *member.Lane, _ clock.Time, payload []byte) bool {
		r, b, ok := l.Claim("t", wire.KindRaw, len(payload), false)
		return ok && copy(b, payload) == len(payload) && l.Commit(r)
	}
	offer := func(l *member.Lane, now clock.Time, payload []byte) bool {
		return l.Offer(now, "t", wire.KindRaw, payload, false) == nil
	}
	type way struct {
		name  string
		queue int // bytes
		send  func(*member.Lane, clock.Time, []byte) bool
		burst int // messages that are taken at once
	}
	for _, c := range some([]way{
		{"put", queueBytes, put, queueBytes / 1600},
		{"claim", queueBytes, claim, queueBytes / 1600},
		{"invoker", 0, offer, queued - 1},
	}, 0) {
		t.Run(c.name, func(t *testing.T) { overloadLanes(t, c.queue, c.burst, c.send) })
	}
}

func overloadLanes(t *testing.T, queue, burst int, send func(*member.Lane, clock.Time, []byte) bool) {
	const n = 8
	net := New(Config{Seed: 1, Link: Link{Delay: 300 * time.Microsecond}})
	members, readers, drivers := make([]*member.Member, n), make([]*laneReader, n), make([]*Driver, n)
	for i := range members {
		d := net.Attach(i)
		const window = 512 << 10
		buffers := nack.Buffers(window, d.Datagram(), 1, 4) + totem.Buffers(window, d.Datagram()) + 2*engine.Batch
		id := wire.MemberID{byte(i + 1)}
		readers[i], drivers[i] = &laneReader{net: net, self: id}, d
		table := member.NewTable()
		table.Add(">", readers[i])
		members[i] = member.New(member.Config{ID: id, Cluster: 5, Driver: d, Pool: buf.NewPool(buffers, d.Datagram()+nack.Headroom), Table: table,
			Rand: rand.New(rand.NewPCG(1, uint64(i))), Protocol: wire.Totem, Lanes: 1, Window: window, MaxMessageSize: 64 << 10,
			SelfDelivery: true, Queue: queue, CPU: -1})
		d.Drive(members[i].Engine())
		defer d.Close()
	}
	payload := make([]byte, datagramful)
	offer := func(i int) bool {
		l, _ := members[i].Lane(net.Now(), "t")
		binary.LittleEndian.PutUint64(payload, uint64(net.Now()))
		ok := send(l, net.Now(), payload)
		drivers[i].Wake()
		return ok
	}
	on := true
	var load func()
	load = func() {
		for i := range members {
			for on && offer(i) {
			}
		}
		net.After(200*time.Microsecond, load)
	}
	net.Run(clock.Time(200 * time.Millisecond))
	load()
	net.Run(clock.Time(700 * time.Millisecond))
	before := members[0].Totem().Stats()
	for _, r := range readers {
		r.took = nil
	}
	net.Run(clock.Time(1200 * time.Millisecond))
	after := members[0].Totem().Stats()
	rotations := after.Tokens - before.Tokens
	rotation := 500 * time.Millisecond / time.Duration(rotations)
	carried := float64((after.Datagrams-before.Datagrams)*n) / float64(rotations)
	t.Logf("a rotation takes %v and carries %.1f datagrams", rotation, carried)
	if carried < 0.97*float64(totem.Tuned().Window) {
		t.Error("the ring carries less than it could")
	}
	for i, r := range readers {
		slices.Sort(r.took)
		if p, q := part(r.took, 0.5), part(r.took, 0.99); p > 8*rotation || q > 10*rotation {
			t.Errorf("member %d: own delivery takes %.1f rotations at the median, %.1f at p99", i, p.Seconds()/rotation.Seconds(), q.Seconds()/rotation.Seconds())
		}
	}
	on = false
	net.Run(clock.Time(1400 * time.Millisecond))
	for i := range members {
		taken := 0
		for taken < burst && offer(i) {
			taken++
		}
		if taken < burst {
			t.Errorf("member %d: %d messages of a burst were taken", i, taken)
		}
	}
	if views := members[0].Totem().Stats().Views; views != 1 {
		t.Errorf("%d views", views)
	}
}
