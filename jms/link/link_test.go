package link

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/jms/held"
)

var h1, h2 = held.Member{1}, held.Member{2}

// bench is a Link whose holders are played by hand.
type bench struct {
	t   *testing.T
	l   *Link
	now clock.Time
}

func newBench(t *testing.T, c Config) *bench {
	c.Conn = 1
	b := &bench{t: t, l: New(c), now: 1}
	b.l.Holders([]held.Member{h1, h2})
	b.expect(h1, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 1} })
	return b
}

// next is the next request.
func (b *bench) next() (to held.Member, op held.Op) {
	b.t.Helper()
	s, ok := b.l.PollSend(b.now)
	if !ok {
		b.t.Fatal("nothing is sent")
	}
	if !op.Parse(s.Data) {
		b.t.Fatal("what is sent is no operation")
	}
	return s.To, op
}

// expect takes the next request, and answers it unless answer is nil or returns nil.
func (b *bench) expect(to held.Member, kind held.Kind, answer func(op *held.Op) *held.Answer) held.Op {
	b.t.Helper()
	got, op := b.next()
	if got != to || op.Kind != kind {
		b.t.Fatalf("kind %d is sent to %v, want %d to %v", op.Kind, got[0], kind, to[0])
	}
	if answer != nil {
		if a := answer(&op); a != nil {
			b.l.Answer(to, a.Append(nil))
		}
	}
	return op
}

func (b *bench) idle() {
	b.t.Helper()
	if s, ok := b.l.PollSend(b.now); ok {
		b.t.Fatalf("%+v is sent", s)
	}
}

func (b *bench) submit(op held.Op) uint64 {
	b.t.Helper()
	ticket, err := b.l.Submit(&op)
	if err != nil {
		b.t.Fatal(err)
	}
	return ticket
}

// event returns the next event of a kind, and passes over EventOpen.
func (b *bench) event(kind EventKind) Event {
	b.t.Helper()
	for {
		e, ok := b.l.PollEvent()
		if !ok {
			b.t.Fatalf("no event %d", kind)
		}
		if e.Kind == EventOpen && kind != EventOpen {
			continue
		}
		if e.Kind != kind {
			b.t.Fatalf("event %+v, want kind %d", e, kind)
		}
		return e
	}
}

func ok(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter} }

// A gap is closed at once, in order, without a wait.
func TestGap(t *testing.T) {
	b := newBench(t, Config{})
	for range 3 {
		b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	}
	var ops []held.Op
	for range 3 {
		_, op := b.next()
		ops = append(ops, op)
	}
	b.idle()
	// The ring has dropped the first one.
	for _, op := range ops[1:] {
		b.l.Answer(h1, (&held.Answer{Code: held.CodeGap, Counter: op.Counter, Next: 1}).Append(nil))
	}
	for want := uint64(1); want <= 3; want++ {
		if op := b.expect(h1, held.KindStop, ok); op.Counter != want {
			t.Fatalf("%d is sent again, not %d", op.Counter, want)
		}
	}
	b.idle()
	for want := uint64(1); want <= 3; want++ {
		if e := b.event(EventAnswer); e.Ticket != want || e.Err != nil {
			t.Errorf("%+v", e)
		}
	}
}

// Low follows the answers, so that holders can forget.
func TestLow(t *testing.T) {
	b := newBench(t, Config{})
	b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	first := b.expect(h1, held.KindStop, nil)
	b.expect(h1, held.KindStop, ok) // the second one is answered before it
	b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	if op := b.expect(h1, held.KindStop, nil); op.Low != 1 {
		t.Errorf("low %d, and 1 has no answer", op.Low)
	}
	b.l.Answer(h1, ok(&first).Append(nil))
	b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	if op := b.expect(h1, held.KindStop, nil); op.Low != 3 {
		t.Errorf("low %d, want 3", op.Low)
	}
}

