package figures

import (
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
)

// protected is a round in which every bar of FEC is reached.
func protected() Round {
	rate := func(v float64) *measure.Result { return &measure.Result{Sent: 100, Delivered: 100, MsgsPerSecond: v} }
	four := func() *measure.Result {
		return &measure.Result{Sent: 100, Delivered: 400, Receivers: 4, RepairedByFEC: 30, RepairedByNACK: 2}
	}
	return Round{
		"nack 1%": rate(6e6), "hybrid 1%": rate(5.5e6), "nack 5%": rate(5e6), "hybrid 5%": rate(5e6),
		"hybrid four": four(), "hybrid four xdp": four(),
	}
}

func TestEveryBarOfFECCanFail(t *testing.T) {
	bars := FEC(time.Second, true).Bars
	eachCanFail(t, bars, protected, []spoilt{
		{"Hybrid, 4 receivers", func(r Round) { r["hybrid four"].Reordered = 1 }},
		{"Hybrid, 64-byte messages/s at 1 %", func(r Round) { r["hybrid 1%"].MsgsPerSecond = 1.09e6 }},
		{"Hybrid, 64-byte messages/s at 5 %", func(r Round) { r["hybrid 5%"].MsgsPerSecond = 0.89e6 }},
		{"64-byte messages/s at 1 %", func(r Round) { r["nack 1%"].MsgsPerSecond = 8e6 }},
		{"64-byte messages/s at 5 %", func(r Round) { r["nack 5%"].MsgsPerSecond = 8e6 }},
		{"Hybrid over AF_XDP", func(r Round) { r["hybrid four xdp"].Lost = 1 }},
	})
}

func TestEveryBarOfFECHasItsRuns(t *testing.T) {
	for _, fast := range []bool{false, true} {
		s, r := FEC(time.Second, fast), Round{}
		for _, c := range s.Cases {
			if r[c.Name] != nil || protected()[c.Name] == nil {
				t.Errorf("case %q is there twice, or not known here", c.Name)
			}
			r[c.Name] = protected()[c.Name]
			cmd := c.Command()
			if strings.HasPrefix(c.Name, "hybrid") != strings.Contains(cmd, " --protocol hybrid") || strings.Contains(cmd, "nack") {
				t.Errorf("case %q cannot be run alone by %s", c.Name, cmd)
			}
			if strings.HasSuffix(c.Name, "xdp") != strings.Contains(cmd, "--uri 'xdp://") {
				t.Errorf("case %q runs over the wrong driver: %s", c.Name, cmd)
			}
		}
		for _, v := range Judge(s.Bars, []Round{r}, 1) {
			if v.Median != v.Median {
				t.Errorf("%s: cannot be told from the runs that there are", v.What)
			}
		}
	}
}
