package group

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// rig is some members that are stepped by hand: a datagram that one sends arrives at once.
type rig struct {
	t       testing.TB
	now     clock.Time
	members []*rigMember
	frames  wire.Datagram
	alone   bool                 // there is no multicast, and all list the first member's address
	sentTo  map[buf.Endpoint]int // bytes
	step100 int                  // the length of a step, in 100 us; 0: one
}

type rigMember struct {
	*Protocol
	at     buf.Endpoint
	told   []Change
	pool   *buf.Pool
	silent bool       // nothing of it arrives anywhere
	deaf   bool       // nothing arrives at it
	cut    *rigMember // nothing of this one arrives at it
	down   bool
	paused bool // it does not turn, and what arrives waits
	since  clock.Time
	waits  []arrived
	held   bool // Pending of everybody
	sent   []wire.FrameKind
	peers  []buf.Endpoint // without multicast
	ends   []End
}

// Ended implements CallSink.
func (m *rigMember) Ended(_ clock.Time, e *End) { m.ends = append(m.ends, *e) }

// Take implements InboxHandler.
func (m *rigMember) Take(clock.Time, *Item) (Verdict, wire.RefusalReason) { return Take, 0 }

// arrived is a datagram in the socket of a member that stands still.
type arrived struct {
	bytes []byte
	from  buf.Endpoint
	group bool
}

func newRig(t testing.TB, n int) *rig {
	return newRigOf(&rig{t: t, now: 1_000_000}, n)
}

func newRigOf(r *rig, n int) *rig {
	r.sentTo = map[buf.Endpoint]int{}
	for range n {
		r.add()
	}
	r.run(100 * time.Millisecond)
	return r
}

func (r *rig) add() *rigMember {
	n := byte(len(r.members) + 1)
	m := &rigMember{at: buf.Endpoint(n), pool: buf.NewPool(512, 1500)}
	cfg := Config{Self: wire.MemberID{n}, Cluster: 7, Local: m.at, Started: uint64(n), Datagram: 1472, Pool: m.pool,
		Rand: rand.New(rand.NewPCG(1, uint64(n))),
		Tell: func(_ clock.Time, c *Change) {
			k := *c
			k.Group, k.Record = append([]byte(nil), c.Group...), nil
			m.told = append(m.told, k)
		},
		Pending: func(wire.MemberID) bool { return m.held },
		Calls:   m, MaxMessageSize: 64 << 10,
	}
	if r.alone {
		cfg.Peers = func(list []buf.Endpoint) {
			m.peers = append([]buf.Endpoint{1}, list...)
			slices.Sort(m.peers)
			m.peers = slices.Compact(m.peers)
		}
	}
	m.Protocol = New(cfg)
	r.members = append(r.members, m)
	return m
}

// run lets d pass, in steps of 100 us.
func (r *rig) run(d time.Duration) {
	step := clock.Time(max(r.step100, 1)) * 100_000
	for end := r.now.Add(d); r.now < end; r.now += step {
		for _, m := range r.members {
			if m.down || m.paused {
				continue
			}
			if at, ok := m.Deadline(); ok && at <= r.now {
				m.Tick(r.now)
			}
			m.Flush(r.now)
			for s, ok := m.PollSend(r.now); ok; s, ok = m.PollSend(r.now) {
				r.carry(m, s)
			}
			m.Deliver(r.now)
		}
	}
}

func (r *rig) carry(from *rigMember, s buf.Send) {
	b := append([]byte(nil), s.Buf.Bytes()...)
	s.Buf.Release()
	if err := wire.Decode(b, &r.frames); err != nil {
		r.t.Fatalf("member %d sends what cannot be read: %v", from.at, err)
	}
	for i := range r.frames.Frames() {
		from.sent = append(from.sent, r.frames.Frames()[i].Kind)
	}
	if from.silent {
		return
	}
	to := []buf.Endpoint{s.To}
	if r.alone && s.To == buf.Group {
		to = from.peers
	}
	for _, e := range to {
		if r.sentTo != nil {
			r.sentTo[e] += len(b)
		}
	}
	for _, m := range r.members {
		if m != from && !m.down && !m.deaf && m.cut != from && (to[0] == buf.Group || slices.Contains(to, m.at)) {
			if m.paused {
				if len(m.waits) < 1000 {
					m.waits = append(m.waits, arrived{b, from.at, to[0] == buf.Group})
				}
				continue
			}
			r.step(m, b, from.at, to[0] == buf.Group)
		}
	}
}

// resume has a member go on that stood still.
func (r *rig) resume(m *rigMember) {
	if !m.paused {
		return
	}
	m.paused = false
	if gap := r.now.Sub(m.since); gap >= m.StallLimit() {
		m.Stalled(r.now, gap)
	}
	for _, a := range m.waits {
		r.step(m, a.bytes, a.from, a.group)
	}
	m.waits = nil
}

func (r *rig) step(m *rigMember, b []byte, from buf.Endpoint, group bool) error {
	if err := wire.Decode(b, &r.frames); err != nil {
		r.t.Fatal(err)
	}
	var lent buf.Buf
	lent.Lend(b)
	return m.Step(r.now, &r.frames, buf.Received{Buf: &lent, From: from, Group: group})
}

// forge steps m with a frame in the name of id.
func (r *rig) forge(m *rigMember, id wire.MemberID, incarnation uint32, from buf.Endpoint, frame func(b []byte) []byte) error {
	b := frame(wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: id, Incarnation: incarnation, Stream: Stream}))
	wire.Seal(b)
	return r.step(m, b, from, true)
}

func (m *rigMember) last(id wire.MemberID) (kinds []ChangeKind) {
	for _, c := range m.told {
		if c.ID == id {
			kinds = append(kinds, c.Kind)
		}
	}
	return kinds
}

func (m *rigMember) id() wire.MemberID { return m.cfg.Self }
