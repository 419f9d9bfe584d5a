package nack

import (
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Anybody can write a report with a made-up sender, and say in it that there is no room and nothing has come. So a
// receiver counts from the moment on when a report of it echoes a heartbeat that this stream has sent lately: then
// something is there that receives the stream. Who does not receive it cannot guess that number. Until then it is a
// newcomer: the stream does not wait for it and counts it nowhere.
//
// Most receivers have heard a heartbeat before they report. The others are sent one, which costs a round trip. A few get
// one each, by unicast. When there are many, or that was in vain, one goes to the group; so does the first one of a stream
// that has no receiver yet. All that is bounded, whatever comes. What a newcomer can still need is kept for it meanwhile.
type newcomers struct {
	listed int        // in the table of receivers
	owed   bool       // a heartbeat is to go to the group for their sake
	group  clock.Time // when the last one did
	asks   bucket     // bounds those that go by unicast,
	keeps  bucket     // and how often data is kept
	kept   uint64     // data is kept from here on; noNumber: for no newcomer
	until  clock.Time // when that ends

	sent [beatsRemembered]uint64 // Heartbeat.SentAt of the last ones
	n    int                     // heartbeats that were sent
}

// newcomer is what a receiver is before it counts.
type newcomer struct {
	is   bool
	asks uint8      // heartbeats that were sent for it
	due  clock.Time // of the next one
}

const (
	maxNewcomers    = 64  // in the table
	beatsRemembered = 512 // in a quick stream some tens of milliseconds
	echoAge         = echoLongest + rttMax

	// Heartbeats and pauses for the sake of newcomers, beside which a flood of forged reports goes unnoticed.
	newcomersRate  = 10
	newcomersDepth = 16
	keepsRate      = 1
	keepsDepth     = 4
	crowdEvery     = 100 * time.Millisecond

	// An answer is waited for so long at first, and twice as long each time.
	answerTrips   = 2
	answerMin     = 2 * time.Millisecond
	newcomerAsks  = 4
	newcomerGroup = 2 // after so many in vain by unicast
)

func (k *newcomers) init() {
	k.kept = noNumber
	k.asks.tokens, k.keeps.tokens = newcomersDepth, keepsDepth
}

// note remembers a heartbeat that leaves.
func (k *newcomers) note(now clock.Time) {
	k.sent[k.n%len(k.sent)] = uint64(now)
	k.n++
}

// echoed reports whether a report echoes one of the last heartbeats.
func (k *newcomers) echoed(now clock.Time, echo uint64) bool {
	if echo == 0 || echo > uint64(now) || now.Sub(clock.Time(echo)) > echoAge {
		return false
	}
	for i := k.n - 1; i >= max(k.n-len(k.sent), 0); i-- {
		if at := k.sent[i%len(k.sent)]; at <= echo {
			return at == echo
		}
	}
	return false
}

// joined is the number of receivers that count.
func (s *Sender) joined() int { return len(s.receivers) - s.newcomers.listed }

// newcomer takes in a report of a receiver that does not count yet; r is nil where the table has no room for it.
func (s *Sender) newcomer(now clock.Time, r *receiver, st *wire.Status) {
	at := now
	if r == nil {
		s.newcomers.owed = true
	} else {
		r.next = max(r.next, st.Next)
		if r.new.asks == newcomerAsks {
			r.new.asks-- // it is still there
		}
		at = max(at, r.new.due)
	}
	if at < s.timers[newcomersDue] {
		s.arm(newcomersDue, at)
	}
}

// welcome makes a receiver of a newcomer.
func (s *Sender) welcome(now clock.Time, r *receiver) {
	r.new = newcomer{}
	s.newcomers.listed--
	if s.encoding != nil {
		r.losses.slot = s.encoding.control.Join()
	}
	s.flow.stale = true
	s.p.event(ReceiverJoined, r.member, r.endpoint, s.id)
	s.beat.rouse(s, now)
}

// meet sends the heartbeats that newcomers wait for.
func (s *Sender) meet(now clock.Time) {
	k := &s.newcomers
	if now >= k.until {
		k.kept = noNumber
		if s.flow.blocked && !s.held() {
			s.flow.resume(now)
		}
	}
	due := 0
	for i := range s.receivers {
		if s.receivers[i].new.waits(now) {
			due++
		}
	}
	next := never
	for i := range s.receivers {
		r := &s.receivers[i]
		if r.new.waits(now) {
			s.greet(now, r, due)
		}
		if r.new.is && r.new.asks < newcomerAsks {
			next = min(next, r.new.due)
		}
	}
	if k.owed {
		next = min(next, s.greetAll(now))
	}
	if k.kept != noNumber {
		next = min(next, k.until)
	}
	if next != never {
		s.arm(newcomersDue, max(next, now+1))
	}
}

// waits reports whether a heartbeat is due for a newcomer.
func (n *newcomer) waits(now clock.Time) bool { return n.is && n.asks < newcomerAsks && n.due <= now }

// greet has one of so many newcomers get a heartbeat, and keeps data for it until it may have answered.
func (s *Sender) greet(now clock.Time, r *receiver, due int) {
	k := &s.newcomers
	direct := due <= askAll && s.joined() > 0 && r.new.asks < newcomerGroup
	if direct {
		_, direct = k.asks.take(now, newcomersRate, newcomersDepth)
	}
	if !direct {
		k.owed = true
	} else if at, ok := s.beat.probe(s, now, r.endpoint); !ok {
		r.new.due = max(at, now+1)
		return
	}
	within := max(answerTrips*s.flow.roundTrip(), answerMin) << r.new.asks
	if r.new.asks < newcomerGroup {
		if _, ok := k.keeps.take(now, keepsRate, keepsDepth); ok {
			// A forged report slows the stream at most to half of the window in this time.
			k.kept = min(k.kept, max(r.next, s.sent-min(s.sent, s.window/2)))
			k.until = max(k.until, now.Add(within))
		}
	}
	r.new.asks, r.new.due = r.new.asks+1, now.Add(within)
}

// greetAll sends a heartbeat to the group, if that may be now. Otherwise it returns when.
func (s *Sender) greetAll(now clock.Time) clock.Time {
	k, every := &s.newcomers, answerMin
	if s.joined() > 0 {
		every = crowdEvery
	}
	if at := k.group.Add(every); k.group != 0 && at > now {
		return at
	}
	if at, ok := s.beat.send(s, now, s.joined() == 0); !ok {
		return at
	}
	k.group, k.owed = now, false
	return never
}

// dropNewcomer makes room in the table, if there is a newcomer in it.
func (s *Sender) dropNewcomer() bool {
	for i := range s.receivers {
		if r := &s.receivers[i]; r.new.is {
			s.dropReceiver(r.member, ReceiverEvicted)
			return true
		}
	}
	return false
}
