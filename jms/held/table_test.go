package held

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a client must not do, or does wrongly, is an answer; nothing changes by it but counters.
func TestRefused(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	r.put(1, "Q", "a")
	r.consume(1, 1, "Q", "", 0)
	got := r.take(1, 1, 1, 0).Messages
	number := got[0].Number
	msg := r.message("x")
	put := func(queue string, change func(*Message)) Op {
		m := r.message("x")
		change(&m)
		return Op{Kind: KindPut, Queue: []byte(queue), HasMessage: true, Message: m}
	}
	for _, c := range []struct {
		name string
		conn uint64
		op   Op
		want Code
	}{
		{"settle another's", 2, Op{Kind: KindSettle, Numbers: []uint64{number}}, CodeNotHeld},
		{"settle in another session", 1, Op{Kind: KindSettle, Session: 1, Numbers: []uint64{number}}, CodeNotHeld},
		{"release another's", 2, Op{Kind: KindRelease, Numbers: []uint64{number}}, CodeNotHeld},
		{"commit another's", 2, Op{Kind: KindCommit, Numbers: []uint64{number}}, CodeNotHeld},
		{"stage a settlement of another's", 2, Op{Kind: KindStage, Numbers: []uint64{number}}, CodeNotHeld},
		{"fetch another's", 2, Op{Kind: KindFetch, Numbers: []uint64{number}}, CodeNotHeld},
		{"take with another's consumer", 2, Op{Kind: KindTake, Consumer: 1, Limit: 1}, CodeNoConsumer},
		{"cancel another's consumer", 2, Op{Kind: KindCancel, Consumer: 1}, CodeNoConsumer},
		{"end a member", 2, Op{Kind: KindGone, To: member(1)}, CodeForged},
		{"merge", 2, Op{Kind: KindMerge, Queue: []byte("Q"), HasMessage: true, Message: msg}, CodeForged},
		{"an unknown kind", 1, Op{Kind: 99}, CodeMalformed},
		{"a put without message", 1, Op{Kind: KindPut, Queue: []byte("Q")}, CodeMalformed},
		{"a put without id", 1, put("Q", func(m *Message) { m.ID = nil }), CodeMalformed},
		{"a put to no name", 1, put("", func(m *Message) {}), CodeNoQueue},
		{"a put to a name of subscriptions", 1, put("\x00dx\x00y", func(m *Message) {}), CodeNoQueue},
		{"a put of parts that are not there", 1, put("Q", func(m *Message) { m.Part = 7 }), CodeTooLarge},
		{"a second consumer of a number", 1, Op{Kind: KindConsume, Consumer: 1, Queue: []byte("Q")}, CodeInUse},
		{"consumer 0", 1, Op{Kind: KindConsume, Queue: []byte("Q")}, CodeMalformed},
		{"a selector that is wrong", 1, Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: []byte("a = 'b")}, CodeSelector},
		{"a selector of 1 MB", 1, Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: bytes.Repeat([]byte("a"), 1<<20)}, CodeSelector},
		{"a selector with NUL", 1, Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: []byte("a = \x00")}, CodeSelector},
		{"a selector that is not UTF-8", 1, Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Selector: []byte("a = '\xFF'")}, CodeSelector},
		{"parentheses", 1, Op{Kind: KindBrowse, Queue: []byte("Q"), Selector: bytes.Repeat([]byte("("), 100_000)}, CodeSelector},
		{"a take of nothing", 1, Op{Kind: KindTake, Consumer: 1}, CodeMalformed},
		{"a take of too much", 1, Op{Kind: KindTake, Consumer: 1, Limit: MaxLimit + 1}, CodeMalformed},
		{"a stage of nothing", 1, Op{Kind: KindStage}, CodeMalformed},
		{"subscribe without a name", 1, Op{Kind: KindSubscribe, Topic: []byte("t"), Flags: FlagDurable}, CodeMalformed},
		{"subscribe to no topic", 1, Op{Kind: KindSubscribe, Name: []byte("s"), Flags: FlagDurable}, CodeMalformed},
		{"subscribe for nobody", 1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagShared}, CodeMalformed},
		{"unsubscribe from nothing", 1, Op{Kind: KindUnsubscribe, Name: []byte("s")}, CodeNoSubscription},
		{"publish to a pattern", 1, Op{Kind: KindPublish, Topic: []byte("t/*"), HasMessage: true, Message: msg}, CodeMalformed},
		{"configure without settings", 1, Op{Kind: KindConfigure, Queue: []byte("Q")}, CodeMalformed},
		{"drop a queue in use", 1, Op{Kind: KindDrop, Queue: []byte("Q")}, CodeInUse},
		{"drop what is not there", 1, Op{Kind: KindDrop, Queue: []byte("R")}, CodeNoQueue},
		{"purge what is not there", 1, Op{Kind: KindPurge, Queue: []byte("R"), Limit: 1}, CodeNoQueue},
		{"move onto itself", 1, Op{Kind: KindMove, Queue: []byte("Q"), Name: []byte("Q"), Limit: 1}, CodeMalformed},
		{"browse what is not there", 1, Op{Kind: KindBrowse, Queue: []byte("R")}, CodeNoQueue},
		{"a part of nothing", 1, Op{Kind: KindPart, After: 1, Limit: 10}, CodeMalformed},
		{"a part of too much", 1, Op{Kind: KindPart, After: 1, Limit: MaxStagedBytes + 1, Data: []byte("x")}, CodeTooLarge},
		{"a part beyond its size", 1, Op{Kind: KindPart, After: 1, Limit: 1, Data: []byte("xy")}, CodeTooLarge},
	} {
		depth := r.m.state.depth
		if a := r.do(c.conn, c.op); a.Code != c.want {
			t.Errorf("%s: code %d %s, want %d", c.name, a.Code, a.Detail, c.want)
		}
		if r.m.state.depth != depth {
			t.Errorf("%s changed the queues", c.name)
		}
	}
	if r.m.state.refused < 6 {
		t.Errorf("%d refused operations are counted", r.m.state.refused)
	}
	if a := r.raw(&Op{Kind: KindEnd, Conn: 1, Counter: 1}, Member{}); a.Code != CodeForged {
		t.Errorf("an operation without origin: %+v", a)
	}
	if a := r.raw(&Op{Kind: KindEnd, Conn: 1, Counter: r.next[1] + 1}, member(2)); a.Code != CodeNoConnection {
		t.Errorf("the end of another's connection: %+v", a)
	}
	r.must(1, Op{Kind: KindSettle, Numbers: []uint64{number}})
}

