package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// fill has member 0 write n entries of so many bytes each, and a few locks.
func (r *rig) fill(n, size int) {
	r.t.Helper()
	value := string(make([]byte, size))
	for i := 0; i < n; {
		for j := 0; j < 500 && i < n; j++ {
			r.nodes[0].put(fmt.Sprint("key ", i), value)
			i++
		}
		r.turn()
		r.turn()
	}
	for i := range 3 {
		r.nodes[0].lock(fmt.Sprint("lock ", i), time.Hour)
	}
	r.run(20 * time.Millisecond)
}

// living is the members of the rig that are not dead.
func (r *rig) living() (list []int) {
	for i, n := range r.nodes {
		if !n.dead {
			list = append(list, i)
		}
	}
	return list
}

// twoAndJoiner is two members with n entries, and a third one that has just come.
func twoAndJoiner(t *testing.T, n, size int, change func(i int, c *Config)) *rig {
	r := newRig(t, 2, change)
	r.split([]int{0, 1})
	r.run(2 * time.Second) // discovery
	r.ready(0, 1)
	r.fill(n, size)
	r.add(2, change)
	r.split([]int{0, 1, 2})
	return r
}

// A member that joins gets the state while others write, and is equal then.
func TestJoinerLearns(t *testing.T) {
	for _, n := range []int{0, 1, 3000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := twoAndJoiner(t, n, 100, nil)
			writes := 0
			r.until("the joiner is ready", func() bool {
				r.nodes[writes%2].put(fmt.Sprint("key ", writes*7), "new")
				writes++
				return r.nodes[2].pub.Ready
			})
			r.run(20 * time.Millisecond)
			r.same(0, 1, 2)
			if s := r.nodes[2].core.Stats(); s.Transfers != 1 || s.HashMismatches != 0 || s.Overruns != 0 {
				t.Errorf("%+v", s)
			}
			if n > 1000 && r.nodes[0].core.Stats().ChunksServed+r.nodes[1].core.Stats().ChunksServed < 7 {
				t.Error("hardly any chunks: this tests little")
			}
			if writes < 3 {
				t.Errorf("%d writes meanwhile", writes)
			}
			for _, x := range r.nodes {
				if p := &x.core.provide; p.cut != nil || len(p.streams) > 0 || len(p.old) > 0 || x.core.fetch.builder != nil || len(x.core.learn.kept) > 0 {
					t.Errorf("member %d keeps something of the transfer", x.i)
				}
			}
		})
	}
}

// A learner's status has how far it has come, and who of the others is complete; afterwards it is one of them.
func TestLearnerStatus(t *testing.T) {
	r := twoAndJoiner(t, 3000, 100, nil)
	learner := r.nodes[2].core
	r.until("a part of the state is there", func() bool { return learner.progress().Entries > 0 })
	s := learner.Status(r.now)
	if p := s.Progress; s.Phase != Learning || p.Entries >= p.Of || p.Of != 3000 || p.Provider != r.nodes[0].id && p.Provider != r.nodes[1].id {
		t.Errorf("%v, %+v", s.Phase, p)
	}
	for i, m := range s.Members {
		if m.ID != r.nodes[i].id || m.Ready != (i < 2) {
			t.Errorf("row %d: %+v", i, m)
		}
	}
	r.ready(2)
	if s := learner.Status(r.now); s.Progress != (Progress{}) || !s.Members[2].Ready {
		t.Errorf("%+v, %+v", s.Progress, s.Members[2])
	}
}

// away has member 2 miss so many writes.
func away(t *testing.T, writes, size int) *rig {
	r := newRig(t, 3, all3)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.fill(100, 100)
	r.split([]int{0, 1}, []int{2})
	r.ready(0, 1)
	r.fill(writes, size)
	r.nodes[2].events, r.nodes[2].resets = nil, 0
	r.split([]int{0, 1, 2})
	return r
}

