package blaze_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// durable is a configuration of a member with a disk, of three.
func durable(t testing.TB, cfg blaze.Config, dir, name string) blaze.Config {
	t.Helper()
	cfg.Name, cfg.DataDir, cfg.ExpectedMembers = name, filepath.Join(dir, name), 3
	return cfg
}

// putIn puts, and again where the quorum is gone for a moment, as when the ring breaks on a loaded machine: the same
// value twice does no harm.
func putIn(t testing.TB, c *blaze.ClusterChannel, key, value string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		version, err := c.Map("m").Put(ctx, key, []byte(value))
		switch {
		case err == nil:
			return version
		case ctx.Err() == nil && (errors.Is(err, blaze.ErrNoQuorum) || errors.Is(err, blaze.ErrUnknownOutcome)):
			time.Sleep(10 * time.Millisecond)
		default:
			t.Errorf("%v: %+v", err, c.Status())
			return 0
		}
	}
}

// Three members are stopped in order, in every order, and started in every order: the state is there each time, versions
// rise, and each seat is the one that it was.
func TestDataDirStoppedAndStarted(t *testing.T) {
	cfg, dir := testConfig(t), t.TempDir()
	all := make([]*blaze.ClusterChannel, 3)
	for i := range all {
		all[i] = newCluster(t, "", durable(t, cfg, dir, string(rune('a'+i))))
	}
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	version, keys := uint64(0), 0
	seats := map[int]blaze.Seat{}
	for n, up := range orders {
		for _, i := range up {
			startCluster(t, all[i])
		}
		ready(t, all...)
		for i, c := range all {
			for k := range keys {
				if e, ok := c.Map("m").Get(strconv.Itoa(k)); !ok || string(e.Value) != fmt.Sprint("value ", k) {
					t.Fatalf("round %d: member %d has %d: %q, %t", n, i, k, e.Value, ok)
				}
			}
			for _, m := range c.Status().Members {
				if m.ID != c.ID() {
					continue
				}
				if old, ok := seats[i]; ok && old != m.Seat || !m.Disk {
					t.Errorf("the seat of %d was %v and is %v", i, old, m.Seat)
				}
				seats[i] = m.Seat
			}
		}
		for _, c := range all {
			v := putIn(t, c, strconv.Itoa(keys), fmt.Sprint("value ", keys))
			if v <= version {
				t.Errorf("version %d after %d", v, version)
			}
			version = v
			keys++
		}
		if len(seats) != len(all) {
			t.Fatalf("seats %v", seats)
		}
		for _, i := range orders[(n*5+2)%len(orders)] {
			if err := all[i].Stop(); err != nil {
				t.Errorf("round %d: %v", n, err)
			}
		}
	}
}

// After all were stopped in order, the one that stopped last is needed: the others say which seat is missing. When all were
// killed any two of three are enough.
func TestDataDirNeedsTheLast(t *testing.T) {
	cfg, dir := testConfig(t), t.TempDir()
	all := make([]*blaze.ClusterChannel, 3)
	for i := range all {
		all[i] = newCluster(t, "", durable(t, cfg, dir, string(rune('a'+i))))
		startCluster(t, all[i])
	}
	ready(t, all...)
	putIn(t, all[0], "k", "v")
	last := seatOf(all[1])
	for _, i := range []int{0, 2, 1} {
		if err := all[i].Stop(); err != nil {
			t.Fatal(err)
		}
	}
	startCluster(t, all[0])
	startCluster(t, all[2])
	eventually(t, "the two name the seat that is missing", func() bool {
		s := all[0].Status()
		for _, v := range s.Voters {
			if v.Missing && v.Seat == last && s.Phase == "outside" && s.Why != "" {
				return true
			}
		}
		return false
	})
	if e, ok := all[0].Map("m").Get("k"); !ok || string(e.Value) != "v" {
		t.Errorf("outside of the primary component Get serves %q, %t", e.Value, ok)
	}
	startCluster(t, all[1])
	ready(t, all...)
	putIn(t, all[2], "k", "w")
}

// seatOf is a started member's seat.
func seatOf(c *blaze.ClusterChannel) blaze.Seat {
	for _, m := range c.Status().Members {
		if m.ID == c.ID() {
			return m.Seat
		}
	}
	return blaze.Seat{}
}