// A connection whose member has left does not begin again, however late its operation comes.
func TestGoneForGood(t *testing.T) {
	r := newRig(t)
	r.m.Gone(member(3)) // nobody knew it
	r.begin(1)
	r.index++
	r.m.Gone(member(1))
	r.m.Certain(r.m.index)
	r.want(r.notices(), "1: ended")
	if a := r.do(1, Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: r.message("a")}); a.Code != CodeNoConnection {
		t.Errorf("it puts: %+v", a)
	}
	if a := r.do(1, Op{Kind: KindBegin}); a.Code != CodeNoConnection {
		t.Errorf("the connection begins again: %+v", a)
	}
	// It was only cut off: its next connection is another one.
	if a := r.raw(&Op{Kind: KindBegin, Conn: 2}, member(1)); a.Code != CodeOK {
		t.Errorf("its next connection: %+v", a)
	}
	if all := r.m.Clients(); len(all) != 1 || all[0] != member(1) {
		t.Errorf("%v have connections", all)
	}
	r.restore()
	r.m.Gone(member(1))
	if all := r.m.Clients(); len(all) != 0 {
		t.Errorf("%v have connections", all)
	}
	for i := range maxLeft + 10 {
		r.m.Gone(Member{0: 9, 1: byte(i), 2: byte(i >> 8)})
	}
	if n := len(r.m.state.clients); n > maxLeft {
		t.Errorf("%d clients are remembered", n)
	}
}