// A member that missed a little is filled before the claims; one that missed more catches up by operations, and its
// watchers see them; where the log does not reach back it gets a state. Nobody gets the others' writes twice.
func TestCatchUp(t *testing.T) {
	for _, x := range []struct {
		writes, size     int
		fills, transfers uint64
		continues        bool
	}{
		{1000, 100, 1, 0, true},
		{2500, 8000, 0, 1, true},  // 20 MB: more than a fill
		{9000, 8000, 0, 1, false}, // 72 MB: more than the log
	} {
		r := away(t, x.writes, x.size)
		old := r.nodes[2].core.State()
		writes := 0
		r.until("all are ready", func() bool {
			if r.nodes[0].pub.Primary {
				r.nodes[0].put(fmt.Sprint("key ", writes), "new")
				writes++
			}
			return r.nodes[2].pub.Ready
		})
		r.run(20 * time.Millisecond)
		r.same(0, 1, 2)
		n := r.nodes[2]
		if s := n.core.Stats(); s.Fills != x.fills || s.Transfers != x.transfers || s.HashMismatches != 0 {
			t.Errorf("%d writes: %+v", x.writes, s)
		}
		if continues := n.core.State() == old; continues != x.continues || n.resets != 0 && x.continues || x.continues && len(n.events) < x.writes {
			t.Errorf("%d writes: its replica continues: %v; %d events, %d resets", x.writes, continues, len(n.events), n.resets)
		}
	}
}

// faults runs one transfer again and again, each time with a fault after another chunk.
func faults(t *testing.T, entries int, fault func(r *rig, to *node)) {
	for after := uint64(0); after < 40; after++ {
		r := twoAndJoiner(t, entries, 1000, nil)
		learner, writes, done := r.nodes[2], 0, false
		r.until("the joiner is ready", func() bool {
			for _, i := range r.living()[:1] {
				if r.nodes[i].pub.Primary && writes < 300 {
					r.nodes[i].put(fmt.Sprint("key ", writes*7), "new")
					writes++
				}
			}
			served := uint64(0)
			for _, n := range r.nodes {
				served += n.core.Stats().ChunksServed
			}
			if !done && served > after {
				done = true
				fault(r, learner)
			}
			return done && learner.pub.Ready || !done && learner.pub.Ready && after > 5
		})
		r.run(50 * time.Millisecond)
		r.same(r.living()...)
		if !done {
			return // it was ready before
		}
		if after == 39 {
			t.Error("no transfer was ready before its fault: the last chunks were not tested")
		}
	}
}

// The provider dies after every chunk: another one goes on.
func TestProviderDies(t *testing.T) {
	for after := uint64(0); after < 30; after += 3 {
		r := newRig(t, 3, nil)
		r.split([]int{0, 1, 2})
		r.run(2 * time.Second)
		r.ready(0, 1, 2)
		r.fill(1000, 1000)
		r.add(3, nil)
		r.split([]int{0, 1, 2, 3})
		learner, died, writes := r.nodes[3], -1, 0
		r.until("the joiner is ready", func() bool {
			if r.nodes[0].pub.Primary && writes < 300 {
				r.nodes[0].put(fmt.Sprint("key ", writes*7), "new")
				writes++
			}
			for i, n := range r.nodes[1:3] {
				if died < 0 && n.core.Stats().ChunksServed > after {
					died = i + 1
					r.kill(died)
					left := []int{0, 1, 2, 3}
					r.run(10 * time.Millisecond)
					r.split(slices.DeleteFunc(left, func(x int) bool { return x == died }))
				}
			}
			return learner.pub.Ready
		})
		r.run(50 * time.Millisecond)
		r.same(r.living()...)
		if died < 0 {
			break
		}
	}
}

