package rigtest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/rigtest/member"
	"github.com/activeblaze/blaze/bench/workload"
	"github.com/activeblaze/blaze/xdp"
)

// role names what a process plays that the test program starts of itself.
const role = "RIGTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "member":
		member.Main()
	case "ring":
		if serveRing(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "stream":
		if serveStream(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "receiver":
		if workload.Serve(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// build makes a rig, or skips in one line.
func build(t *testing.T, kind rig.Kind, hosts int, opt rig.Options) *rig.Rig {
	t.Helper()
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(kind, hosts, opt)
	if errors.Is(err, rig.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// start starts a member on host i of a rig.
func start(t *testing.T, r *rig.Rig, i int, o member.Order) *proc.Child {
	t.Helper()
	t.Setenv(role, "member")
	return startProgram(t, r, i, os.Args[0], o)
}

// startProgram starts a program that is a member.
func startProgram(t *testing.T, r *rig.Rig, i int, program string, o member.Order) *proc.Child {
	t.Helper()
	c, err := proc.StartIn(r.Host(i), []string{program}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(2 * time.Second) })
	if err := c.Send(o); err != nil {
		t.Fatal(err)
	}
	return c
}

// receive waits for a process's next line.
func receive[T any](t *testing.T, c *proc.Child, limit time.Duration) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := c.Receive(ctx, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// converse starts members, has them send once all are ready, and returns their reports.
func converse(t *testing.T, members []*proc.Child) []member.Done {
	t.Helper()
	for i, m := range members {
		if a := receive[member.Ready](t, m, 10*time.Second); a.Error != "" {
			t.Fatalf("member %d: %s", i, a.Error)
		}
	}
	for _, m := range members {
		if err := m.Send(struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	var all []member.Done
	for _, m := range members {
		all = append(all, receive[member.Done](t, m, 60*time.Second))
	}
	return all
}
