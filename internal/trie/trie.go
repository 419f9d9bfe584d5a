// Package trie is the persistent map that a replica keeps its entries in: a hash trie, 16-way below a root of 64, whose
// leaves are small buckets. Its order is that of the entries' hashes, which is the same at every replica.
//
// A Trie is the working copy, which one goroutine changes. A Root is what it was at one moment. A Root never changes; any
// goroutine may read it without a lock, and a Root that somebody keeps costs what was replaced since.
package trie

import (
	"iter"
	"strings"
	"unsafe"
)

const (
	rootBits  = 6
	nodeBits  = 4
	rootWide  = 1 << rootBits
	nodeWide  = 1 << nodeBits
	rootShift = hashBits - rootBits
	bucket    = 32                                // entries of a leaf, but for the deepest ones
	join      = 12                                // leaves below one node are joined when they have no more than this together
	deepest   = -(hashBits / nodeBits) * nodeBits // at this shift both hashes are used up, and a leaf is a list of any length
)

// Places is one more than the highest Entry.Hash.
const Places = 1 << hashBits

// Root is a map as it was at one moment. A nil Root is empty.
type Root struct {
	edit   uint64
	seed   Seed
	count  int
	bytes  int64
	digest uint64
	kids   [rootWide]*node
}

// node is a leaf with items in their order, or an inner node with kids.
type node struct {
	edit  uint64
	kids  *[nodeWide]*node // nil: a leaf
	items []*Entry
	tags  [bucket]uint8 // of the first items: the low bits of their hashes
}

// Trie is the working copy of a map. Its calls must not overlap.
type Trie struct {
	root *Root
	edit uint64 // what this copy's own nodes carry: they are changed in place
}

// New returns an empty Trie whose keys are hashed with seed.
func New(seed Seed) *Trie {
	return &Trie{root: &Root{edit: 1, seed: seed}, edit: 1}
}

// Root returns the map as it is now. What is changed after it is copied first.
func (t *Trie) Root() *Root {
	t.edit = t.root.edit + 1
	return t.root
}

// Get returns the entry of key, or nil. It allocates nothing.
func (r *Root) Get(key string) *Entry {
	if r == nil {
		return nil
	}
	return r.get(r.seed.Hash(bytesOf(key)), key)
}

// Len is how many entries there are.
func (r *Root) Len() int {
	if r == nil {
		return 0
	}
	return r.count
}

// Bytes is the sum of all keys and values.
func (r *Root) Bytes() int64 {
	if r == nil {
		return 0
	}
	return r.bytes
}

// Digest is a hash of all entries, whatever their order: maps are equal if their digests are.
func (r *Root) Digest() uint64 {
	if r == nil {
		return 0
	}
	return r.digest
}

// All yields every entry, in the order of the hashes.
func (r *Root) All() iter.Seq[*Entry] { return r.From(0) }

// From yields every entry whose hash is at least from, in the order of the hashes.
func (r *Root) From(from uint64) iter.Seq[*Entry] {
	return func(yield func(*Entry) bool) {
		if r == nil || from>>hashBits != 0 {
			return
		}
		for i := from >> rootShift; i < rootWide; i++ {
			if !r.kids[i].walk(rootShift, from, i == from>>rootShift, yield) {
				return
			}
		}
	}
}

// walk yields what is below n. Where bounded is set, n may hold hashes below from, which are left out.
func (n *node) walk(shift int, from uint64, bounded bool, yield func(*Entry) bool) bool {
	if n == nil {
		return true
	}
	if n.kids == nil {
		for _, e := range n.items {
			if e.hash >= from && !yield(e) {
				return false
			}
		}
		return true
	}
	shift -= nodeBits
	first := 0
	if bounded = bounded && shift >= 0; bounded {
		first = int(from>>shift) & (nodeWide - 1)
	}
	for i := first; i < nodeWide; i++ {
		if !n.kids[i].walk(shift, from, bounded && i == first, yield) {
			return false
		}
	}
	return true
}

func (r *Root) get(h uint64, key string) *Entry {
	n, shift := r.kids[h>>rootShift], rootShift
	for n != nil && n.kids != nil {
		shift -= nodeBits
		n = n.kids[r.seed.place(h, key, shift)]
	}
	if n == nil {
		return nil
	}
	if i := n.find(h, key); i >= 0 {
		return n.items[i]
	}
	return nil
}

