package main

import (
	"fmt"
	"io"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// tally is a Service that the tools do not know: it counts operations.
type tally struct{ n int }

func (s *tally) Apply(blaze.Operation) []byte     { s.n++; return fmt.Append(nil, s.n) }
func (s *tally) Gone(blaze.MemberID)              {}
func (s *tally) Tick(time.Time)                   {}
func (s *tally) Next() (at time.Time, wants bool) { return at, false }
func (s *tally) Certain(uint64)                   {}

func (s *tally) Snapshot() (blaze.ServiceSnapshot, error) { return tallied(s.n), nil }

func (s *tally) Restore(r io.Reader, chain bool) (iter.Seq[[]byte], error) {
	if s.n = 0; r == nil {
		return nil, nil
	}
	_, err := fmt.Fscan(r, &s.n)
	return nil, err
}

type tallied int

func (n tallied) Close() error { return nil }
func (n tallied) WriteTo(w io.Writer) (int64, error) {
	k, err := fmt.Fprint(w, int(n))
	return int64(k), err
}

// The tools work beside a service that they do not know, those that join the cluster's ring too.
func TestToolsBesideService(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	dir := t.TempDir()
	c, err := blaze.NewClusterChannel("a", blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, FailureTimeout: failureTimeout, Window: window, DataDir: dir,
		ExpectedMembers: 1, Totem: blaze.TotemConfig{Profile: blaze.Shared}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = c.Service("tally", &tally{})
	}
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Shutdown() })
	for want := 1; want <= 3; want++ {
		if got, err := c.Propose(t.Context(), "tally", nil); err != nil || string(got) != fmt.Sprint(want) {
			t.Fatalf("Propose = %s, %v", got, err)
		}
	}
	s.want(`blaze map put -q m k v >/dev/null; blaze map get m k; blaze map get m k --linear; blaze lock m k -- echo locked`, "v\nv\nlocked\n", 0)
	s.want(`blaze cluster status | grep serves | tr -s ' '`, "serves tally\n", 0)
	s.want(`blaze cluster status --json | grep -o '"services":[^]]*]'`, "\"services\":[\"tally\"]\n", 0)
	if got, err := c.Propose(t.Context(), "tally", nil); err != nil || string(got) != "4" {
		t.Fatalf("Propose = %s, %v", got, err)
	}
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	s.want(`blaze cluster check `+dir+` | grep -c sound`, "1\n", 0)
}
