package xdp

// supply says how many empty buffers the kernel should have. All that the fill ring holds last
// longest while the thread that receives is kept from it. But the kernel fills buffers in turn, so
// each is out of the processor's caches and translation tables when its turn comes: over veth a
// fill ring of 4,096 costs 0.3 µs a hop more than 512. So while the thread shows that it
// never falls behind the kernel gets few, and with the first sign that it does, all of them.
type supply struct {
	goal  int
	calls int // of Recv since the last judgement
	most  int // packets in one call since then
}

const (
	scant      = 512     // buffers of 2 KiB that a mebibyte of cache with eight ways holds at one offset
	judgeAfter = 1 << 18 // calls of Recv: some ten milliseconds of spinning
	prompt     = 8       // packets at once, at most, of a thread that keeps up
	behind     = 32      // packets at once of one that falls behind
)

// note takes in that a call of Recv found came packets. all is what the fill ring holds.
func (s *supply) note(came, all int) {
	if came > s.most {
		if s.most = came; came >= behind {
			s.plenty(all)
		}
	}
	if s.calls++; s.calls == judgeAfter {
		s.goal = all
		if s.most <= prompt {
			s.goal = min(scant, all)
		}
		s.calls, s.most = 0, 0
	}
}

// plenty is for a thread that may be late: it sleeps, or fell behind.
func (s *supply) plenty(all int) { s.goal, s.calls = all, 0 }
