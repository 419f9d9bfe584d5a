package totem

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// forger writes datagrams that a stranger could send who knows the cluster's hash and the
// format, but no ring and no member.
type forger struct{ rng *rand.Rand }

func (f *forger) id() (id wire.MemberID) {
	binary.LittleEndian.PutUint64(id[:], f.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], f.rng.Uint64())
	return id
}

// n is a number, often at an edge, at most most.
func (f *forger) n(least, most uint64) uint64 {
	edges := [...]uint64{0, 1, 2, 1 << 31, 1<<32 - 1, 1 << 32, 1 << 62, 1<<64 - 2}
	v := edges[f.rng.IntN(len(edges))]
	if f.rng.IntN(2) == 0 {
		v = f.rng.Uint64() >> f.rng.IntN(64)
	}
	return min(max(v, least), most)
}

func (f *forger) ring() wire.RingID { return wire.RingID{Rep: f.id(), Seq: f.n(1, wire.MaxRingSeq)} }

func (f *forger) set(n int, with ...wire.MemberID) wire.Members {
	var s idSet
	for _, id := range with {
		s.add(id)
	}
	for s.n < n {
		s.add(f.id())
	}
	return s.append(nil)
}

// datagram is any one of the ring's, with random fields.
func (f *forger) datagram() []byte {
	self := f.id()
	const big = 1<<64 - 2
	b := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: self, Incarnation: f.rng.Uint32(), Stream: Stream})
	switch f.rng.IntN(5) {
	case 0:
		t := wire.Token{Ring: f.ring(), TokenSeq: f.n(0, big), Seq: f.n(1, big), AruID: f.id(), FCC: f.rng.Uint32(), Backlog: f.rng.Uint32(), Recovery: f.rng.IntN(2) == 0}
		t.Aru = f.n(0, t.Seq)
		for range f.rng.IntN(wire.MaxWanted + 1) {
			t.Wanted = binary.LittleEndian.AppendUint64(t.Wanted, f.n(1, t.Seq))
		}
		b = wire.AppendToken(b, &t)
	case 1:
		j := wire.Join{Node: f.n(0, big), Started: f.n(0, big), RingSeq: f.n(0, wire.MaxRingSeq), Counter: f.n(0, big)}
		j.Proc, j.Fail = f.set(1+f.rng.IntN(wire.MaxSet), self), f.set(f.rng.IntN(wire.MaxSet))
		if f.rng.IntN(2) == 0 { // as it might be: they have failed who are known
			var fail idSet
			for i := range j.Proc.Len() {
				if id := j.Proc.At(i); id != self && f.rng.IntN(2) == 0 {
					fail.add(id)
				}
			}
			j.Fail = fail.append(nil)
		}
		if f.rng.IntN(4) == 0 {
			j.Proc, j.Fail = f.set(f.rng.IntN(3)), f.set(1, self)
		}
		b = wire.AppendJoin(b, &j)
	case 2:
		c := wire.Commit{Ring: f.ring(), Rings: wire.OldRings(nil).Append(f.ring())}
		set := f.set(1 + f.rng.IntN(MaxMembers))
		c.Index, c.Ring.Rep = uint32(f.rng.IntN(set.Len()+1)), set.At(0)
		for i := range set.Len() {
			e := wire.CommitEntry{ID: set.At(i), Filled: f.rng.IntN(2) == 0, High: f.n(0, big)}
			e.Aru = f.n(0, e.High)
			e.Bound = f.n(0, e.Aru)
			c.Entries = c.Entries.Append(e)
		}
		b = wire.AppendCommit(b, &c)
	case 3:
		b = wire.AppendNotice(b, wire.Notice{Ring: f.ring(), Kind: wire.NoticeKind(1 + f.rng.IntN(3))})
	case 4:
		mem := make([]byte, 600)
		var w wire.DataWriter
		w.Begin(mem, 500, wire.Header{Cluster: 7, Transmitter: self, Stream: Stream}, f.n(1, big), f.n(1, big))
		w.Add("forged", 0, []byte("forged"))
		off, n := w.Close()
		g := wire.Ring{Key: f.ring().Key(), Round: f.rng.Uint32(), Safe: f.rng.IntN(2) == 0, Origin: uint8(f.rng.IntN(16))}
		if f.rng.IntN(2) == 0 {
			g.Recovered, g.Number, g.Old = true, f.n(1, big), uint8(f.rng.IntN(16))
		}
		b = wire.AppendRing(mem[off:off+n], g)
	}
	wire.Seal(b)
	return b
}

// inject gives a datagram to some nodes.
func (r *rig) inject(b []byte, to int) {
	for i, n := range r.nodes {
		if !n.down && to>>i&1 != 0 {
			n.inbox = append(n.inbox, bytes.Clone(b))
		}
	}
}

