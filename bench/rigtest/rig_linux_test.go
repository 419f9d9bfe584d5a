package rigtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
	"github.com/activeblaze/blaze/bpf"
)

const (
	overUDP = "udp://239.255.66.76:6676?interface=" + rig.Interface
	overXDP = "xdp://239.255.66.76:6676?interface=" + rig.Interface
)

// Three members on a switch that loses 1 % of the packets at its ports, one over udp and two over
// xdp: every message arrives once and in order at both others.
func TestMixed(t *testing.T) {
	const loss = 0.01
	messages := uint64(100_000)
	if testing.Short() {
		messages = 10_000
	}
	r := build(t, rig.Bridge, 3, rig.Options{Loss: loss})
	uris := []string{overUDP, overXDP, overXDP}
	var members []*proc.Child
	for i, uri := range uris {
		members = append(members, start(t, r, i, member.Order{URI: uri, Number: i, Members: len(uris), Messages: messages}))
	}
	naks := uint64(0)
	for i, d := range converse(t, members) {
		want := slices.Repeat([]uint64{messages}, len(uris))
		want[i] = 0
		if d.Error != "" || d.Wrong != 0 || d.Lost != 0 || !slices.Equal(d.Received, want) || !strings.HasPrefix(uris[i], d.Transport) {
			t.Errorf("member %d over %s: %+v, want %v", i, uris[i], d, want)
		}
		t.Logf("member %d over %s %s: %d NAKs, %d repairs", i, d.Transport, d.Mode, d.NAKs, d.Repairs)
		naks += d.NAKs
	}
	if naks == 0 {
		t.Error("nothing was lost: the switch does not lose")
	}
}

// A member that is killed leaves no program on the interface, and the next one starts within
// 500 ms. In CI it has twice the time.
func TestKill(t *testing.T) {
	limit, rounds := 500*time.Millisecond, 10
	if os.Getenv("CI") != "" {
		limit *= 2
	}
	if testing.Short() {
		rounds = 3
	}
	r := build(t, rig.Veth, 2, rig.Options{})
	var took []time.Duration
	for range rounds {
		m := start(t, r, 0, member.Order{URI: overXDP, Members: 1})
		if a := receive[member.Ready](t, m, 10*time.Second); a.Error != "" {
			t.Fatal(a.Error)
		}
		if n := programs(t, r); n != 1 {
			t.Fatalf("%d programs while a member runs", n)
		}
		p, err := os.FindProcess(m.PID())
		if err != nil {
			t.Fatal(err)
		}
		_ = p.Kill()
		killed := time.Now()
		m.Close(time.Second) // reaps it
		if err := startHere(r); err != nil {
			t.Fatalf("%v after a member was killed: %v", time.Since(killed), err)
		}
		took = append(took, time.Since(killed))
		if n := programs(t, r); n > 0 {
			t.Fatalf("%d programs are left behind", n)
		}
		if lost := pings(t, r, 1, 3); lost > 0 {
			t.Errorf("%d of 3 pings were lost after a member was killed", lost)
		}
	}
	slices.Sort(took)
	t.Logf("from SIGKILL to the next member's start and stop: %v", took)
	if m := took[len(took)/2]; m > limit {
		t.Errorf("the next member started %v after the kill, want %v", m, limit)
	}
}

// startHere starts and stops a member of this process on host 0.
func startHere(r *rig.Rig) error {
	return r.Host(0).Run(func() error {
		ch, err := blaze.NewChannel(small(overXDP))
		if err != nil {
			return err
		}
		return errors.Join(ch.Start(), ch.Shutdown())
	})
}

// small is a member with little memory.
func small(uri string) blaze.Config {
	c := member.Config(uri)
	c.Window, c.MaxMessageSize = 128<<10, 64<<10
	return c
}

// programs counts the XDP programs on host 0's interface.
func programs(t *testing.T, r *rig.Rig) (n int) {
	t.Helper()
	if err := r.Host(0).Run(func() error {
		i, err := net.InterfaceByName(rig.Interface)
		if err != nil {
			return err
		}
		on, err := bpf.Programs(i.Index)
		n = len(on)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// 2,000 starts and stops, 200 in CI, leave nothing behind: no descriptor, mapping, memory, goroutine
// or program.
func TestStartStop(t *testing.T) {
	rounds := 2000
	switch {
	case testing.Short():
		rounds = 40
	case os.Getenv("CI") != "":
		rounds = 200
	}
	r := build(t, rig.Veth, 2, rig.Options{})
	for range 5 { // what is made once and kept
		if err := startHere(r); err != nil {
			t.Fatal(err)
		}
	}
	before := held(t)
	began := time.Now()
	for i := range rounds {
		if err := startHere(r); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	took := time.Since(began) / time.Duration(rounds)
	var after state
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if after = held(t); after.fits(before) || time.Now().After(end) {
			break
		}
	}
	t.Logf("%d rounds, %v each; before %+v, after %+v", rounds, took, before, after)
	if !after.fits(before) {
		t.Errorf("before %d rounds %+v, after them %+v", rounds, before, after)
	}
	if n := programs(t, r); n > 0 {
		t.Errorf("%d programs are left", n)
	}
}

// state is what this process holds.
type state struct {
	descriptors, goroutines int
	sockets                 int // mapped rings, and maps of the program
	mappings                int // all; threads' stacks and the heap's arenas come and go
	resident                int // MiB
}

// slack is by how many MiB a process may grow over any number of rounds: its heap is not always
// the same. One member's packet memory is more.
const slack = 16

func held(t *testing.T) (s state) {
	t.Helper()
	runtime.GC() // what waits for a finalizer
	debug.FreeOSMemory()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int // pages
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return state{
		descriptors: len(fds), goroutines: runtime.NumGoroutine(),
		sockets:  bytes.Count(maps, []byte("socket:[")) + bytes.Count(maps, []byte("bpf-map")),
		mappings: bytes.Count(maps, []byte("\n")), resident: resident * os.Getpagesize() >> 20,
	}
}

// fits reports whether s is no more than before, threads of the runtime's own apart.
func (s state) fits(before state) bool {
	return s.descriptors <= before.descriptors && s.sockets <= before.sockets && s.goroutines <= before.goroutines &&
		s.mappings <= before.mappings+64 && s.resident <= before.resident+slack
}

// A program that another process has attached is named by the error, and stays.
func TestForeignProgram(t *testing.T) {
	r := build(t, rig.Veth, 2, rig.Options{})
	err := r.Host(0).Run(func() error {
		i, err := net.InterfaceByName(rig.Interface)
		if err != nil {
			return err
		}
		f, err := bpf.Load(bpf.Config{Group: netip.MustParseAddrPort("239.9.9.9:9")})
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Attach(i.Index, bpf.Generic); err != nil {
			return err
		}
		on, err := bpf.Programs(i.Index)
		if err != nil || len(on) != 1 {
			return fmt.Errorf("%v on the interface: %w", on, err)
		}
		ch, err := blaze.NewChannel(small(overXDP))
		if err != nil {
			return err
		}
		defer ch.Shutdown()
		if err := ch.Start(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("id %d", on[0].ID)) {
			t.Errorf("started beside %v: %v", on[0], err)
		}
		still, err := bpf.Programs(i.Index)
		if err != nil || !slices.Equal(on, still) {
			t.Errorf("the interface had %v, and has %v, %v", on, still, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
