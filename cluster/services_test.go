package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// book is a Machine for tests: its state is all that it was given, as text, and it answers with a hash of that.
type book struct {
	t     *testing.T
	core  func() *Core // nil, or what it is a machine of
	lines []string
	wake  int64 // when it wants a Tick; 0: not

	twist      func(line string) string // of an answer
	panicAt    string                   // an operation
	snapshot   error                    // of Snapshot
	torn       error                    // of WriteTo, in the middle
	unreadable error                    // of Restore with a reader

	certain  []uint64
	restores int // with a reader
	chains   int
	open     int // snapshots that are not closed
	again    []string
}

func (b *book) alone() {
	if c := b.core(); c != nil && c.taking != nil {
		b.t.Error("a call while Restore runs")
	}
}

func (b *book) add(format string, args ...any) string {
	b.alone()
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
	return b.lines[len(b.lines)-1]
}

func (b *book) Apply(op *MachineOp) ([]byte, bool) {
	line := b.add("%d %x %s", op.Index, op.By[0], op.Data)
	if string(op.Data) == b.panicAt {
		return nil, false
	}
	if at, ok := strings.CutPrefix(string(op.Data), "wake "); ok {
		fmt.Sscan(at, &b.wake)
	}
	if b.twist != nil {
		line = b.twist(line)
	}
	return fmt.Appendf(nil, "%d %x", len(b.lines), trie.Digest(7, []byte(line))), true
}

func (b *book) Gone(m wire.MemberID) bool { b.add("gone %x", m[0]); return true }

func (b *book) Tick(now int64) bool {
	b.add("tick %d", now)
	if now >= b.wake {
		b.wake = 0
	}
	return true
}

func (b *book) Next() (int64, bool)  { b.alone(); return b.wake, b.wake != 0 }
func (b *book) Certain(index uint64) { b.alone(); b.certain = append(b.certain, index) }

type bookSnapshot struct {
	b     *book
	lines []string // append does not change them
	wake  int64
}

func (b *book) Snapshot() (MachineSnapshot, error) {
	b.alone()
	if b.snapshot != nil {
		return nil, b.snapshot
	}
	b.open++
	return &bookSnapshot{b, b.lines[:len(b.lines):len(b.lines)], b.wake}, nil
}

func (s *bookSnapshot) WriteTo(w io.Writer) (int64, error) {
	if s.b.torn != nil {
		n, _ := io.WriteString(w, "half of it")
		return int64(n), s.b.torn
	}
	n, err := fmt.Fprintf(w, "%d\n%s", s.wake, strings.Join(s.lines, "\n"))
	return int64(n), err
}

func (s *bookSnapshot) Close() error {
	s.b.open--
	return nil
}

func (b *book) Restore(r io.Reader, chain bool, over func() bool) error {
	if r == nil {
		if over != nil {
			b.t.Error("Restore without a reader has over")
		}
	} else if over() {
		return io.ErrClosedPipe
	} else if b.unreadable != nil {
		return b.unreadable
	}
	if r != nil {
		b.restores++
	}
	if chain {
		b.chains++
		b.again = append(b.again, b.lines...)
	}
	b.lines, b.wake = nil, 0
	if r == nil {
		return nil
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(r); err != nil {
		return err
	}
	head, rest, _ := strings.Cut(text.String(), "\n")
	fmt.Sscan(head, &b.wake)
	if rest != "" {
		b.lines = strings.Split(rest, "\n")
	}
	return nil
}

// job is work in the background.
type job struct {
	work func(over func() bool)
	then func(now clock.Time)
	due  clock.Time
	over bool
}

func (n *node) background(work func(over func() bool), then func(now clock.Time)) func() {
	j := &job{work: work, then: then, due: n.rig.now.Add(time.Duration(n.rig.rand.IntN(20)) * time.Millisecond)}
	n.jobs = append(n.jobs, j)
	return func() { j.over = true }
}

// serve gives a Config a book under each name, which are ascending.
func (r *rig) serve(c *Config, names ...string) {
	id := c.Self
	core := func() *Core {
		for _, n := range r.nodes {
			if n.id == id {
				return n.core
			}
		}
		return nil
	}
	for _, name := range names {
		c.Services = append(c.Services, Service{name, &book{t: r.t, core: core}})
	}
}

// served makes a rig whose members have these services. change may be nil.
func served(t *testing.T, n int, change func(i int, c *Config), names ...string) *rig {
	r := newRig(t, 0, nil)
	r.change = func(i int, c *Config) {
		r.serve(c, names...)
		if change != nil {
			change(i, c)
		}
	}
	for i := range n {
		r.add(i, r.change)
	}
	return r
}

func (n *node) book(name string) *book {
	for _, s := range n.cfg.Services {
		if s.Name == name {
			return s.Machine.(*book)
		}
	}
	return nil
}

func (n *node) propose(service, data string) *Call {
	return n.call(&Call{Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpService, Key: []byte(service), Value: []byte(data)}})
}