// ordered fails when two nodes were handed common messages in another order, a message twice, or
// one that nobody sent.
func (r *rig) ordered() {
	r.t.Helper()
	for i, n := range r.nodes {
		at := map[delivered]int{}
		for k, m := range n.got {
			if _, twice := at[m]; twice || m.topic == "forged" {
				r.t.Fatalf("node %d was handed %v twice, or it was forged", i, m)
			}
			at[m] = k
		}
		for _, o := range r.nodes[:i] {
			last := -1
			for _, m := range o.got {
				if k, ok := at[m]; ok && k < last {
					r.t.Fatalf("node %d was handed messages in another order", i)
				} else if ok {
					last = k
				}
			}
		}
	}
}

// A stranger's forgeries never make a member deliver out of order, and each costs at most one
// formation of the ring.
func TestForgeries(t *testing.T) {
	for seed := range uint64(10) {
		r := newRig(t, 3)
		r.form()
		f := forger{rand.New(rand.NewPCG(seed, 5))}
		forged := 0
		for i := range 3000 {
			if i%10 == 0 {
				_ = r.nodes[i/10%3].p.Offer(r.now, "a", 0, []byte{byte(i), byte(i >> 8)}, i%20 == 0)
			}
			if f.rng.IntN(100) == 0 {
				r.inject(f.datagram(), f.rng.IntN(8))
				forged++
			}
			r.run(100 * time.Microsecond)
		}
		r.form()
		r.run(10 * time.Millisecond)
		r.ordered()
		for _, n := range r.nodes {
			if v := n.p.Stats().Views; v > uint64(1+forged) {
				t.Errorf("%d rings after %d forgeries", v, forged)
			}
			if len(n.got) < 200 {
				t.Errorf("only %d messages", len(n.got))
			}
		}
		r.done()
	}
}

// One forgery of any kind costs at most one formation of the ring.
func TestOneForgery(t *testing.T) {
	f := forger{rand.New(rand.NewPCG(1, 6))}
	r := newRig(t, 3)
	r.form()
	total := 100
	if !testing.Short() {
		total = 500
	} else if raceEnabled {
		total = 20
	}
	for range total {
		r.nodes[0].p.holds = holdDowns{} // each one is judged alone
		r.nodes[1].p.holds, r.nodes[2].p.holds = holdDowns{}, holdDowns{}
		before := r.nodes[0].p.Stats().Views
		r.inject(f.datagram(), 7)
		r.run(200 * time.Millisecond)
		r.form()
		if n := r.nodes[0].p.Stats().Views - before; n > 1 {
			t.Errorf("%d rings", n)
		}
	}
	r.ordered()
	r.done()
}

// A forgery that meets a ring while it is being formed, in Gather, Commit or Recovery, costs at most
// one more formation, and the ring is formed all the same.
func TestForgeryWhileForming(t *testing.T) {
	total := 40
	if !testing.Short() {
		total = 300
	} else if raceEnabled {
		total = 16
	}
	f := forger{rand.New(rand.NewPCG(2, 6))}
	r := newRig(t, 4)
	r.form()
	met := [4]int{}
	for i := range total {
		for _, n := range r.nodes {
			n.p.holds = holdDowns{}
		}
		for k := range 5 {
			_ = r.nodes[k%4].p.Offer(r.now, "a", 0, []byte{byte(i), byte(k)}, k%2 == 0)
		}
		r.turn()
		r.nodes[3].down = i%2 == 0 // it dies, or it comes back
		want := 3 + i%2
		before := r.nodes[0].p.Stats().Views
		// Until the others have noticed, and then some turns, so that each state is met.
		if !r.until(time.Second, func() bool { return r.nodes[0].p.State() != Operational }) {
			t.Fatal("nobody noticed")
		}
		turns := f.rng.IntN(30)
		if i%4 == 0 { // the dead one costs a time-out first
			r.until(time.Second, func() bool { return r.nodes[0].p.State() != Gather })
			turns = f.rng.IntN(6)
		}
		for range turns {
			r.turn()
		}
		met[r.nodes[0].p.State()]++
		r.inject(f.datagram(), 7)
		if !r.until(time.Second, func() bool { return r.formed() && len(r.nodes[0].p.Members()) == want }) {
			t.Fatalf("forgery %d: no ring", i)
		}
		r.run(150 * time.Millisecond) // and what the forgery begins afterwards
		r.form()
		if n := r.nodes[0].p.Stats().Views - before; n > 3 {
			t.Errorf("forgery %d: %d rings", i, n)
		}
	}
	t.Logf("met in Gather, Commit, Recovery, Operational: %v", met)
	for s, n := range met[:Operational] {
		if n == 0 {
			t.Errorf("no forgery met %v", State(s))
		}
	}
	r.ordered()
	r.done()
}

