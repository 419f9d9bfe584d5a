package buf

import (
	"bytes"
	"strings"
	"testing"
)

// panics runs f and returns what it panicked with; it fails the test when f did not.
func panics(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		v := recover()
		if v == nil {
			t.Fatal("no panic")
		}
		text, _ = v.(string)
	}()
	f()
	return ""
}

func TestPoolHandsOutEveryBufferOnce(t *testing.T) {
	p := NewPool(3, 64)
	if p.Count() != 3 || p.Size() != 64 || p.Free() != 3 {
		t.Fatalf("a new pool has count %d, size %d, free %d", p.Count(), p.Size(), p.Free())
	}
	seen := map[*Buf]bool{}
	for n := range 3 {
		b := p.Get()
		if b == nil || seen[b] {
			t.Fatalf("Get %d: %p, seen before: %v", n, b, seen[b])
		}
		seen[b] = true
		if b.Len() != 0 || len(b.Mem()) != 64 {
			t.Errorf("Get %d: a datagram of %d bytes in a buffer of %d", n, b.Len(), len(b.Mem()))
		}
	}
	if b := p.Get(); b != nil {
		t.Error("an empty pool hands out a buffer")
	}
	for b := range seen {
		b.Release()
	}
	if p.Free() != 3 {
		t.Errorf("after every release %d are free", p.Free())
	}
}

// Buffers must not reach into each other, not even by append.
func TestBuffersAreApart(t *testing.T) {
	p := NewPool(2, 16)
	a, b := p.Get(), p.Get()
	fill := func(m []byte, c byte) {
		for i := range m {
			m[i] = c
		}
	}
	fill(a.Mem(), 'a')
	fill(b.Mem(), 'b')
	_ = append(a.Mem(), 'x')
	if !bytes.Equal(b.Mem(), bytes.Repeat([]byte{'b'}, 16)) || !bytes.Equal(a.Mem(), bytes.Repeat([]byte{'a'}, 16)) {
		t.Errorf("a %q, b %q", a.Mem(), b.Mem())
	}
	a.Release()
	b.Release()
}

// The buffer that was used last is the one that is still in the cache.
func TestTheWarmBufferGoesOutFirst(t *testing.T) {
	p := NewPool(4, 16)
	a, b := p.Get(), p.Get()
	a.Release()
	b.Release()
	if got := p.Get(); got != b {
		t.Error("not the buffer that was released last")
	}
}

func TestReferences(t *testing.T) {
	p := NewPool(1, 16)
	b := p.Get()
	b.Retain()
	b.Release()
	if p.Free() != 0 {
		t.Fatal("free while a reference is held")
	}
	b.Set(2, 3)
	b.Release()
	if p.Free() != 1 {
		t.Fatal("not free after the last release")
	}
	if b = p.Get(); b.Len() != 0 {
		t.Error("the datagram of the last owner is still there")
	}
	b.Release()
}

func TestOwnershipErrorsPanic(t *testing.T) {
	p := NewPool(2, 16)
	_ = p.Get()
	b := p.Get()
	b.Release()
	for name, f := range map[string]func(){
		"second release of buffer 1": b.Release,
		"retain of buffer 1":         b.Retain,
	} {
		if text := panics(t, f); !strings.Contains(text, name) {
			t.Errorf("panic %q does not say %q", text, name)
		}
	}
	if p.Free() != 1 {
		t.Errorf("a refused release changed the pool: %d free", p.Free())
	}
	var lent Buf
	lent.Lend(make([]byte, 4))
	panics(t, lent.Retain)
}

func TestSet(t *testing.T) {
	p := NewPool(1, 8)
	b := p.Get()
	copy(b.Mem(), "01234567")
	for _, c := range []struct {
		off, n int
		want   string
	}{
		{0, 8, "01234567"},
		{2, 3, "234"},
		{8, 0, ""}, // at the very end, empty
	} {
		b.Set(c.off, c.n)
		if string(b.Bytes()) != c.want || b.Len() != c.n {
			t.Errorf("Set(%d, %d): %q, length %d", c.off, c.n, b.Bytes(), b.Len())
		}
	}
	for _, c := range [][2]int{{-1, 2}, {0, -1}, {0, 9}, {5, 4}, {9, 0}} {
		panics(t, func() { b.Set(c[0], c[1]) })
	}
	b.Release()
}

func TestLentBuffersAreNotCounted(t *testing.T) {
	mem := []byte("datagram")
	var b Buf
	b.Lend(mem)
	if string(b.Bytes()) != "datagram" {
		t.Fatalf("%q", b.Bytes())
	}
	b.Release()
	b.Release() // a loan ends by itself; a release does nothing, however often
	b.Set(4, 4)
	b.Lend(mem[:4])
	if string(b.Bytes()) != "data" {
		t.Errorf("lent again: %q", b.Bytes())
	}
}

func TestKeep(t *testing.T) {
	p := NewPool(2, 8)
	var lent Buf
	lent.Lend([]byte("datagram"))
	c := p.Keep(&lent)
	if c == nil || string(c.Bytes()) != "datagram" {
		t.Fatalf("kept %v", c)
	}
	copy(lent.Mem(), "XXXXXXXX") // the driver uses its memory again
	if string(c.Bytes()) != "datagram" {
		t.Error("what was kept is not a copy")
	}
	if same := p.Keep(c); same != c {
		t.Error("a counted buffer was copied")
	}
	c.Release()
	if p.Free() != 1 {
		t.Error("Keep of a counted buffer added no reference")
	}
	c.Release()

	var long Buf
	long.Lend(make([]byte, 9))
	if p.Keep(&long) != nil || p.Free() != 2 {
		t.Error("a datagram that does not fit was kept, or its buffer was lost")
	}
	a, b := p.Get(), p.Get()
	if p.Keep(&lent) != nil {
		t.Error("an empty pool kept a datagram")
	}
	a.Release()
	b.Release()
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := NewPool(4, 2048)
	var lent Buf
	mem := make([]byte, 1400)
	if n := testing.AllocsPerRun(1000, func() {
		b := p.Get()
		b.Set(0, 100)
		lent.Lend(mem)
		c := p.Keep(&lent)
		p.Keep(c).Release()
		c.Release()
		b.Release()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := NewPool(64, 2048)
	b.ReportAllocs()
	for b.Loop() {
		p.Get().Release()
	}
}

func BenchmarkKeepLent1400(b *testing.B) {
	p := NewPool(64, 2048)
	var lent Buf
	lent.Lend(make([]byte, 1400))
	b.ReportAllocs()
	b.SetBytes(1400)
	for b.Loop() {
		p.Keep(&lent).Release()
	}
}
