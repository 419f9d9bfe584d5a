package link

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/jms/held"
	"google.golang.org/protobuf/encoding/protowire"
)

// Errors of operations and of Submit.
var (
	// ErrWindow means that as many operations as may be are under way.
	ErrWindow = errors.New("link: too many operations under way")
	// ErrLost means that the connection has ended before the operation was answered. A message that was put may be there:
	// whoever puts it again, in another connection, sets Message.Again.
	ErrLost = errors.New("link: the connection has ended")
	// ErrInDoubt means that a commit was sent, and nobody knows whether it was applied.
	ErrInDoubt = errors.New("link: the outcome of the commit is not known")
)

// Config is what a Link begins with.
type Config struct {
	Conn   uint64 // the client's number of the connection: higher than that of each one before
	Name   string // client id
	Window int    // operations under way; 0: 64; at most held.MaxWindow/2

	// RetryAfter is how long the Link waits for an answer before it sends again; zero: a second. After Patience such waits
	// it turns to the next holder; zero: 2.
	RetryAfter time.Duration
	Patience   int
}

// Link is one connection of a client. Calls must not overlap, and now never goes backwards.
type Link struct {
	cfg     Config
	holders []held.Member
	holder  held.Member // the current one
	has     bool        // there is one

	period  uint64 // how often it has turned to a holder
	visit   uint64 // the same, for failures: those of an earlier visit count no more
	phase   phase
	ask     *request // of the phase: begin or attach
	resume  held.Message
	next    uint64     // counter of the next operation
	pending []*request // operations without answer, by counter
	reads   []*request
	nextID  uint64 // of a read
	sent    uint64 // requests so far
	silent  int    // waits that ended without an answer of the current holder
	looks   int    // of reads: those that Look has asked for

	floor      uint64 // deliveries below it are known
	nextTo     uint64 // what floor will be when all that is in flight is known
	lastNotice uint64 // the last delivery that came by a notice
	had        map[uint64]*delivery
	numbers    map[uint64]uint64 // deliveries by the number of their message
	over       []ended           // deliveries that end, by counter
	staged     map[uint32][]uint64
	rolling    map[uint32]*rolling
	asking     []asking
	takes      map[uint64]uint64 // by consumer: the last Take, unless a Stop has followed it
	early      []uint64          // tickets whose NoticeNone came before the answer
	ahead      []held.Message    // came while it is asked what is in flight, which lies before them

	events []Event
	leave  defect // a rule that is left out, in tests
}

type phase uint8

const (
	phaseIdle   phase = iota // no holder
	phaseBegin               // the connection begins, or is shown to a new holder
	phaseAttach              // what is in flight is asked for
	phaseOpen
	phaseOver
)

// request is one operation, or one question.
type request struct {
	counter uint64
	kind    held.Kind
	session uint32
	body    []byte // without Low
	waiting bool   // sent, and neither answered nor failed
	ever    bool   // it was sent once
	number  uint64 // of all sendings
	due     clock.Time

	low      uint64 // of a Begin: what is below was answered before it was sent
	consumer uint64
	nowait   bool   // a Take that does not wait
	own      bool   // the Link's own
	none     uint64 // of a Stop of the Link's own: the ticket of the Take that is over then

	look   bool   // it asks what is in flight
	ticket uint64 // of a look
	nextTo uint64 // of a look: what floor will be
}

// rolling is a session that has rolled back. What was delivered to it before is void, whenever it comes.
type rolling struct {
	pending int    // rollbacks without answer
	floor   uint64 // deliveries below it are void
	held    []held.Message
}

// asking is a Take that does not wait, and whose walk goes on.
type asking struct{ consumer, ticket uint64 }

type delivery struct {
	number  uint64
	session uint32
	by      uint64 // counter of the operation that ends it; 0: none yet
}

type ended struct{ counter, delivery uint64 }

// readBit marks the counters of reads, which are no counters of the connection.
const readBit = 1 << 63

// Send is what is to be sent: Data as a request to the holder To, whose answer goes to Answer, or whose failure to Failed.
type Send struct {
	To      held.Member
	Request uint64 // the same one when it is sent again
	Visit   uint64 // how often the Link had turned to a holder
	Data    []byte // it stays as it is
	Alone   bool   // it cannot be in a batch
}

