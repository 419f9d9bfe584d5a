package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/xdp"
	"golang.org/x/sys/unix"
)

// host is what was asked of the host. The files are those of /, so that tests can have others.
type host struct {
	files   fs.FS
	kernel  string
	afxdp   error // why there are no AF_XDP sockets; nil: there are
	has     func(capability int) bool
	memlock uint64 // bytes; unix.RLIM_INFINITY: no limit
	cpus    int    // that this process may use
	procs   int    // GOMAXPROCS
	needs   int64  // bytes that an xdp member locks
}

// thisHost asks this one.
func thisHost() *host {
	h := &host{files: os.DirFS("/"), afxdp: xdp.Available(), has: capable, cpus: runtime.NumCPU(), procs: runtime.GOMAXPROCS(0)}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.kernel = unix.ByteSliceToString(u.Release[:])
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil {
		h.memlock = limit.Cur
	}
	h.needs = lockedBytes
	return h
}

// lockedBytes is the packet memory of an xdp member with the default Config. A test holds it to what
// a member takes.
var lockedBytes = func() int64 {
	_, locked := xdp.Config{Buffers: nack.Buffers(8<<20, 1472, 1, 4)}.Memory()
	return locked
}()

// capable reports whether this thread has a capability.
func capable(capability int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return false
	}
	return data[capability/32].Effective>>(capability%32)&1 != 0
}

