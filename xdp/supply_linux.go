package xdp

// supply says how many empty buffers the kernel should have. All that the fill ring holds last
// longest while the thread that receives is kept from it. But the kernel fills buffers in turn, so
// each is out of the processor's caches and translation tables when its turn comes: over veth a
// fill ring of 4,096 costs 0.3 µs a hop more than 512, and a tenth of the rate. So while the thread
// shows that it never falls behind the kernel gets few. With the first sign that it does it gets
// all of them, or, once the traffic is known, as many as a sender may have on their way: what Room
// says counts bytes, and a long datagram takes one buffer as a short one does.
type supply struct {
	goal   int
	enough int // for a thread that falls behind
	calls  int // of Recv since the last judgement
	most   int // packets in one call since then

	before traffic // at the last judgement
}

// traffic is what came so far.
type traffic struct {
	datagrams, bytes uint64
	turns            uint64 // times that the group's packets were another sender's than before
}

const (
	scant      = 512     // buffers of 2 KiB that a mebibyte of cache with eight ways holds at one offset
	judgeAfter = 1 << 18 // calls of Recv: some ten milliseconds of spinning
	prompt     = 8       // packets at once, at most, of a thread that keeps up
	behind     = 32      // packets at once of one that falls behind

	telling = 1 << 12 // datagrams from which the length of the next ones is guessed
	alone   = 64      // datagrams for each turn, at least, of one sender
)

// note takes in that a call of Recv found came packets. It is true when it is time to judge.
func (s *supply) note(came int) bool {
	if came > s.most {
		if s.most = came; came >= behind {
			s.goal = max(s.goal, s.enough)
		}
	}
	s.calls++
	return s.calls == judgeAfter
}

// judge looks back at what came since the last judgement. all is what the fill ring holds.
func (s *supply) judge(all int, now traffic) {
	s.enough = all
	datagrams, turns := now.datagrams-s.before.datagrams, now.turns-s.before.turns
	if datagrams >= telling && turns < datagrams/alone {
		length := int((now.bytes - s.before.bytes) / datagrams)
		s.enough = min(all*roomEach/(length+roomOverhead)+maxBatch, all)
	}
	if s.goal = s.enough; s.most <= prompt {
		s.goal = min(scant, all)
	}
	s.calls, s.most, s.before = 0, 0, now
}

// plenty is for a thread that sleeps.
func (s *supply) plenty(all int) { s.goal, s.enough, s.calls = all, all, 0 }