// alike checks that the services of these members hold the same, after what is under way.
func (r *rig) alike(members ...int) {
	r.t.Helper()
	r.run(30 * time.Millisecond)
	r.same(members...)
	for _, s := range r.nodes[members[0]].cfg.Services {
		want := r.nodes[members[0]].book(s.Name).lines
		for _, i := range members[1:] {
			if got := r.nodes[i].book(s.Name).lines; !slices.Equal(got, want) {
				r.t.Errorf("service %s of members %d and %d:\n%s\n%s", s.Name, members[0], i, lastOf(want), lastOf(got))
			}
		}
	}
}

func lastOf(lines []string) string {
	return fmt.Sprintf("%d lines, %q", len(lines), lines[max(0, len(lines)-5):])
}

// Operations of all members are applied by all, in one order, and each proposer gets the answer to its own.
func TestServiceAppliesAlike(t *testing.T) {
	r := served(t, 3, nil, "one", "two")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	var calls []*Call
	for k := range 100 {
		n := r.nodes[k%3]
		calls = append(calls, n.propose([]string{"one", "two"}[k%2], fmt.Sprint("op ", k)))
		n.put("k", fmt.Sprint(k))
		if k%7 == 0 {
			r.turn()
		}
	}
	for k, c := range calls {
		n := r.nodes[k%3]
		if code := n.wait(c); code != CodeOK {
			t.Fatalf("operation %d: code %d", k, code)
		}
		b := n.book([]string{"one", "two"}[k%2])
		line := fmt.Sprintf("%d %x op %d", c.Version, n.id[0], k)
		at := slices.Index(b.lines, line)
		if want := fmt.Sprintf("%d %x", at+1, trie.Digest(7, []byte(line))); at < 0 || string(c.Answer) != want {
			t.Errorf("operation %d, line %d: answer %q, want %q", k, at, c.Answer, want)
		}
	}
	r.alike(0, 1, 2)
	if n := len(r.nodes[0].book("one").lines); n != 50 {
		t.Errorf("service one has applied %d", n)
	}
	for _, n := range r.nodes {
		b := n.book("one")
		if !slices.IsSorted(b.certain) || len(b.certain) == 0 || b.certain[len(b.certain)-1] != n.core.State().Index() {
			t.Errorf("member %d: certain up to %v, its replica is at %d", n.i, b.certain[len(b.certain)-1:], n.core.State().Index())
		}
		if n.core.Stats().HashMismatches != 0 {
			t.Errorf("member %d: mismatches", n.i)
		}
	}
	if names := r.nodes[1].core.State().Services(); !slices.Equal(names, []string{"one", "two"}) {
		t.Errorf("in force: %q", names)
	}
}

