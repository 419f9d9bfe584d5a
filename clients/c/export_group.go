package main

/*
#include <stdlib.h>
#include "shell.h"
*/
import "C"

import (
	"unsafe"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/clients/c/internal/abi"
)

// textOr is a C string; "" where it is NULL.
func textOr(s *C.char) string {
	if s == nil {
		return ""
	}
	return C.GoString(s)
}

// A layout puts structs, and the texts that they point to, into one piece of memory: first it is measured, then filled.
type layout struct {
	memory []byte // nil: being measured
	used   int
}

func (l *layout) take(n int) unsafe.Pointer {
	at := l.used
	l.used += (n + 7) &^ 7
	if l.memory == nil || n == 0 {
		return nil
	}
	return unsafe.Pointer(&l.memory[at])
}

// text puts a text and a NUL.
func (l *layout) text(s string) *C.char {
	p := l.take(len(s) + 1)
	if p == nil {
		return nil
	}
	room := unsafe.Slice((*byte)(p), len(s)+1)
	copy(room, s)
	room[len(s)] = 0
	return (*C.char)(p)
}

// members puts an array of members.
func (l *layout) members(all []blaze.Member) *C.blaze_member {
	array := (*C.blaze_member)(l.take(max(len(all), 1) * int(unsafe.Sizeof(C.blaze_member{}))))
	for i, m := range all {
		name, address := l.text(m.Name), l.text(m.Addr.String())
		groups := (**C.char)(l.take(len(m.Groups) * int(unsafe.Sizeof(uintptr(0)))))
		for g, group := range m.Groups {
			if t := l.text(group); t != nil {
				unsafe.Slice(groups, len(m.Groups))[g] = t
			}
		}
		if array == nil {
			continue
		}
		to := &unsafe.Slice(array, len(all))[i]
		*to = C.blaze_member{
			incarnation: C.uint32_t(m.Incarnation), name: name, address: address, groups: groups, group_count: C.size_t(len(m.Groups)),
		}
		if !m.Started.IsZero() {
			to.started = C.int64_t(m.Started.UnixNano())
		}
		setID(&to.id, m.ID)
	}
	return array
}

// laid is a block of which f fills in what it points to.
func laid(f func(*layout)) unsafe.Pointer {
	var l layout
	f(&l)
	p := abi.NewBlock(max(l.used, 8))
	l = layout{memory: unsafe.Slice((*byte)(p), max(l.used, 8))}
	f(&l)
	return p
}

func memberBlock(all []blaze.Member) *C.blaze_member {
	return (*C.blaze_member)(laid(func(l *layout) { l.members(all) }))
}

// giveMember hands out a member.
func giveMember(to **C.blaze_member, m blaze.Member, err error) C.int {
	if err == nil {
		*to = memberBlock([]blaze.Member{m})
	}
	return code(err)
}

//export blazeJoin
func blazeJoin(h C.uint64_t, group *C.char) C.int { return code(abi.Join(uint64(h), text(group))) }

//export blazeLeave
func blazeLeave(h C.uint64_t, group *C.char) C.int { return code(abi.Leave(uint64(h), text(group))) }

//export blazeLocal
func blazeLocal(h C.uint64_t, to **C.blaze_member) C.int {
	m, err := abi.Local(uint64(h))
	return giveMember(to, m, err)
}

//export blazeMembers
func blazeMembers(h C.uint64_t, group *C.char, to **C.blaze_member, count *C.size_t) C.int {
	var of *string
	if group != nil {
		name := text(group)
		of = &name
	}
	all, err := abi.Members(uint64(h), of)
	if err == nil {
		*to, *count = memberBlock(all), C.size_t(len(all))
	}
	return code(err)
}

//export blazeMemberByID
func blazeMemberByID(h C.uint64_t, id *C.blaze_id, to **C.blaze_member) C.int {
	m, err := abi.MemberByID(uint64(h), idOf(id))
	return giveMember(to, m, err)
}

//export blazeMemberNamed
func blazeMemberNamed(h C.uint64_t, name *C.char, to **C.blaze_member) C.int {
	m, err := abi.MemberNamed(uint64(h), text(name))
	return giveMember(to, m, err)
}

//export blazeWaitMembers
func blazeWaitMembers(h C.uint64_t, n C.size_t, timeout C.int64_t) C.int {
	return code(abi.WaitMembers(uint64(h), uint64(n), int64(timeout)))
}

