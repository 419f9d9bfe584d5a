package cluster

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// rulesOfServices is the version of the rules that knows services of the application.
const rulesOfServices = 2

// services is the application's state machines as a State has them: which ones are in force, and what they have answered. A
// service is in force from the first establishment on whose members all have it, observers aside, to the end of the chain.
// Where the rules are too old then the leader puts it in force later, by OpServe.
type services struct {
	here   []Service // that this member has; none in a State that nothing of is shown
	tables *tables
	list   []*hosted // in force, in ascending order of name
	answer []byte    // of the last operation, lent until the next one
	since  int       // operations of services since the last comparison: not part of the state
}

// hosted is one service that is in force.
type hosted struct {
	name    string
	machine Machine // nil: this member lacks it, and passes over its operations
	ticked  int64   // the time of the last Tick, ns since 1970
	answers uint64  // hash of all answers

	next    int64 // what Machine.Next said, where known
	wants   bool
	known   bool
	ticking bool       // a Tick is proposed and was not counted yet; the leader's
	retry   clock.Time // when it is proposed again all the same
}

// attach gives a State the member's machines, which hold what it says.
func (v *services) attach(here []Service) {
	v.here = here
	for _, h := range v.list {
		h.machine, h.known = v.machine(h.name), false
	}
}

func (v *services) machine(name string) Machine {
	if i, ok := slices.BinarySearchFunc(v.here, name, func(s Service, n string) int { return cmp.Compare(s.Name, n) }); ok {
		return v.here[i].Machine
	}
	return nil
}

// find is the service of this name; nil: it is not in force.
func (v *services) find(name []byte) *hosted {
	for _, h := range v.list {
		if h.name == string(name) {
			return h
		}
	}
	return nil
}

// lacking is a service in force that this member does not have; nil: it has all.
func (v *services) lacking() *hosted {
	for _, h := range v.list {
		if h.machine == nil {
			return h
		}
	}
	return nil
}

// apply does one operation of a member of the table.
func (v *services) apply(p *pass, op *wire.ClusterOp) Result {
	v.answer = nil
	if v.tables.row(p.by) == nil {
		return Result{Code: CodeMalformed}
	}
	if op.Kind == wire.OpServe {
		return Result{Code: v.adopt(string(op.Key))}
	}
	if op.Kind == wire.OpAnswers {
		v.since = 0
		p.event(Event{Kind: EventAnswers, By: p.by})
		return Result{}
	}
	h := v.find(op.Key)
	switch {
	case h == nil || op.Kind == wire.OpTick && op.Expires < 0:
		return Result{Code: CodeMalformed}
	case op.Kind == wire.OpTick:
		h.ticking, h.known = false, false
		h.ticked = max(h.ticked, op.Expires)
		if h.machine != nil {
			h.did(p, h.machine.Tick(h.ticked))
		}
		return Result{}
	case uint64(len(op.Key)+len(op.Value))+ValueReserve > v.tables.maxValue:
		return Result{Code: CodeTooLarge}
	case h.machine == nil:
		return Result{}
	}
	h.known = false
	v.since++
	answer, ok := h.machine.Apply(&MachineOp{Data: op.Value, By: p.by, Index: p.index})
	h.answers = trie.Digest(trie.Mix(h.answers, p.index), answer)
	if h.did(p, ok); !ok {
		return Result{Code: CodePanicked}
	}
	v.answer = answer
	return Result{}
}

// establish puts in force what all members have. At a founding nothing has been.
func (v *services) establish(p *pass, o *wire.Opening) {
	if o.Founding {
		v.list, v.since = nil, 0
	}
	if p.pos.rules >= rulesOfServices {
		for _, name := range common(o) {
			v.adopt(name)
		}
	}
}

// common are the services that all members of a primary's ring have, observers aside.
func common(o *wire.Opening) (all []string) {
	first := true
	for i := range o.Members {
		switch m := &o.Members[i]; {
		case m.Observer:
		case first:
			all, first = slices.Clone(m.Services), false
		default:
			all = slices.DeleteFunc(all, func(n string) bool { return !slices.Contains(m.Services, n) })
		}
	}
	return all
}

// adopt puts a service in force, if it is not.
func (v *services) adopt(name string) Code {
	i, ok := slices.BinarySearchFunc(v.list, name, func(h *hosted, n string) int { return cmp.Compare(h.name, n) })
	switch {
	case !serviceName(name):
		return CodeMalformed
	case ok:
		return CodeOK
	case len(v.list) == wire.MaxServices:
		return CodeTooLarge
	}
	v.list = slices.Insert(v.list, i, &hosted{name: name, machine: v.machine(name)})
	return CodeOK
}

// did notes that a machine has panicked, unless it is ok. What it holds may be another state than that of the other replicas;
// so this is compared like an answer, at once.
func (h *hosted) did(p *pass, ok bool) {
	if !ok {
		h.answers = trie.Mix(h.answers^p.index, uint64(CodePanicked))
		p.event(Event{Kind: EventPanicked, Key: h.name})
	}
}

// left has the services take in who left, as the events from there on say.
func (v *services) left(p *pass, from int) {
	for i, end := from, len(*p.out); i < end; i++ {
		e := (*p.out)[i]
		if e.Kind != EventLeft {
			continue
		}
		for _, h := range v.list {
			if h.machine != nil {
				h.known = false
				h.did(p, h.machine.Gone(e.By))
			}
		}
	}
}

// answered is the hash of the answers of each service in force, in their order.
func (v *services) answered() []uint64 {
	list := make([]uint64, len(v.list))
	for i, h := range v.list {
		list[i] = h.answers
	}
	return list
}

// wanted is when the service wants a Tick, ns since 1970.
func (h *hosted) wanted() (at int64, ok bool) {
	if h.machine == nil {
		return 0, false
	}
	if !h.known {
		h.next, h.wants = h.machine.Next()
		h.known = true
	}
	return h.next, h.wants
}

// Services are the names of those in force.
func (s *State) Services() []string {
	names := make([]string, len(s.services.list))
	for i, h := range s.services.list {
		names[i] = h.name
	}
	return names
}
