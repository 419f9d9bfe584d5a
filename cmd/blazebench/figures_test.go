package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/figures"
	"github.com/activeblaze/blaze/bench/rig"
)

// Every line of every suite is a command line that can be run.
func TestLinesOfFigures(t *testing.T) {
	cases := figures.Loopback(time.Second).Cases
	for _, kind := range []rig.Kind{rig.Veth, rig.Bridge} {
		cases = append(cases, figures.FastPath(time.Second, kind).Cases...)
	}
	cases = append(cases, figures.FEC(time.Second, true).Cases...)
	cases = append(cases, figures.Order(time.Second, true).Cases...)
	for _, m := range figures.Matches(time.Second) {
		cases = append(cases, m.Case)
	}
	for _, c := range cases {
		f, err := parseWorkload(c.Args(), &output{stdout: io.Discard, stderr: io.Discard})
		if err != nil {
			t.Errorf("%s: %s: %v", c.Name, c.Command(), err)
			continue
		}
		if f.opt.Duration != c.Duration || !strings.HasPrefix(c.Line, string(f.kind)+" ") {
			t.Errorf("%s: %s runs %s for %v", c.Name, c.Command(), f.kind, f.opt.Duration)
		}
	}
}