// An operation that the state refuses takes an index, and no service hears of it.
func TestServiceRefusals(t *testing.T) {
	r := served(t, 2, nil, "one")
	r.split([]int{0, 1})
	r.ready(0, 1)
	n := r.nodes[0]
	s := n.core.State()
	for _, row := range []struct {
		why string
		by  wire.MemberID
		op  wire.ClusterOp
		is  Code
	}{
		{"of no member", wire.MemberID{99}, wire.ClusterOp{Kind: wire.OpService, Key: []byte("one")}, CodeMalformed},
		{"a service that is not in force", n.id, wire.ClusterOp{Kind: wire.OpService, Key: []byte("two")}, CodeMalformed},
		{"no name", n.id, wire.ClusterOp{Kind: wire.OpService}, CodeMalformed},
		{"too large", n.id, wire.ClusterOp{Kind: wire.OpService, Key: []byte("one"), Value: make([]byte, 1<<20-ValueReserve-2)}, CodeTooLarge},
		{"just not", n.id, wire.ClusterOp{Kind: wire.OpService, Key: []byte("one"), Value: make([]byte, 1<<20-ValueReserve-3)}, CodeOK},
		{"a tick of nobody", n.id, wire.ClusterOp{Kind: wire.OpTick, Key: []byte("two")}, CodeMalformed},
		{"a tick before 1970", n.id, wire.ClusterOp{Kind: wire.OpTick, Key: []byte("one"), Expires: -1}, CodeMalformed},
		{"to serve what has no name", n.id, wire.ClusterOp{Kind: wire.OpServe}, CodeMalformed},
		{"to serve what cannot be a name", n.id, wire.ClusterOp{Kind: wire.OpServe, Key: []byte("\xff")}, CodeMalformed},
		{"to serve what is served", n.id, wire.ClusterOp{Kind: wire.OpServe, Key: []byte("one")}, CodeOK},
	} {
		before, index := len(n.book("one").lines), s.Index()
		got := s.Apply(r.now, row.by, 0, &row.op)
		if got.Code != row.is || got.Index != index+1 || (len(n.book("one").lines) > before) != (row.is == CodeOK && row.op.Kind == wire.OpService) {
			t.Errorf("%s: %+v, want code %d", row.why, got, row.is)
		}
	}
	for i := range wire.MaxServices {
		op := wire.ClusterOp{Kind: wire.OpServe, Key: fmt.Append(nil, "more ", i)}
		want := CodeOK
		if i == wire.MaxServices-1 {
			want = CodeTooLarge
		}
		if got := s.Apply(r.now, n.id, 0, &op); got.Code != want {
			t.Errorf("service %d: code %d, want %d", i+2, got.Code, want)
		}
	}
}

// Who leaves and who is lost is told at the same place everywhere; one that comes back is another one.
func TestServiceGone(t *testing.T) {
	r := served(t, 4, nil, "one")
	r.split([]int{0, 1, 2, 3})
	r.ready(0, 1, 2, 3)
	for i := range 4 {
		r.nodes[i].wait(r.nodes[i].propose("one", "hello"))
	}
	r.nodes[3].core.Close(r.now, time.Second)
	r.until("the exit", func() bool { closed, _ := r.nodes[3].core.Closed(); return closed })
	r.kill(3)
	r.kill(2)
	r.split([]int{0, 1})
	r.ready(0, 1)
	r.nodes[0].wait(r.nodes[0].propose("one", "after"))
	r.alike(0, 1)
	lines := r.nodes[0].book("one").lines
	if len(lines) != 7 || lines[4] != "gone 4" || lines[5] != "gone 3" {
		t.Errorf("%q", lines)
	}
}