// As many operations as the window has are under way.
func TestWindow(t *testing.T) {
	b := newBench(t, Config{Window: 2})
	b.submit(held.Op{Kind: held.KindStop})
	b.submit(held.Op{Kind: held.KindStop})
	if _, err := b.l.Submit(&held.Op{Kind: held.KindStop}); !errors.Is(err, ErrWindow) {
		t.Errorf("a third one: %v", err)
	}
	if b.submit(held.Op{Kind: held.KindBrowse}); b.l.UnderWay() != 2 {
		t.Errorf("%d under way", b.l.UnderWay())
	}
}

func message(number, delivery uint64) held.Message {
	return held.Message{Number: number, Delivery: delivery, Session: 1, Consumer: 1, Count: 1}
}

func notice(m ...held.Message) *held.Notice {
	return &held.Notice{Conn: 1, Kind: held.NoticeMessage, Consumer: 1, Messages: m}
}

// turn lets the holder fall silent until the Link turns to the other one, and answers what it asks there.
func (b *bench) turn(nextCounter, nextDelivery uint64, flight ...held.Message) {
	b.t.Helper()
	b.l.Holders([]held.Member{h2})
	begin := b.expect(h2, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: nextCounter} })
	if begin.Limit < 2 {
		b.t.Errorf("it turns to a holder for the %d. time", begin.Limit)
	}
	b.expect(h2, held.KindAttach, func(op *held.Op) *held.Answer {
		return &held.Answer{Counter: op.Counter, Next: nextCounter, Value: nextDelivery, Messages: flight}
	})
}

// What a refused commit would have settled is still in flight: a new holder shows it, and it is not handed on again.
func TestRefusedCommit(t *testing.T) {
	b := newBench(t, Config{})
	b.l.Notice(notice(message(7, 20)))
	b.event(EventMessage)
	b.submit(held.Op{Kind: held.KindCommit, Session: 1, Numbers: []uint64{7}})
	b.expect(h1, held.KindCommit, func(op *held.Op) *held.Answer { return &held.Answer{Code: held.CodeNotHeld, Counter: op.Counter} })
	if e := b.event(EventAnswer); e.Err != nil || e.Answer.Code != held.CodeNotHeld {
		t.Errorf("%+v", e)
	}
	b.turn(2, 30, message(7, 20))
	b.event(EventOpen)
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v", e)
	}
}

// A commit is in doubt only if it was sent and the connection ended before it was answered.
func TestInDoubt(t *testing.T) {
	for _, c := range []struct {
		name string
		sent bool
		want error
	}{{"sent", true, ErrInDoubt}, {"not sent", false, ErrLost}} {
		b := newBench(t, Config{})
		put := b.submit(held.Op{Kind: held.KindPut, Queue: []byte("Q")})
		commit := b.submit(held.Op{Kind: held.KindCommit, Session: 1})
		b.expect(h1, held.KindPut, nil)
		if c.sent {
			b.expect(h1, held.KindCommit, nil)
		}
		b.l.Notice(&held.Notice{Conn: 1, Kind: held.NoticeEnded})
		if e := b.event(EventAnswer); e.Ticket != put || e.Err != ErrLost {
			t.Errorf("%s: %+v", c.name, e)
		}
		if e := b.event(EventAnswer); e.Ticket != commit || e.Err != c.want {
			t.Errorf("%s: %+v, want %v", c.name, e, c.want)
		}
		b.event(EventEnded)
		if _, err := b.l.Submit(&held.Op{Kind: held.KindStop}); !errors.Is(err, ErrLost) || !b.l.Ended() {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Holders that do not know what others have answered have begun the connection anew: it has ended.
func TestOtherHolders(t *testing.T) {
	b := newBench(t, Config{})
	b.submit(held.Op{Kind: held.KindStop})
	b.expect(h1, held.KindStop, ok)
	b.event(EventAnswer)
	b.l.Holders([]held.Member{h2})
	b.expect(h2, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 1} })
	b.event(EventEnded)
}

// A notice that comes late, when its message was settled long ago, is nothing.
func TestLateNotice(t *testing.T) {
	b := newBench(t, Config{})
	b.submit(held.Op{Kind: held.KindTake, Consumer: 1, Limit: 3, Flags: held.FlagWait})
	b.expect(h1, held.KindTake, ok)
	b.event(EventAnswer)
	b.turn(2, 30, message(7, 20))
	b.event(EventMessage)
	b.submit(held.Op{Kind: held.KindSettle, Session: 1, Numbers: []uint64{7}})
	b.expect(h2, held.KindSettle, ok)
	b.event(EventAnswer)
	if len(b.l.had) != 0 || len(b.l.numbers) != 0 {
		t.Errorf("%d deliveries are remembered", len(b.l.had))
	}
	b.l.Notice(notice(message(7, 20)))
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v", e)
	}
	b.l.Notice(notice(message(8, 30)))
	if e := b.event(EventMessage); e.Message.Number != 8 {
		t.Errorf("%+v", e)
	}
}

