package cluster

// heap orders items by key, the lowest first. Each item knows its place, so that it can be taken out. Items whose keys only
// rise are added in constant time.
type heap[T heaped] []T

type heaped interface {
	key() int64
	place() *int // in the heap; below 0: in none
}

func (h *heap[T]) add(x T) {
	*h = append(*h, x)
	*x.place() = len(*h) - 1
	h.up(len(*h) - 1)
}

// remove takes out an item that is in the heap.
func (h *heap[T]) remove(x T) {
	i, last := *x.place(), len(*h)-1
	h.set(i, (*h)[last])
	var none T
	(*h)[last] = none
	if *h = (*h)[:last]; i < last {
		h.down(i)
		h.up(i)
	}
	*x.place() = -1
}

func (h heap[T]) set(i int, x T) {
	h[i] = x
	*x.place() = i
}

func (h heap[T]) up(i int) {
	for x := h[i]; i > 0; {
		p := (i - 1) / 2
		if h[p].key() <= x.key() {
			return
		}
		h.set(i, h[p])
		h.set(p, x)
		i = p
	}
}

func (h heap[T]) down(i int) {
	for x := h[i]; ; {
		k := 2*i + 1
		if k+1 < len(h) && h[k+1].key() < h[k].key() {
			k++
		}
		if k >= len(h) || x.key() <= h[k].key() {
			return
		}
		h.set(i, h[k])
		h.set(k, x)
		i = k
	}
}