// A message that is larger than an operation comes in parts, is handed out by its size, and is fetched in pieces.
func TestParts(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	whole := bytes.Repeat([]byte("0123456789"), 20_000)
	for at := 0; at < len(whole); at += 30_000 {
		r.must(1, Op{Kind: KindPart, After: 9, Limit: uint64(len(whole)), Data: whole[at:min(at+30_000, len(whole))]})
		if at == 60_000 {
			r.restore()
		}
	}
	r.put(1, "Q", "", func(m *Message) { m.Data, m.Part = nil, 9 })
	r.consume(2, 1, "Q", "", 0)
	a := r.take(2, 1, 1, 0)
	if len(a.Messages) != 1 || len(a.Messages[0].Data) != 0 || a.Messages[0].Size != uint64(len(whole)) {
		t.Fatalf("%+v", a)
	}
	fetch := func() (got []byte) {
		for more := true; more; {
			a := r.must(2, Op{Kind: KindFetch, Numbers: []uint64{a.Messages[0].Number}, After: uint64(len(got))})
			got, more = append(got, a.Messages[0].Data...), a.More
			if a.Next != uint64(len(got)) {
				t.Fatalf("next %d after %d bytes", a.Next, len(got))
			}
		}
		return got
	}
	if !bytes.Equal(fetch(), whole) {
		t.Error("what is fetched differs")
	}
	r.restore()
	if !bytes.Equal(fetch(), whole) {
		t.Error("what is fetched differs after a restore")
	}
	// A part that nobody puts goes with its connection.
	r.must(1, Op{Kind: KindPart, After: 10, Limit: 100, Data: []byte("abc")})
	r.must(1, Op{Kind: KindEnd})
	if s := r.m.state; s.pieces.len() != 0 || s.bytes != uint64(len(whole)) {
		t.Errorf("%d pieces, %d bytes", s.pieces.len(), s.bytes)
	}
}

// restore lets the Machine go on from a snapshot of itself.
func (r *rig) restore() {
	r.t.Helper()
	b := r.snapshot()
	m := New(r.m.self)
	if _, err := m.Restore(bytes.NewReader(b), false); err != nil {
		r.t.Fatal(err)
	}
	m.index = r.m.index
	r.m = m
	if !bytes.Equal(r.snapshot(), b) {
		r.t.Fatal("a restored state writes other bytes")
	}
}

// A client that turns to another holder asks for what it has in flight, page by page.
func TestAttach(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	r.consume(1, 1, "Q", "", 0)
	for i := range 30 {
		r.put(1, "Q", fmt.Sprint(i))
	}
	r.take(1, 1, 20, FlagWait)
	r.must(1, Op{Kind: KindConsume, Consumer: 2, Queue: []byte("Q"), Session: 5})
	r.take(1, 2, 5, 0)
	var all []Message
	var last Message
	for more := true; more; {
		a := r.must(1, Op{Kind: KindAttach, Session: last.Session, After: last.Number, Limit: 7})
		all = append(all, a.Messages...)
		last, more = all[len(all)-1], a.More
		if a.Next != r.next[1]+1 {
			t.Fatalf("counter %d is due, not %d", a.Next, r.next[1]+1)
		}
	}
	if len(all) != 25 || all[24].Session != 5 || all[24].Consumer != 2 || all[0].Consumer != 1 {
		t.Errorf("%d messages, the last one %+v", len(all), all[len(all)-1])
	}
}

// What has expired, or waits for its time, is moved by Ticks, at most so much at once.
func TestTimes(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	r.tick(1_000)
	at := func(ms int64, ok bool) {
		t.Helper()
		got, there := r.m.Next()
		if there != ok || ok && got != time.UnixMilli(ms) {
			t.Fatalf("next Tick %v %v, want %d %v", got.UnixMilli(), there, ms, ok)
		}
	}
	at(0, false)
	r.put(1, "Q", "late", func(m *Message) { m.Due = 2_010 })
	at(2_100, true) // resolution
	r.put(1, "Q", "short", func(m *Message) { m.Expires = 1_500 })
	at(1_500, true)
	r.consume(1, 1, "Q", "", 0)
	r.tick(1_500)
	r.want(texts(r.take(1, 1, 9, 0).Messages), "")
	at(2_100, true)
	r.tick(2_100)
	r.want(texts(r.take(1, 1, 9, 0).Messages), "late")
	at(2_200, true) // says since when the connection has it
	r.tick(2_200)
	at(0, false)
	if a := r.must(1, Op{Kind: KindList, Flags: FlagHolding}); len(a.Holding) != 1 || a.Holding[0].Since != 2_200 || a.Holding[0].InFlight != 1 {
		t.Errorf("%+v", a)
	}
	// Time does not go back.
	r.tick(1)
	r.put(1, "Q", "over", func(m *Message) { m.Expires = 2_000 })
	r.want(texts(r.take(1, 1, 9, 0).Messages), "")
	at(2_200, true)
	r.tick(2_200)

	for range 10_000 {
		r.id++
		m := r.message("x")
		m.Expires = 3_000
		r.next[1]++
		op := Op{Kind: KindPut, Conn: 1, Counter: r.next[1], Queue: []byte("Q"), HasMessage: true, Message: m, Low: r.next[1]}
		r.index++
		r.m.Apply(Sign(op.Append(nil), member(1)), holder, r.index)
	}
	ticks := 0
	for r.m.state.depth > 1 {
		before := r.m.state.depth
		r.tick(3_000)
		if n := before - r.m.state.depth; n > MaxSteps/4/stepsMessage+1 || n == 0 {
			t.Fatalf("a Tick removed %d messages", n)
		}
		ticks++
	}
	if ticks < 20 {
		t.Errorf("10000 messages expired in %d Ticks", ticks)
	}
	if n := r.m.state.queues["Q"].stats.Expired; n != 10_002 {
		t.Errorf("%d expired", n)
	}
}

