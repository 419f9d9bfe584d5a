package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bpf"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/xdp"
	"golang.org/x/sys/unix"
)

// good is a host that lacks nothing.
func good() (*host, fstest.MapFS) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/meminfo":                                                      "MemTotal: 1 kB\nHugePages_Free:     100\nHugepagesize:       2048 kB\n",
		"proc/sys/net/core/bpf_jit_enable":                                  "1\n",
		"proc/sys/net/core/rmem_max":                                        "16777216\n",
		"sys/devices/system/cpu/isolated":                                   "2-3\n",
		"sys/devices/system/cpu/nohz_full":                                  "2-3\n",
		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":              "performance\n",
		"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor":              "performance\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource":   "tsc\n",
		"sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return &host{
		files: files, kernel: "6.18.44", has: func(int) bool { return true }, memlock: unix.RLIM_INFINITY, cpus: 4, procs: 4, needs: 64 << 20,
	}, files
}

// mounts has two ext4 and another one.
const mounts = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
28 27 0:21 / /proc rw,nosuid shared:5 - proc proc rw
41 27 8:17 / /data rw,relatime shared:6 - ext4 /dev/sdb1 rw
`

func ext4Superblock(features uint32) []byte {
	b := make([]byte, 4096)
	binary.LittleEndian.PutUint16(b[superblock+ext4MagicAt:], ext4Magic)
	binary.LittleEndian.PutUint32(b[superblock+compatAt:], features)
	return b
}

func TestHost(t *testing.T) {
	h, _ := good()
	for _, f := range h.findings() {
		if f.Level != Good || f.Remedy != "" {
			t.Errorf("a host that lacks nothing: %+v", f)
		}
	}
	set := func(files fstest.MapFS, name, text string) { files[name] = &fstest.MapFile{Data: []byte(text)} }
	without := func(lost ...int) func(int) bool { return func(c int) bool { return !slices.Contains(lost, c) } }
	for _, c := range []struct {
		what, found, remedy string
		level               Level
		spoil               func(h *host, files fstest.MapFS)
	}{
		{"kernel", "Linux 5.4.0", "Linux 5.9 or later", Lack, func(h *host, _ fstest.MapFS) { h.kernel = "5.4.0" }},
		{"kernel", "without the filter without CAP_PERFMON (5.18), multi-buffer packets (6.6), the TX budget (6.17)", "", Good, func(h *host, _ fstest.MapFS) { h.kernel = "5.15.0-91" }},
		{"kernel", "not understood", "", Note, func(h *host, _ fstest.MapFS) { h.kernel = "next" }},
		{"AF_XDP sockets", "no such family", "", Lack, func(h *host, _ fstest.MapFS) { h.afxdp = errors.New("no such family") }},
		{"capabilities", "missing: cap_net_raw for AF_XDP sockets", "sudo setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon+ep PROGRAM", Lack,
			func(h *host, _ fstest.MapFS) { h.has = without(unix.CAP_NET_RAW) }},
		{"capabilities", "missing: cap_bpf to load the filter", "cap_perfmon,cap_ipc_lock+ep", Lack,
			func(h *host, _ fstest.MapFS) { h.has, h.memlock = without(unix.CAP_BPF, unix.CAP_SYS_ADMIN), 8<<20 }},
		{"capabilities", "missing: cap_perfmon", "setcap", Note, func(h *host, _ fstest.MapFS) { h.has = without(unix.CAP_PERFMON, unix.CAP_SYS_ADMIN) }},
		{"locked memory", "limit 8 MiB; a member with the default Config locks 64 MiB", "ulimit -l 65536", Lack,
			func(h *host, _ fstest.MapFS) { h.has, h.memlock = without(unix.CAP_IPC_LOCK), 8<<20 }},
		{"locked memory", "CAP_IPC_LOCK lifts", "", Good, func(h *host, _ fstest.MapFS) { h.memlock = 8 << 20 }},
		{"huge pages", "0 free", "vm.nr_hugepages=33", Note, func(_ *host, f fstest.MapFS) { set(f, "proc/meminfo", "HugePages_Free: 0\nHugepagesize: 2048 kB\n") }},
		{"huge pages", "has none", "", Note, func(_ *host, f fstest.MapFS) { delete(f, "proc/meminfo") }},
		{"BPF compiler", "off", "bpf_jit_enable=1", Note, func(_ *host, f fstest.MapFS) { set(f, "proc/sys/net/core/bpf_jit_enable", "0") }},
		{"processors", "1 may be used", "Idle Block", Note, func(h *host, _ fstest.MapFS) { h.cpus = 1 }},
		{"processors", "GOMAXPROCS 2", "GOMAXPROCS=3", Note, func(h *host, _ fstest.MapFS) { h.procs = 2 }},
		{"isolated cores", "none", "isolcpus=3", Note, func(_ *host, f fstest.MapFS) { set(f, "sys/devices/system/cpu/isolated", "\n") }},
		{"isolated cores", "2-3", "nohz_full=2-3", Note, func(_ *host, f fstest.MapFS) { delete(f, "sys/devices/system/cpu/nohz_full") }},
		{"governor", "performance, powersave", "cpupower", Note,
			func(_ *host, f fstest.MapFS) {
				set(f, "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave")
			}},
		{"fast commits", "none on ext4", "", Good, func(_ *host, f fstest.MapFS) {
			set(f, "proc/self/mountinfo", mounts)
			set(f, "proc/fs/ext4/vda/fc_info", "fc stats:\n0 commits\n3 ineligible\n")
			set(f, "sys/dev/block/254:0/uevent", "MAJOR=254\nDEVNAME=vda\n")
		}},
		{"fast commits", "ext4 commits fast on / (vda)", "another file system", Note, func(_ *host, f fstest.MapFS) {
			set(f, "proc/self/mountinfo", mounts)
			set(f, "proc/fs/ext4/vda/fc_info", "fc stats:\n17 commits\n")
			set(f, "sys/dev/block/254:0/uevent", "MAJOR=254\nDEVNAME=vda\n")
		}},
		{"fast commits", "ext4 commits fast on /data (sdb1)", "tune2fs -O ^fast_commit", Note, func(_ *host, f fstest.MapFS) {
			set(f, "proc/self/mountinfo", mounts)
			set(f, "sys/dev/block/8:17/uevent", "DEVNAME=sdb1\n")
			set(f, "dev/sdb1", string(ext4Superblock(fastCommit)))
			set(f, "dev/vda", string(ext4Superblock(0)))
		}},
		{"clock", "hpet", "echo tsc >", Note,
			func(_ *host, f fstest.MapFS) {
				set(f, "sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet")
			}},
		{"socket buffers", "208 kB", "rmem_max=16777216", Note, func(h *host, f fstest.MapFS) {
			set(f, "proc/sys/net/core/rmem_max", "212992")
			h.has = without(unix.CAP_NET_ADMIN)
		}},
	} {
		h, files := good()
		c.spoil(h, files)
		seen := false
		for _, f := range h.findings() {
			if f.What != c.what {
				continue
			}
			seen = true
			if f.Level != c.level || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Remedy, c.remedy) || c.remedy == "" && f.Remedy != "" {
				t.Errorf("%s: %+v\nwant %s, %q, remedy %q", c.what, f, c.level, c.found, c.remedy)
			}
		}
		if !seen {
			t.Errorf("nothing is said of %s", c.what)
		}
	}
}

func TestChoice(t *testing.T) {
	nicOf := func() nic {
		return nic{
			Look: xdp.Look{Name: "eth9", Index: 9, Up: true, MTU: 1500, Queues: 1, Rungs: []string{"native copy", "generic copy"}, Why: "native is the fastest on cards"},
			card: card{known: true, features: xdpBasic | xdpRedirect, queues: true, napis: []int{0}},
		}
	}
	for _, c := range []struct {
		name                 string
		change               func(h *host, n *nic)
		transport, mode, why string
		better               string
	}{
		{"all is well", func(*host, *nic) {}, "xdp", "native copy", "if that fails, generic copy, and then udp", "a driver with zero-copy"},
		{"zero-copy", func(_ *host, n *nic) { n.features |= xdpZeroCopy }, "xdp", "native copy", "", "zerocopy=on, after a test"},
		{"no native mode", func(_ *host, n *nic) { n.features = 0 }, "xdp", "generic copy", "the driver has no native mode; if that fails, udp", "a card whose driver"},
		{"an old kernel cannot tell", func(_ *host, n *nic) { n.card = card{} }, "xdp", "native copy", "", ""},
		{"virtual", func(_ *host, n *nic) { n.Virtual, n.Rungs = true, []string{"generic copy", "native copy"} }, "xdp", "generic copy", "", "nothing: on a virtual interface"},
		{"no capabilities", func(h *host, _ *nic) { h.has = func(int) bool { return false } }, "udp", "", "lacks cap_net_admin, cap_net_raw, cap_bpf", "setcap"},
		{"no memory", func(h *host, _ *nic) { h.has, h.memlock = func(c int) bool { return c != unix.CAP_IPC_LOCK }, 1<<20 }, "udp", "", "may not lock", "locked memory"},
		{"old kernel", func(h *host, _ *nic) { h.kernel = "4.19" }, "udp", "", "older than 5.9", ""},
		{"another member", func(_ *host, n *nic) { n.holder = "xdp" }, "udp", "", "a member of this host is on the interface, over xdp", "one member for each interface"},
		{"another program", func(_ *host, n *nic) { n.programs = []bpf.Attachment{{Mode: bpf.Native, ID: 7}} }, "udp", "", "another XDP program, id 7 (native)", "xdp off"},
		{"it is down", func(_ *host, n *nic) { n.Err = fmt.Errorf("%w: it is down", xdp.ErrConfig) }, "", "", "it is down", ""},
	} {
		h, _ := good()
		n := nicOf()
		c.change(h, &n)
		i := h.judge(n)
		better := strings.Join(i.Better, "; ")
		if i.Choice.Transport != c.transport || i.Choice.Mode != c.mode || !strings.Contains(i.Choice.Why, c.why) ||
			!strings.Contains(better, c.better) || c.better == "" && better != "" {
			t.Errorf("%s: %+v, better: %s", c.name, i.Choice, better)
		}
	}
}

// inRig runs f in a host of a rig, or skips in one line.
func inRig(t *testing.T, f func() error) {
	t.Helper()
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(rig.Veth, 2, rig.Options{})
	if err != nil {
		t.Skip(err)
	}
	defer r.Close()
	if err := r.Host(0).Run(f); err != nil {
		t.Fatal(err)
	}
}

// find looks at this host and picks the rig's interface.
func find() (Interface, error) {
	r, err := Look()
	if err != nil {
		return Interface{}, err
	}
	for _, i := range r.Interfaces {
		if i.Name == rig.Interface {
			return i, nil
		}
	}
	return Interface{}, fmt.Errorf("no %s in %+v", rig.Interface, r.Interfaces)
}

// What doctor reports of a real interface is what happens there, and it sends nothing.
func TestRealInterface(t *testing.T) {
	inRig(t, func() error {
		before, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		i, err := find()
		if err != nil {
			return err
		}
		after, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil || string(before) != string(after) {
			t.Errorf("doctor has sent something: before\n%safter\n%s%v", before, after, err)
		}
		if i.Choice.Transport != "xdp" || i.Choice.Mode != "generic copy" {
			t.Errorf("%+v", i.Choice)
		}
		text := fmt.Sprint(i.Findings)
		for _, want := range []string{"veth", "MTU 1500", "native, generic", "no NAPI id", "none that puts packets together"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %s", want, text)
			}
		}
		var log strings.Builder
		ch, err := blaze.NewChannel(blaze.Config{
			BroadcastURI: "auto://239.255.66.76:6676?interface=" + rig.Interface, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		if err != nil {
			return err
		}
		defer ch.Shutdown()
		if err := ch.Start(); err != nil {
			return err
		}
		s := ch.Stats()
		if s.Transport != i.Choice.Transport || s.Mode != i.Choice.Mode {
			t.Errorf("auto:// took %s %s, doctor said %+v", s.Transport, s.Mode, i.Choice)
		}
		if want := fmt.Sprintf(" buffers=%d ", lockedBytes/xdp.BareBuffer); !strings.Contains(log.String(), want) {
			t.Errorf("a member with the default Config locks something else than%sof %d bytes: %s", want, xdp.BareBuffer, log.String())
		}
		// Now it holds the interface, and has a program on it.
		if i, err = find(); err != nil {
			return err
		}
		if text := fmt.Sprint(i.Findings); i.Choice.Transport != "udp" || !strings.Contains(text, "over xdp") || !strings.Contains(text, "(generic) is attached") {
			t.Errorf("beside a member: %+v %s", i.Choice, text)
		}
		return nil
	})
}

func TestSeesUDPMembers(t *testing.T) {
	inRig(t, func() error {
		i, err := find()
		if err != nil {
			return err
		}
		if i.Choice.Transport != "xdp" {
			t.Errorf("%+v", i.Choice)
		}
		at, err := xdp.LookAt(xdp.Config{Interface: rig.Interface, Group: netip.MustParseAddrPort("239.255.66.76:6676")})
		if err != nil {
			return err
		}
		l, err := iflock.Shared(at.Index, netip.MustParseAddrPort("239.255.66.76:6676"))
		if err != nil {
			return err
		}
		defer l.Release()
		if got := holder(at.Index); got != "udp" {
			t.Errorf("holder %q, want udp", got)
		}
		return nil
	})
}

func TestReportReads(t *testing.T) {
	r := Report{
		Host:       []Finding{{Lack, "capabilities", "missing: cap_bpf", "sudo setcap"}},
		Interfaces: []Interface{{Name: "eth9", Choice: Choice{"udp", "", "cap_bpf is missing"}, Better: []string{"setcap"}}, {Name: "lo", Choice: Choice{"xdp", "generic copy", "it is loopback"}}},
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := `This host
  LACK  capabilities     missing: cap_bpf
                         → sudo setcap

Interface eth9
  auto:// takes udp: cap_bpf is missing
        better: setcap

Interface lo
  auto:// takes xdp, generic copy: it is loopback
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	if !r.Usable() {
		t.Error("xdp works on lo")
	}
}
