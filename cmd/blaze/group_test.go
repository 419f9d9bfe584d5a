package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/activeblaze/blaze"
)

// open makes a pipe "in" that stays open until descriptor 3 is closed, or the script ends.
const open = `rm -f in; mkfifo in; exec 3<>in; `

// Commands that talk to each other through the members, as a shell script has them. Each script starts what answers
// first, and what asks waits for it.
func TestGroupScripts(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	// cut leaves out the time and the sender.
	const cut = ` | cut -d ' ' -f 3-`
	for _, c := range []struct{ script, stdout string }{
		{`blaze inbox --name desk --count 2` + cut + ` & blaze send desk one 'two words'; wait`, "one\ntwo words\n"},
		{`blaze inbox --name desk --count 2` + cut + ` & printf 'a\nb\n' | blaze send de -; wait`, "a\nb\n"},
		{`blaze inbox --name desk orders --count 1` + cut + ` & blaze send --inbox orders desk x; wait`, "x\n"},
		{`blaze inbox --name ann --count 1 | cut -d ' ' -f 2- & blaze send ann hi --name bob; wait`, "bob hi\n"},
		{`blaze inbox --name desk --count 1 --reply 101.25 >in & blaze request desk 'what?'; wait; cut -d ' ' -f 3- in`, "101.25\n(request) what?\n"},
		{`blaze queue take q --count 3` + cut + ` & printf '1\n2\n3\n' | blaze queue put q; wait`, "1\n2\n3\n"},
		{`blaze queue take q --count 3 --fail 1` + cut + ` & blaze queue put q 1 2; wait`, "(failed) 1\n(redelivered) 1\n2\n"},
		{`blaze queue take q --count 1 --reply pong >in & blaze request --queue q ping; wait; cut -d ' ' -f 3- in`, "pong\n(request) ping\n"},
		{`blaze queue take q --count 2 --exec 'tr a-z A-Z; echo " $BLAZE_QUEUE $BLAZE_REDELIVERED"' & blaze queue put q abc def; wait`, "ABC q 0\nDEF q 0\n"},
		{`blaze queue take q --count 1 --exec 'tr a-z A-Z' & blaze request --queue q abc; wait`, "ABC\n"},
		{`blaze queue take q --count 2 --exec 'test $BLAZE_REDELIVERED = 1 && echo again' & blaze queue put q abc; wait`, "again\n"},
		// One fails, another gets it.
		{`blaze queue take q --count 1 --fail 1` + cut + ` >a & a=$!; blaze queue put q x & wait $a; blaze queue take q --count 1` + cut + `; wait; cat a`, "(redelivered) x\n(failed) x\n"},
		// Each message goes to one of three, and all are handled.
		{`for i in 1 2 3; do blaze queue take q --exec 'cat; echo' >$i 2>/dev/null & done; blaze members --wait 3 >/dev/null
			seq 100 | blaze queue put -q q; kill $(jobs -p); wait; sort -n 1 2 3 | cmp - <(seq 100) && echo all`, "all\n"},
		{`blaze inbox --name desk & blaze members --wait 1 --json | grep -o '"name":"desk"'; kill $!; wait $!; echo $?`, `"name":"desk"` + "\n130\n"},
		{open + `blaze chat -q --name ann <in 3>&- >out & blaze members --group chat --wait 1 >/dev/null; (echo hello; echo /msg ann psst) | blaze chat -q --name bob
			until grep -q left out; do sleep 0.01; done; exec 3>&-; wait; grep bob out | sort`, "* bob has left\n* bob is here\nbob (to you): psst\nbob: hello\n"},
	} {
		s.want(c.script, c.stdout, 0)
	}
}

func TestGroupStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		status int
		stderr string
	}{
		{`blaze members`, statusNobody, "nobody else is in cluster"},
		{`blaze members --group g`, statusNobody, `nobody else is in group "g" of cluster`},
		{`blaze members --wait 1 --timeout 100ms`, statusNobody, "and time is up"},
		{`blaze members --watch --timeout 50ms`, statusTime, "time is up"},
		{`blaze inbox & blaze members --wait 2 --timeout 2s; s=$?; kill $!; exit $s`, statusTime, "1 of 2 members are there, and time is up"},
		{`blaze send '' x`, statusUsage, "blaze send: MEMBER is empty"},
		{`blaze send desk x --timeout 100ms`, statusNobody, `no member "desk" in cluster`},
		{`blaze inbox --name desk & blaze send --inbox other desk x; s=$?; kill $!; exit $s`, statusNobody, "does not handle that in-box"},
		{`blaze inbox --timeout 50ms`, statusTime, "0 messages came, and time is up"},
		{`blaze inbox --name desk --count 2 --timeout 2s & blaze send desk x; wait $!`, statusTime, "1 of 2 messages came, and time is up"},
		{`blaze inbox --name desk & blaze request desk x --timeout 2s; s=$?; kill $!; exit $s`, statusTime, "no reply from desk ("},
		{`blaze request --queue q x --timeout 100ms`, statusNobody, `nobody takes from queue "q"`},
		{`blaze queue take q & blaze request --queue q x; s=$?; kill $!; exit $s`, statusFailed, "the handler returned without a reply"},
		{`blaze queue put q x --timeout 100ms`, statusNobody, `nobody takes from queue "q", or all have failed on it, and time is up`},
		{`blaze queue take q --exec 'sleep 10' & blaze queue put q x --timeout 2s; s=$?; kill $!; exit $s`, statusUnknown, `queue "q" has not answered, and time is up; it may have the message`},
		{`blaze queue take q --timeout 50ms`, statusTime, "0 messages came"},
		{`blaze queue take q --count 1 --exec 'exit 3' & blaze queue put q x --timeout 2s; wait $!`, statusDone, "--exec: exit status 3"},
		{`blaze queue put q $'\xff'`, statusFailed, "is not UTF-8"},
		{`blaze queue put '' x`, statusUsage, `queue "": must be valid UTF-8`},
		{`blaze queue take blaze.x`, statusUsage, `names that begin with "blaze." are reserved`},
		{`blaze inbox blaze.x`, statusUsage, `names that begin with "blaze." are reserved`},
		{`for i in 1 2; do blaze inbox --name desk & done; blaze members --wait 2 >/dev/null; blaze send desk x; s=$?; kill $(jobs -p); exit $s`, statusUsage, `"desk" may be any of desk (`},
		{open + `blaze chat --timeout 100ms <in 3>&-`, statusTime, "time is up"},
		{`blaze chat --name ann </dev/null`, statusDone, ""},
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			_, stderr, status := newShell(t).run(c.script)
			if status != c.status || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%s\nstatus %d, want %d; standard error:\n%swant %q", c.script, status, c.status, stderr, c.stderr)
			}
		})
	}
}

// What a member that is killed had may have been handled, and the sender's status says so where nobody else takes it.
func TestKilledConsumer(t *testing.T) {
	t.Parallel()
	newShell(t).want(`blaze queue take q --exec 'touch begun; sleep 10' 2>/dev/null & a=$!
		blaze queue put --timeout 1m q x & b=$!; until test -e begun; do sleep 0.01; done
		kill -KILL $a; blaze queue take q --count 1 2>/dev/null | cut -d ' ' -f 3-; wait $b; echo $?`, "(redelivered) x\n0\n", 0)
}

// A signal ends each of the commands that go on in order: the others see it stopped, not failed.
func TestGroupCommandsStop(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	g, err := blaze.NewGroupChannel("", blaze.Config{BroadcastURI: s.uri, Cluster: s.cluster, FailureTimeout: failureTimeout, Window: window, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan blaze.MemberEvent, 100)
	g.OnMember(func(e blaze.MemberEvent) {
		if e.Member.ID != g.ID() && e.Kind != blaze.MemberJoinedGroup {
			events <- e
		}
	})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Shutdown() })
	for _, args := range []string{"members -q --watch", "inbox -q", "queue take -q q", "sub -q a"} {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			if args[0] == 's' {
				continue // TestSubEnds
			}
			cmd, stderr := s.start(strings.Fields(args)...)
			if e := <-events; e.Kind != blaze.MemberStarted {
				t.Errorf("%s: %v", args, e.Kind)
			}
			_ = cmd.Process.Signal(signal)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != statusInterrupted || stderr.Len() > 0 {
				t.Errorf("%s, %v: %v\n%s", args, signal, cmd.ProcessState, stderr)
			}
			if e := <-events; e.Kind != blaze.MemberStopped {
				t.Errorf("%s, %v: %v", args, signal, e.Kind)
			}
		}
	}
}