// The leader ticks when a service asks for it, with times that rise, also where the next leader's clock is behind.
func TestServiceTicks(t *testing.T) {
	behind := int64(3_000_000) // 3 s
	r := served(t, 3, func(i int, c *Config) {
		if i > 0 {
			c.Wall -= behind
		}
	}, "one")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	n := r.nodes[0]
	ticks := func() (list []int64) {
		for _, l := range r.nodes[1].book("one").lines {
			var at int64
			if k, _ := fmt.Sscanf(l, "tick %d", &at); k == 1 {
				list = append(list, at)
			}
		}
		return list
	}
	first := n.core.wallNanos(r.now) + 500e6
	n.wait(n.propose("one", fmt.Sprint("wake ", first)))
	r.run(400 * time.Millisecond)
	if got := ticks(); len(got) != 0 {
		t.Fatalf("ticks %v before the time", got)
	}
	r.run(200 * time.Millisecond)
	if got := ticks(); len(got) != 1 || got[0] < first || got[0] > first+100e6 {
		t.Fatalf("ticks %v, want one a little after %d", got, first)
	}
	n.wait(n.propose("one", "wake 1")) // long over
	r.run(50 * time.Millisecond)
	if got := ticks(); len(got) != 2 {
		t.Fatalf("ticks %v: want one for a time that is over", got)
	}
	r.kill(0)
	r.split([]int{1, 2})
	r.ready(1, 2)
	n = r.nodes[1]
	last := ticks()[1]
	n.wait(n.propose("one", fmt.Sprint("wake ", last))) // reached, though this leader's clock is behind
	r.run(50 * time.Millisecond)
	if got := ticks(); len(got) != 3 || got[2] != last {
		t.Fatalf("ticks %v: want %d again", got, last)
	}
	n.wait(n.propose("one", fmt.Sprint("wake ", last+1e6)))
	r.run(time.Second)
	if got := ticks(); len(got) != 3 {
		t.Fatalf("ticks %v: the leader's clock is not there yet", got)
	}
	r.run(4 * time.Second)
	if got := ticks(); len(got) != 4 || got[3] < last+1e6 {
		t.Fatalf("ticks %v", got)
	}
	r.alike(1, 2)
}

// A member that joins gets the services' states while operations go on, whatever becomes of those that give it.
func TestServiceJoiner(t *testing.T) {
	for _, size := range []int{0, 1, 65535, 65536, 65537, 400_000} {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprint(size, kill), func(t *testing.T) {
				r := served(t, 3, nil, "empty", "one")
				r.split([]int{0, 1, 2})
				r.ready(0, 1, 2)
				if size > 0 {
					n := r.nodes[0]
					head := len(fmt.Sprintf("0\n%d %x ", n.core.State().Index()+1, n.id[0])) // about
					n.wait(n.propose("one", strings.Repeat("x", max(1, size-head))))
				}
				r.nodes[0].put("k", "v")
				j := r.add(3, r.change)
				r.split([]int{0, 1, 2, 3})
				k := 0
				killed := false
				r.until("the joiner is ready", func() bool {
					n := r.nodes[k%2]
					n.propose("one", fmt.Sprint("meanwhile ", k))
					k++
					if p := j.core.Status(r.now).Progress; kill && !killed && j.core.fetch.built != nil && p.Provider != r.nodes[0].id {
						for _, o := range r.nodes {
							if o.id == p.Provider && o.i > 0 {
								killed = true
								o.inbox = nil
								r.lossy = func(from wire.MemberID) bool { return from == o.id } // it says nothing any more
							}
						}
					}
					return j.pub.Ready
				})
				r.alike(0, 1, 2, 3)
				if j.book("one").restores == 0 || j.book("empty").restores == 0 {
					t.Error("a service was not restored")
				}
				if kill && size > 100_000 && !killed {
					t.Error("no provider went silent")
				}
				r.run(time.Second)
				for i := range r.nodes {
					if b := r.nodes[i].book("one"); b.open != 0 {
						t.Errorf("member %d: %d snapshots are not closed", i, b.open)
					}
				}
			})
		}
	}
}

