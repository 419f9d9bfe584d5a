package totem

import (
	"math"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// The part that counts is that of the member that loses most, and chance and doubled datagrams do not count.
func TestPartLost(t *testing.T) {
	for _, c := range []struct {
		why        string
		sent, lost []int
		again      int
		want       float64
	}{
		{"nothing was sent", nil, nil, 0, 0},
		{"nothing was lost", []int{400, 0, 0}, nil, 0, 0},
		{"one sender", []int{400, 0, 0}, []int{40, 0, 0}, 40, 0.1},
		{"the last of a rotation finds the queue full", []int{400, 400, 0}, []int{0, 360, 0}, 360, 0.88},
		{"the token says that nothing was sent again: the network doubles", []int{400, 400, 0}, []int{0, 200, 0}, 0, 0},
		{"half of it doubled", []int{400, 400, 0}, []int{40, 40, 0}, 40, 0.05},
		{"two of three say little", []int{400, 3, 0}, []int{8, 2, 0}, 10, 0.12},
		{"what is sent again is lost again and again", []int{10, 10, 0}, []int{30, 30, 0}, 60, 1},
	} {
		var x congestion
		copy(x.sent[:], c.sent)
		copy(x.lost[:], c.lost)
		x.again = c.again
		if got := x.part(); math.Abs(got-c.want) > 0.01 {
			t.Errorf("%s: %.3f, want %.3f", c.why, got, c.want)
		}
	}
}

// Each member counts a datagram as lost that another one sends again, once, also when it has delivered it. The network
// doubling it does not change what the token says.
func TestLossesOfOthersCount(t *testing.T) {
	r := newRig(t, 3)
	r.form()
	r.run(5 * time.Millisecond)
	dropped := 0
	r.lost = func(from, to *rigNode, d *wire.Datagram) bool {
		if from != r.nodes[0] || to != r.nodes[1] || d.Frames()[0].Kind != wire.FrameData || dropped > 0 {
			return false
		}
		dropped++
		return true
	}
	for _, n := range r.nodes {
		n.p.pace.installed(r.now, n.p.tok.t.high)
	}
	if err := r.nodes[0].p.Offer(r.now, "a", 0, make([]byte, 100), false); err != nil {
		t.Fatal(err)
	}
	r.until(time.Second, func() bool { return r.nodes[1].count == 1 })
	r.run(100 * time.Microsecond)
	for i, n := range r.nodes {
		var sent, lost int
		for j := range n.p.pace.sent {
			sent += n.p.pace.sent[j]
			lost += n.p.pace.lost[j]
		}
		want := []int{1, 0, 1}[i] // node 1 lacked it
		if sent != want+1 || lost != want {
			t.Errorf("node %d: sent %d, lost %d, want %d and %d", i, sent, lost, want+1, want)
		}
	}
	r.done()
}
