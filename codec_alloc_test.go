//go:build !race

package blaze

import "testing"

// The race detector's build allocates more.

func TestCodecAllocations(t *testing.T) {
	m := NewTextMessage("body").Set("symbol", StringValue("ACME")).Set("bid", Float64Value(99.5)).Set("size", Int32Value(700)).
		Set("legs", MapValue(NewMessage().Set("a", BytesValue([]byte("b")))))
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, len(b))
	if n := testing.AllocsPerRun(100, func() { dst, _ = m.AppendBinary(dst[:0]) }); n != 0 {
		t.Errorf("AppendBinary into room: %v allocations, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = m.MarshalBinary() }); n != 1 {
		t.Errorf("MarshalBinary: %v allocations, want 1", n)
	}
	var d Message
	// One copy of the input, and for each message inside it itself and its entries.
	if n := testing.AllocsPerRun(100, func() { _ = d.UnmarshalBinary(b) }); n > 5 {
		t.Errorf("UnmarshalBinary: %v allocations, want at most 5", n)
	}
	bad := []byte{0x12, 1, 0xff}
	if n := testing.AllocsPerRun(100, func() { _ = d.UnmarshalBinary(bad) }); n > 1 {
		t.Errorf("a malformed message: %v allocations, want 1: the copy", n)
	}
}
