package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/workload"
)

// TestMain makes the test program play blazebench, for its receivers and for the tests that need
// a process to interrupt.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == receiverArg || os.Args[1] == workload.HolderArg) || os.Getenv("BLAZEBENCH_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// bench runs a command line in this process.
func bench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	var err shared // by this process and what its children print
	code = run(args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// shared is a buffer that several goroutines write to.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// measured runs a workload and reads its JSON.
func measured(t *testing.T, args ...string) measure.Result {
	t.Helper()
	code, stdout, stderr := bench(t, append(args, "--json", "-")...)
	var r measure.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("blazebench %s: exit %d, %v\n%s%s", strings.Join(args, " "), code, err, stdout, stderr)
	}
	t.Logf("%s: sent %d delivered %d naks %d repairs %d", strings.Join(args, " "), r.Sent, r.Delivered, r.NAKsSent, r.RepairsSent)
	return r
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"lateny"}, `unknown command "lateny": did you mean latency?`},
		{[]string{"frobnicate"}, `unknown command "frobnicate": want latency, throughput, loss, order, group, cluster, jms, scale, raw, compare, figures, check, doctor, dump, version, help, or none for the tour`},
		{[]string{"latency", "fast"}, `unexpected argument "fast"`},
		{[]string{"latency", "--size", "15"}, "--size 15: a message needs 16 bytes or more"},
		{[]string{"latency", "--size", "0"}, "--size 0: want more than 0"},
		{[]string{"latency", "--size", "many"}, "--size many: want a whole number"},
		{[]string{"latency", "--size", "1048577"}, "--size 1048577: want at most 1048576 bytes"},
		{[]string{"raw", "--size", "1473"}, "--size 1473: raw sends one datagram"},
		{[]string{"latency", "--protocol", "tcp"}, `--protocol "tcp": want nack, besteffort, fec or hybrid`},
		{[]string{"latency", "--protocol", "totem"}, `--protocol "totem": want nack, besteffort, fec or hybrid`},
		{[]string{"latency", "--idle", "lazy"}, `--idle "lazy": want busyspin, backoff or block`},
		{[]string{"latency", "--receivers", "0"}, "--receivers 0: want more than 0"},
		{[]string{"latency", "--receivers", "65"}, "--receivers 65: want 1 to 64"},
		{[]string{"latency", "--duration", "0s"}, "--duration 0: want more than 0"},
		{[]string{"latency", "--duration", "9ms"}, "--duration 9ms: want 10ms to 1h0m0s"},
		{[]string{"latency", "--rate", "-5"}, "--rate -5: want 0"},
		{[]string{"loss", "--loss", "1.5"}, "--loss 1.5: want a share of datagrams"},
		{[]string{"loss", "--loss", "150%"}, "--loss 1.5: want a share of datagrams"},
		{[]string{"loss", "--loss", "much"}, "--loss much: want a share, as in 0.01 or 1%"},
		{[]string{"latency", "--duration", "1"}, "--duration 1: want a unit, as in 1s"},
		{[]string{"latency", "--duration", "soon"}, "--duration soon: want a duration, as in 1.5s or 200ms"},
		{[]string{"latency", "--size"}, "--size: want a value"},
		{[]string{"latency", "--sise", "64"}, "--sise: no such option: did you mean --size?"},
		{[]string{"latency", "--rate", "fast"}, "--rate fast: want a number"},
		{[]string{"latency", "--seed", "-1"}, "--seed -1: want a whole number, 0 or more"},
		{[]string{"version", "now"}, `version: unexpected argument "now"`},
		{[]string{"latency", "--gso"}, "--gso: no such option"},
		{[]string{"latency", "--rig", "ring"}, `--rig "ring": want veth, bridge or tap`},
		{[]string{"latency", "--rig", "veth", "--receivers", "2"}, "--rig veth has two ends"},
		{[]string{"latency", "--offload"}, "--offload is a rig's"},
		{[]string{"loss", "--link", "mtu=1400"}, "--link mtu=1400 is a rig's"},
		{[]string{"loss", "--link", "speed=1"}, `--link speed=1: "speed": want rate`},
		{[]string{"loss", "--rig", "bridge", "--link", "double=0.5"}, "--link double=0.5: only the switch of rig tap"},
		{[]string{"loss", "--rig", "veth", "--link", "mtu=1400"}, "--link mtu=1400: rig veth has no switch"},
		{[]string{"loss", "--rig", "tap", "--link", "mtu=1400", "--link-at", "home"}, `--link-at "home": want receiver or sender`},
		{[]string{"latency", "--breakdown"}, "--breakdown needs latency without rate, over xdp://"},
		{[]string{"latency", "--goroutines", "--idle", "busyspin"}, "--goroutines needs latency without rate, and idle backoff or block"},
		{[]string{"throughput", "--breakdown"}, "--breakdown: no such option"},
		{[]string{"raw", "--receivers", "2"}, "--receivers: no such option"},
		{[]string{"figures", "--rounds", "0"}, "--rounds 0: want 1 or more"},
		{[]string{"figures", "--only", "tcp"}, `--only "tcp": want all, loopback, xdp, fec, order, group, cluster or scale`},
		{[]string{"loss", "--k", "0"}, "--k 0: want more than 0"},
		{[]string{"loss", "--k", "65", "--protocol", "fec"}, "--k 65: want 1 to 64"},
		{[]string{"loss", "--m", "65", "--protocol", "fec"}, "--m 65: want 1 to 64"},
		{[]string{"loss", "--interleave", "17", "--protocol", "hybrid"}, "--interleave 17: want 1 to 16"},
		{[]string{"loss", "--m", "2"}, "--m 2 is for protocol fec and hybrid"},
		{[]string{"raw", "--k", "2"}, "--k: no such option"},
		{[]string{"throughput", "--sweep"}, "--sweep: no such option"},
		{[]string{"loss", "--delay", "1s"}, "--delay 1s: want 0 to 100ms"},
		{[]string{"loss", "--out", "f.svg"}, "--out is for --sweep"},
		{[]string{"loss", "--rounds", "2"}, "--rounds is for --sweep"},
		{[]string{"loss", "--sweep", "--rounds", "0"}, "--rounds 0: want 1 or more"},
		{[]string{"loss", "--sweep", "--loss", "0.1"}, "--loss: --sweep goes through nack, fec and hybrid"},
		{[]string{"loss", "--sweep", "--protocol", "nack"}, "--protocol: --sweep goes through"},
		{[]string{"loss", "--sweep", "--rate", "0"}, "--rate 0: --sweep needs a rate"},
		{[]string{"loss", "--sweep", "--size", "8"}, "--size 8: a message needs 16 bytes"},
		{[]string{"compare", "--rounds", "0"}, "--rounds 0: want 1 or more"},
		{[]string{"compare", "--rig", "ring"}, `--rig "ring": want veth, bridge or tap`},
		{[]string{"compare", "--duration", "1ms"}, "--duration 1ms: want 10ms"},
		{[]string{"compare", "--with", "before"}, `--with "before": want NAME=PATH, sockperf or NAME=ping`},
		{[]string{"compare", "--with", "before=/no/such/program"}, "--with before=/no/such/program: "},
		{[]string{"compare", "--with", "before=/bin/true", "--only", "rtt,speed"}, `--only "speed": want some of rtt,`},
		{[]string{"compare", "--with", "before=/bin/true", "--pin", "on"}, `--pin "on": want auto or off`},
		{[]string{"compare", "--with", "sockperf", "--rig", "ring"}, `--rig "ring": want veth, bridge or tap, or none`},
		{[]string{"compare", "--with", "sockperf", "--only", "rtt"}, "--only is for --with NAME=PATH alone"},
		{[]string{"compare", "--with", "aeron=ping a|b"}, `--with "aeron=ping a|b": want NAME=ping COMMAND…|pong COMMAND…`},
		{[]string{"raw", "--loop", "maybe"}, "--loop maybe: want on or off"},
		{[]string{"raw", "--loop", "off", "--uri", "xdp://239.255.66.76?interface=lo"}, "--loop off is for raw over sockets"},
		{[]string{"latency", "--loop", "off"}, "--loop: no such option"},
		{[]string{"scale", "--duration", "1ms"}, "--duration 1ms: want 10ms"},
		{[]string{"scale", "topics"}, `unexpected argument "topics"`},
		{[]string{"compare", "--pin", "off"}, "--pin is for --with"},
		{[]string{"group", "--what", "chat"}, `--what "chat": want request, send, queue or members`},
		{[]string{"group", "--compare", "tcp"}, `--compare "tcp": want nack`},
		{[]string{"group", "--what", "send", "--compare", "nack"}, "--compare nack is for --what request, not send"},
		{[]string{"group", "--what", "queue", "--messages"}, "--messages is for --what request"},
		{[]string{"group", "--count", "5"}, "--count is for --what queue"},
		{[]string{"group", "--kills", "1"}, "--kills is for --what queue and members"},
		{[]string{"group", "--what", "queue", "--consumers", "2", "--kills", "2"}, "--kills 2: want less than there are consumers"},
		{[]string{"group", "--what", "members", "--members", "33"}, "--members 33: want 1 to 32"},
		{[]string{"group", "--what", "members", "--members", "1", "--kills", "1"}, "--members 1: to report a failure there must be another"},
		{[]string{"group", "--load"}, "--load is for --what members"},
		{[]string{"group", "--senders", "0"}, "--senders 0: want more than 0"},
		{[]string{"group", "--size", "65537"}, "--size 65537: want at most 65536 bytes"},
		{[]string{"group", "--heartbeat", "-1s"}, "--heartbeat -1s: want 0"},
		{[]string{"dump"}, "dump: want one capture file"},
		{[]string{"check", "--duration", "1ms"}, "--duration 1ms: want 10ms"},
		{[]string{"--size", "3"}, "--size: no such option"},
	} {
		code, stdout, stderr := bench(t, c.args...)
		if code != exitUsage || !strings.Contains(stderr, c.want) || stdout != "" || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q; want exit %d, %q", c.args, code, stderr, exitUsage, c.want)
		}
	}
}

