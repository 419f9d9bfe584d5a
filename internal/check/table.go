package check

// table holds one T for each receiver and stream, without a map: checkers look something up
// for every record of runs that have millions.
type table[T any] struct {
	rows    []T
	streams int
}

func newTable[T any](l *Log) table[T] {
	return table[T]{rows: make([]T, len(l.Procs)*len(l.Streams)), streams: len(l.Streams)}
}

func (t *table[T]) at(p Proc, s Stream) *T { return &t.rows[int(p)*t.streams+int(s)] }

// ranges is a set of message numbers, kept as disjoint, growing ranges. Gaps of one stream at
// one receiver are reported in order, so adding at the end is the common case.
type ranges struct{ list [][2]uint64 }

// add puts first..last into the set; it reports whether any of it was there already.
func (r *ranges) add(first, last uint64) (overlap bool) {
	i := r.search(first)
	overlap = i < len(r.list) && r.list[i][0] <= last
	if i == len(r.list) {
		r.list = append(r.list, [2]uint64{first, last})
		return overlap
	}
	r.list = append(r.list, [2]uint64{})
	copy(r.list[i+1:], r.list[i:])
	r.list[i] = [2]uint64{first, last}
	return overlap
}

// search finds the first range that ends at or after n.
func (r *ranges) search(n uint64) int {
	lo, hi := 0, len(r.list)
	for lo < hi {
		if mid := (lo + hi) / 2; r.list[mid][1] < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

func (r *ranges) has(n uint64) bool {
	i := r.search(n)
	return i < len(r.list) && r.list[i][0] <= n
}
