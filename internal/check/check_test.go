package check

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

const ms = clock.Time(time.Millisecond)

var (
	alice = wire.MemberID{1}
	bob   = wire.MemberID{2}
	id    = wire.NewStreamID(wire.NACK, 0)
)

// options are those of the good run.
var options = Options{Bound: 50 * time.Millisecond, Flight: time.Millisecond, Eviction: time.Second}

// run is a log with two members under construction.
type run struct {
	*Log
	a, b Proc
	s    Stream
}

func payload(n uint64) []byte {
	p := make([]byte, 20)
	Payload(p, 7, n)
	return p
}

func (r *run) send(at clock.Time, n uint64) { r.Log.Sent(at, r.s, payload(n)) }
func (r *run) deliver(at clock.Time, n uint64) {
	r.Log.Delivered(at, r.b, &core.Delivery{From: alice, Stream: id, Sequence: n, Payload: payload(n)})
}
func (r *run) gap(at clock.Time, first, last uint64, reason core.LossReason) {
	r.Log.Gap(at, r.b, &core.Loss{From: alice, Stream: id, First: first, Last: last, Reason: reason})
}

// begin starts alice and bob, and alice's stream.
func begin() *run {
	r := &run{Log: NewLog()}
	r.a = r.Start(1, 0, alice)
	r.b = r.Start(1, 1, bob)
	r.s = r.Open(2, r.a, id)
	return r
}

// good is a run without a fault: alice sends 1..10, one a millisecond, bob hears them.
func good() *run {
	r := begin()
	for n := uint64(1); n <= 10; n++ {
		at := clock.Time(n) * ms
		r.send(at, n)
		r.Emitted(at, r.s, n, n, 100)
		r.deliver(at+ms/2, n)
	}
	r.Fault(200*ms, Healed, r.a, r.a)
	r.Fault(400*ms, Healed, r.a, r.a)
	return r
}

func TestGoodRunsPass(t *testing.T) {
	r := good()
	if vs := join(Safety(r.Log, options), Liveness(r.Log, options), RM9(r.Log, Repair{}), RM10(r.Log, 0), RM14(r.Log, 20), RM15(r.Log)); vs != nil {
		t.Fatalf("a run without a fault is faulted:\n%s", Text(vs))
	}
}