// The ring changes again and again while a member is given the state.
func TestServiceJoinerAndRings(t *testing.T) {
	seeds := 30
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		r := served(t, 3, nil, "one")
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		n := r.nodes[0]
		for k := range 6 {
			n.wait(n.propose("one", strings.Repeat(fmt.Sprint(k), 90_000)))
		}
		j := r.add(3, r.change)
		for range 12 {
			r.split([]int{0, 1, 2, 3})
			r.nodes[1].propose("one", "between")
			r.run(time.Duration(1+(seed*7+r.rand.IntN(25))%30) * time.Millisecond)
			if r.rand.IntN(3) == 0 {
				r.split([]int{0, 1, 2}, []int{3})
				r.run(time.Duration(r.rand.IntN(20)) * time.Millisecond)
			}
		}
		r.split([]int{0, 1, 2, 3})
		r.ready(0, 1, 2, 3)
		r.nodes[3].wait(j.propose("one", "of the joiner"))
		r.alike(0, 1, 2, 3)
		if m := j.core.Stats().HashMismatches; m != 0 {
			t.Errorf("seed %d: %d mismatches", seed, m)
		}
	}
}

// A service that answers otherwise at one member is named, and that member is given the state anew.
func TestServiceNotDeterministic(t *testing.T) {
	twist := func(line string) string { return line + "!" }
	for _, row := range []struct {
		name  string
		wrong map[int]func(string) string
		learn []int // who learns anew
	}{
		{"one of three", map[int]func(string) string{1: twist}, []int{1}},
		{"the leader of three", map[int]func(string) string{0: twist}, []int{0}},
		{"two of three, alike", map[int]func(string) string{1: twist, 2: twist}, []int{0}},
		{"all three, each one for itself", map[int]func(string) string{1: twist, 2: func(l string) string { return l + "?" }}, []int{1, 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := served(t, 3, nil, "fine", "odd")
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			r.nodes[0].wait(r.nodes[0].propose("fine", "a"))
			for i, f := range row.wrong {
				once := true
				r.nodes[i].book("odd").twist = func(l string) string {
					if once {
						once = false
						return f(l)
					}
					return l
				}
			}
			c := r.nodes[0].propose("odd", "b")
			r.nodes[0].wait(c)
			r.run(1500 * time.Millisecond)
			r.ready(0, 1, 2)
			r.nodes[2].wait(r.nodes[2].propose("odd", "c"))
			r.run(1500 * time.Millisecond)
			r.alike(0, 1, 2)
			for i, n := range r.nodes {
				if wrong := slices.Contains(row.learn, i); wrong != (n.book("odd").restores > 0) {
					t.Errorf("member %d: %d restores, it was wrong: %v", i, n.book("odd").restores, wrong)
				}
				named := slices.ContainsFunc(n.warned, func(w string) bool { return strings.Contains(w, `"odd"`) && strings.Contains(w, "deterministic") })
				if !named {
					t.Errorf("member %d does not name the service: %q", i, n.warned)
				}
				if n.core.Stats().HashMismatches != uint64(len(row.learn)) {
					t.Errorf("member %d: %d mismatches", i, n.core.Stats().HashMismatches)
				}
			}
		})
	}
}

// A ring that stands keeps what the leader has proposed. Until it goes on the leader has nothing to do about that, and is
// not woken by what comes due meanwhile: it would turn without an end.
func TestServiceDutiesInRingThatStands(t *testing.T) {
	for _, row := range []struct {
		name string
		load func(n *node)
	}{
		{"a comparison", func(n *node) { n.wait(n.propose("one", "a")) }},
		{"ticks", func(n *node) { n.wait(n.propose("one", "wake 1")) }},
		{"the ends of locks", func(n *node) {
			for i := range 1000 {
				n.lock(fmt.Sprint(i), 2*time.Second)
			}
			n.wait(n.lock("last", 2*time.Second))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := served(t, 3, nil, "one")
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			row.load(r.nodes[0])
			r.nodes[2].dead = true
			r.run(5 * time.Second)
			r.nodes[2].dead = false
			r.run(time.Second)
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			r.alike(0, 1, 2)
		})
	}
}

