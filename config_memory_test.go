package blaze

import (
	"math/bits"
	"testing"

	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/ring"
)

func TestMemoryBudget(t *testing.T) {
	base := Config{}.MemoryBudget()
	if base < 5*defaultWindow || base > 100<<20 {
		t.Errorf("the default budget is %d bytes; expected are five windows of 8 MiB and some", base)
	}
	rows := []struct {
		why  string
		cfg  Config
		more int64 // than base, at least
	}{
		{"a lane has a window and a command ring", Config{Lanes: 2}, defaultWindow + minCommandRing},
		{"so has a second protocol", Config{Topics: []TopicConfig{{Pattern: "a", Protocol: BestEffort}}}, defaultWindow + minCommandRing},
		{"repair symbols and blocks", Config{Protocol: Hybrid}, 4 << 20},
		{"windows", Config{Window: 16 << 20}, 5 * (8 << 20)},
		{"large messages", Config{MaxMessageSize: 4 << 20}, 2 * (3 << 20)},
		{"the ring of a cluster, what a learner keeps, recent operations, events of slow watchers", Config{clustered: true}, 5*(16<<20) + 4096*1472 + (256+64+64)<<20},
		{"small packets make more buffers", Config{BroadcastURI: "udp://239.1.1.1:1?mtu=576"}, 1},
	}
	for _, row := range rows {
		if got := row.cfg.MemoryBudget() - base; got < row.more {
			t.Errorf("%s: %d bytes more, want at least %d", row.why, got, row.more)
		}
	}
	// The same protocol twice is the same stream; with an Invoker there is no command ring.
	if got := (Config{Topics: []TopicConfig{{Pattern: "a"}, {Pattern: "b"}}}).MemoryBudget(); got != base {
		t.Errorf("topics under the default protocol change the budget from %d to %d", base, got)
	}
	if got := (Config{Invoker: true}).MemoryBudget(); got > base-minCommandRing {
		t.Errorf("with an Invoker the budget is %d, without %d", got, base)
	}
}

func TestCommandQueueTakesTheLargestMessage(t *testing.T) {
	for _, size := range []int{1, 1000, 512<<10 - 1, 512 << 10, 1<<20 - 300, 1 << 20, 8 << 20} {
		cfg := Config{MaxMessageSize: size}.withDefaults()
		n := cfg.commandQueue()
		if bits.OnesCount(uint(n)) != 1 || n < minCommandRing {
			t.Errorf("MaxMessageSize %d: a ring of %d bytes is no power of two, or too small", size, n)
		}
		if room := ring.NewBytes(n).MaxRecord(); room < size+255 {
			t.Errorf("MaxMessageSize %d: a ring of %d bytes takes %d, less than a topic and the message", size, n, room)
		}
	}
}

// Over AF_XDP packet memory is made of the kernel's buffers, and the driver's rings hold some more.
func TestMemoryBudgetOverXDP(t *testing.T) {
	budget := func(uri string, window int) int64 { return Config{BroadcastURI: uri, Window: window}.MemoryBudget() }
	const xdpURI, autoURI = "xdp://239.1.1.1:1?interface=eth0", "auto://239.1.1.1:1?interface=eth0"
	for _, window := range []int{1 << 20, 64 << 20} {
		c := Config{Window: window}.withDefaults()
		packets := int64(c.poolBuffers(defaultMTU-ipHeaders)+4096+2048) * 2048
		topics := c.memory(defaultMTU - ipHeaders).topics
		if got := budget(xdpURI, window) - topics; got < packets || got > packets*4/3+(16<<20) {
			t.Errorf("window %d: %d bytes, of which %d are packet memory", window, got, packets)
		}
		if got, want := budget(autoURI, window), max(budget("", window), budget(xdpURI, window)); got != want {
			t.Errorf("window %d: auto counts %d bytes, want %d", window, got, want)
		}
	}
	if small, large := budget(xdpURI+"&mtu=1500", 0), budget(xdpURI+"&mtu=3000", 0); large == small {
		t.Error("the size of packets does not matter")
	}
	// An engine for each further queue has four windows of its own and a fill ring; with an Invoker there
	// are only the fill rings.
	one, four := budget(xdpURI, 0), budget(xdpURI+"&queues=4", 0)
	if each := (four-one)/3 - member.MaxCachedTopics*member.TopicBytes; each < 4*defaultWindow+4096*2048 || each > 7*defaultWindow+4096*2048+(7<<20) {
		t.Errorf("one queue takes %d bytes, four take %d: %d for each", one, four, each)
	}
	turned := Config{Invoker: true, BroadcastURI: xdpURI + "&queues=4"}.MemoryBudget() - Config{Invoker: true, BroadcastURI: xdpURI}.MemoryBudget()
	if turned < 3*4096*2048 || turned > 4*4096*2048 {
		t.Errorf("three more queues take %d bytes with an Invoker", turned)
	}
}

// What Init allocates is what MemoryBudget says: sockets apart, the sizes come from one place.
func TestBudgetCoversTheBuffers(t *testing.T) {
	cfg := Config{Lanes: 3, Topics: []TopicConfig{{Pattern: "a", Protocol: BestEffort}}}.withDefaults()
	const datagram = defaultMTU - ipHeaders
	packets := int64(cfg.poolBuffers(datagram)) * int64(bufferSize(datagram))
	if windows := int64(3*2+reorderWindows) * int64(cfg.Window); packets < windows {
		t.Errorf("%d bytes of packet memory do not hold %d of windows", packets, windows)
	}
	if budget := cfg.MemoryBudget(); budget < packets+6*int64(cfg.commandQueue()) {
		t.Errorf("a budget of %d bytes does not cover %d of packet memory and six command rings", budget, packets)
	}
}