// TestPlantedDefects plants one defect in a log and names the properties that must notice it.
// Others may notice it too only where want says so.
func TestPlantedDefects(t *testing.T) {
	strict := options
	strict.Eviction = 0
	tests := []struct {
		name string
		make func() *run
		o    Options
		want []string
	}{
		{"wrong bytes", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Log.Delivered(2*ms, r.b, &core.Delivery{From: alice, Stream: id, Sequence: 1, Payload: payload(2)})
			return r
		}, options, []string{"RM-1"}},
		{"wrong length", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Log.Delivered(2*ms, r.b, &core.Delivery{From: alice, Stream: id, Sequence: 1, Payload: payload(1)[:19]})
			return r
		}, options, []string{"RM-1"}},
		{"never sent", func() *run {
			r := begin()
			r.deliver(ms, 1)
			return r
		}, options, []string{"RM-1"}},
		{"sent by nobody", func() *run {
			r := begin()
			r.Log.Delivered(ms, r.b, &core.Delivery{From: bob, Stream: id, Sequence: 1, Payload: payload(1)})
			return r
		}, options, []string{"RM-1"}},
		{"delivered before it was sent", func() *run {
			r := begin()
			r.deliver(ms, 1)
			r.send(2*ms, 1)
			return r
		}, options, []string{"RM-1"}},
		{"duplicate", func() *run {
			r := begin()
			r.send(ms, 1)
			r.deliver(2*ms, 1)
			r.deliver(3*ms, 1)
			return r
		}, options, []string{"RM-2", "RM-3"}},
		{"duplicate far behind", func() *run {
			r := good()
			r.deliver(401*ms, 3)
			return r
		}, options, []string{"RM-2", "RM-3"}},
		{"out of order", func() *run {
			r := begin()
			r.send(ms, 1)
			r.send(ms, 2)
			r.deliver(2*ms, 2)
			r.deliver(3*ms, 1)
			return r
		}, options, []string{"RM-3", "RM-7"}},
		{"silent gap", func() *run {
			r := begin()
			for n := uint64(1); n <= 3; n++ {
				r.send(ms, n)
			}
			r.deliver(2*ms, 1)
			r.deliver(3*ms, 3)
			return r
		}, options, []string{"RM-4"}},
		{"gap told after what follows it", func() *run {
			r := begin()
			for n := uint64(1); n <= 3; n++ {
				r.send(ms, n)
			}
			r.Fault(ms, Pause, r.b, r.b)
			r.Fault(1500*ms, Resume, r.b, r.b)
			r.deliver(2*ms, 1)
			r.deliver(1501*ms, 3)
			r.gap(1502*ms, 2, 2, core.LossRetention)
			return r
		}, options, []string{"RM-4", "RM-5"}},
		{"reported, then delivered", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Crash(2*ms, r.a)
			r.gap(3*ms, 1, 1, core.LossSenderGone)
			r.deliver(4*ms, 1)
			return r
		}, options, []string{"RM-5"}},
		{"reported twice", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Crash(2*ms, r.a)
			r.gap(3*ms, 1, 1, core.LossSenderGone)
			r.gap(4*ms, 1, 1, core.LossSenderGone)
			return r
		}, options, []string{"RM-5"}},
		{"a loss of what was never sent", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Crash(2*ms, r.a)
			r.gap(3*ms, 1, 2, core.LossSenderGone)
			return r
		}, options, []string{"RM-5"}},
		{"given up without need", func() *run {
			r := begin()
			r.send(ms, 1)
			r.gap(2*ms, 1, 1, core.LossRetention)
			return r
		}, options, []string{"RM-6"}},
		{"a living sender called gone", func() *run {
			r := begin()
			r.send(ms, 1)
			r.gap(2*ms, 1, 1, core.LossSenderGone)
			return r
		}, options, []string{"RM-6"}},
		{"given up after too short a pause", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Fault(2*ms, Pause, r.b, r.b)
			r.Fault(900*ms, Resume, r.b, r.b)
			r.gap(901*ms, 1, 1, core.LossReset)
			return r
		}, options, []string{"RM-6"}},
		{"given up while all leave", func() *run {
			r := begin()
			r.send(ms, 1)
			r.Fault(2*ms, Finished, 0, 0)
			r.gap(3*ms, 1, 1, core.LossRetention)
			return r
		}, options, nil},
		{"evicted for its slowness", func() *run {
			r := begin()
			r.send(ms, 1)
			r.receiver(ms, ReceiverJoined)
			r.receiver(2*ms, ReceiverEvicted)
			r.gap(3*ms, 1, 1, core.LossReset)
			return r
		}, Options{Bound: 50 * time.Millisecond, Flight: time.Millisecond, Evicts: true}, nil},
		{"not repaired in reliable mode", func() *run {
			r := begin()
			r.send(ms, 1)
			r.gap(2*ms, 1, 1, core.LossUnrepaired)
			return r
		}, options, []string{"RM-6"}},
		{"starts late", func() *run {
			r := begin()
			r.send(ms, 1)
			r.send(ms, 2)
			r.deliver(2*ms, 2)
			return r
		}, options, []string{"RM-7"}},
		{"starts in the past", func() *run {
			r := begin()
			for n := uint64(1); n <= 3; n++ {
				r.send(clock.Time(n)*ms, n)
				r.Emitted(clock.Time(n)*ms, r.s, n, n, 100)
			}
			carol := r.Start(10*ms, 2, wire.MemberID{3})
			r.Log.Delivered(11*ms, carol, &core.Delivery{From: alice, Stream: id, Sequence: 2, Payload: payload(2)})
			return r
		}, options, []string{"RM-7"}},
		{"never arrives", func() *run {
			r := good()
			r.send(401*ms, 11)
			r.send(402*ms, 12)
			r.send(600*ms, 13)
			return r
		}, options, []string{"RM-11"}},
		{"never heard of, after a partition", func() *run {
			r := begin()
			r.Fault(ms, Cut, r.a, r.b)
			r.send(2*ms, 1)
			r.Fault(3*ms, Mend, r.a, r.b)
			r.Fault(3*ms, Healed, r.a, r.a)
			r.send(52*ms, 2) // not owed: b may not have heard of the stream yet
			r.send(54*ms, 3)
			r.Fault(200*ms, Finished, r.a, r.a)
			return r
		}, options, []string{"RM-11", "RM-12"}},
		{"arrives late", func() *run {
			r := good()
			r.send(401*ms, 11)
			r.deliver(452*ms, 11)
			return r
		}, options, []string{"RM-11"}},
		{"lost tail", func() *run {
			r := good()
			r.send(401*ms, 11)
			r.Fault(500*ms, Finished, r.a, r.a)
			return r
		}, strict, []string{"RM-11", "RM-12"}},
		{"two incarnations joined", func() *run {
			r := begin()
			r.send(ms, 1)
			r.deliver(2*ms, 1)
			r.Crash(3*ms, r.a)
			again := r.Start(4*ms, 0, wire.MemberID{9})
			s := r.Open(4*ms, again, id)
			r.Log.Sent(5*ms, s, payload(1001))
			r.Log.Sent(5*ms, s, payload(1002))
			r.Log.Delivered(6*ms, r.b, &core.Delivery{From: alice, Stream: id, Sequence: 2, Payload: payload(1002)})
			return r
		}, options, []string{"RM-1", "RM-13"}},
		{"delivered after close", func() *run {
			r := good()
			r.send(401*ms, 11)
			r.Stop(402*ms, r.b)
			r.deliver(403*ms, 11)
			return r
		}, options, []string{"RS-8"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := test.make()
			vs := join(Safety(r.Log, test.o), Liveness(r.Log, test.o))
			if got := IDs(vs); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v\n%s", got, test.want, Text(vs))
			}
		})
	}
}

