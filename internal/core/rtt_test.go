package core

import (
	"testing"
	"time"
)

// RFC 6298, section 2.
func TestRoundTrip(t *testing.T) {
	var r RTT
	if r.Value(RTTInitial) != RTTInitial || r.Timeout(RTTInitial) != 2*RTTInitial+RTTMin {
		t.Error("without a measure the fallback counts")
	}
	r.Sample(400 * time.Microsecond)
	if r.Smooth != 400*time.Microsecond || r.variation != 200*time.Microsecond { // (2.2) SRTT <- R, RTTVAR <- R/2
		t.Errorf("first sample: %+v", r)
	}
	r.Sample(800 * time.Microsecond)
	// (2.3) RTTVAR <- 3/4*200 + 1/4*|400-800|, then SRTT <- 7/8*400 + 1/8*800
	if r.variation != 250*time.Microsecond || r.Smooth != 450*time.Microsecond {
		t.Errorf("second sample: %+v", r)
	}
	if got := r.Timeout(0); got != 450*time.Microsecond+4*250*time.Microsecond+RTTMin {
		t.Errorf("timeout %v", got)
	}
	for range 100 {
		r.Sample(-time.Hour)
	}
	if r.Value(0) < RTTMin || r.Timeout(0) < 2*RTTMin {
		t.Errorf("below the floor: %+v", r)
	}
	for range 100 {
		r.Sample(time.Hour)
	}
	if r.Smooth > RTTMax {
		t.Errorf("above the ceiling: %+v", r)
	}
}