//export blazeOnMember
func blazeOnMember(h C.uint64_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	l, err := abi.OnMember(uint64(h), func(e blaze.MemberEvent) {
		m := memberBlock([]blaze.Member{e.Member})
		C.blaze_go_member(fn, arg, C.uint32_t(e.Kind), m, withNUL(e.Group))
		_ = abi.Release(unsafe.Pointer(m))
	})
	return give(to, l, err)
}

//export blazeSend
func blazeSend(h C.uint64_t, id *C.blaze_id, inbox *C.char, message C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Send(uint64(h), idOf(id), textOr(inbox), uint64(message), int64(timeout)))
}

//export blazeSendGroup
func blazeSendGroup(h C.uint64_t, group *C.char, message C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.SendGroup(uint64(h), text(group), uint64(message), int64(timeout)))
}

//export blazeRequest
func blazeRequest(h C.uint64_t, id *C.blaze_id, message C.uint64_t, reply *C.uint64_t, timeout C.int64_t) C.int {
	r, err := abi.Request(uint64(h), idOf(id), uint64(message), int64(timeout))
	return give(reply, r, err)
}

//export blazeReply
func blazeReply(h, request, reply C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Reply(uint64(h), uint64(request), uint64(reply), int64(timeout)))
}

//export blazeEnqueue
func blazeEnqueue(h C.uint64_t, queue *C.char, message C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Enqueue(uint64(h), text(queue), uint64(message), int64(timeout)))
}

//export blazeRequestQueue
func blazeRequestQueue(h C.uint64_t, queue *C.char, message C.uint64_t, reply *C.uint64_t, timeout C.int64_t) C.int {
	r, err := abi.RequestQueue(uint64(h), text(queue), uint64(message), int64(timeout))
	return give(reply, r, err)
}

//export blazeQueues
func blazeQueues(h C.uint64_t, to **C.char) C.int {
	b, err := abi.Queues(uint64(h))
	return json(to, b, err)
}

//export blazeHandleInbox
func blazeHandleInbox(h C.uint64_t, inbox *C.char, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	s, err := abi.HandleInbox(uint64(h), textOr(inbox), func(m uint64) { C.blaze_go_mail(fn, arg, C.uint64_t(m)) })
	return give(to, s, err)
}

//export blazeConsume
func blazeConsume(h C.uint64_t, queue *C.char, flags C.uint32_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	if err := known(flags, C.BLAZE_EXCLUSIVE); err != nil {
		return code(err)
	}
	s, err := abi.Consume(uint64(h), text(queue), flags != 0, func(m uint64) int { return int(C.blaze_go_work(fn, arg, C.uint64_t(m))) })
	return give(to, s, err)
}

//export blazeHandleCalls
func blazeHandleCalls(h C.uint64_t, inbox *C.char, flags C.uint32_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	if err := known(flags, C.BLAZE_INLINE); err != nil {
		return code(err)
	}
	s, err := abi.HandleCalls(uint64(h), textOr(inbox), flags != 0, func(call uint64, c *blaze.Call) {
		high, low := halves(c.From)
		C.blaze_go_call(fn, arg, C.uint64_t(call), unsafe.Pointer(unsafe.SliceData(c.Payload)), C.size_t(len(c.Payload)), high, low,
			C.int64_t(c.Received), C.uint32_t(c.Kind), flag[C.uint32_t](c.Wanted))
	})
	return give(to, s, err)
}

//export blazeCallReply
func blazeCallReply(h C.uint64_t, payload unsafe.Pointer, n C.size_t) C.int {
	b, err := abi.Bytes("payload", payload, uint64(n))
	if err == nil {
		err = abi.CallReply(uint64(h), b)
	}
	return code(err)
}

//export blazeRequestPayload
func blazeRequestPayload(h C.uint64_t, id *C.blaze_id, inbox *C.char, payload unsafe.Pointer, n C.size_t, reply unsafe.Pointer,
	room C.size_t, length *C.size_t, timeout C.int64_t) C.int {
	b, err := abi.Bytes("payload", payload, uint64(n))
	if err != nil {
		return code(err)
	}
	to, err := abi.Bytes("reply", reply, uint64(room))
	if err != nil {
		return code(err)
	}
	got, err := abi.RequestPayload(uint64(h), idOf(id), textOr(inbox), b, to, int64(timeout))
	*length = C.size_t(got)
	return code(err)
}
