package cluster

import (
	cmdline "flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"math/rand/v2"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

var seedFlag = cmdline.Uint64("core.seed", 0, "run this seed of TestRandom alone")
var seedsFlag = cmdline.Uint64("core.seeds", 0, "so many seeds of TestRandom")

// ledger is what the Probes of all members show of a run.
type ledger struct {
	t    *testing.T
	seed uint64
	puts map[string]uint64 // value → index at which it counted; values are unique
	said map[string]string // value → what a service has answered to it, with the index
	fail bool
}

func (l *ledger) errorf(format string, args ...any) {
	l.fail = true
	l.t.Errorf("seed %d: %s", l.seed, fmt.Sprintf(format, args...))
}

func (l *ledger) probe(i int) func(clock.Time, *Probe) {
	return func(_ clock.Time, p *Probe) {
		if p.Kind != ProbeApplied && p.Kind != ProbeEstablished {
			return
		}
		if p.Kind == ProbeApplied && p.Op != nil && p.Op.Kind == wire.OpPut && p.Code == CodeOK {
			v := string(p.Op.Value)
			if was, ok := l.puts[v]; ok && was != p.Index {
				l.errorf("member %d: %q counts at %d, and at %d before", i, v, p.Index, was)
			}
			l.puts[v] = p.Index
		}
		if p.Kind == ProbeApplied && p.Op != nil && p.Op.Kind == wire.OpService && p.Code == CodeOK {
			v, answer := string(p.Op.Value), fmt.Sprintf("%d %s", p.Index, p.Answer)
			if was, ok := l.said[v]; ok && was != answer {
				l.errorf("member %d: the answer to %q is %q, and was %q", i, v, answer, was)
			}
			l.said[v] = answer
		}
	}
}

// TestRandom has a few members write, lock and read while rings split and merge and members die, and checks that replicas stay
// equal, that operations count once, and that every call ends. docs/cluster.md's promises are checked in sim.
func TestRandom(t *testing.T) {
	seeds := uint64(60)
	if !testing.Short() {
		seeds = 600
	}
	if *seedsFlag > 0 {
		seeds = *seedsFlag
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		if *seedFlag != 0 && seed != *seedFlag {
			continue
		}
		runRandom(t, seed)
	}
}

func runRandom(t *testing.T, seed uint64) {
	l := &ledger{t: t, seed: seed, puts: map[string]uint64{}, said: map[string]string{}}
	rnd := rand.New(rand.NewPCG(seed, 7))
	n := 2 + rnd.IntN(4)
	expected := 0
	if rnd.IntN(2) == 0 {
		expected = n
	}
	r := newRig(t, 0, nil)
	for i := range n {
		r.add(i, func(i int, c *Config) {
			c.Expected = expected
			c.Probe = l.probe(i)
			r.serve(c, "one", "two")
		})
	}
	r.rand = rnd
	defer func() {
		if e := recover(); e != nil {
			t.Errorf("seed %d: panic", seed)
			panic(e)
		}
	}()
	everybody := make([]int, n)
	for i := range everybody {
		everybody[i] = i
	}
	var open []*Call
	owner := map[*Call]*node{}
	acked := map[string]string{} // key → last acknowledged value, by one writer each
	made := 0
	step := func() {
		for range 1 + rnd.IntN(6) {
			r.turn()
		}
	}
	r.split(everybody)
	for range 60 {
		switch rnd.IntN(12) {
		case 0:
			parts := make([][]int, 1+rnd.IntN(3))
			for _, i := range everybody {
				k := rnd.IntN(len(parts))
				parts[k] = append(parts[k], i)
			}
			r.split(slices.DeleteFunc(parts, func(p []int) bool { return len(p) == 0 })...)
		case 1:
			r.split(everybody)
		case 2:
			r.run(time.Duration(rnd.IntN(700)) * time.Millisecond)
		default:
			nd := r.nodes[rnd.IntN(n)]
			made++
			var c *Call
			switch rnd.IntN(8) {
			case 6, 7:
				op := fmt.Sprint(nd.i, "/", made)
				if rnd.IntN(8) == 0 {
					op = fmt.Sprint("wake ", nd.core.wallNanos(r.now)+int64(rnd.IntN(100e6)), " ", made)
				}
				c = nd.propose([]string{"one", "two"}[rnd.IntN(2)], op)
			case 0:
				c = nd.lock(fmt.Sprint("l", rnd.IntN(2)), time.Duration(1+rnd.IntN(2000))*time.Millisecond)
			case 1:
				c = nd.call(&Call{Kind: CallLinear, Op: wire.ClusterOp{Map: []byte("m"), Key: fmt.Append(nil, "k", nd.i)}})
			case 2:
				if len(open) > 0 {
					o := open[rnd.IntN(len(open))]
					if on := owner[o]; on.done[o.Number] == o && o.Kind == CallLock && o.Code == CodeOK {
						c = on.call(&Call{Kind: CallUnlock, Lock: o.Number})
						nd = on
					} else if on.done[o.Number] == nil {
						if _, ok := on.core.Cancel(r.now, o.Number); ok {
							on.done[o.Number] = &Call{}
							open = slices.DeleteFunc(open, func(x *Call) bool { return x == o })
						}
					}
				}
			default:
				c = nd.put(fmt.Sprint("k", nd.i), fmt.Sprint(nd.i, "/", made))
			}
			if c != nil {
				open = append(open, c)
				owner[c] = nd
			}
			nd.core.Flush(r.now)
		}
		step()
	}
	r.split(everybody)
	for range 8000 {
		if !slices.ContainsFunc(r.nodes, func(n *node) bool { return !n.pub.Ready }) {
			break
		}
		r.turn()
	}
	r.run(3 * time.Second)
	for range 10 { // the leader may have proposed something in the last turns
		if !slices.ContainsFunc(r.nodes, func(n *node) bool { return n.core.flight.len() > 0 }) {
			break
		}
		r.turn()
	}
	for i, nd := range r.nodes {
		if !nd.pub.Ready {
			s := nd.core.Status(r.now)
			l.errorf("member %d is not ready: phase %v, why %q, tried %d, expected %d", i, s.Phase, s.Why, len(s.Tried), expected)
		}
	}
	if l.fail {
		return
	}
	last := r.nodes[0].core.State()
	for i, nd := range r.nodes {
		for _, name := range []string{"one", "two"} {
			if a, b := r.nodes[0].book(name).lines, nd.book(name).lines; !slices.Equal(a, b) {
				l.errorf("service %s of member %d differs from member 0's:\n%s\n%s", name, i, lastOf(a), lastOf(b))
			}
		}
		if m := nd.core.Stats().HashMismatches; m != 0 {
			l.errorf("member %d: %d mismatches", i, m)
		}
		s := nd.core.State()
		if s.Index() != last.Index() || s.Hash() != last.Hash() || s.Digest() != last.Digest() {
			l.errorf("member %d differs from member 0: index %d, %d", i, s.Index(), last.Index())
		}
	}
	for _, c := range open {
		nd := owner[c]
		if nd.done[c.Number] != c {
			if c.Kind == CallLock {
				continue // in line behind one that is not released, but for its lease: at the end below
			}
			l.errorf("member %d: call %d of kind %d waits at the end, in place %v", nd.i, c.Number, c.Kind, nd.core.calls[c.Number])
			continue
		}
		if c.Kind != CallOp {
			continue
		}
		v := string(c.Op.Value)
		if c.Op.Kind == wire.OpService {
			answer, ok := l.said[v]
			switch {
			case c.Code == CodeOK && answer != fmt.Sprintf("%d %s", c.Version, c.Answer):
				l.errorf("%q was answered %q at %d, and counted as %q", v, c.Answer, c.Version, answer)
			case c.Code == CodeNoQuorum && ok, c.Code == CodeUnsupported:
				l.errorf("%q ended with code %d, and counted: %v", v, c.Code, ok)
			}
			continue
		}
		index, ok := l.puts[v]
		switch {
		case c.Code == CodeOK && !ok:
			l.errorf("%q was acknowledged and never counted", v)
		case c.Code == CodeOK && index != c.Version:
			l.errorf("%q counted at %d, and its version is %d", v, index, c.Version)
		case c.Code == CodeNoQuorum && ok:
			l.errorf("%q counted, and ended with no quorum", v)
		}
		if c.Code == CodeOK {
			acked[string(c.Op.Key)] = v
		}
	}
	for i, nd := range r.nodes {
		if k := len(nd.core.holds); nd.core.own.len() > 0 || nd.core.flight.len() > 0 || len(nd.core.tail) > 0 {
			l.errorf("member %d: %d own operations, %d in flight, %d steps in the tail, %d holds at the end", i, nd.core.own.len(), nd.core.flight.len(), len(nd.core.tail), k)
		}
	}
}
