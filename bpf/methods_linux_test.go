package bpf

import (
	"errors"
	"net/netip"
	"sync/atomic"

	"github.com/cilium/ebpf"
)

// What tests of the program need of a Filter, and drivers do not.

// Program is the loaded program, for test runs. It is the Filter's: do not close it.
func (f *Filter) Program() *ebpf.Program { return f.objects.BlazeFilter }

// Unregister leaves the queue without a socket: its packets go to the kernel from now on. It
// does nothing where there is none.
func (f *Filter) Unregister(queue int) error {
	return f.socket("unregister", queue, func() error {
		err := f.objects.BlazeSockets.Delete(uint32(queue))
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			err = nil
		}
		return err
	})
}

// Detach takes the program off its interface. The Filter can be attached again. It does
// nothing when it is not attached.
func (f *Filter) Detach() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.detach()
}

// Attached is the index of the interface that the program is on; 0 before Attach, after Detach
// and when the interface was removed.
func (f *Filter) Attached() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.attachedTo()
}

// SetGroup changes the group's address; zero: none. Packets that are under way may still be
// judged by the former one.
func (f *Filter) SetGroup(a netip.AddrPort) error {
	if err := checkGroup(a); err != nil {
		return err
	}
	return f.change(func() { atomic.StoreUint64(&f.keys.Group, address(a)) })
}

// SetUnicast changes the member's own address; zero: none.
func (f *Filter) SetUnicast(a netip.AddrPort) error {
	if err := checkUnicast(a); err != nil {
		return err
	}
	return f.change(func() { atomic.StoreUint64(&f.keys.Unicast, address(a)) })
}

// SetCluster changes the hash of the cluster.
func (f *Filter) SetCluster(hash uint64) error {
	return f.change(func() { atomic.StoreUint64(&f.keys.Cluster, hash) })
}

// SetVLAN changes the network that the member is on: nil every one, empty the untagged one.
func (f *Filter) SetVLAN(ids []uint16) error {
	if err := checkVLAN(ids); err != nil {
		return err
	}
	return f.change(func() { atomic.StoreUint64(&f.keys.Vlan, network(ids)) })
}
