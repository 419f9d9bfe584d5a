package main

/*
#include "shell.h"
*/
import "C"

import (
	"unsafe"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/clients/c/internal/abi"
)

// entries puts an array of entries.
func (l *layout) entries(all []blaze.Entry) *C.blaze_entry {
	array := (*C.blaze_entry)(l.take(max(len(all), 1) * int(unsafe.Sizeof(C.blaze_entry{}))))
	for i, e := range all {
		key, value := l.text(e.Key), l.text(unsafe.String(unsafe.SliceData(e.Value), len(e.Value)))
		if array == nil {
			continue
		}
		to := &unsafe.Slice(array, len(all))[i]
		*to = C.blaze_entry{
			key: key, key_length: C.size_t(len(e.Key)), value: unsafe.Pointer(value), value_length: C.size_t(len(e.Value)),
			version: C.uint64_t(e.Version),
		}
		setID(&to.owner, e.Owner)
		if !e.Expires.IsZero() {
			to.expires = C.int64_t(e.Expires.UnixNano())
		}
	}
	return array
}

func entryBlock(all []blaze.Entry) *C.blaze_entry {
	return (*C.blaze_entry)(laid(func(l *layout) { l.entries(all) }))
}

//export blazeMap
func blazeMap(h C.uint64_t, name *C.char, to *C.uint64_t) C.int {
	m, err := abi.NewMap(uint64(h), text(name))
	return give(to, m, err)
}

//export blazeMapPut
func blazeMapPut(h C.uint64_t, key *C.char, value unsafe.Pointer, n C.size_t, compare C.int, expected C.uint64_t, o *C.blaze_put,
	timeout C.int64_t, version *C.uint64_t) C.int {
	b, err := abi.Bytes("value", value, uint64(n))
	var opts abi.PutOptions
	if err == nil && o != nil {
		opts = abi.PutOptions{TTL: int64(o.ttl), RemoveOnExit: o.flags != 0, Holding: uint64(o.holding)}
		err = known(o.flags, C.BLAZE_REMOVE_ON_EXIT)
	}
	if err != nil {
		return code(err)
	}
	v, err := abi.Put(uint64(h), text(key), b, compare != 0, uint64(expected), opts, int64(timeout))
	if err == nil && version != nil {
		*version = C.uint64_t(v)
	}
	return code(err)
}

//export blazeMapDelete
func blazeMapDelete(h C.uint64_t, key *C.char, holding C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Remove(uint64(h), text(key), uint64(holding), int64(timeout)))
}

//export blazeMapGet
func blazeMapGet(h C.uint64_t, key *C.char, linear C.int, timeout C.int64_t, to **C.blaze_entry) C.int {
	var e blaze.Entry
	var err error
	if linear != 0 {
		e, err = abi.LookupLinear(uint64(h), text(key), int64(timeout))
	} else {
		e, err = abi.Lookup(uint64(h), text(key))
	}
	if err == nil {
		*to = entryBlock([]blaze.Entry{e})
	}
	return code(err)
}

//export blazeMapCount
func blazeMapCount(h C.uint64_t, to *C.size_t) C.int {
	n, err := abi.Entries(uint64(h))
	if err == nil {
		*to = C.size_t(n)
	}
	return code(err)
}

//export blazeMapAll
func blazeMapAll(h C.uint64_t, to **C.blaze_entry, count *C.size_t) C.int {
	all, err := abi.AllEntries(uint64(h))
	if err == nil {
		*to, *count = entryBlock(all), C.size_t(len(all))
	}
	return code(err)
}

//export blazeMapWatch
func blazeMapWatch(h C.uint64_t, prefix *C.char, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	l, err := abi.Watch(uint64(h), textOr(prefix), func(e blaze.MapEvent) {
		var key *C.char
		p := laid(func(l *layout) {
			l.entries([]blaze.Entry{e.Old, e.New})
			key = l.text(e.Key)
		})
		high, low := halves(e.By)
		C.blaze_go_map(fn, arg, C.uint32_t(e.Kind), (*C.blaze_entry)(p), key, C.size_t(len(e.Key)), high, low)
		_ = abi.Release(p)
	})
	return give(to, l, err)
}

//export blazeMapLock
func blazeMapLock(h C.uint64_t, key *C.char, try C.int, lease C.int64_t, flags C.uint32_t, timeout C.int64_t, to *C.uint64_t) C.int {
	if err := known(flags, C.BLAZE_KEEP_ON_EXIT); err != nil {
		return code(err)
	}
	l, err := abi.LockKey(uint64(h), text(key), try != 0, int64(lease), flags != 0, int64(timeout))
	return give(to, l, err)
}

//export blazeLockToken
func blazeLockToken(h C.uint64_t, to *C.uint64_t) C.int {
	t, err := abi.Token(uint64(h))
	return give(to, t, err)
}

//export blazeLockHeld
func blazeLockHeld(h C.uint64_t) C.int { return code(abi.Held(uint64(h))) }

//export blazeLockWaitLost
func blazeLockWaitLost(h C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.WaitLost(uint64(h), int64(timeout)))
}

//export blazeLockExtend
func blazeLockExtend(h C.uint64_t, lease, timeout C.int64_t) C.int {
	return code(abi.Extend(uint64(h), int64(lease), int64(timeout)))
}

//export blazeUnlock
func blazeUnlock(h C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Unlock(uint64(h), int64(timeout)))
}

//export blazeWaitReady
func blazeWaitReady(h C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.WaitReady(uint64(h), int64(timeout)))
}

//export blazePrimary
func blazePrimary(h C.uint64_t, to *C.int) C.int {
	is, err := abi.Primary(uint64(h))
	if err == nil {
		*to = flag[C.int](is)
	}
	return code(err)
}

//export blazeIsMaster
func blazeIsMaster(h C.uint64_t, to *C.int) C.int {
	is, err := abi.IsMaster(uint64(h))
	if err == nil {
		*to = flag[C.int](is)
	}
	return code(err)
}

//export blazeMaster
func blazeMaster(h C.uint64_t, to **C.blaze_member) C.int {
	m, err := abi.Master(uint64(h))
	return giveMember(to, m, err)
}

//export blazeOnMaster
func blazeOnMaster(h C.uint64_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	l, err := abi.OnMaster(uint64(h), func(master blaze.Member) {
		m := memberBlock([]blaze.Member{master})
		C.blaze_go_master(fn, arg, m)
		_ = abi.Release(unsafe.Pointer(m))
	})
	return give(to, l, err)
}

//export blazeSetMasterWeight
func blazeSetMasterWeight(h C.uint64_t, weight, timeout C.int64_t) C.int {
	return code(abi.SetMasterWeight(uint64(h), int64(weight), int64(timeout)))
}

//export blazeForce
func blazeForce(h C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Force(uint64(h), int64(timeout)))
}

//export blazeClusterStatus
func blazeClusterStatus(h C.uint64_t, to **C.char) C.int {
	b, err := abi.ClusterStatus(uint64(h))
	return json(to, b, err)
}
