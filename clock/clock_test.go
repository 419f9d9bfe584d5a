package clock

import (
	"testing"
	"time"
)

func TestArithmetic(t *testing.T) {
	at := Time(1_000)
	if got := at.Add(2 * time.Microsecond); got != 3_000 {
		t.Errorf("Add: %d", got)
	}
	if got := at.Add(-time.Microsecond); got != 0 {
		t.Errorf("Add of a negative duration: %d", got)
	}
	if got := Time(3_000).Sub(at); got != 2*time.Microsecond {
		t.Errorf("Sub: %v", got)
	}
	if got := at.Sub(3_000); got != -2*time.Microsecond {
		t.Errorf("Sub of a later time: %v", got)
	}
	if !at.Before(1_001) || at.Before(at) || at.Before(999) {
		t.Error("Before is not a strict order")
	}
}

func TestEarlier(t *testing.T) {
	for _, c := range []struct {
		a   Time
		aok bool
		b   Time
		bok bool

		want Time
		ok   bool
	}{
		{0, false, 0, false, 0, false}, // no deadline at all
		{5, true, 0, false, 5, true},   // a zero that means none must not win
		{0, false, 5, true, 5, true},
		{5, true, 7, true, 5, true},
		{7, true, 5, true, 5, true},
		{5, true, 5, true, 5, true},
		{-5, true, 5, true, -5, true},
	} {
		if got, ok := Earlier(c.a, c.aok, c.b, c.bok); ok != c.ok || ok && got != c.want {
			t.Errorf("Earlier(%d %v, %d %v) = %d %v, want %d %v", c.a, c.aok, c.b, c.bok, got, ok, c.want, c.ok)
		}
	}
}
