package core

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// Each cause gets the time that it lasted; Mostly is of the last second alone.
func TestLimitMeter(t *testing.T) {
	var m LimitMeter
	at := func(ms int) clock.Time { return clock.Time(1).Add(time.Duration(ms) * time.Millisecond) }
	m.Set(at(0), ByApplication)
	m.Set(at(100), ByReceiver)
	if by := m.Mostly(at(150)); by != ByApplication {
		t.Errorf("%v after 100 ms of the application and 50 ms of a receiver", by)
	}
	if by := m.Mostly(at(300)); by != ByReceiver {
		t.Errorf("%v after 100 ms of the application and 200 ms of a receiver", by)
	}
	m.Set(at(400), ByPace)
	if by := m.Mostly(at(450)); by != ByReceiver {
		t.Errorf("%v while most of the last second was a receiver's", by)
	}
	if by := m.Mostly(at(800)); by != ByPace {
		t.Errorf("%v when the pace has held longest", by)
	}
	m.Set(at(5000), ByApplication)
	if by := m.Mostly(at(5001)); by != ByPace {
		t.Errorf("%v just after 4.6 s of the pace", by)
	}
	if by := m.Mostly(at(5700)); by != ByApplication {
		t.Errorf("%v 0.7 s after the pace has ended", by)
	}
	m.Set(at(5700), ByMaxRate)
	want := [Limits]time.Duration{ByApplication: 800 * time.Millisecond, ByReceiver: 300 * time.Millisecond, ByPace: 4600 * time.Millisecond, ByMaxRate: 40 * time.Second}
	if got := m.Total(at(45700)); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if by := m.Mostly(at(45701)); by != ByMaxRate {
		t.Errorf("%v after 40 s of MaxRate", by)
	}
}
