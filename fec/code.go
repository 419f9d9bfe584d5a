package fec

import "github.com/klauspost/reedsolomon"

// symbolAlign is what symbols are padded to in memory. The vector code works on 64 bytes at a
// time and goes through a slow tail otherwise.
const symbolAlign = 64

// padded is the length in memory of a symbol of n bytes.
func padded(n int) int { return (n + symbolAlign - 1) &^ (symbolAlign - 1) }

// field is the library's arithmetic on slices. The same call is what its EncodeIdx does for each
// row; called directly, it takes any subset of rows, needs no encoder for each (k, m) and keeps
// nothing, whereas the library's matrices come with a cache of inversions that grows with the
// pattern of losses.
var field reedsolomon.LowLevel

// Accumulate adds source symbol c (0..MaxSource-1) to the repair symbols with the indexes
// 0..len(repair)-1. They begin as zeros and are at least as long as symbol; a source symbol that
// is shorter than others counts as padded with zeros. It allocates nothing.
func Accumulate(repair [][]byte, c int, symbol []byte) {
	r := 0
	for ; r+1 < len(repair); r += 2 {
		mulAdd2(matrix[r][c], matrix[r+1][c], symbol, repair[r], repair[r+1])
	}
	if r < len(repair) {
		field.GalMulSliceXor(matrix[r][c], symbol, repair[r])
	}
}

// AccumulateRow is Accumulate for the one repair symbol with index r.
func AccumulateRow(repair []byte, r, c int, symbol []byte) {
	field.GalMulSliceXor(matrix[r][c], symbol, repair)
}

// Solver rebuilds lost source symbols of one block. Its memory is used again and again; the zero
// value is ready. One block goes
//
//	s.Begin(lost, rows)        // which source symbols, and by which repair symbols
//	s.Subtract(repair, c, sym) // for every source symbol that is here
//	s.Combine(out, j, repair)  // for every lost one
type Solver struct{ inverse inversion }

// Begin names the lost source symbols and the repair symbols that replace them: as many, each
// once, 1..MaxSource of them.
func (s *Solver) Begin(lost, rows []uint8) { s.inverse.set(rows, lost) }

// Subtract takes source symbol c, which is here, out of the repair symbols, given in the order
// of rows.
func (s *Solver) Subtract(repair [][]byte, c int, symbol []byte) {
	rows, i := s.inverse.rows[:len(repair)], 0
	for ; i+1 < len(repair); i += 2 {
		mulAdd2(matrix[rows[i]][c], matrix[rows[i+1]][c], symbol, repair[i], repair[i+1])
	}
	if i < len(repair) {
		field.GalMulSliceXor(matrix[rows[i]][c], symbol, repair[i])
	}
}

// Combine adds to out, which is zeros, the j-th lost symbol. The repair symbols have had every
// source symbol that is here subtracted, and are as long as out.
func (s *Solver) Combine(out []byte, j int, repair [][]byte) {
	for i := range repair {
		field.GalMulSliceXor(s.inverse.at(j, i), repair[i], out)
	}
}
