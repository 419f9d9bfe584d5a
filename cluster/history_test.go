package cluster

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

var record = flag.String("record", "", "write a new history under the newest rules to this file")

// MP-5: a recorded history gives the recorded hashes. There is one for every number of the rules that this build supports,
// and it is never changed: what would change it needs a new number (docs/cluster.md, versions of the rules).
//
// Each line is a step and what the replica is after it: "open OPENING INDEX HASH DIGEST", or "batch MEMBER BODY INDEX HASH
// DIGEST CODES". OPENING and BODY are the wire's encoding; CODES has one digit for each operation.
func TestRecordedHistory(t *testing.T) {
	if *record != "" {
		if err := os.WriteFile(*record, recordHistory(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for rules := rulesMin; rules <= rulesMax; rules++ {
		t.Run(fmt.Sprint("rules ", rules), func(t *testing.T) { replayHistory(t, fmt.Sprintf("testdata/history-rules-%d.txt", rules), rules) })
	}
}

// historyState is what a history begins with.
func historyState(t *testing.T, rules int) *State {
	s := NewState()
	if rules >= rulesOfServices {
		none := func() *Core { return nil }
		s.services.attach([]Service{{"one", &book{t: t, core: none, panicAt: "panic"}}, {"two", &book{t: t, core: none}}})
	}
	return s
}

func replayHistory(t *testing.T, file string, rules int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := historyState(t, rules)
	steps := 0
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		steps++
		f := strings.Fields(line)
		got := ""
		switch f[0] {
		case "open":
			var o wire.Opening
			if err := wire.ParseClusterPart(unhex(t, f[1]), &o); err != nil {
				t.Fatal(err)
			}
			s.Establish(clock.Time(n), &o)
			got = line[:len("open ")+len(f[1])] + after(s)
		case "batch":
			got = line[:len("batch ")+len(f[1])+1+len(f[2])] + applyBody(s, clock.Time(n), wire.MemberID(unhex(t, f[1])), unhex(t, f[2]))
		default:
			t.Fatalf("line %d: %s", n, line)
		}
		if got != line {
			t.Fatalf("line %d: rules %d give another state for the same history\ngot  %s\nwant %s", n, rules, got, line)
		}
		s.ClearEvents()
	}
	if steps < 500 {
		t.Errorf("%d steps", steps)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func after(s *State) string { return fmt.Sprintf(" %d %016x %016x", s.Index(), s.Hash(), s.Digest()) }

// applyBody applies the body of a batch, or refuses it.
func applyBody(s *State, now clock.Time, by wire.MemberID, body []byte) string {
	b, err := wire.ParseBatch(body)
	if err != nil {
		r := s.Refuse(by, b.Stamp, body)
		return after(s) + fmt.Sprintf(" %d", r.Code)
	}
	codes := " "
	it := b.Ops()
	for it.Step() {
		codes += fmt.Sprint(s.Apply(now, by, b.Stamp, &it.ClusterOp).Code)
	}
	return after(s) + codes
}

func recordHistory() []byte {
	out := bytes.NewBufferString(fmt.Sprintf("# A history under rules %d, with what a replica is after each step. TestRecordedHistory says how to read it.\n", rulesMax))
	w := &stateWorkload{rng: rand.New(rand.NewPCG(16, 5))}
	s := historyState(nil, rulesMax)
	for i := range 600 {
		st := w.next(s)
		withServices(w, &st)
		if st.open != nil {
			fmt.Fprintf(out, "open %x", wire.AppendClusterPart(nil, st.open))
			st.do(clock.Time(i), s)
			out.WriteString(after(s) + "\n")
			continue
		}
		by := member(st.by)
		var ops wire.ClusterOps
		ops = ops.Append(st.op, nil)
		for last := st.op.Map; w.rng.IntN(3) == 0; {
			next := w.next(s)
			if next.open != nil {
				w.epoch--
				break
			}
			withServices(w, &next)
			ops = ops.Append(next.op, last)
			if next.op.Kind.Mapped() {
				last = next.op.Map
			}
		}
		_, body, _ := wire.ParseCluster(wire.AppendBatch(nil, st.stamp, ops))
		if i%50 == 49 {
			body = body[:len(body)-1]
		}
		fmt.Fprintf(out, "batch %x %x%s\n", by[:], body, applyBody(s, clock.Time(i), by, body))
		s.ClearEvents()
	}
	return out.Bytes()
}

// withServices has a step be one under rules that know services.
func withServices(w *stateWorkload, st *stateStep) {
	if o := st.open; o != nil {
		o.Rules = rulesMax
		for i := range o.Members {
			if m := &o.Members[i]; !m.Observer {
				m.RulesMax, m.Services = rulesMax, []string{"one", "two"}[:1+min(w.epoch/4, 1)]
			}
		}
		return
	}
	name := []byte([]string{"one", "two", "three"}[w.rng.IntN(3)])
	switch w.rng.IntN(12) {
	case 0, 1, 2, 3:
		st.op = &wire.ClusterOp{Kind: wire.OpService, Key: name, Value: fmt.Append(nil, "op ", w.rng.IntN(1000))}
	case 4:
		st.op = &wire.ClusterOp{Kind: wire.OpTick, Key: name, Expires: w.rng.Int64N(1e18) - 1e16}
	case 5:
		st.op = &wire.ClusterOp{Kind: wire.OpService, Key: name, Value: []byte("panic")}
	case 6:
		st.op = &wire.ClusterOp{Kind: wire.OpAnswers}
	case 7:
		if w.rng.IntN(20) == 0 {
			st.op = &wire.ClusterOp{Kind: wire.OpServe, Key: name}
		}
	}
}

// drawn is a source of chance whose draws a fuzzer chooses: a byte each, zeros in the end. The low bits are others each time,
// since some draws are repeated until they do.
type drawn struct {
	data []byte
	n    uint64
}

func (d *drawn) Uint64() uint64 {
	d.n++
	low := d.n * 0x9E3779B97F4A7C15 >> 8
	if len(d.data) == 0 {
		return low
	}
	b := d.data[0]
	d.data = d.data[1:]
	return uint64(b)<<56 | low
}

// Sequences of operations: the state does what the model does, replicas are equal, and so is one that is made from parts.
func FuzzHistory(f *testing.F) {
	rng := rand.New(rand.NewPCG(8, 8))
	for range 8 {
		b := make([]byte, 3000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		src := &drawn{data: data}
		w := &stateWorkload{rng: rand.New(src)}
		s, other := NewState(), NewState()
		m := &model{entries: map[string]modelEntry{}, locks: map[string]*modelLock{}}
		for i := 0; len(src.data) > 0 && i < 400; i++ {
			st := w.next(s)
			var want Code
			if st.open != nil {
				m.establish(st.open)
			} else {
				want = m.apply(st.by, st.stamp, st.op)
			}
			now := clock.Time(1000 + i)
			r, or := st.do(now, s), st.do(now+5, other)
			if r.Code != want || r != or || s.Hash() != other.Hash() {
				t.Fatalf("step %d: %+v by %c: code %d, the model has %d, the other replica %+v", i, st.op, st.by, r.Code, want, or)
			}
			s.ClearEvents()
			other.ClearEvents()
		}
		if got, want := text(s), m.text(); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
		check(t, s)
		if s.Digest() != other.Digest() {
			t.Fatal("replicas differ")
		}
		if w.epoch > 0 {
			restored(t, rand.New(rand.NewPCG(1, 1)), s, 2000)
		}
	})
}

// Batches as bytes, by anybody: whatever they say, replicas stay equal and whole.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\x09\x01\x00\x00\x00\x00\x00\x00\x00\x12\x0a\x0d\x01\x00\x00\x00\x12\x01m\x1a\x01k"))
	for _, b := range turns(1, 10) {
		f.Add(b)
	}
	for _, o := range []wire.ClusterOp{lockOp("k", 1), put("k", "v"), op(wire.OpUnlock, "k"), {Kind: wire.OpExit}, {Kind: wire.OpReady}, {Kind: wire.OpSweep},
		{Kind: wire.OpWeight, Weight: -1}, {Kind: wire.OpRules, Rules: 2}, {Kind: wire.OpCancel, Map: []byte("m"), Key: []byte("k"), Request: 1}} {
		var ops wire.ClusterOps
		_, body, _ := wire.ParseCluster(wire.AppendBatch(nil, 1<<62, ops.Append(&o, nil)))
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, other := NewState(), NewState()
		for i, st := range []*State{s, other} {
			st.Establish(clock.Time(i), opening(1, 5, "abc", "ab"))
			for _, by := range []byte("abcx") {
				for range 2 {
					applyBody(st, clock.Time(i), member(by), data)
				}
			}
			st.Establish(clock.Time(i), opening(2, 5, "bc", "b"))
		}
		if s.Hash() != other.Hash() || s.Digest() != other.Digest() {
			t.Fatal("replicas differ")
		}
		check(t, s)
		restored(t, rand.New(rand.NewPCG(1, 1)), s, 1)
	})
}

// Parts as bytes: they make a State, or an error, and never one of another digest.
func FuzzBuilder(f *testing.F) {
	s := sample()
	c := s.Cut(1)
	zero, _, _, _ := c.Part(nil, 1, 0, 0, 1<<20)
	one, _, _, _ := c.Part(nil, 1, 1, 0, 1<<20)
	two, _, _, _ := c.Part(nil, 1, 2, 0, 1<<20)
	locks, _, _, _ := c.Part(nil, 1, 3, 0, 1<<20)
	f.Add(zero, one, two, locks)
	f.Add(zero[:len(zero)-1], one[1:], two, locks)
	f.Fuzz(func(t *testing.T, zero, one, two, locks []byte) {
		b := NewBuilder()
		for part, data := range [][]byte{zero, one, two, locks} {
			if err := b.Add(5, uint32(part), data); err != nil {
				return
			}
		}
		if r, err := b.State(c.Digest); err == nil {
			if r.Digest() != c.Digest {
				t.Fatal("another state has passed")
			}
			check(t, r)
		}
	})
}

// sample is a State with something of everything, in two maps.
func sample() *State {
	s := NewState()
	s.Establish(1, opening(1, 5, "abc", "abc"))
	for i := range 40 {
		o := put(fmt.Sprint(i), "value")
		o.Map = []byte{byte('m' + i%2)}
		o.RemoveOnExit = i%3 == 0
		o.TTL = int64(i%4) * 1e9
		s.Apply(1, member(byte('a'+i%3)), 0, &o)
		l := lockOp(fmt.Sprint("lock", i%5), uint64(i))
		l.Keep = i%2 == 0
		s.Apply(1, member(byte('a'+i%3)), 0, &l)
	}
	s.Establish(1, opening(2, 5, "abd", "ab"))
	s.ClearEvents()
	return s
}

// Every bit of a part that is not the elapsed time of a term is covered by the digest. (A chunk's own CRC covers those.)
func TestDamagedParts(t *testing.T) {
	s := sample()
	c := s.Cut(1)
	var parts [][]byte
	for part := range uint32(c.Parts()) {
		data, _, _, end := c.Part(nil, 1, part, 0, 1<<20)
		if !end {
			t.Fatal("not all of it")
		}
		parts = append(parts, data)
	}
	build := func() error {
		b := NewBuilder()
		for part, data := range parts {
			if err := b.Add(5, uint32(part), data); err != nil {
				return err
			}
		}
		_, err := b.State(c.Digest)
		return err
	}
	if err := build(); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for part, data := range parts {
		for i := range data {
			data[i] ^= 1 << (i % 8)
			if build() == nil {
				accepted++ // the elapsed part of a term
			}
			data[i] ^= 1 << (i % 8)
		}
		for _, cut := range []int{1, 7, len(data) / 2} {
			parts[part] = data[:len(data)-cut]
			if build() == nil {
				t.Errorf("part %d without its last %d bytes was taken", part, cut)
			}
		}
		parts[part] = append(append([]byte{}, data...), data[len(data)-1])
		if build() == nil {
			t.Errorf("part %d with a byte more was taken", part)
		}
		parts[part] = data
	}
	if terms := 30 + s.Size().Locks; accepted > 8*terms {
		t.Errorf("%d damaged bytes were taken", accepted)
	}
	b := NewBuilder()
	for part, data := range parts {
		if err := b.Add(5, uint32(part), data); err != nil {
			t.Fatal(err)
		}
	}
	if b.Add(5, 1, parts[1]) == nil || NewBuilder().Add(5, 1, parts[1]) == nil {
		t.Error("a part came twice, or before part 0")
	}
}
