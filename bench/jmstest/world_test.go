package jmstest

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
)

// role names what a process plays that the test program starts of itself.
const role = "JMSTEST_ROLE"

var seedFlag = flag.Uint64("seed", 0, "of the faults; 0: a new one")

func TestMain(m *testing.M) {
	if os.Getenv(role) == "member" {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// long skips the test where time is short.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long, and wants a quiet host: make rig-test does it")
	}
}

// inCI is one thing in CI, and else another one.
func inCI[T any](ci, full T) T {
	if os.Getenv("CI") != "" {
		return ci
	}
	return full
}

// seeded is the source of a test's faults.
func seeded(t *testing.T) *mrand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = mrand.Uint64()
	}
	t.Logf("-seed %d", seed)
	return mrand.New(mrand.NewPCG(seed, 0))
}

// world is a set of holders and their clients, each a process.
type world struct {
	t       *testing.T
	rig     *rig.Rig // nil: they share loopback
	order   order
	dir     string // of journals
	holders []*member
	clients []*member
	started int
	chain   blaze.ViewID // in which the holders began
	refound int          // times that they began anew: E2 of docs/cluster.md
}

// member is one process.
type member struct {
	*proc.Child
	w     *world
	o     order
	host  int
	id    string // of a holder
	mutex sync.Mutex
	n     uint64
}

// newWorld makes a world without processes, with as many hosts where there can be some.
func newWorld(t *testing.T, hosts int, change func(*order)) *world {
	t.Helper()
	t.Setenv(role, "member")
	w := &world{t: t, dir: t.TempDir()}
	w.order = order{Cluster: "jmstest-" + rand.Text(), Holders: 3, FailureTimeout: 500 * time.Millisecond}
	r, err := rig.New(rig.Bridge, hosts, rig.Options{})
	switch {
	case errors.Is(err, rig.ErrUnsupported):
		t.Logf("all on loopback, and no partitions: %v", err)
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w.order.URI = fmt.Sprintf("udp://239.255.66.76:%d?interface=lo", c.LocalAddr().(*net.UDPAddr).Port)
	case err != nil:
		t.Fatal(err)
	default:
		t.Cleanup(r.Close)
		w.rig = r
		w.order.URI = "udp://239.255.66.76:6676?interface=" + rig.Interface
	}
	if change != nil {
		change(&w.order)
	}
	return w
}

// begin starts a process, and does not wait for it.
func (w *world) begin(host int, name string, holder bool) *member {
	w.t.Helper()
	var place proc.Place
	if w.rig != nil {
		place = w.rig.Host(host)
	}
	c, err := proc.StartIn(place, []string{os.Args[0]}, os.Stderr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(0) })
	w.started++
	m := &member{Child: c, w: w, o: w.order, host: host}
	m.o.Name, m.o.Holder = name, holder
	if holder && m.o.DataDir != "" {
		m.o.DataDir = filepath.Join(m.o.DataDir, name)
	}
	if !holder {
		m.o.DataDir = ""
		m.o.Name = fmt.Sprintf("%s-%d", name, w.started) // no other process has the name
		m.o.Journal = filepath.Join(w.dir, m.o.Name+".journal")
	}
	if err := c.Send(m.o); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// startFor is how long a process may take to start. A holder waits for the others.
const startFor = 30 * time.Second

// ready waits until the process has begun.
func (m *member) ready() {
	m.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startFor)
	defer cancel()
	var a answer
	if err := m.Receive(ctx, &a); err != nil || a.Error != "" {
		m.w.t.Fatalf("%s: %v %s", m.o.Name, err, a.Error)
	}
	m.id = a.ID
}

// start starts holders and clients, on hosts of their own.
func (w *world) start(holders, clients int) {
	w.t.Helper()
	for i := range holders {
		w.holders = append(w.holders, w.begin(i, fmt.Sprint("holder", i), true))
	}
	for i := range clients {
		w.clients = append(w.clients, w.begin(holders+i, fmt.Sprint("client", i), false))
	}
	for _, m := range slices.Concat(w.holders, w.clients) {
		m.ready()
	}
	w.whole(startFor)
}

