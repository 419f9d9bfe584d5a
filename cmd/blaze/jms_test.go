package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms"
)

// holder is a holder of the shell's queues in this process: a context of it.
func (s *shell) holder(opts ...jms.Option) *jms.Context {
	s.t.Helper()
	f, err := jms.NewConnectionFactory(blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, Name: "holder", FailureTimeout: failureTimeout, Window: window,
		ExpectedMembers: 1, Logger: slog.New(slog.DiscardHandler)}, append(opts, jms.WithRole(jms.Holder))...)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := f.CreateContext(jms.AutoAcknowledge)
	if err == nil && len(opts) > 0 {
		err = c.ConnectHolders(s.t.Context()) // which sets the options
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestJMSScripts(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	s.holder()
	const cut = ` | cut -d ' ' -f 2-` // without the time
	for _, c := range []struct {
		script, stdout string
		status         int
	}{
		// What was put stays until somebody takes it, and is taken once.
		{`blaze jms put -q q one 'two words'; blaze jms browse q` + cut + `; blaze jms take -q q --count 2` + cut + `; blaze jms browse q`, "one\ntwo words\none\ntwo words\n", 0},
		{`printf '1\n2\n3\n' | blaze jms put -q q; blaze jms take -q q --no-wait` + cut + `; blaze jms take q --no-wait`, "1\n2\n3\n", 0},
		{`blaze jms take -q q --count 1` + cut + ` & blaze jms put -q q late; wait`, "late\n", 0},
		// A higher priority comes first.
		{`blaze jms put -q q low --priority 0; blaze jms put -q q high --priority 9; blaze jms put -q q mid; blaze jms take -q q --count 3` + cut, "(priority 9) high\nmid\n(priority 0) low\n", 0},
		// Selectors see numbers as numbers, and texts as texts.
		{`blaze jms put -q q a --property size=9 --property desk=emea; blaze jms put -q q b --property size=10 --property desk=apac
			blaze jms browse q --selector 'size > 9.5'` + cut + `; blaze jms take -q q --selector "desk = 'emea'" --count 1` + cut + `; blaze jms take -q q --no-wait` + cut, "b\na\nb\n", 0},
		// Time to live, and a delay.
		{`blaze jms put -q q gone --ttl 1ms; blaze jms put -q q stays --ttl 1h; sleep 0.01; blaze jms take -q q --count 1` + cut, "stays\n", 0},
		{`blaze jms put -q q later --delay 4s; blaze jms take -q q --no-wait --count 1; echo $?; blaze jms take -q q --count 1` + cut, "5\nlater\n", 0},
		{`seq 250 | blaze jms put -q q --non-persistent; blaze jms browse q` + cut + ` | cmp - <(seq 250) && blaze jms browse q --count 7 | wc -l | tr -d ' '; blaze jms take -q q --no-wait` + cut + ` | cmp - <(seq 250) && echo all`, "7\nall\n", 0},
		// Two share a queue: each message goes to one of them.
		{`for i in 1 2; do blaze jms take -q shared >$i 2>/dev/null & done; seq 100 | blaze jms put -q shared
			until test $(cat 1 2 | wc -l) = 100; do sleep 0.01; done; kill $(jobs -p); wait; cut -d ' ' -f 2- 1 2 | sort -n | cmp - <(seq 100) && echo all`, "all\n", 0},
		{`blaze jms put -q counted a b c; blaze jms take -q counted --count 1 >/dev/null; blaze jms queues counted | awk 'NR == 2 { print $1, $2, $3, $4, $5, $6 }'`, "counted 2 0 0 3 1\n", 0},
	} {
		s.want(c.script, c.stdout, c.status)
	}
}

// Purge, move and retry work on what waits, step by step.
func TestJMSSift(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.holder(jms.MaxRedeliveries(1), jms.QueueDepth("small", 3))
	const cut = ` | cut -d ' ' -f 2-`
	for _, c := range []struct {
		script, stdout string
		status         int
	}{
		{`seq 600 | blaze jms put -q q; blaze jms move --json q r | grep -o '"messages":[0-9]*'; blaze jms browse q; blaze jms take -q r --no-wait` + cut + ` | cmp - <(seq 600) && echo all`, "\"messages\":600\nall\n", 0},
		{`seq 600 | blaze jms put -q q; blaze jms purge -q q --count 590; blaze jms browse q` + cut + ` | cmp - <(seq 591 600) && blaze jms purge q --all && blaze jms browse q && echo none`, "none\n", 0},
		{`blaze jms put -q q a --property n=1; blaze jms put -q q b --property n=2; blaze jms put -q q c --property n=2; blaze jms move -q q r --selector 'n = 2' --count 1; blaze jms browse q` + cut + `
			blaze jms purge -q q --selector 'n = 2'; echo; blaze jms browse q` + cut + `; echo; blaze jms take -q r --no-wait` + cut + `; blaze jms purge -q q --all`, "a\nc\n\na\n\nb\n", 0},
		{`seq 5 | blaze jms put -q q; blaze jms move q small; echo $?; blaze jms browse q` + cut + `; echo; blaze jms take -q small --no-wait` + cut + `; blaze jms purge -q q --all`, "5\n4\n5\n\n1\n2\n3\n", 0},
	} {
		s.want(c.script, c.stdout, c.status)
	}
	// A message that was given back too often is a dead letter, until it is retried: then as if it were new.
	q, err := c.Queue("poison")
	if err == nil {
		err = c.Producer().SendText(t.Context(), q, "x")
	}
	if err != nil {
		t.Fatal(err)
	}
	session, err := c.CreateContext(jms.ClientAcknowledge)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	k, err := session.Consumer(q)
	for range 2 {
		if err == nil {
			_, err = k.Receive(t.Context())
		}
		if err == nil {
			err = session.Recover()
		}
	}
	if err == nil {
		err = k.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s.want(`until blaze jms browse DLQ.poison | grep -q .; do sleep 0.01; done; blaze jms browse DLQ.poison`+cut+`; blaze jms status | grep -o '1 dead letter'; blaze jms dlq retry poison
		blaze jms browse DLQ.poison; blaze jms dlq retry DLQ.poison; blaze jms take -q poison --count 1`+cut, "(redelivered) (redelivered, from poison) x\n1 dead letter\n(redelivered) x\n", 0)
}

// What a command that ends in between had is delivered again, marked so.
func TestJMSTakeRedelivers(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.holder()
	q, err := c.Queue("q")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Producer().SendText(t.Context(), q, "again"); err != nil {
		t.Fatal(err)
	}
	other, err := c.CreateContext(jms.ClientAcknowledge)
	if err != nil {
		t.Fatal(err)
	}
	k, err := other.Consumer(q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	s.want(`blaze jms take -q q --count 1 | cut -d ' ' -f 2-`, "(redelivered) again\n", 0)
}

// Three commands hold together; the queues outlive one of them.
func TestJMSHold(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	out, stderr, status := s.run(`for i in 1 2 3; do blaze jms hold --holders 3 --name h$i 2>log$i & pids[i]=$!; done
		blaze jms put -q q kept --timeout 20s && kill ${pids[2]} && { wait ${pids[2]}; echo $?; } && blaze jms take -q q --count 1 --timeout 20s | cut -d ' ' -f 2- && blaze jms status && grep -h holds log1`)
	for _, want := range []string{"130\nkept\n", "a majority of the holders is there", "in memory: lasts while one holder lives", "h1 holds queues in memory: PERSISTENT lasts"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Fatalf("status %d, no %q in\n%s%s", status, want, out, stderr)
		}
	}
	if strings.Contains(out, "h2 ") {
		t.Errorf("a holder that has gone is listed:\n%s", out)
	}
	// With a directory messages outlive all holders.
	s = newShell(t)
	s.want(`hold() { blaze jms hold -q --holders 1 --data-dir d & }
		hold; blaze jms put -q q stored && blaze jms status | grep PERSISTENT; kill $!; wait; hold; blaze jms take -q q --count 1 --timeout 20s | cut -d ' ' -f 2-`, "PERSISTENT  on the disks of a majority\nstored\n", 0)
}

func TestJMSStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		holder bool
		script string
		status int
		stderr string
	}{
		{false, `blaze jms put q x --timeout 200ms`, statusNobody, "nobody holds queues in cluster"},
		{false, `blaze jms take q --timeout 200ms`, statusNobody, "nobody holds queues in cluster"},
		{false, `blaze jms browse q --timeout 200ms`, statusNobody, "nobody holds queues in cluster"},
		{false, `blaze jms queues --timeout 200ms`, statusNobody, "nobody holds queues in cluster"},
		{false, `blaze jms status --timeout 200ms`, statusNobody, "blaze jms hold does"},
		{false, `blaze jms hold --holders 3 --timeout 200ms`, statusNobody, "not enough holders are there, and time is up"},
		{false, `blaze jms hold --holders 1 --timeout 2s`, statusTime, "time is up"},
		{true, `blaze jms take q --timeout 200ms`, statusTime, "0 messages came, and time is up"},
		{true, `blaze jms take q --no-wait --count 2`, statusCondition, "0 of 2 messages were there"},
		{true, `blaze jms take q --selector 'a ='`, statusUsage, "invalid selector"},
		{true, `blaze jms browse q --selector 'a ='`, statusUsage, "invalid selector"},
		{true, `blaze jms put blaze.x y`, statusUsage, `names that begin with "blaze." are reserved`},
		{true, `blaze jms put 'q?direct=true' y`, statusUsage, "blaze queue works on it"},
		{true, `blaze jms queues none`, statusFailed, `there is no queue "none"`},
		{true, `blaze jms purge none --all`, statusFailed, `there is no queue "none"`},
		{true, `blaze jms move none r`, statusFailed, `there is no queue "none"`},
		{true, `blaze jms dlq retry none`, statusFailed, `there is no queue "DLQ.none"`},
		{true, `blaze jms move q blaze.r`, statusUsage, `names that begin with "blaze." are reserved`},
		{true, `blaze jms put -q q x; blaze jms purge q --selector 'a ='`, statusUsage, "invalid selector"},
		{false, `blaze jms purge q --all --timeout 200ms`, statusNobody, "nobody holds queues in cluster"},
		{true, `seq 11 | blaze jms put full --timeout 300ms`, statusCondition, `after 10 messages: queue "full" is full`},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := newShell(t)
			if c.holder {
				s.holder(jms.QueueDepth("full", 10))
			}
			_, stderr, status := s.run(c.script)
			if status != c.status || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%s\nstatus %d, want %d; standard error:\n%swant %q", c.script, status, c.status, stderr, c.stderr)
			}
		})
	}
	for _, c := range []struct{ args, want string }{
		{"jms", "want hold, status"},
		{"jms hlod", "did you mean hold?"},
		{"jms put", "which QUEUE?"},
		{"jms put q x --priority 10", "--priority 10: want 0 to 9"},
		{"jms put q x --ttl -1s", "--ttl -1s: want more than 0"},
		{"jms put q x --delay -1s", "--delay -1s: want 0 or more"},
		{"jms put q x --property size", `--property "size": want NAME=VALUE`},
		{"jms put q x --property 1a=2", `--property "1a=2": `},
		{"jms take q --count -1", "--count -1: want more than 0"},
		{"jms browse q --count -1", "--count -1: want more than 0"},
		{"jms purge q", "which messages? Want --all"},
		{"jms purge q --all --selector a=1", "which messages? Want --all"},
		{"jms purge q --all --count 1", "which messages? Want --all"},
		{"jms purge q --count -1", "--count -1: want more than 0"},
		{"jms move q q", `"q" is both queues`},
		{"jms move q", "which TO?"},
		{"jms dlq", "want retry"},
		{"jms dlq rerty q", "did you mean retry?"},
		{"jms put blaze.x y --uri loop", "bad configuration"},
		{"jms hold --holders 17 --uri loop", "bad configuration"},
	} {
		status, stdout, stderr := runHere(strings.Fields(c.args)...)
		if status != statusUsage || !strings.Contains(stderr, c.want) || stdout != "" {
			t.Errorf("blaze %s: status %d, %q, want %q", c.args, status, stderr, c.want)
		}
	}
}

