package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goflag "flag"

	"github.com/activeblaze/blaze/internal/script"
	"github.com/activeblaze/blaze/wire"
)

var update = goflag.Bool("update", false, "write what comes of the commands into the scripts")

// The textbook cases: Cores over a small ring, step by step. Commands:
//
//	start N [dynamic]     makes N members, that expect N; dynamic: any number
//	restart I             a new process with the name of member I
//	ring I… [| I…]        these rings form; what was ordered in the old ones ends as safe delivery has it
//	claim I…              a ring forms, and comes to where all claims are ordered and none is delivered
//	fill I…               a ring forms, and comes to where the fill is ordered and not delivered
//	order                 what members have offered is ordered, and not delivered
//	regular I…            all that is ordered is delivered to these, in the regular configuration
//	run D                 time goes by
//	put I KEY=VALUE       also lock I KEY, unlock I KEY, read I KEY (linear)
//	kill I, leave I
//
// A member is shown when it has changed: its phase, the primary that it knows last by epoch with the voters, what is open, the tail's
// steps, the map.
func TestScripts(t *testing.T) {
	script.RunIn(t, "testdata/scripts", *update, func(t *testing.T) script.Player {
		return &player{t: t, names: map[string]string{}}
	})
}

type player struct {
	t     *testing.T
	r     *rig
	n     int // expected
	out   []string
	names map[string]string // what each member was last shown as
	calls []*said
	locks map[string]*Call
}

// said is a call whose end is to be shown.
type said struct {
	i    int
	what string
	call *Call
}

func (p *player) Do(line string) {
	f := strings.Fields(line)
	arg := func(k int) int {
		if k >= len(f) {
			p.t.Fatalf("%s: a member is missing", line)
		}
		i, err := strconv.Atoi(f[k])
		if err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		return i
	}
	list := func(words []string) (all []int) {
		for _, w := range words {
			i, err := strconv.Atoi(w)
			if err != nil {
				p.t.Fatalf("%s: %v", line, err)
			}
			all = append(all, i)
		}
		return all
	}
	call := func(c *Call) {
		i := arg(1)
		p.calls = append(p.calls, &said{i, strings.Join(append(f[:1:1], f[2:]...), " "), p.r.nodes[i].call(c)})
	}
	op := func(kind wire.OpKind) wire.ClusterOp {
		key, value, _ := strings.Cut(f[2], "=")
		return wire.ClusterOp{Kind: kind, Map: []byte("m"), Key: []byte(key), Value: []byte(value)}
	}
	switch f[0] {
	case "start":
		if p.n = arg(1); len(f) > 2 {
			p.n = 0
		}
		p.r, p.locks = newRig(p.t, arg(1), expected(p.n)), map[string]*Call{}
	case "restart":
		n := p.r.add(arg(1), expected(p.n))
		p.out = append(p.out, fmt.Sprintf("%d is the new process of %d", n.i, arg(1)))
	case "ring":
		var groups [][]int
		for g := range strings.SplitSeq(strings.TrimPrefix(line, "ring"), "|") {
			groups = append(groups, list(strings.Fields(g)))
		}
		p.r.split(groups...)
	case "claim":
		p.r.claim(list(f[1:])...)
	case "fill":
		p.fill(list(f[1:]))
	case "order":
		for _, n := range p.r.nodes {
			if n.ring != nil && !n.dead {
				p.r.gather(n.ring)
			}
		}
	case "regular":
		for _, i := range list(f[1:]) {
			p.r.all(i)
			p.r.nodes[i].core.Flush(p.r.now)
		}
	case "run":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.r.run(d)
	case "put":
		call(&Call{Kind: CallOp, Op: op(wire.OpPut)})
	case "lock":
		o := op(0)
		o.Lease = int64(time.Hour)
		call(&Call{Kind: CallLock, Op: o})
		if p.locks[f[1]+f[2]] == nil { // the first one
			p.locks[f[1]+f[2]] = p.calls[len(p.calls)-1].call
		}
	case "unlock":
		call(&Call{Kind: CallUnlock, Lock: p.locks[f[1]+f[2]].Number})
	case "read":
		call(&Call{Kind: CallLinear, Op: op(0)})
	case "kill":
		p.r.kill(arg(1))
	case "leave":
		n := p.r.nodes[arg(1)]
		n.core.Close(p.r.now, time.Second)
		p.r.until("the end", func() bool { closed, _ := n.core.Closed(); return closed })
		n.dead = true
	default:
		p.t.Fatal("no command ", line)
	}
}

// fill brings a ring to where its fill is ordered.
func (p *player) fill(members []int) {
	r := p.r
	r.split(members)
	ring := r.nodes[members[0]].ring
	for range 10 {
		r.gather(ring)
		if r.nodes[members[0]].core.phase == Filling {
			return
		}
		for _, i := range members {
			r.all(i)
		}
	}
	p.t.Fatal("there is no fill")
}

var codeNames = map[Code]string{
	CodeOK: "ok", CodeLocked: "locked", CodeNotOwner: "not the owner", CodeNoQuorum: "no quorum", CodeUnknown: "unknown outcome",
	CodeClosed: "closed", CodeUnsupported: "unsupported",
}

func (p *player) Output() string {
	out := p.out
	p.out = nil
	p.calls = slices.DeleteFunc(p.calls, func(s *said) bool {
		n := p.r.nodes[s.i]
		if n.done[s.call.Number] == nil {
			return false
		}
		result := codeNames[s.call.Code]
		if s.call.Code == CodeOK && s.call.Kind == CallLinear {
			result = "absent"
			if s.call.Entry != nil {
				result = string(s.call.Entry.Value())
			}
		}
		out = append(out, fmt.Sprintf("%d: %s: %s", s.i, s.what, result))
		return true
	})
	for _, name := range slices.Sorted(maps.Keys(p.locks)) {
		c := p.locks[name]
		if i := int(name[0] - '0'); p.r.nodes[i].lost[c.Number] {
			out = append(out, fmt.Sprintf("%d: the lock of %s is lost", i, name[1:]))
			delete(p.locks, name)
		}
	}
	for i, n := range p.r.nodes {
		if n.dead {
			continue
		}
		key := fmt.Sprint(i)
		if show := p.show(n); show != p.names[key] {
			p.names[key] = show
			out = append(out, key+" "+show)
		}
	}
	return strings.Join(out, "\n")
}

// show is a member in one line.
func (p *player) show(n *node) string {
	c := n.core
	s := c.phase.String()
	if c.phase == Outside && c.ex.d != nil {
		s += " (" + c.ex.d.Why.String() + ")"
	}
	if c.last != nil {
		s += fmt.Sprintf(", epoch %d", c.last.Epoch%forcedStep)
		if c.last.Epoch > forcedStep {
			s += " forced"
		}
	}
	if c.state != nil {
		s += ", voters "
		for _, v := range c.state.Voters() {
			k := slices.IndexFunc(p.r.nodes, func(o *node) bool { return wire.Seat(o.id) == v.Seat })
			s += fmt.Sprint(k)
		}
	}
	for i := range c.tried {
		s += fmt.Sprintf(", open %d", c.tried[i].Epoch)
	}
	if len(c.tail) > 0 {
		s += fmt.Sprintf(", tail %d", len(c.tail))
	}
	for _, k := range []string{"a", "b", "c"} {
		if c.state != nil && n.get(k) != "-" {
			s += ", " + k + "=" + n.get(k)
		}
	}
	return s
}

func (p *player) End() {}
