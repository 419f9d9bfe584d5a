package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
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
func load(t testing.TB, cfg Config, askLength bool) *Filter {
	t.Helper()
	if !askLength && !capable(unix.CAP_PERFMON) {
		t.Skip("CAP_PERFMON is missing")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f, err := loadAs(cfg, askLength)
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
	return load(t, cfg, !capable(unix.CAP_PERFMON)), cfg
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

// judged gives the program b and holds it to one counter, one more, and the verdict that goes
// with it.
func judged(t *testing.T, f *Filter, b []byte, want string) {
	t.Helper()
	before := f.Counters()
	got := run(t, f, b)
	verdict := uint32(xdpPass)
	switch want {
	case "Group", "Unicast":
		verdict = xdpRedirect
	case "Dropped":
		verdict = xdpDrop
	}
	if counted := change(before, f.Counters()); got != verdict || counted != want+"+1" {
		t.Errorf("verdict %d, counted %s; want %d and %s+1\n% x", got, counted, verdict, want, b)
	}
}

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

// The table, with the program as it is with CAP_PERFMON and as it is without.
func TestPackets(t *testing.T) {
	t.Run("subtracts", func(t *testing.T) { testPackets(t, false) })
	t.Run("asks", func(t *testing.T) { testPackets(t, true) })
}

func testPackets(t *testing.T, askLength bool) {
	cfg := Config{Group: testGroup, Unicast: testUnicast, Cluster: testCluster, FrameBytes: DefaultFrameBytes,
		Lanes: [][2]uint32{{0, 0}, {2, 2}, {63, 63}, {64, 64}, {65535, 65535}}}
	f := load(t, cfg, askLength)
	register(t, f)

	const (
		c8021q  = 0x8100 << 16
		c8021ad = 0x88a8 << 16
	)
	plain := toGroup(testCluster, testStream)
	unicast := packet{to: testUnicast, payload: datagram(testCluster, 2<<24|7)}
	b := plain.bytes()
	tagged := func(tags ...uint32) []byte { p := plain; p.tags = tags; return p.bytes() }
	to := func(a string) []byte { p := plain; p.to = netip.MustParseAddrPort(a); return p.bytes() }
	payload := func(d []byte) []byte { p := plain; p.payload = d; return p.bytes() }
	stream := func(s uint32) []byte { return toGroup(testCluster, s).bytes() }
	empty := with(payload(nil), 0)
	twoTags := tagged(c8021ad|5, c8021q|6)

	for _, row := range []struct {
		name string
		b    []byte
		want string
	}{
		{"a datagram to the group", b, "Group"},
		{"and to the member", unicast.bytes(), "Unicast"},
		{"behind a VLAN tag", tagged(c8021q | 5), "Group"},
		{"with a priority", tagged(c8021q | 0xe000 | 5), "Group"},
		{"behind a service tag", tagged(c8021ad | 5), "Group"},
		{"behind two", twoTags, "Group"},
		{"behind two alike", tagged(c8021q|5, c8021q|6), "Group"},
		{"behind three", tagged(c8021ad|5, c8021q|6, c8021q|7), "EtherType"},
		{"behind a tag, cut in the tag", twoTags[:16], "Malformed"},
		{"behind two, cut in the second", twoTags[:20], "Malformed"},
		{"behind two, cut before IPv4", twoTags[:22], "Malformed"},
		{"a tag with nothing it knows", with(tagged(c8021q|5), 16, 0x88, 0xcc), "EtherType"},
		{"padded to the shortest Ethernet frame, and further", append(with(b, 0), make([]byte, 40)...), "Group"},
		{"of the sender's choice of ToS, id, TTL and checksum", with(with(b, atIP+1, 0xb8), atIP+4, 9, 9, 0x40, 0, 255, 17, 0xff, 0xff), "Group"},
		{"without don't-fragment", with(b, atIP+6, 0, 0), "Group"},
		{"with the reserved flag", with(b, atIP+6, 0x80, 0), "Group"},
		{"with nothing behind the header", payload(datagram(testCluster, testStream)[:47]), "Group"},

		{"another group", to("239.7.7.8:45000"), "Other"},
		{"another group with the same Ethernet address", to("224.135.7.7:45000"), "Other"},
		{"another port", to("239.7.7.7:45001"), "Other"},
		{"the group's address with the member's port", to("239.7.7.7:45001"), "Other"},
		{"another host", to("10.9.0.3:45001"), "Other"},
		{"the member's host, another port", to("10.9.0.1:22"), "Other"},
		{"nowhere", to("0.0.0.0:0"), "Other"},
		{"everybody", to("255.255.255.255:65535"), "Other"},

		{"another cluster", toGroup(testCluster+1, testStream).bytes(), "Cluster"},
		{"a cluster that differs in its last byte", toGroup(testCluster^1<<63, testStream).bytes(), "Cluster"},
		{"another cluster, by unicast", packet{to: testUnicast, payload: datagram(1, testStream)}.bytes(), "Cluster"},
		{"another version", with(b, atPayload+1, 2), "Version"},
		{"a version that differs in its last byte", with(b, atPayload+4, 1), "Version"},
		{"another version of another cluster", with(toGroup(1, testStream).bytes(), atPayload+1, 2), "Version"},

		{"lane 0", stream(2 << 24), "Group"},
		{"lane 1", stream(2<<24 | 1), "Lane"},
		{"lane 63", stream(2<<24 | 63), "Group"},
		{"lane 64, the next word's first", stream(2<<24 | 64), "Group"},
		{"lane 65", stream(2<<24 | 65), "Lane"},
		{"lane 66, bit 2 of the next word", stream(2<<24 | 66), "Lane"},
		{"lane 65534", stream(2<<24 | 65534), "Lane"},
		{"lane 65535", stream(2<<24 | 65535), "Group"},
		{"the lane under another protocol", stream(5<<24 | 2), "Group"},
		{"bits 16 to 23 are none of the lane's", stream(2<<24 | 0xff<<16 | 2), "Group"},
		{"an unwanted lane, by unicast", unicast.bytes(), "Unicast"},

		{"no version first", with(b, atPayload, 0x11), "Layout"},
		{"no cluster second", with(b, atPayload+5, 0x12), "Layout"},
		{"no CRC third", with(b, atPayload+14, 0x15), "Layout"},
		{"no stream at its place", with(b, atPayload+42, 0x3d), "Layout"},
		{"the fields in another order", payload(slices.Concat(datagram(testCluster, testStream)[42:47], datagram(testCluster, testStream)[:42])), "Layout"},
		{"46 bytes", payload(datagram(testCluster, testStream)[:46]), "Layout"},
		{"46 bytes and padding that goes on like a header", append(payload(datagram(testCluster, testStream)[:46]), make([]byte, 20)...), "Layout"},
		{"no payload", empty, "Layout"},
		{"something else", payload([]byte("M-SEARCH * HTTP/1.1")), "Layout"},
		{"something else of the right length", payload(make([]byte, 60)), "Layout"},

		{"the first fragment", with(b, atIP+6, 0x20, 0), "Fragment"},
		{"a later fragment", with(b, atIP+6, 0x20, 1), "Fragment"},
		{"the last fragment", with(b, atIP+6, 0, 1), "Fragment"},
		{"the farthest fragment", with(b, atIP+6, 0x1f, 0xff), "Fragment"},
		{"options of 4 bytes", with(b, atIP, 0x46), "Options"},
		{"options of 40 bytes", with(b, atIP, 0x4f), "Options"},
		{"a header of 4 words", with(b, atIP, 0x44), "Malformed"},
		{"a header of none", with(b, atIP, 0x40), "Malformed"},
		{"IPv4 that says it is IPv6", with(b, atIP, 0x65), "Malformed"},
		{"and IPv5", with(b, atIP, 0x55), "Malformed"},
		{"and nothing", with(b, atIP, 0), "Malformed"},
		{"TCP", with(b, atIP+9, 6), "NotUDP"},
		{"ICMP", with(b, atIP+9, 1), "NotUDP"},
		{"IGMP", with(b, atIP+9, 2), "NotUDP"},

		{"IPv4 longer than the packet", with(b, atIP+2, be16(20+8+len(plain.payload)+1)...), "Length"},
		{"IPv4 and UDP longer than the packet", with(with(b, atIP+2, be16(20+8+len(plain.payload)+1)...), atUDP+4, be16(8+len(plain.payload)+1)...), "Length"},
		{"IPv4 and UDP as long as can be", with(with(b, atIP+2, 0xff, 0xff), atUDP+4, be16(65515)...), "Length"},
		{"IPv4 shorter than its header", with(b, atIP+2, be16(19)...), "Length"},
		{"IPv4 of no bytes", with(b, atIP+2, 0, 0), "Length"},
		{"UDP longer than IPv4", with(b, atUDP+4, be16(8+len(plain.payload)+1)...), "Length"},
		{"UDP shorter than IPv4: legal, and for the kernel", with(b, atUDP+4, be16(8+len(plain.payload)-1)...), "Length"},
		{"UDP shorter than its header", with(b, atUDP+4, be16(7)...), "Length"},
		{"the same, and IPv4 agrees", with(with(b, atIP+2, be16(27)...), atUDP+4, be16(7)...), "Length"},
		{"UDP of no bytes", with(b, atUDP+4, 0, 0), "Length"},
		{"IPv4 and UDP shorter than the packet", with(with(b, atIP+2, be16(20+8+47)...), atUDP+4, be16(8+47)...), "Group"},

		{"as long as a buffer holds", payload(append(datagram(testCluster, testStream), make([]byte, DefaultFrameBytes-atPayload-len(plain.payload))...)), "Group"},
		{"one byte longer", payload(append(datagram(testCluster, testStream), make([]byte, DefaultFrameBytes-atPayload-len(plain.payload)+1)...)), "Oversize"},
		{"3,500 bytes", payload(append(datagram(testCluster, testStream), make([]byte, 3500-atPayload-len(plain.payload))...)), "Oversize"},
		{"long padding", append(with(b, 0), make([]byte, DefaultFrameBytes)...), "Oversize"},
		{"long, and not ours", with(append(with(b, 0), make([]byte, DefaultFrameBytes)...), atUDP+2, 0, 1), "Other"},

		{"IPv6", with(b, 12, 0x86, 0xdd), "IPv6"},
		{"IPv6 of no bytes", with(b, 12, 0x86, 0xdd)[:14], "IPv6"},
		{"ARP", with(b, 12, 8, 6), "EtherType"},
		{"LLDP", with(b, 12, 0x88, 0xcc), "EtherType"},
		{"an 802.3 length", with(b, 12, 0, 60), "EtherType"},
		{"zeros", make([]byte, 60), "EtherType"},
		{"a runt", b[:14], "Malformed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if m := model(cfg, row.b); m != row.want {
				t.Fatalf("the model of the filter counts %s, this table %s", m, row.want)
			}
			judged(t, f, row.b, row.want)
		})
	}
	if c := f.Counters(); c.Redirected() != c.Group+c.Unicast || c.Redirected() == 0 || c.Passed() == 0 {
		t.Errorf("sums: %+v", c)
	}
}

