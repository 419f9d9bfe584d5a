package held

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// With few steps for each operation, walks, publications and ends of connections go on at Ticks. Nothing is lost or
// handed out twice by that, nobody waits for what is there, and no operation does much more than its steps.
func TestFewSteps(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 15
	}
	for seed := range n {
		rng := rand.New(rand.NewPCG(seed, 5))
		r := newRig(t)
		steps := 10 + rng.IntN(60)
		r.m.maxSteps = steps
		twin := New(holder)
		twin.maxSteps = steps
		held := map[uint64][]uint64{} // by connection: numbers in flight
		got := map[uint64]int{}       // deliveries of numbers
		released := map[uint64]int{}
		worst := 0
		note := func(conn uint64, all []Message) {
			for _, m := range all {
				held[conn] = append(held[conn], m.Number)
				got[m.Number]++
			}
		}
		after := func() {
			worst = max(worst, -r.m.state.steps)
			for {
				x, ok := r.m.Notice()
				if !ok {
					break
				}
				note(x.Conn, x.Messages)
			}
			for {
				if _, ok := twin.Notice(); !ok {
					break
				}
			}
		}
		do := func(conn uint64, op Op) Answer {
			op.Conn = conn
			if op.Kind != KindBegin {
				r.next[conn]++
				op.Counter = r.next[conn]
			}
			b := Sign(op.Append(nil), member(conn))
			r.index++
			answer := r.m.Apply(b, holder, r.index)
			if !bytes.Equal(answer, twin.Apply(b, holder, r.index)) {
				t.Fatalf("seed %d: the twin answers otherwise", seed)
			}
			r.m.Certain(r.index)
			twin.Certain(r.index)
			var a Answer
			a.Parse(answer)
			after()
			note(conn, a.Messages)
			r.check()
			return a
		}
		tick := func() {
			r.index++
			r.m.Tick(time.UnixMilli(0))
			twin.Tick(time.UnixMilli(0))
			r.m.Certain(r.index)
			twin.Certain(r.index)
			after()
			r.check()
		}
		selectors := []string{"", "colour = 'red'", "colour <> 'red' OR JMSPriority > 5", "colour IS NULL"}
		for conn := uint64(1); conn <= 3; conn++ {
			do(conn, Op{Kind: KindBegin, Name: []byte("c")})
			for id := uint64(1); id <= 6; id++ {
				do(conn, Op{Kind: KindConsume, Consumer: id, Queue: []byte("Q"), Selector: []byte(selectors[rng.IntN(4)])})
			}
		}
		wants := map[int]bool{} // subscriptions that want what is red
		for i := range 10 {
			sel := rng.IntN(4)
			wants[i] = sel < 2
			do(1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: fmt.Appendf(nil, "s%d", i), Flags: FlagDurable, Selector: []byte(selectors[sel])})
		}
		alive := []uint64{1, 2, 3}
		published := uint64(0)
		for range 400 {
			conn := alive[rng.IntN(len(alive))]
			switch k := rng.IntN(20); {
			case k < 8:
				m := Message{ID: make([]byte, idLen), Data: encodeMessage("x", []string{"", "red", "blue"}[rng.IntN(3)], 0), Priority: uint8(rng.IntN(10))}
				m.ID[0] = 1
				if rng.IntN(8) == 0 {
					m.Group = []byte{byte('a' + rng.IntN(3))}
				}
				do(conn, Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: m})
			case k < 12:
				do(conn, Op{Kind: KindTake, Consumer: 1 + rng.Uint64N(6), Limit: 1 + rng.Uint64N(3), Flags: rng.Uint64N(2)})
			case k < 14:
				if h := held[conn]; len(h) > 0 {
					if a := do(conn, Op{Kind: KindSettle, Numbers: h[:1]}); a.Code != CodeOK {
						t.Fatalf("seed %d: settle %d: code %d", seed, h[0], a.Code)
					}
					held[conn] = h[1:]
				}
			case k < 15:
				if h := held[conn]; len(h) > 0 {
					held[conn] = h[1:]
					released[h[0]]++
					do(conn, Op{Kind: KindRelease, Numbers: h[:1], Flags: FlagUnseen})
				}
			case k < 16:
				published++
				do(conn, Op{Kind: KindPublish, Topic: []byte("t"), HasMessage: true,
					Message: Message{ID: bytes.Repeat([]byte{1}, idLen), Data: encodeMessage("x", "red", 0)}})
			case k < 17 && len(alive) > 1 && rng.IntN(8) == 0:
				alive = alive[:len(alive)-1]
				end := uint64(len(alive) + 1)
				for _, n := range held[end] {
					released[n]++
				}
				held[end] = nil
				do(end, Op{Kind: KindEnd})
			default:
				tick()
			}
			if rng.IntN(100) == 0 {
				b := r.snapshot()
				twin = New(holder)
				twin.maxSteps = steps
				if _, err := twin.Restore(bytes.NewReader(b), false); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := 0; ; i++ {
			if at, ok := r.m.Next(); !ok || at.UnixMilli() > 0 {
				break
			}
			if i > 20_000 {
				t.Fatalf("seed %d: it never ends", seed)
			}
			tick()
		}
		s := r.m.state
		q := s.queues["Q"]
		s.steps = MaxSteps
		s.ready.from(key{hi: uint64(q.no)}, func(k key, m *message) bool {
			for c := q.first; c != nil && k.hi == uint64(q.no); c = c.succ {
				if s.eligible(c) && s.matches(c, m) {
					t.Fatalf("seed %d: consumer %d waits, and message %d is there for it", seed, c.no, m.number)
				}
			}
			return true
		})
		for no, times := range got {
			if times > 1+released[no] {
				t.Fatalf("seed %d: message %d came %d times", seed, no, times)
			}
		}
		for i := range 10 {
			want := published
			if !wants[i] {
				want = 0
			}
			if n := s.queues[subscriptionKey([]byte("c"), fmt.Appendf(nil, "s%d", i), true)].stats.Put; n != want {
				t.Fatalf("seed %d: %d publications reached subscription %d, not %d", seed, n, i, want)
			}
		}
		// A group of steps that was begun is finished: one selector, a few messages.
		if worst > 400 {
			t.Errorf("seed %d: an operation took %d steps more than it may", seed, worst)
		}
	}
}
