package jmstest

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/jms"
)

// killAll ends all holders at once by SIGKILL, and starts them again.
func (w *world) killAll() {
	w.t.Helper()
	for _, m := range w.holders {
		if err := m.Kill(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, m := range w.holders {
		m.kill()
		w.again(m)
	}
	for _, m := range w.holders {
		m.ready()
	}
	w.whole(holdDown)
}

// Three holders with a DataDir are killed at once, in the middle of 10,000 sends, three times, and once more when nothing
// happens: every message that was acknowledged is there afterwards, and what was settled stays so.
func TestDataDirKilledAtOnce(t *testing.T) {
	long(t)
	dir := t.TempDir()
	w := newWorld(t, 5, func(o *order) { o.DataDir = dir })
	w.start(3, 2)
	producer, consumer := w.clients[0], w.clients[1]
	const producers = 4
	messages := inCI(2000, 10_000)
	consumer.must(command{Do: "consume", Queue: "disk", Mode: jms.ClientAcknowledge, Pause: time.Millisecond})
	for range producers {
		producer.must(command{Do: "produce", Queue: "disk", Count: messages / producers})
	}
	for kill := 1; kill <= 3; kill++ {
		w.until("the next kill", 5*time.Minute, func() bool { return producer.must(command{Do: "progress"}).Sent >= messages*kill/4 })
		w.killAll()
	}
	w.until("the end of the sends", 5*time.Minute, func() bool { return producer.must(command{Do: "progress"}).Over })
	if a := consumer.must(command{Do: "progress"}); a.Done == 0 {
		t.Error("nothing was settled")
	}
	consumer.must(command{Do: "stop"})
	left := producer.must(command{Do: "left"}).Left
	w.killAll()
	if again := producer.must(command{Do: "left"}).Left; again != left || left == 0 {
		t.Errorf("the holders had %d messages when they were killed, and have %d", left, again)
	}
	w.clients[1] = w.again(consumer)
	w.clients[1].ready()
	w.clients[1].must(command{Do: "consume", Queue: "disk", Mode: jms.AutoAcknowledge})
	w.drain()
	v := judge(readJournals(t, w.dir))
	v.report(t)
	if v.sent < messages {
		t.Errorf("%d messages were acknowledged, want %d", v.sent, messages)
	}
}
