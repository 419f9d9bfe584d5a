package rig

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		hosts int
		opt   Options
		want  string
	}{
		{"ring", 2, Options{}, `rig "ring": want veth, bridge or tap`},
		{Veth, 3, Options{}, "rig veth has two ends: one sender and one receiver; for 3 hosts take bridge"},
		{Bridge, 0, Options{}, "rig bridge with 0 hosts: want 1 to 65"},
		{Bridge, 66, Options{}, "rig bridge with 66 hosts: want 1 to 65"},
		{Bridge, 2, Options{Loss: 1}, "rig loss 1: want 0 or more and less than 1"},
		{Veth, 2, Options{Loss: 0.1}, "rig veth has no switch"},
		{Veth, 2, Options{}, ""},
		{Bridge, MaxHosts, Options{Loss: 0.1}, ""},
		{Tap, 66, Options{}, "rig tap with 66 hosts: want 1 to 65"},
		{Tap, 3, Options{Loss: 0.1}, ""},
	} {
		err := Check(c.kind, c.hosts, c.opt)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s, %d hosts, %+v: %v, want %q", c.kind, c.hosts, c.opt, err, c.want)
		}
	}
}

func TestUnsupportedElsewhere(t *testing.T) {
	if runtime.GOOS == "linux" {
		t.Skip("Linux has rigs")
	}
	if _, err := New(Veth, 2, Options{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
