package xdp

import "testing"

// A thread that keeps up has few buffers posted, one that falls behind or sleeps has all of them, or
// as many as the one sender may fill.
func TestSupply(t *testing.T) {
	const all = 4096
	var s supply
	var sofar traffic
	expect := func(when string, goal int) {
		t.Helper()
		if s.goal != goal {
			t.Errorf("%s: %d buffers, want %d", when, s.goal, goal)
		}
	}
	spin := func(calls, came int) {
		for range calls {
			if s.note(came) {
				s.judge(all, sofar)
			}
		}
	}
	s.plenty(all)
	spin(judgeAfter-1, 1)
	expect("before the first judgement", all)
	spin(1, prompt)
	expect("it kept up", scant)
	spin(5, behind-1)
	expect("somewhat late", scant)
	spin(1, behind)
	expect("late", all)
	spin(judgeAfter, 0)
	expect("a lapse is remembered until the next judgement", all)
	spin(judgeAfter, 0)
	expect("it kept up again", scant)

	// Now it is known what comes.
	load := func(datagrams, length, turns uint64) {
		sofar.datagrams += datagrams
		sofar.bytes += datagrams * length
		sofar.turns += turns
		spin(judgeAfter, behind)
	}
	load(100_000, 1414, 1)
	const long = all*320/(1414+256) + 256
	expect("long datagrams of one sender", long)
	if inFlight := all * roomEach / (1414 + 256); s.goal < inFlight {
		t.Errorf("%d buffers for %d datagrams that may be on their way", s.goal, inFlight)
	}
	spin(judgeAfter, 1)
	spin(judgeAfter, 1)
	expect("it kept up", scant)
	load(100_000, 1414, 1)
	expect("late, one sender", long)
	load(100_000, 1414, 50_000)
	expect("several senders", all)
	load(100_000, 64, 0)
	expect("short datagrams", all)
	load(telling-1, 1414, 0)
	expect("too few to tell", all)
	load(100_000, 1414, 0)
	s.plenty(all)
	expect("before it sleeps", all)
	spin(judgeAfter-1, 0)
	expect("just woken", all)

	s = supply{}
	s.plenty(64)
	for range 2 * judgeAfter {
		if s.note(0) {
			s.judge(64, traffic{})
		}
	}
	expect("a small ring", 64)
}