// The lists of members for people: short on a terminal, whole elsewhere.
func TestMembersPrints(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	long := strings.Repeat("long name ", 10)
	out, stderr, status := s.run(open + `blaze inbox --name '` + long + `' & blaze chat --name ann <in 3>&- >/dev/null & blaze members --wait 2; blaze members --group chat --wait 1; kill $(jobs -p)`)
	printed := lines(out)
	if status != 0 || len(printed) != 5 || !strings.HasPrefix(printed[0], "NAME ") || !strings.HasPrefix(printed[1], "ann ") || !strings.HasSuffix(printed[1], " chat") ||
		!strings.HasPrefix(printed[2], long) || !strings.HasPrefix(printed[4], "ann ") || !ids.MatchString(printed[1]) {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
}

func TestGroupJSON(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ name, script string }{
		{"members", open + `blaze chat -q --name ann <in 3>&- >/dev/null & blaze members -q --json --wait 1 --group chat; kill $!`},
		{"members-watch", open + `blaze members -q --json --watch >out & w=$!; blaze chat -q --name ann <in 3>&- >/dev/null & until grep -q 'joined.*"ann"' out; do sleep 0.01; done; kill $!; until grep -q 'stopped.*"ann"' out; do sleep 0.01; done; kill $w; grep '"name":"ann"' out`},
		{"send", `blaze inbox -q --name ann --count 2 >/dev/null & blaze send -q --json ann a b; wait`},
		{"inbox", `blaze inbox -q --json --name ann --count 2 --reply y & blaze send -q --name bob ann x; blaze request -q --name bob ann x >/dev/null; wait`},
		{"queue-put", `blaze queue take -q q --count 2 >/dev/null & blaze queue put -q --json q a b; wait`},
		{"queue-take", `blaze queue take -q --json q --count 3 --fail 1 --reply y & blaze queue put -q --name bob q a; blaze request -q --name bob --queue q b >/dev/null; wait`},
		{"request", `blaze inbox -q --name ann --count 1 --reply y >/dev/null & blaze request -q --json ann x; wait`},
		{"chat", open + `blaze chat -q --json --name ann <in 3>&- >out & blaze members --group chat --wait 1 >/dev/null; (echo hello; echo /msg ann psst) | blaze chat -q --name bob >/dev/null; until grep -q left out; do sleep 0.01; done; exec 3>&-; wait
			for e in joined said told left; do grep "\"$e\"" out; done`},
	} {
		out, stderr, status := s.run(c.script)
		if status != 0 || out == "" {
			t.Errorf("%s\nstatus %d\n%s%s", c.script, status, out, stderr)
		}
		golden(t, c.name, out)
	}
}

func TestFind(t *testing.T) {
	var all []blaze.Member
	for i, name := range []string{"ann", "anna", "bob", "bob", "carl"} {
		all = append(all, blaze.Member{Name: name, ID: blaze.MemberID{0xab, byte(i)}})
	}
	for _, c := range []struct {
		word string
		want int // -1: none; -2: more than one
	}{
		{"ann", 0}, {"anna", 1}, {"an", -2}, {"bob", -2}, {"c", 4}, {"carla", -1}, {"ab02", 2}, {"AB03", 3}, {"ab", -2},
		{"ab000000-00000000-00000000-00000000", 0}, {"ab00000000000000-0000000000000000", 0}, {"zz", -1},
	} {
		m, found, err := find(all, c.word)
		switch {
		case c.want == -2:
			if err == nil || statusOf(err) != statusUsage || !strings.Contains(err.Error(), "may be any of") {
				t.Errorf("find %q: %v, %v", c.word, m.Name, err)
			}
		case c.want == -1:
			if found || err != nil {
				t.Errorf("find %q: %v, %v", c.word, m.Name, err)
			}
		case err != nil || !found || m.ID != all[c.want].ID:
			t.Errorf("find %q: %v, %v", c.word, m, err)
		}
	}
	if got := shortIDs([]blaze.Member{{ID: blaze.MemberID{1, 2, 3, 4, 5}}, {ID: blaze.MemberID{1, 2, 3, 4, 6}}}); got[0] == got[1] || len(got[0]) != 11 {
		t.Errorf("short ids are %q", got)
	}
}

func TestColumns(t *testing.T) {
	rows := [][]string{{"NAME", "ID", "GROUPS"}, {"ann", "1", ""}, {strings.Repeat("é", 50), "22", strings.Repeat("group ", 20)}}
	for _, width := range []int{0, 40, 80, 12} {
		for i, line := range columns(rows, width) {
			if n := len([]rune(line)); width > 0 && n > width || strings.HasSuffix(line, " ") && i < 2 {
				t.Errorf("width %d: %d columns: %q", width, n, line)
			}
		}
	}
	if got := fmt.Sprintf("%q", columns(rows[:2], 80)); got != `["NAME  ID  GROUPS" "ann   1"]` {
		t.Error(got)
	}
}