// A holder that is silent is left after Patience waits; the only one is not.
func TestSilence(t *testing.T) {
	b := newBench(t, Config{RetryAfter: time.Second, Patience: 2})
	b.submit(held.Op{Kind: held.KindStop})
	b.expect(h1, held.KindStop, nil)
	at, there := b.l.Deadline()
	if !there || at != b.now.Add(time.Second) {
		t.Fatalf("deadline %v %v", at, there)
	}
	b.now = at
	b.l.Tick(b.now)
	b.expect(h1, held.KindStop, nil)
	b.now = b.now.Add(time.Second)
	b.l.Tick(b.now)
	b.expect(h2, held.KindBegin, nil)
	b.l.Holders([]held.Member{h2})
	for range 5 {
		b.now = b.now.Add(time.Second)
		b.l.Tick(b.now)
		b.expect(h2, held.KindBegin, nil)
	}
	b.l.Holders(nil)
	b.idle()
	b.l.Holders([]held.Member{h1})
	b.expect(h1, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 2} })
	b.expect(h1, held.KindAttach, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 2, Value: 1} })
	b.expect(h1, held.KindStop, ok)
	b.event(EventAnswer)
}

// A Take that does not wait, and whose walk goes on when its holder goes, is stopped at the next one: it is over.
func TestNoWait(t *testing.T) {
	b := newBench(t, Config{})
	later := func(op *held.Op) *held.Answer { return &held.Answer{Code: held.CodeLater, Counter: op.Counter} }
	for i, how := range []string{"notice", "notice before the answer", "another holder"} {
		ticket := b.submit(held.Op{Kind: held.KindTake, Consumer: 1, Limit: 1})
		none := &held.Notice{Conn: 1, Kind: held.NoticeNone, Consumer: 1, Counter: ticket}
		op := b.expect(h1, held.KindTake, nil)
		if i == 1 {
			b.l.Notice(none)
		}
		b.l.Answer(h1, later(&op).Append(nil))
		b.event(EventAnswer)
		switch i {
		case 0:
			b.l.Notice(none)
		case 2:
			b.turn(4, 1)
			b.expect(h2, held.KindStop, ok)
		}
		if e := b.event(EventNone); e.Ticket != ticket {
			t.Errorf("%s: %+v", how, e)
		}
	}
}

// What comes to a session while it rolls back is void if it was handed out before.
func TestRollback(t *testing.T) {
	b := newBench(t, Config{})
	b.submit(held.Op{Kind: held.KindRollback, Session: 1})
	b.expect(h1, held.KindRollback, nil)
	b.l.Notice(notice(message(1, 10), message(2, 12)))
	if e, ok := b.l.PollEvent(); ok && e.Kind != EventOpen {
		t.Errorf("%+v before the rollback is answered", e)
	}
	b.l.Answer(h1, (&held.Answer{Counter: 1, Value: 11, More: true}).Append(nil))
	b.event(EventAnswer)
	// The rest is another operation, and gives back what it finds.
	b.expect(h1, held.KindRollback, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Value: 12} })
	if e := b.event(EventMessage); e.Message.Number != 2 {
		t.Errorf("%+v", e)
	}
	b.l.Notice(notice(message(3, 9)))
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v was handed out before", e)
	}
}