// EventKind is what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	EventAnswer  EventKind = iota + 1 // the operation Ticket has Answer, or fails with Err
	EventMessage                      // Message is delivered, for Message.Consumer
	EventNone                         // the Take of Ticket is over: there is nothing more, or another Take of its consumer has followed
	EventRoom                         // Queue has room
	EventOpen                         // the connection is open at a holder. If that was so before, an EventRoom may be lost
	EventEnded                        // the connection has ended; no other event follows
	EventRefused                      // the holder does not begin the connection, for Answer.Code. The Link tries again
)

// Event is one thing that the application is told. Its slices are the Link's callers' own: those of the answer or notice
// that it came with.
type Event struct {
	Kind    EventKind
	Ticket  uint64
	Answer  held.Answer
	Err     error
	Message held.Message
	Queue   string
}

// New returns a Link that has no holder yet.
func New(c Config) *Link {
	if c.Window == 0 {
		c.Window = 64
	}
	c.Window = min(max(c.Window, 1), held.MaxWindow/2)
	if c.RetryAfter == 0 {
		c.RetryAfter = time.Second
	}
	if c.Patience == 0 {
		c.Patience = 2
	}
	return &Link{cfg: c, next: 1, floor: 1, had: map[uint64]*delivery{}, numbers: map[uint64]uint64{},
		staged: map[uint32][]uint64{}, rolling: map[uint32]*rolling{}, takes: map[uint64]uint64{}}
}

// Holder is the current one.
func (l *Link) Holder() (m held.Member, ok bool) { return l.holder, l.has }

// UnderWay is how many operations have no answer yet.
func (l *Link) UnderWay() int { return len(l.pending) }

// Ended reports whether the connection is over.
func (l *Link) Ended() bool { return l.phase == phaseOver }

// Holders sets the holders that there are. The current one stays if it is among them.
func (l *Link) Holders(all []held.Member) {
	l.holders = append(l.holders[:0], all...)
	if l.phase == phaseOver || l.has && slices.Contains(all, l.holder) {
		return
	}
	l.turn()
}

// turn goes to the next holder.
func (l *Link) turn() {
	if len(l.holders) == 0 {
		l.has, l.phase, l.ask = false, phaseIdle, nil
		l.unsend()
		return
	}
	i := slices.Index(l.holders, l.holder) // -1: it has gone, and the first one is as good as any
	l.holder, l.has = l.holders[(i+1)%len(l.holders)], true
	l.silent = 0
	l.visit++
	l.unsend()
	l.enterBegin()
}

// unsend lets all that has no answer be sent again.
func (l *Link) unsend() {
	for _, r := range l.pending {
		r.waiting = false
	}
	for _, r := range l.reads {
		r.waiting = false
	}
}

func (l *Link) enterBegin() {
	l.phase, l.ahead = phaseBegin, nil // they are in flight
	if l.leave != leavePeriod || l.period == 0 {
		l.period++
	}
	op := held.Op{Kind: held.KindBegin, Conn: l.cfg.Conn, Name: []byte(l.cfg.Name), Counter: l.readID(), Limit: l.period}
	l.ask = &request{counter: op.Counter, kind: op.Kind, body: op.Append(nil), low: l.low()}
}

func (l *Link) enterAttach(after held.Message) {
	l.phase, l.resume = phaseAttach, after
	op := held.Op{Kind: held.KindAttach, Conn: l.cfg.Conn, Counter: l.readID(), Session: after.Session, After: after.Number}
	l.ask = &request{counter: op.Counter, kind: op.Kind, body: op.Append(nil)}
}

func (l *Link) enterOpen() {
	l.phase, l.ask = phaseOpen, nil
	for i := range l.ahead {
		l.noticed(&l.ahead[i])
	}
	l.ahead = nil
	l.forget()
	for _, x := range l.asking { // the notice that it is over may be lost
		r := l.own(held.Op{Kind: held.KindStop, Consumer: x.consumer})
		r.none = x.ticket
	}
	l.asking = nil
	l.events = append(l.events, Event{Kind: EventOpen})
}

// Abandon ends the connection on this side: what is under way fails as when the holders have ended it. The holders keep
// the connection until they take the client for gone.
func (l *Link) Abandon() {
	if l.phase != phaseOver {
		l.enterOver()
	}
}

func (l *Link) enterOver() {
	l.phase, l.ask, l.has = phaseOver, nil, false
	for _, r := range l.pending {
		err := ErrLost
		switch {
		case r.kind == held.KindCommit && r.ever && l.leave != leaveDoubt:
			err = ErrInDoubt
		case r.kind == held.KindEnd:
			err = nil
		case r.own:
			continue
		}
		l.events = append(l.events, Event{Kind: EventAnswer, Ticket: r.counter, Err: err})
	}
	for _, r := range l.reads {
		l.events = append(l.events, Event{Kind: EventAnswer, Ticket: cmp.Or(r.ticket, r.counter), Err: ErrLost})
	}
	l.pending, l.reads = nil, nil
	l.events = append(l.events, Event{Kind: EventEnded})
}