// The ring changes after every chunk. The cut outlives its primary: what was fetched is not fetched again.
func TestRingChangesWhileLearning(t *testing.T) {
	faults(t, 1000, func(r *rig, to *node) { r.split([]int{0, 1, 2}) })

	r := twoAndJoiner(t, 4000, 1000, nil)
	learner := r.nodes[2]
	for i := range 8 {
		before := learner.core.fetch.part
		r.run(12 * time.Millisecond)
		r.nodes[0].put(fmt.Sprint("key ", i), "new")
		if learner.core.fetch.part < before && !learner.core.learn.partial {
			t.Error("it began anew")
		}
		r.split([]int{0, 1, 2})
	}
	r.ready(0, 1, 2)
	r.run(20 * time.Millisecond)
	r.same(0, 1, 2)
	if s := r.nodes[0].core.Stats().ChunksServed + r.nodes[1].core.Stats().ChunksServed; s > 68+8*(chunkWindow+2) {
		t.Errorf("%d chunks for a state of 68", s)
	}
}

// A provider that is silent is left after the time-out.
func TestProviderIsSilent(t *testing.T) {
	r := twoAndJoiner(t, 1000, 1000, nil)
	learner := r.nodes[2]
	silent := wire.MemberID{}
	drop := func(from wire.MemberID) bool { return from == silent }
	r.lossy = drop
	r.until("it fetches", func() bool { return learner.core.fetch.of.Index != 0 })
	silent = learner.core.fetch.provider()
	r.until("the joiner is ready", func() bool { return learner.pub.Ready })
	if learner.core.Stats().Transfers != 1 {
		t.Error("no transfer")
	}
	r.run(20 * time.Millisecond)
	r.same(0, 1, 2)
}

// A flipped bit, anywhere in a chunk or in operations, makes the learner ask elsewhere, and never a different state.
func TestFlippedBit(t *testing.T) {
	for _, kind := range []wire.TransferKind{wire.KindChunk, wire.KindRecent} {
		for seed := range 40 {
			var r *rig
			if kind == wire.KindChunk {
				r = twoAndJoiner(t, 300, 1000, nil)
			} else if seed < 4 {
				r = away(t, 40, 600_000) // 24 MB
			} else {
				break
			}
			flipped := 0
			r.damage = func(p []byte) {
				k, _, _ := wire.ParseTransfer(p)
				if k == kind && flipped == seed%3 {
					bit := (seed * 7919) % (8 * len(p))
					p[bit/8] ^= 1 << (bit % 8)
				}
				if k == kind {
					flipped++
				}
			}
			r.ready(0, 1, 2)
			r.run(20 * time.Millisecond)
			r.same(0, 1, 2)
			if flipped <= seed%3 {
				t.Errorf("kind %d, seed %d: no bit was flipped", kind, seed)
			}
		}
	}
}

// The rate of answers halves while a rotation takes more than twice as long as without them, and comes back.
func TestPace(t *testing.T) {
	var p pace
	now, high := clock.Time(0), uint64(0)
	visits := func(n int, d time.Duration, busy bool) {
		for range n {
			now = now.Add(d)
			if busy {
				high++
			}
			p.visit(now, high)
		}
	}
	visits(200, 100*time.Microsecond, true)
	if gap := p.sent(); gap != 0 {
		t.Errorf("a gap of %v at first", gap)
	}
	visits(100, 10*time.Millisecond, false) // a token that rests is no slow one
	if gap := p.sent(); gap != 0 {
		t.Errorf("a gap of %v after rest", gap)
	}
	last := time.Duration(0)
	for range 4 {
		p.sent()
		visits(10, 400*time.Microsecond, true)
		gap := p.sent()
		if gap < 2*last && gap != paceMost || gap == 0 {
			t.Errorf("a gap of %v after %v", gap, last)
		}
		last = gap
	}
	for range 100 {
		p.sent()
		visits(5, 100*time.Microsecond, true)
	}
	if gap := p.sent(); gap != 0 {
		t.Errorf("a gap of %v when the rotation is as before", gap)
	}
}

