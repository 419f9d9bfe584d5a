package jmstest

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/jms"
)

// publish has a client publish messages, while the master of the holders is killed twice.
func (w *world) publish(m *member, messages int) {
	w.t.Helper()
	m.must(command{Do: "produce", Topic: "prices", Count: messages})
	for kill := 1; kill <= 2; kill++ {
		w.until("the next kill", time.Minute, func() bool { return m.must(command{Do: "progress"}).Sent >= messages*kill/3 })
		victim := w.master()
		victim.kill()
		w.again(victim).ready()
		w.whole(holdDown)
	}
	w.until("the end of the sends", time.Minute, func() bool { return m.must(command{Do: "progress"}).Over })
}

// published judges what publish has led to.
func (w *world) published(messages int) []entry {
	w.t.Helper()
	all := readJournals(w.t, w.dir)
	v := judge(all)
	w.t.Log(v)
	if w.refound > 0 {
		w.t.Skipf("not judged: the holders have forgotten everything %d times (E2 of docs/cluster.md)", w.refound)
	}
	if v.sent != messages {
		w.t.Errorf("%d messages were acknowledged, want %d; connections that ended: %v", v.sent, messages, v.ends)
	}
	return all
}

// A durable subscriber is away while 10,000 messages are published, of which a third is for it, and the master is killed
// twice: it gets exactly those, in order.
func TestDurableAway(t *testing.T) {
	long(t)
	messages := inCI(1500, 10_000)
	w := newWorld(t, 5, nil)
	w.start(3, 2)
	consume := command{Do: "consume", Topic: "prices", Name: "away", Client: "desk", Selector: "third = 0", Mode: jms.AutoAcknowledge}
	subscriber := w.clients[1]
	subscriber.must(consume)
	w.until("the subscription", callFor, func() bool { return w.clients[0].must(command{Do: "left"}).Queues == 1 })
	subscriber.must(command{Do: "stop"})
	subscriber.kill()

	w.publish(w.clients[0], messages)
	subscriber = w.again(subscriber)
	subscriber.ready()
	subscriber.must(consume)
	w.drain()

	var have, want []int
	for _, e := range w.published(messages) {
		switch {
		case e.Kind == acknowledged && e.N%3 == 0:
			want = append(want, e.N)
		case e.Kind == got:
			have = append(have, e.N)
		}
	}
	if !slices.Equal(have, want) {
		t.Errorf("the subscriber gets %d messages, want %d, in order: %v", len(have), len(want), have)
	}
}

// Three consumers share a subscription while the master is killed twice: each message goes to one of them.
func TestSharedSubscription(t *testing.T) {
	long(t)
	messages := inCI(1500, 10_000)
	w := newWorld(t, 7, nil)
	w.start(3, 4)
	for i, mode := range []jms.AckMode{jms.AutoAcknowledge, jms.ClientAcknowledge, jms.Transacted} {
		w.clients[i+1].must(command{Do: "consume", Topic: "prices", Name: "shared", Mode: mode})
	}
	w.until("the subscription", callFor, func() bool { return w.clients[0].must(command{Do: "left"}).Consumers == 3 })
	w.publish(w.clients[0], messages)
	w.drain()
	all := w.published(messages)
	judge(all).report(t)
	by := map[string]int{}
	for _, e := range all {
		if e.Kind == got {
			by[e.By]++
		}
	}
	if len(by) < 3 {
		t.Errorf("what consumers got: %v, want three of them", by)
	}
}
