package workload

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/clock"
)

// senderShift is where the sender's index, counted from 1, stands in a message's number.
const senderShift = 56

// recorder is the application at a member of a ring: it judges every message, and remembers the
// sequence and the times of some. It belongs to the thread that runs the handlers, but for what is
// atomic.
type recorder struct {
	reader  measure.Reader
	now     func() clock.Time
	seq     sequence
	from    []sender
	samples samples
	corrupt uint64
	total   uint64

	measured span
	views    atomic.Int64 // seq.views, for others
	ringSize atomic.Int64 // members of the present ring
}

// sender is what became of one member's messages. They come in the order in which it sent them.
type sender struct {
	id         blaze.MemberID // from its first message
	high       uint64
	missing    uint64 // numbers that were skipped and have not come since
	duplicates uint64
	reordered  uint64
	delivered  atomic.Uint64 // each number once
}

func newRecorder(members, size int, seed, every uint64, now func() clock.Time) *recorder {
	return &recorder{
		reader: measure.NewReader(size, seed), now: now, from: make([]sender, members),
		samples: samples{every: max(every, 1), at: make([]sample, 0, maxSamples)},
	}
}

// take judges one message.
func (r *recorder) take(d *blaze.Delivery) {
	r.seq.roll(d.Payload, d.Received)
	msg, ok := r.reader.Read(d.Payload)
	i, n := msg.Number>>senderShift-1, msg.Number&(1<<senderShift-1)
	if !ok || i >= uint64(len(r.from)) || n == 0 {
		r.corrupt++
		return
	}
	f := &r.from[i]
	switch {
	case f.high == 0:
		f.id = d.From
	case f.id != d.From:
		r.corrupt++ // it names another sender than the library does
		return
	}
	switch {
	case n > f.high:
		f.missing += n - f.high - 1
		f.high = n
	case f.missing > 0:
		f.missing--
		f.reordered++
	default:
		f.duplicates++
		return
	}
	f.delivered.Store(f.delivered.Load() + 1) // only this thread writes
	r.total++
	if msg.Measured && n%r.samples.every == 0 {
		now := r.now()
		r.measured.add(now, r.total)
		if msg.Stamp != 0 {
			r.samples.add(sample{msg.Number &^ (1 << 63), msg.Stamp, int64(now) - msg.Stamp})
		}
	}
}

// view takes a configuration of the ring.
func (r *recorder) view(v blaze.View) {
	r.seq.view(v)
	if v.Kind == blaze.ViewRegular {
		r.ringSize.Store(int64(len(v.Members)))
		r.views.Store(int64(r.seq.views))
	}
}

// A sample is when one message was delivered here.
type sample struct {
	number  uint64 // with its sender's index
	stamp   int64  // when it was due, ns
	latency int64  // ns
}

// maxSamples is how many a member remembers. When they are full, half of them go.
const maxSamples = 1 << 16

// samples are those of the messages whose number, at its sender, `every` divides: the same ones at
// all members.
type samples struct {
	every uint64
	at    []sample
}

func (s *samples) add(x sample) {
	if len(s.at) == maxSamples {
		s.thin(2 * s.every)
		if x.number&(1<<senderShift-1)%s.every != 0 {
			return
		}
	}
	s.at = append(s.at, x) // within its capacity
}

// thin keeps those whose number `every` divides.
func (s *samples) thin(every uint64) {
	kept := s.at[:0]
	for _, x := range s.at {
		if x.number&(1<<senderShift-1)%every == 0 {
			kept = append(kept, x)
		}
	}
	s.at, s.every = kept, every
}

const sampleBytes = 24

// encode makes bytes of them, so that a report stays small.
func (s *samples) encode() []byte {
	b := make([]byte, 0, len(s.at)*sampleBytes)
	for _, x := range s.at {
		b = binary.LittleEndian.AppendUint64(b, x.number)
		b = binary.LittleEndian.AppendUint64(b, uint64(x.stamp))
		b = binary.LittleEndian.AppendUint64(b, uint64(x.latency))
	}
	return b
}

// decode calls f with each sample of an encoding whose number `every` divides.
func decodeSamples(b []byte, every uint64, f func(sample)) {
	for ; len(b) >= sampleBytes; b = b[sampleBytes:] {
		x := sample{
			binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:])), int64(binary.LittleEndian.Uint64(b[16:])),
		}
		if x.number&(1<<senderShift-1)%every == 0 {
			f(x)
		}
	}
}
