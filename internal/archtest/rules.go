// Package archtest reads the module's source and reports where it leaves the architecture:
// imports, clocks that are read, random numbers that are drawn. The table below is the
// architecture's rules 1, 3, 4 and 8 in a form that a test can check, so that they need not
// be remembered. Tests (_test.go) may do as they like.
package archtest

// Module is this module's path.
const Module = "github.com/activeblaze/blaze"

// Rule is what holds for one folder and for all below it that have no rule of their own.
type Rule struct {
	Dir string // from the module's root; "." is the root package alone

	// Uses lists the folders of this module, with those below them, that Dir may import
	// besides itself. Whatever is not listed is forbidden: arrows point down only.
	Uses []string

	// Core: a state machine that is stepped. It does no I/O, starts no goroutine, takes no
	// lock, waits for nothing and keeps no log (coreImports); and it is Seeded.
	Core bool

	// Seeded: a seed replays it. It draws random numbers only from a *rand.Rand that it was
	// given or made from a seed, and it sets no timers.
	Seeded bool

	// Clock: it may ask what time it is. To all others, time is an argument.
	Clock bool
}

// Folders that rules name often: a layer with all layers below it.
var (
	bottom = []string{"wire", "buf", "ring", "clock"}
	shared = join(bottom, "internal/core")
	fec    = join(shared, "fec")
	nack   = join(fec, "nack")
	group  = join(nack, "totem", "group")
	cores  = join(group, "cluster", "internal/trie")
	all    = []string{"."} // the root, and every folder
)

// Rules is the architecture, from the bottom up.
var Rules = []Rule{
	// What the parts agree on. They use nothing.
	{Dir: "clock", Seeded: true},
	{Dir: "wire", Seeded: true},
	{Dir: "buf", Seeded: true},
	{Dir: "ring", Seeded: true},

	// Protocol cores: group → totem, nack → fec, and cluster, which is given a ring. They use neither the engine,
	// which calls them, nor any driver.
	{Dir: "internal/core", Uses: bottom, Core: true},
	{Dir: "fec", Uses: shared, Core: true},
	{Dir: "nack", Uses: fec, Core: true},
	{Dir: "totem", Uses: shared, Core: true},
	{Dir: "group", Uses: join(nack, "totem"), Core: true},
	{Dir: "internal/trie", Uses: []string{"wire", "clock"}, Core: true},
	{Dir: "cluster", Uses: join(shared, "internal/trie"), Core: true},
	// The disk behind the interface that cluster declares.
	{Dir: "store", Uses: []string{"wire", "cluster"}, Clock: true},

	// The language of message selectors: a text and a lookup, of which replicas decide alike.
	{Dir: "selector", Core: true},

	// The queues of the JMS-style API, as state machines: what holders keep of them, and a client's half.
	{Dir: "jms/held", Uses: []string{"selector", "internal/pb", "internal/topic"}, Core: true},
	{Dir: "jms/link", Uses: []string{"clock", "jms/held"}, Core: true},

	// The engine uses interfaces, not drivers or protocols.
	{Dir: "engine", Uses: bottom, Clock: true},

	// Drivers use no protocol, and satisfy the engine's interface without importing it.
	{Dir: "udp", Uses: join(bottom, "internal/iface", "internal/iflock", "internal/ip4", "internal/oversize", "internal/sleep"), Clock: true},
	{Dir: "xdp", Uses: join(bottom, "bpf", "internal/iface", "internal/iflock", "internal/ip4", "internal/oversize", "internal/pages", "internal/sleep", "internal/plain"), Clock: true},
	{Dir: "bpf"},

	// What a channel shows to this user's other programs.
	{Dir: "internal/local", Clock: true},

	// One member put together, of one engine or several. It is given its driver.
	{Dir: "internal/lanes", Uses: []string{"wire", "clock"}},
	{Dir: "internal/fanin", Uses: nack},
	{Dir: "internal/member", Uses: join(cores, "engine", "internal/topic", "internal/lanes", "internal/fanin")},
	{Dir: "internal/uri", Uses: join(bottom, "internal/words", "xdp")},
	{Dir: "internal/intake", Uses: join(group, "internal/gid", "internal/member")},
	// One start of a member: its threads, and its end.
	{Dir: "internal/run", Uses: join(cores, "store", "engine", "internal/intake", "internal/member", "internal/gid")},
	{Dir: "internal/lossy", Uses: join(bottom, "engine"), Seeded: true},
	{Dir: "internal/traced", Uses: join(bottom, "engine", "internal/hook")},
	{Dir: "internal/attach", Uses: join(bottom, "engine", "udp", "xdp", "internal/hook", "internal/lossy", "internal/pages", "internal/plain", "internal/traced")},
	{Dir: "internal/iface", Clock: true},
	{Dir: "internal/iflock", Clock: true},
	{Dir: "internal/oversize", Clock: true},
	{Dir: "internal/check", Uses: shared, Seeded: true},
	// The header of the JMS-style API, as the queues' state machine reads it too.
	{Dir: "internal/jmsheader", Uses: []string{"wire", "selector", "internal/pb"}, Core: true},
	{Dir: "internal", Uses: bottom}, // other small tools

	// Whole members in virtual time: everything but drivers and the root package.
	{Dir: "sim", Uses: join(cores, "store", "engine", "internal", "jms/held", "jms/link"), Seeded: true}, // held queues run as a service of a simulated cluster
	{Dir: "sim/linear", Uses: []string{"sim", "internal/check"}, Seeded: true},                           // a module of its own

	// What applications import. It is the top: nothing below uses it.
	{Dir: ".", Uses: join(cores, "store", "engine", "udp", "xdp", "internal")},

	// The JMS-style API over the root package.
	{Dir: "jms", Uses: []string{".", "selector", "engine", "jms/held", "jms/link", "clock", "internal/jmsheader", "internal/jmstool", "internal/reach", "internal/gid", "internal/topic", "internal/words"}, Clock: true},

	// What a Prometheus server scrapes: a module of its own.
	{Dir: "blazeprom", Uses: []string{"."}, Clock: true},

	// Programs.
	{Dir: "bench", Uses: all, Clock: true},
	{Dir: "cmd", Uses: all, Clock: true},
	{Dir: "clients", Uses: all, Clock: true}, // the C library
	{Dir: "tools"},
	{Dir: "examples", Uses: []string{".", "jms"}, Clock: true},
}

// coreImports may not be imported by a core, nor anything below them.
var coreImports = []string{
	"context", "log", "net", "os", "runtime", "sync", "syscall", // the standard library's
	"golang.org/x/sys", "golang.org/x/net",
}

// Linked is every module that an application links by importing the root package, on Linux, where
// they are most. A module more is weight and risk for each application: think twice.
var Linked = []string{
	Module,
	"github.com/cilium/ebpf",
	"github.com/klauspost/cpuid/v2",
	"github.com/klauspost/reedsolomon",
	"go.etcd.io/bbolt",
	"golang.org/x/sys",
	"google.golang.org/protobuf",
}

// Exception is a place that breaks a rule on purpose.
type Exception struct {
	File string // from the module's root
	What string // the violation's What
	Why  string
}

// Exceptions should be few.
var Exceptions = []Exception{
	{"inspect.go", "time.Now", "an Inspection and the start of what it shows are dated for people"},
	{"group_channel.go", "time.Now", "the members of a group compare the wall clocks of their starts, so one start reads it once"},
}

// join is a new slice of all of a and then b.
func join(a []string, b ...string) []string { return append(append([]string{}, a...), b...) }