// A comparison that has not come to its end, since a ring's end has cut it or a member that is to tell still learns, is over
// when the next one begins: nobody is judged by it.
func TestServiceComparisonCut(t *testing.T) {
	for _, rings := range []bool{false, true} {
		r := served(t, 3, nil, "one")
		r.split([]int{0, 1, 2})
		r.ready(0, 1, 2)
		r.nodes[0].wait(r.nodes[0].propose("one", "a"))
		r.run(1500 * time.Millisecond)
		for _, n := range r.nodes { // two of three have told, and not the same
			v, s := &n.core.served, n.core.state
			v.index = s.Index()
			v.told = []told{{r.nodes[0].id, s.Hash(), s.services.answered()}, {r.nodes[2].id, s.Hash() + 1, s.services.answered()}}
		}
		if rings {
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
		}
		r.nodes[1].wait(r.nodes[1].propose("one", "b"))
		r.run(1500 * time.Millisecond)
		r.ready(0, 1, 2)
		r.alike(0, 1, 2)
		for i, n := range r.nodes {
			if k := n.core.Stats().HashMismatches; k != 0 || n.book("one").restores != 0 {
				t.Errorf("rings %v, member %d: %d mismatches, %d restores", rings, i, k, n.book("one").restores)
			}
		}
	}
}

// A panic at one member is like another answer, and is looked for at once; one at all members is an answer.
func TestServicePanics(t *testing.T) {
	r := served(t, 3, nil, "one")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.nodes[2].book("one").panicAt = "here"
	if code := r.nodes[0].wait(r.nodes[0].propose("one", "here")); code != CodeOK {
		t.Errorf("code %d at a member that has not panicked", code)
	}
	r.run(200 * time.Millisecond)
	r.ready(0, 1, 2)
	if b := r.nodes[2].book("one"); b.restores != 1 || r.nodes[0].book("one").restores != 0 {
		t.Errorf("%d restores", b.restores)
	}
	for _, n := range r.nodes {
		n.book("one").panicAt = "there"
	}
	c := r.nodes[0].propose("one", "there")
	if code := r.nodes[0].wait(c); code != CodePanicked {
		t.Errorf("code %d", code)
	}
	r.run(1500 * time.Millisecond)
	r.ready(0, 1, 2)
	r.alike(0, 1, 2)
	for i, n := range r.nodes {
		want := 0
		if i == 2 {
			want = 1
		}
		if n.book("one").restores != want {
			t.Errorf("member %d: %d restores", i, n.book("one").restores)
		}
	}
	if n := r.nodes[2].core.Stats().Panics; n != 2 {
		t.Errorf("%d panics", n)
	}
}

// Snapshots that fail are asked for elsewhere; one that cannot be taken is asked for again.
func TestServiceSnapshotFails(t *testing.T) {
	for _, row := range []struct {
		name  string
		plant func(r *rig)
	}{
		{"at once", func(r *rig) { r.nodes[1].book("one").snapshot = errors.New("no memory") }},
		{"in the middle", func(r *rig) { r.nodes[1].book("one").torn = errors.New("no disk") }},
		{"all but one", func(r *rig) {
			r.nodes[1].book("one").torn = errors.New("no disk")
			r.nodes[2].book("one").snapshot = errors.New("no memory")
		}},
		{"at the joiner", func(r *rig) { r.nodes[3].book("one").unreadable = errors.New("no such format") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := served(t, 3, nil, "one")
			r.split([]int{0, 1, 2})
			r.ready(0, 1, 2)
			r.nodes[0].wait(r.nodes[0].propose("one", strings.Repeat("x", 100_000)))
			r.add(3, r.change)
			row.plant(r)
			r.split([]int{0, 1, 2, 3})
			r.run(1800 * time.Millisecond)
			r.nodes[3].book("one").unreadable = nil
			r.ready(0, 1, 2, 3)
			r.alike(0, 1, 2, 3)
			said := 0
			for _, n := range r.nodes {
				for _, w := range n.warned {
					if strings.Contains(w, `"one"`) && strings.Contains(w, "no ") {
						said++
					}
				}
			}
			if said == 0 {
				t.Error("nothing in the log")
			}
		})
	}
}