func (l *Link) readID() uint64 {
	l.nextID++
	return readBit | l.nextID
}

// Submit takes an operation of the connection, and returns its ticket, by which its EventAnswer is known. It keeps nothing
// of op. Conn, Counter, Low and Origin are not the caller's to set.
func (l *Link) Submit(op *held.Op) (ticket uint64, err error) {
	read := op.Kind >= held.KindAttach && op.Kind <= held.KindList
	switch {
	case l.phase == phaseOver:
		return 0, ErrLost
	case read && len(l.reads) >= l.cfg.Window, !read && len(l.pending) >= l.cfg.Window:
		return 0, ErrWindow
	}
	o := *op
	o.Conn, o.Low, o.Origin = l.cfg.Conn, 0, held.Member{}
	if read {
		o.Counter = l.readID()
		l.reads = append(l.reads, &request{counter: o.Counter, kind: o.Kind, body: o.Append(nil)})
		return o.Counter, nil
	}
	o.Counter = l.next
	l.next++
	l.pending = append(l.pending, &request{
		counter: o.Counter, kind: o.Kind, session: o.Session, body: o.Append(nil),
		consumer: o.Consumer, nowait: o.Kind == held.KindTake && o.Flags&held.FlagWait == 0,
	})
	l.noteEnds(&o)
	l.noteTake(&o)
	return o.Counter, nil
}

// Look asks the holder what is in flight, and hands on what has not arrived: a notice may be lost though its holder lives.
// Its EventAnswer follows the messages.
func (l *Link) Look() (ticket uint64, err error) {
	switch {
	case l.phase == phaseOver:
		return 0, ErrLost
	case len(l.reads) >= l.cfg.Window:
		return 0, ErrWindow
	}
	r := l.lookAfter(held.Message{})
	r.ticket = r.counter
	l.looks++
	return r.ticket, nil
}

// lookAfter adds a request for what is in flight behind a message.
func (l *Link) lookAfter(after held.Message) *request {
	op := held.Op{Kind: held.KindAttach, Conn: l.cfg.Conn, Counter: l.readID(), Session: after.Session, After: after.Number}
	r := &request{counter: op.Counter, kind: op.Kind, body: op.Append(nil), look: true}
	l.reads = append(l.reads, r)
	return r
}

// answerLook takes in a page of what is in flight.
func (l *Link) answerLook(r *request, a *held.Answer) {
	if r.ticket == r.counter {
		r.nextTo = a.Value
	}
	for i := range a.Messages {
		l.add(&a.Messages[i])
	}
	if a.Code == held.CodeOK && a.More && len(a.Messages) > 0 {
		last := a.Messages[len(a.Messages)-1]
		next := l.lookAfter(held.Message{Session: last.Session, Number: last.Number})
		next.ticket, next.nextTo = r.ticket, r.nextTo
		return
	}
	if a.Code == held.CodeOK && l.leave != leaveFloor {
		l.floor = max(l.floor, r.nextTo)
	}
	l.looks--
	l.forget()
	l.events = append(l.events, Event{Kind: EventAnswer, Ticket: r.ticket, Answer: held.Answer{Code: a.Code, Counter: r.ticket}})
}

// noteTake notes which Take of a consumer is its last one. The holders give it what those before it still wanted, and
// report an end of the last one only.
func (l *Link) noteTake(o *held.Op) {
	switch o.Kind {
	case held.KindTake:
		l.takes[o.Consumer] = o.Counter
	case held.KindStop, held.KindCancel:
		delete(l.takes, o.Consumer)
	default:
		return
	}
	l.asking = slices.DeleteFunc(l.asking, func(x asking) bool {
		if x.consumer != o.Consumer {
			return false
		}
		l.events = append(l.events, Event{Kind: EventNone, Ticket: x.ticket})
		return true
	})
}

// own adds an operation of the Link's own.
func (l *Link) own(o held.Op) *request {
	o.Conn, o.Counter = l.cfg.Conn, l.next
	l.next++
	r := &request{counter: o.Counter, kind: o.Kind, session: o.Session, body: o.Append(nil), own: true}
	l.pending = append(l.pending, r)
	return r
}

