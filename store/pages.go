package store

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/bits"
)

// walker reads a bbolt file page by page, without bbolt and without mapping it, before bbolt opens it. bbolt reads pages
// as they stand: a damaged one makes it panic, partly in goroutines of its own, where nobody can recover, and a file that
// is too short ends the process by a signal. The walker returns an error instead, and hands out every record.
// The file's format is bbolt's version 2: https://pkg.go.dev/go.etcd.io/bbolt/internal/common.
type walker struct {
	f        io.ReaderAt
	size     int64
	page     int64  // bytes of a page
	high     uint64 // pages are below it
	root     uint64 // page of the root bucket
	txid     uint64 // of the newest transaction
	seen     []uint64
	pages    uint64 // reached
	buffers  [][]byte
	noMirror bool // only one of the two meta pages is good
}

const (
	bboltMagic, bboltVersion = 0xED0CDAED, 2
	pageHeaderBytes          = 16
	metaBytes                = 64
	elementBytes             = 16
	flagBranch, flagLeaf     = 1, 2
	flagMeta                 = 4
	flagBucket               = 1 // of a leaf's element
	depthMax                 = 32
	pageMax                  = 128 << 20 // bbolt puts up to three records of any size into one leaf
)

var ne = binary.NativeEndian

// newWalker reads the meta pages and chooses as bbolt does: the newest one whose checksum is right.
func newWalker(f io.ReaderAt, size int64) (*walker, error) {
	w := &walker{f: f, size: size}
	var good int
	try := func(at int64) {
		b := make([]byte, pageHeaderBytes+metaBytes)
		if _, err := f.ReadAt(b, at); err != nil {
			return
		}
		m := b[pageHeaderBytes:]
		sum := fnv.New64a()
		sum.Write(m[:metaBytes-8])
		page := int64(ne.Uint32(m[8:]))
		if ne.Uint32(m) != bboltMagic || ne.Uint32(m[4:]) != bboltVersion || ne.Uint64(m[56:]) != sum.Sum64() {
			return
		}
		if page < 512 || page > 1<<20 || page&(page-1) != 0 || (at != 0 && at != page) {
			return
		}
		good++
		if txid := ne.Uint64(m[48:]); good == 1 || txid > w.txid {
			w.page, w.root, w.high, w.txid = page, ne.Uint64(m[16:]), ne.Uint64(m[40:]), txid
		}
	}
	try(0)
	if w.page != 0 {
		try(w.page)
	} else {
		for p := int64(1024); p <= 1<<16 && good == 0; p *= 2 {
			try(p)
		}
	}
	if good == 0 {
		return nil, damaged("both meta pages of the file are damaged")
	}
	w.noMirror = good == 1
	if w.high < 2 || w.root < 2 || w.root >= w.high || w.high > uint64(1<<62)/uint64(w.page) {
		return nil, damaged("the meta page does not make sense")
	}
	if int64(w.high)*w.page > size {
		return nil, damaged("the file has %d bytes, and had %d", size, int64(w.high)*w.page)
	}
	w.seen = make([]uint64, w.high/64+1)
	return w, nil
}

// bucketRoots returns the value of each top bucket.
func (w *walker) bucketRoots() (map[string][]byte, error) {
	roots := map[string][]byte{}
	err := w.tree(w.root, 0, nil, nil, func(flags uint32, key, value []byte) error {
		if flags&flagBucket == 0 || len(value) < 16 {
			return damaged("%q is no bucket", key)
		}
		roots[string(key)] = bytes.Clone(value)
		return nil
	})
	return roots, err
}

// bucket calls f with each record of the bucket whose value is b, in the order of keys.
func (w *walker) bucket(b []byte, f func(key, value []byte) error) error {
	record := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return damaged("%q has flags %#x", key, flags)
		}
		return f(key, value)
	}
	if root := ne.Uint64(b); root != 0 {
		return w.tree(root, 0, nil, nil, record)
	}
	return w.leaf(b[16:], 0, nil, nil, record)
}

