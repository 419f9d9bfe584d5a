package wire

import (
	"hash/crc32"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// checksum is crc32.Update for Castagnoli's polynomial. The standard library runs three streams of
// 168 or 1,344 bytes each, which leaves a third of a datagram, and all of a short one, to a single
// one; here the streams are as long as the datagram makes them. A full datagram takes two thirds of the time.
func checksum(crc uint32, b []byte) uint32 {
	if !streams || len(b) == 0 {
		return crc32.Update(crc, castagnoli, b)
	}
	return ^crc32c(^crc, unsafe.Pointer(unsafe.SliceData(b)), len(b), &shifts)
}

//go:noescape
func crc32c(crc uint32, p unsafe.Pointer, n int, shifts *[maxStride + 1]shift) uint32

var streams = cpu.X86.HasSSE42 && cpu.X86.HasPCLMULQDQ

// maxStride is the most words of 8 bytes that a stream has: three of them are 1,544 bytes.
const maxStride = 64

// shift is what the CRCs of the first two of three streams are multiplied by, to be added to the
// word behind the third one: powers of x, as carry-less multiplication wants them (V. Gopal and
// others: Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction, Intel 2011).
type shift struct{ first, second uint32 }

var shifts = func() (t [maxStride + 1]shift) {
	for words := 1; words <= maxStride; words++ {
		t[words] = shift{power(8*(16*words+8) - 33), power(8*(8*words+8) - 33)}
	}
	return t
}()

// power is x^n modulo Castagnoli's polynomial, bits reflected.
func power(n int) uint32 {
	p := uint32(1) << 31
	for range n {
		p = p>>1 ^ crc32.Castagnoli&-(p&1)
	}
	return p
}
