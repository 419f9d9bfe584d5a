package sim

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// Cluster is a number of members on one network, the load that they carry, and the log of
// what happened. Set its fields before Start.
type Cluster struct {
	Seed   uint64
	Config Config       // of the network; Seed and Link are filled in by Start
	Member MemberConfig // of all members
	Load   Load         // what members send
	Make   func(NodeConfig) Node
	Watch  bool // record what is on the wire, for the checkers of traffic

	// Sabotage, where set, stands between a member and its application: a planted defect.
	Sabotage func(c *Cluster, node int, s nack.Sink) nack.Sink
	// Expect is what the checkers may assume. Start and Settle fill in their parts.
	Expect check.Options

	Net     *Network
	Log     *check.Log
	Members []*Member

	t        testing.TB
	rng      *rand.Rand
	name     uint64 // hash of the cluster's name
	healed   bool
	print    io.Writer // nil: nothing is printed
	watch    *watcher
	faulty   bool // a member was paused or cut off
	last     bool // Settle's last messages are on their way
	finished bool
}

// NewCluster makes a cluster for one seed. t is given the violations; it may be nil when
// SettleFor ends the run.
func NewCluster(t testing.TB, seed uint64) *Cluster {
	return &Cluster{Seed: seed, t: t, Make: NewCoreNode, Log: check.NewLog(),
		rng: rand.New(rand.NewPCG(seed, 0x636c7573746572)), name: wire.ClusterHash("sim")}
}

// Start makes n members, begins their load, and lets faults happen until Heal.
func (c *Cluster) Start(n int, f Faults) {
	c.Prepare(f)
	for range n {
		c.Join()
	}
	c.StartLoad()
	c.inject(f)
}

// Prepare makes the network, without members. Start does it; a scenario that adds its members
// one by one calls Prepare, Join and StartLoad itself.
func (c *Cluster) Prepare(f Faults) {
	c.Config.Seed, c.Config.Link = c.Seed, f.link()
	c.Member = c.Member.withDefaults()
	c.Load = c.Load.withDefaults()
	c.Net = New(c.Config)
	if c.Watch || c.print != nil {
		c.watch = &watcher{c: c}
		c.Net.watch = c.watch
	}
	if c.Expect.Eviction == 0 && (f.Partition > 0 || f.BySize > 0 || f.OneSort > 0 || f.Squeeze > 0 || f.Pause > 0 || f.Crash > 0 || f.Stall > 0) {
		c.Expect.Eviction = c.Member.Eviction
	}
	c.Expect.Heavy = c.Expect.Heavy || f.Loss > 0.05 || f.Burst.Enter > 0 || f.Squeeze > 0
	c.Expect.Fastest = c.Expect.Fastest || c.Member.Fastest
	c.Expect.Evicts = c.Expect.Evicts || c.Member.SlowestFor > 0
	c.Expect.Flight = max(c.Expect.Flight, time.Millisecond+f.link().Delay+f.Jitter+f.ReorderBy)
}

// Join adds one member on a node of its own and returns the node's number. Where the load
// has it send, it opens its streams.
func (c *Cluster) Join() int {
	m := &Member{Node: len(c.Members), c: c}
	c.Members = append(c.Members, m)
	m.start()
	return m.Node
}

// Until lets time pass until t after the beginning.
func (c *Cluster) Until(t time.Duration) { c.Net.Run(clock.Time(t)) }

// For lets d pass.
func (c *Cluster) For(d time.Duration) { c.Net.Run(c.after(d)) }

// Pause stops the turns of node i, and its application.
func (c *Cluster) Pause(i int) {
	m := c.Members[i]
	m.paused, c.faulty = true, true
	m.Driver.Pause()
	c.Log.Fault(c.Net.Now(), check.Pause, m.Proc, m.Proc)
}

// Resume undoes Pause.
func (c *Cluster) Resume(i int) {
	m := c.Members[i]
	if !m.paused {
		return
	}
	m.paused = false
	c.Log.Fault(c.Net.Now(), check.Resume, m.Proc, m.Proc)
	m.Driver.Resume()
}

// Stall makes the application on node i refuse messages.
func (c *Cluster) Stall(i int) { c.Members[i].stalled = true }

// Unstall undoes Stall.
func (c *Cluster) Unstall(i int) {
	if m := c.Members[i]; m.stalled {
		m.stalled = false
		m.Driver.Wake()
	}
}

// Cut loses everything from one node to another.
func (c *Cluster) Cut(from, to int) {
	if !c.Net.Severed(from, to) {
		c.faulty = true
		c.Net.Cut(from, to)
		c.Log.Fault(c.Net.Now(), check.Cut, c.Members[from].Proc, c.Members[to].Proc)
	}
}

// Mend undoes Cut.
func (c *Cluster) Mend(from, to int) {
	if c.Net.Severed(from, to) {
		c.Net.Mend(from, to)
		c.Log.Fault(c.Net.Now(), check.Mend, c.Members[from].Proc, c.Members[to].Proc)
	}
}

// Isolate cuts node i off from all others, both ways.
func (c *Cluster) Isolate(i int) {
	for j := range c.Members {
		if j != i {
			c.Cut(i, j)
			c.Cut(j, i)
		}
	}
}

// Crash ends the member on node i without a word.
func (c *Cluster) Crash(i int) { c.Members[i].crash() }

