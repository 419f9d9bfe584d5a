package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The program's verdicts (enum xdp_action).
const (
	xdpDrop     = 1
	xdpPass     = 2
	xdpRedirect = 4
)

// load loads a filter for the test, or skips it with one line that says what is missing.
func load(t testing.TB, cfg Config) *Filter {
	t.Helper()
	f, err := Load(cfg)
	if errors.Is(err, ErrPrivilege) || errors.Is(err, ErrNotSupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

// loadTest loads the filter that the packets of these tests are for.
func loadTest(t testing.TB, change func(*Config)) (*Filter, Config) {
	t.Helper()
	cfg := Config{Group: testGroup, Unicast: testUnicast, Cluster: testCluster, FrameBytes: DefaultFrameBytes}
	if change != nil {
		change(&cfg)
	}
	return load(t, cfg), cfg
}

// run gives the program one packet, as if it came through queue 0 of the loopback interface.
func run(t testing.TB, f *Filter, b []byte) uint32 {
	t.Helper()
	verdict, err := f.Program().Run(&ebpf.RunOptions{Data: b})
	if err != nil {
		t.Fatalf("test run with %d bytes: %v", len(b), err)
	}
	return verdict
}

// register gives queue 0 a socket: it has an RX ring and memory, and is bound to nothing, which
// is all that a redirect in a test run needs.
func register(t testing.TB, f *Filter) (fd int) {
	t.Helper()
	fd = xsk(t)
	if err := f.Register(0, fd); err != nil {
		t.Fatal(err)
	}
	return fd
}

func xsk(t testing.TB) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no AF_XDP socket: %v (CONFIG_XDP_SOCKETS and CAP_NET_RAW are needed)", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_RX_RING, 64); err != nil {
		t.Fatal(err)
	}
	return fd
}

// change is which counters differ, in words: "Group+1 NoMetadata+1".
func change(before, after Counters) string {
	var words []string
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		if d := a.Field(i).Uint() - b.Field(i).Uint(); d != 0 {
			words = append(words, fmt.Sprintf("%s+%d", b.Type().Field(i).Name, d))
		}
	}
	return strings.Join(words, " ")
}

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func TestSmoke(t *testing.T) {
	f, _ := loadTest(t, nil)
	b := toGroup(testCluster, testStream).bytes()
	t.Log(run(t, f, b), change(Counters{}, f.Counters()))
	register(t, f)
	t.Log(run(t, f, b), change(Counters{}, f.Counters()))
}