// Help is no mistake: it is on standard output, lists every option, and says nothing on standard error.
func TestHelp(t *testing.T) {
	for _, name := range append([]string{""}, commands...) {
		args := []string{name, "--help"}
		if name == "" {
			args = args[1:]
		}
		code, stdout, stderr := bench(t, args...)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, "blazebench") || strings.Contains(stdout, "\n  -") && !strings.Contains(stdout, "\n  --") {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
	_, long, _ := bench(t, "latency", "-h")
	if code, again, _ := bench(t, "help", "latency"); code != exitOK || again != long || !strings.Contains(long, "\n  --duration DURATION\n        how long to measure, after a short warm-up\n        (default 5s)\n") {
		t.Errorf("help latency: exit %d, %q", code, long)
	}
	if code, stdout, stderr := bench(t, "version"); code != exitOK || stderr != "" || !strings.Contains(stdout, "wire version 1, "+runtime.Version()) {
		t.Errorf("version: exit %d, %q, %q", code, stdout, stderr)
	}
}

// What only the library can refuse: the error names it, and no receiver stays behind.
func TestBadURI(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"tcp://239.1.1.1:7", "tcp"},
		{"udp://10.0.0.1:7", "10.0.0.1"},
		{"udp://239.1.1.1:7?interface=nowhere9", "nowhere9"},
		{"udp://239.1.1.1:7?colour=red", "colour"},
	} {
		for _, w := range []string{"latency", "raw"} {
			code, _, stderr := bench(t, w, "--uri", c.uri, "--duration", "20ms")
			if code != exitFailed || !strings.Contains(stderr, c.want) {
				t.Errorf("%s --uri %s: exit %d, %q", w, c.uri, code, stderr)
			}
		}
	}
}