func TestTraffic(t *testing.T) {
	lossy := func(naks, repairs int) *Log {
		r := good()
		r.Wire(401*ms, CopyLost, r.b, r.s, 5, 0)
		for i := range naks {
			r.Wire(402*ms+clock.Time(i), NakSent, r.b, r.s, 0, 0)
		}
		for range repairs {
			r.Wire(403*ms, RepairSent, r.a, r.s, 5, 100)
		}
		return r.Log
	}
	budget := Repair{Naks: 2}
	if vs := RM9(lossy(2, 1), budget); vs != nil {
		t.Errorf("within the budget: %s", Text(vs))
	}
	if vs := RM9(lossy(3, 1), budget); len(vs) != 1 {
		t.Errorf("three NAKs for one loss: %v", vs)
	}
	if vs := RM9(lossy(1, 2), budget); len(vs) != 1 {
		t.Errorf("two repairs for one loss: %v", vs)
	}
	if vs := RM10(lossy(4, 1), 4); vs != nil {
		t.Errorf("within the budget: %s", Text(vs))
	}
	if vs := RM10(lossy(5, 1), 4); len(vs) != 1 {
		t.Errorf("five NAKs in a second: %v", vs)
	}
}

// RM-21 counts what leaves again after the first time, and parity, in each second: here 1,000 bytes of data in the first one.
func TestRepairBytes(t *testing.T) {
	const second = clock.Time(time.Second)
	log := func(again, parity, later int, heal bool) *Log {
		r := begin()
		r.Emitted(2*second, r.s, 90, 90, 1000)
		r.Wire(2*second, RepairSent, r.a, r.s, 90, 5000) // the first time
		r.Wire(2*second, RepairSent, r.a, r.s, 90, again)
		r.Wire(2*second, ParitySent, r.a, r.s, 0, parity)
		if heal {
			r.Fault(3*second, Healed, 0, 0)
		}
		r.Wire(3*second, RepairSent, r.a, r.s, 90, later)
		r.Wire(4*second, RepairSent, r.a, r.s, 90, later-2000)
		return r.Log
	}
	for _, c := range []struct {
		name                 string
		again, parity, later int
		heal                 bool
		want                 int
	}{
		{"within the budget", 2000, 100, 2100, false, 0},
		{"repairs", 2101, 0, 2000, false, 1},
		{"parity", 0, 2101, 2000, false, 1},
		{"both together", 1101, 1000, 2000, false, 1},
		{"in the second after the data", 0, 0, 2101, false, 2}, // and in the one after that
		{"after the healing", 0, 0, 9999, true, 0},
	} {
		if vs := RM21(log(c.again, c.parity, c.later, c.heal), 100); len(vs) != c.want {
			t.Errorf("%s: %s, want %d", c.name, Text(vs), c.want)
		}
	}
}