// Two live members with copies of one directory are refused, both, by name; the others go on.
func TestDataDirCopied(t *testing.T) {
	cfg, dir := testConfig(t), t.TempDir()
	of := func(name string) blaze.Config { return durable(t, cfg, dir, name) }
	a, b := newCluster(t, "", of("a")), newCluster(t, "", of("b"))
	startCluster(t, a)
	startCluster(t, b)
	ready(t, a, b)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(of("c").DataDir, os.DirFS(of("b").DataDir)); err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	twins := []*blaze.ClusterChannel{}
	for _, name := range []string{"b", "c"} {
		c := of(name)
		c.Logger = slog.New(slog.NewTextHandler(log, nil))
		twins = append(twins, newCluster(t, "", c))
	}
	d := newCluster(t, "", of("d"))
	startCluster(t, d)
	ready(t, a, d)
	for _, c := range twins {
		startCluster(t, c)
	}
	for _, c := range twins {
		eventually(t, "the twin is refused", func() bool {
			s := c.Status()
			return !s.Primary && strings.Contains(s.Why, "another member has the same seat")
		})
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if _, err := c.Map("m").Put(ctx, "k", nil); err == nil {
			t.Error("a twin writes")
		}
		cancel()
	}
	ready(t, a, d)
	putIn(t, a, "k", "v")
	if s := log.String(); !strings.Contains(s, "another member has the same seat") || !strings.Contains(s, twins[1].ID().String()) {
		t.Errorf("the log does not name the seat: %s", s)
	}
	if err := twins[1].Stop(); err != nil {
		t.Log(err)
	}
	ready(t, a, d, twins[0])
}

// TestDataDirChild is no test: it is a member of the cluster that TestDataDirKilled kills.
func TestDataDirChild(t *testing.T) {
	if os.Getenv("BLAZE_TEST_ROLE") == "" {
		t.Skip("for the processes that other tests start")
	}
	cfg := testConfig(t)
	cfg.BroadcastURI, cfg.Cluster = os.Getenv("BLAZE_TEST_URI"), os.Getenv("BLAZE_TEST_CLUSTER")
	name := os.Getenv("BLAZE_TEST_ROLE")
	c := newCluster(t, "", durable(t, cfg, os.Getenv("BLAZE_TEST_DIR"), name))
	startCluster(t, c)
	var print sync.Mutex
	for w := range 8 {
		go func() {
			for n := 0; ; n++ {
				key, value := fmt.Sprint(name, w), fmt.Sprint(os.Getpid(), " ", n)
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				version, err := c.Map("m").Put(ctx, key, []byte(value))
				cancel()
				if err != nil {
					if errors.Is(err, context.DeadlineExceeded) {
						fmt.Printf("%v: %v: %+v\n", name, err, c.Status())
					}
					time.Sleep(time.Millisecond)
					continue
				}
				print.Lock()
				fmt.Println("put", key, version)
				print.Unlock()
			}
		}()
	}
	bufio.NewReader(os.Stdin).ReadString('\n') // until killed, or the parent has gone
}

