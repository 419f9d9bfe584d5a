package xdp

import (
	"bytes"
	"testing"

	"github.com/activeblaze/blaze/buf"
)

func TestTwoDriversTalk(t *testing.T) {
	na, nb := pair(t)
	for _, mode := range []string{"generic", "native"} {
		t.Run(mode, func(t *testing.T) {
			ca, cb := testConfig(0), testConfig(1)
			ca.Mode, cb.Mode = mode, mode
			a, b := na.open(t, ca), nb.open(t, cb)
			for i := range uint64(100) {
				want := datagram(ca.Cluster, i, int(i)*14)
				send(t, a, buf.Group, want)
				r := expect(t, b)
				if !bytes.Equal(r.Buf.Bytes(), want) || !r.Group || r.From != a.Local() {
					t.Fatalf("group: %d bytes from %v, group %v", r.Buf.Len(), addrOf(r.From), r.Group)
				}
				send(t, b, r.From, want)
				r = expect(t, a)
				if !bytes.Equal(r.Buf.Bytes(), want) || r.Group || r.From != b.Local() {
					t.Fatalf("unicast: %d bytes from %v, group %v", r.Buf.Len(), addrOf(r.From), r.Group)
				}
			}
			if s := b.Stats(); s.RecvKernel != 0 || s.SendKernel != 0 || s.SendCopied != 0 {
				t.Errorf("not all went through AF_XDP and without a copy: %+v", s)
			}
			t.Logf("%s (%s)", a.Mode(), a.Reason())
		})
	}
}
