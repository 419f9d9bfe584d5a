package fec

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// benchBody makes source symbols of 1,344 bytes, and benchPayload the message in it.
const benchBody = 1344 - 6

// benchSources are n datagrams whose source symbols have 1,344 bytes.
func benchSources(s *sending, n int) (list [][]byte) {
	_, probe := s.next(100, false)
	_, body, _ := wire.SourceOf(probe)
	payload := 100 + benchBody - len(body) - 2 // two lengths take a byte more
	s.sent = nil
	for range n {
		_, b := s.next(payload, false)
		list = append(list, b)
	}
	if _, body, _ := wire.SourceOf(list[0]); len(body) != benchBody {
		panic(fmt.Sprint("a body of ", len(body)))
	}
	return list
}

// BenchmarkSent is what protection costs for each source datagram, everything included: symbol,
// repair symbols, their datagrams and CRCs.
func BenchmarkSent(b *testing.B) {
	for _, c := range []struct{ k, m int }{{20, 1}, {20, 2}, {16, 4}, {32, 8}} {
		b.Run(fmt.Sprintf("%d+%d", c.k, c.m), func(b *testing.B) {
			s := newSending(rand.New(rand.NewPCG(1, 1)), c.k, c.m, 1)
			list := benchSources(s, 64)
			number := uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				number++
				s.e.Sent(clock.Time(number), number, list[number%64])
				for {
					x, ok := s.e.PollSend()
					if !ok {
						break
					}
					x.Buf.Release()
				}
			}
		})
	}
}

// closing measures a datagram that closes a block of (20, 2), and one that does not: medians.
func closing(blocks int) (closes, ordinary time.Duration) {
	s := newSending(rand.New(rand.NewPCG(1, 1)), 20, 2, 1)
	list := benchSources(s, 64)
	number := uint64(0)
	var took [2][]time.Duration
	for range 20 * blocks {
		number++
		which := 0
		if number%20 == 0 {
			which = 1
		}
		begin := time.Now()
		s.e.Sent(clock.Time(number), number, list[number%64])
		took[which] = append(took[which], time.Since(begin))
		for {
			x, ok := s.e.PollSend()
			if !ok {
				break
			}
			x.Buf.Release()
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	return took[1][len(took[1])/2], took[0][len(took[0])/2]
}

// BenchmarkClose is what the close of a block of (20, 2) adds to its last datagram.
func BenchmarkClose(b *testing.B) {
	for b.Loop() {
		closes, ordinary := closing(500)
		b.ReportMetric(float64(closes-ordinary), "ns-added")
		b.ReportMetric(float64(ordinary), "ns-ordinary")
	}
}

// BenchmarkRebuild is a whole block of (20, 2) at a receiver, with losses.
func BenchmarkRebuild(b *testing.B) {
	for lost := range 3 {
		b.Run(fmt.Sprintf("20+2,lost=%d", lost), func(b *testing.B) {
			s := newSending(rand.New(rand.NewPCG(1, 1)), 20, 2, 1)
			list := benchSources(s, 20)
			var repairs [][]byte
			for i, x := range list {
				s.e.Sent(1, uint64(i+1), x)
				repairs = append(repairs, s.poll()...)
			}
			pool := buf.NewPool(256, 2048)
			w := NewWorkspace(testDatagram, openBlocks, mostHistory)
			var dg wire.Datagram
			var source, repair buf.Buf
			d := NewDecoder(DecoderConfig{Datagram: testDatagram, Pool: pool, Workspace: w}, testStream, 1)
			b.ReportAllocs()
			for b.Loop() {
				*d = Decoder{cfg: d.cfg, header: d.header, slots: d.slots, mask: d.mask, keep: leastKept, low: 1, high: 1, open: d.open, rebuilt: d.rebuilt}
				for i, x := range list {
					if i >= lost {
						source.Lend(x)
						d.Source(1, uint64(i+1), &source)
					}
				}
				for _, x := range repairs {
					if err := wire.Decode(x, &dg); err != nil {
						b.Fatal(err)
					}
					r := dg.Frames()[0].Repair()
					repair.Lend(x)
					d.Repair(1, &r, &repair)
				}
				got := 0
				for {
					_, x, ok := d.PollRebuilt()
					if !ok {
						break
					}
					got++
					x.Release()
				}
				if got != lost {
					b.Fatalf("%d of %d rebuilt: %+v", got, lost, d.stats)
				}
				d.Release()
			}
		})
	}
}

// Encoding block by block runs at 0.6 × the speed of the library's Encode over the same matrix, or
// better; here with twice the slack, and as the best of several rounds that alternate.
func TestSpeed(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("a measurement")
	}
	var yardstick time.Duration // the library's Encode of (20, 2): about 1 µs where this is fast
	for _, c := range []struct{ k, m int }{{20, 2}, {16, 4}, {32, 8}} {
		shards := benchShards(c.k+c.m, 1344)
		enc := libraryEncoder(t, c.k, c.m)
		if err := enc.Encode(shards); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(shards[c.k+c.m-1])
		ours, library := time.Hour, time.Hour
		for range 12 {
			begin := time.Now()
			for range 100 {
				encodeShards(shards, c.k)
			}
			ours = min(ours, time.Since(begin)/100)
			if !bytes.Equal(shards[c.k+c.m-1], want) {
				t.Fatal("the library gives another repair symbol")
			}
			begin = time.Now()
			for range 100 {
				if err := enc.Encode(shards); err != nil {
					t.Fatal(err)
				}
			}
			library = min(library, time.Since(begin)/100)
		}
		ratio := float64(library) / float64(ours)
		t.Logf("(%d, %d): %v a block, the library %v: %.2f × its speed", c.k, c.m, ours, library, ratio)
		if ratio < 0.3 {
			t.Errorf("(%d, %d): %.2f × the speed of the library", c.k, c.m, ratio)
		}
		if c.k == 20 {
			yardstick = library
		}
	}
	best := time.Hour
	for range 5 {
		closes, ordinary := closing(200)
		best = min(best, closes-ordinary)
	}
	t.Logf("closing a block of (20, 2) adds %v", best)
	if best > 2*yardstick { // the goal is 1 µs; no test asserts times
		t.Errorf("closing a block of (20, 2) adds %v, the library encodes all of it in %v", best, yardstick)
	}
}