func TestTinyRuns(t *testing.T) {
	runs := [][]string{
		{"latency"}, {"latency", "--rate", "2000"}, {"latency", "--idle", "block"}, {"latency", "--loss", "0.05", "--size", "16"},
		{"throughput"}, {"throughput", "--protocol", "besteffort", "--rate", "5000"},
		{"loss", "--receivers", "2", "--size", "256"}, {"loss", "--loss", "0.2", "--rate", "5000"},
	}
	if !testing.Short() {
		runs = append(runs, [][]string{
			{"latency", "--idle", "backoff"}, {"latency", "--receivers", "2"}, {"latency", "--size", "20000"},
			{"latency", "--rate", "1000", "--idle", "block"}, {"throughput", "--size", "1344", "--rate", "5000"}, {"loss", "--loss", "0"},
		}...)
	}
	for _, args := range runs {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := measured(t, append(args, "--duration", "150ms")...)
			if r.Workload != args[0] || r.Sent == 0 || r.Delivered == 0 {
				t.Errorf("%+v", r)
			}
			if r.Protocol == "nack" && (!r.Exact() || r.Delivered != r.Sent*uint64(r.Receivers)) {
				t.Errorf("not exactly once, in order: %s", counts(&r))
			}
			if args[0] == "latency" && r.RTT == nil {
				t.Error("no round trip")
			}
			if args[0] != "latency" && r.Latency == nil {
				t.Error("no one-way latency")
			}
			if args[0] == "loss" && r.Loss >= 0.05 && (r.RepairsSent == 0 || r.NAKsSent == 0) {
				t.Errorf("%v loss, and %d NAKs, %d repairs", r.Loss, r.NAKsSent, r.RepairsSent)
			}
		})
	}
}

