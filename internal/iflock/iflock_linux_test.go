package iflock

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
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

// A member that comes asks all that answer, and is answered when they have done what they do for it.
func TestAsk(t *testing.T) {
	ifi, group := some()
	var asked atomic.Int32
	for range 3 {
		l, err := Answering(ifi, group)
		go mustHold(t, l, err).Answer(func() { asked.Add(1) })
	}
	silent, err := Answering(ifi, group)
	mustHold(t, silent, err)
	older, err := Shared(ifi, group) // of an earlier release: it has a name, and does not answer
	mustHold(t, older, err)
	l, err := Answering(ifi, group)
	mustHold(t, l, err)
	if others, done := l.Ask(300 * time.Millisecond); others != 4 || done != 3 || asked.Load() != 3 {
		t.Errorf("%d others, %d have answered, %d were asked, want 4, 3, 3", others, done, asked.Load())
	}
	// One that ends meanwhile is not waited for.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 2 { // the first one has given up already
			c, err := silent.listener.AcceptUnix()
			if err != nil {
				return
			}
			defer c.Close()
		}
		silent.Release()
	}()
	if others, done := l.Ask(10 * time.Second); others != 4 || done != 4 {
		t.Errorf("%d others, %d have answered or ended, want 4, 4", others, done)
	}
	<-ended
	if others, done := l.Ask(10 * time.Second); others != 3 || done != 3 || asked.Load() != 9 {
		t.Errorf("%d others, %d have answered, %d were asked, want 3, 3, 9", others, done, asked.Load())
	}
}

// An xdp member finds members that answer, as it finds the others.
func TestAnsweringAndXDP(t *testing.T) {
	ifi, group := some()
	l, err := Answering(ifi, group)
	mustHold(t, l, err)
	x, err := Exclusive(ifi, group)
	mustFail(t, x, err, "udp")
	l.Release()
	x, err = Exclusive(ifi, group)
	mustHold(t, x, err)
	l, err = Answering(ifi, group)
	mustFail(t, l, err, "xdp")
}

// Counted are the members of the group that answer, and those of other ports; not those of other interfaces or groups, and
// not those that do not answer.
func TestCount(t *testing.T) {
	ifi, group := some()
	hold := func(l *Lock, err error) { mustHold(t, l, err) }
	for range 3 {
		hold(Answering(ifi, group))
	}
	hold(Answering(ifi, netip.MustParseAddrPort("239.1.2.3:45678"))) // its address begins as the group's does
	hold(Exclusive(ifi, netip.MustParseAddrPort("239.1.2.3:4568")))
	hold(Shared(ifi, group))
	hold(Answering(ifi+1, group))
	hold(Answering(ifi, netip.MustParseAddrPort("239.1.2.30:4567")))
	list, err := os.ReadFile("/proc/thread-self/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, list...) // as it may be when it changes while it is read
	if same, all := Count(list, ifi, group); same != 3 || all != 5 {
		t.Errorf("%d of the group and %d in all, want 3 and 5", same, all)
	}
}

// There are names for 256 members.
func TestNames(t *testing.T) {
	ifi, group := some()
	for n := range maxShared + 1 {
		l, err := Answering(ifi, group)
		if mustHold(t, l, err); l.Named() != (n < maxShared) {
			t.Fatalf("member %d: named %v", n, l.Named())
		}
	}
	var none *Lock
	if none.Named() {
		t.Error("no claim has a name")
	}
}