// A Take that another one of its consumer has followed is over, and the next holder does not stop the later one.
func TestFollowedTake(t *testing.T) {
	b := newBench(t, Config{})
	later := func(op *held.Op) *held.Answer { return &held.Answer{Code: held.CodeLater, Counter: op.Counter} }
	first := b.submit(held.Op{Kind: held.KindTake, Consumer: 1, Limit: 1})
	b.expect(h1, held.KindTake, later)
	b.event(EventAnswer)
	b.l.Notice(notice(message(7, 1)))
	b.event(EventMessage)
	b.submit(held.Op{Kind: held.KindTake, Consumer: 1, Limit: 1, Flags: held.FlagWait})
	if e := b.event(EventNone); e.Ticket != first {
		t.Errorf("%+v", e)
	}
	b.expect(h1, held.KindTake, later)
	b.event(EventAnswer)
	// The same where the second one was submitted before the first one's answer.
	b.submit(held.Op{Kind: held.KindTake, Consumer: 2, Limit: 1})
	b.submit(held.Op{Kind: held.KindTake, Consumer: 2, Limit: 1, Flags: held.FlagWait})
	b.expect(h1, held.KindTake, later)
	b.event(EventAnswer)
	b.event(EventNone)
	b.expect(h1, held.KindTake, later)
	b.event(EventAnswer)
	b.turn(5, 2, message(7, 1))
	b.idle()
}

// A failure of an earlier visit counts no more; one of this visit has the Link turn, or begin again at the only holder.
func TestFailed(t *testing.T) {
	b := newBench(t, Config{})
	for range 2 {
		b.submit(held.Op{Kind: held.KindStop, Consumer: 1})
	}
	one, _ := b.l.PollSend(b.now)
	two, _ := b.l.PollSend(b.now)
	b.l.Failed(one)
	b.expect(h2, held.KindBegin, nil)
	b.l.Failed(two)
	b.idle()
	b.l.Holders([]held.Member{h2})
	b.l.Failed(Send{To: h2, Visit: one.Visit + 1})
	begin := b.expect(h2, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Code: held.CodeTooMany, Counter: op.Counter} })
	if begin.Limit != 3 {
		t.Errorf("it begins for the %d. time", begin.Limit)
	}
	if e := b.event(EventRefused); e.Answer.Code != held.CodeTooMany {
		t.Errorf("%+v", e)
	}
	b.l.Abandon()
	for range 2 {
		if e := b.event(EventAnswer); e.Err != ErrLost {
			t.Errorf("%+v", e)
		}
	}
	b.event(EventEnded)
	b.l.Abandon()
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v after the end", e)
	}
}

// Look brings what a lost notice had, a page at a time, once.
func TestLook(t *testing.T) {
	b := newBench(t, Config{})
	ticket, err := b.l.Look()
	if err != nil {
		t.Fatal(err)
	}
	b.l.Notice(notice(message(7, 20)))
	b.event(EventMessage)
	b.expect(h1, held.KindAttach, func(op *held.Op) *held.Answer {
		return &held.Answer{Counter: op.Counter, Value: 30, Messages: []held.Message{message(7, 20), message(8, 21)}, More: true}
	})
	if e := b.event(EventMessage); e.Message.Number != 8 {
		t.Errorf("%+v", e)
	}
	// It is settled while the rest is asked for, which was looked up before.
	b.submit(held.Op{Kind: held.KindSettle, Session: 1, Numbers: []uint64{7, 8}})
	b.expect(h1, held.KindSettle, ok)
	b.event(EventAnswer)
	b.expect(h1, held.KindAttach, func(op *held.Op) *held.Answer {
		if op.After != 8 {
			t.Errorf("it goes on after %d", op.After)
		}
		return &held.Answer{Counter: op.Counter, Value: 40, Messages: []held.Message{message(8, 21), message(9, 22)}}
	})
	if e := b.event(EventMessage); e.Message.Number != 9 {
		t.Errorf("%+v", e)
	}
	if e := b.event(EventAnswer); e.Ticket != ticket {
		t.Errorf("%+v", e)
	}
	if len(b.l.had) != 1 {
		t.Errorf("%d deliveries are remembered", len(b.l.had))
	}
	b.l.Notice(notice(message(8, 21), message(5, 29)))
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v came late", e)
	}
	b.l.Notice(notice(message(6, 30)))
	b.event(EventMessage)
}