// read is a file without the white space around it; empty where it is not there.
func (h *host) read(name string) string {
	b, err := fs.ReadFile(h.files, strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// findings look at everything that is not about one interface.
func (h *host) findings() []Finding {
	return []Finding{
		h.linux(), h.sockets(), h.capabilities(), h.lockedMemory(), h.hugePages(), h.bpf(),
		h.processors(), h.isolated(), h.governor(), h.clock(), h.socketBuffers(),
		h.fastCommits(),
	}
}

// features of AF_XDP by the kernel that brought them.
var features = []struct {
	major, minor int
	what         string
}{
	{5, 11, "preferred busy polling"}, {5, 18, "the filter without CAP_PERFMON"}, {6, 6, "multi-buffer packets"}, {6, 17, "the TX budget"},
}

func (h *host) linux() Finding {
	f := Finding{Good, "kernel", "Linux " + h.kernel, ""}
	major, minor, ok := version(h.kernel)
	if !ok {
		f.Level, f.Found = Note, f.Found+", a version that is not understood; 5.9 or later is needed"
		return f
	}
	if major < 5 || major == 5 && minor < 9 {
		f.Level, f.Remedy = Lack, "xdp:// needs Linux 5.9 or later (an XDP program that leaves with its process); udp:// works"
		return f
	}
	var lacks []string
	for _, e := range features {
		if major < e.major || major == e.major && minor < e.minor {
			lacks = append(lacks, fmt.Sprintf("%s (%d.%d)", e.what, e.major, e.minor))
		}
	}
	if len(lacks) > 0 {
		f.Found += ", without " + strings.Join(lacks, ", ")
	}
	return f
}

func version(release string) (major, minor int, ok bool) {
	n, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return major, minor, n == 2 && err == nil
}

func (h *host) sockets() Finding {
	if h.afxdp != nil {
		return Finding{Lack, "AF_XDP sockets", h.afxdp.Error(), ""}
	}
	return Finding{Good, "AF_XDP sockets", "can be made", ""}
}

// capability is one that xdp:// needs.
type capability struct {
	number int
	name   string
	why    string
	must   bool
}

var capabilities = []capability{
	{unix.CAP_NET_ADMIN, "cap_net_admin", "to attach the filter", true},
	{unix.CAP_NET_RAW, "cap_net_raw", "for AF_XDP sockets", true},
	{unix.CAP_BPF, "cap_bpf", "to load the filter", true},
	{unix.CAP_PERFMON, "cap_perfmon", "for the faster form of the filter", false},
}

// grant is the command that gives a program what it needs.
func (h *host) grant() string {
	var names []string
	for _, c := range capabilities {
		names = append(names, c.name)
	}
	if h.memlock != unix.RLIM_INFINITY {
		names = append(names, "cap_ipc_lock")
	}
	return "sudo setcap " + strings.Join(names, ",") + "+ep PROGRAM"
}

// missing are the capabilities without which xdp:// does not start.
func (h *host) missing() (names []string) {
	for _, c := range capabilities {
		if c.must && !h.can(c.number) {
			names = append(names, c.name)
		}
	}
	return names
}

// can is has, where CAP_SYS_ADMIN stands for the two that were split off it in Linux 5.8.
func (h *host) can(c int) bool {
	return h.has(c) || (c == unix.CAP_BPF || c == unix.CAP_PERFMON) && h.has(unix.CAP_SYS_ADMIN)
}

func (h *host) capabilities() Finding {
	var lacks []string
	level := Good
	for _, c := range capabilities {
		if h.can(c.number) {
			continue
		}
		lacks = append(lacks, c.name+" "+c.why)
		if c.must {
			level = Lack
		} else if level == Good {
			level = Note
		}
	}
	if level == Good {
		return Finding{Good, "capabilities", "all that xdp:// needs. A program without root gets them by: " + h.grant(), ""}
	}
	return Finding{level, "capabilities", "missing: " + strings.Join(lacks, ", "), h.grant()}
}

// locks reports whether the memory of a member with the default Config may be locked.
func (h *host) locks() bool {
	return h.has(unix.CAP_IPC_LOCK) || h.memlock == unix.RLIM_INFINITY || h.memlock >= uint64(h.needs)
}

func (h *host) lockedMemory() Finding {
	f := Finding{Good, "locked memory", fmt.Sprintf("limit %d MiB; a member with the default Config locks %d MiB", h.memlock>>20, h.needs>>20), ""}
	if h.memlock == unix.RLIM_INFINITY {
		f.Found = "no limit"
	}
	switch {
	case h.has(unix.CAP_IPC_LOCK):
		f.Found += "; CAP_IPC_LOCK lifts the limit"
	case !h.locks():
		f.Level = Lack
		f.Remedy = fmt.Sprintf("cap_ipc_lock for the program, or LimitMEMLOCK=infinity in its unit, or ulimit -l %d, or a smaller Config.Window", h.needs>>10)
	}
	return f
}

func (h *host) hugePages() Finding {
	free, size := -1, 0
	for line := range strings.Lines(h.read("/proc/meminfo")) {
		name, rest, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		switch name {
		case "HugePages_Free":
			free = n
		case "Hugepagesize":
			size = n
		}
	}
	want := 1 + int(h.needs>>21)
	f := Finding{Good, "huge pages", fmt.Sprintf("%d free of %d kB", free, size), ""}
	switch {
	case free < 0 || size == 0:
		f.Level, f.Found = Note, "this kernel has none; ordinary pages are used"
	case size != 2048:
		f.Level, f.Found = Note, f.Found+"; packet memory takes those of 2 MiB, and else ordinary pages"
	case free < want:
		f.Level, f.Found = Note, f.Found+"; ordinary pages are used, which was as fast where we measured"
		f.Remedy = fmt.Sprintf("sysctl -w vm.nr_hugepages=%d, for each member", want)
	}
	return f
}

func (h *host) bpf() Finding {
	switch v := h.read("/proc/sys/net/core/bpf_jit_enable"); v {
	case "0":
		return Finding{Note, "BPF compiler", "off: the filter is interpreted, which costs some hundred nanoseconds a packet", "sysctl -w net.core.bpf_jit_enable=1"}
	case "":
		return Finding{Note, "BPF compiler", "not known", ""}
	default:
		return Finding{Good, "BPF compiler", "on", ""}
	}
}

func (h *host) processors() Finding {
	f := Finding{Good, "processors", fmt.Sprintf("%d may be used, GOMAXPROCS %d", h.cpus, h.procs), ""}
	switch {
	case h.cpus < 2:
		f.Level = Note
		f.Remedy = "Idle Block: with one processor an engine that spins is in everybody's way"
	case h.procs < 3:
		f.Level = Note
		f.Remedy = "GOMAXPROCS=3 or more in programs with one engine: engines that spin and two for the rest, or the collector takes the engine's"
	}
	return f
}

func (h *host) isolated() Finding {
	isolated, tickless := h.read("/sys/devices/system/cpu/isolated"), h.read("/sys/devices/system/cpu/nohz_full")
	if isolated == "" {
		f := Finding{Note, "isolated cores", "none: the scheduler puts others on an engine's core", ""}
		if h.cpus > 2 {
			f.Remedy = fmt.Sprintf("for the lowest tails: isolcpus=%[1]d nohz_full=%[1]d rcu_nocbs=%[1]d on the kernel's command line, and Config.EngineCPUs", h.cpus-1)
		}
		return f
	}
	f := Finding{Good, "isolated cores", isolated, ""}
	if tickless == "" || tickless == "(null)" {
		f.Level, f.Remedy = Note, "nohz_full="+isolated+" on the kernel's command line too: the timer's tick still interrupts them"
	}
	return f
}

func (h *host) governor() Finding {
	names, _ := fs.Glob(h.files, "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
	var governors []string
	for _, n := range names {
		if g := h.read(n); g != "" && !slices.Contains(governors, g) {
			governors = append(governors, g)
		}
	}
	slices.Sort(governors)
	switch {
	case len(governors) == 0:
		return Finding{Note, "governor", "not visible, as on most virtual machines", ""}
	case len(governors) == 1 && governors[0] == "performance":
		return Finding{Good, "governor", "performance", ""}
	}
	return Finding{Note, "governor", strings.Join(governors, ", ") + ": the first packets after a pause are slow", "cpupower frequency-set -g performance"}
}

func (h *host) clock() Finding {
	const dir = "/sys/devices/system/clocksource/clocksource0/"
	source := h.read(dir + "current_clocksource")
	switch source {
	case "":
		return Finding{Note, "clock", "not known", ""}
	case "tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page":
		return Finding{Good, "clock", source + ": read without a system call", ""}
	}
	f := Finding{Note, "clock", source + ": reading the time, which each turn does, is a system call", ""}
	if slices.Contains(strings.Fields(h.read(dir+"available_clocksource")), "tsc") {
		f.Remedy = "echo tsc > " + dir + "current_clocksource"
	}
	return f
}

func (h *host) socketBuffers() Finding {
	n, err := strconv.Atoi(h.read("/proc/sys/net/core/rmem_max"))
	f := Finding{Good, "socket buffers", fmt.Sprintf("net.core.rmem_max %d kB", n>>10), ""}
	switch {
	case err != nil:
		f.Level, f.Found = Note, "net.core.rmem_max is not visible here"
	case n < 16<<20 && h.has(unix.CAP_NET_ADMIN):
		f.Found += "; CAP_NET_ADMIN lifts the limit"
	case n < 16<<20:
		f.Level, f.Remedy = Note, "for udp:// and what it is a fallback for: sysctl -w net.core.rmem_max=16777216"
	}
	return f
}