// A member without the service gets no state, and says its name; one that only watches passes over it.
func TestServiceLacking(t *testing.T) {
	r := served(t, 3, nil, "one", "two")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	r.nodes[0].wait(r.nodes[0].put("k", "v"))
	r.nodes[0].wait(r.nodes[0].propose("one", "a"))
	r.nodes[0].wait(r.nodes[0].propose("two", "a"))

	none := r.add(3, nil)
	half := r.add(4, func(i int, c *Config) { r.serve(c, "one") })
	watcher := r.add(5, func(i int, c *Config) { c.Observer = true })
	other := r.add(6, func(i int, c *Config) { c.Observer = true; r.serve(c, "two") })
	everybody := []int{0, 1, 2, 3, 4, 5, 6}
	r.split(everybody)
	for _, row := range []struct {
		n    *node
		name string
	}{{none, `"one"`}, {half, `"two"`}} {
		if code := row.n.wait(row.n.call(&Call{Kind: CallReady})); code != CodeUnsupported {
			t.Errorf("member %d: WaitReady: code %d", row.n.i, code)
		}
		if why := row.n.core.Status(r.now).Why; !strings.Contains(why, row.name) || !strings.Contains(why, "service") {
			t.Errorf("member %d: why %q", row.n.i, why)
		}
		if row.n.core.State() != nil {
			t.Errorf("member %d has a state", row.n.i)
		}
	}
	r.ready(0, 1, 2, 5, 6)
	for range 3 { // it stays so through rings, without another transfer
		for k := range 5 {
			r.nodes[k%3].wait(r.nodes[k%3].propose("one", fmt.Sprint("b", k)))
			r.nodes[k%3].wait(r.nodes[k%3].propose("two", fmt.Sprint("b", k)))
		}
		r.split([]int{0, 1, 2, 5, 6})
		r.ready(0, 1, 2, 5, 6)
	}
	r.run(2500 * time.Millisecond)
	for _, n := range []*node{watcher, other} {
		if n.get("k") != "v" || n.core.State().Hash() != r.nodes[0].core.State().Hash() {
			t.Errorf("member %d does not follow", n.i)
		}
		if s := n.core.Stats(); s.Transfers != 1 || s.HashMismatches != 0 {
			t.Errorf("member %d: %d transfers, %d mismatches", n.i, s.Transfers, s.HashMismatches)
		}
		if code := n.wait(n.put("w", "x")); code != CodeOK {
			t.Errorf("member %d: a put: code %d", n.i, code)
		}
	}
	r.alike(0, 1, 2)
	if !slices.Equal(other.book("two").lines, r.nodes[0].book("two").lines) {
		t.Errorf("the observer that has one of them: %s\n%s", lastOf(other.book("two").lines), lastOf(r.nodes[0].book("two").lines))
	}
	if n := r.nodes[0].core.Stats().HashMismatches; n != 0 {
		t.Errorf("%d mismatches", n)
	}
	// They give the state to nobody, also where nobody else is.
	r.add(7, r.change)
	r.kill(2)
	r.split([]int{0, 1, 5, 6, 7})
	r.ready(0, 1, 7)
	r.alike(0, 1, 7)
}