// All members are killed at once, again and again, under load: every put that returned is there when they come back.
func TestDataDirKilled(t *testing.T) {
	socketsOnly(t)
	rounds := 2
	if !testing.Short() {
		rounds = 100
	}
	cfg, dir := testConfig(t), t.TempDir()
	acked := map[string]uint64{} // the newest version of each key
	for round := range rounds {
		var mu sync.Mutex
		var all []*exec.Cmd
		var readers sync.WaitGroup
		puts := make(chan bool, 1<<16)
		for _, name := range []string{"a", "b", "c"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestDataDirChild$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), "BLAZE_TEST_ROLE="+name, "BLAZE_TEST_DIR="+dir, "BLAZE_TEST_URI="+cfg.BroadcastURI, "BLAZE_TEST_CLUSTER="+cfg.Cluster)
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
			all = append(all, cmd)
			readers.Add(1)
			go func() {
				defer readers.Done()
				for lines := bufio.NewScanner(out); lines.Scan(); {
					f := strings.Fields(lines.Text())
					if len(f) != 3 || f[0] != "put" {
						t.Logf("round %d: %s: %s", round, name, lines.Text())
						continue
					}
					version, err := strconv.ParseUint(f[2], 10, 64)
					if err != nil {
						continue // cut off by the end
					}
					mu.Lock()
					acked[f[1]] = max(acked[f[1]], version)
					mu.Unlock()
					select {
					case puts <- true:
					default:
					}
				}
			}()
		}
		for range 50 + 100*(round%4) {
			next(t, puts, "a put that returns")
		}
		for _, cmd := range all {
			cmd.Process.Kill()
		}
		for _, cmd := range all {
			cmd.Wait()
		}
		readers.Wait()

		var back []*blaze.ClusterChannel
		for _, name := range []string{"a", "b", "c"} {
			c := newCluster(t, "", durable(t, cfg, dir, name))
			startCluster(t, c)
			back = append(back, c)
		}
		ready(t, back...)
		for key, version := range acked {
			for i, c := range back {
				if e, ok := c.Map("m").Get(key); !ok || e.Version < version {
					t.Fatalf("round %d: member %d has %s in version %d; version %d was acknowledged", round, i, key, e.Version, version)
				}
			}
		}
		for _, c := range back {
			if err := c.Shutdown(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d keys", len(acked))
}

// A directory that is in use, of another cluster, damaged, or a file: Init returns ErrConfig, which names it and the
// remedy, and leaves nothing open.
func TestDataDirRefused(t *testing.T) {
	socketsOnly(t)
	cfg, dir := testConfig(t), t.TempDir()
	cfg = durable(t, cfg, dir, "a")
	cfg.ExpectedMembers = 0
	a := newCluster(t, "", cfg)
	if err := a.Init(); err != nil {
		t.Fatal(err)
	}
	refused := func(what, remedy string, cfg blaze.Config) {
		t.Helper()
		c := newCluster(t, "", cfg)
		if err := c.Init(); !errors.Is(err, blaze.ErrConfig) || !strings.Contains(err.Error(), cfg.DataDir) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", what, err)
		}
		if c.State() != blaze.Constructed {
			t.Errorf("%s: in state %v", what, c.State())
		}
	}
	refused("in use", "stop the other one", cfg)
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	other := cfg
	other.Cluster += "x"
	refused("of another cluster", "own directory", other)
	file := cfg
	file.DataDir = filepath.Join(dir, "file")
	if err := os.WriteFile(file.DataDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused("a file", "make it a directory", file)
	below := cfg
	below.DataDir = filepath.Join(file.DataDir, "below")
	refused("below a file", "may read, write and create files in", below)
	if runtime.GOOS == "linux" { // not even root can write there
		proc := cfg
		proc.DataDir = "/proc/self/blaze"
		refused("not writable", "may read, write and create files in", proc)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	ready(t, a)
	putIn(t, a, "k", "v")
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.DataDir, "blaze.db")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:8192], 0o600); err != nil {
		t.Fatal(err)
	}
	refused("truncated", "move the directory away", cfg)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	ready(t, a)
	if e, ok := a.Map("m").Get("k"); !ok || string(e.Value) != "v" {
		t.Errorf("%+v, %t", e, ok)
	}
}

// A member that lost its directory is a new seat: it is given the state while others write, its disk has it before it is
// ready, and it is there again after the next start.
func TestDataDirLost(t *testing.T) {
	cfg, dir := testConfig(t), t.TempDir()
	all := make([]*blaze.ClusterChannel, 3)
	for i := range all {
		all[i] = newCluster(t, "", durable(t, cfg, dir, string(rune('a'+i))))
		startCluster(t, all[i])
	}
	ready(t, all...)
	const keys = 600
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for k := w; k < keys; k += 8 {
				putIn(t, all[k%2], strconv.Itoa(k), strings.Repeat("x", 200))
			}
		}()
	}
	writers.Wait()
	if err := all[2].Shutdown(); err != nil {
		t.Fatal(err)
	}
	old := durable(t, cfg, dir, "c").DataDir
	if err := os.Rename(old, old+".lost"); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	writers.Add(1)
	go func() {
		defer writers.Done()
		for n := 0; !stop.Load(); n++ {
			putIn(t, all[n%2], strconv.Itoa(n%keys), "y")
		}
	}()
	startCluster(t, all[2])
	ready(t, all[2])
	stop.Store(true)
	writers.Wait()
	putIn(t, all[2], "last", "z")
	if err := all[2].Shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, c := range all[:2] {
		if err := c.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	startCluster(t, all[2]) // alone it is no quorum, and shows what its disk has
	m := all[2].Map("m")
	eventually(t, "its state", func() bool { return m.Len() == keys+1 })
	if e, ok := m.Get("last"); !ok || string(e.Value) != "z" {
		t.Errorf("%q, %t", e.Value, ok)
	}
}
