package xdp

import "testing"

// A thread that keeps up has few buffers posted, one that falls behind or sleeps has all of them.
func TestSupply(t *testing.T) {
	const all = 4096
	s := supply{goal: all}
	spin := func(calls, came int) {
		for range calls {
			s.note(came, all)
		}
	}
	expect := func(when string, goal int) {
		t.Helper()
		if s.goal != goal {
			t.Errorf("%s: %d buffers, want %d", when, s.goal, goal)
		}
	}
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
	s.plenty(all)
	expect("before it sleeps", all)
	spin(judgeAfter-1, 0)
	expect("just woken", all)

	s = supply{goal: 64}
	for range 2 * judgeAfter {
		s.note(0, 64)
	}
	expect("a small ring", 64)
}