// A learner that is slower than the writers overruns, says so, holds up nobody, and is ready once they are slower.
func TestOverrun(t *testing.T) {
	r := twoAndJoiner(t, 2000, 1000, func(i int, c *Config) { c.learnBytes = 100 << 10 })
	learner, n := r.nodes[2], 0
	write := func() {
		for range 20 {
			r.nodes[0].put(fmt.Sprint("key ", n), string(make([]byte, 1000)))
			n++
		}
	}
	for range 100 {
		write()
		r.turn()
	}
	if learner.core.Stats().Overruns == 0 || len(learner.warned) == 0 {
		t.Fatal("no overrun, or no word of it")
	}
	if b := learner.core.learn.bytes; b > 101<<10 {
		t.Errorf("%d bytes are kept", b)
	}
	r.run(10 * time.Millisecond)
	for _, c := range r.nodes[0].done {
		if c.Code != CodeOK {
			t.Fatalf("a write ended with code %d", c.Code)
		}
	}
	if open := int(r.nodes[0].calls) - len(r.nodes[0].done); open > 0 {
		t.Errorf("%d writes wait", open)
	}
	r.ready(0, 1, 2)
	r.run(20 * time.Millisecond)
	r.same(0, 1, 2)
}

// Forged chunks and questions change nothing but counters.
func TestForgedTransfers(t *testing.T) {
	r := twoAndJoiner(t, 8000, 1000, nil)
	learner := r.nodes[2]
	r.until("it fetches", func() bool { return learner.core.fetch.of.Index != 0 && len(learner.core.fetch.answers) == 0 })
	f := &learner.core.fetch
	provider := f.provider()
	other := r.nodes[0].id
	if other == provider {
		other = r.nodes[1].id
	}
	good := wire.ClusterChunk{Number: f.question.Number, Chain: f.question.Chain, Epoch: f.question.Epoch, Part: f.part, From: f.from, Next: f.from + 1,
		Index: f.of.Index, Hash: f.of.Hash, Entries: f.of.Entries, Digest: f.of.Digest, Data: []byte("x"), CRC: wire.PartChecksum([]byte("x")), Count: 1}
	take := func(from wire.MemberID, a wire.ClusterChunk) bool {
		return learner.core.TransferFrom(r.now, from, wire.AppendTransfer(nil, wire.KindChunk, &a))
	}
	if take(other, good) || take(wire.MemberID{77}, good) {
		t.Error("a chunk is taken from a member that was not asked")
	}
	if learner.core.TransferFrom(r.now, provider, []byte{1, 2, 3}) || learner.core.TransferFrom(r.now, provider, wire.AppendTransfer(nil, wire.KindRecent, &wire.ClusterRecent{Number: good.Number})) {
		t.Error("something is taken that was not asked for")
	}
	for i, change := range []func(a *wire.ClusterChunk){
		func(a *wire.ClusterChunk) { a.Number++ },
		func(a *wire.ClusterChunk) { a.Epoch++ },
		func(a *wire.ClusterChunk) { a.Chain.Founded++ },
		func(a *wire.ClusterChunk) { a.Part++ },
		func(a *wire.ClusterChunk) { a.From++ },
		func(a *wire.ClusterChunk) { a.Next = a.From },
		func(a *wire.ClusterChunk) { a.Index++ },
		func(a *wire.ClusterChunk) { a.Hash++ },
		func(a *wire.ClusterChunk) { a.Entries++ },
		func(a *wire.ClusterChunk) { a.Digest++ },
		func(a *wire.ClusterChunk) { a.Count++ },
		func(a *wire.ClusterChunk) { a.CRC++ },
		func(a *wire.ClusterChunk) { a.Last = true },
		func(a *wire.ClusterChunk) {},
		func(a *wire.ClusterChunk) { a.Gone = true },
	} {
		r.until(fmt.Sprint("it has asked, forgery ", i), func() bool { return f.on && f.asking && f.of.Index != 0 || learner.pub.Ready })
		if learner.pub.Ready {
			t.Fatalf("it was ready before forgery %d", i)
		}
		a := good
		a.Number, a.Part, a.From, a.Next = f.question.Number, f.part, f.from, f.from+1
		a.Index, a.Hash, a.Entries, a.Digest = f.of.Index, f.of.Hash, f.of.Entries, f.of.Digest
		change(&a)
		if take(f.provider(), a) { // before what is true
			last := len(f.answers) - 1
			f.answers = slices.Insert(f.answers[:last:last], 0, f.answers[last])
		}
		r.turn()
	}
	// Questions: of strangers, of members that need nothing, with anything in them.
	for i := range 200 {
		q := wire.ClusterFetch{Number: r.rand.Uint64(), Chain: f.question.Chain, Epoch: f.question.Epoch, Recent: i&1 != 0, Anew: i&2 != 0, Most: r.rand.Uint32(),
			Part: r.rand.Uint32N(4), From: r.rand.Uint64() >> r.rand.IntN(64), Index: r.rand.Uint64() >> r.rand.IntN(64), Hash: r.rand.Uint64()}
		r.nodes[0].core.TransferFrom(r.now, r.nodes[1].id, wire.AppendTransfer(nil, wire.KindFetch, &q))
		if r.nodes[0].core.TransferFrom(r.now, wire.MemberID{77}, wire.AppendTransfer(nil, wire.KindFetch, &q)) {
			t.Fatal("a stranger's question is taken")
		}
		if i%10 == 0 {
			r.turn()
		}
	}
	r.ready(0, 1, 2)
	r.run(20 * time.Millisecond)
	r.same(0, 1, 2)
	if n := len(r.nodes[0].core.provide.streams); n > 1 {
		t.Errorf("%d streams", n)
	}
}