// Section 15: a Join that was recorded has no effect. Neither does the ring form anew for a member
// that is dead, nor does a token go to who sent the Join again.
func TestRecordedJoins(t *testing.T) {
	r := newRig(t, 4)
	joins := map[wire.MemberID][][]byte{}
	r.heard = func(to *rigNode, b []byte) {
		if wire.Decode(b, &r.d) == nil && r.d.Frames()[0].Kind == wire.FrameJoin {
			joins[r.d.Transmitter] = append(joins[r.d.Transmitter], bytes.Clone(b))
		}
	}
	r.form()
	r.nodes[2].down = true
	r.run(300 * time.Millisecond)
	r.form()
	r.heard = nil
	before := r.nodes[0].p.Stats()
	for _, n := range r.nodes {
		n.at += 100 // whoever sends again what n has sent has another address
	}
	for _, n := range []int{2, 1, 0, 3} {
		list := joins[r.nodes[n].id]
		if len(list) == 0 {
			t.Fatal("nothing was recorded")
		}
		for _, b := range list {
			r.inject(b, 15)
			r.run(100 * time.Microsecond)
		}
	}
	for _, n := range r.nodes {
		n.at -= 100
	}
	r.run(200 * time.Millisecond)
	r.offerAll(r.nodes[1], "a", nil, true)
	r.run(5 * time.Millisecond)
	r.same(1)
	s := r.nodes[0].p.Stats()
	if s.Views != before.Views || s.Entered[Gather] != before.Entered[Gather] {
		t.Errorf("%d rings, %d gathers", s.Views-before.Views, s.Entered[Gather]-before.Entered[Gather])
	}
	r.done()
}

// FuzzRing does what the fuzzer says to three members: messages, time, losses, crashes, and
// forgeries; also datagrams of the ring itself that were changed and sealed again, which only
// must not make anything panic, run for ever or forget a buffer.
func FuzzRing(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, uint64(1))
	f.Add(bytes.Repeat([]byte{1, 7, 2, 8, 0, 9, 3, 3, 40}, 30), uint64(2))
	f.Add(bytes.Repeat([]byte{10, 11, 0, 5}, 50), uint64(3))
	f.Fuzz(func(t *testing.T, ops []byte, seed uint64) {
		fuzzRing(t, ops, seed)
	})
}

func fuzzRing(t *testing.T, ops []byte, seed uint64) {
	r := newRig(t, 3, func(c *Config) {
		c.Profile = Isolated()
		c.Profile.HoldDown = 50 * time.Millisecond
		c.Window = 64 << 10
	})
	g := forger{rand.New(rand.NewPCG(seed, 7))}
	var seen [][]byte // datagrams of the ring
	insider, loss := false, 0
	r.lost = func(from, to *rigNode, d *wire.Datagram) bool { return loss > 0 && g.rng.IntN(100) < loss }
	r.form()
	sent := byte(0)
	for _, op := range ops[:min(len(ops), 300)] {
		n := r.nodes[op/16%3]
		for _, m := range r.nodes {
			for _, b := range m.inbox {
				if len(seen) < 64 {
					seen = append(seen, bytes.Clone(b))
				} else {
					seen[g.rng.IntN(64)] = bytes.Clone(b)
				}
			}
		}
		switch op % 16 {
		case 0, 1:
			for range op / 16 {
				_ = n.p.Offer(r.now, "a", 0, []byte{sent, op, byte(seed)}, op%16 == 1)
				sent++
			}
		case 2:
			_ = n.p.Offer(r.now, "b", 0, bytes.Repeat([]byte{sent}, 100*int(op)), false)
			sent++
		case 3, 4:
			r.turn()
		case 5:
			r.now += 20_000
			r.turn()
		case 6:
			r.run(time.Duration(op/16) * time.Millisecond / 2)
		case 7:
			r.inject(g.datagram(), int(op/16))
		case 8:
			loss = int(op/16) * 3
		case 9:
			r.now = r.now.Add(time.Duration(op/16) * time.Millisecond)
		case 10: // again, what was seen
			if len(seen) > 0 {
				r.inject(seen[g.rng.IntN(len(seen))], int(op/16))
			}
		case 11: // changed, with a right checksum: somebody in the group
			if len(seen) > 0 && seed%2 == 1 {
				b := bytes.Clone(seen[g.rng.IntN(len(seen))])
				for range 1 + g.rng.IntN(3) {
					b[19+g.rng.IntN(len(b)-19)] = byte(g.rng.Uint32())
				}
				wire.Seal(b)
				if wire.Decode(b, &r.d) == nil && r.d.Stream == Stream {
					insider = true
					r.inject(b, int(op/16))
				}
			}
		case 12:
			n.refuse = !n.refuse
		case 13:
			n.down = !n.down
		default:
			r.run(100 * time.Microsecond)
		}
	}
	loss = 0
	for _, n := range r.nodes {
		n.refuse, n.down = false, false
	}
	r.run(100 * time.Millisecond)
	if !insider {
		r.form()
		r.run(5 * time.Millisecond)
		r.ordered()
	}
	for _, n := range r.nodes {
		n.p.Release()
		if n.pool.Free() != n.pool.Count() {
			t.Fatalf("%d of %d buffers are free", n.pool.Free(), n.pool.Count())
		}
		if k := n.p.Stats().Impossible; k > 0 && !insider {
			t.Fatalf("%d things happened that cannot", k)
		}
	}
}

// FuzzRing with bytes from a generator, so that it also runs as an ordinary test.
func TestFuzzRing(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 20
	}
	for seed := range uint64(runs) {
		rng := rand.New(rand.NewPCG(seed, 9))
		ops := make([]byte, 300)
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		fuzzRing(t, ops, seed)
	}
}
