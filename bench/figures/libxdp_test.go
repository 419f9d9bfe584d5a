package figures

import (
	"errors"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/xdp"
)

// The C program and its library measure something, where both are there.
func TestLibxdp(t *testing.T) {
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		t.Skip(err)
	}
	t.Chdir("../..")
	ys := libxdpYardsticks(200 * time.Millisecond)
	if len(ys) == 0 {
		t.Skip("needs a C compiler, libxdp-dev and libbpf-dev")
	}
	r := Round{}
	for _, y := range ys {
		res, err := y.Run(t.Context())
		for range 5 { // a busy host may keep an end from its processor all the time
			if err == nil && res.Delivered > 0 {
				break
			}
			res, err = y.Run(t.Context())
		}
		if err != nil {
			t.Fatalf("%s: %v", y.Command, err)
		}
		r[y.Name] = res
	}
	if v := p50(r[libxdpRTT]); !(v > 0) || r[libxdpRTT].Delivered == 0 {
		t.Errorf("round trip: %+v", r[libxdpRTT])
	}
	if v := rate(r[libxdpRate]); !(v > 0) || r[libxdpRate].Delivered == 0 {
		t.Errorf("rate: %+v", r[libxdpRate])
	}
}