// Many maps, long values, locks and terms: what a state can hold arrives, and is equal.
func TestJoinerGetsAllShapes(t *testing.T) {
	r := newRig(t, 2, nil)
	r.split([]int{0, 1})
	r.run(2 * time.Second)
	r.ready(0, 1)
	for i := range 300 {
		r.nodes[0].call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: fmt.Append(nil, "map ", i), Key: []byte("k"), Value: make([]byte, i)}})
		if i%50 == 0 {
			r.turn()
		}
	}
	big := r.nodes[0].call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Key: make([]byte, 4096), Value: make([]byte, 1<<20-5000)}})
	for i := range 200 {
		r.nodes[i%2].call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: []byte("m"), Key: fmt.Append(nil, i), TTL: int64(time.Hour), RemoveOnExit: i%3 == 0}})
		r.nodes[i%2].lock(fmt.Sprint("lock ", i%50), time.Hour)
	}
	if code := r.nodes[0].wait(big); code != CodeOK {
		t.Fatalf("the large value: code %d", code)
	}
	r.run(20 * time.Millisecond)
	r.add(2, nil)
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.run(20 * time.Millisecond)
	r.same(0, 1, 2)
	if s := r.nodes[2].core.Stats(); s.Maps != 301 || s.Locks != 50 || s.Waits != 150 {
		t.Errorf("%+v", s)
	}
}