// The application's own count must show what the library does not repair.
func TestBestEffortLosesWhatIsDropped(t *testing.T) {
	r := measured(t, "loss", "--protocol", "besteffort", "--loss", "0.3", "--rate", "5000", "--duration", "300ms")
	if r.Lost == 0 || r.Delivered+r.Lost != r.Sent {
		t.Errorf("30 %% loss without repair: %s", counts(&r))
	}
	// Every loss is reported; what is missing at the very end, when nothing follows it, may not be yet.
	if r.Told == 0 || r.Told > r.Lost {
		t.Errorf("%d lost, %d told as lost: %v", r.Lost, r.Told, r.Reasons)
	}
}

func TestRaw(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("raw needs Linux")
	}
	for _, args := range [][]string{{"raw"}, {"raw", "--size", "1344", "--gso"}} {
		// Bare sockets measure what they can in their time: on a busy host that may be nothing.
		for d := 150 * time.Millisecond; ; d *= 2 {
			r := measured(t, append(args, "--duration", d.String())...)
			if r.RTT != nil && r.RTT.P50 > 0 && r.DatagramsPerSecond > 0 {
				break
			}
			if d > 2*time.Second {
				t.Errorf("%v: %+v", args, r)
				break
			}
		}
	}
}

// A file that cannot be made is known before the run, not after it.
func TestFilesAreOpenedFirst(t *testing.T) {
	none := filepath.Join(t.TempDir(), "no", "such", "folder")
	for _, args := range [][]string{
		{"latency", "--json", none}, {"latency", "--hist", none}, {"loss", "--sweep", "--out", none}, {"--json", none},
		{"compare", "--json", none}, {"scale", "--json", none}, {"order", "--json", none}, {"doctor", "--json", none},
	} {
		began := time.Now()
		code, stdout, stderr := bench(t, append(args, "--duration", "30s")...)
		if args[0] == "doctor" {
			code, stdout, stderr = bench(t, args...)
		}
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, "no such file") || time.Since(began) > 15*time.Second {
			t.Errorf("%v: exit %d after %v, %q, %q", args, code, time.Since(began), stdout, stderr)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	j, h := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.hgrm")
	code, stdout, stderr := bench(t, "latency", "--duration", "50ms", "--json", j, "--hist", h)
	if code != exitOK || !strings.Contains(stdout, "round trip") || !strings.Contains(stdout, "0 lost") {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	b, err := os.ReadFile(j)
	if err != nil || !json.Valid(b) {
		t.Errorf("%v: %s", err, b)
	}
	if b, err = os.ReadFile(h); err != nil || !bytes.Contains(b, []byte("#[Mean")) {
		t.Errorf("%v: %s", err, b)
	}
	if code, _, stderr = bench(t, "latency", "--duration", "50ms", "--json", dir); code != exitFailed || !strings.Contains(stderr, dir) {
		t.Errorf("a directory as --json: exit %d, %s", code, stderr)
	}
}

func TestTour(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("raw needs Linux")
	}
	code, stdout, stderr := bench(t, "--duration", "150ms")
	if code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	for _, s := range steps {
		if !strings.Contains(stdout, s.title) {
			t.Errorf("the table lacks %q:\n%s", s.title, stdout)
		}
	}
	if !strings.Contains(stdout, "exactly once, in order and intact") || strings.Contains(stdout, "NOT") {
		t.Errorf("no verdict:\n%s", stdout)
	}
}

// start runs blazebench as a process of its own and waits until it has n receivers.
func start(t *testing.T, n int, args ...string) (cmd *exec.Cmd, receivers []int, stderr *bytes.Buffer) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("finds receivers in /proc")
	}
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "BLAZEBENCH_TEST_MAIN=1")
	stderr = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = new(bytes.Buffer), stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if receivers = children(cmd.Process.Pid); len(receivers) == n {
			return cmd, receivers, stderr
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d receivers after 10 s, want %d: %s", len(receivers), n, stderr)
		}
	}
}

