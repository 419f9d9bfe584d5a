package check

import (
	"fmt"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Repair bounds what repair may cost (RM-9).
type Repair struct {
	Naks  float64 // NAK datagrams for each datagram that a receiver lost, averaged over the run
	Extra float64 // repairs beyond one for each such datagram and one for each repair that was lost, as a share of them
}

// RM9 (repair traffic): NAKs and repairs stay in proportion to what was lost, whatever the
// size of the group. It needs a log with wire records.
func RM9(l *Log, max Repair) []Violation {
	r := report{log: l, id: "RM-9"}
	type key struct {
		s Stream
		n uint64
	}
	lost := map[key]bool{}
	var naks, repairs, allowed float64
	for i := range l.Records {
		switch d := &l.Records[i]; d.Kind {
		case NakSent:
			naks++
		case RepairSent:
			repairs++
		case CopyLost:
			k := key{d.Stream, d.First}
			if !lost[k] {
				lost[k] = true
				allowed++
			}
			if d.Length == 1 {
				allowed++
			}
		}
	}
	if limit := max.Naks * float64(len(lost)); naks > limit {
		r.add(-1, "%.0f NAKs for %d lost datagrams, %.0f allowed", naks, len(lost), limit)
	}
	if limit := allowed * (1 + max.Extra); repairs > limit {
		r.add(-1, "%.0f repairs for %d lost datagrams, %.0f allowed", repairs, len(lost), limit)
	}
	return r.done()
}

// RM10 (NAK budget): no receiver sends more than perSecond NAK datagrams in any second.
func RM10(l *Log, perSecond int) []Violation {
	r := report{log: l, id: "RM-10"}
	recent := make([]window, len(l.Procs))
	for i := range l.Records {
		if d := &l.Records[i]; d.Kind == NakSent {
			if n := recent[d.Proc].add(d.At, time.Second); n > perSecond {
				r.add(i, "%d NAKs in a second, %d allowed", n, perSecond)
			}
		}
	}
	return r.done()
}

// RM21 (repair bytes): in every second the repairs and the parity of a stream take at most twice the bytes of its new data
// in that second and the one before, and a constant. The first repair of a datagram does not count: a receiver that has
// fallen behind while a full window holds the stream up may get what it lacks as quickly as it arrives. After the healing
// nothing is judged.
func RM21(l *Log, constant int) []Violation {
	r := report{log: l, id: "RM-21"}
	type state struct{ fresh, before, again, parity int }
	type datagram struct {
		s Stream
		n uint64
	}
	repaired := map[datagram]bool{}
	states := make([]state, len(l.Streams))
	second := clock.Time(0)
	judge := func(i int) {
		for s := range states {
			x := &states[s]
			if allowed := 2*(x.fresh+x.before) + constant; x.again+x.parity > allowed {
				r.add(i, "stream %d: %d bytes of repairs and %d of parity in second %d, %d allowed (%d and %d bytes of data)",
					s, x.again, x.parity, second, allowed, x.before, x.fresh)
			}
			*x = state{before: x.fresh}
		}
	}
	for i := range l.Records {
		d := &l.Records[i]
		for ; second < d.At/clock.Time(time.Second); second++ {
			judge(i)
		}
		if d.Kind == Healed {
			break
		}
		if d.Stream == Unknown {
			continue
		}
		switch d.Kind {
		case DataSent:
			states[d.Stream].fresh += int(d.Length)
		case RepairSent:
			if k := (datagram{d.Stream, d.First}); !repaired[k] {
				repaired[k] = true
				continue
			}
			states[d.Stream].again += int(d.Length)
		case ParitySent:
			states[d.Stream].parity += int(d.Length)
		}
	}
	judge(len(l.Records) - 1)
	return r.done()
}

// TO26 (bytes sent again): in every second what members of rings send again takes at most twice the bytes of new data in
// that second and the one before, and a constant. What a recovery sends for the first time in its ring does not count. From the second of the healing on nothing is judged.
func TO26(l *RingLog, constant int) (all []Violation) {
	before := 0
	for second, x := range l.wire {
		if l.Healed != 0 && second >= int(l.Healed/clock.Time(time.Second)) {
			break
		}
		if allowed := 2*(before+x[RingFresh]) + constant; x[RingAgain] > allowed {
			all = append(all, Violation{ID: "TO-26", At: -1, Text: fmt.Sprintf("%d bytes are sent again, and %d for the first time in recovery, in second %d, %d allowed (%d and %d bytes of data)",
				x[RingAgain], x[RingRecovered], second, allowed, before, x[RingFresh])})
		}
		before = x[RingFresh]
	}
	return all
}

// RM15 (heartbeats): at most 3 in the first millisecond after a datagram of the stream; and in
// any second at most the larger of 100 and a tenth of the stream's datagrams.
func RM15(l *Log) []Violation {
	r := report{log: l, id: "RM-15"}
	type state struct {
		data  clock.Time // the last datagram
		soon  int        // heartbeats in the first millisecond after it
		beats window
		datas window
	}
	states := make([]state, len(l.Streams))
	for i := range l.Records {
		d := &l.Records[i]
		if d.Stream == Unknown {
			continue
		}
		s := &states[d.Stream]
		switch d.Kind {
		case DataSent, RepairSent:
			s.data, s.soon = d.At, 0
			s.datas.add(d.At, time.Second)
		case BeatSent:
			if d.At.Sub(s.data) <= time.Millisecond {
				if s.soon++; s.soon > 3 && s.data != 0 {
					r.add(i, "heartbeat %d in the first millisecond after a datagram", s.soon)
				}
			}
			s.datas.trim(d.At, time.Second)
			allowed := max(100, s.datas.len()/10)
			if n := s.beats.add(d.At, time.Second); n > allowed+1 {
				r.add(i, "%d heartbeats in a second, %d allowed", n, allowed)
			}
		}
	}
	return r.done()
}

// window counts events of the last while.
type window struct {
	times []clock.Time
	head  int
}

func (w *window) len() int { return len(w.times) - w.head }

func (w *window) trim(now clock.Time, d time.Duration) {
	for w.head < len(w.times) && now.Sub(w.times[w.head]) >= d {
		w.head++
	}
	if w.head > 1024 && w.head*2 > len(w.times) {
		w.times = w.times[:copy(w.times, w.times[w.head:])]
		w.head = 0
	}
}

// add counts an event at now and returns how many there were in the last d.
func (w *window) add(now clock.Time, d time.Duration) int {
	w.times = append(w.times, now)
	w.trim(now, d)
	return w.len()
}
