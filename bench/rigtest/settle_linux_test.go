package rigtest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
)

// ringOrder is the first line of the input of a member that is watched.
type ringOrder struct {
	Size  int           `json:"size"`  // bytes of each message
	Every time.Duration `json:"every"` // between two messages
}

// ringState is its answer to each line, from the line before on.
type ringState struct {
	Error     string        `json:"error,omitempty"`
	Members   int           `json:"members"`
	Views     uint64        `json:"views"`     // in all
	Again     uint64        `json:"again"`     // datagrams sent again, in all
	Delivered uint64        `json:"delivered"` // messages, in all
	Gap       time.Duration `json:"gap"`       // the longest time without a delivery
}

// serveRing is a process with a member of a ring, which sends until its input ends.
func serveRing(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var o ringOrder
	if err := dec.Decode(&o); err != nil {
		return err
	}
	cfg := member.Config(overUDP)
	cfg.Protocol = blaze.Totem
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	var mu sync.Mutex
	last, gap := time.Now(), time.Duration(0)
	delivered := func() {
		mu.Lock()
		defer mu.Unlock()
		gap, last = max(gap, time.Since(last)), time.Now()
	}
	if _, err = ch.SubscribePayload("ring", func(*blaze.Delivery) { delivered() }, blaze.Inline()); err != nil {
		return err
	}
	if err := ch.Start(); err != nil {
		return enc.Encode(ringState{Error: err.Error()})
	}
	pub, err := ch.Publisher("ring")
	if err != nil {
		return err
	}
	go func() {
		payload := make([]byte, o.Size)
		for range time.Tick(o.Every) {
			_ = pub.Offer(payload) // where the ring has no room, the next one may be taken
		}
	}()
	var line struct{}
	for dec.Decode(&line) == nil {
		s := ch.Stats().Totem
		mu.Lock()
		g := max(gap, time.Since(last))
		gap = 0
		mu.Unlock()
		if err := enc.Encode(ringState{Members: int(s.Members), Views: s.Views, Again: s.Retransmitted, Delivered: s.Delivered, Gap: g}); err != nil {
			return err
		}
	}
	return nil
}

// watched is a ring of three on a switch.
type watched struct {
	t   *testing.T
	rig *rig.Rig
	all []*proc.Child
}

func watchRing(t *testing.T, o ringOrder) *watched {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute: make rig-test does it")
	}
	w := &watched{t: t, rig: build(t, rig.Bridge, 3, rig.Options{})}
	t.Setenv(role, "ring")
	for i := range 3 {
		c, err := proc.StartIn(w.rig.Host(i), []string{os.Args[0]}, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(2 * time.Second) })
		if err := c.Send(o); err != nil {
			t.Fatal(err)
		}
		w.all = append(w.all, c)
	}
	w.whole(10 * time.Second)
	return w
}

// look returns the state of each member.
func (w *watched) look() (list []ringState) {
	w.t.Helper()
	for _, c := range w.all {
		if err := c.Send(struct{}{}); err != nil {
			w.t.Fatal(err)
		}
	}
	for i, c := range w.all {
		s := receive[ringState](w.t, c, 10*time.Second)
		if s.Error != "" {
			w.t.Fatalf("member %d: %s", i, s.Error)
		}
		list = append(list, s)
	}
	return list
}

// whole waits for a ring of all, and returns how long that took.
func (w *watched) whole(limit time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	for {
		list := w.look()
		if !slices.ContainsFunc(list, func(s ringState) bool { return s.Members != 3 }) {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			w.t.Fatalf("no ring of three within %v: %+v", limit, list)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// steady lets d pass, in which no member may get more than most views. It returns the states at the end.
func (w *watched) steady(d time.Duration, most uint64) []ringState {
	w.t.Helper()
	before := w.look()
	time.Sleep(d) // what is measured
	after := w.look()
	for i := range after {
		n := after[i].Views - before[i].Views
		w.t.Logf("member %d: %d views in %v, longest gap %v, ring of %d", i, n, d, after[i].Gap, after[i].Members)
		if n > most {
			w.t.Errorf("member %d got %d views in %v, at most %d are right", i, n, d, most)
		}
	}
	return after
}

// shared is what bars of time are multiplied with on machines that others use too.
const shared = 2

// Two of three members do not receive each other.
func TestRingNotTransitive(t *testing.T) {
	w := watchRing(t, ringOrder{Size: 100, Every: time.Millisecond})
	if err := w.rig.Isolate(true, 1, 2); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // in which more views are right
	for i, s := range w.steady(10*time.Second, 1) {
		if s.Members > 1 && s.Gap > shared*300*time.Millisecond {
			t.Errorf("member %d of the pair delivered nothing for %v", i, s.Gap)
		}
	}
	if err := w.rig.Isolate(false, 1, 2); err != nil {
		t.Fatal(err)
	}
	t.Logf("healed: one ring after %v", w.whole(shared*time.Second))
}

// Datagrams of full size do not pass to and from one member.
func TestRingNarrowMember(t *testing.T) {
	w := watchRing(t, ringOrder{Size: 1300, Every: 2 * time.Millisecond})
	before := w.look()
	if err := w.rig.Narrow(2, 700); err != nil {
		t.Fatal(err)
	}
	after := w.steady(12*time.Second, 3)
	again := after[0].Again + after[1].Again - before[0].Again - before[1].Again
	// It is put out after StuckTime and a thousand rotations. Until then the store's half is missing at most.
	if t.Logf("%d datagrams sent again", again); again > 5*1024 {
		t.Errorf("%d datagrams were sent again", again)
	}
	if err := w.rig.Narrow(2, 1500); err != nil {
		t.Fatal(err)
	}
	t.Logf("healed: one ring after %v", w.whole(shared*time.Second))
}

// One member gets a tenth or three tenths of a processor.
func TestRingStarvedMember(t *testing.T) {
	for _, percent := range []int{10, 30} {
		t.Run(fmt.Sprintf("%d%%", percent), func(t *testing.T) {
			w := watchRing(t, ringOrder{Size: 100, Every: 2 * time.Millisecond})
			quota(t, w.all[2].PID(), percent)
			w.steady(10*time.Second, 3)
			w.steady(5*time.Second, 1)
		})
	}
}

// quota gives a process a share of one processor in each 100 ms, or skips where the machine does not allow it.
func quota(t *testing.T, pid, percent int) {
	t.Helper()
	const period = 100_000
	name := fmt.Sprintf("blaze-rigtest-%d", pid)
	write := func(dir, file, text string) error {
		return os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
	}
	var err error
	for _, v := range []struct {
		dir   string
		files [][2]string
		procs string
	}{
		{"/sys/fs/cgroup/cpu/", [][2]string{{"cpu.cfs_period_us", strconv.Itoa(period)}, {"cpu.cfs_quota_us", strconv.Itoa(period * percent / 100)}}, "cgroup.procs"},
		{"/sys/fs/cgroup/", [][2]string{{"cpu.max", fmt.Sprintf("%d %d", period*percent/100, period)}}, "cgroup.procs"},
	} {
		dir := v.dir + name
		if err = os.Mkdir(dir, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() {
			for range 100 { // the process has to end first
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		for _, f := range v.files {
			if err == nil {
				err = write(dir, f[0], f[1])
			}
		}
		if err == nil {
			err = write(dir, v.procs, strconv.Itoa(pid))
		}
		if err == nil {
			return
		}
	}
	t.Skipf("no quota of a processor: %v", err)
}
