package fanin

import (
	"slices"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// stepper notes what it steps.
type stepper struct{ taken []stepped }

type stepped struct {
	from  wire.MemberID
	at    buf.Endpoint
	group bool
	kind  wire.FrameKind
}

func (s *stepper) Step(_ clock.Time, d *wire.Datagram, r buf.Received) error {
	s.taken = append(s.taken, stepped{d.Transmitter, r.From, r.Group, d.Frames()[0].Kind})
	return nil
}

// What is of a ring or of groups goes to the first engine's core of that protocol, wherever it arrives, with
// its sender's endpoint. It makes no engine the owner of its transmitter.
func TestFirstEngineHasRingAndGroup(t *testing.T) {
	r := newRig(t, 3)
	var ring, group, cluster stepper
	for i, b := range r.branches {
		if i == 0 {
			b.Connect(b.notify, &ring, &group, &cluster)
		}
	}
	from := wire.MemberID{0: 4}
	send := func(engine int, q wire.Protocol, toGroup bool, frame []byte) {
		b := append(wire.AppendHeader(nil, wire.Header{Cluster: testCluster, Transmitter: from, Stream: wire.NewStreamID(q, 0)}), frame...)
		wire.Seal(b)
		var d wire.Datagram
		if err := wire.Decode(b, &d); err != nil {
			t.Fatal(err)
		}
		lent := new(buf.Buf)
		lent.Lend(b)
		if err := r.branches[engine].Step(r.now, &d, buf.Received{Buf: lent, From: buf.Endpoint(70 + engine), Group: toGroup}); err != nil {
			t.Fatal(err)
		}
	}
	beat := wire.AppendBeat(nil, wire.Beat{Interval: wire.MinInterval, Members: 1})
	probe := wire.AppendProbe(nil, wire.Probe{Kind: wire.ProbeThere})
	send(1, wire.Group, true, beat)
	send(0, wire.Group, false, probe)
	send(2, wire.Group, false, probe)
	send(2, wire.Totem, true, wire.AppendNotice(nil, wire.Notice{Ring: wire.RingID{Seq: 1}, Kind: wire.MergeDetect}))
	send(1, wire.ClusterRing, true, wire.AppendNotice(nil, wire.Notice{Ring: wire.RingID{Seq: 1}, Kind: wire.MergeDetect}))
	for range 20 {
		r.turn()
	}
	want := []stepped{{from, 70, false, wire.FrameProbe}, {from, 71, true, wire.FrameBeat}, {from, 72, false, wire.FrameProbe}}
	if !slices.Equal(group.taken, want) {
		t.Errorf("the group's core took %v, want %v", group.taken, want)
	}
	if want := []stepped{{from, 72, true, wire.FrameNotice}}; !slices.Equal(ring.taken, want) {
		t.Errorf("the ring's core took %v, want %v", ring.taken, want)
	}
	if want := []stepped{{from, 71, true, wire.FrameNotice}}; !slices.Equal(cluster.taken, want) {
		t.Errorf("the core of the cluster's ring took %v, want %v", cluster.taken, want)
	}
	if _, ok := r.branches[0].owners.of(from); ok {
		t.Error("its transmitter has an owner")
	}
	for i, b := range r.branches {
		if s := b.Stats(); s.Stray != 0 || i == 0 && s.Taken != 4 || i > 0 && s.Taken != 0 {
			t.Errorf("engine %d: %+v", i, s)
		}
	}
	r.done()
}