// Restart starts a new member on node i, where the old one has ended.
func (c *Cluster) Restart(i int) {
	m := c.Members[i]
	if m.Alive() {
		return
	}
	m.start()
	for j, o := range c.Members { // the new process finds the cuts that are there
		if c.Net.Severed(i, j) {
			c.Log.Fault(c.Net.Now(), check.Cut, m.Proc, o.Proc)
		}
		if c.Net.Severed(j, i) {
			c.Log.Fault(c.Net.Now(), check.Cut, o.Proc, m.Proc)
		}
	}
	m.load()
}

// Leave ends the member on node i in order: what was accepted is sent first.
func (c *Cluster) Leave(i int) { c.Members[i].leave() }

// Heal ends all faults: the network loses nothing any more, everybody runs and reads.
func (c *Cluster) Heal() {
	c.healed = true
	for i := range c.Members {
		for j := range c.Members {
			c.Mend(i, j)
		}
	}
	clear(c.Net.narrow)
	clear(c.Net.barred)
	for i, m := range c.Members {
		c.Unstall(i)
		c.Resume(i)
		if m.crashed {
			c.Restart(i)
		}
	}
	c.Net.ClearLinks()
	c.Net.SetDefault(Link{Delay: c.Net.Default().Delay})
	c.Log.Fault(c.Net.Now(), check.Healed, 0, 0)
}

// Settle ends the load and gives the cluster d to deliver everything everywhere. Then a few
// new messages must pass as well. It ends the run: all members leave, and the checkers judge.
func (c *Cluster) Settle(d time.Duration) {
	for _, v := range c.SettleFor(d) {
		c.fail(v)
	}
}

// SettleFor is Settle that returns what the checkers found.
func (c *Cluster) SettleFor(d time.Duration) []check.Violation {
	c.EndLoad()
	c.Expect.Bound = d
	if c.Net.RunUntil(c.after(d), c.Settled) {
		c.last = true // a member that has no sign of a stream yet must get one now
		for _, m := range c.Members {
			if m.Alive() && m.sends() {
				m.offer()
			}
		}
		c.Net.RunUntil(c.after(d), c.Settled)
	}
	if !c.Settled() {
		c.Net.Run(c.after(d / 10)) // what comes now is late; what does not, never
	}
	return c.judge()
}

// Settled reports whether every message of every live sender has reached every live receiver,
// or was reported lost there. A receiver that a fault may have kept from hearing of a stream
// owes nothing until it does.
func (c *Cluster) Settled() bool {
	for si := range c.Log.Streams {
		s := &c.Log.Streams[si]
		if c.Log.Procs[s.Sender].Ended != 0 {
			continue
		}
		if c.Members[c.Log.Procs[s.Sender].Node].waiting != nil {
			return false
		}
		total := c.Log.Next(check.Stream(si)) - 1
		for _, m := range c.Members {
			if m.Proc == s.Sender || !m.Alive() || m.at(check.Stream(si)) >= total {
				continue
			}
			if m.at(check.Stream(si)) > 0 || c.last || !c.faulty && c.Log.Procs[m.Proc].Started <= s.Opened {
				return false
			}
		}
	}
	return true
}

// Finish ends the run where it is: members leave, everything is closed, and the checkers judge.
func (c *Cluster) Finish() {
	for _, v := range c.judge() {
		c.fail(v)
	}
}

// Forget ends the run without judging it: the scenario has done so itself.
func (c *Cluster) Forget() { c.finished = true }

func (c *Cluster) fail(v check.Violation) {
	if c.t != nil {
		c.t.Helper()
		c.t.Errorf("seed %d: %v", c.Seed, v)
	}
}

// judge ends the run and returns what the checkers find. What is owed is judged before members
// leave, everything else after that.
func (c *Cluster) judge() (vs []check.Violation) {
	if c.finished {
		return nil
	}
	c.finished = true
	c.healed = true
	c.Log.Fault(c.Net.Now(), check.Finished, 0, 0)
	if c.Expect.Bound > 0 {
		vs = check.Liveness(c.Log, c.Expect)
	}
	vs = append(vs, c.close()...)
	return append(vs, check.Safety(c.Log, c.Expect)...)
}

// close lets all members leave, and checks that nothing is left behind: RS-2, RS-7, RS-8.
func (c *Cluster) close() (vs []check.Violation) {
	for i, m := range c.Members {
		c.Unstall(i)
		c.Resume(i)
		if m.Alive() {
			m.Core.Leave(c.Net.Now())
			m.leaving = true
		}
	}
	left := func() bool {
		for _, m := range c.Members {
			if m.Alive() && !m.Core.Left() {
				return false
			}
		}
		return true
	}
	if !c.Net.RunUntil(c.after(5*time.Second), left) {
		vs = append(vs, check.Violation{ID: "RS-8", At: -1, Text: "a member does not come to its end"})
	}
	for _, m := range c.Members {
		if m.Alive() {
			vs = append(vs, m.end()...)
		}
	}
	if err := c.Net.Conserved(); err != nil {
		vs = append(vs, check.Violation{ID: "RS-7", At: -1, Text: err.Error()})
	}
	return vs
}

// Hash identifies the whole run: what the network did, and what members saw.
func (c *Cluster) Hash() uint64 { return c.Net.Hash() }

// memberID draws a member's id.
func (c *Cluster) memberID() (id wire.MemberID) {
	binary.LittleEndian.PutUint64(id[:], c.rng.Uint64())
	binary.LittleEndian.PutUint64(id[8:], c.rng.Uint64())
	return id
}