// A packet that ends early is never redirected, wherever it ends and however many tags it has.
func TestTruncated(t *testing.T) {
	f, cfg := loadTest(t, nil)
	register(t, f)
	for _, tags := range [][]uint32{nil, {0x81000005}, {0x88a80005, 0x81000006}} {
		p := toGroup(testCluster, testStream)
		p.tags = tags
		b := p.bytes()
		for n := 14; n < len(b); n++ {
			want := model(cfg, b[:n])
			if n < 14+4*len(tags)+28 && want != "Malformed" || n >= 14+4*len(tags)+28 && want != "Length" {
				t.Errorf("%d tags, %d bytes: the model says %s", len(tags), n, want)
			}
			judged(t, f, b[:n], want)
		}
		judged(t, f, b, "Group")

		// The same with lengths that agree with what is left.
		head := 14 + 4*len(tags)
		for n := head + 28; n < len(b); n++ {
			c := with(with(b[:n], head+2, be16(n-head)...), head+24, be16(n-head-20)...)
			want := "Layout"
			if n >= head+28+47 {
				want = "Group"
			}
			judged(t, f, c, want)
		}
	}
}

func TestEmptyFilter(t *testing.T) {
	f := load(t, Config{}, !capable(unix.CAP_PERFMON))
	register(t, f)
	judged(t, f, toGroup(0, 0).bytes(), "Other")
	judged(t, f, packet{to: testUnicast, payload: datagram(0, 0)}.bytes(), "Other")
	judged(t, f, packet{to: netip.MustParseAddrPort("0.0.0.0:0"), payload: datagram(0, 0)}.bytes(), "Other")
}

