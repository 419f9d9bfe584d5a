package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// clusterOf is n ready members of the shell's cluster, in this process.
func (s *shell) clusterOf(n, expected int) []*blaze.ClusterChannel {
	s.t.Helper()
	var all []*blaze.ClusterChannel
	for i := range n {
		c, err := blaze.NewClusterChannel(fmt.Sprint("member-", i), blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, FailureTimeout: failureTimeout, Window: window,
			ExpectedMembers: expected, Totem: blaze.TotemConfig{Profile: blaze.Shared}, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = c.Shutdown() })
		all = append(all, c)
	}
	if n < expected {
		return all
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range all {
		if err := c.WaitReady(ctx); err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

// dataDir is the DataDir of a member that was there.
func dataDir(t *testing.T) string {
	t.Helper()
	s, dir := newShell(t), t.TempDir()
	c, err := blaze.NewClusterChannel("", blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, ExpectedMembers: 1, DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Shutdown()
	if _, err := c.Map("prices").Put(t.Context(), "acme", []byte("101.25")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMapScripts(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.clusterOf(2, 2)
	for _, c := range []struct {
		script, stdout string
		status         int
	}{
		{`blaze map put -q m a 1 >/dev/null; blaze map get m a; blaze map get m a --linear`, "1\n1\n", 0},
		{`printf 'two words' | blaze map put m b - >/dev/null; blaze map get m b`, "two words\n", 0},
		{`blaze map put m empty '' >/dev/null && blaze map get m empty`, "\n", 0},
		{`v=$(blaze map get m a --version); blaze map cas m a 2 --version $v >/dev/null && blaze map get m a; blaze map cas m a 3 --version $v`, "2\n", statusCondition},
		{`blaze map cas m new 1 --version 0 >/dev/null; blaze map cas m new 1 --version 0`, "", statusCondition},
		{`blaze map ls m; echo; blaze map ls m --prefix n`, "a\nb\nempty\nnew\n\nnew\n", 0},
		{`blaze map delete m b; blaze map delete m b; blaze map get m b`, "", statusFailed},
		{`blaze map put m t 1 --ttl 1ms >/dev/null; until ! blaze map get m t 2>/dev/null; do sleep 0.05; done; blaze map get m t`, "", statusFailed},
	} {
		s.want(c.script, c.stdout, c.status)
	}
}

// ls and watch have more than one answer holds.
func TestMapPages(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.clusterOf(1, 1)[0]
	value := make([]byte, 20_000)
	for i := range 50 {
		if _, err := c.Map("m").Put(t.Context(), fmt.Sprintf("%02d", i), value); err != nil {
			t.Fatal(err)
		}
	}
	s.want(`blaze map watch m --prefix 4 --count 12 >out & until grep -q 'present 49' out; do sleep 0.01; done; blaze map put m 40 x >/dev/null; blaze map delete m 41; wait; tail -2 out | cut -d ' ' -f 2-3`, "put 40\ndeleted 41\n", 0)
	if _, err := c.Map("m").Put(t.Context(), "41", value); err != nil {
		t.Fatal(err)
	}
	s.want(`blaze map ls m | cmp - <(seq -w 0 49) && echo all`, "all\n", 0)
	s.want(`blaze map watch m --count 50 | cut -d ' ' -f 3 | cmp - <(seq -w 0 49) && echo all`, "all\n", 0)
}

func TestClusterStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		members, expected int
		script            string
		status            int
		stderr            string
	}{
		{0, 0, `blaze map get m k --timeout 300ms`, statusNobody, "shares maps, and time is up"},
		{0, 0, `blaze cluster status --timeout 300ms`, statusNobody, "shares maps, and time is up"},
		{1, 3, `blaze map put m k v`, statusNobody, "no quorum"},
		{1, 3, `blaze cluster status`, statusCondition, "no primary component: "},
		{1, 3, `echo no | blaze cluster force`, statusFailed, "nothing was done"},
		{1, 1, `blaze cluster force --yes`, 0, "there is a primary component: nothing was done"},
		{0, 0, `blaze lock m k --timeout 300ms`, statusNobody, "has no primary component, and time is up"},
		{1, 3, `blaze cluster force --yes -q && blaze map put -q m k v >/dev/null && blaze map get m k`, 0, ""},
		{1, 1, `until blaze lock m k -q; do :; done & until blaze map put m k v >/dev/null 2>err; test -s err; do sleep 0.05; done; blaze lock m k --timeout 300ms`, statusTime, "another holds the lock"},
		{0, 0, `blaze cluster`, statusUsage, "want status, force or check"},
		{0, 0, `blaze map`, statusUsage, "want get, put"},
		{0, 0, `blaze map cas m k v`, statusUsage, "--version is missing"},
		{0, 0, `blaze map put m k v --ttl 25h`, statusUsage, "want 1ms to 24h"},
		{1, 1, `blaze map put '' k v`, statusUsage, `map "": must be valid UTF-8 of 1 to 255 bytes`},
		{1, 1, `blaze map get m ''`, statusUsage, "the key is empty"},
		{0, 0, `blaze lock m k --lease 0s`, statusUsage, "want 1ms to 24h"},
		{0, 0, `blaze lock m k --`, statusUsage, "want MAP KEY -- COMMAND"},
		{1, 1, `blaze map watch m --timeout 300ms`, statusTime, "time is up"},
		{1, 1, `blaze cluster status --watch --timeout 300ms`, statusTime, "time is up"},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := newShell(t)
			s.clusterOf(c.members, c.expected)
			_, stderr, status := s.run(c.script)
			if status != c.status || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%s\nstatus %d, want %d; standard error:\n%swant %q", c.script, status, c.status, stderr, c.stderr)
			}
		})
	}
}