// Without a majority the holders say so.
func TestJMSNoMajority(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	out, stderr, status := s.run(`for i in 1 2; do blaze jms hold -q --holders 2 --name h$i & pids[i]=$!; done
		blaze jms put -q q x --timeout 20s && kill -KILL ${pids[2]}; until blaze jms status; test $? = 5; do sleep 0.1; done
		blaze jms put q y --timeout 300ms; echo put $?`)
	if !strings.Contains(out, "no majority") || !strings.HasSuffix(out, "put 3\n") && !strings.HasSuffix(out, "put 7\n") || !strings.Contains(stderr, "the holders have no majority") {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
}

func TestJMSJSON(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.holder(jms.ClientID("desk"))
	topic, err := c.Topic("prices.>")
	if err != nil {
		t.Fatal(err)
	}
	k, err := c.SharedDurableConsumer(topic, "blotter")
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	message := regexp.MustCompile(`"ID:[0-9a-fA-F]{48}"`)
	for _, c := range []struct{ name, script string }{
		{"jms-put", `blaze jms put -q --json q a b --priority 9 --ttl 1h --correlation-id c --reply-to answers --type order --property size=10 --property desk=emea --property rate=0.5 --property hot=true --property "word='1'"`},
		{"jms-browse", `blaze jms browse --json q --count 1`},
		{"jms-take", `blaze jms take -q --json q --count 2`},
		{"jms-purge", `blaze jms put -q q2 1 2; blaze jms move --json q2 q3; blaze jms purge --json q3 --all`},
		{"jms-queues", `blaze jms put -q q c; blaze jms queues --json q blotter`},
		{"jms-status", `blaze jms status --json`},
	} {
		out, stderr, status := s.run(c.script)
		if status != 0 || out == "" {
			t.Errorf("%s\nstatus %d\n%s%s", c.script, status, out, stderr)
		}
		golden(t, c.name, message.ReplaceAllString(out, `"ID:ID"`))
	}
	s = newShell(t)
	out, _, _ := s.run(`blaze jms hold -q --json --holders 1 --name h --data-dir d --timeout 3s`)
	golden(t, "jms-hold", out)
}

func TestPropertyOf(t *testing.T) {
	for _, c := range []struct {
		text, name string
		value      any
		ok         bool
	}{
		{"a=1", "a", int64(1), true}, {"a=-1.5e3", "a", -1500.0, true}, {"a=true", "a", true, true}, {"a=x", "a", "x", true}, {"a=", "a", "", true},
		{"a='1'", "a", "1", true}, {"a='it''s'", "a", "it's", true}, {"a='", "a", "'", true}, {"a=b=c", "a", "b=c", true}, {"a=NaN", "a", "NaN", true},
		{"a=Infinity", "a", "Infinity", true}, {"a=True", "a", "True", true}, {"a", "", nil, false}, {"=1", "", nil, false},
	} {
		if name, value, ok := propertyOf(c.text); name != c.name || value != c.value || ok != c.ok {
			t.Errorf("%s is %q = %v (%T), %v", c.text, name, value, value, ok)
		}
	}
}

// Queues are completed with those that are held.
func TestCompletionOfHeldQueues(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	c := s.holder()
	for _, name := range []string{"orders", "trades"} {
		q, err := c.Queue(name)
		if err == nil {
			err = c.Producer().SendText(t.Context(), q, "x")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ words, want string }{
		{"jms put ''", "orders\ntrades\n:4\n"},
		{"jms take ''", "orders\ntrades\n:4\n"},
		{"jms browse orders ''", ":4\n"},
		{"jms queues orders ''", "trades\n:4\n"},
		{"jms status ''", ":4\n"},
	} {
		s.completes("", c.words, c.want)
	}
}

// What the holders say of disks is what status prints.
func TestHeldState(t *testing.T) {
	all := []blaze.Member{{ID: blaze.MemberID{2}, Name: "b"}, {ID: blaze.MemberID{1}, Name: "a"}, {ID: blaze.MemberID{3}, Name: "c"}}
	for want, disks := range map[string][3]bool{"memory": {}, "disk": {true, true, true}, "mixed": {true, false, true}} {
		s := &blaze.ClusterStatus{Primary: true, Master: blaze.MemberID{2}}
		for i, m := range all {
			s.Members = append(s.Members, blaze.ClusterMember{ID: m.ID, Name: m.Name, Ready: true, Disk: disks[i]})
		}
		out := heldStateOf(blaze.MemberID{1}, s, all)
		if out.Persistent != want || fmt.Sprint(out.Holders[0].Name, out.Holders[1].Name, out.Holders[2].Name) != "abc" || !out.Holders[1].IsMaster || out.Holders[0].IsMaster {
			t.Errorf("%s: %+v", want, out)
		}
		s.Members = s.Members[:2]
		if out := heldStateOf(blaze.MemberID{1}, s, all); out.Holders[2].State != "elsewhere" || out.Holders[2].Stored {
			t.Errorf("a holder that is not in the ring: %+v", out.Holders[2])
		}
	}
	var s heldState
	s.count([]jms.QueueStats{{Name: "q", Depth: 2, Bytes: 10, InFlight: 1}, {Name: "DLQ.q", Depth: 3}, {Name: "DLQ.s", Topic: "t", Depth: 4}})
	if s.Queues != 2 || s.Subscriptions != 1 || s.Messages != 9 || s.InFlight != 1 || s.DeadLetters != 3 || s.Bytes != 10 {
		t.Errorf("%+v", s)
	}
	if q := heldQueueOf(&jms.QueueStats{Name: "q", Oldest: time.UnixMilli(1)}); q.Queue != "q" || q.Durable != nil || q.Oldest != "1970-01-01T00:00:00.001000000Z" {
		t.Errorf("%+v", q)
	}
}

// The status names a client that settles nothing, by its name or, where it is not in the group, by its id.
func TestJMSHolding(t *testing.T) {
	now := time.Now()
	var s heldState
	s.heldBack([]blaze.Member{{ID: blaze.MemberID{1}, Name: "stuck"}}, []jms.Holding{
		{Client: blaze.MemberID{1}, InFlight: 5, Since: now.Add(-time.Minute), Queues: []string{"orders"}},
		{Client: blaze.MemberID{2}, ClientID: "desk", InFlight: 1, Since: now.Add(-time.Hour), Queues: []string{"a", "b"}},
		{Client: blaze.MemberID{1}, InFlight: 7, Since: now, Queues: []string{"busy"}},
	})
	if len(s.Holding) != 2 || s.Holding[0].Name != "stuck" || s.Holding[1].Name != "" || s.Holding[1].ID != (blaze.MemberID{2}).String() {
		t.Errorf("%+v", s.Holding)
	}
	var out bytes.Buffer
	a := &app{out: newOutput(&out, func(err error) { t.Error(err) })}
	s.Primary, s.Persistent = true, "memory"
	a.printHeldState("h", &s)
	a.out.close()
	for _, want := range []string{"stuck has 5 messages of orders and has settled none since ", " has 1 message of a, b and has settled none since "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
