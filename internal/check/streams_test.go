package check

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
)

func (r *run) stream(at clock.Time, kinds ...Kind) {
	for _, k := range kinds {
		r.Log.Stream(at, k, r.b, alice, id)
	}
}

func (r *run) receiver(at clock.Time, kinds ...Kind) {
	for _, k := range kinds {
		r.Log.Receiver(at, k, r.a, bob, id)
	}
}

func (r *run) refused(at clock.Time) {
	r.Log.Gap(at, r.b, &core.Loss{From: alice, Stream: id, Reason: core.LossRefused})
}

// TestStreamEvents gives the checkers what members report of streams, right and wrong.
func TestStreamEvents(t *testing.T) {
	const second = clock.Time(time.Second)
	tests := []struct {
		name string
		make func(r *run)
		want []string
	}{
		{"all in order", func(r *run) {
			r.receiver(3, ReceiverJoined)
			r.stream(3, StreamStarted)
			r.Fault(second, Pause, r.a, r.a)
			r.stream(2*second, StreamSilent)
			r.receiver(2*second, ReceiverEvicted)
			r.Fault(3*second, Resume, r.a, r.a)
			r.stream(3*second, StreamResumed)
			r.receiver(3*second, ReceiverJoined, ReceiverLeft)
			r.Stop(4*second, r.a)
			r.stream(4*second, StreamLeft)
		}, nil},
		{"refused, then received", func(r *run) { r.stream(3, StreamRefused); r.refused(3); r.stream(3, StreamStarted) }, nil},
		{"gave way to another", func(r *run) { r.stream(3, StreamStarted, StreamLeft, StreamStarted) }, nil},
		{"resumed at once", func(r *run) { r.stream(3, StreamStarted, StreamResumed) }, []string{"RM-16"}},
		{"silent first", func(r *run) { r.Stop(3, r.a); r.stream(3, StreamSilent) }, []string{"RM-16"}},
		{"started twice", func(r *run) { r.stream(3, StreamStarted, StreamStarted) }, []string{"RM-16"}},
		{"left twice", func(r *run) { r.stream(3, StreamStarted, StreamLeft, StreamLeft) }, []string{"RM-16"}},
		{"back from the dead", func(r *run) { r.stream(3, StreamStarted); r.Stop(4, r.a); r.stream(5, StreamLeft, StreamStarted) }, []string{"RM-16"}},
		{"refused while received", func(r *run) { r.stream(3, StreamStarted, StreamRefused); r.refused(3) }, []string{"RM-16"}},
		{"refused and no loss", func(r *run) { r.stream(3, StreamRefused) }, []string{"RM-16"}},
		{"refused and two losses", func(r *run) { r.stream(3, StreamRefused); r.refused(3); r.refused(4) }, []string{"RM-16"}},
		{"receiver joined twice", func(r *run) { r.receiver(3, ReceiverJoined, ReceiverJoined) }, []string{"RM-16"}},
		{"receiver that was none left", func(r *run) { r.receiver(3, ReceiverLeft) }, []string{"RM-16"}},
		{"after its end", func(r *run) { r.Stop(3, r.b); r.stream(4, StreamStarted) }, []string{"RS-8"}},
		{"silent for no reason", func(r *run) {
			r.stream(3, StreamStarted)
			r.Fault(second/2, Pause, r.b, r.b) // the receiver's own pause is none
			r.Fault(second, Resume, r.b, r.b)
			r.stream(2*second, StreamSilent)
		}, []string{"RM-17"}},
		{"silent long after the cause", func(r *run) {
			r.stream(3, StreamStarted)
			r.Fault(second/2, Cut, r.a, r.b)
			r.Fault(second, Mend, r.a, r.b)
			r.stream(2*second, StreamSilent)
		}, []string{"RM-17"}},
		{"cut off", func(r *run) {
			r.stream(3, StreamStarted)
			r.Fault(second/2, Cut, r.b, r.a)
			r.Fault(2*second, Mend, r.b, r.a)
			r.stream(2*second, StreamSilent)
		}, nil},
		{"crash in time", func(r *run) {
			r.stream(3, StreamStarted)
			r.Crash(second, r.a)
			r.stream(2*second, StreamSilent)
			r.Fault(4*second, Finished, 0, 0)
		}, nil},
		{"crash too late", func(r *run) {
			r.stream(3, StreamStarted)
			r.Crash(second, r.a)
			r.stream(2*second+1, StreamSilent)
			r.Fault(4*second, Finished, 0, 0)
		}, []string{"RM-18"}},
		{"crash of an idle sender in time", func(r *run) {
			r.stream(3, StreamStarted)
			r.Crash(62*second, r.a)
			r.stream(65*second, StreamSilent)
			r.Fault(70*second, Finished, 0, 0)
		}, nil},
		{"crash of an idle sender too late", func(r *run) {
			r.stream(3, StreamStarted)
			r.Crash(62*second, r.a)
			r.stream(66*second, StreamSilent)
			r.Fault(70*second, Finished, 0, 0)
		}, []string{"RM-18"}},
		{"crash while the receiver is paused", func(r *run) {
			r.stream(3, StreamStarted)
			r.Fault(second/2, Pause, r.b, r.b)
			r.Crash(second, r.a)
			r.Fault(4*second, Finished, 0, 0)
		}, nil},
		{"the receiver ends as well", func(r *run) {
			r.stream(3, StreamStarted)
			r.Crash(second, r.a)
			r.Crash(second+1, r.b)
			r.Fault(4*second, Finished, 0, 0)
		}, nil},
	}
	for _, test := range tests {
		r := begin()
		test.make(r)
		if vs := Safety(r.Log, options); !slices.Equal(IDs(vs), test.want) {
			t.Errorf("%s: %v, want %v\n%s", test.name, IDs(vs), test.want, Text(vs))
		}
	}
}