func TestSockets(t *testing.T) {
	f, _ := loadTest(t, func(c *Config) { c.Queues = 2 })
	b := toGroup(testCluster, testStream).bytes()

	judged(t, f, b, "NoSocket")
	fd := xsk(t)
	if err := f.Register(1, fd); err != nil {
		t.Fatal(err)
	}
	judged(t, f, b, "NoSocket") // the packet comes through queue 0
	if err := f.Register(0, fd); err != nil {
		t.Fatal(err)
	}
	judged(t, f, b, "Group")
	for range 2 { // the second time there is nothing to do
		if err := f.Unregister(0); err != nil {
			t.Fatal(err)
		}
		judged(t, f, b, "NoSocket")
	}

	// A socket that is closed leaves by itself: a crashed driver loses no packets.
	register(t, f)
	judged(t, f, b, "Group")
	other, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(other, unix.SOL_XDP, unix.XDP_RX_RING, 64); err != nil {
		t.Fatal(err)
	}
	if err := f.Register(0, other); err != nil {
		t.Fatal(err)
	}
	judged(t, f, b, "Group")
	unix.Close(other)
	judged(t, f, b, "NoSocket")

	for _, queue := range []int{-1, 2} {
		if err := f.Register(queue, fd); !errors.Is(err, ErrConfig) {
			t.Errorf("register queue %d: %v", queue, err)
		}
		if err := f.Unregister(queue); !errors.Is(err, ErrConfig) {
			t.Errorf("unregister queue %d: %v", queue, err)
		}
	}
	if err := f.Register(0, 0); err == nil || !strings.Contains(err.Error(), "register the socket of queue 0") {
		t.Errorf("register of what is no AF_XDP socket: %v", err)
	}
}

