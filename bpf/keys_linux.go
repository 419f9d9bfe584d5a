package bpf

import (
	"math"
	"net/netip"
	"sync/atomic"
)

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

// SetLanes changes the lanes that are wanted: nil all, empty none. A lane that is wanted
// before and afterwards is redirected all the time.
func (f *Filter) SetLanes(lanes []uint32) error {
	if err := checkLanes(lanes); err != nil {
		return err
	}
	return f.change(func() { f.storeLanes(lanes) })
}

// storeLanes writes each word of the lanes' bits once.
func (f *Filter) storeLanes(lanes []uint32) {
	var words [len(f.keys.Lanes)]uint64
	if lanes == nil {
		for i := range words {
			words[i] = math.MaxUint64
		}
	}
	for _, l := range lanes {
		words[l/64] |= 1 << (l % 64)
	}
	for i, w := range words {
		atomic.StoreUint64(&f.keys.Lanes[i], w)
	}
}

func (f *Filter) change(store func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	store()
	return nil
}
