package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/totem"
	"github.com/activeblaze/blaze/wire"
)

// StateCluster is a number of members of a cluster on one network: internal/member with the core of package cluster on its
// ring, and the pairs of the group that carry its transfers. It has the log of what happened. Set its fields before Start.
type StateCluster struct {
	Seed    uint64
	Config  Config // of the network; Seed and Link are filled in by Prepare
	Load    StateLoad
	Rare    RingFaults // what goes wrong beside the Faults that Start is given
	Profile totem.Profile

	Expected int     // ExpectedMembers of all
	Disks    bool    // every node has a DataDir
	Interval bool    // SyncInterval
	Rename   float64 // share of restarts under another name
	Drift    float64 // the largest error of a clock's rate: 0.005 is 0.5 %
	// WallError is by how much the wall clocks of two nodes differ, at most.
	WallError time.Duration
	// Service has all members run a service beside the maps, observers only where LackingObservers is not set.
	Service, LackingObservers bool
	// Host, where set, makes the application of each process, with a service of its own.
	Host func(m *StateMember) stateHost
	// Odd, where set, has the service of a node answer otherwise than the others': a planted defect.
	Odd func(node int) bool
	// Observer, where set, reports which nodes have Config.Observer.
	Observer func(node int) bool
	// Change, where set, has the last word on a member's configuration.
	Change func(node int, c *cluster.Config)
	// Probed, where set, is given every step of a replica.
	Probed func(m *StateMember, p *cluster.Probe)
	// Warned, where set, is given what members write to their logs.
	Warned func(m *StateMember, w *cluster.Warning)

	Net     *Network
	Log     *check.ClusterLog
	Members []*StateMember
	Tally   StateTally

	t        testing.TB
	rng      *rand.Rand
	faults   *ringInjector
	healed   bool
	finished bool
	closed   bool
	held     clock.Time // when a member was last held down for a time that nothing shortens; 0: never
	values   uint64
	tips     map[uint64]check.Place // by chain: the highest place that was counted anywhere
	certain  map[check.Place]bool   // of operations of the service: Certain was called for them
	rings    map[wire.RingID]bool   // established, and judged for E3
}

// StateLoad is what the members of a cluster call.
type StateLoad struct {
	Every   time.Duration // mean time between two calls of one member; zero means 10ms, negative: none
	Keys    int           // of each of two maps; zero means 4
	Large   float64       // share of values of up to LargeTo bytes, instead of 16 to 200
	LargeTo int           // bytes; zero means 20000
	Lease   time.Duration // the longest; zero means 1s
	Fill    int           // entries that the first member writes at the beginning, for transfers of many chunks
	NoLocks bool
}

func (l StateLoad) withDefaults() StateLoad {
	if l.Every == 0 {
		l.Every = 10 * time.Millisecond
	}
	if l.Keys == 0 {
		l.Keys = 4
	}
	if l.LargeTo == 0 {
		l.LargeTo = 20000
	}
	if l.Lease == 0 {
		l.Lease = time.Second
	}
	return l
}

// NewStateCluster makes a cluster for one seed. t is given the violations; it may be nil.
func NewStateCluster(t testing.TB, seed uint64) *StateCluster {
	return &StateCluster{Seed: seed, t: t, Log: check.NewClusterLog(), rng: rand.New(rand.NewPCG(seed, 0x7374617465)),
		tips: map[uint64]check.Place{}, rings: map[wire.RingID]bool{}, certain: map[check.Place]bool{}}
}

// Prepare makes the network, without members.
func (c *StateCluster) Prepare(f Faults) {
	c.Config.Seed, c.Config.Link = c.Seed, f.link()
	c.Load = c.Load.withDefaults()
	c.Log.Expected, c.Log.Disk = c.Expected, c.Disks && !c.Interval
	if c.Profile == (totem.Profile{}) {
		c.Profile = totem.Tuned()
	}
	c.Net = New(c.Config)
}

// Start makes n members at about the same time, begins their load, and lets faults happen until Heal.
func (c *StateCluster) Start(n int, f Faults) {
	c.Prepare(f)
	for range n {
		c.Join()
	}
	c.inject(f)
}

// Join adds one member on a node of its own and returns the node's number.
func (c *StateCluster) Join() int {
	m := &StateMember{Node: len(c.Members), c: c, name: fmt.Sprintf("node %d", len(c.Members))}
	rng := rand.New(rand.NewPCG(c.Seed, uint64(m.Node)<<8|0x636c6b))
	m.rate = c.Drift * (2*rng.Float64() - 1)
	m.wall = 1_700_000_000_000_000 + int64(between(rng, c.WallError)/time.Microsecond)
	if c.Disks {
		m.disk = NewDisk(c.Net, c.Seed<<8|uint64(m.Node))
	}
	c.Members = append(c.Members, m)
	m.start()
	return m.Node
}

