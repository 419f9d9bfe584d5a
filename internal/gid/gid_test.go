package gid

import "testing"

func TestCurrent(t *testing.T) {
	mine := Current()
	if mine == 0 || mine != Current() {
		t.Fatalf("this goroutine is %d, then %d", mine, Current())
	}
	other := make(chan uint64)
	go func() { other <- Current() }()
	if o := <-other; o == mine || o == 0 {
		t.Fatalf("another goroutine is %d, this one %d", o, mine)
	}
}