func TestClusterJSON(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.clusterOf(1, 1)[0]
	if _, err := c.Map("m").Put(t.Context(), "t", []byte("x"), blaze.TTL(time.Hour), blaze.RemoveOnExit()); err != nil {
		t.Fatal(err)
	}
	numbers := regexp.MustCompile(`"(version|old_version|epoch|index|token|age|bytes)":\d+`)
	hash := regexp.MustCompile(`"hash":"[0-9a-f]{16}"`)
	chain := regexp.MustCompile(`"chain":"[^"]*"`)
	for _, c := range []struct{ name, script string }{
		{"map-put", `blaze map put --json m k v --ttl 1h; blaze map cas --json m k w --version $(blaze map get m k --version)`},
		{"map-get", `blaze map get --json m t; printf '\xff' | blaze map put m b - >/dev/null; blaze map get --json --linear m b`},
		{"map-ls", `blaze map ls --json m`},
		{"map-watch", `blaze map watch --json m --count 4 >out & until grep -q '"key":"t"' out; do sleep 0.01; done; blaze map put m t y >/dev/null; wait; cat out`},
		{"map-delete", `blaze map delete --json m k`},
		{"cluster-status", `blaze cluster status --json`},
		{"lock", `blaze lock --json m k -- true`},
	} {
		out, stderr, status := s.run(c.script)
		if status != 0 || out == "" {
			t.Errorf("%s\nstatus %d\n%s%s", c.script, status, out, stderr)
		}
		out = numbers.ReplaceAllString(out, `"$1":1`)
		out = hash.ReplaceAllString(out, `"hash":"HASH"`)
		golden(t, c.name, chain.ReplaceAllString(out, `"chain":"CHAIN"`))
	}
}

// A learner that is asked knows how far it has come itself, and of nobody else.
func TestLearnerStatus(t *testing.T) {
	asked := blaze.Member{ID: blaze.MemberID{3}, Name: "asked"}
	s := &blaze.ClusterStatus{Phase: "learning", Why: "learning", Learned: 120, ToLearn: 3000, Provider: blaze.MemberID{1}, Members: []blaze.ClusterMember{
		{ID: blaze.MemberID{1}, Name: "complete", Ready: true}, {ID: blaze.MemberID{2}, Name: "other"}, {ID: asked.ID, Name: asked.Name},
	}}
	printed := func(json bool) string {
		var b bytes.Buffer
		a := &app{out: newOutput(&b, func(err error) { t.Error(err) })}
		a.common.json = json
		a.printStatus(&client{at: asked}, s)
		if err := a.out.close(); err != nil {
			t.Error(err)
		}
		return b.String()
	}
	table := printed(false)
	for i, state := range []string{"complete", "learner", "learner 120/3000"} {
		if row := fmt.Sprintf("\n%-8s  %v  %-16s  no ", s.Members[i].Name, s.Members[i].ID, state); !strings.Contains(table, row) {
			t.Errorf("%q is not in\n%s", row, table)
		}
	}
	var object clusterState
	if err := json.Unmarshal([]byte(printed(true)), &object); err != nil {
		t.Fatal(err)
	}
	for _, m := range object.Members {
		if learned, of := m.Learned, m.ToLearn; m.Name == asked.Name && (learned != 120 || of != 3000) || m.Name != asked.Name && learned+of != 0 {
			t.Errorf("%+v", m)
		}
	}
}