// noteEnds notes which deliveries an operation ends.
func (l *Link) noteEnds(o *held.Op) {
	switch o.Kind {
	case held.KindStage:
		for _, n := range o.Numbers {
			l.staged[o.Session] = append(l.staged[o.Session], l.numbers[n])
		}
	case held.KindSettle, held.KindRelease, held.KindCancel:
		l.endNumbers(o.Counter, o.Numbers)
	case held.KindCommit:
		l.endNumbers(o.Counter, o.Numbers)
		for _, d := range l.staged[o.Session] {
			l.endDelivery(o.Counter, d)
		}
		delete(l.staged, o.Session)
	case held.KindRollback:
		all := make([]uint64, 0, len(l.had))
		for d, x := range l.had {
			if x.session == o.Session {
				all = append(all, d)
			}
		}
		slices.Sort(all)
		for _, d := range all {
			l.endDelivery(o.Counter, d)
		}
		delete(l.staged, o.Session)
		x := l.rolling[o.Session]
		if x == nil {
			x = &rolling{}
			l.rolling[o.Session] = x
		}
		x.pending++
	}
}

func (l *Link) endNumbers(counter uint64, numbers []uint64) {
	for _, n := range numbers {
		l.endDelivery(counter, l.numbers[n])
	}
}

func (l *Link) endDelivery(counter, d uint64) {
	if x := l.had[d]; x != nil && x.by == 0 {
		x.by = counter
		l.over = append(l.over, ended{counter, d})
	}
}

// low is the lowest counter without an answer.
func (l *Link) low() uint64 {
	if len(l.pending) > 0 {
		return l.pending[0].counter
	}
	return l.next
}

// PollSend hands out the next request to be sent. now starts its wait.
func (l *Link) PollSend(now clock.Time) (s Send, ok bool) {
	if !l.has {
		return s, false
	}
	if l.phase != phaseOpen {
		if l.ask == nil || l.ask.waiting {
			return s, false
		}
		return l.send(now, l.ask, l.ask.body), true
	}
	for _, r := range l.pending {
		if !r.waiting {
			// Of two fields the last one holds.
			body := append(make([]byte, 0, len(r.body)+11), r.body...)
			body = protowire.AppendVarint(protowire.AppendTag(body, 4, protowire.VarintType), l.low())
			return l.send(now, r, body), true
		}
	}
	for _, r := range l.reads {
		if !r.waiting {
			return l.send(now, r, r.body), true
		}
	}
	return s, false
}

func (l *Link) send(now clock.Time, r *request, body []byte) Send {
	l.sent++
	r.waiting, r.ever, r.number, r.due = true, true, l.sent, now.Add(l.cfg.RetryAfter)
	if l.leave == leaveRetry {
		r.due = now.Add(time.Hour)
	}
	alone := r.nowait || r.kind >= held.KindAttach && r.kind <= held.KindList
	return Send{To: l.holder, Request: r.counter, Visit: l.visit, Data: body, Alone: alone}
}

// find returns a request without answer.
func (l *Link) find(counter uint64) *request {
	if l.ask != nil && l.ask.counter == counter {
		return l.ask
	}
	list := l.pending
	if counter&readBit != 0 {
		list = l.reads
	}
	if i := slices.IndexFunc(list, func(r *request) bool { return r.counter == counter }); i >= 0 {
		return list[i]
	}
	return nil
}

// Failed says that what was sent is not answered and will not be: the holder refused it, cannot decide now, or has gone.
// The Link turns to the next holder at once, or begins again at the only one: callers see to a pause between failures.
func (l *Link) Failed(s Send) {
	if l.has && s.Visit == l.visit {
		l.turn()
	}
}