// tree walks the pages below id, whose keys are at least low and below high (nil: no bound).
func (w *walker) tree(id uint64, depth int, low, high []byte, f func(flags uint32, key, value []byte) error) error {
	p, err := w.read(id, depth)
	if err != nil {
		return err
	}
	if ne.Uint16(p[8:]) == flagLeaf {
		return w.leaf(p, id, low, high, f)
	}
	n := int(ne.Uint16(p[10:]))
	if n == 0 || pageHeaderBytes+n*elementBytes > len(p) {
		return damaged("page %d has %d elements", id, n)
	}
	key := func(i int) ([]byte, error) {
		at := pageHeaderBytes + i*elementBytes
		return slice(p, id, at, uint64(ne.Uint32(p[at:])), uint64(ne.Uint32(p[at+4:])))
	}
	last := low
	for i := range n {
		k, err := key(i)
		if err != nil {
			return err
		}
		if c := bytes.Compare(last, k); last != nil && (c > 0 || c == 0 && i > 0) || high != nil && bytes.Compare(k, high) >= 0 {
			return damaged("page %d: its keys are not in order", id)
		}
		next := high
		if i+1 < n {
			if next, err = key(i + 1); err != nil {
				return err
			}
		}
		if err := w.tree(ne.Uint64(p[pageHeaderBytes+i*elementBytes+8:]), depth+1, k, next, f); err != nil {
			return err
		}
		last = k
	}
	return nil
}

// leaf walks the records of the leaf page p.
func (w *walker) leaf(p []byte, id uint64, low, high []byte, f func(flags uint32, key, value []byte) error) error {
	if len(p) < pageHeaderBytes || ne.Uint16(p[8:]) != flagLeaf {
		return damaged("page %d is no leaf", id)
	}
	n := int(ne.Uint16(p[10:]))
	if pageHeaderBytes+n*elementBytes > len(p) {
		return damaged("page %d has %d elements", id, n)
	}
	last := low
	for i := range n {
		at := pageHeaderBytes + i*elementBytes
		pos, ks, vs := uint64(ne.Uint32(p[at+4:])), uint64(ne.Uint32(p[at+8:])), uint64(ne.Uint32(p[at+12:]))
		kv, err := slice(p, id, at, pos, ks+vs)
		if err != nil {
			return err
		}
		k := kv[:ks]
		if c := bytes.Compare(last, k); last != nil && (c > 0 || c == 0 && i > 0) || high != nil && bytes.Compare(k, high) >= 0 {
			return damaged("page %d: its keys are not in order", id)
		}
		if err := f(ne.Uint32(p[at:]), k, kv[ks:]); err != nil {
			return err
		}
		last = k
	}
	return nil
}

// slice is n bytes of p, pos bytes behind at.
func slice(p []byte, id uint64, at int, pos, n uint64) ([]byte, error) {
	from := uint64(at) + pos
	if pos < elementBytes || from+n > uint64(len(p)) {
		return nil, damaged("page %d: an element lies outside of it", id)
	}
	return p[from : from+n], nil
}

// read reads page id with what overflows from it, and marks it as reached. One buffer for each depth is kept.
func (w *walker) read(id uint64, depth int) ([]byte, error) {
	if depth > depthMax {
		return nil, damaged("page %d lies %d pages deep", id, depth)
	}
	if id < 2 || id >= w.high {
		return nil, damaged("page %d is outside of the file", id)
	}
	if depth == len(w.buffers) {
		w.buffers = append(w.buffers, nil)
	}
	b := grow(w.buffers[depth], int(w.page))
	if _, err := w.f.ReadAt(b, int64(id)*w.page); err != nil {
		return nil, damaged("page %d cannot be read: %v", id, err)
	}
	flags, overflow := ne.Uint16(b[8:]), uint64(ne.Uint32(b[12:]))
	if ne.Uint64(b) != id || flags != flagBranch && flags != flagLeaf {
		return nil, damaged("page %d does not look like one", id)
	}
	if overflow >= w.high-id || int64(overflow)*w.page > pageMax {
		return nil, damaged("page %d goes on outside of the file", id)
	}
	for i := id; i <= id+overflow; i++ {
		if w.seen[i/64]&(1<<(i%64)) != 0 {
			return nil, damaged("page %d is used twice", i)
		}
		w.seen[i/64] |= 1 << (i % 64)
	}
	w.pages += overflow + 1
	if overflow > 0 {
		b = grow(b, int(overflow+1)*int(w.page))
		if _, err := w.f.ReadAt(b, int64(id)*w.page); err != nil {
			return nil, damaged("page %d cannot be read: %v", id, err)
		}
	}
	w.buffers[depth] = b
	return b, nil
}

// grow is b with n bytes, whatever is in them.
func grow(b []byte, n int) []byte {
	if cap(b) >= n {
		return b[:n]
	}
	return make([]byte, 1<<bits.Len(uint(n-1)))[:n]
}
