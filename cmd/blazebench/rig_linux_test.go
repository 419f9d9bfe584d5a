package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/xdp"
)

// needRig skips, in one line, where no network can be made, and with -short.
func needRig(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("make rig-test does it")
	}
	if err := rig.Possible(); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(rig.Veth, 2, rig.Options{})
	if err != nil {
		t.Skip(err)
	}
	r.Close()
}

func TestRigRuns(t *testing.T) {
	needRig(t)
	for _, args := range [][]string{
		{"latency", "--rig", "veth"}, {"throughput", "--rig", "veth", "--offload"},
		{"loss", "--rig", "bridge", "--receivers", "2"},
		{"loss", "--rig", "bridge", "--receivers", "2", "--link", "rate=50mbit,queue=64k,mtu=1400", "--size", "200"},
		{"loss", "--rig", "tap", "--receivers", "2", "--link", "loss=0.01,reorder=1ms,double=0.5", "--link-at", "sender", "--rate", "1000"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			before := interfaces(t)
			r := measured(t, append(args, "--duration", "100ms")...)
			if r.Rig != args[2] || !strings.HasSuffix(r.URI, "?interface="+rig.Interface) {
				t.Errorf("ran on rig %q, %s", r.Rig, r.URI)
			}
			if !r.Exact() || r.Delivered != r.Sent*uint64(r.Receivers) || r.Sent == 0 {
				t.Errorf("not exactly once, in order: %s", counts(&r))
			}
			if after := interfaces(t); !slices.Equal(before, after) {
				t.Errorf("the host had interfaces %v and has %v", before, after)
			}
		})
	}
}

// Hybrid over AF_XDP: what is lost comes back, once and in order.
func TestRigHybrid(t *testing.T) {
	needRig(t)
	if err := xdp.Available(); err != nil {
		t.Skip(err)
	}
	for _, receivers := range []string{"1", "4"} {
		r := measured(t, "loss", "--protocol", "hybrid", "--loss", "0.05", "--receivers", receivers, "--rig", "bridge", "--uri", "xdp://239.255.66.76", "--duration", "200ms")
		if !r.Exact() || r.Delivered != r.Sent*uint64(r.Receivers) || r.Sent == 0 || r.Transport != "xdp" || r.RepairedByFEC == 0 {
			t.Errorf("%s receivers, over %s: %s, %d repaired by FEC", receivers, r.Transport, counts(&r), r.RepairedByFEC)
		}
	}
}

// Groups over AF_XDP: requests, sends, queues, and a failure that is reported.
func TestRigGroup(t *testing.T) {
	needRig(t)
	if err := xdp.Available(); err != nil {
		t.Skip(err)
	}
	for _, args := range []string{
		"--rig veth --compare nack", "--what send --senders 4 --rig veth", "--what queue --consumers 2 --rig bridge --count 1000",
		"--what members --members 3 --kills 1 --failure-timeout 1s --rig bridge",
	} {
		t.Run(args, func(t *testing.T) {
			r, _ := inGroup(t, append(strings.Fields(args), "--uri", "xdp://239.255.66.76")...)
			if r.Transport != "xdp" || r.Lost+r.Unmarked != 0 || r.Delivered != r.Sent || r.Sent == 0 && r.Kills == 0 {
				t.Errorf("over %s: %s", r.Transport, counts(&r.Result))
			}
			if len(r.Detects) != r.Kills || r.FalseFailures > 0 {
				t.Errorf("%d of %d kills were reported, and %d failures of members that lived", len(r.Detects), r.Kills, r.FalseFailures)
			}
		})
	}
}

