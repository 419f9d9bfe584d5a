package sim

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
)

// Members that start together, without a fault.
func TestStateClean(t *testing.T) {
	RunStates(t, 20, func(t *testing.T, s *StateCluster) {
		s.Expected, s.Disks = [...]int{0, 3}[s.Seed%2], s.Seed/2%2 == 1
		s.Drift = 0.005
		s.Start(3, Faults{Delay: 50 * time.Microsecond})
		s.Until(3 * time.Second)
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// TestStates is the whole fault list, drawn anew for each seed (swarm testing). Its thousand runs of 30 s are sim/linear's,
// where porcupine judges them too.
func TestStates(t *testing.T) {
	seeds, length := 100, 10*time.Second
	if testing.Short() {
		length = 4 * time.Second
	}
	RunStates(t, seeds, func(t *testing.T, s *StateCluster) { s.Everything(length) })
}

// All members lose power at once, again and again, in the middle of what they write: every acknowledged write is back, and the
// tokens rise.
func TestStateCrashOfAll(t *testing.T) {
	RunStates(t, 40, func(t *testing.T, s *StateCluster) {
		const times = 10 // the run of all seeds: 400
		n := 3 + int(s.Seed%3)
		s.Disks, s.Drift, s.Load.Every = true, 0.005, 3*time.Millisecond
		if s.Seed%2 == 0 {
			s.Expected = n
		}
		s.Start(n, Faults{Delay: 50 * time.Microsecond, Jitter: 50 * time.Microsecond, Loss: 0.01})
		for range times {
			s.For(between(s.rng, 900*time.Millisecond))
			for i := range n {
				s.Crash(i)
			}
			s.For(between(s.rng, 100*time.Millisecond))
			for _, i := range s.rng.Perm(n) {
				s.Restart(i)
				s.For(between(s.rng, 50*time.Millisecond))
			}
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// A holder stands still for one, three and ten leases, or is cut off alone, with the lock of a key that all write: nobody holds
// it at the same time, and it is told (LK-11).
func TestStatePausedHolder(t *testing.T) {
	RunStates(t, 40, func(t *testing.T, s *StateCluster) {
		s.Disks, s.Drift = s.Seed%2 == 1, 0.005
		if s.Seed%3 > 0 {
			s.Expected = 4
		}
		s.Load = StateLoad{Every: 4 * time.Millisecond, Keys: 1, Lease: 100 * time.Millisecond}
		s.Start(4, Faults{Delay: 50 * time.Microsecond})
		s.For(700 * time.Millisecond)
		for range 6 {
			holder := s.holder()
			if holder < 0 {
				s.For(5 * time.Millisecond)
				continue
			}
			lasts := time.Duration([...]int{1, 3, 10}[s.rng.IntN(3)])*100*time.Millisecond + between(s.rng, 50*time.Millisecond)
			if s.rng.IntN(3) > 0 {
				s.Pause(holder)
			} else {
				s.Split(holder)
			}
			s.For(lasts)
			s.Resume(holder)
			s.Net.MendAll()
			s.For(between(s.rng, 500*time.Millisecond))
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// Two clusters of one and more that wrote apart meet (E1): the older chain goes on, and what was called is answered.
func TestStateChainsMeet(t *testing.T) {
	RunStates(t, 40, func(t *testing.T, s *StateCluster) {
		n := 2 + int(s.Seed%4)
		s.Disks, s.Drift = s.Seed/2%2 == 1, 0.005
		s.Prepare(Faults{Delay: 50 * time.Microsecond})
		for i := range n {
			s.Join()
			s.Net.Partition(i+1, 0)
		}
		s.inject(Faults{})
		s.For(time.Second)
		s.Net.MendAll()
		s.For(between(s.rng, time.Second))
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// The minority of two answers at once that there is no quorum, and writes nothing; after healing all have the majority's state.
func TestStateMinority(t *testing.T) {
	RunStates(t, 20, func(t *testing.T, s *StateCluster) {
		s.Expected, s.Disks, s.Drift = 5, s.Seed%2 == 1, 0.005
		s.Start(5, Faults{Delay: 50 * time.Microsecond})
		s.For(time.Second)
		s.Split(0, 1)
		s.For(time.Second)
		for i, m := range s.Members {
			if m.primary != (i > 1) {
				t.Errorf("node %d: primary is %t", i, m.primary)
			}
			for _, a := range m.open {
				if i < 2 && s.Net.Now().Sub(a.at) > 10*time.Millisecond && a.call.Kind != cluster.CallReady {
					t.Errorf("node %d: a call waits outside a primary", i)
				}
			}
		}
		s.Heal()
		s.Settle(2 * time.Second)
	})
}

// A majority has forgotten (memory only) and comes back under other names: nobody writes, until an operator forces it.
func TestStateForce(t *testing.T) {
	RunStates(t, 20, func(t *testing.T, s *StateCluster) {
		s.Expected, s.Rename, s.Drift = 3, 1, 0.005
		s.Start(3, Faults{Delay: 50 * time.Microsecond})
		s.For(time.Second)
		s.Crash(1)
		s.Crash(2)
		s.For(between(s.rng, 300*time.Millisecond))
		s.Restart(1)
		s.Restart(2)
		s.For(3 * time.Second)
		for i, m := range s.Members {
			if m.primary {
				t.Errorf("node %d is in a primary: %s", i, s.Describe())
			}
		}
		s.Heal()
		s.Settle(2 * time.Second)
		if s.Tally.Stuck != 1 {
			t.Error("it went on without Force")
		}
	})
}

// A seed repeats what it has shown (RS-5).
func TestStateSameSeedSameRun(t *testing.T) {
	RunStates(t, 20, func(t *testing.T, s *StateCluster) {
		run := func(s *StateCluster) (uint64, int) {
			n, f := s.Swarm()
			s.Start(n, f)
			s.Until(1500 * time.Millisecond)
			s.Shatter()
			s.Heal()
			s.For(time.Second)
			s.close()
			return s.Net.Hash(), len(s.Log.Records)
		}
		a, records := run(s)
		b, again := run(NewStateCluster(nil, s.Seed))
		if a != b || records != again {
			t.Errorf("seed %d: run %x with %d records, and then %x with %d", s.Seed, a, records, b, again)
		}
	})
}