// The queue that counts is the one that the packet came through.
func TestQueueOutsideTheMap(t *testing.T) {
	inNamespace(t, func() {
		command(t, "ip", "link", "add", "left", "numrxqueues", "2", "numtxqueues", "2", "type", "veth", "peer", "name", "right")
		f, _ := loadTest(t, nil)
		register(t, f)
		b := toGroup(testCluster, testStream).bytes()
		left := index(t, "left")
		for queue, want := range map[uint32]string{0: "Group", 1: "NoSocket"} {
			before := f.Counters()
			_, err := f.Program().Run(&ebpf.RunOptions{Data: b, Context: &xdpMD{
				DataEnd: uint32(len(b)), IngressIfindex: uint32(left), RxQueueIndex: queue}})
			if err != nil {
				t.Fatal(err)
			}
			if counted := change(before, f.Counters()); counted != want+"+1" {
				t.Errorf("queue %d: counted %s, want %s+1", queue, counted, want)
			}
		}
	})
}

// xdpMD is the program's context (struct xdp_md).
type xdpMD struct {
	Data, DataEnd, DataMeta, IngressIfindex, RxQueueIndex, EgressIfindex uint32
}

func TestBreakdown(t *testing.T) {
	f, _ := loadTest(t, func(c *Config) { c.Breakdown = true })
	register(t, f)
	stamp := func(b []byte) (before, got, after int64, out []byte) {
		t.Helper()
		var md xdpMD
		out = make([]byte, len(b)+64)
		before = monotonic(t)
		verdict, err := f.Program().Run(&ebpf.RunOptions{Data: b, DataOut: out, Context: &xdpMD{DataEnd: uint32(len(b))}, ContextOut: &md})
		after = monotonic(t)
		if err != nil {
			t.Fatal(err)
		}
		if verdict != xdpRedirect {
			return before, 0, after, out[:md.DataEnd]
		}
		if md.DataMeta != 0 || md.Data != 8 {
			t.Fatalf("metadata of %d bytes", md.Data-md.DataMeta)
		}
		return before, int64(binary.NativeEndian.Uint64(out)), after, out[8:md.DataEnd]
	}
	b := toGroup(testCluster, testStream).bytes()
	before, got, after, out := stamp(b)
	if got < before || got > after {
		t.Errorf("stamped %d, which is not between %d and %d", got, before, after)
	}
	if !slices.Equal(out, b) {
		t.Errorf("the packet changed\n% x\n% x", out, b)
	}
	if _, got, _, out = stamp(with(b, atUDP+2, 0, 1)); got != 0 || len(out) != len(b) {
		t.Error("a packet that is passed was stamped")
	}
	if c := f.Counters(); c.NoMetadata != 0 {
		t.Errorf("counted %d packets without metadata", c.NoMetadata)
	}
}

