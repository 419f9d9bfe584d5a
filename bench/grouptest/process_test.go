package grouptest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/bench/measure"
	"github.com/activeblaze/blaze/bench/workload"
)

// role names what a process plays that the test program starts of itself.
const role = "GROUPTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "member":
		groupmember.Main()
	case "workload":
		if workload.Serve(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// loopback is a group that nobody else uses.
func loopback(t *testing.T) (uri, cluster string) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return fmt.Sprintf("udp://239.255.66.76:%d?interface=lo", c.LocalAddr().(*net.UDPAddr).Port), "grouptest-" + rand.Text()
}

// plan is what the members of a test have in common.
type plan struct {
	groupmember.Order
	started int // members, for their names
}

// newPlan has Block: there are more members than CPUs. In a short test nobody is to be reported failed for
// what else the host does.
func newPlan(t *testing.T) *plan {
	t.Helper()
	p := &plan{}
	p.URI, p.Cluster = loopback(t)
	p.Idle = blaze.Block
	if testing.Short() {
		p.FailureTimeout = patient
	}
	return p
}

// patient is the FailureTimeout of short tests.
const patient = time.Second

// begin starts n processes at once, and does not wait for them.
func (p *plan) begin(t *testing.T, n int, change func(i int, o *groupmember.Order)) (all []*groupmember.Remote) {
	t.Helper()
	t.Setenv(role, "member")
	for i := range n {
		o := p.Order
		o.Name = fmt.Sprintf("m%03d", p.started)
		o.Seed = uint64(p.started)
		p.started++
		if change != nil {
			change(i, &o)
		}
		m, err := groupmember.Begin(nil, os.Args[:1], os.Stderr, nil, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close(2 * time.Second) })
		all = append(all, m)
	}
	return all
}

// start starts n members and waits until they have started, not until they have found each other.
func (p *plan) start(t *testing.T, n int, change func(i int, o *groupmember.Order)) []*groupmember.Remote {
	t.Helper()
	all := p.begin(t, n, change)
	for _, m := range all {
		if err := m.Ready(within(t, 20*time.Second)); err != nil {
			t.Fatalf("%s: %v", m.Order.Name, err)
		}
	}
	return all
}

// together starts n members that are in each other's tables.
func (p *plan) together(t *testing.T, n int, change func(i int, o *groupmember.Order)) []*groupmember.Remote {
	t.Helper()
	all := p.start(t, n, change)
	awaitMembers(t, all, n)
	return all
}

// awaitMembers waits until each has n members.
func awaitMembers(t *testing.T, all []*groupmember.Remote, n int) {
	t.Helper()
	doAll(t, all, groupmember.Command{Do: groupmember.DoAwait, N: n})
}

func within(t *testing.T, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("not within %v", limit))
	t.Cleanup(cancel)
	return ctx
}

// do runs one command.
func do(t *testing.T, m *groupmember.Remote, c groupmember.Command) groupmember.Answer {
	t.Helper()
	a, err := m.Do(within(t, 2*time.Minute), c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// doAll runs one command at all of them, at once.
func doAll(t *testing.T, all []*groupmember.Remote, c groupmember.Command) []groupmember.Answer {
	t.Helper()
	answers, err := groupmember.All(within(t, 2*time.Minute), all, c)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// finish waits for a command that was begun.
func finish(t *testing.T, wait func(context.Context) (groupmember.Answer, error)) groupmember.Answer {
	t.Helper()
	a, err := wait(within(t, 2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs the group workload.
func run(t *testing.T, g workload.GroupOptions, o workload.Options) *measure.GroupResult {
	t.Helper()
	t.Setenv(role, "workload")
	o.Group, o.Receiver, o.Stderr = g, os.Args[:1], os.Stderr
	res, _, err := workload.Run(t.Context(), workload.Group, o)
	if err != nil {
		t.Fatal(err)
	}
	return res.Group
}

// replay follows a member's events, and returns the members that are there after the last one. A member's
// events are in one order: started, then joined and left groups, then stopped or failed, then started with
// a higher incarnation.
func replay(t *testing.T, who string, log []groupmember.Entry) []groupmember.Member {
	t.Helper()
	type state struct {
		groupmember.Member
		here, seen, stopped bool
	}
	all := map[string]*state{}
	wrong := func(e groupmember.Entry, why string) {
		b, _ := json.Marshal(e)
		t.Errorf("%s: %s: %s", who, b, why)
	}
	for _, e := range log {
		s := all[e.ID]
		if s == nil {
			s = &state{}
			all[e.ID] = s
		}
		switch e.Kind {
		case blaze.MemberStarted.String():
			switch {
			case s.here:
				wrong(e, "it is here already")
			case s.stopped:
				wrong(e, "it had left for good")
			case s.seen && e.Incarnation <= s.Incarnation:
				wrong(e, fmt.Sprintf("it has been here with incarnation %d", s.Incarnation))
			}
			*s = state{Member: groupmember.Member{ID: e.ID, Incarnation: e.Incarnation, Name: e.Name}, here: true, seen: true}
		case blaze.MemberStopped.String(), blaze.MemberFailed.String():
			if !s.here {
				wrong(e, "it is not here")
			}
			s.here, s.Groups, s.stopped = false, nil, e.Kind == blaze.MemberStopped.String()
		case blaze.MemberJoinedGroup.String():
			if !s.here || slices.Contains(s.Groups, e.Group) {
				wrong(e, "it is not here, or is in the group already")
			}
			s.Groups = append(s.Groups, e.Group)
		case blaze.MemberLeftGroup.String():
			i := slices.Index(s.Groups, e.Group)
			if !s.here || i < 0 {
				wrong(e, "it is not here, or not in the group")
				continue
			}
			s.Groups = slices.Delete(s.Groups, i, i+1)
		}
	}
	var out []groupmember.Member
	for _, s := range all {
		if s.here {
			slices.Sort(s.Groups)
			out = append(out, s.Member)
		}
	}
	slices.SortFunc(out, byID)
	return out
}

func byID(a, b groupmember.Member) int { return strings.Compare(a.ID, b.ID) }

// table is a list of members as a text, without what differs between an event and a list.
func table(all []groupmember.Member) string {
	var b strings.Builder
	all = slices.Clone(all)
	slices.SortFunc(all, byID)
	for _, m := range all {
		fmt.Fprintf(&b, "%s#%d %s %v\n", m.ID, m.Incarnation, m.Name, m.Groups)
	}
	return b.String()
}
