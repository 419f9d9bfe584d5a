package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
)

// A stream whose receivers are slower than its sender fills whatever room they report: what stands in their sockets is
// delay and carries nothing. So in flight is no more than the rate that the slowest receiver takes it at, times a few of
// the shortest round trips measured (docs/decisions/in-flight.md).
//
// The bound begins when reports find that more than that stands for a whole round, and ends with a pause of the stream: a
// burst after it, as large as the receivers' room, leaves at once. It ends as well when it has held nothing back for a
// while.
//
// A round trip says nothing of a receiver that does not run all the time. When reports find again and again that everything
// had arrived while data was held back, the bound is doubled, for a while. And the shortest round trip may never have been
// measured, since a queue stood all the time: now and then the bound is so low for a moment that none can stand, and the
// round trip is measured again.
const (
	flightTrips   = 5                      // shortest round trips
	flightLeast   = 256 << 10              // bytes: two of an engine's batches, and what receivers report in
	flightEach    = 512 << 10              // and so many for each receiver but one: the more there are, the more reports come
	flightFree    = 1 << 20                // bytes from one report to the next of each receiver, without a bound
	flightSteps   = 2                      // reports within a bound
	flightRound   = 5 * time.Millisecond   // no less: what is standing is judged once in each,
	flightSlow    = 100 * time.Millisecond // and no more
	flightPause   = 10 * time.Millisecond  // ends the bound
	flightIdle    = 200 * time.Millisecond // a bound that held nothing back ends
	flightDry     = 8                      // of so many bounds that were sent, one that ran dry is too many
	flightWidest  = 6                      // the bound may double so often,
	flightHolds   = time.Second            // and is not halved before
	flightProbe   = 16                     // the round trip is measured anew with that part of the bound, each flightHolds,
	flightRarely  = 16 * time.Second       // and ever more rarely if it is no shorter
	flightSlowest = 32                     // rounds at most until no more than that is in flight
)

// flight is what a stream lets be in flight to the slowest receiver.
type flight struct {
	bound   uint64        // bytes, as cost counts; 0: as much as there is room for
	wider   uint8         // how often it is doubled
	until   clock.Time    // not halved before
	held    clock.Time    // when it last held data back
	probing int           // rounds for which it has been low to measure the round trip; 0: it is not
	probes  clock.Time    // when that is done next
	pause   time.Duration // to the one after
	known   time.Duration // the shortest round trip before it
	told    uint64        // step, as the last heartbeat had it

	// Of the round:
	since clock.Time
	mark  uint64 // what the slowest receiver had noticed when it began
	low   uint64 // least that was in flight when a report came
	dry   uint64 // reports that found nothing in flight, and data held back

	rates peak // at which it was taken, of the last rounds
}

// paused ends the bound if nothing is in flight: nothing has been sent for flightPause.
func (f *flow) paused() {
	if f.flight.bound == 0 {
		return
	}
	if f.stale {
		f.update()
	}
	if f.highest >= f.s.sent {
		f.flight.bound, f.flight.since, f.stale = 0, 0, true
	}
}

// step is how many bytes receivers are asked to report in: flightSteps within the bound, more where it is doubled, and
// while there is none, so many that what stands is seen soon.
func (f *flow) step() uint64 {
	if fl := &f.flight; fl.probing > 0 {
		return fl.bound / flightSteps
	} else if fl.bound != 0 {
		return fl.bound >> fl.wider / flightSteps
	}
	return flightFree * uint64(max(f.waited, 1))
}

// askEvery is step for a heartbeat; 0: the stream does not wait for receivers.
func (s *Sender) askEvery() uint32 {
	if !s.flow.slowest || s.p.cfg.FreePace {
		return 0
	}
	s.flow.flight.told = min(s.flow.step(), 1<<31)
	return uint32(s.flow.flight.told)
}

// reported takes in that a receiver's report has come, before which it had noticed all below was.
func (s *Sender) reported(now clock.Time, was uint64) {
	f := &s.flow
	fl := &f.flight
	if !f.slowest || s.p.cfg.FreePace || was > f.highest || s.sent == s.first {
		return // what is in flight to the slowest has not changed
	}
	held := f.blocked && s.sent < s.next && s.sent < f.limit
	if f.update(); f.waited == 0 {
		return
	}
	noticed := s.costBelow(f.highest)
	standing := s.costBelow(s.sent) - noticed
	if fl.since == 0 {
		fl.begin(now, noticed)
	}
	fl.low = min(fl.low, standing)
	if held {
		if fl.held = now; standing == 0 {
			fl.dry++
		}
	}
	round := min(max(flightRound, 2*f.quickest), flightSlow)
	if took := now.Sub(fl.since); took >= round {
		fl.judge(s, now, noticed-min(fl.mark, noticed), took)
		fl.begin(now, noticed)
	}
}

// begin begins a round.
func (fl *flight) begin(now clock.Time, noticed uint64) {
	fl.since, fl.mark, fl.low, fl.dry = now, noticed, noNumber, 0
}

// judge sets the bound by what a round has shown, in which the slowest receiver took so many bytes.
func (fl *flight) judge(s *Sender, now clock.Time, took uint64, d time.Duration) {
	f := &s.flow
	rate := fl.rates.add(float64(took) / d.Seconds())
	least := flightLeast + uint64(f.waited-1)*flightEach
	target := max(least, uint64(rate*flightTrips*f.quickest.Seconds()))
	switch {
	case f.quickest == 0 || f.every == 0:
		fl.bound = 0 // a receiver's round trip is not known, or it does not say when it reports
	case fl.bound == 0:
		if fl.low > target {
			*fl = flight{bound: target, held: now, pause: flightHolds, told: fl.told, rates: fl.rates}
		}
	case now.Sub(fl.held) >= flightIdle:
		fl.bound = 0
	case fl.probing > 0:
		fl.bound = max(target/flightProbe, least)
		if (f.every > 2*f.step() || fl.low > fl.bound) && fl.probing < flightSlowest {
			fl.probing++ // not all receivers have heard of it, or more stands still
			break
		}
		if _, asked := s.beat.send(s, now, true); asked {
			fl.probing, fl.bound, fl.probes = 0, target<<fl.wider, now.Add(fl.pause)
			fl.pause = min(2*fl.pause, flightRarely)
		}
	default:
		if fl.dry >= 2 && fl.dry*flightDry >= took/fl.bound {
			fl.wider, fl.until = min(fl.wider+1, flightWidest), now.Add(flightHolds)
		} else if fl.wider > 0 && now >= fl.until {
			fl.wider, fl.until = fl.wider-1, now.Add(flightHolds)
		}
		if f.quickest < fl.known*7/8 {
			fl.pause, fl.probes = flightHolds, min(fl.probes, now.Add(flightHolds))
		}
		fl.known = f.quickest
		if fl.bound = target << fl.wider; target > least && now >= fl.probes {
			fl.probing, fl.bound = 1, max(target/flightProbe, least)
		}
	}
	f.stale = true
	if step := f.step(); f.every > 2*step || fl.told < step/2 {
		s.beat.send(s, now, false) // or the next heartbeat tells it
	}
}