// Until lets time pass until t after the beginning.
func (c *StateCluster) Until(t time.Duration) { c.Net.Run(clock.Time(t)) }

// For lets d pass.
func (c *StateCluster) For(d time.Duration) { c.Net.Run(c.Net.Now().Add(d)) }

func (c *StateCluster) inject(f Faults) {
	c.faults = injectRing(c, injectingInto(c.Net, c.Seed, f.Lasting, 200*time.Millisecond, &c.healed), f, c.Rare, &c.Tally.FaultTally)
}

// Shatter lets what is whole fall apart, and leaves that to Heal.
func (c *StateCluster) Shatter() { c.faults.shatter() }

func (c *StateCluster) nodes() int { return len(c.Members) }

func (c *StateCluster) standing(node int) standing {
	m := c.Members[node]
	return standing{m.Proc, m.Alive(), m.Alive(), m.paused, m.leaving}
}

// Pause stops the turns of node i.
func (c *StateCluster) Pause(i int) {
	if m := c.Members[i]; m.Alive() && !m.paused {
		m.paused = true
		c.Log.Add(check.ClusterRecord{At: c.Net.Now(), Kind: check.ClusterPaused, Proc: m.Proc})
		m.Driver.Pause()
	}
}

// Resume undoes Pause.
func (c *StateCluster) Resume(i int) {
	if m := c.Members[i]; m.Alive() && m.paused {
		m.paused = false
		c.Log.Add(check.ClusterRecord{At: c.Net.Now(), Kind: check.ClusterResumed, Proc: m.Proc})
		m.Driver.Resume()
	}
}

// Crash ends the member on node i without a word. What its disk had not synced is lost.
func (c *StateCluster) Crash(i int) { c.Members[i].crash() }

// Leave ends the member on node i in order.
func (c *StateCluster) Leave(i int) { c.Members[i].leave() }

// Restart starts a new member on node i, where the old one has ended.
func (c *StateCluster) Restart(i int) {
	if m := c.Members[i]; !m.Alive() {
		if chance(c.rng, c.Rename) {
			c.values++
			m.name = fmt.Sprintf("node %d, %d", i, c.values)
		}
		m.start()
	}
}

// Split cuts both ways between the nodes of a and all others.
func (c *StateCluster) Split(a ...int) { c.Net.Partition(len(c.Members), a...) }

// Heal ends all faults: the network loses nothing any more, and everybody runs.
func (c *StateCluster) Heal() {
	c.healed = true
	c.Net.MendAll()
	c.Net.SetTap(nil)
	for i := range c.Members {
		c.Resume(i)
		c.again(i)
	}
	c.Net.ClearLinks()
	c.Net.SetDefault(Link{Delay: c.Net.Default().Delay})
	c.Log.Healed = c.Net.Now()
}

// again starts the next process of a node, as soon as the one before has ended.
func (c *StateCluster) again(i int) {
	if m := c.Members[i]; m.Alive() && m.leaving && !c.closed {
		c.Net.After(time.Millisecond, func() { c.again(i) })
	} else if !m.Alive() && !c.closed {
		c.Restart(i)
	}
}

// Alive counts the members that run and do not leave.
func (c *StateCluster) Alive() (n int) {
	for _, m := range c.Members {
		if m.Alive() && !m.leaving {
			n++
		}
	}
	return n
}

// Whole reports whether all members that run are complete in one primary, at one place, and no call waits.
func (c *StateCluster) Whole() bool {
	var first *StateMember
	for _, m := range c.Members {
		if !m.Alive() || m.leaving {
			return false // it starts anew
		}
		if first == nil {
			first = m
		}
		if !m.primary || !m.ready || m.place != first.place || m.ringSize != c.Alive() || len(m.open) > 0 || m.master == (wire.MemberID{}) {
			return false
		}
	}
	return true
}

// holder is a node whose application holds a lock; -1: there is none.
func (c *StateCluster) holder() int {
	for _, m := range c.Members {
		if m.Alive() && !m.paused && !m.leaving && len(m.locks) > 0 {
			return m.Node
		}
	}
	return -1
}

// stuck reports whether nobody is in a primary, for reasons that time does not change (cluster.md, 7.3).
func (c *StateCluster) stuck() bool {
	for _, m := range c.Members {
		if m.Alive() && !m.leaving && (m.primary || m.ringSize != c.Alive() || m.core().Status(m.local(c.Net.Now())).Phase != cluster.Outside) {
			return false
		}
	}
	return true
}

// Settle ends the load. Within d all members have to be complete in one primary, at one place, without a call that waits;
// within d and a second where a hold-down runs that only time ends. Then the checkers judge.
func (c *StateCluster) Settle(d time.Duration) {
	for _, v := range c.SettleFor(d) {
		if c.t != nil {
			c.t.Helper()
			c.t.Errorf("seed %d: %v", c.Seed, v)
		}
	}
}