// A redelivery waits from the first Tick after it, twice as long each time.
func TestRedeliveryDelay(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	r.must(1, Op{Kind: KindConfigure, Queue: []byte("Q"), Settings: &Settings{RedeliveryDelay: 200, Doubling: true, MaxRedeliveries: 3}})
	r.put(1, "Q", "a")
	r.consume(1, 1, "Q", "", 0)
	now := int64(10_000)
	for _, wait := range []int64{200, 400, 800} {
		a := r.take(1, 1, 1, 0)
		if len(a.Messages) != 1 {
			t.Fatalf("before the wait of %d: %+v", wait, a)
		}
		r.must(1, Op{Kind: KindRelease, Numbers: numbers(a.Messages)})
		if at, ok := r.m.Next(); !ok || at.After(time.UnixMilli(now)) {
			t.Fatal("no Tick is asked for at once")
		}
		now += 5_000
		r.tick(now)
		r.tick(now + wait - 100)
		r.want(texts(r.take(1, 1, 1, 0).Messages), "")
		now += wait
		r.tick(now)
	}
	a := r.take(1, 1, 1, 0)
	r.want(texts(a.Messages), "a*4")
	r.must(1, Op{Kind: KindRelease, Numbers: numbers(a.Messages)})
	b := r.must(1, Op{Kind: KindBrowse, Queue: []byte("DLQ.Q")})
	if len(b.Messages) != 1 || string(b.Messages[0].Queue) != "Q" || b.Messages[0].Reason != ReasonRedelivered {
		t.Fatalf("%+v", b)
	}
	for sel, want := range map[string]int{"JMS_Blaze_Reason = 'redelivered'": 1, "JMS_Blaze_Queue = 'Q'": 1, "JMS_Blaze_Queue = 'R'": 0} {
		if b := r.must(1, Op{Kind: KindBrowse, Queue: []byte("DLQ.Q"), Selector: []byte(sel)}); len(b.Messages) != want {
			t.Errorf("%s finds %d", sel, len(b.Messages))
		}
	}
	if a := r.must(1, Op{Kind: KindRetry, Queue: []byte("DLQ.Q"), Limit: 10}); a.Value != 1 {
		t.Errorf("retried %d", a.Value)
	}
	r.want(texts(r.take(1, 1, 1, 0).Messages), "a*2")
}

// Bounds: a queue, the holder, and that those who wait get notices.
func TestFull(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	r.must(1, Op{Kind: KindConfigure, Queue: []byte("Q"), Settings: &Settings{Depth: 3, Bytes: 10}})
	for _, c := range []struct {
		text string
		want Code
	}{{"0123456789+", CodeTooLarge}, {"01234567", CodeOK}, {"8", CodeOK}, {"90", CodeQueueFull}, {"9", CodeOK}, {"", CodeQueueFull}} {
		if a := r.put(1, "Q", c.text); a.Code != c.want {
			t.Errorf("%q: code %d, want %d", c.text, a.Code, c.want)
		}
	}
	m := r.message("y")
	for range 2 {
		if a := r.do(2, Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: m, Flags: FlagWait}); a.Code != CodeQueueFull {
			t.Fatalf("%+v", a)
		}
	}
	r.consume(1, 1, "Q", "", 0)
	a := r.take(1, 1, 1, 0)
	r.want(r.notices(), "") // what is in flight needs its room, for it may come back
	r.restore()
	r.must(1, Op{Kind: KindSettle, Numbers: numbers(a.Messages)})
	r.want(r.notices(), "2: room in Q")
	r.must(1, Op{Kind: KindConfigure, Settings: &Settings{HolderDepth: 3}})
	if a := r.put(1, "R", "a"); a.Code != CodeOK {
		t.Fatalf("%+v", a)
	}
	if a := r.do(2, Op{Kind: KindPut, Queue: []byte("R"), HasMessage: true, Message: m, Flags: FlagWait}); a.Code != CodeHolderFull {
		t.Fatalf("%+v", a)
	}
	r.must(1, Op{Kind: KindPurge, Queue: []byte("Q"), Limit: 10})
	r.want(r.notices(), "2: room in R")
	r.must(1, Op{Kind: KindConfigure, Settings: &Settings{NoAutoCreate: true}})
	if a := r.put(1, "S", "a"); a.Code != CodeNoQueue {
		t.Errorf("a queue that nobody configured: %+v", a)
	}
}

