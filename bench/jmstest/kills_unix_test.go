//go:build unix

package jmstest

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze/jms"
)

// signal sends a signal to a process.
func (m *member) signal(s syscall.Signal) {
	m.w.t.Helper()
	if err := syscall.Kill(m.PID(), s); err != nil {
		m.w.t.Fatal(err)
	}
}

// load has a client produce and consume. Each one has another way of it.
func (m *member) load(i int) {
	m.w.t.Helper()
	mode := []jms.AckMode{jms.AutoAcknowledge, jms.ClientAcknowledge, jms.Transacted, jms.DupsOKAcknowledge}[i%4]
	m.must(command{Do: "consume", Queue: "kills", Mode: mode})
	m.must(command{Do: "produce", Queue: "kills", Pause: 2 * time.Millisecond, Levels: 2, Batch: []int{0, 0, 0, 3}[i%4]})
}

// Four producers, four consumers and three holders: one of them is killed, or stopped for longer than the failure timeout,
// or the network is split, one thing of the holders at a time, so that a complete holder lives always. Every message whose
// Send has returned nil is received, and what comes twice is marked.
func TestKills(t *testing.T) {
	long(t)
	random := seeded(t)
	const clients = 4
	w := newWorld(t, 3+clients, nil)
	w.start(3, clients)
	for i, m := range w.clients {
		m.load(i)
	}
	faults := map[string]int{}
	var slowest time.Duration
	for end := time.Now().Add(inCI(8*time.Second, time.Minute)); time.Now().Before(end); {
		time.Sleep(time.Duration(100+random.IntN(300)) * time.Millisecond)
		what := w.fault(random)
		faults[what]++
		took := w.whole(holdDown)
		if slowest = max(slowest, took); took > 2*time.Second {
			t.Logf("%s: all holders were complete again after %v", what, took.Round(time.Millisecond))
		}
	}
	t.Logf("%v; all holders were complete again after %v at most", faults, slowest.Round(time.Millisecond))
	w.drain()
	v := judge(readJournals(t, w.dir))
	if w.refound > 0 {
		t.Logf("%v", v)
		t.Skipf("not judged: the holders have forgotten everything %d times (E2 of docs/cluster.md)", w.refound)
	}
	v.report(t)
	if v.sent < 500 || inCI(false, v.redelivered == 0) {
		t.Error("the clients did too little to show anything")
	}
}

// fault does one thing to holders or clients, and undoes it.
func (w *world) fault(random *rand.Rand) string {
	w.t.Helper()
	some := func(most int) { time.Sleep(time.Duration(random.IntN(most)) * time.Millisecond) }
	stopped := func() {
		time.Sleep(w.order.FailureTimeout + time.Duration(random.IntN(1000))*time.Millisecond)
	}
	client := func() *member { return w.clients[random.IntN(len(w.clients))] }
	holder := func() *member { return w.holders[random.IntN(len(w.holders))] }
	restart := func(m *member) {
		for i := range w.clients {
			if w.clients[i] == m {
				n := w.again(m)
				n.ready()
				n.load(i)
				return
			}
		}
		w.again(m).ready()
	}
	killed := func(m *member) {
		m.kill()
		some(800)
		restart(m)
	}
	suspended := func(m *member) {
		m.signal(syscall.SIGSTOP)
		stopped()
		m.signal(syscall.SIGCONT)
	}
	n := 5
	if w.rig != nil {
		n = 7
	}
	switch random.IntN(n) {
	case 0:
		killed(holder())
		return "a holder killed"
	case 1:
		killed(client())
		return "a client killed"
	case 2:
		suspended(holder())
		return "a holder stopped"
	case 3:
		suspended(client())
		return "a client stopped"
	case 4:
		h, c := holder(), client()
		h.kill()
		some(300)
		c.kill()
		some(300)
		restart(h)
		restart(c)
		return "a holder and a client killed"
	}
	parts := 2
	if random.IntN(4) == 0 {
		parts = 3
	}
	groups := make([][]int, parts)
	for i := range len(w.holders) + len(w.clients) {
		k := random.IntN(parts)
		groups[k] = append(groups[k], i)
	}
	w.split(groups...)
	stopped()
	w.join()
	return fmt.Sprintf("the network in %d parts", parts)
}

// split has groups of hosts by themselves.
func (w *world) split(groups ...[]int) {
	w.t.Helper()
	if err := w.rig.Split(groups...); err != nil {
		w.t.Fatal(err)
	}
}

// join makes the network whole.
func (w *world) join() {
	w.t.Helper()
	all := make([]int, w.rig.Hosts())
	for i := range all {
		all[i] = i
	}
	w.split(all)
}