// children lists the receivers that any thread of pid started.
func children(pid int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			var n int
			_, err := fmt.Sscan(s, &n)
			cmdline, _ := os.ReadFile("/proc/" + s + "/cmdline")
			if err == nil && bytes.Contains(cmdline, []byte(receiverArg)) {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// awaitExit waits for a process that has no reason to go on.
func awaitExit(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	slow := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) }) // Go prints its stacks
	_ = cmd.Wait()
	if !slow.Stop() {
		t.Fatalf("still running after 20 s:\n%s", cmd.Stderr)
	}
}

func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			_, state, _ := strings.Cut(string(b), ") ")
			if err != nil || strings.HasPrefix(state, "Z") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("receiver %d is still there", pid)
			}
		}
	}
}

func TestInterruptReapsReceivers(t *testing.T) {
	cmd, receivers, stderr := start(t, 2, "throughput", "--duration", "1m", "--receivers", "2")
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	awaitExit(t, cmd)
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	awaitGone(t, receivers)
}

// A tour that is interrupted shows what it has measured, and says that it is a part.
func TestInterruptedTourShowsItsPart(t *testing.T) {
	cmd, first, stderr := start(t, 1, "--duration", "200ms")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) { // until a second step has begun
		if now := children(cmd.Process.Pid); len(now) == 1 && now[0] != first[0] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the first step does not end: %s", stderr)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	awaitExit(t, cmd)
	stdout := cmd.Stdout.(*bytes.Buffer).String()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(stdout, steps[0].title) || !strings.Contains(stdout, "Interrupted: ") || strings.Contains(stdout, steps[len(steps)-1].title) {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestKillTakesReceiversAlong(t *testing.T) {
	cmd, receivers, _ := start(t, 1, "latency", "--duration", "1m")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	awaitGone(t, receivers)
}

func TestReceiverThatDiesEndsTheRun(t *testing.T) {
	cmd, receivers, stderr := start(t, 1, "throughput", "--duration", "1m")
	p, err := os.FindProcess(receivers[0])
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Kill()
	awaitExit(t, cmd)
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(stderr.String(), "ended early") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestPrinting(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{ns(999), "999 ns"}, {ns(1000), "1.00 µs"}, {ns(12_345), "12.3 µs"}, {ns(123_456), "123 µs"},
		{ns(5_000_000), "5.00 ms"}, {ns(1_500_000_000), "1.50 s"}, {ns(0), "0 ns"},
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(1234567), "1,234,567"},
		{plural(1, "receiver"), "1 receiver"}, {plural(2, "receiver"), "2 receivers"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