// A poison message goes to the dead-letter queue, and the others go on.
func TestPoison(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	for _, x := range []string{"poison", "b", "c"} {
		r.put(1, "Q", x)
	}
	r.consume(1, 1, "Q", "", 0)
	var order []string
	for range 12 {
		a := r.take(1, 1, 1, 0)
		if len(a.Messages) == 0 {
			break
		}
		order = append(order, texts(a.Messages))
		kind := KindSettle
		if strings.HasPrefix(order[len(order)-1], "poison") {
			kind = KindRelease
		}
		r.must(1, Op{Kind: kind, Numbers: numbers(a.Messages)})
	}
	r.want(strings.Join(order, " "), "poison poison*2 poison*3 poison*4 poison*5 poison*6 poison*7 b c")
	r.want(texts(r.must(1, Op{Kind: KindBrowse, Queue: []byte("DLQ.Q")}).Messages), "poison*7")
}

// A dead letter of a subscription names it as people do, and goes back to it.
func TestPoisonOfSubscription(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	r.must(1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagDurable, Consumer: 1})
	r.must(1, Op{Kind: KindConfigure, Settings: &Settings{MaxRedeliveries: 1}})
	r.must(1, Op{Kind: KindPublish, Topic: []byte("t"), HasMessage: true, Message: r.message("poison")})
	for range 2 {
		r.must(1, Op{Kind: KindRelease, Numbers: numbers(r.take(1, 1, 1, 0).Messages)})
	}
	dead := []byte("DLQ.client1.s")
	for sel, want := range map[string]string{"JMS_Blaze_Queue = 'client1.s'": "poison*2", "JMS_Blaze_Queue = 's'": ""} {
		r.want(texts(r.must(1, Op{Kind: KindBrowse, Queue: dead, Selector: []byte(sel)}).Messages), want)
	}
	r.want(Label("\x00s\x00shared"), "shared")
	r.want(Label("a.b"), "a.b")
	if a := r.must(1, Op{Kind: KindRetry, Queue: dead, Limit: 10}); a.Value != 1 {
		t.Errorf("%d messages went back", a.Value)
	}
	r.want(texts(r.take(1, 1, 1, 0).Messages), "poison*2")
}

// A master whose clock is an hour ahead removes what expires within that hour, and shows what is delayed for less. What
// does not expire stays, also after another master whose clock is right.
func TestClockAhead(t *testing.T) {
	const now, hour = int64(1_700_000_000_000), int64(3_600_000)
	r := newRig(t)
	r.begin(1)
	r.consume(1, 1, "Q", "", 0)
	r.tick(now)
	puts := func(suffix string) {
		r.put(1, "Q", "stays"+suffix)
		r.put(1, "Q", "short"+suffix, func(m *Message) { m.Expires = now + hour/2 })
		r.put(1, "Q", "long"+suffix, func(m *Message) { m.Expires = now + 2*hour })
		r.put(1, "Q", "delayed"+suffix, func(m *Message) { m.Due = now + hour/2 })
	}
	puts("")
	r.want(texts(r.take(1, 1, 1, 0).Messages), "stays")
	r.tick(now + hour)
	r.want(texts(r.take(1, 1, 9, 0).Messages), "long delayed")
	puts(" 2")
	r.tick(now + 1000) // another master's
	r.want(texts(r.take(1, 1, 9, 0).Messages), "stays 2 long 2 delayed 2")
	if n := r.m.state.queues["Q"].stats.Expired; n != 2 {
		t.Errorf("%d expired", n)
	}
}

