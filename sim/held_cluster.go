package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/jms/held"
	"github.com/activeblaze/blaze/jms/link"
	"github.com/activeblaze/blaze/wire"
)

// HeldCluster is held queues over the whole stack: holders are members of a StateCluster, whose service is
// held.Machine. Clients are members of its group, each with a link.Link and a program. A client's operations, their
// answers and the notices travel between members of the group, as datagrams. What is not here is the goroutines between
// the cores, which package jms has: heldHolder and heldClient stand in for them.
type HeldCluster struct {
	*StateCluster
	Queues  *check.HeldLog
	Clients []*heldClient
	Counts  HeldTally

	// Machine, Link, where set, have the last word on those that are made: planted defects.
	Machine func(m *held.Machine)
	Link    func(l *link.Link)
	// Holders is the chance, in each virtual millisecond, that a holder is hit: it crashes, stands still or leaves.
	Holders float64

	// Early has holders answer before an operation has been decided: a defect.
	Early bool
	// Skips has the machine of this node pass over one operation in a hundred that settles: a defect; negative: none.
	Skips int
	// InParts has holders take a commit for one without its last message, which comes on its own: a defect.
	InParts bool
	// ByMap has a holder's machine answer in the order of a Go map, at this node: a defect; negative: none.
	ByMap int

	quiet    bool // nothing is put any more
	closing  bool // nor asked
	answered int  // operations of clients
	founded  map[wire.Chain]bool
	states   map[check.Place]uint64 // hashes of the machines' states
	compared int
	unique   uint64
}

const holders = 3

// NewHeldCluster makes a cluster for one seed. t is given the violations; it may be nil.
func NewHeldCluster(t testing.TB, seed uint64) *HeldCluster {
	h := &HeldCluster{StateCluster: NewStateCluster(t, seed), Queues: check.NewHeldLog(), ByMap: -1, Skips: -1,
		founded: map[wire.Chain]bool{}, states: map[check.Place]uint64{}}
	h.Host = func(m *StateMember) stateHost { return newHeldHolder(h, m) }
	h.Probed = h.probed
	h.Load.Every = -1
	h.Expected = holders
	return h
}

// Start makes the holders and their clients: four that put, and four that take, of which two do so in transactions
// whose messages the last one reads. Then faults happen until Heal.
func (h *HeldCluster) Start(f Faults) {
	h.Prepare(f)
	for range holders {
		h.Join()
	}
	for i := range 4 {
		h.client(newHeldProducer(h, i))
	}
	h.client(newHeldTaker(h, heldQueues[:], false))
	h.client(newHeldTaker(h, heldQueues[:], true))
	h.client(newHeldTaker(h, []string{"C", "A", "B"}, true))
	h.client(newHeldReader(h))
	h.faults = injectRing(h, injectingInto(h.Net, h.Seed, f.Lasting, 200*time.Millisecond, &h.healed), f, h.Rare, &h.StateCluster.Tally.FaultTally)
	in := h.faults
	in.every(h.Holders, func(lasts time.Duration) {
		hits := [...]func(node int, lasts time.Duration){in.crash, in.crash, in.pause, in.leave}
		hits[in.rng.IntN(len(hits))](in.rng.IntN(holders), lasts)
	})
}

// probed looks at each step of a holder: it compares states, and finds out whether holders founded a chain anew.
func (h *HeldCluster) probed(m *StateMember, p *cluster.Probe) {
	switch p.Kind {
	case cluster.ProbeEstablished:
		if p.Opening.Founding && !h.founded[p.Chain] {
			h.founded[p.Chain] = true
			if len(h.founded) > 1 && h.answered > 0 && !h.Disks {
				h.excuse("E2")
			}
		}
	case cluster.ProbeApplied:
		if p.Index%16 == 0 {
			place := check.Place{Chain: chainName(p.Chain) + p.Epoch>>32, Index: p.Index, Hash: p.Hash}
			h.compare(m, place)
		}
	}
}

