package totem

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// commitIn is the commit token that a datagram is; nil: it is none.
func commitIn(d *wire.Datagram) *wire.Commit {
	f := d.Frames()
	if len(f) != 1 || f[0].Kind != wire.FrameCommit {
		return nil
	}
	c := f[0].Commit()
	return &c
}

// The commit token of the first rotation comes to the representative twice, in one batch: it takes the second copy for that
// of the second rotation, and makes the first regular token. The others get the commit token all the same, also where the
// one that leaves first is lost, and the ring forms without anybody waiting for the token-loss time.
func TestCommitTwice(t *testing.T) {
	for _, c := range []struct {
		members int
		lost    int // commit tokens of the second rotation that are lost on the way to the representative's successor
	}{{2, 0}, {3, 0}, {5, 0}, {2, 1}, {3, 1}, {3, 3}, {5, 2}} {
		r := newRig(t, c.members)
		var rep wire.MemberID
		twice, lost := 0, 0
		r.heard = func(to *rigNode, b []byte) {
			var d wire.Datagram
			if err := wire.Decode(b, &d); err != nil {
				t.Fatal(err)
			}
			w := commitIn(&d)
			if w == nil || int(w.Index) < w.Entries.Len() || w.Entries.Len() < c.members || to.id != w.Ring.Rep || to.p.State() != Commit {
				return
			}
			rep = to.id
			if twice == 0 { // the other copy is appended by carry
				to.inbox = append(to.inbox, slices.Clone(b))
			}
			twice++
		}
		r.lost = func(from, to *rigNode, d *wire.Datagram) bool {
			if w := commitIn(d); w != nil && twice > 0 && from.id == rep && lost < c.lost && int(w.Index) == w.Entries.Len() {
				lost++
				return true
			}
			return false
		}
		if !r.until(3*time.Second, func() bool { return twice > 0 }) {
			t.Fatalf("%d members: no commit token came to the representative", c.members)
		}
		from := r.now
		r.form()
		if took := r.now.Sub(from); took > r.nodes[0].p.prof.TokenLoss/2 || lost < c.lost {
			t.Errorf("%d members, %d lost: the ring forms after %v; a token is lost after %v", c.members, lost, took, r.nodes[0].p.prof.TokenLoss)
		}
		r.run(10 * time.Millisecond)
		r.done()
	}
}