// Two senders may use one id: neither keeps out, nor ends, what the other one sends. One sender's that may be there
// already is there once.
func TestSameID(t *testing.T) {
	r := newRig(t)
	r.begin(1, 2)
	same := make([]byte, idLen)
	same[0] = 9
	for i, row := range []struct {
		conn  uint64
		again bool
		want  string
	}{
		{2, false, "0"},
		{1, true, "0 1"}, // an honest one that is put again, and another one was faster with its id
		{1, true, "0 1"},
		{1, false, "0 1 3"},
		{2, true, "0 1 3"},
	} {
		m := Message{ID: same, Data: []byte(fmt.Sprint(i)), Again: row.again}
		r.must(row.conn, Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: m})
		var got []string
		for _, m := range r.must(1, Op{Kind: KindBrowse, Queue: []byte("Q")}).Messages {
			got = append(got, texts([]Message{m}))
		}
		r.want(strings.Join(got, " "), row.want)
	}
}

// Who feeds subscriptions learns that some came or went, by whichever operation, and by a state that was taken over.
func TestSubscribed(t *testing.T) {
	r, other := newRig(t), newRig(t)
	r.begin(1)
	other.begin(1)
	other.must(1, Op{Kind: KindSubscribe, Topic: []byte("merged"), Name: []byte("m"), Flags: FlagDurable})
	at := r.m.Subscribed()
	changes := func(what string, want bool) {
		t.Helper()
		if n := r.m.Subscribed(); (n != at) != want {
			t.Errorf("%s: from %d to %d", what, at, n)
		}
		at = r.m.Subscribed()
	}
	r.put(1, "Q", "x")
	changes("a put", false)
	r.must(1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagDurable})
	changes("a subscription", true)
	r.must(1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagDurable})
	changes("the same again", false)
	r.must(1, Op{Kind: KindSubscribe, Topic: []byte("u"), Name: []byte("s"), Flags: FlagDurable})
	changes("another topic", true)
	r.must(1, Op{Kind: KindUnsubscribe, Name: []byte("s")})
	changes("its end", true)
	for op := range other.m.state.remains() {
		r.index++
		r.m.Apply(op, Member{15: 9}, r.index)
	}
	changes("one of another set of holders", true)
	if got := r.m.Topics(); !slices.Equal(got, []string{"merged"}) {
		t.Errorf("topics %q", got)
	}
	if _, err := r.m.Restore(bytes.NewReader(other.snapshot()), false); err != nil {
		t.Fatal(err)
	}
	changes("another state", true)
}

