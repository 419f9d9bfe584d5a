package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// layoutsOf are a canonical datagram and the same in other layouts that begin with its header.
func layoutsOf(b []byte) map[string][]byte {
	fields := [][]byte{b[:atCluster], b[atCluster:atCRC], b[atCRC:atTransmitter], b[atTransmitter:atIncarnation], b[atIncarnation:atStream], b[atStream:HeaderLen]}
	frames := b[HeaderLen:]
	backwards := slices.Clone(fields)
	slices.Reverse(backwards)
	unknown := []byte{0x3D, tagVersion, 2, 3, 4} // field 7, which is reserved
	return map[string][]byte{
		"canonical":                 b,
		"header backwards":          slices.Concat(slices.Concat(backwards...), frames),
		"unknown field":             slices.Concat(b[:HeaderLen], unknown, frames),
		"unknown field at the end":  slices.Concat(b, unknown),
		"frames inside the header":  slices.Concat(slices.Concat(fields[:3]...), frames, slices.Concat(fields[3:]...)),
		"unknown field in the head": slices.Concat(fields[0], unknown, slices.Concat(fields[1:]...), frames),
	}
}

// In whatever layout, a datagram is its own first one, and in front of others of its sender it ends where the next begins:
// one of the same length, or a shorter one. Bytes of a header in a payload are no header.
func TestFirst(t *testing.T) {
	vectors := map[string][]byte{"header in a payload": datagramOf(dataFrame(1, 1, &wirepb.Packed{Topic: proto.String("t"), Payload: goldenBytes(t, "data")}))}
	for _, g := range golden {
		vectors[g.name] = goldenBytes(t, g.name)
	}
	short := layoutsOf(goldenBytes(t, "empty"))
	for name, v := range vectors {
		for layout, b := range layoutsOf(v) {
			for rest, train := range map[string][]byte{"alone": nil, "twice": b, "65 times": bytes.Repeat(b, 64), "a shorter one": short[layout]} {
				if n := First(slices.Concat(b, train)); n != len(b) {
					t.Errorf("%s, %s, %s: %d of %d bytes", name, layout, rest, n, len(b))
				}
			}
		}
	}
}

// What is malformed, or begins with a frame, is one datagram.
func TestFirstOfAnything(t *testing.T) {
	b := goldenBytes(t, "all")
	for i := range len(b) - 1 {
		cut := b[:1+i]
		if n := First(cut); n != len(cut) {
			t.Errorf("the first %d bytes: %d", len(cut), n)
		}
	}
	for name, p := range map[string][]byte{
		"nothing":         {},
		"frames in front": slices.Concat(b[HeaderLen:], b[:HeaderLen], b),
		"text":            []byte("HTTP/1.1 200 OK"),
		"zeros":           make([]byte, 100),
		"empty fields":    bytes.Repeat([]byte{4<<3 | 2, 0}, 700), // each of which could begin a header, and none does
	} {
		if n := First(p); n != len(p) {
			t.Errorf("%s: %d of %d bytes", name, n, len(p))
		}
	}
	if n := testing.AllocsPerRun(10, func() { First(b); First(b[5:]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFirst(b *testing.B) {
	for _, name := range []string{"data", "all"} {
		v := goldenBytes(b, name)
		b.Run(fmt.Sprintf("%s/%d", name, len(v)), func(b *testing.B) {
			for b.Loop() {
				First(v)
			}
		})
	}
}