func monotonic(t *testing.T) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func TestLoss(t *testing.T) {
	b := toGroup(testCluster, testStream).bytes()
	other := with(b, atUDP+2, 0, 1)
	// pattern runs n packets on one CPU, since each has draws of its own.
	pattern := func(loss float64, seed uint64, n int) (dropped []bool, sum int) {
		t.Helper()
		f, _ := loadTest(t, func(c *Config) { c.Loss, c.Seed = loss, seed })
		register(t, f)
		defer pin(t, 0)()
		for i := range n {
			if i%5 == 0 {
				judged(t, f, other, "Other") // draws nothing
			}
			d := run(t, f, b) == xdpDrop
			dropped = append(dropped, d)
			if d {
				sum++
			}
		}
		if c := f.Counters(); c.Dropped != uint64(sum) || c.Group != uint64(n-sum) {
			t.Errorf("%d of %d were dropped, counted %+v", sum, n, c)
		}
		return dropped, sum
	}
	const n = 4000
	first, sum := pattern(0.1, 1, n)
	if sum < 300 || sum > 500 { // 400 and five standard deviations
		t.Errorf("a loss of 10 %% dropped %d of %d", sum, n)
	}
	if again, _ := pattern(0.1, 1, n); !slices.Equal(first, again) {
		t.Error("the same seed drops others")
	}
	if another, _ := pattern(0.1, 2, n); slices.Equal(first, another) {
		t.Error("another seed drops the same")
	}
	if _, sum := pattern(1, 1, 100); sum != 100 {
		t.Errorf("a loss of 1 dropped %d of 100", sum)
	}
	if _, sum := pattern(0, 1, 100); sum != 0 {
		t.Errorf("no loss dropped %d of 100", sum)
	}
}

// pin keeps the calling goroutine on one CPU until the function that it returns is called.
func pin(t *testing.T, cpu int) (undo func()) {
	t.Helper()
	runtime.LockOSThread()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skipf("no CPU %d: %v", cpu, err)
	}
	return func() {
		unix.SchedSetaffinity(0, &old)
		runtime.UnlockOSThread()
	}
}