// interfaces are those of this host, outside of rigs.
func interfaces(t *testing.T) (names []string) {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

func TestRigNeedsRoot(t *testing.T) {
	needRig(t)
	cmd := exec.Command(os.Args[0], "latency", "--rig", "veth", "--duration", "20ms")
	cmd.Env = append(os.Environ(), "BLAZEBENCH_TEST_MAIN=1")
	if err := asNobody(t, cmd); err != nil {
		t.Skip(err)
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "needs root: run it with sudo") {
		t.Errorf("%v: %s", err, out)
	}
}

// However blazebench ends, its network ends with it: no process is left that holds it.
func TestKillTakesRigAlong(t *testing.T) {
	needRig(t)
	cmd, receivers, _ := start(t, 2, "latency", "--rig", "bridge", "--receivers", "2", "--duration", "1m")
	spaces := []string{namespaceOf(t, receivers[0]), namespaceOf(t, receivers[1])}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil || spaces[0] == spaces[1] || spaces[0] == own || spaces[1] == own {
		t.Fatalf("the receivers are in %v, this test is in %s: %v", spaces, own, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	awaitGone(t, receivers)
}

// asNobody has a command run without privileges, from where it can be read.
func asNobody(t *testing.T, cmd *exec.Cmd) error {
	dir, err := os.MkdirTemp("", "blazebench-test") // t.TempDir's parents are closed to others
	if err != nil {
		return err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "blazebench.test")
	if err := copyFile(program, cmd.Path); err != nil {
		return err
	}
	cmd.Path, cmd.Args[0], cmd.Dir = program, program, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

func namespaceOf(t *testing.T, pid int) string {
	t.Helper()
	s, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a tap writes, dump prints: every message that was sent is in both members' files.
func TestDumpOfATap(t *testing.T) {
	needRig(t)
	if err := xdp.Available(); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "tap.pcapng")
	r := measured(t, "loss", "--loss", "0", "--rate", "2000", "--rig", "veth", "--uri", "xdp://239.255.66.76?tap="+file, "--duration", "50ms")
	if r.Transport != "xdp" || r.XDPMode == "" || r.XDPSocket != "own" || r.XDPDatagrams == 0 {
		t.Errorf("ran on %s, %q, %q, %d datagrams", r.Transport, r.XDPMode, r.XDPSocket, r.XDPDatagrams)
	}
	for name, direction := range map[string]string{file: "out", file + ".1": " in"} {
		code, stdout, stderr := bench(t, "dump", name)
		if code != exitOK {
			t.Fatalf("dump %s: exit %d, %s", name, code, stderr)
		}
		told := map[uint64]bool{}
		for _, m := range regexp.MustCompile(`data \d+: messages? (\d+)(?: to (\d+))?, "bench.ping"`).FindAllStringSubmatch(stdout, -1) {
			first, _ := strconv.ParseUint(m[1], 10, 64)
			last, _ := strconv.ParseUint(m[2], 10, 64) // 0 where there is one message
			for n := first; n <= max(first, last); n++ {
				told[n] = true
			}
		}
		if !strings.Contains(stdout, direction+"  10.66.76.1:") || uint64(len(told)) != r.Sent {
			t.Errorf("%s has %d of %d messages:\n%.2000s", name, len(told), r.Sent, stdout)
		}
	}
	if code, _, stderr := bench(t, "dump", "/dev/null"); code != exitFailed || !strings.Contains(stderr, "it has 0 bytes") {
		t.Errorf("an empty file: exit %d, %s", code, stderr)
	}
	if code, _, stderr := bench(t, "dump", os.Args[0]); code != exitFailed || !strings.Contains(stderr, "no capture") {
		t.Errorf("a program: exit %d, %s", code, stderr)
	}
}

// The stages of a message's way add up to the whole, as far as medians do. Up to 10 % may be left
// unexplained; here twice that.
func TestRigBreakdown(t *testing.T) {
	needRig(t)
	if err := xdp.Available(); err != nil {
		t.Skip(err)
	}
	why := ""
	// A neighbour's noise does not fall on all stages alike, and where members hardly run every
	// message comes together with others, of which only the first is traced.
	for d := 200 * time.Millisecond; d < 4*time.Second; d *= 2 {
		var r measure.Result
		code, stdout, stderr := bench(t, "latency", "--breakdown", "--rig", "veth", "--uri", "xdp://239.255.66.76", "--duration", d.String(), "--json", "-")
		if code != exitOK {
			if !strings.Contains(stderr, "no message was traced") {
				t.Fatalf("exit %d, %s", code, stderr)
			}
			why = stderr
			continue
		}
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Breakdown) != 7 {
			t.Fatalf("%+v", r.Breakdown)
		}
		sum, whole, unexplained := int64(0), r.Breakdown[6].NS, r.Breakdown[5].NS
		for _, s := range r.Breakdown[:6] {
			sum += s.NS
		}
		if sum != whole || whole <= 0 {
			t.Fatalf("stages of %d ns in all, of %d ns: %+v", sum, whole, r.Breakdown)
		}
		share := float64(max(unexplained, -unexplained)) / float64(whole)
		if share <= 0.2 {
			return
		}
		why = fmt.Sprintf("%.0f %% of the way is unexplained", share*100)
	}
	t.Error(why)
}
