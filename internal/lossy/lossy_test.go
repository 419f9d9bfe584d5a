package lossy

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
)

// source is a driver that has numbered datagrams to receive.
type source struct {
	next, last uint64
	lent       [16]buf.Buf
	mem        [16][8]byte
}

func (s *source) Recv(batch []buf.Received) int {
	n := 0
	for n < min(len(batch), len(s.lent)) && s.next < s.last {
		binary.BigEndian.PutUint64(s.mem[n][:], s.next)
		s.lent[n].Lend(s.mem[n][:])
		batch[n] = buf.Received{Buf: &s.lent[n], From: buf.Endpoint(s.next + 1), Group: s.next%2 == 0}
		s.next++
		n++
	}
	return n
}

func (s *source) Send(batch []buf.Send) (int, error) { return len(batch), nil }
func (s *source) Wait(time.Duration)                 {}
func (s *source) Wake()                              {}
func (s *source) Local() buf.Endpoint                { return 1 }
func (s *source) Datagram() int                      { return 8 }
func (s *source) Room() int                          { return 1 << 20 }
func (s *source) Close() error                       { return nil }

// receive takes all that d has and returns the numbers that survived.
func receive(t *testing.T, d *Driver, batch int) (got []uint64) {
	t.Helper()
	b := make([]buf.Received, batch)
	for {
		n := d.Recv(b)
		if n == 0 {
			return got
		}
		for _, r := range b[:n] {
			number := binary.BigEndian.Uint64(r.Buf.Bytes())
			if r.From != buf.Endpoint(number+1) || r.Group != (number%2 == 0) {
				t.Fatalf("datagram %d came with the sender of another: %+v", number, r)
			}
			got = append(got, number)
		}
	}
}

func TestLosesItsShare(t *testing.T) {
	const n = 100_000
	for _, p := range []float64{0, 0.001, 0.2, 1} {
		d := Wrap(&source{last: n}, p, 1)
		got := receive(t, d, 16)
		if uint64(len(got))+d.Dropped() != n {
			t.Errorf("p = %g: %d kept and %d dropped of %d", p, len(got), d.Dropped(), n)
		}
		// Five standard deviations; the draw is seeded, so this holds always or never.
		if want, slack := n*p, 5*math.Sqrt(n*p*(1-p)); math.Abs(float64(d.Dropped())-want) > slack {
			t.Errorf("p = %g: %d dropped, want %.0f ± %.0f", p, d.Dropped(), want, slack)
		}
		if !slices.IsSorted(got) {
			t.Errorf("p = %g: the order changed", p)
		}
	}
}

func TestTheSeedDecides(t *testing.T) {
	lost := func(seed uint64, batch int) []uint64 { return receive(t, Wrap(&source{last: 1000}, 0.3, seed), batch) }
	a := lost(7, 16)
	if !slices.Equal(a, lost(7, 16)) {
		t.Error("one seed, two results")
	}
	if !slices.Equal(a, lost(7, 3)) {
		t.Error("the size of the batch changes what is lost")
	}
	if slices.Equal(a, lost(8, 16)) {
		t.Error("two seeds, one result")
	}
}

// A batch that is lost as a whole is not the end: 0 means that nothing more has come.
func TestGoesOnAfterALostBatch(t *testing.T) {
	d := Wrap(&source{last: 100}, 0.9, 3)
	if got := receive(t, d, 1); len(got) == 0 || uint64(len(got))+d.Dropped() != 100 {
		t.Errorf("%d kept, %d dropped of 100", len(got), d.Dropped())
	}
}

// looker is a source that counts LookAtAll.
type looker struct {
	source
	looks int
}

func (l *looker) LookAtAll() { l.looks++ }

// What the engine asks of the driver below goes through.
func TestLooksThrough(t *testing.T) {
	below := &looker{}
	for i, d := range []engine.Driver{&Driver{Driver: below}, &Late{Driver: below}} {
		if engine.LookAtAll(d); below.looks != i+1 {
			t.Errorf("%T: %d looks", d, below.looks)
		}
	}
}
