package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// benchRing delivers at once, at two members, what one of them offers.
type benchRing struct {
	self    wire.MemberID
	waiting [][]byte
	taken   [][]byte
	spare   [][]byte
	count   uint64
	done    int
}

func (r *benchRing) Offer(_ clock.Time, payload []byte, _ bool) error {
	var b []byte
	if n := len(r.spare); n > 0 {
		b, r.spare = r.spare[n-1][:0], r.spare[:n-1]
	}
	r.waiting = append(r.waiting, append(b, payload...))
	return nil
}
func (r *benchRing) Hurry()                                      {}
func (r *benchRing) Delivered() uint64                           { return r.count }
func (r *benchRing) Send(clock.Time, wire.MemberID, []byte) bool { return false }
func (r *benchRing) Publish(_ clock.Time, p *Publication) {
	if p.State != nil {
		p.State.Changed()
	}
}
func (r *benchRing) Done(clock.Time, *Call)    { r.done++ }
func (r *benchRing) Lost(clock.Time, uint64)   {}
func (r *benchRing) Warn(clock.Time, *Warning) {}

// benchPair is two Cores in one primary: the first one proposes.
func benchPair(tb testing.TB) (rings [2]*benchRing, cores [2]*Core, now clock.Time) {
	now = 1_000_000
	ids := []wire.MemberID{{0: 1}, {0: 2}}
	for i := range cores {
		rings[i] = &benchRing{self: ids[i]}
		cores[i] = New(Config{Self: ids[i], Name: fmt.Sprint("m", i), Started: 1_700_000_000_000_000, Wall: 1_700_000_000_000_000, Expected: 2,
			MaxValue: 1 << 20, StateLimit: 1 << 32, Datagram: 1400, Ring: rings[i], Pairs: rings[i], Sink: rings[i]})
	}
	for i := range cores {
		cores[i].Regular(now, wire.RingID{Rep: ids[0], Seq: 1}, ids)
	}
	for range 10 {
		exchange2(&rings, &cores, now)
	}
	if cores[0].phase != Complete || cores[1].phase != Complete {
		tb.Fatalf("phases %v and %v", cores[0].phase, cores[1].phase)
	}
	return rings, cores, now
}

func exchange2(rings *[2]*benchRing, cores *[2]*Core, now clock.Time) {
	for i := range cores {
		cores[i].Visit(now, now-1000, rings[i].count)
	}
	for i, r := range rings {
		list := r.waiting
		r.waiting, r.taken = r.taken[:0], list
		n := len(list)
		for _, b := range list {
			for _, c := range cores {
				c.Deliver(now, &core.Delivery{From: rings[i].self, Payload: b, Received: now})
			}
		}
		r.spare = append(r.spare, list...)
		rings[0].count += uint64(n)
		rings[1].count += uint64(n)
	}
	for _, c := range cores {
		c.Flush(now)
	}
}

// BenchmarkPut is a put of 100 bytes from the call to its end, with the second member's share; 64 are under way.
func BenchmarkPut(b *testing.B) {
	rings, cores, now := benchPair(b)
	calls := make([]Call, 64)
	value := make([]byte, 100)
	var number uint64
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		c := &calls[n%64]
		number++
		*c = Call{Number: number, Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: []byte("map"), Key: fmt.Appendf(nil, "key-%09d", n%1000), Value: value}}
		cores[0].Call(now, c)
		if n%64 == 63 {
			now = now.Add(100 * time.Microsecond)
			cores[0].Flush(now)
			exchange2(&rings, &cores, now)
		}
	}
}

// A put at a member that did not propose it allocates what it keeps, and nothing for itself.
func TestPutAllocates(t *testing.T) {
	rings, cores, now := benchPair(t)
	value := make([]byte, 100)
	keys := make([][]byte, 64)
	calls := make([]Call, 64)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key-%012d", i)
	}
	var number uint64
	turn := func() {
		for i := range calls {
			number++
			calls[i] = Call{Number: number, Kind: CallOp, Op: wire.ClusterOp{Kind: wire.OpPut, Map: keys[0][:3], Key: keys[i], Value: value}}
			cores[0].Call(now, &calls[i])
		}
		now = now.Add(100 * time.Microsecond)
		cores[0].Flush(now)
		exchange2(&rings, &cores, now)
	}
	for range 20 {
		turn()
	}
	if rings[0].done == 0 {
		t.Fatal("no call has ended")
	}
	per := testing.AllocsPerRun(50, turn) / 64
	if per > 2*2+0.5 {
		t.Errorf("%.2f allocations for a put at two members, want 2 at each", per)
	}
	t.Logf("%.2f allocations for a put at two members together", per)
}
