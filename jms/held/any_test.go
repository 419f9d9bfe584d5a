package held

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// anything is an operation whose fields have nothing to do with each other, of one of three clients. A client whose
// connection has ended begins another one.
func anything(rng *rand.Rand, s *state, numbers *[3]uint64) []byte {
	op := anyOp(rng)
	slot := rng.IntN(3)
	from := member(uint64(slot))
	c := s.conns[connKey{from, numbers[slot]}]
	if c == nil {
		numbers[slot]++
		return Sign((&Op{Kind: KindBegin, Conn: numbers[slot], Name: []byte("c")}).Append(nil), from)
	}
	if op.Kind == KindEnd && rng.IntN(4) > 0 {
		op.Kind = KindPart
	}
	op.Conn = c.number
	op.Queue = []byte([]string{"", "a", "b", "DLQ.a", "\x00dc\x00s", "\x00s\x00s"}[rng.IntN(6)])
	op.Name = []byte([]string{"", "s", "a", "b"}[rng.IntN(4)])
	op.Topic = []byte([]string{"", "t", "t", "u/*", "/"}[rng.IntN(5)])
	op.Selector = []byte([]string{"", "", "JMSPriority > 4", "a = ", "colour = 'red'"}[rng.IntN(5)])
	op.Consumer, op.Session = rng.Uint64N(3), rng.Uint32N(2)
	op.Limit, op.After = rng.Uint64N(5)<<(rng.UintN(2)*rng.UintN(62)), rng.Uint64N(3)<<(rng.UintN(2)*rng.UintN(62))
	op.Numbers = nil
	for range rng.IntN(4) {
		op.Numbers = append(op.Numbers, rng.Uint64N(60)<<(rng.UintN(20)/19*60))
	}
	if op.HasMessage && rng.IntN(4) > 0 {
		op.Message.ID = bytes.Repeat([]byte{byte(rng.IntN(30))}, idLen)
	}
	if s := op.Settings; s != nil {
		*s = Settings{MaxRedeliveries: rng.Int64N(4) - 1, RedeliveryDelay: rng.Int64N(2) * 50, Depth: rng.Uint64N(30)}
		if rng.IntN(3) == 0 {
			s.HolderDepth = 5 + rng.Uint64N(40)
		}
	}
	if rng.IntN(10) < 3 {
		op.Kind = []Kind{KindConsume, KindTake, KindPut}[rng.IntN(3)]
	}
	op.Counter = c.next
	if rng.IntN(30) == 0 {
		op.Counter = rng.Uint64()
	}
	b := op.Append(nil)
	if op.Kind == KindBatch { // of one, mostly; or of what anyOp has made
		op.Kind = KindPut
		b = AppendBatch(nil, op.Append(nil))
	}
	if rng.IntN(40) == 0 {
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
	}
	if op.Kind != KindMerge && op.Kind != KindGone || rng.IntN(3) == 0 {
		b = Sign(b, from)
	}
	return b
}

// Operations that make no sense are answered, and leave a state that counts right, is restored from its snapshot byte for
// byte, and comes to rest.
func TestAnything(t *testing.T) {
	n := uint64(80)
	if testing.Short() {
		n = 10
	}
	for seed := range n {
		rng := rand.New(rand.NewPCG(seed, 8))
		m, twin := New(holder), New(holder)
		steps := []int{MaxSteps, 40}[rng.IntN(2)]
		m.maxSteps, twin.maxSteps = steps, steps
		var numbers [3]uint64
		now := int64(0)
		defer func() {
			if r := recover(); r != nil {
				panic(fmt.Sprintf("seed %d: %v", seed, r))
			}
		}()
		codes := map[Code]int{}
		for i := uint64(1); i <= 1500; i++ {
			if rng.IntN(15) == 0 {
				now += rng.Int64N(200)
				m.Tick(time.UnixMilli(now))
				twin.Tick(time.UnixMilli(now))
			} else {
				b := anything(rng, m.state, &numbers)
				answer := m.Apply(b, holder, 10*i)
				if !bytes.Equal(answer, twin.Apply(b, holder, 10*i)) {
					t.Fatalf("seed %d: the twin answers otherwise", seed)
				}
				var a Answer
				if !a.Parse(answer) {
					t.Fatalf("seed %d: an answer does not parse", seed)
				}
				codes[a.Code]++
			}
			m.Certain(10 * i)
			for {
				if _, ok := m.Notice(); !ok {
					break
				}
			}
			twin.notices, twin.due = nil, 0
			if err := m.state.audit(); err != nil {
				t.Fatalf("seed %d, %d: %v", seed, i, err)
			}
			if rng.IntN(100) == 0 {
				var b, c bytes.Buffer
				s, _ := m.Snapshot()
				s.WriteTo(&b)
				s, _ = twin.Snapshot()
				s.WriteTo(&c)
				if !bytes.Equal(b.Bytes(), c.Bytes()) {
					t.Fatalf("seed %d, %d: the twin's snapshot differs", seed, i)
				}
				twin = New(holder)
				twin.maxSteps = steps
				if _, err := twin.Restore(&c, false); err != nil {
					t.Fatalf("seed %d, %d: %v", seed, i, err)
				}
			}
		}
		if codes[CodeOK] < 150 || len(codes) < 9 {
			t.Errorf("seed %d: only %v", seed, codes)
		}
		for i := 0; ; i++ {
			at, ok := m.Next()
			if !ok || at.UnixMilli() > now {
				break
			}
			if m.Tick(time.UnixMilli(now)); i > 10_000 {
				t.Fatalf("seed %d: it does not come to rest", seed)
			}
		}
		for range m.state.remains() {
		}
	}
}