// Joiners in any schedule of splits, deaths, lost and damaged answers, with buffers that overrun: in the end all are ready
// and equal.
func TestTransfersAtRandom(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 15
	}
	var sum Stats
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 21))
		learn := 20_000 << rnd.IntN(6)
		change := func(i int, c *Config) { c.learnBytes = learn }
		r := newRig(t, 3, change)
		r.rand = rnd
		r.split([]int{0, 1, 2})
		r.run(2 * time.Second)
		r.ready(0, 1, 2)
		r.fill(200+rnd.IntN(1500), 100+rnd.IntN(900))
		loss, flips := rnd.IntN(3)*rnd.IntN(30), rnd.IntN(2)*rnd.IntN(20)
		r.lossy = func(wire.MemberID) bool { return rnd.IntN(100) < loss }
		r.damage = func(p []byte) {
			if rnd.IntN(100) < flips {
				p[rnd.IntN(len(p))] ^= 1 << rnd.IntN(8)
			}
		}
		for range 25 {
			switch living := r.living(); rnd.IntN(6) {
			case 0:
				// Never the last complete replica, and never one that the rest cannot go on without.
				i := living[rnd.IntN(len(living))]
				if first := r.nodes[0]; i > 0 && first.pub.Primary && len(first.core.state.Voters()) > 2 {
					r.kill(i)
					r.run(10 * time.Millisecond)
					r.split(r.living())
				}
			case 1, 2:
				if len(living) < 6 {
					r.add(0, change)
					r.split(r.living())
				}
			case 3:
				at := 1 + rnd.IntN(len(living))
				r.split(slices.DeleteFunc([][]int{living[:at], living[at:]}, func(g []int) bool { return len(g) == 0 })...)
			case 4:
				r.split(living)
			}
			for range 1 + rnd.IntN(15) {
				for range rnd.IntN(20) {
					n := r.nodes[r.living()[0]]
					n.put(fmt.Sprint("key ", rnd.IntN(2000)), string(make([]byte, rnd.IntN(1000))))
				}
				r.turn()
			}
		}
		r.lossy, r.damage = nil, nil
		r.split(r.living())
		r.ready(r.living()...)
		r.run(20 * time.Millisecond)
		r.same(r.living()...)
		if seed%5 == 0 {
			r.run(oldCutLives + time.Second)
			for _, i := range r.living() {
				c := r.nodes[i].core
				if p := &c.provide; p.cut != nil || len(p.old) > 0 || len(p.streams) > 0 || c.fetch.builder != nil || c.fetch.on || len(c.learn.kept) > 0 || c.learn.partial {
					t.Errorf("member %d keeps something of a transfer", i)
				}
			}
		}
		for _, n := range r.nodes {
			s := n.core.Stats()
			sum.Transfers += s.Transfers
			sum.Overruns += s.Overruns
			sum.ChunksServed += s.ChunksServed
			sum.HashMismatches += s.HashMismatches
			sum.Fills += s.Fills
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d transfers of %d chunks, %d overruns, %d fills, %d mismatches", sum.Transfers, sum.ChunksServed, sum.Overruns, sum.Fills, sum.HashMismatches)
	if sum.Transfers < seeds || sum.Overruns == 0 {
		t.Error("this tests little")
	}
}

// The provider is neither the leader nor the master where there is another member.
func TestProviderChoice(t *testing.T) {
	r := newRig(t, 4, func(i int, c *Config) { c.Weight = int64([]int{0, 5, 0, 0}[i]) })
	r.split([]int{0, 1, 2, 3})
	r.run(2 * time.Second)
	r.ready(0, 1, 2, 3)
	r.fill(100, 100)
	for range 20 { // member 2 has work
		for range 50 {
			r.nodes[2].put("k", "v")
		}
		r.run(20 * time.Millisecond)
	}
	r.add(4, nil)
	r.split([]int{0, 1, 2, 3, 4})
	r.until("it learns", func() bool { return r.nodes[4].core.phase == Learning })
	f := &r.nodes[4].core.fetch
	var got []int
	for _, id := range f.providers {
		got = append(got, int(id[0])-1)
	}
	if leader, master := r.nodes[0].core.state.Leader(), r.nodes[0].pub.Master; leader != r.nodes[0].id || master != r.nodes[1].id {
		t.Fatalf("leader %v, master %v", leader, master)
	}
	if !slices.Equal(got[:2], []int{3, 2}) || len(got) != 4 {
		t.Errorf("it asks %v", got)
	}
	r.ready(4)
}
