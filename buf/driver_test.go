package buf

import "testing"

// A pool over a driver's memory: two for the driver, one that may still be on its way out.
func driverPool() *Pool { return NewPoolOver(make([]byte, 6*64), 64, 16, 2, 1) }

func TestHeadroomIsNotInMem(t *testing.T) {
	mem := make([]byte, 6*64)
	p := NewPoolOver(mem, 64, 16, 2, 1)
	if p.Size() != 48 || p.Count() != 3 || p.Free() != 3 {
		t.Fatalf("size %d, count %d, free %d", p.Size(), p.Count(), p.Free())
	}
	for range 3 {
		b := p.Get()
		for i := range b.Mem() {
			b.Mem()[i] = 1
		}
		if p.At(b.ID()) != b || !b.In(p) {
			t.Error("a buffer is not where its ID says")
		}
		if at := int(b.ID()) * 64; mem[at+15] != 0 || mem[at+16] != 1 || mem[at+63] != 1 {
			t.Errorf("buffer %d does not begin behind its headroom or does not end with its chunk", b.ID())
		}
	}
}

func TestTheDriversShareIsItsOwn(t *testing.T) {
	p := driverPool()
	var held []*Buf
	for b := p.Get(); b != nil; b = p.Get() {
		held = append(held, b)
	}
	if len(held) != 4 || p.Free() != 0 { // three, and the one that nothing is being sent from
		t.Fatalf("%d buffers were handed out, %d are free", len(held), p.Free())
	}
	a, b := p.Take(), p.Take()
	if a == nil || b == nil || p.Take() != nil || p.Taken() != 2 {
		t.Fatal("the driver's share is not two")
	}
	a.Release()
	if p.Get() != nil {
		t.Error("Get hands out what the driver gave back to its share")
	}
	if a = p.Take(); a == nil {
		t.Error("the driver cannot take again")
	}
	a.Release()
	b.Release()
	for _, b := range held {
		b.Release()
	}
	if p.Free() != 3 || p.Taken() != 0 || p.Out() != 0 {
		t.Errorf("free %d, taken %d, out %d", p.Free(), p.Taken(), p.Out())
	}
}

func TestKeepMovesABufferOutOfTheShare(t *testing.T) {
	p := driverPool()
	a := p.Take()
	a.Set(0, 5)
	if !a.Sole() {
		t.Error("nobody else holds it")
	}
	if p.Keep(a) != a || a.Sole() || p.Taken() != 0 {
		t.Fatalf("kept, but taken is %d", p.Taken())
	}
	b, c := p.Take(), p.Take() // the share is whole again
	if b == nil || c == nil {
		t.Fatal("what was kept still counts as the driver's")
	}
	for p.Get() != nil {
	}
	if p.Keep(b) != nil {
		t.Error("with nothing free, a received buffer was kept: the driver could not replace it")
	}
	if p.Keep(a) != a {
		t.Error("a buffer that is kept already could not be kept again")
	}
	a.Release()
	a.Release() // the driver's loan ends
	if p.Out() != 6 {
		t.Errorf("%d out of 6 that are all held", p.Out())
	}
	a.Release()
	if p.Out() != 5 || p.Free() != 1 {
		t.Errorf("the last release left %d out, %d free", p.Out(), p.Free())
	}
}
