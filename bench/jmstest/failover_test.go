package jmstest

import (
	"slices"
	"testing"
	"time"
)

// The holder that a client uses is killed, twenty times: the client's next call goes on at another holder. The median of
// these calls takes at most 300 ms, with the defaults and on a quiet machine; here it may be twice as much.
func TestFailover(t *testing.T) {
	long(t)
	w := newWorld(t, 4, func(o *order) { o.FailureTimeout = 0 })
	w.start(3, 1)
	client := w.clients[0]
	var took []time.Duration
	for range inCI(5, 20) {
		client.must(command{Do: "open", Queue: "failover"})
		id := client.must(command{Do: "holder"}).ID
		i := slices.IndexFunc(w.holders, func(m *member) bool { return m.id == id })
		if i < 0 {
			t.Fatalf("the client uses %s, which is none of the holders", id)
		}
		if err := w.holders[i].Kill(); err != nil {
			t.Fatal(err)
		}
		took = append(took, client.must(command{Do: "call", Queue: "failover"}).Took)
		w.holders[i].kill()
		w.again(w.holders[i]).ready()
		w.whole(holdDown)
	}
	slices.Sort(took)
	median := took[len(took)/2]
	t.Logf("the next call takes %v in the median, %v at most: %v", median, took[len(took)-1], took)
	if limit := 2 * 300 * time.Millisecond; median > limit {
		t.Errorf("the next call takes %v in the median, want %v", median, limit/2)
	}
}