// compare: HQ-7.
func (h *HeldCluster) compare(m *StateMember, at check.Place) {
	if m.service == nil {
		return
	}
	sum := check.Hash(m.service.state())
	if want, there := h.states[at]; there {
		h.compared++
		if want != sum {
			h.Queues.Found("HQ-7", "node %d: the state at index %d is another one than at another holder", m.Node, at.Index)
		}
	}
	h.states[at] = sum
}

// excuse notes an exception of docs/cluster.md: the run is counted, and not judged.
func (h *HeldCluster) excuse(why string) {
	if h.Log.Excused == "" {
		h.Log.Excused = why
		h.StateCluster.Tally.Excused++
	}
}

func (h *HeldCluster) nodes() int { return holders + len(h.Clients) }

func (h *HeldCluster) client(app heldApp) {
	x := &heldClient{h: h, Node: h.nodes(), app: app}
	h.Clients = append(h.Clients, x)
	x.start()
}

// of is the client on a node; nil: a holder is there.
func (h *HeldCluster) of(node int) *heldClient {
	if node < holders {
		return nil
	}
	return h.Clients[node-holders]
}

// standing implements ringed. Without disks the last complete holder is spared.
func (h *HeldCluster) standing(node int) standing {
	if x := h.of(node); x != nil {
		return standing{check.Proc(x.started), x.Alive(), x.Alive() && !x.leaving, x.paused, x.leaving}
	}
	s := h.StateCluster.standing(node)
	s.fair = s.fair && (h.Disks || h.others(node))
	if !s.fair {
		s.leaving = true // it does not leave either
	}
	return s
}

// others reports whether holders besides the one on a node are complete.
func (h *HeldCluster) others(node int) bool {
	for _, m := range h.Members {
		if m.Node != node && m.Alive() && !m.leaving && !m.paused && m.primary && m.ready {
			return true
		}
	}
	return false
}

// Pause implements ringed, as the rest.
func (h *HeldCluster) Pause(node int) {
	if x := h.of(node); x != nil {
		x.pause()
		return
	}
	h.StateCluster.Pause(node)
}

func (h *HeldCluster) Resume(node int) {
	if x := h.of(node); x != nil {
		x.resume()
		return
	}
	h.StateCluster.Resume(node)
}

func (h *HeldCluster) Crash(node int) {
	if x := h.of(node); x != nil {
		x.crash()
		return
	}
	h.StateCluster.Crash(node)
}

func (h *HeldCluster) Leave(node int) {
	if x := h.of(node); x != nil {
		x.leave()
		return
	}
	h.StateCluster.Leave(node)
}

func (h *HeldCluster) Restart(node int) {
	if x := h.of(node); x != nil {
		x.restart()
		return
	}
	h.StateCluster.Restart(node)
}

// Heal ends all faults.
func (h *HeldCluster) Heal() {
	h.StateCluster.Heal()
	for _, x := range h.Clients {
		x.resume()
		x.again()
	}
}

// over reports whether a connection that began has ended at all holders that are there.
func (h *HeldCluster) over(member held.Member) bool {
	ready := false
	for _, m := range h.Members {
		if !m.Alive() || m.host == nil {
			continue
		}
		ready = ready || m.ready && m.primary
		for _, one := range m.host.(*heldHolder).clients() {
			if one == member {
				return false
			}
		}
	}
	return ready
}

// Empty reports whether all that was accepted has been taken and acknowledged, and nobody has anything under way.
func (h *HeldCluster) Empty() bool {
	for _, x := range h.Clients {
		if !x.Alive() || x.link == nil || x.link.UnderWay() > 0 || !x.app.idle() {
			return false
		}
	}
	return h.drained()
}

// drained reports whether a holder that is complete has no message in any queue.
func (h *HeldCluster) drained() bool {
	for _, m := range h.Members {
		if m.Alive() && m.ready && m.primary && m.host != nil {
			return m.host.(*heldHolder).depth() == 0
		}
	}
	return false
}

