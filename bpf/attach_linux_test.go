package bpf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// inNamespace runs do in a network namespace of its own, which is gone when do returns, with
// all that it made in it. It skips the test where that is not permitted.
func inNamespace(t testing.TB, do func()) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command (package iproute2)")
	}
	done := make(chan string)
	go func() {
		var skip string
		defer func() { done <- skip }()
		runtime.LockOSThread() // for ever: the thread ends with the goroutine, and the namespace with it
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			skip = fmt.Sprintf("no network namespace: %v (CAP_SYS_ADMIN is needed)", err)
			return
		}
		do()
	}()
	if skip := <-done; skip != "" {
		t.Skip(skip)
	}
}

// command runs a command in the namespace of the calling thread.
func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func index(t testing.TB, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return i.Index
}

// pair makes a veth pair, left with the member's address and right with its neighbour's.
func pair(t testing.TB) (left, right int) {
	t.Helper()
	command(t, "ip", "link", "add", "left", "type", "veth", "peer", "name", "right")
	for _, name := range []string{"left", "right"} {
		os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0) // no packets of its own
	}
	command(t, "ip", "addr", "add", "10.9.0.1/24", "dev", "left")
	command(t, "ip", "link", "set", "left", "up")
	command(t, "ip", "link", "set", "right", "up")
	return index(t, "left"), index(t, "right")
}

// onInterface are the programs of an interface, in words.
func onInterface(t testing.TB, ifindex int) string {
	t.Helper()
	found, err := Programs(ifindex)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, a := range found {
		words = append(words, a.Mode.String()+" "+a.Name)
	}
	return strings.Join(words, ", ")
}

func TestAttach(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			inNamespace(t, func() { testAttach(t, mode) })
		})
	}
}

func testAttach(t *testing.T, mode Mode) {
	left, right := pair(t)
	f, _ := loadTest(t, nil)
	for round := range 3 { // once attached, it can be attached again
		if f.Attached() != 0 || onInterface(t, left) != "" {
			t.Fatalf("round %d: the interface has %q", round, onInterface(t, left))
		}
		if err := f.Attach(left, mode); err != nil {
			t.Fatal(err)
		}
		if f.Attached() != left || onInterface(t, left) != mode.String()+" blaze_filter" || onInterface(t, right) != "" {
			t.Fatalf("attached to %d: %q, %q", f.Attached(), onInterface(t, left), onInterface(t, right))
		}
		if err := f.Attach(right, mode); !errors.Is(err, ErrAttached) || !strings.Contains(err.Error(), "left") {
			t.Errorf("attached twice: %v", err)
		}
		if round == 2 {
			break
		}
		for range 2 {
			if err := f.Detach(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if on := onInterface(t, left); on != "" {
		t.Errorf("after Close the interface has %q", on)
	}
}

// Removing the interface leaves the filter unattached, and ready for the one that comes back.
func TestInterfaceRemoved(t *testing.T) {
	inNamespace(t, func() {
		left, _ := pair(t)
		f, _ := loadTest(t, nil)
		if err := f.Attach(left, Generic); err != nil {
			t.Fatal(err)
		}
		command(t, "ip", "link", "del", "left")
		if f.Attached() != 0 {
			t.Error("attached to an interface that is gone")
		}
		left, _ = pair(t)
		if err := f.Attach(left, Native); err != nil {
			t.Fatal(err)
		}
		if f.Attached() != left {
			t.Errorf("attached to %d, not %d", f.Attached(), left)
		}
	})
}

func TestAttachRefused(t *testing.T) {
	inNamespace(t, func() {
		f, _ := loadTest(t, nil)
		if err := f.Attach(1, Native); !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "native XDP on interface lo: not supported by the driver") {
			t.Errorf("native on loopback: %v", err)
		}
		if err := f.Attach(4711, Generic); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "interface with index 4711: no such device") {
			t.Errorf("an interface that is not there: %v", err)
		}
		if err := f.Attach(1, 0); !errors.Is(err, ErrConfig) {
			t.Errorf("mode 0: %v", err)
		}
		if _, err := Programs(4711); !errors.Is(err, unix.ENODEV) {
			t.Errorf("programs of no interface: %v", err)
		}
		if f.Attached() != 0 {
			t.Error("attached all the same")
		}
	})
}

// Another program is named and left where it is, however it was attached and in which mode.
func TestForeignProgram(t *testing.T) {
	for _, row := range []struct {
		by   string
		mode Mode // of the other program
	}{{"link", Native}, {"link", Generic}, {"netlink", Native}, {"netlink", Generic}} {
		t.Run(row.by+" "+row.mode.String(), func(t *testing.T) {
			inNamespace(t, func() { testForeign(t, row.by, row.mode) })
		})
	}
}

func testForeign(t *testing.T, by string, mode Mode) {
	left, _ := pair(t)
	f, _ := loadTest(t, nil)
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "somebody_elses", Type: ebpf.XDP, License: "MIT",
		AttachType:   ebpf.AttachXDP,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	flags := link.XDPDriverMode
	if mode == Generic {
		flags = link.XDPGenericMode
	}
	if by == "link" {
		l, err := link.AttachXDP(link.XDPOptions{Program: other, Interface: left, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	} else {
		setXDP(t, left, other.FD(), uint32(flags))
	}
	there := mode.String() + " somebody_elses"
	if on := onInterface(t, left); on != there {
		t.Fatalf("the interface has %q", on)
	}
	info, err := other.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()

	for _, ours := range []Mode{Native, Generic} {
		err := f.Attach(left, ours)
		var foreign *ForeignError
		if !errors.Is(err, ErrForeign) || !errors.As(err, &foreign) ||
			foreign.Interface != "left" || foreign.Program != (Attachment{Mode: mode, ID: uint32(id), Name: "somebody_elses"}) {
			t.Errorf("%v over it: %v", ours, err)
		}
		// Without the look beforehand it is the kernel that refuses.
		l, err := link.AttachXDP(link.XDPOptions{Program: f.Program(), Interface: left, Flags: map[Mode]link.XDPAttachFlags{Native: link.XDPDriverMode, Generic: link.XDPGenericMode}[ours]})
		if err == nil {
			l.Close()
			t.Errorf("the kernel lets %v over it", ours)
		} else if err := attachError(left, ours, err); !errors.Is(err, ErrForeign) || !errors.As(err, &foreign) || foreign.Program.ID != uint32(id) {
			t.Errorf("%v over it, by the kernel: %v", ours, err)
		}
		if on := onInterface(t, left); on != there || f.Attached() != 0 {
			t.Fatalf("now the interface has %q", on)
		}
	}
}

// setXDP attaches a program as iproute2 does: by a netlink message, and to stay.
func setXDP(t *testing.T, ifindex, fd int, flags uint32) {
	t.Helper()
	attr := func(kind int, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = binary.NativeEndian.AppendUint16(b, uint16(kind))
		return append(b, value...)
	}
	word := func(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(ifindex))
	body = append(body, attr(unix.IFLA_XDP|unix.NLA_F_NESTED, slices.Concat(
		attr(unix.IFLA_XDP_FD, word(uint32(fd))), attr(unix.IFLA_XDP_FLAGS, word(flags))))...)
	message := word(uint32(unix.SizeofNlMsghdr + len(body)))
	message = binary.NativeEndian.AppendUint16(message, unix.RTM_SETLINK)
	message = binary.NativeEndian.AppendUint16(message, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	message = slices.Concat(message, word(1), word(0), body)

	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(s)
	if err := unix.Sendto(s, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	if _, _, err := unix.Recvfrom(s, answer, 0); err != nil {
		t.Fatal(err)
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		t.Fatalf("netlink: %v", syscall.Errno(-code))
	}
}

// A process that is killed leaves the interface as it was, and the next start works at once.
func TestKilled(t *testing.T) {
	if name := os.Getenv("BPF_TEST_ATTACH"); name != "" {
		attachAndWait(t, name)
		return
	}
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			inNamespace(t, func() { testKilled(t, mode) })
		})
	}
}

func testKilled(t *testing.T, mode Mode) {
	left, _ := pair(t)
	f, _ := loadTest(t, nil) // skips where the child would
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), "BPF_TEST_ATTACH="+mode.String())
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	on := onInterface(t, left)
	child.Process.Kill()
	child.Wait()
	if err != nil || line != "attached\n" || on != mode.String()+" blaze_filter" {
		t.Fatalf("the process said %q, %v, and the interface had %q", line, err, on)
	}
	// The kernel takes the program off when it closes the dead process's files, which may
	// be after Wait has returned; at once, unless the machine is very busy.
	deadline := time.Now().Add(5 * time.Second)
	for err = f.Attach(left, mode); errors.Is(err, ErrForeign) && time.Now().Before(deadline); err = f.Attach(left, mode) {
		runtime.Gosched()
	}
	if err != nil {
		t.Errorf("attach after the kill: %v", err)
	}
	if err := f.Detach(); err != nil {
		t.Error(err)
	}
	if on := onInterface(t, left); on != "" {
		t.Errorf("the interface has %q", on)
	}
}