// Two sets of holders meet: each member of the younger one proposes what it had, and everything is there once, in order.
func TestMerge(t *testing.T) {
	a, b := newRig(t), newRig(t)
	a.begin(1)
	a.put(1, "Q", "a1")
	a.must(1, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagDurable})
	b.id = 500
	b.begin(2, 3)
	big := strings.Repeat("big", 40_000)
	for at := 0; at < len(big); at += 50_000 {
		b.must(2, Op{Kind: KindPart, After: 1, Limit: uint64(len(big)), Data: []byte(big[at:min(len(big), at+50_000)])})
	}
	b.put(2, "Q", "b1")
	b.put(2, "Q", "b2")
	b.put(2, "Q", "", func(m *Message) { m.Data, m.Part = nil, 1 })
	b.put(2, "Q", "b3")
	b.put(2, "Q", "urgent", func(m *Message) { m.Priority = 9 })
	b.put(2, "R", "later", func(m *Message) { m.Due = 1_000_000 })
	b.must(2, Op{Kind: KindStage, Queue: []byte("Q"), HasMessage: true, Message: b.message("staged")})
	b.must(3, Op{Kind: KindSubscribe, Topic: []byte("t"), Name: []byte("s"), Flags: FlagDurable | FlagShared, Selector: []byte("JMSPriority > 1")})
	b.must(2, Op{Kind: KindPublish, Topic: []byte("t"), HasMessage: true, Message: b.message("news")})
	b.consume(3, 1, "Q", "", 0)
	taken := b.take(3, 1, 3, 0)
	b.want(texts(taken.Messages), "urgent b1 b2")
	b.must(3, Op{Kind: KindSettle, Numbers: numbers(taken.Messages)[:1]})

	other := New(Member{15: 9}) // a second holder of the younger set
	if _, err := other.Restore(bytes.NewReader(b.snapshot()), false); err != nil {
		t.Fatal(err)
	}
	state := a.snapshot()
	var again [2][][]byte
	for i, m := range []*Machine{b.m, other} {
		ops, err := m.Restore(bytes.NewReader(state), true)
		if err != nil {
			t.Fatal(err)
		}
		again[i] = slices.Collect(ops)
	}
	if !slices.EqualFunc(again[0], again[1], bytes.Equal) {
		t.Error("two holders of one set propose different operations")
	}
	// Both propose, one a little behind the other, and a message is taken and settled in between.
	apply := func(op []byte) {
		a.index++
		var x Answer
		if !x.Parse(a.m.Apply(op, Member{15: 7}, a.index)) || x.Code != CodeOK {
			t.Fatalf("a merge answers %+v", x)
		}
		a.check()
	}
	a.consume(1, 1, "Q", "", 0)
	var got []string
	note := func(all []Message) {
		for _, m := range all {
			text := string(m.Data)
			if m.Size > 0 {
				text = fmt.Sprint(m.Size, " bytes")
			}
			got = append(got, fmt.Sprintf("%s*%d", text, m.Count))
			a.must(1, Op{Kind: KindSettle, Numbers: []uint64{m.Number}})
		}
	}
	for i, op := range again[0] {
		apply(op)
		if i%2 == 1 {
			note(a.take(1, 1, 9, 0).Messages)
		}
		if i >= 3 {
			apply(again[1][i-3])
		}
		if i == 4 {
			a.restore()
		}
	}
	for _, op := range again[1] {
		apply(op)
	}
	note(a.take(1, 1, 9, 0).Messages)
	a.want(strings.Join(got, " "), "a1*1 b1*2 b2*2 120000 bytes*1 b3*1")
	a.tick(1_000_000)
	a.want(texts(a.must(1, Op{Kind: KindBrowse, Queue: []byte("R")}).Messages), "later")
	key := subscriptionKey([]byte("client3"), []byte("s"), true)
	if q := a.m.state.queues[key]; q == nil || !q.sub.shared || q.ready != 1 || q.sub.text != "JMSPriority > 1" {
		t.Errorf("the subscription is %+v", q)
	}
	a.tick(1_000_000 + mergedFor + 1)
	if n := len(a.m.state.merged); n != 0 {
		t.Errorf("%d ids are remembered for ever", n)
	}
}

// A snapshot that is cut short, or was damaged, is refused, and the state stays.
func TestRestoreRefuses(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	for _, x := range []string{"a", "b"} {
		r.put(1, "Q", x)
	}
	b := r.snapshot()
	for n := range len(b) {
		if _, err := r.m.Restore(bytes.NewReader(b[:n]), false); err == nil {
			t.Fatalf("%d of %d bytes are taken", n, len(b))
		}
	}
	for i := range b {
		c := slices.Clone(b)
		c[i] ^= 0x10
		if _, err := r.m.Restore(bytes.NewReader(c), false); err == nil {
			t.Fatalf("byte %d is another one, and nobody notices", i)
		}
	}
	if !bytes.Equal(r.snapshot(), b) {
		t.Error("the state has changed")
	}
	if _, err := r.m.Restore(nil, false); err != nil || r.m.state.depth != 0 {
		t.Errorf("nil: %v", err)
	}
}

