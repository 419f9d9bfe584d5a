package main

/*
#cgo CFLAGS: -O2 -Wall -fvisibility=hidden
#include <stdlib.h>
#include "shell.h"
*/
import "C"

import (
	"encoding/binary"
	"unsafe"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/clients/c/internal/abi"
)

// heap is C's.
type heap struct{}

func (heap) Alloc(n int) unsafe.Pointer { return C.malloc(C.size_t(n)) }
func (heap) Free(p unsafe.Pointer)      { C.free(p) }

func init() { abi.Heap = heap{} }

// code is what an export returns: 0; the negative code of an error whose text blaze.c has kept; or, for the answer that
// comes often, the code as a positive number, which needs no text.
func code(err error) C.int {
	switch err {
	case nil:
		return 0
	case blaze.ErrBackPressure, abi.ErrTimeout, blaze.ErrNotOwner:
		n, _ := abi.Code(err)
		return C.int(-n)
	}
	n, matches := abi.Code(err)
	text := err.Error()
	C.blaze_go_failed(C.int(n), C.uint64_t(matches), (*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text)))
	return C.int(n)
}

// give puts a handle where the caller wants it.
func give(to *C.uint64_t, h uint64, err error) C.int {
	if err == nil {
		*to = C.uint64_t(h)
	}
	return code(err)
}

// text is a C string, which must be there; blaze.c has looked.
func text(s *C.char) string { return C.GoString(s) }

// halves are the two halves of an id's bytes, as blaze.c takes them.
func halves(id blaze.MemberID) (high, low C.uint64_t) {
	return C.uint64_t(binary.NativeEndian.Uint64(id[:8])), C.uint64_t(binary.NativeEndian.Uint64(id[8:]))
}

func idOf(id *C.blaze_id) blaze.MemberID { return *(*blaze.MemberID)(unsafe.Pointer(id)) }

func setID(to *C.blaze_id, id blaze.MemberID) { *(*blaze.MemberID)(unsafe.Pointer(to)) = id }

// flag is 1 for true.
func flag[T ~int32 | ~uint32](b bool) T {
	if b {
		return 1
	}
	return 0
}

// json hands out a text.
func json(to **C.char, text []byte, err error) C.int {
	if err == nil {
		*to = (*C.char)(abi.TextBlock(text))
	}
	return code(err)
}

//export blazeClose
func blazeClose(h C.uint64_t) C.int { return code(abi.Close(uint64(h))) }

//export blazeRelease
func blazeRelease(p unsafe.Pointer) C.int { return code(abi.Release(p)) }

//export blazeIDParse
func blazeIDParse(s *C.char, to *C.blaze_id) C.int {
	id, err := abi.ParseID(text(s))
	if err == nil {
		setID(to, id)
	}
	return code(err)
}

//export blazeConfigNew
func blazeConfigNew(to *C.uint64_t) C.int {
	h, err := abi.NewConfig()
	return give(to, h, err)
}

//export blazeConfigSet
func blazeConfigSet(h C.uint64_t, name, value *C.char) C.int {
	return code(abi.SetConfig(uint64(h), text(name), text(value)))
}

//export blazeConfigLog
func blazeConfigLog(h C.uint64_t, level C.int, fn, arg C.uintptr_t) C.int {
	return code(abi.LogTo(uint64(h), int(level), func(level int, line string) {
		s := C.CString(line)
		C.blaze_go_log(fn, arg, C.int(level), s)
		C.free(unsafe.Pointer(s))
	}))
}

//export blazeOpen
func blazeOpen(config C.uint64_t, kind C.int, to *C.uint64_t) C.int {
	h, err := abi.NewChannel(uint64(config), int(kind))
	return give(to, h, err)
}

//export blazeInit
func blazeInit(h C.uint64_t) C.int { return code(abi.Init(uint64(h))) }

//export blazeStart
func blazeStart(h C.uint64_t) C.int { return code(abi.Start(uint64(h))) }

