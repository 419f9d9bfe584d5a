package member

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/topic"
)

// reader is a Consumer that notes what it is handed.
type reader struct {
	pattern string
	got     *[]*reader
	lost    int
}

func (r *reader) Ready(clock.Time) bool                      { return true }
func (r *reader) Deliver(clock.Time, string, *core.Delivery) { *r.got = append(*r.got, r) }
func (r *reader) Lost(*core.Loss)                            { r.lost++ }

// Engines that are far behind the table and those that are not hand each message to the subscriptions whose patterns
// match it, in order of subscription, and losses to all.
func TestListeners(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	table := NewTable()
	all := table.share(3)
	var subs, got []*reader
	draw := func(wild bool) string {
		s := ""
		for n := 1 + r.IntN(3); n > 0; n-- {
			switch k := r.IntN(6); {
			case wild && k == 0:
				s += ".*"
			case wild && k == 1 && n == 1:
				s += ".>"
			default:
				s += fmt.Sprint(".", r.IntN(4))
			}
		}
		return s[1:]
	}
	check := func(l *listeners) {
		name := draw(false)
		var want []*reader
		for _, s := range subs {
			if topic.Match(s.pattern, []byte(name)) {
				want = append(want, s)
			}
		}
		got = got[:0]
		if l.deliver(0, &core.Delivery{Topic: []byte(name)}); !slices.Equal(got, want) {
			t.Fatalf("engine %d, topic %q: %d listeners, want %d of %d", l.engine, name, len(got), len(want), len(subs))
		}
	}
	for i := range 6 * keptChanges {
		if r.IntN(2) == 0 || len(subs) == 0 {
			s := &reader{pattern: draw(true), got: &got}
			subs = append(subs, s)
			table.Add(s.pattern, s)
		} else {
			k := r.IntN(len(subs))
			table.Remove(subs[k])
			table.Remove(subs[k]) // is gone already
			subs = slices.Delete(subs, k, k+1)
		}
		check(all[0])
		if i%100 == 0 {
			check(all[1])
		}
		if i%(3*keptChanges) == 3*keptChanges-1 {
			check(all[2]) // it has missed more than are kept
		}
		if len(table.now.Load().changes) > 2*keptChanges+1 {
			t.Fatalf("%d changes are kept", len(table.now.Load().changes))
		}
	}
	all[1].lost(&core.Loss{})
	for _, s := range subs {
		if s.lost != 1 {
			t.Errorf("%d losses, want 1", s.lost)
		}
	}
}

// A subscription changes nothing for the topics that it does not match, and takes nothing for them; topics in use stay
// where there are more than are remembered.
func TestListenersRemember(t *testing.T) {
	table := NewTable()
	l := table.share(1)[0]
	var got []*reader
	for i := range 1000 {
		p := fmt.Sprintf("prices.*.instrument%d.>", i)
		table.Add(p, &reader{pattern: p, got: &got})
	}
	d := &core.Delivery{Topic: []byte("prices.eu.instrument7.2026")}
	send := func() {
		got = got[:0]
		if l.deliver(0, d); len(got) != 1 {
			t.Fatalf("%d listeners", len(got))
		}
	}
	send()
	before := &l.lookup(d.Topic).to[0]
	table.Add("orders.>", &reader{pattern: "orders.>", got: &got})
	send()
	if &l.lookup(d.Topic).to[0] != before {
		t.Error("a subscription to something else made the list anew")
	}
	for i := range 3 * MaxCachedTopics {
		l.lookup([]byte(fmt.Sprint("others.", i)))
		if i%100 == 0 {
			l.lookup(d.Topic)
		}
	}
	if n := l.cache.Len(); n != MaxCachedTopics {
		t.Errorf("%d topics are remembered, want %d", n, MaxCachedTopics)
	}
	if l.cache.Get(d.Topic) == nil {
		t.Error("a topic in use is forgotten")
	}
}

// BenchmarkListeners is the look-up of a message's topic, with so many topics in turn and so many subscriptions with wildcards.
func BenchmarkListeners(b *testing.B) {
	for _, n := range []struct{ topics, subs int }{{1, 1}, {100, 1}, {100, 1000}, {10_000, 1}, {10_000, 1000}, {20_000, 1000}} {
		b.Run(fmt.Sprintf("topics=%d/subs=%d", n.topics, n.subs), func(b *testing.B) {
			table := NewTable()
			l := table.share(1)[0]
			for i := range n.subs {
				table.Add(fmt.Sprintf("prices.*.instrument%d.>", i), &reader{})
			}
			topics := make([][]byte, n.topics)
			for i := range topics {
				topics[i] = fmt.Appendf(nil, "prices.eu.instrument%d.2026", i)
				l.lookup(topics[i])
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.lookup(topics[i])
				if i++; i == len(topics) {
					i = 0
				}
			}
		})
	}
}