// Answer takes in an answer. It keeps parts of b. What does not parse counts for nothing.
func (l *Link) Answer(from held.Member, b []byte) {
	var a held.Answer
	if l.phase == phaseOver || !a.Parse(b) {
		return
	}
	r := l.find(a.Counter)
	if r == nil {
		return // it came before
	}
	if from == l.holder {
		l.silent = 0
	}
	if r == l.ask {
		if from == l.holder {
			l.answerAsk(&a)
		}
		return
	}
	switch a.Code {
	case held.CodeNoConnection:
		// An old holder's word counts too: a connection that has ended stays so. But before it began there was none.
		if l.phase == phaseOpen {
			l.enterOver()
		}
		return
	case held.CodeGap:
		if from == l.holder && l.phase == phaseOpen {
			l.gap(r, a.Next)
		}
		return
	}
	if r.counter&readBit != 0 {
		if from != l.holder {
			return // it would be behind what the new one has shown
		}
		l.reads = slices.DeleteFunc(l.reads, func(o *request) bool { return o == r })
		if r.look {
			l.answerLook(r, &a)
			return
		}
		l.events = append(l.events, Event{Kind: EventAnswer, Ticket: r.counter, Answer: a})
		return
	}
	if l.phase != phaseOpen && len(a.Messages) > 0 {
		return // others may lie before them: it is asked again
	}
	for i := range a.Messages {
		l.deliver(&a.Messages[i])
	}
	l.pending = slices.DeleteFunc(l.pending, func(o *request) bool { return o == r })
	var err error
	if r.kind == held.KindCommit {
		switch a.Code {
		case held.CodeOK:
		case held.CodeForgotten:
			err = ErrInDoubt
		default: // nothing has happened, and what it would have settled is still in flight
			l.keep(r.counter)
		}
	}
	switch {
	case r.kind == held.KindRollback && a.More: // the rest of it
		l.own(held.Op{Kind: held.KindRollback, Session: r.session})
	case r.kind == held.KindRollback:
		l.rolledBack(r, a.Value)
	case r.nowait && a.Code == held.CodeLater:
		i := slices.Index(l.early, r.counter)
		if i >= 0 {
			l.early = slices.Delete(l.early, i, i+1)
		}
		if i >= 0 || l.takes[r.consumer] != r.counter {
			defer func() { l.events = append(l.events, Event{Kind: EventNone, Ticket: r.counter}) }()
		} else {
			l.asking = append(l.asking, asking{r.consumer, r.counter})
		}
	}
	l.forget()
	if r.none != 0 {
		l.events = append(l.events, Event{Kind: EventNone, Ticket: r.none})
	}
	if r.own {
		return
	}
	l.events = append(l.events, Event{Kind: EventAnswer, Ticket: r.counter, Answer: a, Err: err})
	if r.kind == held.KindEnd && a.Code == held.CodeOK {
		l.enterOver()
	}
}

// answerAsk goes on with the phase.
func (l *Link) answerAsk(a *held.Answer) {
	switch {
	case a.Code == held.CodeNoConnection:
		l.enterOver()
	case a.Code != held.CodeOK:
		l.ask.waiting = true // again when its wait is over
		l.events = append(l.events, Event{Kind: EventRefused, Answer: *a})
	case l.phase == phaseBegin && a.Next < l.ask.low:
		// It was begun now: the holders are others, who do not know what was answered.
		l.enterOver()
	case l.phase == phaseBegin && (l.next == 1 && len(l.had) == 0 || l.leave == leaveAttach):
		l.enterOpen() // nothing can be in flight
	case l.phase == phaseBegin:
		l.enterAttach(held.Message{})
	default:
		if l.resume.Number == 0 {
			l.nextTo = a.Value
		}
		for i := range a.Messages {
			l.add(&a.Messages[i])
		}
		if a.More && len(a.Messages) > 0 {
			last := a.Messages[len(a.Messages)-1]
			l.enterAttach(held.Message{Session: last.Session, Number: last.Number})
			return
		}
		l.floor = max(l.floor, l.nextTo)
		l.enterOpen()
	}
}

// gap lets an operation be sent again that came too early, and before it the one that is missing, unless that was sent
// since.
func (l *Link) gap(r *request, next uint64) {
	r.waiting = false
	if missing := l.find(next); missing != nil && missing.number < r.number {
		missing.waiting = false
	}
}

// deliver hands a message on, unless it is known.
func (l *Link) deliver(m *held.Message) {
	if m.Delivery >= l.floor {
		l.add(m)
	}
}

// noticed hands on a message of a notice. A holder that does not know whether a notice has arrived sends it again, and the
// message may be settled and forgotten by then. Notices come in the order of their deliveries, so what is not above the
// last one came before.
func (l *Link) noticed(m *held.Message) {
	if m.Delivery > l.lastNotice || l.leave == leaveHad {
		l.lastNotice = m.Delivery
		l.deliver(m)
	}
}

func (l *Link) add(m *held.Message) {
	if l.had[m.Delivery] != nil && l.leave != leaveHad || m.Delivery == 0 {
		return
	}
	x := l.rolling[m.Session]
	if x != nil && m.Delivery < x.floor {
		return
	}
	l.had[m.Delivery] = &delivery{number: m.Number, session: m.Session}
	if x != nil && x.pending > 0 { // it may be void
		x.held = append(x.held, *m)
		return
	}
	l.numbers[m.Number] = m.Delivery
	l.events = append(l.events, Event{Kind: EventMessage, Message: *m})
}