//export blazeStop
func blazeStop(h C.uint64_t) C.int { return code(abi.Stop(uint64(h))) }

//export blazeState
func blazeState(h C.uint64_t, to *C.int) C.int {
	s, err := abi.State(uint64(h))
	if err == nil {
		*to = C.int(s)
	}
	return code(err)
}

//export blazeChannelID
func blazeChannelID(h C.uint64_t, to *C.blaze_id) C.int {
	id, err := abi.ID(uint64(h))
	if err == nil {
		setID(to, id)
	}
	return code(err)
}

// blazeTurn returns how much there was to do, or a negative code.
//
//export blazeTurn
func blazeTurn(h C.uint64_t) C.int {
	n, err := abi.Turn(uint64(h))
	if err != nil {
		return code(err)
	}
	return C.int(n)
}

//export blazeStats
func blazeStats(h C.uint64_t, to **C.char) C.int {
	b, err := abi.Stats(uint64(h))
	return json(to, b, err)
}

//export blazePublisher
func blazePublisher(h C.uint64_t, topic *C.char, to *C.uint64_t) C.int {
	p, err := abi.NewPublisher(uint64(h), text(topic))
	return give(to, p, err)
}

//export blazeOffer
func blazeOffer(h C.uint64_t, payload unsafe.Pointer, n C.size_t) C.int {
	b, err := abi.Bytes("payload", payload, uint64(n))
	if err != nil {
		return code(err)
	}
	return code(abi.Offer(uint64(h), b))
}

//export blazeClaim
func blazeClaim(h C.uint64_t, n C.size_t, to *C.uint64_t, bytes *C.uintptr_t) C.int {
	c, room, err := abi.NewClaim(uint64(h), uint64(n))
	if err == nil {
		*to, *bytes = C.uint64_t(c), C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(room))))
	}
	return code(err)
}

//export blazeCommit
func blazeCommit(h C.uint64_t) C.int { return code(abi.Commit(uint64(h))) }

//export blazeAbort
func blazeAbort(h C.uint64_t) C.int { return code(abi.Abort(uint64(h))) }

//export blazeReceivers
func blazeReceivers(h C.uint64_t, to *C.size_t) C.int {
	n, err := abi.Receivers(uint64(h))
	if err == nil {
		*to = C.size_t(n)
	}
	return code(err)
}

//export blazeWaitReceivers
func blazeWaitReceivers(h C.uint64_t, n C.size_t, timeout C.int64_t) C.int {
	return code(abi.WaitReceivers(uint64(h), uint64(n), int64(timeout)))
}

//export blazeBroadcast
func blazeBroadcast(h C.uint64_t, topic *C.char, message C.uint64_t, timeout C.int64_t) C.int {
	return code(abi.Broadcast(uint64(h), text(topic), uint64(message), int64(timeout)))
}

// known refuses flags that the call does not have.
func known(flags, all C.uint32_t) error { return abi.Flags(uint32(flags), uint32(all)) }

//export blazeSubscribe
func blazeSubscribe(h C.uint64_t, pattern *C.char, flags C.uint32_t, onMessage, onLoss, arg C.uintptr_t, to *C.uint64_t) C.int {
	if err := known(flags, C.BLAZE_INLINE); err != nil {
		return code(err)
	}
	message := func(d *blaze.Delivery) { deliver(onMessage, arg, d, withNUL(d.Topic)) }
	if flags == 0 || !shared(uint64(h)) { // one call at a time
		lent := new(lentTopic)
		message = func(d *blaze.Delivery) { deliver(onMessage, arg, d, lent.of(d.Topic)) }
	}
	var loss func(*blaze.Loss)
	if onLoss != 0 {
		loss = func(l *blaze.Loss) {
			high, low := halves(l.From)
			C.blaze_go_loss(onLoss, arg, high, low, C.uint64_t(l.First), C.uint64_t(l.Last), C.uint32_t(l.Stream), C.uint32_t(l.Reason))
		}
	}
	s, err := abi.Subscribe(uint64(h), text(pattern), flags != 0, message, loss)
	return give(to, s, err)
}

