package check

import (
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Clusters judges a run of cluster members: MP-1 to MP-13, MP-15 and MP-16, LK-1 to LK-9 and LK-11, EL-1 to EL-6. MP-14 is not
// built; LK-10 and EL-7 are deadlines, which the harness watches.
func Clusters(l *ClusterLog) []Violation {
	r := &reports{log: l}
	h := newClusterHistory(l, r)
	c := &clusterCalls{h: h, byCall: map[clusterCallKey]*clusterCall{}, byValue: map[uint64]*clusterCall{}}
	c.collect()
	c.judge()
	c.inOrder()
	states := h.replay()
	h.reads(states)
	h.watches(states)
	h.final(states)
	h.terms()
	l.holders(r)
	l.masters(r)
	l.named(r)
	l.served(r)
	found := append(r.done(), l.online...)
	if l.Excused != "" {
		// What was acknowledged may be lost, and the chain goes on from where it was before.
		found = slices.DeleteFunc(found, func(v Violation) bool { return slices.Contains(excusedIDs, v.ID) })
	}
	return found
}

// excusedIDs are the properties that a run which met E3 need not keep.
var excusedIDs = []string{"EL-1", "EL-2", "EL-4", "MP-1", "MP-2", "MP-4", "MP-6", "MP-7", "MP-8", "MP-9", "MP-12", "MP-15", "LK-2", "LK-4"}

type clusterCallKey struct {
	proc   Proc
	number uint64
}

// clusterCall is one call and what became of it.
type clusterCall struct {
	called, returned int // records; -1: none
	nodes            []*clusterNode
}

type clusterCalls struct {
	h       *clusterHistory
	byCall  map[clusterCallKey]*clusterCall
	byValue map[uint64]*clusterCall
	order   []*clusterCall
}

// collect finds the record of each call, its end, and the positions at which its operation was counted.
func (c *clusterCalls) collect() {
	l := c.h.l
	for i := range l.Records {
		r := &l.Records[i]
		key := clusterCallKey{r.Proc, r.Call}
		switch r.Kind {
		case ClusterCalled:
			call := &clusterCall{called: i, returned: -1}
			c.byCall[key] = call
			c.order = append(c.order, call)
			if r.Op.Value != 0 {
				c.byValue[r.Op.Value] = call
			}
		case ClusterReturned:
			call := c.byCall[key]
			if call == nil || call.returned >= 0 {
				c.h.r.add("MP-3", i, "the end of a call that nobody began, or that had ended")
				continue
			}
			call.returned = i
		case ClusterApplied:
			call := c.byValue[r.Op.Value]
			if r.Op.Value == 0 {
				call = nil
				if r.Call != 0 && r.By == r.Proc {
					call = c.byCall[key]
				}
			} else if call == nil {
				c.h.r.add("MP-3", i, "a value that nobody wrote")
			} else if r.By != l.Records[call.called].Proc && r.By != Nobody {
				c.h.r.add("MP-3", i, "a value that another member wrote")
			}
			if call != nil {
				call.add(c.h.nodes[r.Place])
			}
		}
	}
}

func (c *clusterCall) add(n *clusterNode) {
	for _, o := range c.nodes {
		if o == n {
			return
		}
	}
	c.nodes = append(c.nodes, n)
}

// judge compares what calls returned with what was counted: MP-2, MP-3, MP-6, MP-12, MP-15.
func (c *clusterCalls) judge() {
	l, r := c.h.l, c.h.r
	c.requests()
	for _, call := range c.order {
		for i, n := range call.nodes {
			for _, o := range call.nodes[:i] {
				// A Lock call may be proposed again: when it is handed out too late, and when it has lost its place in line.
				if l.Records[call.called].Op.Kind != ClusterLock && n.place.Chain == o.place.Chain && (n.counts && o.counts || c.h.above(n, o) || c.h.above(o, n)) {
					r.add("MP-15", n.record, "counted twice, and in record %d", o.record)
				}
			}
		}
		if call.returned < 0 {
			continue
		}
		e, op := &l.Records[call.returned], l.Records[call.called].Op
		if op.Kind == ClusterLinear {
			if e.Code == ClusterOK && c.h.nodes[e.Place] == nil {
				r.add("MP-6", call.returned, "answered where nobody has counted")
			}
			continue
		}
		switch e.Code {
		case ClusterNoQuorum, ClusterClosed:
			at := 0
			// Of a Lock call a wait may have gone with its place in line, or a lock been given back: nothing of that is left.
			for op.Kind == ClusterLock && at < len(call.nodes) && call.nodes[at].record < call.returned {
				at++
			}
			if len(call.nodes) > at {
				r.add("MP-3", call.nodes[at].record, "counted, and the call of record %d ended with %q in record %d", call.called, clusterCodes[e.Code], call.returned)
			}
		case ClusterUnknown:
		default:
			var n *clusterNode
			for _, o := range call.nodes {
				if o.record < call.returned && (n == nil || o.counts) {
					n = o
				}
			}
			switch {
			case e.Code == ClusterNotOwner && (n == nil || op.Kind == ClusterExtend):
				// The member has lost the lock by its own clock meanwhile, and need not ask; nor can it count on the extension.
			case n == nil:
				r.add("MP-6", call.returned, "answered, and not counted before")
			case !n.counts && l.Excused == "":
				r.add("MP-12", call.returned, "acknowledged, and not part of what the chain's last primary has")
			case op.Kind != ClusterLock && n.code != e.Code || e.Code == ClusterOK && op.Kind != ClusterLock && e.Version != 0 && n.version != e.Version:
				r.add("MP-3", call.returned, "counted with another result in record %d", n.record)
			case op.Kind == ClusterService && e.Code == ClusterOK && e.Answer != n.answer:
				r.add("MP-16", call.returned, "the proposer is given another answer than in record %d", n.record)
			}
		}
	}
	// Of the chains only the last one lives on. Another one is lost where members founded apart, or forgot.
	for _, chain := range c.h.order[:max(len(c.h.order)-1, 0)] {
		if l.Disk && l.Expected > 0 && l.Excused == "" && chain.leaf != nil {
			r.add("MP-12", chain.founded.record, "the chain was lost, with a majority's disks")
		}
	}
}

// requests: MP-15 of Lock operations. Each is counted once.
func (c *clusterCalls) requests() {
	type request struct {
		chain  uint64
		by     Proc
		number uint64
	}
	for _, chain := range c.h.order {
		seen := map[request]int{}
		for _, n := range chain.path {
			if n.op == nil || n.op.Kind != ClusterLock {
				continue
			}
			k := request{chain.id, n.by, n.op.Request}
			if o, ok := seen[k]; ok {
				c.h.r.add("MP-15", n.record, "counted twice, and in record %d", o)
			}
			seen[k] = n.record
		}
	}
}

// inOrder: MP-1, with the order that the replicas counted in as the witness. A call that began after another one
// had ended comes after it.
func (c *clusterCalls) inOrder() {
	l := c.h.l
	type ended struct {
		index  uint64
		record int
	}
	last := map[uint64]ended{} // by chain: the highest index that a call has returned from
	began := map[int]map[uint64]ended{}
	ends := map[int]*clusterCall{}
	for _, call := range c.order {
		if call.returned >= 0 {
			ends[call.returned] = call
		}
	}
	calls := map[int]*clusterCall{}
	for _, call := range c.order {
		calls[call.called] = call
	}
	for i := range l.Records {
		switch l.Records[i].Kind {
		case ClusterCalled:
			if len(last) > 0 {
				copied := make(map[uint64]ended, len(last))
				for k, v := range last {
					copied[k] = v
				}
				began[i] = copied
			}
		case ClusterReturned:
			call := ends[i]
			e := &l.Records[i]
			if call == nil || e.Code > ClusterQueued {
				continue
			}
			op := l.Records[call.called].Op
			if op.Kind == ClusterLinear {
				c.h.least[i] = began[call.called][e.Place.Chain].index
				if e.Version > last[e.Place.Chain].index {
					last[e.Place.Chain] = ended{e.Version, i}
				}
				continue
			}
			n := c.counted(call)
			if n == nil {
				continue
			}
			index, chain := n.place.Index, n.place.Chain
			before := began[call.called][chain]
			if index <= before.index && before.index != 0 {
				c.h.r.add("MP-1", i, "comes at index %d, before what had been returned at index %d in record %d", index, before.index, before.record)
			}
			if index > last[chain].index {
				last[chain] = ended{index, i}
			}
		}
	}
}

// counted is the position of a call that counts, if there is one.
func (c *clusterCalls) counted(call *clusterCall) *clusterNode {
	for _, n := range call.nodes {
		if n.counts {
			return n
		}
	}
	return nil
}

// served: MP-6 and EL-1 by the clock, as far as they hold there: nobody is told that it is primary for longer than its
// turns go on.
func (l *ClusterLog) served(r *reports) {
	until := map[Proc]clock.Time{}
	for i := range l.Records {
		switch c := &l.Records[i]; c.Kind {
		case ClusterServes:
			until[c.Proc] = c.Until
		case ClusterEnded:
			delete(until, c.Proc)
		case ClusterReturned:
			if c.Code == ClusterNoQuorum && until[c.Proc] > c.At {
				r.add("MP-6", i, "no quorum, while Primary is true")
			}
		}
	}
}

// drift is how much longer than d something may last that a member measures as d.
func (l *ClusterLog) drift(d time.Duration) time.Duration {
	return time.Duration(float64(d) * l.Drift)
}