// Settle ends the load. All that was accepted has to be taken and acknowledged within d; then the checkers judge.
func (h *HeldCluster) Settle(d time.Duration) {
	for _, v := range h.SettleFor(d) {
		if h.t != nil {
			h.t.Helper()
			h.t.Errorf("seed %d: %v", h.Seed, v)
		}
	}
}

// SettleFor is Settle that returns what the checkers found.
func (h *HeldCluster) SettleFor(d time.Duration) (vs []check.Violation) {
	h.quiet = true
	from := h.Net.Now()
	empty := h.runUntil(from.Add(d), func() bool { return h.Empty() || h.stuck() && h.Net.Now() > from.Add(d/2) })
	if h.stuck() {
		h.excuse("E2") // those that remember are no majority any more
	}
	emptied := h.Net.Now().Sub(from)
	state := ""
	if !empty {
		state = h.Describe()
	}
	h.closing = true
	h.For(100 * time.Millisecond)
	for _, x := range h.Clients {
		x.close()
	}
	excused := h.Log.Excused != ""
	vs = h.StateCluster.SettleFor(2 * time.Second)
	if excused || h.Log.Excused != "" {
		h.Counts.Excused++
	} else {
		if h.Counts.Judged++; empty {
			h.Counts.Emptied = append(h.Counts.Emptied, emptied)
		} else {
			vs = append(vs, check.Violation{ID: "HQ-8", At: -1, Text: fmt.Sprintf("the queues are not empty within %v%s", d, state)})
		}
		vs = append(vs, check.Held(h.Queues)...)
	}
	h.Counts.run(h)
	return vs
}

// runUntil is Network.RunUntil that looks every millisecond only.
func (h *HeldCluster) runUntil(t clock.Time, done func() bool) bool {
	for h.Net.Now() < t {
		if done() {
			return true
		}
		h.For(time.Millisecond)
	}
	return done()
}

// Describe says where holders and clients are.
func (h *HeldCluster) Describe() (text string) {
	text = h.StateCluster.Describe()
	for _, m := range h.Members {
		if m.Alive() && m.host != nil {
			text += fmt.Sprintf("\n  node %d has %d messages, %d clients", m.Node, m.host.(*heldHolder).depth(), len(m.host.(*heldHolder).clients()))
		}
	}
	for _, x := range h.Clients {
		text += fmt.Sprintf("\n  node %d (client): runs %t", x.Node, x.Alive())
		if x.link != nil {
			to, has := x.link.Holder()
			text += fmt.Sprintf(", %x, connection %d, holder %x %t, %d under way, %s", x.id[:2], x.conn, to[:2], has, x.link.UnderWay(), x.app)
		}
	}
	return text
}

// Swarm draws what the run is like, and what goes wrong in it: about half of all kinds of faults.
func (h *HeldCluster) Swarm() Faults {
	h.Disks = h.Seed%2 == 1
	h.Drift = 0.005
	if h.rng.IntN(2) == 0 {
		h.WallError = 100 * time.Millisecond
	}
	f := h.swarmFaults()
	f.Lasting = time.Duration(1+h.rng.IntN(400)) * time.Millisecond
	more := func(p *float64, most float64) {
		if *p > 0 {
			*p = most * h.rng.Float64()
		}
	}
	more(&f.Partition, 0.004)
	more(&f.Pause, 0.006)
	more(&f.Crash, 0.006)
	more(&f.Stall, 0.002)
	if h.rng.IntN(2) == 0 {
		h.Holders = 0.008 * h.rng.Float64()
	}
	return f
}

// Everything is the whole fault list for a time, and then a network that is healed.
func (h *HeldCluster) Everything(length time.Duration) {
	h.Start(h.Swarm())
	h.Until(length)
	h.Shatter()
	h.Heal()
	h.Settle(10 * time.Second)
}

// newRand is a generator of a node's process.
func (h *HeldCluster) newRand(node, started int, use uint64) *rand.Rand {
	return rand.New(rand.NewPCG(h.Seed, uint64(node)<<32|uint64(started)<<8|use))
}
