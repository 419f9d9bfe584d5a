package udp

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/iface"
)

// While there is no way out the log says so once a minute.
func TestNoWayIsLoggedOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	f := &follower{log: slog.New(slog.NewTextHandler(&log, nil))}
	lines := func() int { return strings.Count(log.String(), "no way out") }
	gone := way{shut: true, down: true, why: "the interface is gone"}
	for i, step := range []struct {
		passes time.Duration
		now    way
		lines  int
	}{
		{0, gone, 1}, {0, gone, 1}, {warnEvery - time.Second, gone, 1}, {2 * time.Second, gone, 2}, {0, gone, 2},
		{0, way{shut: true, down: true, why: "the interface is down"}, 3}, {0, way{}, 3}, {0, gone, 4},
	} {
		f.warned = f.warned.Add(-step.passes)
		f.note(step.now)
		if f.way = step.now; lines() != step.lines {
			t.Fatalf("step %d: %d lines, want %d:\n%s", i, lines(), step.lines, log.String())
		}
	}
	if !strings.Contains(log.String(), "the way out is back") {
		t.Errorf("nothing says that it is back:\n%s", log.String())
	}
}

// recorder notes what a follower does to the sockets.
type recorder struct {
	did  []string
	fail error
}

func (r *recorder) rejoin(s *iface.Seen) error {
	r.did = append(r.did, "join "+s.Name)
	return r.fail
}

func (r *recorder) move(_ *iface.Seen, to netip.Addr) error {
	r.did = append(r.did, "move "+to.String())
	return r.fail
}

func (r *recorder) tell(way, uint64) {}

// What a follower does when an interface returns: it moves where its address is gone, joins where another interface has
// come or there was no way out, and what has failed is tried again.
func TestFollowerArranges(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	seen := func(index int, addrs ...netip.Addr) *iface.Seen {
		return &iface.Seen{Index: index, Name: "v0", Up: true, Carrier: true, MTU: 1500, Addrs: addrs}
	}
	for _, c := range []struct {
		why    string
		before way
		seen   *iface.Seen
		fail   error
		did    []string
		ok     bool
	}{
		{"nothing has happened", way{}, seen(3, a), nil, nil, true},
		{"a second address", way{}, seen(3, b, a), nil, nil, true},
		{"another address", way{}, seen(3, b), nil, []string{"move 10.0.0.2"}, true},
		{"another index", way{}, seen(4, a), nil, []string{"join v0"}, true},
		{"it was down", way{down: true}, seen(3, a), nil, []string{"join v0"}, true},
		{"both are others", way{shut: true, down: true}, seen(4, b), nil, []string{"move 10.0.0.2", "join v0"}, true},
		{"the address cannot be used yet", way{}, seen(4, b), errors.New("tentative"), []string{"move 10.0.0.2"}, false},
	} {
		r := &recorder{fail: c.fail}
		f := &follower{log: quiet, sockets: r, group: true, local: a, joined: 3, top: 1500, way: c.before}
		if ok := f.arrange(c.seen); ok != c.ok || !slices.Equal(r.did, c.did) {
			t.Errorf("%s: did %v, %v; want %v, %v", c.why, r.did, ok, c.did, c.ok)
		}
		if c.fail == nil {
			continue
		}
		if f.pause() != againEvery {
			t.Errorf("%s: it is not tried again", c.why)
		}
		r.fail = nil
		if !f.arrange(c.seen) || f.pause() >= 0 {
			t.Errorf("%s: the second time it fails, too", c.why)
		}
	}
}

// What an interface is like decides whether there is a way out.
func TestFollowerJudges(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for _, c := range []struct {
		seen       iface.Seen
		group      bool
		shut, down bool
		mtu        int
	}{
		{iface.Seen{}, true, true, true, 1500},
		{iface.Seen{Index: 1, Up: true, Carrier: true, MTU: 1400, Addrs: []netip.Addr{b}}, true, false, false, 1400},
		{iface.Seen{Index: 1, Up: true, Carrier: true, MTU: 1400, Addrs: []netip.Addr{b}}, false, true, true, 1400},
		{iface.Seen{Index: 1, Up: true, Carrier: true, Addrs: []netip.Addr{b, a}}, false, false, false, 1500},
		{iface.Seen{Index: 1, Up: true, MTU: 9000, Addrs: []netip.Addr{a}}, true, false, true, 1500},
		{iface.Seen{Index: 1, Carrier: true, MTU: 68, Addrs: []netip.Addr{a}}, true, true, true, minMTU},
		{iface.Seen{Index: 1, Up: true, Carrier: true, MTU: 1500}, true, true, true, 1500},
	} {
		f := &follower{group: c.group, local: a, top: 1500, way: way{mtu: 1500}}
		if w := f.judge(&c.seen); w.shut != c.shut || w.down != c.down || w.mtu != c.mtu || w.down != (w.why != "") {
			t.Errorf("%+v, multicast %v: %+v", c.seen, c.group, w)
		}
	}
}