// SettleFor is Settle that returns what the checkers found.
func (c *StateCluster) SettleFor(d time.Duration) (vs []check.Violation) {
	c.finish()
	c.Net.RunUntil(c.Net.Now().Add(1200*time.Millisecond), c.settled) // who leaves takes its time, and starts anew
	from := c.Net.Now()
	whole := c.Net.RunUntil(from.Add(d), c.Whole)
	if !whole && c.held != 0 && c.held.Add(time.Second) > from {
		d += time.Second
		c.Tally.Held++
		whole = c.Net.RunUntil(from.Add(d), c.Whole)
	}
	if !whole && !c.Disks && c.stuck() {
		// Those that remember are no majority any more: it takes Force, or their return.
		c.Tally.Stuck++
		c.force()
		c.For(time.Second)
		for _, m := range c.Members {
			m.stir()
		}
		whole = c.Net.RunUntil(c.Net.Now().Add(d+2*time.Second), c.Whole)
		from = c.Net.Now()
	}
	switch {
	case whole:
		c.Tally.Settled = append(c.Tally.Settled, c.Net.Now().Sub(from))
	default:
		late := c.Net.RunUntil(from.Add(20*d), c.Whole)
		word := "never"
		if late {
			word = "late: " + c.Net.Now().Sub(from).String()
		}
		vs = append(vs, check.Violation{ID: "EL-7", At: -1, Text: fmt.Sprintf("not whole within %v, %s%s", d, word, c.Describe())})
	}
	for _, m := range c.Members {
		m.final()
	}
	vs = append(vs, check.Clusters(c.Log)...)
	vs = append(vs, c.certainLost()...)
	vs = append(vs, c.close()...)
	if n := c.Tally.Mismatches; n > 0 {
		vs = append(vs, check.Violation{ID: "MP-4", At: -1, Text: fmt.Sprintf("%d times a replica was found to be another one than it should be", n)})
	}
	c.Tally.run(c)
	return vs
}

// settled reports whether nobody leaves any more.
func (c *StateCluster) settled() bool {
	for _, m := range c.Members {
		if !m.Alive() || m.leaving {
			return false
		}
	}
	return true
}

// force has one member make those that are connected the primary.
func (c *StateCluster) force() {
	m := c.Members[c.rng.IntN(len(c.Members))]
	if !m.Alive() {
		return
	}
	m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallForce}})
}

// finish ends the load: nothing new is called, and what is held is given back.
func (c *StateCluster) finish() {
	c.finished = true
	for _, m := range c.Members {
		m.stir()
	}
}

// close ends all members and looks for what they forgot.
func (c *StateCluster) close() (vs []check.Violation) {
	c.closed = true
	for _, m := range c.Members {
		if m.Alive() {
			c.Tally.process(m.core().Stats(), m.Member.Cluster().Stats())
			m.Driver.Close()
			m.release()
			if m.store != nil {
				m.store.Close(true)
			}
			m.Member = nil
		}
	}
	if err := c.Net.Conserved(); err != nil {
		vs = append(vs, check.Violation{ID: "RS-7", At: -1, Text: err.Error()})
	}
	return vs
}

// Describe says where the members are.
func (c *StateCluster) Describe() string {
	var b strings.Builder
	for _, m := range c.Members {
		if !m.Alive() {
			fmt.Fprintf(&b, "\n  node %d does not run", m.Node)
			continue
		}
		s := m.core().Status(m.local(c.Net.Now()))
		fmt.Fprintf(&b, "\n  node %d (%x): %v, primary %t ready %t, ring of %d, place %d:%x, epoch %d, master %x, %d calls, %d tried, missing %d, need %q, why %q, progress %+v",
			m.Node, m.id[:2], s.Phase, m.primary, m.ready, m.ringSize, m.place.Index, m.place.Hash&0xffff, s.Last.Epoch, m.master[:2], len(m.open), len(s.Tried), len(s.Missing), s.Need, s.Why, s.Progress)
		for _, a := range m.open {
			fmt.Fprintf(&b, " [call %d kind %d %v since %v]", a.call.Number, a.call.Kind, &a.op, a.at.Sub(0))
		}
		if m.leaving {
			b.WriteString(" leaves")
		}
		if m.paused {
			b.WriteString(" stands still")
		}
	}
	return b.String()
}

// proc is the process of a member.
func (c *StateCluster) proc(id wire.MemberID) check.Proc { return c.Log.ProcOf(id) }

// chain names a chain.
func chainName(ch wire.Chain) uint64 {
	h := ch.Ring.Seq*0x9e3779b97f4a7c15 ^ binary.LittleEndian.Uint64(ch.Ring.Rep[:8]) ^ ch.Founded<<17
	if h == 0 {
		h = 1
	}
	return h
}

func ringNumber(r wire.RingID) uint64 { return r.Seq<<20 ^ binary.LittleEndian.Uint64(r.Rep[:8]) }

func seatNumber(s wire.Seat) uint64 { return binary.LittleEndian.Uint64(s[:8]) }