// place is which kid of a node key belongs to; shift is the kids'. Below 0 the hash is used up, and a second one goes on.
func (s Seed) place(h uint64, key string, shift int) int {
	if shift >= 0 {
		return int(h>>shift) & (nodeWide - 1)
	}
	return int(s.second(bytesOf(key))>>(hashBits+shift)) & (nodeWide - 1)
}

// find is where key is in the leaf n, or -1.
func (n *node) find(h uint64, key string) int {
	items := n.items
	tagged := n.tags[:min(len(items), bucket)]
	for i, tag := range tagged {
		if tag == uint8(h) && items[i].hash == h && items[i].Key() == key {
			return i
		}
	}
	for i := len(tagged); i < len(items); i++ {
		if items[i].hash == h && items[i].Key() == key {
			return i
		}
	}
	return -1
}

// Len is how many entries there are.
func (t *Trie) Len() int { return t.root.count }

// Bytes is the sum of all keys and values.
func (t *Trie) Bytes() int64 { return t.root.bytes }

// Digest is a hash of all entries.
func (t *Trie) Digest() uint64 { return t.root.digest }

// Get returns the entry of key, or nil.
func (t *Trie) Get(key []byte) *Entry {
	return t.root.get(t.root.seed.Hash(key), stringOf(key))
}

// Find returns the entry of key, whose Seed.Hash is hash, or nil.
func (t *Trie) Find(hash uint64, key []byte) *Entry { return t.root.get(hash, stringOf(key)) }

// Put sets the entry of e's key, and returns the one that was there before, or nil. e was made with the trie's Seed.
func (t *Trie) Put(e *Entry) (old *Entry) {
	r := t.own()
	key := e.Key()
	slot, shift := &r.kids[e.hash>>rootShift], rootShift
	for {
		n := *slot
		switch {
		case n == nil:
			n = newLeaf(t.edit, 1)
			n.append(e)
			*slot = n
		case n.kids != nil:
			shift -= nodeBits
			slot = &t.ownInner(slot).kids[r.seed.place(e.hash, key, shift)]
			continue
		default:
			if i := n.find(e.hash, key); i >= 0 {
				old = n.items[i]
				t.ownLeaf(slot, 0).items[i] = e
				break
			}
			if len(n.items) >= bucket && shift > deepest {
				*slot = t.split(n, shift-nodeBits)
				continue
			}
			t.ownLeaf(slot, 1).insert(r.seed, e)
		}
		break
	}
	r.add(e)
	if old != nil {
		r.remove(old)
	}
	return old
}

// Delete removes the entry of key, and returns it, or nil.
func (t *Trie) Delete(key []byte) (old *Entry) {
	return t.Remove(t.root.seed.Hash(key), key)
}

// RemoveEntry is Delete of e's key.
func (t *Trie) RemoveEntry(e *Entry) { t.Remove(e.hash, bytesOf(e.Key())) }

// Remove is Delete of key, whose Seed.Hash is h.
func (t *Trie) Remove(h uint64, key []byte) (old *Entry) {
	k := stringOf(key)
	if old = t.root.get(h, k); old == nil {
		return nil
	}
	r := t.own()
	r.remove(old)
	var above [hashBits]**node // inner nodes on the way
	depth := 0
	slot, shift := &r.kids[h>>rootShift], rootShift
	for (*slot).kids != nil {
		above[depth] = slot
		depth++
		shift -= nodeBits
		slot = &t.ownInner(slot).kids[r.seed.place(h, k, shift)]
	}
	n := t.ownLeaf(slot, 0)
	n.cut(n.find(h, k))
	if len(n.items) > 0 {
		return old
	}
	*slot = nil
	for depth--; depth >= 0 && t.join(above[depth]); depth-- {
	}
	return old
}

// own returns the root, which it copies if somebody else may read it.
func (t *Trie) own() *Root {
	if t.root.edit != t.edit {
		r := *t.root
		r.edit = t.edit
		t.root = &r
	}
	return t.root
}

func (t *Trie) ownInner(slot **node) *node {
	n := *slot
	if n.edit != t.edit {
		c := newInner(t.edit)
		*c.kids = *n.kids
		n, *slot = c, c
	}
	return n
}

// ownLeaf returns the leaf at slot, with room for more.
func (t *Trie) ownLeaf(slot **node, more int) *node {
	n := *slot
	if n.edit != t.edit || len(n.items)+more > cap(n.items) {
		c := newLeaf(t.edit, len(n.items)+more)
		c.items = append(c.items, n.items...)
		c.tags = n.tags
		n, *slot = c, c
	}
	return n
}