// shared reports whether an Inline handler may run on several engines at a time.
func shared(h uint64) bool { return abi.Engines(h) > 1 }

func deliver(fn, arg C.uintptr_t, d *blaze.Delivery, topic *C.char) {
	high, low := halves(d.From)
	C.blaze_go_message(fn, arg, (*C.uchar)(unsafe.SliceData(d.Payload)), C.size_t(len(d.Payload)), topic, C.size_t(len(d.Topic)),
		high, low, C.uint64_t(d.Sequence), C.int64_t(d.Received), C.uint32_t(d.Kind))
}

// lentTopic is the last topic with a NUL behind it: most messages repeat it.
type lentTopic struct {
	topic string
	bytes []byte
}

func (l *lentTopic) of(topic string) *C.char {
	if topic != l.topic || l.bytes == nil {
		l.topic, l.bytes = topic, append(append(l.bytes[:0], topic...), 0)
	}
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(l.bytes)))
}

func withNUL(s string) *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(append([]byte(s), 0))))
}

//export blazeSubscribePoll
func blazeSubscribePoll(h C.uint64_t, pattern *C.char, to *C.uint64_t) C.int {
	s, err := abi.SubscribePoll(uint64(h), text(pattern))
	return give(to, s, err)
}

//export blazePoll
func blazePoll(h C.uint64_t, events *C.blaze_event, most C.size_t, count *C.size_t, timeout C.int64_t) C.int {
	most = min(most, 1<<20)
	room := unsafe.Slice(events, int(most))
	n, err := abi.Poll(uint64(h), int(most), int64(timeout), func(i int, e *abi.Event) {
		out := &room[i]
		*out = C.blaze_event{}
		if l := e.Loss; l != nil {
			out.what = C.BLAZE_EVENT_LOSS
			setID(&out.loss.from, l.From)
			out.loss.first, out.loss.last = C.uint64_t(l.First), C.uint64_t(l.Last)
			out.loss.stream, out.loss.reason = C.uint32_t(l.Stream), C.uint32_t(l.Reason)
			return
		}
		out.what = C.BLAZE_EVENT_MESSAGE
		m := &out.message
		m.payload, m.length = e.Payload, C.size_t(e.Length)
		m.topic, m.topic_length = (*C.char)(e.Topic), C.size_t(e.TopicLength)
		setID(&m.from, e.From)
		m.sequence, m.received, m.kind = C.uint64_t(e.Sequence), C.int64_t(e.Received), C.uint32_t(e.Kind)
	})
	*count = C.size_t(n)
	return code(err)
}

//export blazeSubscriptionError
func blazeSubscriptionError(h C.uint64_t) C.int { return code(abi.SubscriptionError(uint64(h))) }

//export blazeOnStream
func blazeOnStream(h C.uint64_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	l, err := abi.OnStream(uint64(h), func(e blaze.StreamEvent) {
		high, low := halves(e.From)
		C.blaze_go_stream(fn, arg, C.uint32_t(e.Kind), C.uint32_t(e.Stream), high, low, withNUL(e.Addr.String()), withNUL(e.Protocol.String()))
	})
	return give(to, l, err)
}

//export blazeOnView
func blazeOnView(h C.uint64_t, fn, arg C.uintptr_t, to *C.uint64_t) C.int {
	l, err := abi.OnView(uint64(h), func(v blaze.View) {
		high, low := halves(v.ID.Representative)
		C.blaze_go_view(fn, arg, C.uint32_t(v.Kind), C.uint64_t(v.ID.Sequence), high, low,
			(*C.blaze_id)(unsafe.Pointer(unsafe.SliceData(v.Members))), C.size_t(len(v.Members)),
			(*C.blaze_id)(unsafe.Pointer(unsafe.SliceData(v.Together))), C.size_t(len(v.Together)))
	})
	return give(to, l, err)
}
