package main

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/activeblaze/blaze"
)

// What pub sends, sub prints: arguments, lines, bare bytes, repeated.
func TestPubSub(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct{ script, stdout string }{
		{`blaze sub --payload --count 2 a.b & blaze pub a.b one two; wait $!`, "one\ntwo\n"},
		{`blaze sub --payload --count 3 a.b & printf 'one\n\nthree' | blaze pub a.b; wait $!`, "one\n\nthree\n"},
		{`blaze sub --payload --count 2 a.b & printf 'one\r\n- \n' | blaze pub a.b -; wait $!`, "one\n- \n"},
		{`blaze sub --payload --count 2 a.b & seq 1000000 | blaze pub --count 2 a.b; wait $!`, "1\n2\n"},
		{`blaze sub --payload --count 5 a.b & blaze pub a.b --count 5 x y; wait $!`, "x\ny\nx\ny\nx\n"},
		{`blaze sub --payload a.b --count 3 & s=$!; blaze pub a.b --count 2000000000 --rate 1000 x & wait $s`, "x\nx\nx\n"},
		{`blaze sub --payload --count 1 a.b & blaze pub --raw a.b $'\xff\xfe'; wait $!`, "\xff\xfe\n"},
		{`blaze sub --payload --count 1 a.b & blaze pub a.b -- --count; wait $!`, "--count\n"},
		{`blaze sub --payload --count 3 'a.*' 'a.>' & blaze pub a.b 1; blaze pub a 2; blaze pub a.b.c 3; wait $!`, "1\n2\n3\n"},
		{`blaze sub --payload --count 1 a.b & blaze sub --payload --count 1 a.b >copy & blaze pub --wait-receivers 2 a.b 1; wait; cat copy`, "1\n1\n"},
		{`blaze sub --payload --count 3 a.b & blaze pub --rate 1000 a.b 1 2 3; wait $!`, "1\n2\n3\n"},
		{`blaze sub --payload --count 1 --protocol totem a.b & blaze pub --protocol besteffort a.b 1; wait $!`, "1\n"},
		{`seq 20000 >want; blaze sub --payload --count 20000 a.b >got & blaze pub a.b - <want; wait $!; cmp got want && echo same`, "same\n"},
	} {
		s.want(c.script, c.stdout, 0)
	}
}

// sub prints a line for each message, with the control characters of the network's texts escaped.
func TestSubPrintsLines(t *testing.T) {
	t.Parallel()
	out, _, status := newShell(t).run(`blaze sub --count 2 'a.>' & blaze pub a.b $'\e[31mred\nline' 'plain text'; wait $!`)
	printed := lines(out)
	if status != 0 || len(printed) != 2 || !strings.HasSuffix(printed[0], ` a.b \x1b[31mred\nline`) || !strings.HasSuffix(printed[1], " a.b plain text") {
		t.Errorf("status %d, printed\n%s", status, out)
	}
}

func TestPubSubStatus(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, c := range []struct {
		script string
		status int
		stderr string
	}{
		{`blaze pub a.b x --timeout 50ms`, statusNobody, `nobody receives "a.b" in cluster`},
		{`blaze pub a.b x --wait-receivers 0`, statusDone, "1 message sent to 0 receivers"},
		{`blaze sub a.b & blaze pub a.b x --wait-receivers 2 --timeout 2s; s=$?; kill $!; exit $s`, statusTime, "1 of 2 receivers"},
		{`blaze sub a.b & blaze pub a.b x y --rate 1e-300 & sleep 0.3; kill $!; wait $!`, statusInterrupted, ""},
		{`blaze sub a.b <&- >&- --timeout 50ms`, statusTime, "0 messages came"},
		{`blaze pub --wait-receivers 0 a.b - </`, statusFailed, "standard input, line 1: read /dev/stdin: is a directory"},
		{`blaze sub a.b --timeout 50ms`, statusTime, "0 messages came, and time is up"},
		{`blaze sub a.b --timeout 50ms --count 2`, statusTime, "0 of 2 messages came"},
		{`blaze pub --wait-receivers 0 a..b x`, statusUsage, "an element is empty"},
		{`blaze pub --wait-receivers 0 'a.*' x`, statusUsage, "bad topic"},
		{`blaze sub a..b`, statusUsage, "an element is empty"},
		{`blaze pub --wait-receivers 0 a.b $'\xff'`, statusFailed, `"\xff" is not UTF-8, which the text of a message must be; --raw sends bytes`},
		{`head -c 2000000 /dev/zero | blaze pub --wait-receivers 0 a.b -`, statusFailed, "standard input, line 1: message too large: more than 1048576 bytes"},
		{`blaze sub a.b >/dev/full & blaze pub a.b x; wait $!`, statusFailed, "standard output: write /dev/stdout: no space left on device"},
	} {
		_, stderr, status := s.run(c.script)
		if status != c.status || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s\nstatus %d, want %d; standard error:\n%swant %q", c.script, status, c.status, stderr, c.stderr)
		}
	}
}

