package group

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// TestPlantedPairDirected leaves out rules whose lack seeds notice seldom, in the case that each is for.
func TestPlantedPairDirected(t *testing.T) {
	tests := []struct {
		name    string
		defect  defect
		broken  func(t *testing.T, d defect) string // what is wrong; "": nothing
		catcher string
	}{
		{"no item that is nothing while items are outstanding", noNothing, lostWithoutNotice, "QU-4"},
		{"no item that is nothing after the incarnation rose", noNothing, lostBeforeReturn, "QU-4"},
		{"unbegun items are kept after a known exclusion", keepUnbegun, excludedConsumer, "QU-5"},
		{"unbegun items are kept after their sender was removed", keepUnbegun, removedSender, "QU-5"},
		{"what was acknowledged and is not known is waited for", oldestIgnored, lostState, "PP-4"},
		{"a standby accepts", acceptInactive, standbyAccepts, "QU-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if wrong := test.broken(t, none); wrong != "" {
				t.Errorf("with the rule: %s", wrong)
			}
			if test.broken(t, test.defect) == "" {
				t.Errorf("%s is not noticed without the rule", test.catcher)
			}
		})
	}
}

// consumerRig is a sender and consumers with one handler each, which keeps what it has begun.
func consumerRig(t *testing.T, members int, d defect) (r *pairRig, running [][]Work) {
	r = newPairRig(t, members, 256)
	running = make([][]Work, members)
	for i, m := range r.m {
		m.p.cfg.defect = d
		m.begin = func(w *Work) { running[i] = append(running[i], *w) }
	}
	return r, running
}

// forgets has one member remove another one by mistake, and take it back at once.
func (r *pairRig) forgets(at, whom int) {
	m, id := r.m[at], r.m[whom].p.cfg.Self
	e := m.p.find(id)
	m.p.pairs.gone(r.now, e, failed)
	dropPairEntry(m.p, e)
	setPairEntry(m.p, &entry{id: id, endpoint: e.endpoint, record: e.record, lastSession: e.lastSession, floor: e.floor})
}

// The consumer removed the sender, which does not come to know: its item waits for an answer, and all that it sent
// is acknowledged.
func lostWithoutNotice(t *testing.T, d defect) string {
	r, running := consumerRig(t, 2, d)
	r.m[1].p.HandleQueue(r.now, "q", r.m[1], 1, 10, 1<<20)
	r.m[1].p.Consume(r.now, "q", 1, 0)
	r.announce()
	for range 2 {
		r.m[0].p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(5*time.Millisecond, time.Millisecond)
	if len(running[1]) != 1 || r.m[1].p.pairs.works["q"].items == nil {
		t.Fatalf("%d were begun", len(running[1]))
	}
	r.forgets(1, 0)
	r.pass(600*time.Millisecond, time.Millisecond)
	for len(running[1]) > 0 {
		w := running[1][0]
		running[1] = running[1][1:]
		r.m[1].p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
		r.pass(time.Millisecond, time.Millisecond)
	}
	if r.m[0].ends != 2 {
		return "an item has not ended"
	}
	r.idle()
	return ""
}

// The same, and the sender is asked nothing for a quarter of a second: its incarnation rises, so that it sends
// something at once.
func lostBeforeReturn(t *testing.T, d defect) string {
	r, running := consumerRig(t, 2, d)
	r.m[1].p.HandleQueue(r.now, "q", r.m[1], 1, 10, 1<<20)
	r.m[1].p.Consume(r.now, "q", 1, 0)
	r.announce()
	for range 2 {
		r.m[0].p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(5*time.Millisecond, time.Millisecond)
	r.forgets(1, 0)
	r.m[0].p.incarnation++
	r.m[0].p.pairs.returned(r.now, r.m[0].p.find(r.m[1].p.cfg.Self))
	r.pass(20*time.Millisecond, time.Millisecond)
	if r.m[0].p.pairs.stats.SessionsDead != 1 || len(running[1]) != 1 {
		return "the sender does not know that its session is dead"
	}
	return ""
}

// A sender that had removed the consumer has said so: what the consumer has of it and has not begun is somebody
// else's by now.
func excludedConsumer(t *testing.T, d defect) string {
	r, running := consumerRig(t, 2, d)
	b := r.m[1]
	b.p.HandleQueue(r.now, "q", b, 1, 10, 1<<20)
	b.p.Consume(r.now, "q", 1, 0)
	r.announce()
	for range 2 {
		r.m[0].p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(5*time.Millisecond, time.Millisecond)
	b.p.pairs.removedThere(b.p.find(r.m[0].p.cfg.Self), 0)
	b.p.incarnation++
	w := running[1][0]
	b.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
	b.p.pairs.deliver(r.now)
	if len(running[1]) != 1 {
		return "an item of a session that is known to be over was begun"
	}
	return ""
}

// The consumer removes the sender: what it has of it and has not begun is dropped.
func removedSender(t *testing.T, d defect) string {
	r, running := consumerRig(t, 2, d)
	b := r.m[1]
	b.p.HandleQueue(r.now, "q", b, 1, 10, 1<<20)
	b.p.Consume(r.now, "q", 1, 0)
	r.announce()
	for range 2 {
		r.m[0].p.Enqueue(r.now, r.call(0, 0, "q", nil))
	}
	r.pass(5*time.Millisecond, time.Millisecond)
	e := b.p.find(r.m[0].p.cfg.Self)
	b.p.pairs.gone(r.now, e, failed)
	dropPairEntry(b.p, e)
	w := running[1][0]
	b.p.Done(r.now, "q", w.From, w.Call, w.Attempt, wire.ResultHandled)
	b.p.pairs.deliver(r.now)
	if len(running[1]) != 1 {
		return "an item of a removed sender was begun"
	}
	return ""
}

// The receiver has lost all that it knew of the sender, its sessions included, as after a tombstone's hour.
func lostState(t *testing.T, d defect) string {
	r := newPairRig(t, 2, 256)
	a, b := r.m[0], r.m[1]
	b.p.cfg.defect = d
	b.p.HandleInbox("", b)
	b.echo()
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.exchange()
	r.forgets(1, 0)
	b.p.find(a.p.cfg.Self).lastSession = 0
	a.p.Send(r.now, r.call(0, 1, "", nil))
	r.pass(time.Second, time.Millisecond)
	if a.ends != 2 {
		return "the second call has not ended"
	}
	r.idle()
	return ""
}

// A sender that has the record of the standby only hands out to it. It refuses.
func standbyAccepts(t *testing.T, d defect) string {
	r, running := consumerRig(t, 3, d)
	for _, m := range r.m[1:] {
		m.p.HandleQueue(r.now, "q", m, 1, 10, 1<<20)
		m.p.Consume(r.now, "q", 1, m.p.NextRank("q"))
		r.announce()
		r.pass(100*time.Millisecond, time.Millisecond)
		r.announce()
		r.exchange()
	}
	r.m[0].p.find(r.m[1].p.cfg.Self).consumes = false
	r.m[0].p.pairs.recordsChanged()
	r.m[0].p.Enqueue(r.now, r.call(0, 0, "q", nil))
	r.pass(20*time.Millisecond, time.Millisecond)
	if len(running[2]) > 0 {
		return "the standby began an item"
	}
	r.m[0].p.find(r.m[1].p.cfg.Self).consumes = true
	r.m[0].p.pairs.recordsChanged()
	r.pass(20*time.Millisecond, time.Millisecond)
	if len(running[1]) != 1 {
		return "the active one did not begin the item"
	}
	return ""
}
