package rival

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

func ends() *Ends {
	lo := netip.MustParseAddr("127.0.0.1")
	return &Ends{Addrs: [2]netip.Addr{lo, netip.MustParseAddr("127.0.0.2")}, Interface: "lo", Group: netip.MustParseAddrPort("239.255.66.77:26678"), Size: 64, Duration: time.Second}
}

func TestParsePair(t *testing.T) {
	for _, text := range []string{"", "ping a", "ping a|b", "a|pong b", "ping|pong", "ping a|pong"} {
		if _, err := ParsePair("x", text); err == nil || !strings.Contains(err.Error(), "want NAME=ping") {
			t.Errorf("%q: %v", text, err)
		}
	}
	p, err := ParsePair("x", "ping a -n $SIZE -t $SECONDS|pong b $GROUP:$PORT $INTERFACE $ADDRESS $PEER")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(ends().expand(0, p.ping), " "); got != "a -n 64 -t 1" {
		t.Error(got)
	}
	if got := strings.Join(ends().expand(1, p.pong), " "); got != "b 239.255.66.77:26678 lo 127.0.0.2 127.0.0.1" {
		t.Error(got)
	}
	if p.ping[0] = "no-such-program"; !errors.Is(p.Missing(), ErrNotInstalled) {
		t.Error(p.Missing())
	}
}

func TestReadPair(t *testing.T) {
	for text, want := range map[string]RoundTrip{
		"x p50=9.1us, p99=14µs":    {P50: 9100, P99: 14000},
		"p50=9100\np99=14000 done": {P50: 9100, P99: 14000},
	} {
		if got, err := readPair(text); err != nil || got.P50 != want.P50 || got.P99 != want.P99 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "p50=1us", "p50=1lightyear p99=2"} {
		if got, err := readPair(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
	const out = "sockperf: ---> percentile 99.900 =   20.000\nsockperf: ---> percentile 99.000 =   14.500\nsockperf: ---> percentile 50.000 =    7.250\n"
	if got, err := readSockperf(out); err != nil || got.P50 != 7250 || got.P99 != 14500 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The result is what ping printed; what goes wrong is said with it; pong does not stay behind.
func TestPairRun(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("it runs echo and sleep")
	}
	p, err := ParsePair("x", "ping echo p50=$SIZE p99=2us|pong sleep 3600")
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context(), ends())
	if err != nil || r.P50 != 64 || r.P99 != 2000 {
		t.Errorf("%+v, %v", r, err)
	}
	p.ping = []string{"echo", "it is late"}
	if _, err := p.Run(t.Context(), ends()); err == nil || !strings.Contains(err.Error(), "it is late") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	p.ping = []string{"sleep", "3600"}
	if _, err := p.Run(ctx, ends()); err == nil {
		t.Error("no error after the context ended")
	}
}

func TestSockperf(t *testing.T) {
	if _, err := exec.LookPath("sockperf"); err != nil {
		t.Skip("sockperf is not installed")
	}
	p, e := Sockperf(), ends()
	e.Addrs[1] = e.Addrs[0]
	r, err := p.Run(t.Context(), e)
	if err != nil || r.P50 <= 0 || r.P99 < r.P50 {
		t.Errorf("%+v, %v", r, err)
	}
}