// attachAndWait is the process that is killed.
func attachAndWait(t *testing.T, mode string) {
	runtime.LockOSThread()
	f, _ := loadTest(t, nil)
	if err := f.Attach(index(t, "left"), map[string]Mode{"native": Native, "generic": Generic}[mode]); err != nil {
		t.Fatal(err)
	}
	fmt.Println("attached")
	io.Copy(io.Discard, os.Stdin) // until we are killed, or left alone
}

// The two capabilities that the documentation names are enough, and each is named when it is
// missing.
func TestCapabilities(t *testing.T) {
	const bpf, netAdmin, perfmon = 1 << unix.CAP_BPF, 1 << unix.CAP_NET_ADMIN, 1 << unix.CAP_PERFMON
	loadTest(t, nil) // skips without them
	for _, row := range []struct {
		keep    uint64
		missing string
	}{
		{0, "CAP_BPF CAP_NET_ADMIN"},
		{bpf, "CAP_NET_ADMIN"},
		{netAdmin, "CAP_BPF"},
		{bpf | netAdmin, ""},
		{bpf | netAdmin | perfmon, ""},
	} {
		inNamespace(t, func() {
			command(t, "ip", "link", "set", "lo", "up")
			keepCapabilities(t, row.keep)
			f, err := Load(Config{Group: testGroup, Breakdown: true, Loss: 0.5})
			var privilege *PrivilegeError
			if row.missing != "" {
				if !errors.Is(err, ErrPrivilege) || !errors.As(err, &privilege) || strings.Join(privilege.Missing, " ") != row.missing {
					t.Errorf("without %s: %v", row.missing, err)
				}
				return
			}
			if err != nil {
				t.Errorf("with the two capabilities: %v", err)
				return
			}
			defer f.Close()
			if err := f.Attach(1, Generic); err != nil {
				t.Errorf("attach with the two capabilities: %v", err)
			}
		})
	}
}

// keepCapabilities takes all other capabilities from the calling thread, which must end soon.
func keepCapabilities(t testing.TB, keep uint64) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0].Effective &= uint32(keep)
	data[1].Effective &= uint32(keep >> 32)
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
}