// do has a process do something.
func (m *member) do(c command) (answer, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.n++
	c.Number = m.n
	if err := m.Send(c); err != nil {
		return answer{}, fmt.Errorf("%s: %w", m.o.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callFor+10*time.Second)
	defer cancel()
	for {
		var a answer
		if err := m.Receive(ctx, &a); err != nil {
			return a, fmt.Errorf("%s: %s: %w", m.o.Name, c.Do, err)
		}
		if a.Number != c.Number {
			continue // of a call that was given up
		}
		if a.Error != "" {
			return a, fmt.Errorf("%s: %s: %s", m.o.Name, c.Do, a.Error)
		}
		return a, nil
	}
}

// must is do, which must not fail.
func (m *member) must(c command) answer {
	m.w.t.Helper()
	a, err := m.do(c)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return a
}

// kill ends a process by SIGKILL.
func (m *member) kill() {
	m.w.t.Helper()
	if err := m.Kill(); err != nil {
		m.w.t.Fatal(err)
	}
	m.Close(time.Second) // it is gone when the next one starts
}

// again starts the process anew, under its name if it is a holder.
func (w *world) again(m *member) *member {
	w.t.Helper()
	name := m.o.Name
	if !m.o.Holder {
		name = fmt.Sprint("client", slices.Index(w.clients, m))
	}
	n := w.begin(m.host, name, m.o.Holder)
	list := w.clients
	if m.o.Holder {
		list = w.holders
	}
	list[slices.Index(list, m)] = n
	return n
}

// whole waits until all holders have all that is held, and returns how long that took.
func (w *world) whole(limit time.Duration) time.Duration {
	w.t.Helper()
	begun := time.Now()
	for {
		bad := ""
		status := make([]*blaze.ClusterStatus, len(w.holders))
		for i, m := range w.holders {
			a := m.must(command{Do: "status"})
			s := a.Status
			status[i] = s
			if !s.Primary || len(s.Members) != len(w.holders) || s.Epoch != status[0].Epoch || s.Chain != status[0].Chain ||
				slices.ContainsFunc(s.Members, func(m blaze.ClusterMember) bool { return !m.Ready }) {
				bad += fmt.Sprintf("%s: phase %s, primary %v, epoch %d, %d members, index %d: %s\n", m.o.Name, s.Phase, s.Primary, s.Epoch, len(s.Members), s.Index, s.Why)
			}
		}
		if bad == "" {
			if status[0].Chain != w.chain {
				if w.chain != (blaze.ViewID{}) {
					w.refound++
				}
				w.chain = status[0].Chain
			}
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			w.t.Fatalf("not all holders are complete within %v:\n%s", limit, bad)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// master is the holder that is master.
func (w *world) master() *member {
	w.t.Helper()
	id := w.holders[0].must(command{Do: "status"}).Status.Master.String()
	i := slices.IndexFunc(w.holders, func(m *member) bool { return m.id == id })
	if i < 0 {
		w.t.Fatalf("the master %s is none of the holders", id)
	}
	return w.holders[i]
}

// until waits for something.
func (w *world) until(what string, limit time.Duration, f func() bool) {
	w.t.Helper()
	for end := time.Now().Add(limit); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s is not so within %v", what, limit)
		}
	}
}

// holdDown is how long members may be apart after the network is whole: the ring holds a member down, for up to a minute, that has
// fallen out of rings many times within a minute.
const holdDown = 90 * time.Second

// drain waits until consumers have had everything, and ends all clients.
func (w *world) drain() {
	w.t.Helper()
	for _, m := range w.clients {
		m.must(command{Do: "stop sends"})
	}
	var left uint64
	end := time.Now().Add(callFor)
	for {
		left = w.clients[0].must(command{Do: "left"}).Left
		if left == 0 {
			break
		}
		if time.Now().After(end) {
			w.t.Errorf("%d messages are still at the holders after %v", left, callFor)
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, m := range w.clients {
		m.must(command{Do: "stop"})
	}
}