// split makes a full leaf an inner node whose kids are at shift.
func (t *Trie) split(n *node, shift int) *node {
	in := newInner(t.edit)
	for i := 0; i < len(n.items); {
		place := t.root.seed.place(n.items[i].hash, n.items[i].Key(), shift)
		j := i + 1
		for j < len(n.items) && t.root.seed.place(n.items[j].hash, n.items[j].Key(), shift) == place {
			j++
		}
		leaf := newLeaf(t.edit, j-i)
		for ; i < j; i++ {
			leaf.append(n.items[i])
		}
		in.kids[place] = leaf
	}
	return in
}

// join makes an inner node a leaf, if its kids are leaves with few items, and reports whether it did. A node without
// kids becomes nothing.
func (t *Trie) join(slot **node) bool {
	sum := 0
	for _, k := range (*slot).kids {
		if k == nil {
			continue
		}
		if k.kids != nil {
			return false
		}
		if sum += len(k.items); sum > join {
			return false
		}
	}
	if sum == 0 {
		*slot = nil
		return true
	}
	leaf := newLeaf(t.edit, sum)
	for _, k := range (*slot).kids {
		if k != nil {
			for _, e := range k.items {
				leaf.append(e)
			}
		}
	}
	*slot = leaf
	return true
}

func (r *Root) add(e *Entry) {
	r.count++
	r.bytes += int64(e.Size())
	r.digest += e.digest
}

func (r *Root) remove(e *Entry) {
	r.count--
	r.bytes -= int64(e.Size())
	r.digest -= e.digest
}

// append puts e behind all items.
func (n *node) append(e *Entry) {
	if i := len(n.items); i < bucket {
		n.tags[i] = uint8(e.hash)
	}
	n.items = append(n.items, e)
}

// insert puts e in its place among the items: by hash, second hash, key. There is room for it.
func (n *node) insert(seed Seed, e *Entry) {
	i := len(n.items)
	for i > 0 && before(seed, e, n.items[i-1]) {
		i--
	}
	n.items = n.items[:len(n.items)+1]
	copy(n.items[i+1:], n.items[i:])
	n.items[i] = e
	if i < bucket {
		copy(n.tags[i+1:], n.tags[i:])
		n.tags[i] = uint8(e.hash)
	}
}

// cut removes item i.
func (n *node) cut(i int) {
	last := len(n.items) - 1
	copy(n.items[i:], n.items[i+1:])
	n.items[last] = nil
	n.items = n.items[:last]
	if i < bucket {
		copy(n.tags[i:], n.tags[i+1:])
		if last >= bucket {
			n.tags[bucket-1] = uint8(n.items[bucket-1].hash)
		}
	}
}

func before(seed Seed, a, b *Entry) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	sa, sb := seed.second(bytesOf(a.Key())), seed.second(bytesOf(b.Key()))
	if sa != sb {
		return sa < sb
	}
	return strings.Compare(a.Key(), b.Key()) < 0
}

// Nodes and what they hold are one block: a copy of a path is one allocation a level.

type inner struct {
	node
	kids [nodeWide]*node
}

func newInner(edit uint64) *node {
	n := &inner{node: node{edit: edit}}
	n.node.kids = &n.kids
	return &n.node
}

type (
	leaf4 struct {
		node
		arr [4]*Entry
	}
	leaf8 struct {
		node
		arr [8]*Entry
	}
	leaf16 struct {
		node
		arr [16]*Entry
	}
	leaf32 struct {
		node
		arr [32]*Entry
	}
)

// newLeaf returns an empty leaf with room for n items or some more.
func newLeaf(edit uint64, n int) *node {
	switch {
	case n <= 4:
		l := &leaf4{node: node{edit: edit}}
		l.items = l.arr[:0]
		return &l.node
	case n <= 8:
		l := &leaf8{node: node{edit: edit}}
		l.items = l.arr[:0]
		return &l.node
	case n <= 16:
		l := &leaf16{node: node{edit: edit}}
		l.items = l.arr[:0]
		return &l.node
	case n <= 32:
		l := &leaf32{node: node{edit: edit}}
		l.items = l.arr[:0]
		return &l.node
	}
	return &node{edit: edit, items: make([]*Entry, 0, n+n/4)}
}

// A key as bytes and as a string, for the call that takes it: neither is kept or changed.

func bytesOf(s string) []byte  { return unsafe.Slice(unsafe.StringData(s), len(s)) }
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
