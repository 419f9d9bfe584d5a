package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// lively is a network on which a sender may not seem silent: 5 % loss each way, duplicates and
// reordering, and no bursts.
var lively = Faults{
	Loss: 0.05, Duplicate: 0.02, Reorder: 0.05, ReorderBy: time.Millisecond, Delay: 5 * time.Microsecond, Jitter: 15 * time.Microsecond,
}

// heard is what node i reported of a stream, in order.
func (c *Cluster) heard(i int, s check.Stream) (kinds []check.Kind) {
	for _, r := range c.Log.Records {
		if r.Proc == c.Members[i].Proc && r.Stream == s && r.Kind >= check.StreamStarted && r.Kind <= check.StreamRefused {
			kinds = append(kinds, r.Kind)
		}
	}
	return kinds
}

// streamsOf are the streams of node i's process.
func (c *Cluster) streamsOf(i int) (all []check.Stream) {
	for s := range c.Log.Streams {
		if c.Log.Streams[s].Sender == c.Members[i].Proc {
			all = append(all, check.Stream(s))
		}
	}
	return all
}

// TestSilenceHasACause: streams that are idle, busy, or send bursts, each so that the pauses are near
// the times after which a sender is asked. None is silent without a cause (RM-17). A sender that
// crashes is reported within a second (RM-18), one that pauses resumes, one that leaves has left.
func TestSilenceHasACause(t *testing.T) {
	Run(t, 500, func(t *testing.T, s *Cluster) {
		loads := [...]Load{
			{Senders: 3, Messages: 3},
			{Senders: 3, Every: 5 * time.Millisecond},
			{Senders: 3, Every: 400 * time.Millisecond},
			{Senders: 3, Every: 2 * time.Second, Burst: 40},
		}
		protocols := [...]wire.Protocol{wire.NACK, wire.BestEffort, wire.FEC, wire.Hybrid}
		s.Load = loads[s.Seed%4]
		s.Load.Protocol = protocols[s.Seed/4%4]
		s.Member.Protocol = s.Load.Protocol
		s.Member.Lanes = 1 + int(s.Seed/16%3)
		s.Make = makers[s.Seed/48%3]
		s.Member.Window, s.Member.MaxMessageSize = 64<<10, 4<<10
		s.Expect.Eviction = time.Second
		s.Start(5, lively)
		s.Until(8 * time.Second)
		s.Pause(1)
		s.For(2 * time.Second)
		s.Resume(1)
		s.For(time.Second)
		s.Crash(0)
		s.For(time.Second)
		s.Leave(1)
		s.For(time.Second)
		const started, silent, resumed, left = check.StreamStarted, check.StreamSilent, check.StreamResumed, check.StreamLeft
		want := map[int][]check.Kind{0: {started, silent}, 1: {started, silent, resumed, left}, 2: {started}}
		for sender, want := range want {
			for _, st := range s.streamsOf(sender) {
				for node := 2; node < 5; node++ {
					got := s.heard(node, st)
					if sender == 1 && len(got) == len(want) && got[3] == silent {
						got[3] = left // every copy of the farewell was lost: a fraction of a per cent
					}
					if node != sender && !slices.Equal(got, want) {
						t.Errorf("node %d reports %v of stream %d of node %d, want %v", node, got, st, sender, want)
					}
				}
			}
		}
	})
}

// TestSilenceOfOlderSenders: a sender that does not answer a report without an echo is not silent
// either, where nothing is lost.
func TestSilenceOfOlderSenders(t *testing.T) {
	Run(t, 20, func(t *testing.T, s *Cluster) {
		s.Load = Load{Messages: 3}
		if s.Seed%2 == 1 {
			s.Load = Load{Every: 300 * time.Millisecond}
		}
		s.Start(4, Faults{Jitter: 10 * time.Microsecond})
		var d wire.Datagram
		s.Net.SetTap(func(f *Flight) bool { // what node 0 would answer
			return f.From != 0 || f.Group || wire.Decode(f.Bytes, &d) != nil || d.Frames()[0].Kind != wire.FrameHeartbeat
		})
		s.Until(20 * time.Second)
		s.Crash(0)
		s.For(time.Second)
	})
}

// TestManySenders: 300 members send ten messages each, and one receives them all.
func TestManySenders(t *testing.T) {
	run := func(streams int) *Cluster {
		s := NewCluster(t, 1)
		s.Member.MaxStreams = streams
		s.Load = Load{Senders: 300, Every: time.Millisecond, Messages: 10, Topics: 1, Size: 50}
		s.Member.Window, s.Member.MaxMessageSize = 32<<10, 1<<10
		s.Prepare(Faults{})
		s.Net.SetTap(func(f *Flight) bool { return f.From == 300 || f.To == 300 }) // the senders are light: they receive nothing of each other
		for range 301 {
			s.Join()
		}
		s.StartLoad()
		s.For(100 * time.Millisecond)
		return s
	}
	s := run(0)
	if m := s.Members[300]; m.Delivered != 3000 || m.Gone != 0 {
		t.Errorf("%d of 3000 messages arrived, %d are reported lost", m.Delivered, m.Gone)
	}
	s.Finish()
	s = run(64)
	kinds := map[check.Kind]int{}
	for _, r := range s.Log.Records {
		if r.Proc == s.Members[300].Proc {
			kinds[r.Kind]++
		}
	}
	if kinds[check.StreamStarted] != 64 || kinds[check.StreamRefused] != 236 || kinds[check.LostWhole] != 236 {
		t.Errorf("with room for 64 of 300 streams: %d began, %d were refused, %d reported as lost",
			kinds[check.StreamStarted], kinds[check.StreamRefused], kinds[check.LostWhole])
	}
	s.Finish()
}