// A holder sends a notice again, for it does not know whether the first one has arrived. Its message is settled and
// forgotten meanwhile, and is not handed on again (sim, TestHeldQueues, seed 172).
func TestRepeatedNotice(t *testing.T) {
	b := newBench(t, Config{})
	b.l.Notice(notice(message(7, 20)))
	b.event(EventMessage)
	b.submit(held.Op{Kind: held.KindSettle, Session: 1, Numbers: []uint64{7}})
	b.expect(h1, held.KindSettle, ok)
	b.event(EventAnswer)
	b.l.Notice(notice(message(7, 20)))
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v came again", e)
	}
	b.l.Notice(notice(message(8, 21)))
	b.event(EventMessage)
}

// An old holder answers a settlement after the new one has looked up what is in flight: the message is not handed on again.
func TestLateAnswer(t *testing.T) {
	b := newBench(t, Config{})
	b.l.Notice(notice(message(7, 20)))
	b.event(EventMessage)
	b.submit(held.Op{Kind: held.KindSettle, Session: 1, Numbers: []uint64{7}})
	settle := b.expect(h1, held.KindSettle, nil)
	b.l.Holders([]held.Member{h2})
	b.expect(h2, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 1} })
	attach := b.expect(h2, held.KindAttach, nil)
	b.l.Answer(h1, ok(&settle).Append(nil))
	b.event(EventAnswer)
	b.l.Answer(h2, (&held.Answer{Counter: attach.Counter, Next: 1, Value: 21, Messages: []held.Message{message(7, 20)}}).Append(nil))
	b.event(EventOpen)
	if e, ok := b.l.PollEvent(); ok {
		t.Errorf("%+v", e)
	}
	if len(b.l.had) != 0 {
		t.Errorf("%d deliveries are remembered", len(b.l.had))
	}
}

// delivered are the deliveries that have been handed on since.
func (b *bench) delivered() (all []uint64) {
	for {
		e, ok := b.l.PollEvent()
		if !ok {
			return all
		}
		if e.Kind == EventMessage {
			all = append(all, e.Message.Delivery)
		}
	}
}

// What comes while a new holder is asked what is in flight waits for the answer: what is in flight lies before it.
func TestOrderAfterTurning(t *testing.T) {
	b := newBench(t, Config{})
	message := func(delivery uint64) held.Message {
		return held.Message{Number: delivery, Delivery: delivery, Session: 1, Consumer: 1, Count: 1}
	}
	notice := func(delivery uint64) {
		b.l.Notice(&held.Notice{Conn: 1, Kind: held.NoticeMessage, Consumer: 1, Messages: []held.Message{message(delivery)}})
	}
	b.submit(held.Op{Kind: held.KindTake, Consumer: 1, Limit: 64, Flags: held.FlagWait})
	take := b.expect(h1, held.KindTake, nil)
	b.l.Holders([]held.Member{h2})
	b.expect(h2, held.KindBegin, func(op *held.Op) *held.Answer { return &held.Answer{Counter: op.Counter, Next: 2} })
	attach := b.expect(h2, held.KindAttach, nil)
	notice(3)
	b.l.Answer(h1, (&held.Answer{Counter: take.Counter, Messages: []held.Message{message(2)}}).Append(nil))
	if have := b.delivered(); have != nil {
		t.Errorf("%v are handed on, and what lies before is not here", have)
	}
	b.l.Answer(h2, (&held.Answer{Counter: attach.Counter, Value: 3, Messages: []held.Message{message(1), message(2)}}).Append(nil))
	notice(4)
	if have, want := b.delivered(), []uint64{1, 2, 3, 4}; !slices.Equal(have, want) {
		t.Errorf("%v are handed on, want %v", have, want)
	}
	b.expect(h2, held.KindTake, func(op *held.Op) *held.Answer {
		return &held.Answer{Counter: op.Counter, Messages: []held.Message{message(2)}}
	})
	if have := b.delivered(); have != nil {
		t.Errorf("%v are handed on again", have)
	}
}
