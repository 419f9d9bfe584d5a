package iflock

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
)

// An interface that does not exist, so that nobody is disturbed, and a group.
func some() (ifindex int, group netip.AddrPort) {
	return 1<<30 + rand.IntN(1<<29), netip.MustParseAddrPort("239.1.2.3:4567")
}

func mustHold(t *testing.T, l *Lock, err error) *Lock {
	t.Helper()
	if err != nil || l == nil {
		t.Fatalf("lock %v, error %v", l, err)
	}
	t.Cleanup(l.Release)
	return l
}

func mustFail(t *testing.T, l *Lock, err error, by string) {
	t.Helper()
	var held *HeldError
	if l != nil || !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.By != by || held.PID != os.Getpid() || held.Command == "" {
		t.Fatalf("lock %v, error %#v", l, err)
	}
	if !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("%q does not say who", err)
	}
}

func TestOneXDPMember(t *testing.T) {
	ifi, group := some()
	l, err := Exclusive(ifi, group)
	mustHold(t, l, err)
	other := netip.MustParseAddrPort("239.1.2.4:4567")
	for _, g := range []netip.AddrPort{group, other} {
		second, err := Exclusive(ifi, g)
		mustFail(t, second, err, "xdp")
	}
	second, err := Shared(ifi, group)
	mustFail(t, second, err, "xdp")
	second, err = Shared(ifi, other) // another group is not taken away
	mustHold(t, second, err)
	second, err = Exclusive(ifi+1, group)
	mustHold(t, second, err)
	l.Release()
	l, err = Exclusive(ifi, group)
	mustHold(t, l, err)
}

func TestManyUDPMembers(t *testing.T) {
	ifi, group := some()
	var all []*Lock
	for range 5 {
		l, err := Shared(ifi, group)
		all = append(all, mustHold(t, l, err))
	}
	for _, l := range all {
		x, err := Exclusive(ifi, group)
		mustFail(t, x, err, "udp")
		l.Release()
	}
	x, err := Exclusive(ifi, group)
	mustHold(t, x, err)
	x.Release()
	x.Release()
	var none *Lock
	none.Release()
}
