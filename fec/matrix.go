package fec

// Bounds of a block.
const (
	MaxSource = 64  // source symbols
	MaxSymbol = 128 // source and repair symbols together
)

// The matrix is part of the wire format: scheme 1 (docs/wire.md). The repair symbol with index r
// is the sum over the source symbols c of Coefficient(r, c) times symbol c, with
//
//	Coefficient(r, c) = 1 / ((64 + r) ^ c)
//
// a Cauchy matrix over the points 64 + r and c. Every square part of it can be inverted, so any k
// of the k + m symbols give the block back.
//
// No coefficient depends on k or m. Hence a block that is closed early is one whose other
// symbols are zero, and more repair symbols can be made for it at any time.
//
// No coefficient is 1 either. A row of ones, a plain XOR, would be a little faster; but CRCs go
// through XOR: the XOR of an odd number of symbols with right CRCs has a right CRC, so that what
// is computed from symbols that do not belong together would pass. It does not pass here.

// Coefficient is the factor of source symbol c in the repair symbol with index r. c is
// 0..MaxSource-1, r is 0..MaxSymbol-2; it panics beyond.
func Coefficient(r, c int) byte { return matrix[r][c] }

var matrix = makeMatrix()

// pointOf is the point of repair symbol r in the Cauchy matrix; that of source symbol c is c.
func pointOf(r int) byte { return byte(MaxSource + r) }

func makeMatrix() (m [MaxSymbol - 1][MaxSource]byte) {
	for r := range m {
		for c := range m[r] {
			m[r][c] = inverse(pointOf(r) ^ byte(c))
		}
	}
	return m
}

// inversion is the inverse of the square part of the matrix with the given rows and columns, in
// the closed form that Cauchy matrices have: O(e²) table look-ups, no pivot, no failure.
//
// With rows at points x and columns at points y, the inverse of (1/(x_i + y_j)) has at (j, i)
//
//	Π_k (x_i + y_k) · Π_k (x_k + y_j)
//	---------------------------------------------------------
//	(x_i + y_j) · Π_(k≠i) (x_i + x_k) · Π_(k≠j) (y_j + y_k)
//
// (Knuth, The Art of Computer Programming 1, 1.2.3, exercise 41). The first factors depend on i
// alone, the second ones on j alone, so that 2e logarithms are kept and no matrix.
type inversion struct {
	rows, columns       [MaxSource]uint8
	rowPart, columnPart [MaxSource]int16 // logarithms, 0..254
}

// set prepares the inverse for e rows (indexes of repair symbols) and e columns (of source
// symbols), each without repetition.
func (v *inversion) set(rows, columns []uint8) {
	e := len(rows)
	copy(v.rows[:], rows)
	copy(v.columns[:], columns[:e])
	for i := range e {
		up, down := 0, 0
		x := pointOf(int(rows[i]))
		for k := range e {
			up += int(logTable[x^columns[k]])
			if k != i {
				down += int(logTable[x^pointOf(int(rows[k]))])
			}
		}
		v.rowPart[i] = reduced(up - down)
	}
	for j := range e {
		up, down := 0, 0
		y := columns[j]
		for k := range e {
			up += int(logTable[pointOf(int(rows[k]))^y])
			if k != j {
				down += int(logTable[y^columns[k]])
			}
		}
		v.columnPart[j] = reduced(up - down)
	}
}

// at is the factor of what row i leaves over in the lost source symbol of column j.
func (v *inversion) at(j, i int) byte {
	l := int(v.rowPart[i]) + int(v.columnPart[j]) - int(logTable[pointOf(int(v.rows[i]))^v.columns[j]])
	return expTable[reduced(l)]
}

// reduced brings a logarithm into 0..254.
func reduced(l int) int16 {
	if l %= order; l < 0 {
		l += order
	}
	return int16(l)
}