// A service comes into force when the last member that lacked it is replaced, without a new ring too, when the rules rise.
func TestServiceComesIntoForce(t *testing.T) {
	r := served(t, 3, func(i int, c *Config) {
		if i == 0 {
			c.Services = nil
		}
	}, "one")
	r.split([]int{0, 1, 2})
	r.ready(0, 1, 2)
	n := r.nodes[1]
	if code := n.wait(n.propose("one", "early")); code != CodeUnsupported {
		t.Errorf("code %d", code)
	}
	n.wait(n.put("k", "v"))
	r.kill(0)
	j := r.add(3, r.change)
	r.split([]int{1, 2, 3})
	r.ready(1, 2, 3)
	if v := n.core.State().Rules(); v != 1 {
		t.Fatalf("rules %d", v)
	}
	if code := n.wait(n.propose("one", "early")); code != CodeUnsupported {
		t.Errorf("under the old rules: code %d", code)
	}
	for range 62 {
		r.now = r.now.Add(time.Second - time.Millisecond)
		r.turn()
		r.run(3 * time.Millisecond)
	}
	r.run(20 * time.Millisecond)
	if code := n.wait(n.propose("one", "now")); code != CodeOK {
		t.Fatalf("under the new rules: code %d", code)
	}
	r.alike(1, 2, 3)
	if got := j.book("one").lines; len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// Two clusters that were founded apart meet: the state that goes is given to its machines, to be proposed again.
func TestServiceChainsMeet(t *testing.T) {
	r := served(t, 4, nil, "one")
	r.split([]int{0, 1})
	r.run(2 * time.Second)
	r.ready(0, 1)
	r.split([]int{2, 3})
	r.run(2 * time.Second)
	r.ready(2, 3)
	r.nodes[0].wait(r.nodes[0].propose("one", "older"))
	r.nodes[2].wait(r.nodes[2].propose("one", "younger"))
	r.run(20 * time.Millisecond)
	gone := slices.Clone(r.nodes[3].book("one").lines)
	r.split([]int{0, 1, 2, 3})
	r.ready(0, 1, 2, 3)
	r.alike(0, 1, 2, 3)
	for i, n := range r.nodes {
		b := n.book("one")
		if i < 2 && b.chains != 0 || i >= 2 && (b.chains != 1 || !slices.Equal(b.again, gone)) {
			t.Errorf("member %d: %d other chains, again %q", i, b.chains, b.again)
		}
	}
	// Within the chain it is not said again.
	r.split([]int{0, 1}, []int{2, 3})
	r.run(300 * time.Millisecond)
	r.nodes[0].propose("one", "apart")
	r.run(100 * time.Millisecond)
	r.split([]int{0, 1, 2, 3})
	r.ready(0, 1, 2, 3)
	r.alike(0, 1, 2, 3)
	for i, n := range r.nodes {
		if i >= 2 && n.book("one").chains != 1 {
			t.Errorf("member %d: %d other chains", i, n.book("one").chains)
		}
	}
}

// Part 0 has the services in force; whatever is damaged in it, no other state comes of it.
func TestServicesInParts(t *testing.T) {
	s := historyState(t, rulesOfServices)
	w := wire.MemberID(member('a'))
	o := opening(1, 5, "ab", "ab")
	o.Rules = rulesOfServices
	for i := range o.Members {
		o.Members[i].Services = []string{"one", "two"}
	}
	s.Establish(1, o)
	for _, op := range []wire.ClusterOp{
		{Kind: wire.OpService, Key: []byte("one"), Value: []byte("x")}, {Kind: wire.OpTick, Key: []byte("two"), Expires: 77},
	} {
		if r := s.Apply(1, w, 0, &op); r.Code != CodeOK {
			t.Fatalf("code %d", r.Code)
		}
	}
	c := s.Cut(1)
	zero, _, _, _ := c.Part(nil, 1, 0, 0, 1<<20)
	build := func(zero []byte) (*State, error) {
		b := NewBuilder()
		if err := b.Add(1, 0, zero); err != nil {
			return nil, err
		}
		return b.State(c.Digest)
	}
	got, err := build(zero)
	if err != nil {
		t.Fatal(err)
	}
	a, b := s.services.list, got.services.list
	if len(b) != 2 || b[0].name != "one" || b[0].answers == 0 || b[0].answers != a[0].answers || b[1].name != "two" || b[1].ticked != 77 || got.Digest() != s.Digest() {
		t.Errorf("%+v", b)
	}
	for i := range zero {
		damaged := bytes.Clone(zero)
		damaged[i] ^= 1 << (i % 8)
		if _, err := build(damaged); err == nil {
			t.Errorf("byte %d was changed, and it was taken", i)
		}
		if i > 0 {
			if _, err := build(zero[:i]); err == nil {
				t.Errorf("%d bytes of it were taken", i)
			}
		}
	}
}
