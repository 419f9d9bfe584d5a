package xdp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/pages"
	"golang.org/x/sys/unix"
)

// Config.Memory is what Open takes, and not much more.
func TestMemoryIsTrue(t *testing.T) {
	na, _ := manyQueues(t, 4)
	for _, change := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.Buffers, c.FillRing, c.TxRing = 0, 0, 0 },
		func(c *Config) { c.Buffers, c.MTU = 5000, 1400 },
		func(c *Config) { c.FillRing, c.TxRing = 64, 64 },
		func(c *Config) { c.FillRing, c.TxRing = 16384, 8192 },
		func(c *Config) { c.Queues = 4 },
		func(c *Config) { c.Queues, c.Split = 4, true },
		func(c *Config) { c.Queues, c.Split, c.QueueBuffers = 3, true, 700 },
	} {
		cfg := testConfig(0)
		change(&cfg)
		d := na.open(t, cfg)
		all := []*own{}
		if s, ok := d.attachment.socket.(*queues); ok {
			all = s.all
		} else {
			all = append(all, d.attachment.socket.(*own))
		}
		used := len(d.memory.mapped)
		for _, s := range all {
			used += len(s.fill.Mem()) + len(s.complete.Mem()) + len(s.rx.Mem()) + len(s.tx.Mem())
		}
		used += len(d.chunks)*int(unsafe.Sizeof(chunk{})+unsafe.Sizeof(buf.Buf{})+4) + int(unsafe.Sizeof(*d)+unsafe.Sizeof(peers{}))
		count, lock := len(d.chunks), len(d.memory.mem)
		for _, q := range d.queues {
			s := q.socket.(*own)
			used += len(q.memory.mapped) + len(s.fill.Mem()) + len(s.complete.Mem()) + len(s.rx.Mem()) + len(s.tx.Mem())
			used += len(q.chunks)*int(unsafe.Sizeof(chunk{})+unsafe.Sizeof(buf.Buf{})+4) + int(unsafe.Sizeof(*q))
			count, lock = count+len(q.chunks), lock+len(q.memory.mem)
		}
		budget, locked := cfg.Memory()
		if int64(used) > budget || int64(used) < budget-otherState-int64(len(d.queues))*queueState-int64(1+len(d.queues))*pages.Huge-int64(count*chunkTable) {
			t.Errorf("%d bytes are used, Memory says %d", used, budget)
		}
		if locked != int64(lock) {
			t.Errorf("%d bytes are locked, Memory says %d", lock, locked)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Without CAP_IPC_LOCK the limit holds: the error says how much was asked for and what helps, and
// with less, or a higher limit, Open works.
func TestLockedMemoryLimit(t *testing.T) {
	na, _ := pair(t)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	// The process's, for all users of this test; nothing else in this package depends on it,
	// since all others have the capability.
	limit := func(bytes int64) {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: uint64(bytes), Max: before.Max}); err != nil {
			t.Skipf("needs a limit that can be set (%v)", err)
		}
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before)
	cfg := testConfig(0)
	_, need := cfg.Memory()
	open := func() (err error) {
		na.do(func() {
			// On a thread of its own, which ends: the right is dropped for this thread only.
			if err = dropIPCLock(); err != nil {
				return
			}
			var d *Driver
			if d, err = Open(cfg); err == nil {
				err = d.Close()
			}
		})
		return err
	}
	limit(need - 1)
	err := open()
	if !errors.Is(err, ErrPrivilege) {
		t.Fatalf("%d bytes may be locked, %d are needed: %v", need-1, need, err)
	}
	for _, want := range []string{fmt.Sprintf("%d MiB", need>>20), "CAP_IPC_LOCK", fmt.Sprintf("ulimit -l %d", (need+1023)>>10)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	limit(need)
	if err := open(); err != nil {
		t.Errorf("%d bytes may be locked: %v", need, err)
	}
}

// dropIPCLock takes CAP_IPC_LOCK from the calling thread.
func dropIPCLock() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	return unix.Capset(&header, &data[0])
}
