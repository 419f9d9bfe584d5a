package held

import "slices"

// key is a place in a tree, by hi and then lo.
type key struct{ hi, lo uint64 }

func (k key) less(l key) bool { return k.hi < l.hi || k.hi == l.hi && k.lo < l.lo }

func compareKeys(a, b key) int {
	switch {
	case a.less(b):
		return -1
	case b.less(a):
		return 1
	}
	return 0
}

// treeWidth is how many items a leaf has at most, and how many kids an inner node.
const treeWidth = 32

// tree is an ordered map of which quick copies can be made: a B+ tree that copies a node before it changes it when a
// view shares it. The zero tree is empty. Calls must not overlap.
type tree[V any] struct {
	view[V]
	edit uint64
}

// view is what a tree was at one moment. It never changes, and any goroutine may read it.
type view[V any] struct {
	root  *treeNode[V]
	count int
}

// treeNode is a leaf with vals, or an inner node with kids. The keys of an inner node are at most the lowest of the
// kids.
type treeNode[V any] struct {
	edit uint64
	keys []key
	vals []V
	kids []*treeNode[V]
}

// snapshot returns the tree as it is. What is changed afterwards is copied first.
func (t *tree[V]) snapshot() view[V] {
	t.edit++
	return t.view
}

func (v *view[V]) len() int { return v.count }

// find is where k is, or would be.
func (n *treeNode[V]) find(k key) (i int, found bool) {
	low, high := 0, len(n.keys)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if n.keys[mid].less(k) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(n.keys) && n.keys[low] == k
}

// kid is which kid of the inner node n holds k.
func (n *treeNode[V]) kid(k key) int {
	i, found := n.find(k)
	if found || i == 0 {
		return i
	}
	return i - 1
}

// get returns what k holds.
func (v *view[V]) get(k key) (val V, ok bool) {
	n := v.root
	if n == nil {
		return val, false
	}
	for n.kids != nil {
		n = n.kids[n.kid(k)]
	}
	if i, found := n.find(k); found {
		return n.vals[i], true
	}
	return val, false
}

// from yields what lies at low or behind it, in order. The tree must not be changed meanwhile.
func (v *view[V]) from(low key, yield func(key, V) bool) {
	if v.root != nil {
		v.root.from(low, yield)
	}
}

func (n *treeNode[V]) from(low key, yield func(key, V) bool) bool {
	if n.kids != nil {
		for i := n.kid(low); i < len(n.kids); i++ {
			if !n.kids[i].from(low, yield) {
				return false
			}
		}
		return true
	}
	for i, _ := n.find(low); i < len(n.keys); i++ {
		if !yield(n.keys[i], n.vals[i]) {
			return false
		}
	}
	return true
}

// first returns the lowest item at low or behind it.
func (v *view[V]) first(low key) (k key, val V, ok bool) {
	v.from(low, func(l key, w V) bool {
		k, val, ok = l, w, true
		return false
	})
	return k, val, ok
}

// put sets what k holds.
func (t *tree[V]) put(k key, val V) {
	if t.root == nil {
		t.root = &treeNode[V]{edit: t.edit}
	}
	t.root = t.own(t.root)
	right := t.insert(t.root, k, val)
	if right != nil {
		left := t.root
		t.root = &treeNode[V]{edit: t.edit, keys: make([]key, 0, treeWidth), kids: make([]*treeNode[V], 0, treeWidth)}
		t.root.keys = append(t.root.keys, left.keys[0], right.keys[0])
		t.root.kids = append(t.root.kids, left, right)
	}
}

// insert puts into n, which is the tree's own. It returns a new right neighbour where n was split.
func (t *tree[V]) insert(n *treeNode[V], k key, val V) (right *treeNode[V]) {
	if n.kids == nil {
		i, found := n.find(k)
		if found {
			n.vals[i] = val
			return nil
		}
		t.count++
		n, i, right = t.room(n, i)
		n.keys, n.vals = slices.Insert(n.keys, i, k), slices.Insert(n.vals, i, val)
		return right
	}
	i := n.kid(k)
	n.kids[i] = t.own(n.kids[i])
	if k.less(n.keys[i]) {
		n.keys[i] = k
	}
	more := t.insert(n.kids[i], k, val)
	if more == nil {
		return nil
	}
	n, i, right = t.room(n, i+1)
	n.keys, n.kids = slices.Insert(n.keys, i, more.keys[0]), slices.Insert(n.kids, i, more)
	return right
}