func TestHeartbeats(t *testing.T) {
	beats := func(at ...clock.Time) *Log {
		r := good()
		for _, at := range at {
			r.Wire(at, BeatSent, r.a, r.s, 10, 0)
		}
		return r.Log
	}
	last := 10 * ms
	if vs := RM15(beats(last+ms/8, last+ms/4, last+ms/2, last+2*ms)); vs != nil {
		t.Errorf("three in the first millisecond: %s", Text(vs))
	}
	if vs := RM15(beats(last+ms/8, last+ms/4, last+ms/2, last+ms)); len(vs) != 1 {
		t.Errorf("four in the first millisecond: %v", vs)
	}
	var many []clock.Time
	for i := range clock.Time(102) {
		many = append(many, last+2*ms+i*ms)
	}
	if vs := RM15(beats(many[:101]...)); vs != nil {
		t.Errorf("a hundred in a second: %s", Text(vs))
	}
	if vs := RM15(beats(many...)); len(vs) != 1 {
		t.Errorf("over a hundred in a second: %v", vs)
	}
}

func TestSlowReceiver(t *testing.T) {
	r := begin()
	r.send(ms, 1)
	r.deliver(ms, 1)
	for n := uint64(2); n <= 4; n++ {
		r.send(clock.Time(n)*ms, n)
	}
	if vs := RM14(r.Log, 60); vs != nil {
		t.Errorf("three of 20 bytes ahead: %s", Text(vs))
	}
	if vs := RM14(r.Log, 59); len(vs) != 1 {
		t.Errorf("60 bytes ahead, 59 allowed: %v", vs)
	}
}

func TestResources(t *testing.T) {
	if vs := RS2("pool", 10, 7, 2, 1); vs != nil {
		t.Error(vs)
	}
	if vs := RS2("pool", 10, 7, 2); len(vs) != 1 {
		t.Error("a lost buffer is not noticed")
	}
	if vs := RS5(1, 2, 2); vs != nil {
		t.Error(vs)
	}
	if vs := RS5(1, 2, 3); len(vs) != 1 {
		t.Error("different traces are not noticed")
	}
	if vs := RS7("net", 5, 2, 3); vs != nil {
		t.Error(vs)
	}
	if vs := RS7("net", 5, 2, 2); len(vs) != 1 {
		t.Error("an uncounted drop is not noticed")
	}
	if vs := SE3("core", 1, 1); vs != nil {
		t.Error(vs)
	}
	if vs := SE3("core", 1, 2); len(vs) != 1 {
		t.Error("an effect is not noticed")
	}
}

func TestManyViolationsAreCut(t *testing.T) {
	r := begin()
	for n := uint64(1); n <= 100; n++ {
		r.deliver(ms, n)
	}
	if vs := RM1(r.Log); len(vs) != plenty+1 {
		t.Errorf("%d violations reported for 100 bad deliveries", len(vs))
	}
}

func TestIndependence(t *testing.T) {
	slow := func(d clock.Time) *Log {
		r := begin()
		for n := uint64(1); n <= 200; n++ {
			r.send(clock.Time(n)*ms, n)
			r.deliver(clock.Time(n)*ms+d, n)
		}
		return r.Log
	}
	if vs := RM8(slow(10), slow(14), 1, 0, 0.5); vs != nil {
		t.Errorf("within the bound: %s", Text(vs))
	}
	if vs := RM8(slow(10), slow(16), 1, 0, 0.5); len(vs) != 1 {
		t.Errorf("slowed down by more than half: %v", vs)
	}
	if vs := RM8(slow(10), begin().Log, 1, 0, 0.5); len(vs) != 1 {
		t.Errorf("nothing delivered: %v", vs)
	}
}
