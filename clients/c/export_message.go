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

// valueOf is a value that the caller passes, and its bytes.
func valueOf(v *C.blaze_value) (*abi.Value, []byte, error) {
	out := &abi.Value{Kind: uint32(v.kind), Integer: int64(v.integer), Real: float64(v.real), Map: uint64(v.inner)}
	if k := blaze.ValueKind(min(v.kind, 255)); k != blaze.BytesKind && k != blaze.StringKind {
		return out, nil, nil
	}
	b, err := abi.Bytes("value.data", v.data, uint64(v.length))
	return out, b, err
}

// show puts a value where the caller wants it.
func show(to *C.blaze_value, v abi.Value, err error) C.int {
	if err == nil {
		*to = C.blaze_value{
			kind: C.uint32_t(v.Kind), integer: C.int64_t(v.Integer), real: C.double(v.Real), data: v.Data, length: C.size_t(v.Length),
			inner: C.blaze_message(v.Map),
		}
	}
	return code(err)
}

//export blazeMessageNew
func blazeMessageNew(to *C.uint64_t) C.int {
	h, err := abi.NewMessage()
	return give(to, h, err)
}

//export blazeMessageKeep
func blazeMessageKeep(h C.uint64_t) C.int { return code(abi.Keep(uint64(h))) }

//export blazeMessageSet
func blazeMessageSet(h C.uint64_t, key *C.char, v *C.blaze_value) C.int {
	value, b, err := valueOf(v)
	if err == nil {
		err = abi.Set(uint64(h), text(key), value, b)
	}
	return code(err)
}

//export blazeMessageGet
func blazeMessageGet(h C.uint64_t, key *C.char, to *C.blaze_value) C.int {
	v, err := abi.Get(uint64(h), text(key))
	return show(to, v, err)
}

//export blazeMessageRead
func blazeMessageRead(h C.uint64_t, key *C.char, kind C.uint32_t, to *C.blaze_value) C.int {
	v, err := abi.Read(uint64(h), text(key), blaze.ValueKind(kind))
	return show(to, v, err)
}

//export blazeMessageDelete
func blazeMessageDelete(h C.uint64_t, key *C.char) C.int {
	return code(abi.Delete(uint64(h), text(key)))
}

//export blazeMessageCount
func blazeMessageCount(h C.uint64_t, to *C.size_t) C.int {
	n, err := abi.Count(uint64(h))
	if err == nil {
		*to = C.size_t(n)
	}
	return code(err)
}

//export blazeMessageAt
func blazeMessageAt(h C.uint64_t, i C.size_t, key **C.char, to *C.blaze_value) C.int {
	k, v, err := abi.At(uint64(h), uint64(i))
	if err == nil {
		*key = (*C.char)(k)
	}
	return show(to, v, err)
}

//export blazeMessageSetBody
func blazeMessageSetBody(h C.uint64_t, v *C.blaze_value) C.int {
	value, b, err := valueOf(v)
	if err == nil {
		err = abi.SetBody(uint64(h), value, b)
	}
	return code(err)
}

//export blazeMessageBody
func blazeMessageBody(h C.uint64_t, to *C.blaze_value) C.int {
	v, err := abi.Body(uint64(h))
	return show(to, v, err)
}

//export blazeMessageEncode
func blazeMessageEncode(h C.uint64_t, to *unsafe.Pointer, length *C.size_t) C.int {
	p, n, err := abi.Encode(uint64(h))
	if err == nil {
		*to, *length = p, C.size_t(n)
	}
	return code(err)
}

//export blazeMessageDecode
func blazeMessageDecode(p unsafe.Pointer, n C.size_t, kind C.uint32_t, to *C.uint64_t) C.int {
	b, err := abi.Bytes("bytes", p, uint64(n))
	if err != nil {
		return code(err)
	}
	make := abi.FromRaw
	if kind == C.BLAZE_KIND_MESSAGE {
		make = abi.Decode
	}
	h, err := make(b)
	return give(to, h, err)
}

//export blazeMessageAbout
func blazeMessageAbout(h C.uint64_t, to *C.blaze_message_info) C.int {
	a, err := abi.AboutOf(uint64(h))
	if err == nil {
		*to = C.blaze_message_info{
			topic: (*C.char)(a.Topic), sequence: C.uint64_t(a.Sequence),
			redelivered: flag[C.uint32_t](a.Redelivered), wanted: flag[C.uint32_t](a.Wanted),
		}
		setID(&to.from, a.From)
	}
	return code(err)
}
