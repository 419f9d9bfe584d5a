package rigtest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
)

// beforeLoop is the last commit whose members always send to the other members of their host, and do not answer them.
const beforeLoop = "67e2d91"

// seats are two places for talkers, on one host.
type seats struct {
	t       *testing.T
	rig     *rig.Rig
	number  int // of the last talker
	talkers [2]*proc.Child
	numbers [2]int
	took    []time.Duration // of each Start beside another talker
}

func newSeats(t *testing.T) *seats {
	return &seats{t: t, rig: build(t, rig.Veth, 2, rig.Options{})}
}

// start starts a talker. It counts what is sent from grace after its Start on.
func (s *seats) start(seat int, program string, grace time.Duration) {
	s.t.Helper()
	s.number++
	s.numbers[seat] = s.number
	o := member.Order{URI: overUDP, Number: s.number, Talk: true, Pause: grace}
	if program != "" {
		s.talkers[seat] = startProgram(s.t, s.rig, 0, program, o)
		return
	}
	s.talkers[seat] = start(s.t, s.rig, 0, o)
}

// ready waits until a talker has started.
func (s *seats) ready(seat int) {
	s.t.Helper()
	if a := receive[member.Ready](s.t, s.talkers[seat], 10*time.Second); a.Error != "" {
		s.t.Fatal(a.Error)
	} else if s.both() {
		s.took = append(s.took, time.Duration(a.Took))
	}
}

func (s *seats) end(seat int, kill bool) {
	s.t.Helper()
	if kill {
		if err := s.talkers[seat].Kill(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.talkers[seat].Close(5 * time.Second)
	s.talkers[seat] = nil
}

func (s *seats) both() bool { return s.talkers[0] != nil && s.talkers[1] != nil }

func (s *seats) said(seat int) member.Talk {
	s.t.Helper()
	if err := s.talkers[seat].Send(struct{}{}); err != nil {
		s.t.Fatal(err)
	}
	return receive[member.Talk](s.t, s.talkers[seat], 10*time.Second)
}

// check waits until each talker has heard what the other had sent when check began, and fails where one has missed something.
func (s *seats) check() {
	s.t.Helper()
	var sent [2]uint64
	for seat := range sent {
		sent[seat] = s.said(seat).Sent
	}
	for seat := range sent {
		other := 1 - seat
		for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			a := s.said(seat)
			if a.Missed > 0 {
				s.t.Fatalf("talker %d beside talker %d has missed messages: %s", s.numbers[seat], s.numbers[other], a.Why)
			}
			if a.Heard[s.numbers[other]] >= sent[other] {
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("talker %d has heard %d messages of talker %d, which had sent %d five seconds ago",
					s.numbers[seat], a.Heard[s.numbers[other]], s.numbers[other], sent[other])
			}
		}
	}
}

// Two members of a host start, stop and are killed in random order. Neither ever misses a message that the other sent after
// its own Start had returned. One that remains alone does not receive what it sends, as the kernel counts it.
func TestLoop(t *testing.T) {
	rounds := 1000
	switch {
	case testing.Short():
		rounds = 8
	case os.Getenv("CI") != "":
		rounds = 200
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := newSeats(t)
	together, kills := 0, 0
	for round := range rounds {
		var started []int
		seats := [][]int{{0}, {1}, {0, 1}}[r.IntN(3)]
		if round == 0 {
			seats = []int{0, 1}
		}
		for _, seat := range seats {
			if s.talkers[seat] != nil {
				kill := r.IntN(2) == 0
				if kill {
					kills++
				}
				if s.end(seat, kill); r.IntN(2) == 0 {
					continue
				} // else the next one comes at once
			}
			s.start(seat, "", 0)
			started = append(started, seat)
		}
		for _, seat := range started {
			s.ready(seat)
		}
		if s.both() {
			together++
			s.check()
		}
		if r.IntN(2) == 0 { // long enough for one that is alone to notice it
			<-time.After(time.Duration(r.IntN(300)) * time.Millisecond)
		}
	}
	slices.Sort(s.took)
	t.Logf("%d rounds, in %d of them both were there; %d talkers, %d of them were killed; Start beside another took %v, at most %v",
		rounds, together, s.number, kills, s.took[len(s.took)/2], s.took[len(s.took)-1])
	if s.talkers[0] == nil {
		s.start(0, "", 0)
		s.ready(0)
	}
	if s.talkers[1] != nil {
		s.end(1, true)
	}
	alone(t, s)
}

// alone has the talker in seat 0 notice that it is alone: soon the kernel receives no multicast packet in its namespace.
func alone(t *testing.T, s *seats) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Second)
	for {
		sent, came := s.said(0).Sent, multicasts(t, s.rig)
		<-time.After(100 * time.Millisecond) // what is counted
		n, k := s.said(0).Sent-sent, multicasts(t, s.rig)-came
		if n > 20 && k == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %d messages that a lone member sent, the kernel has received %d packets", n, k)
		}
	}
}

// multicasts is how many multicast packets host 0 has received (IpExt InMcastPkts, RFC 4293).
func multicasts(t *testing.T, r *rig.Rig) (packets uint64) {
	t.Helper()
	err := r.Host(0).Run(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netstat")
		if err != nil {
			return err
		}
		var names []string
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if f[0] != "IpExt:" {
				continue
			}
			for i, name := range names {
				if name == "InMcastPkts" {
					packets, err = strconv.ParseUint(f[i], 10, 64)
				}
			}
			names = f
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packets
}

// A member of the release before counts as foreign: from 300 ms after its Start it hears everything, and it is heard from the
// beginning.
func TestLoopOlder(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an older commit: make rig-test does that")
	}
	s := newSeats(t)
	program := buildOlder(t, beforeLoop)
	s.start(0, "", 0)
	s.ready(0)
	for i := range 20 {
		alone(t, s)
		s.start(1, program, 300*time.Millisecond)
		s.ready(1)
		<-time.After(400 * time.Millisecond)
		s.check()
		s.end(1, i%2 == 0)
	}
}