// rolledBack hands on what came while the session rolled back, but for what the rollback has given back.
func (l *Link) rolledBack(r *request, floor uint64) {
	x := l.rolling[r.session]
	x.pending--
	x.floor = max(x.floor, floor)
	if x.pending > 0 {
		return
	}
	for _, m := range x.held {
		if m.Delivery < x.floor && l.leave != leaveVoid {
			l.endDelivery(r.counter, m.Delivery)
			continue
		}
		l.numbers[m.Number] = m.Delivery
		l.events = append(l.events, Event{Kind: EventMessage, Message: m})
	}
	x.held = nil
}

// keep takes back that an operation ends deliveries: it was refused.
func (l *Link) keep(counter uint64) {
	l.over = slices.DeleteFunc(l.over, func(e ended) bool {
		if e.counter != counter {
			return false
		}
		if x := l.had[e.delivery]; x != nil {
			x.by = 0
		}
		return true
	})
}

// forget forgets deliveries that nothing can show any more: what ended them is answered, and all before it. What is in
// flight may have been looked up before an old holder's answer came: so not while that is asked for.
func (l *Link) forget() {
	if l.phase != phaseOpen && l.leave != leaveForget || l.looks > 0 && l.leave != leaveLook {
		return
	}
	low := l.low()
	for len(l.over) > 0 && l.over[0].counter < low {
		d := l.over[0].delivery
		l.over = l.over[1:]
		if x := l.had[d]; x != nil {
			delete(l.had, d)
			if l.numbers[x.number] == d {
				delete(l.numbers, x.number)
			}
		}
	}
	if len(l.over) == 0 {
		l.over = nil
	}
}

// Notice takes in a notice, of whatever holder: one that is late brings nothing that is not known. It keeps parts of n.
func (l *Link) Notice(n *held.Notice) {
	if l.phase != phaseAttach && l.phase != phaseOpen || n.Conn != l.cfg.Conn {
		return
	}
	switch n.Kind {
	case held.NoticeMessage:
		if l.phase == phaseAttach {
			l.ahead = append(l.ahead, n.Messages...)
			return
		}
		for i := range n.Messages {
			l.noticed(&n.Messages[i])
		}
	case held.NoticeNone:
		if i := slices.IndexFunc(l.asking, func(x asking) bool { return x.ticket == n.Counter }); i >= 0 {
			l.asking = slices.Delete(l.asking, i, i+1)
			l.events = append(l.events, Event{Kind: EventNone, Ticket: n.Counter})
		} else if l.find(n.Counter) != nil {
			l.early = append(l.early, n.Counter) // before the answer
		}
	case held.NoticeRoom:
		l.events = append(l.events, Event{Kind: EventRoom, Queue: n.Queue})
	case held.NoticeEnded:
		l.enterOver()
	}
}

// Tick sends again what has waited too long, and turns to another holder when the current one is silent.
func (l *Link) Tick(now clock.Time) {
	if !l.has {
		return
	}
	late := false
	each := func(r *request) {
		if r.waiting && !now.Before(r.due) {
			r.waiting, late = false, true
		}
	}
	for _, r := range l.waiting() {
		each(r)
	}
	if !late {
		return
	}
	if l.silent++; l.silent >= l.cfg.Patience && len(l.holders) > 1 {
		l.turn()
	}
}

// waiting is every request that may have been sent.
func (l *Link) waiting() []*request {
	if l.phase != phaseOpen {
		if l.ask == nil {
			return nil
		}
		return []*request{l.ask}
	}
	return slices.Concat(l.pending, l.reads)
}

// Deadline is when Tick is needed; ok is false while nothing is waited for.
func (l *Link) Deadline() (at clock.Time, ok bool) {
	if !l.has {
		return 0, false
	}
	for _, r := range l.waiting() {
		at, ok = clock.Earlier(at, ok, r.due, r.waiting)
	}
	return at, ok
}

// PollEvent hands out the next event.
func (l *Link) PollEvent() (e Event, ok bool) {
	if len(l.events) == 0 {
		return e, false
	}
	e = l.events[0]
	l.events[0] = Event{}
	if l.events = l.events[1:]; len(l.events) == 0 {
		l.events = nil
	}
	return e, true
}