// Notices wait until they are certain, and are for the holder that the client's operations come through.
func TestCertain(t *testing.T) {
	mine, other := New(holder), New(Member{15: 2})
	index := uint64(0)
	apply := func(op Op, conn uint64, by Member) {
		index++
		for _, m := range []*Machine{mine, other} {
			m.Apply(Sign(op.Append(nil), member(conn)), by, index)
		}
	}
	apply(Op{Kind: KindBegin, Conn: 1}, 1, holder)
	apply(Op{Kind: KindConsume, Conn: 1, Counter: 1, Consumer: 1, Queue: []byte("Q")}, 1, holder)
	apply(Op{Kind: KindTake, Conn: 1, Counter: 2, Consumer: 1, Limit: 2, Flags: FlagWait}, 1, holder)
	apply(Op{Kind: KindBegin, Conn: 2}, 2, other.self)
	put := func(n uint64) {
		apply(Op{Kind: KindPut, Conn: 2, Counter: n, Queue: []byte("Q"), HasMessage: true, Message: Message{ID: bytes.Repeat([]byte{byte(n)}, idLen)}}, 2, other.self)
	}
	put(1)
	mine.Certain(index - 1)
	if n, ok := mine.Notice(); ok {
		t.Errorf("%+v is not certain", n)
	}
	mine.Certain(index)
	if n, ok := mine.Notice(); !ok || n.Kind != NoticeMessage || n.To != member(1) || n.Consumer != 1 || len(n.Messages) != 1 {
		t.Errorf("%+v %v", n, ok)
	}
	other.Certain(index)
	if n, ok := other.Notice(); ok {
		t.Errorf("%+v is another holder's business", n)
	}
	apply(Op{Kind: KindBegin, Conn: 1, Limit: 1}, 1, other.self) // the client has turned to the other one
	apply(Op{Kind: KindBegin, Conn: 1}, 1, holder)               // and this came late
	put(2)
	mine.Certain(index)
	other.Certain(index)
	if n, ok := mine.Notice(); ok {
		t.Errorf("%+v is another holder's business now", n)
	}
	if n, ok := other.Notice(); !ok || len(n.Messages) != 1 {
		t.Errorf("%+v %v", n, ok)
	}
}

// The counters of a queue.
func TestStats(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	r.consume(1, 1, "Q", "", 0)
	for i, data := range [][]byte{encodeMessage("a", "", 3000), encodeMessage("b", "", 2000), encodeMessage("c", "", 1000)} {
		r.put(1, "Q", "", func(m *Message) { m.Data, m.Priority = data, uint8(4+i%2) })
	}
	a := r.take(1, 1, 1, 0)
	r.must(1, Op{Kind: KindRelease, Numbers: numbers(a.Messages)})
	a = r.take(1, 1, 1, 0)
	r.must(1, Op{Kind: KindSettle, Numbers: numbers(a.Messages)})
	r.take(1, 1, 1, 0)
	r.put(1, "P", "x")
	b := r.must(1, Op{Kind: KindList})
	if len(b.Queues) != 2 || b.Queues[0].Name != "P" {
		t.Fatalf("%+v", b)
	}
	q := b.Queues[1]
	size := uint64(len(encodeMessage("a", "", 3000)))
	want := QueueStats{Name: "Q", Depth: 1, Bytes: 2 * size, InFlight: 1, Put: 3, Taken: 3, Settled: 1, Redelivered: 1, Oldest: 1000, Consumers: 1}
	if q != want {
		t.Errorf("%+v\nwant %+v", q, want)
	}
	if b := r.must(1, Op{Kind: KindList, Name: []byte("P"), Limit: 1}); len(b.Queues) != 1 || b.Queues[0].Name != "Q" || b.More {
		t.Errorf("%+v", b)
	}
	if b := r.must(1, Op{Kind: KindList, Limit: 1}); len(b.Queues) != 1 || !b.More {
		t.Errorf("%+v", b)
	}
}

// Of two messages with the same id one is settled: the other one is still known by it, at a replica that was restored as at
// the others.
func TestSameIDSettled(t *testing.T) {
	r := newRig(t)
	r.begin(1)
	m := r.message("a")
	put := Op{Kind: KindPut, Queue: []byte("Q"), HasMessage: true, Message: m}
	r.must(1, put)
	r.must(1, put)
	r.consume(1, 1, "Q", "", 0)
	a := r.take(1, 1, 1, 0)
	r.must(1, Op{Kind: KindSettle, Numbers: numbers(a.Messages)})
	restored := newRig(t)
	if _, err := restored.m.Restore(bytes.NewReader(r.snapshot()), false); err != nil {
		t.Fatal(err)
	}
	restored.next[1] = r.next[1]
	put.Message.Again = true
	for _, x := range []*rig{r, restored} {
		x.must(1, put)
		if x.m.state.depth != 1 {
			t.Errorf("%d messages: one was there", x.m.state.depth)
		}
	}
	b := r.take(1, 1, 1, 0)
	r.must(1, Op{Kind: KindSettle, Numbers: numbers(b.Messages)})
	r.must(1, put)
	if len(r.m.state.twice) != 0 || r.m.state.depth != 1 {
		t.Errorf("%d messages, %v", r.m.state.depth, r.m.state.twice)
	}
}