// A signal ends sub in order: the others see it leave at once, and the status is 130. A reader that has enough
// ends it quietly.
func TestSubEnds(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		c := s.member()
		left := make(chan struct{}, 1)
		c.OnStream(func(e blaze.StreamEvent) {
			if e.Kind == blaze.ReceiverLeft {
				left <- struct{}{}
			}
		})
		p, err := c.Publisher("a.b")
		if err != nil {
			t.Fatal(err)
		}
		sub, stderr := s.start("sub", "-q", "a.b")
		if err := p.WaitReceivers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := sub.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = sub.Wait()
		if code := sub.ProcessState.ExitCode(); code != statusInterrupted || stderr.Len() > 0 {
			t.Errorf("%v: %v\n%s", signal, sub.ProcessState, stderr)
		}
		<-left
		_ = c.Shutdown()
	}
	// Its first line ends head, and the next one sub.
	s.want(`set -o pipefail; (blaze sub --payload a.b; echo "status $?" >&2) 2>err | head -n 1 & yes | blaze pub --count 100000 a.b -; wait $!; grep -c 'status 0' err; grep -v 'status 0\|listening' err; :`, "y\n1\n", 0)
}

// Losses are printed in their place, and with --fail-on-loss the status is 6.
func TestSubReportsLosses(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	const script = `BLAZE_TEST_DROP=0.3 blaze sub --fail-on-loss --count 60 --json a.b & blaze pub --protocol besteffort --rate 5000 --count 300 a.b ` + long + `; wait $!`
	out, stderr, status := s.run(script)
	if status != statusLost || !strings.Contains(stderr, "blaze: lost: ") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	next, losses := uint64(0), 0
	for _, line := range lines(out) {
		var e struct {
			Event                 string
			Sequence, First, Last uint64
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		first, last := e.Sequence, e.Sequence
		if e.Event == "loss" {
			losses++
			first, last = e.First, e.Last
		}
		if next != 0 && first != next {
			t.Errorf("%s\ncomes after message %d", line, next-1)
		}
		next = last + 1
	}
	if losses == 0 {
		t.Errorf("no losses:\n%s", out)
	}
	out, stderr, _ = s.run(strings.Replace(script, "--json", "", 1))
	if !strings.Contains(out, " lost: message") {
		t.Errorf("no loss among the lines:\n%s%s", out, stderr)
	}
	out, stderr, _ = s.run(strings.Replace(script, "--json", "--payload", 1))
	if strings.Contains(out, "lost") || !strings.Contains(stderr, " lost: message") {
		t.Errorf("with --payload a loss belongs to standard error:\n%s%s", out, stderr)
	}
}

// long is a text that has a datagram for itself.
const long = `"$(printf %01200d 0)"`

func TestPubSubJSON(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	out, _, _ := s.run(`blaze sub -q --count 1 a.b >/dev/null & blaze pub --json a.b x; wait`)
	golden(t, "pub", out)

	object, err := blaze.NewObjectMessage(durationpb.New(1))
	if err != nil {
		t.Fatal(err)
	}
	object.Set("price", blaze.Float64Value(101.25))
	inner := blaze.NewMessage().Set("n", blaze.Int64Value(math.MinInt64))
	all := blaze.NewMessage().Set("bool", blaze.BoolValue(true)).Set("byte", blaze.ByteValue(-1)).Set("bytes", blaze.BytesValue([]byte{0, 255})).
		Set("char", blaze.CharValue('é')).Set("float", blaze.Float32Value(0.5)).Set("int", blaze.Int32Value(65)).Set("map", blaze.MapValue(inner)).
		Set("message", blaze.MapValue(blaze.NewTextMessage("within"))).Set("nan", blaze.Float64Value(math.NaN())).Set("text", blaze.StringValue("<&>"))
	c := s.member()
	go func() {
		p, err := c.Publisher("a.b")
		if err == nil {
			err = p.WaitReceivers(t.Context(), 1)
		}
		for _, m := range []*blaze.Message{blaze.NewTextMessage(""), blaze.NewBytesMessage([]byte{1, 2}), object, all} {
			if err == nil {
				err = c.Broadcast(t.Context(), "a.b", m)
			}
		}
		for _, payload := range [][]byte{[]byte("bare"), {0xff}} {
			if err == nil {
				err = p.Offer(payload)
			}
		}
		if err != nil {
			t.Error(err)
		}
	}()
	out, _, _ = s.run(`blaze sub -q --json --count 6 a.b`)
	loss, _, _ := s.run(`(BLAZE_TEST_DROP=0.3 blaze sub -q --count 60 --json a.b | grep loss | head -n 1 | sed 's/"first":[0-9]*,"last":[0-9]*/"first":1,"last":2/') & blaze pub -q --wait-receivers 2 --protocol besteffort --rate 5000 --count 300 a.b ` + long + `; wait`)
	golden(t, "sub", out+loss)
}
