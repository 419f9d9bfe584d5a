//go:build !amd64

package fec

// mulAdd2 adds a times in to out0, and b times in to out1, which are as long as in or longer and do
// not overlap it.
func mulAdd2(a, b byte, in, out0, out1 []byte) {
	field.GalMulSliceXor(a, in, out0)
	field.GalMulSliceXor(b, in, out1)
}