// room splits n if it is full. It returns the node in which place i lies now, that place, and the new neighbour. What is
// appended at the end leaves full nodes behind: messages mostly are.
func (t *tree[V]) room(n *treeNode[V], i int) (at *treeNode[V], place int, right *treeNode[V]) {
	if len(n.keys) < treeWidth {
		return n, i, nil
	}
	cut := treeWidth / 2
	if i == treeWidth {
		cut = treeWidth
	}
	right = &treeNode[V]{edit: t.edit, keys: make([]key, 0, treeWidth)}
	right.keys = append(right.keys, n.keys[cut:]...)
	if n.kids != nil {
		right.kids = append(make([]*treeNode[V], 0, treeWidth), n.kids[cut:]...)
		clear(n.kids[cut:])
		n.kids = n.kids[:cut]
	} else {
		right.vals = append(make([]V, 0, treeWidth), n.vals[cut:]...)
		clear(n.vals[cut:])
		n.vals = n.vals[:cut]
	}
	n.keys = n.keys[:cut]
	if i < cut || i == cut && cut < treeWidth {
		return n, i, right
	}
	return right, i - cut, right
}

// remove removes k, and returns what it held.
func (t *tree[V]) remove(k key) (val V, ok bool) {
	if val, ok = t.get(k); !ok {
		return val, false
	}
	t.root = t.own(t.root)
	t.cut(t.root, k)
	t.count--
	for t.root != nil && t.root.kids != nil && len(t.root.kids) == 1 {
		t.root = t.root.kids[0]
	}
	if len(t.root.keys) == 0 {
		t.root = nil
	}
	return val, true
}

// cut removes k, which is there, below n, which is the tree's own.
func (t *tree[V]) cut(n *treeNode[V], k key) {
	if n.kids == nil {
		i, _ := n.find(k)
		n.keys, n.vals = slices.Delete(n.keys, i, i+1), slices.Delete(n.vals, i, i+1)
		return
	}
	i := n.kid(k)
	kid := t.own(n.kids[i])
	n.kids[i] = kid
	t.cut(kid, k)
	switch {
	case len(kid.keys) == 0:
		n.keys, n.kids = slices.Delete(n.keys, i, i+1), slices.Delete(n.kids, i, i+1)
	case len(kid.keys) < treeWidth/4:
		if i+1 < len(n.kids) && len(kid.keys)+len(n.kids[i+1].keys) <= treeWidth*3/4 {
			t.join(n, i)
		} else if i > 0 && len(kid.keys)+len(n.kids[i-1].keys) <= treeWidth*3/4 {
			n.kids[i-1] = t.own(n.kids[i-1])
			t.join(n, i-1)
		}
	}
}

// join moves what kid i+1 of n has to kid i, which is the tree's own.
func (t *tree[V]) join(n *treeNode[V], i int) {
	kid, next := n.kids[i], n.kids[i+1]
	kid.keys = append(kid.keys, next.keys...)
	if kid.kids != nil {
		kid.kids = append(kid.kids, next.kids...)
	} else {
		kid.vals = append(kid.vals, next.vals...)
	}
	n.keys, n.kids = slices.Delete(n.keys, i+1, i+2), slices.Delete(n.kids, i+1, i+2)
}

// own returns n, or a copy where a view may share it.
func (t *tree[V]) own(n *treeNode[V]) *treeNode[V] {
	if n.edit == t.edit {
		return n
	}
	c := &treeNode[V]{edit: t.edit, keys: append(make([]key, 0, treeWidth), n.keys...)}
	if n.kids != nil {
		c.kids = append(make([]*treeNode[V], 0, treeWidth), n.kids...)
	} else {
		c.vals = append(make([]V, 0, treeWidth), n.vals...)
	}
	return c
}
