package blaze_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// pointcasts returns the configurations of n members without multicast. The first lists its own address only, the
// others the first one's and their own.
func pointcasts(t *testing.T, n int) (all []blaze.Config) {
	t.Helper()
	var ports []int
	for range n { // held until all are drawn, so that they differ
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ports = append(ports, c.LocalAddr().(*net.UDPAddr).Port)
	}
	cfg := testConfig(t)
	for i, port := range ports {
		cfg.BroadcastURI = fmt.Sprintf("pointcast://127.0.0.1:%d", ports[0])
		if i > 0 {
			cfg.BroadcastURI += fmt.Sprintf(",127.0.0.1:%d?bind=127.0.0.1:%d", port, port)
		}
		all = append(all, cfg)
	}
	return all
}

// speaker is a member that publishes on its own topic, and notes of which members something came.
type speaker struct {
	*blaze.GroupChannel
	mu    sync.Mutex
	heard map[blaze.MemberID]time.Time
}

func speaks(t *testing.T, name string, cfg blaze.Config) *speaker {
	t.Helper()
	s := &speaker{heard: map[blaze.MemberID]time.Time{}}
	var err error
	if s.GroupChannel, err = blaze.NewGroupChannel(name, cfg); err != nil {
		t.Fatal(err)
	}
	s.Subscribe("said.*", func(m *blaze.Message) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard[m.From()] = time.Now()
	})
	if _, err := s.HandleInbox("", func(m *blaze.Message) {
		if m.Wanted() {
			_ = s.Reply(context.Background(), m, blaze.NewTextMessage("here"))
		}
	}); err != nil {
		t.Fatal(err)
	}
	startGroup(t, s.GroupChannel)
	quit := make(chan struct{})
	t.Cleanup(func() {
		close(quit)
		if err := s.Shutdown(); err != nil {
			t.Logf("Shutdown: %v", err)
		}
	})
	go func() {
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-quit:
				return
			case <-tick.C:
				_ = s.Broadcast(context.Background(), "said."+name, blaze.NewTextMessage("here"))
			}
		}
	}()
	return s
}

// hears waits until something of a member comes.
func (s *speaker) hears(t *testing.T, m blaze.MemberID) {
	t.Helper()
	from := time.Now()
	eventually(t, "a topic of another member", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.heard[m].After(from)
	})
}

// answers sends to a member, and gets a reply to a request.
func (s *speaker) answers(t *testing.T, m blaze.MemberID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.Send(ctx, m, blaze.NewTextMessage("a message"))
	if err == nil {
		_, err = s.Request(ctx, m, blaze.NewTextMessage("a request"))
	}
	if err != nil {
		t.Error(err)
	}
}

// TestGroupPointcastChild is no test: it is the first member of TestGroupPointcast, in a process of its own.
func TestGroupPointcastChild(t *testing.T) {
	if os.Getenv("BLAZE_TEST_ROLE") != "first" {
		t.Skip("for the processes that TestGroupPointcast starts")
	}
	cfg := testConfig(t)
	cfg.BroadcastURI, cfg.Cluster = os.Getenv("BLAZE_TEST_URI"), os.Getenv("BLAZE_TEST_CLUSTER")
	speaks(t, "first", cfg)
	os.Stdout.WriteString("ready\n")
	bufio.NewReader(os.Stdin).ReadString('\n') // until killed, or the parent has gone
}

// TestGroupPointcast: without multicast, two members list only the address of a third one, which is in another process.
// All see all, and receive each other's topics, and send to each other. The third is killed: the two go on. It starts again on its address:
// one group of three.
func TestGroupPointcast(t *testing.T) {
	socketsOnly(t)
	cfgs := pointcasts(t, 3)
	first := childOf(t, "TestGroupPointcastChild", "first", cfgs[0])
	a, b := speaks(t, "a", cfgs[1]), speaks(t, "b", cfgs[2])
	together := func(n int) {
		t.Helper()
		waitMembers(t, n, a.GroupChannel, b.GroupChannel)
		for _, s := range []*speaker{a, b} {
			for _, m := range s.Members() {
				if m.ID != s.ID() {
					s.hears(t, m.ID)
					s.answers(t, m.ID)
				}
			}
		}
	}
	together(3)
	old, ok := a.MemberNamed("first")
	if !ok {
		t.Fatal("the first one has no name")
	}
	first.Process.Kill()
	eventually(t, "the first one is missed", func() bool { return len(a.Members()) == 2 && len(b.Members()) == 2 })
	together(2)
	childOf(t, "TestGroupPointcastChild", "first", cfgs[0])
	together(3)
	for _, s := range []*speaker{a, b} {
		if m, ok := s.MemberNamed("first"); !ok || m.ID == old.ID || m.Addr != old.Addr {
			t.Errorf("%s sees %+v; before it was %+v", s.Local().Name, m, old)
		}
	}
}

// A plain Channel at a configured address gets everything, though it announces nothing and is no member. What it sends
// reaches the members that it lists.
func TestGroupPointcastPlain(t *testing.T) {
	socketsOnly(t)
	cfgs := pointcasts(t, 3)
	first := speaks(t, "a", cfgs[1]) // lists the plain Channel's address
	got := make(chan blaze.MemberID, 100)
	plain := started(t, cfgs[0])
	plain.Subscribe("said.*", func(m *blaze.Message) {
		select {
		case got <- m.From():
		default:
		}
	})
	if from := next(t, got, "a topic at a plain Channel"); from != first.ID() {
		t.Errorf("a message of %v", from)
	}
	second := speaks(t, "b", cfgs[2])
	eventually(t, "a topic of the second member at the plain Channel", func() bool { return next(t, got, "a topic") == second.ID() })
	if n := len(first.Members()); n != 1 {
		t.Errorf("the first member sees %d members; it lists a plain Channel alone, and nobody lists it", n)
	}
}
