//go:build unix

package jmstest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/jms"
)

// Two sets of holders start apart, take messages into the same queue, and meet while their clients go on: all acknowledged
// messages of both are there, once each, and each sender's in order.
func TestTwoSetsMeet(t *testing.T) {
	long(t)
	if err := rig.Possible(); err != nil {
		t.Skip(err)
	}
	for _, row := range []struct {
		name           string
		older, younger []int // holders
	}{
		{"two are older", []int{0, 1}, []int{2}},
		{"two are younger", []int{0}, []int{1, 2}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, 5, func(o *order) { o.Holders = 0 })
			if w.rig == nil {
				t.Skip("two sets of holders need two networks")
			}
			w.split(append([]int{3}, row.older...), append([]int{4}, row.younger...))
			w.holders = make([]*member, 3)
			for client, set := range [][]int{row.older, row.younger} {
				for _, i := range set {
					w.holders[i] = w.begin(i, fmt.Sprint("holder", i), true)
				}
				m := w.begin(3+client, fmt.Sprint("client", client), false)
				w.clients = append(w.clients, m)
				for _, i := range set {
					w.holders[i].ready()
				}
				m.ready()
			}
			messages := inCI(500, 2000)
			for _, m := range w.clients {
				m.must(command{Do: "consume", Queue: "meet", Mode: jms.ClientAcknowledge, Pause: 3 * time.Millisecond})
				m.must(command{Do: "produce", Queue: "meet", Levels: 2, Pause: time.Millisecond})
			}
			for _, m := range w.clients {
				w.until("enough messages", time.Minute, func() bool { return m.must(command{Do: "progress"}).Sent >= messages })
			}
			older := w.holders[row.older[0]].must(command{Do: "status"}).Status.Chain
			w.join()
			took := w.whole(holdDown)
			if w.chain != older {
				t.Errorf("the chain is %v, want that of the older set, %v", w.chain, older)
			}
			t.Logf("all were complete %v after they had met", took.Round(time.Millisecond))
			time.Sleep(500 * time.Millisecond)
			for _, m := range w.clients {
				m.must(command{Do: "stop sends"})
				m.must(command{Do: "consume", Queue: "meet", Mode: jms.AutoAcknowledge})
			}
			// The holders of the younger set put what theirs had again, one operation after the other: an empty queue is no
			// sign that they are through.
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
				if v := judge(readJournals(t, w.dir)); v.received >= v.sent {
					break
				}
			}
			w.drain()
			// What a consumer of the younger set acknowledges while the sets meet may be delivered again, marked.
			all := slices.DeleteFunc(readJournals(t, w.dir), func(e entry) bool { return e.Kind == settled })
			v := judge(all)
			v.report(t)
			if most := 4 * receiveBatch; v.redelivered > most {
				t.Errorf("%d messages were delivered again, want at most %d", v.redelivered, most)
			}
			if v.sent < 2*messages {
				t.Errorf("%d messages were acknowledged", v.sent)
			}
		})
	}
}
