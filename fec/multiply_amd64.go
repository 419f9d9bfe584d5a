package fec

import "github.com/klauspost/cpuid/v2"

// chunk is what mulAdd2AVX2 works on at a time, bytes.
const chunk = 64

var haveAVX2 = cpuid.CPU.Supports(cpuid.AVX2)

// products are those of one constant with 0..15, and with 0..15 times 16.
type products [32]byte

var productsOf = makeProducts()

func makeProducts() (t [256]products) {
	for c := 1; c < len(t); c++ {
		for half := 1; half < 16; half++ {
			t[c][half] = expTable[int(logTable[c])+int(logTable[half])]
			t[c][16+half] = expTable[int(logTable[c])+int(logTable[half<<4])]
		}
	}
	return t
}

// mulAdd2 adds a times in to out0, and b times in to out1, which are as long as in or longer and do
// not overlap it. Each source symbol goes into all repair symbols, so two at a time is the
// natural step; the library's routine takes one.
func mulAdd2(a, b byte, in, out0, out1 []byte) {
	whole := 0
	if haveAVX2 && len(in) >= chunk {
		out0, out1 = out0[:len(in)], out1[:len(in)] // the routine looks at no length
		mulAdd2AVX2(&productsOf[a], &productsOf[b], &in[0], &out0[0], &out1[0], len(in)/chunk)
		if whole = len(in) &^ (chunk - 1); whole == len(in) {
			return
		}
	}
	field.GalMulSliceXor(a, in[whole:], out0[whole:])
	field.GalMulSliceXor(b, in[whole:], out1[whole:])
}

//go:noescape
func mulAdd2AVX2(a, b *products, in, out0, out1 *byte, chunks int)