// Counts of all CPUs add up, and none is lost between them.
func TestCountersOfAllCPUs(t *testing.T) {
	f, _ := loadTest(t, nil)
	register(t, f)
	b := toGroup(testCluster, testStream).bytes()
	const each = 500
	cpus := min(runtime.NumCPU(), 8)
	var wait sync.WaitGroup
	for cpu := range cpus {
		wait.Go(func() {
			defer pin(t, cpu)()
			for range each { // Repeat would run it again after a signal
				if _, err := f.Program().Run(&ebpf.RunOptions{Data: b}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	if c := f.Counters(); c != (Counters{Group: uint64(cpus * each)}) {
		t.Errorf("%d times %d datagrams were counted as %+v", cpus, each, c)
	}
	if n := testing.AllocsPerRun(100, func() { f.Counters() }); n != 0 {
		t.Errorf("Counters allocates %v times", n)
	}
}

func TestClose(t *testing.T) {
	f, _ := loadTest(t, nil)
	run(t, f, toGroup(testCluster, testStream).bytes())
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if c := f.Counters(); c != (Counters{NoSocket: 1}) {
		t.Errorf("after Close: %+v", c)
	}
	for name, err := range map[string]error{
		"Attach": f.Attach(1, Generic), "Register": f.Register(0, 0), "Unregister": f.Unregister(0),
		"SetGroup": f.SetGroup(testGroup), "SetUnicast": f.SetUnicast(testUnicast),
		"SetCluster": f.SetCluster(1), "SetLanes": f.SetLanes(nil), "SetVLAN": f.SetVLAN(nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := f.Detach(); err != nil || f.Attached() != 0 {
		t.Errorf("Detach after Close: %v", err)
	}
}

// FuzzPacket holds the program to the model, for any bytes: one counter, its verdict, nothing
// aborted.
func FuzzPacket(f *testing.F) {
	group := toGroup(testCluster, testStream)
	f.Add(group.bytes())
	f.Add(packet{to: testUnicast, payload: datagram(testCluster, 2)}.bytes())
	group.tags = []uint32{0x88a80005, 0x81000006}
	f.Add(group.bytes())
	f.Add(make([]byte, 60))
	filter, cfg := loadTest(f, func(c *Config) { c.Lanes = [][2]uint32{{2, 2}} })
	register(f, filter)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 14 || len(b) > 3500 { // what the kernel takes for a test run
			t.Skip()
		}
		judged(t, filter, b, model(cfg, b))
	})
}

// Random damage to packets that are for us, which reaches deeper than random bytes.
func TestDamaged(t *testing.T) {
	f, cfg := loadTest(t, func(c *Config) { c.Lanes, c.VLAN = [][2]uint32{{2, 2}, {3, 3}}, []uint16{5} })
	register(t, f)
	rounds := 20000
	if testing.Short() {
		rounds = 3000
	}
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[string]int{}
	for range rounds {
		p := toGroup(testCluster, testStream)
		if r.IntN(4) == 0 {
			p.to = testUnicast
		}
		for range r.IntN(4) {
			p.tags = append(p.tags, 0x81000000|uint32(r.IntN(3)*5))
		}
		b := append(p.bytes(), make([]byte, r.IntN(8))...)
		for range r.IntN(4) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		if r.IntN(4) == 0 {
			b = b[:14+r.IntN(len(b)-14)]
		}
		want := model(cfg, b)
		seen[want]++
		judged(t, f, b, want)
	}
	for _, reason := range []string{"Group", "Unicast", "Lane", "VLAN", "Cluster", "Layout", "Length", "Other", "Malformed", "EtherType"} {
		if seen[reason] == 0 {
			t.Errorf("no packet was damaged so that it counts as %s: %v", reason, seen)
		}
	}
}

// BenchmarkProgram is what the program costs each packet, without the driver around it: loaded
// with CAP_PERFMON, and without, where the verifier also guards it against speculation.
func BenchmarkProgram(b *testing.B) {
	packets := []struct {
		name  string
		bytes []byte
	}{{"group", nil}, {"tcp", nil}, {"arp", nil}}
	group := toGroup(testCluster, testStream).bytes()
	packets[0].bytes, packets[1].bytes, packets[2].bytes = group, with(group, atIP+9, 6), with(group, 12, 8, 6)
	for _, perfmon := range []bool{true, false} {
		inNamespace(b, func() {
			if !perfmon {
				keepCapabilities(b, 1<<unix.CAP_BPF|1<<unix.CAP_NET_ADMIN|1<<unix.CAP_NET_RAW)
			}
			f, _ := loadTest(b, nil)
			register(b, f)
			for _, p := range packets {
				b.Run(fmt.Sprintf("%s/perfmon=%v", p.name, perfmon), func(b *testing.B) {
					if _, err := f.Program().Run(&ebpf.RunOptions{Data: p.bytes, Repeat: uint32(b.N)}); err != nil {
						b.Fatal(err)
					}
				})
			}
		})
	}
}
