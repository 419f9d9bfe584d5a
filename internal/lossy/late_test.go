package lossy

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// What comes late is all that came, in its order, and each as late as it should be.
func TestComesLate(t *testing.T) {
	const delay = time.Millisecond
	now := clock.Time(1)
	src := &source{}
	d := WrapLate(src, delay, func() clock.Time { return now })
	var batch [7]buf.Received
	var sent []clock.Time // by number
	next := uint64(0)
	for turn := range 5000 {
		if turn < 4500 { // what is on its way then arrives in the rest
			for range 1 + next%3 { // bursts of some sizes
				sent = append(sent, now)
				src.last++
			}
		}
		n := d.Recv(batch[:])
		for _, r := range batch[:n] {
			number := binary.BigEndian.Uint64(r.Buf.Bytes())
			if number != next || r.From != buf.Endpoint(number+1) || r.Group != (number%2 == 0) {
				t.Fatalf("got %d from %v, want %d", number, r.From, next)
			}
			if late := now.Sub(sent[number]); late < delay || late > delay+50*time.Microsecond {
				t.Fatalf("datagram %d is %v late", number, late)
			}
			next++
		}
		now = now.Add(5 * time.Microsecond)
	}
	if next != uint64(len(sent)) || next < 4000 {
		t.Errorf("%d of %d came", next, len(sent))
	}
}

// A full wire takes nothing more, and loses nothing.
func TestAFullWireWaits(t *testing.T) {
	now := clock.Time(1)
	src := &source{last: 3 * lateRoom}
	d := WrapLate(src, time.Millisecond, func() clock.Time { return now })
	var batch [16]buf.Received
	for range 3 {
		if d.Recv(batch[:]) != 0 || src.next > lateRoom || src.next < lateRoom-16 {
			t.Fatalf("took %d of %d", src.next, src.last)
		}
	}
	now = now.Add(time.Millisecond)
	want := uint64(0)
	for range 2 * lateRoom {
		for _, r := range batch[:d.Recv(batch[:])] {
			if got := binary.BigEndian.Uint64(r.Buf.Bytes()); got != want {
				t.Fatalf("got %d, want %d", got, want)
			}
			want++
		}
		now = now.Add(time.Millisecond)
	}
	if want != src.last {
		t.Errorf("%d of %d came", want, src.last)
	}
}

// What is lent stays as it is until the next Recv, however much comes meanwhile.
func TestLentSlotsAreNotReused(t *testing.T) {
	now := clock.Time(1)
	src := &source{last: 2 * lateRoom}
	d := WrapLate(src, time.Millisecond, func() clock.Time { return now })
	var batch [16]buf.Received
	d.Recv(batch[:])
	now = now.Add(2 * time.Millisecond)
	for n := d.Recv(batch[:]); n > 0; n = d.Recv(batch[:]) {
		first := binary.BigEndian.Uint64(batch[0].Buf.Bytes())
		for i, r := range batch[:n] {
			if binary.BigEndian.Uint64(r.Buf.Bytes()) != first+uint64(i) {
				t.Fatalf("%d behind %d changed", i, first)
			}
		}
		now = now.Add(time.Microsecond)
	}
}

// Sleep ends with what is on its way.
func TestWaitsNoLongerThanTheNext(t *testing.T) {
	now := clock.Time(1)
	src := &sleeper{source: source{last: 1}}
	d := WrapLate(src, time.Millisecond, func() clock.Time { return now })
	var batch [1]buf.Received
	d.Wait(-1)
	d.Recv(batch[:])
	d.Wait(-1)
	d.Wait(time.Second)
	d.Wait(time.Microsecond)
	now = now.Add(time.Millisecond)
	d.Wait(-1) // it is there
	d.Recv(batch[:])
	d.Wait(-1)
	want := []time.Duration{-1, time.Millisecond, time.Millisecond, time.Microsecond, -1}
	if len(src.slept) != len(want) {
		t.Fatalf("slept %v, want %v", src.slept, want)
	}
	for i := range want {
		if src.slept[i] != want[i] {
			t.Errorf("slept %v, want %v", src.slept, want)
		}
	}
}

// sleeper notes for how long it was to wait.
type sleeper struct {
	source
	slept []time.Duration
}

func (s *sleeper) Wait(d time.Duration) { s.slept = append(s.slept, d) }

func TestLateAllocatesNothing(t *testing.T) {
	now := clock.Time(1)
	src := &source{}
	d := WrapLate(src, time.Microsecond, func() clock.Time { return now })
	var batch [16]buf.Received
	next := func() {
		src.last += 8
		d.Recv(batch[:])
		now = now.Add(time.Microsecond)
	}
	if n := testing.AllocsPerRun(3000, next); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
