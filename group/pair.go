package group

import (
	"errors"
	"github.com/activeblaze/blaze/internal/core"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Bounds of pairs.
const (
	// DefaultBuffers is how many buffers all pairs of a member hold at most.
	DefaultBuffers = 2048

	maxWindow     = 1024 // datagrams of one channel that are out at most
	grantedWindow = 4    // datagrams that every busy channel may have out, however scarce buffers are
	firstWindow   = 16   // before the receiver has said what it has room for

	// maxSessionJump is how much a session is above the last one at most, so that nobody uses up the numbers in
	// another member's name at once. Once in climbEvery the last one goes up by as much.
	maxSessionJump = 1 << 20
	climbEvery     = time.Second
	// maxBeyond is how many acknowledgements in a row of what was not sent end a session: the other side has
	// taken in what somebody else sent in this member's name.
	maxBeyond = 8
)

// Errors of pairs. A frame that is answered with one has changed nothing.
var (
	errNotForMe    = errors.New("group: a pair frame for another member")
	errDeadSession = errors.New("group: a session that is dead here")
	errNoSession   = errors.New("group: an acknowledgement of no session of this member")
	errClosed      = errors.New("group: this member leaves")
	errRange       = errors.New("group: a number outside its window")
)

// PairStats counts what pairs do.
type PairStats struct {
	PairsOpen             uint64 `unit:"members" kind:"gauge" help:"members that this one exchanged messages with, and that are here" when:"no counter"`
	PairDatagrams         uint64 `unit:"datagrams" help:"datagrams sent with messages for one member, repeats included" when:"with Send, Request, queues"`
	PairDatagramsReceived uint64 `unit:"datagrams" help:"datagrams received with messages for this member" when:"with traffic"`
	PairBytes             uint64 `unit:"bytes" help:"bytes of PairDatagrams" when:"with Send, Request, queues"`
	PairRepeats           uint64 `unit:"datagrams" help:"of PairDatagrams: datagrams that were sent again" when:"loss, or a receiver that stands still"`
	PairQuestions         uint64 `unit:"questions" help:"questions for an acknowledgement" when:"a handler that is slow to take, or loss"`
	AcksSent              uint64 `unit:"acknowledgements" help:"acknowledgements sent" when:"with traffic"`
	AcksReceived          uint64 `unit:"acknowledgements" help:"acknowledgements received" when:"with traffic"`
	SessionsDead          uint64 `unit:"times" help:"times that another member had lost its state of the exchange with this one" when:"it had removed this one, and came back"`
	PairBlocked           uint64 `unit:"times" help:"times that a received message had to wait for its handler, or for memory" when:"handlers are slower than the senders"`
	PairDrops             uint64 `unit:"frames" help:"frames that changed nothing: repeated, out of their window, for another member" when:"some with each repeat. Many: forged"`
	PairNoBuffer          uint64 `unit:"datagrams" help:"datagrams dropped since the buffers for messages between members were used up" when:"many slow in-boxes at a time"`
	Refused               uint64 `unit:"messages" help:"messages refused here: without a handler, or without room" when:"senders address what is not there, or handlers are slow"`
	Enqueued              uint64 `unit:"calls" help:"calls of Enqueue and RequestQueue" when:"with calls"`
	Assigned              uint64 `unit:"times" help:"times that a message of a queue was handed to a consumer" when:"with Enqueued; more with redelivery"`
	Handled               uint64 `unit:"messages" help:"messages of queues that were handled" when:"with Enqueued"`
	HandledLate           uint64 `unit:"messages" help:"of Handled: messages that a consumer handled which did not have the message any more" when:"a consumer was removed in error"`
	Redelivered           uint64 `unit:"times" help:"of Assigned: times that the message may have been begun before" when:"consumers fail, leave, or return errors"`
	ItemsFailed           uint64 `unit:"times" help:"times that a handler returned an error" when:"with such errors"`
	ItemsReturned         uint64 `unit:"messages" help:"messages of queues that a consumer gave back unbegun" when:"consumers that close or stop"`
	ItemsRefused          uint64 `unit:"times" help:"times that a consumer did not take a message" when:"consumers without room, that close, or are not the active one"`
	ItemsLost             uint64 `unit:"times" help:"times that the consumer of a message was gone, or had lost it" when:"consumers fail, leave, or are removed"`
	ItemsWithdrawn        uint64 `unit:"times" help:"times that a message was cancelled, or handled elsewhere, while a consumer had it" when:"calls whose context ended"`
	ItemsOut              uint64 `unit:"messages" kind:"gauge" help:"messages of queues that a consumer has now" when:"no counter. Many for long: handlers are slow"`
	ItemsWaiting          uint64 `unit:"messages" kind:"gauge" help:"messages of queues that no consumer has now" when:"no counter. Many for long: nobody consumes, or consumers are slow"`
	Sends                 uint64 `unit:"calls" help:"calls of Send that began" when:"with calls"`
	Requests              uint64 `unit:"calls" help:"calls of Request that began" when:"with calls"`
	Replies               uint64 `unit:"replies" help:"replies that were accepted for sending" when:"with requests"`
	RepliesUnasked        uint64 `unit:"replies" help:"replies and results that came and for which no call waits" when:"calls whose context ended first; or forged"`
	CallsOpen             uint64 `unit:"calls" kind:"gauge" help:"calls that wait now" when:"no counter. Many for long: handlers are slow"`
}

// pairs is the traffic from one member to one other, for all others.
type pairs struct {
	p           *Protocol
	sessions    uint32 // the last session that was begun
	all         []*pair
	held        int // buffers, of Config.PairBuffers
	kept        int // of them: of received datagrams
	timers      timers[firer]
	tellers     []*pair    // that have acknowledgements or questions to send
	ready       []*sending // that have datagrams to send
	opened      []*sending // that have an open datagram
	starved     []*sending // that wait for buffers
	blocked     []*receiving
	calls       calls
	inboxes     map[string]InboxHandler
	loop        callList // calls to oneself that wait, in order
	loopReplies callList // replies to oneself
	loopAsked   callList // requests to oneself that wait for their reply
	parts       partsPool
	transfers   partsPool      // for items of kind 10 alone: one of the largest, or many small ones
	slots       [9][][]slot    // that are free, see newSlots
	fillings    []*filling     // that are not in use
	scratch     wire.Datagram  // of a datagram that was kept
	again       *wire.Datagram // of one that goes again in another session
	item        Item           // that is being handed on
	ended       End            // of the call that is being ended
	spare       []*receiving   // of blocked, while that is walked over
	stats       PairStats
	closed      bool // the member leaves: no pair is made any more

	maxRefused int     // refusals that an acknowledgement has room for
	notes      []*call // that are not in use

	// Queues: the sender's half.
	queues    map[string]*queue
	queueList []*queue
	enqueued  uint64
	queuesAt  clock.Time // items are to be handed out; 0: not
	stale     bool       // records changed: consumers are to be found anew
	changed   bool       // consumers were found anew: items are to be handed out

	spareQueued []*queued

	// Queues: the consumer's half.
	works     map[string]*workQueue
	workList  []*workQueue
	work      Work // that is being handed on
	next      bool // a handler is idle, or the gate has opened
	heldWork  int  // bytes of the items that wait for handlers
	spareWork []*workItem
	late      []wire.Item // results of this member's own items, from behind the gate
}

func newPairs(p *Protocol) *pairs {
	x := &pairs{p: p, inboxes: map[string]InboxHandler{}, queues: map[string]*queue{}, works: map[string]*workQueue{}}
	x.parts.size, x.parts.many = max(p.cfg.MaxMessageSize, maxRecord), maxParts
	x.transfers.size, x.transfers.many = wire.MaxTransfer, 1
	x.maxRefused = 1
	for x.maxRefused < wire.MaxRefused && wire.HeaderLen+wire.PairAckSize(x.maxRefused+1) <= p.cfg.Datagram {
		x.maxRefused++
	}
	return x
}

// maxRecord bounds an item with a record, whatever MaxMessageSize says.
const maxRecord = 256 << 10

// pair is the traffic with one other member.
type pair struct {
	x     *pairs
	e     *entry
	index int32 // in pairs.all

	// Outwards.
	session       uint32 // 0: none yet
	toIncarnation uint32
	beyond        uint32 // acknowledgements in a row of what was not sent
	out           [wire.Channels]*sending
	asked         callList // requests that were packed and wait for their reply
	rtt           core.RTT

	// Inwards.
	from            uint32 // the session; 0: none yet
	fromIncarnation uint32 // of this member, as the other one knew it when the session began
	in              [wire.Channels]*receiving

	record recordSent // the last that was sent as an item

	dead        uint32 // a session that is to be declared dead; 0: none
	deadChannel wire.Channel
	telling     bool // it is in pairs.tellers
}

// at returns the pair with a member, and makes it when there is none.
func (x *pairs) at(e *entry) *pair {
	if e.pair == nil {
		pr := &pair{x: x, e: e, index: int32(len(x.all))}
		e.pair = pr
		x.all = append(x.all, pr)
		x.stats.PairsOpen++
	}
	return e.pair
}

func (x *pairs) is(d defect) bool { return x.p.cfg.defect == d }

// buffers is how many are left for pairs.
func (x *pairs) buffers() int {
	return max(0, min(x.total()-x.held, x.p.cfg.Pool.Free()))
}

func (x *pairs) total() int {
	if n := x.p.cfg.PairBuffers; n > 0 {
		return n
	}
	return DefaultBuffers
}

// buffersFor is how many are left for datagrams of a channel that has so many out. The last sixteenth is for
// answers, which others may wait for, half of it also for the first ones of every other channel.
func (x *pairs) buffersFor(c wire.Channel, out uint64) int {
	n := x.buffers()
	switch {
	case c == wire.ChannelAnswers:
	case out < grantedWindow:
		n -= x.total() / 32
	default:
		n -= x.total() / 16
	}
	return n
}

func (x *pairs) get(c wire.Channel, out uint64) *buf.Buf {
	if x.buffersFor(c, out) <= 0 {
		return nil
	}
	b := x.p.cfg.Pool.Get()
	if b != nil {
		x.held++
	}
	return b
}

func (x *pairs) keep(b *buf.Buf) *buf.Buf {
	// Sending may not have to wait for what others send: half of the buffers are for it alone.
	if x.buffers() == 0 || x.kept >= x.total()/2 {
		x.stats.PairNoBuffer++
		return nil
	}
	kept := x.p.cfg.Pool.Keep(b)
	if kept != nil {
		x.held++
		x.kept++
	} else {
		x.stats.PairNoBuffer++
	}
	return kept
}

// putKept gives back what keep returned.
func (x *pairs) putKept(b *buf.Buf) {
	x.kept--
	x.put(b)
}

func (x *pairs) put(b *buf.Buf) {
	x.held--
	b.Release()
}

// window is how many datagrams one channel may have out: twice what is left.
func (x *pairs) window() uint64 {
	return uint64(min(max(2*x.buffers(), grantedWindow), maxWindow))
}

// room is how many datagrams one channel may keep, inwards: twice what is left.
func (x *pairs) room() uint64 {
	left := min(x.buffers(), x.total()/2-x.kept)
	return uint64(min(max(2*left, grantedWindow), maxWindow))
}

// step takes in a Pair or a PairAck of a member that has an entry.
func (x *pairs) step(now clock.Time, _ *wire.Datagram, f *wire.Frame, r buf.Received, e *entry) error {
	var err error
	if f.Kind == wire.FramePair {
		p := f.Pair()
		if p.To != x.p.cfg.Self {
			err = errNotForMe
		} else {
			err = x.stepPair(now, &p, r, e)
		}
	} else {
		a := f.PairAck()
		if a.To != x.p.cfg.Self {
			err = errNotForMe
		} else {
			err = x.stepAck(now, &a, e)
		}
	}
	if err != nil {
		x.stats.PairDrops++
	}
	return err
}

// stranger takes in a Pair or a PairAck of a member that has no entry. Only the notice that it may be owed
// is an answer.
func (x *pairs) stranger(clock.Time, *wire.Datagram, *wire.Frame, buf.Received) { x.stats.PairDrops++ }

// stepPair finds out whether a session lives.
func (x *pairs) stepPair(now clock.Time, p *wire.Pair, r buf.Received, e *entry) error {
	if x.closed {
		return errClosed
	}
	pr := x.at(e)
	if p.Session <= e.lastSession && !x.is(sessionForgotten) || p.Session < pr.from ||
		p.ToIncarnation < x.floor(e) && !x.is(noFloor) {
		return pr.declareDead(p)
	}
	if last := max(pr.from, e.lastSession); p.Session > last && p.Session-last > maxSessionJump {
		if e.sessionClimbed == 0 || now.Sub(e.sessionClimbed) >= climbEvery {
			e.sessionClimbed = now
			e.lastSession = last + maxSessionJump
			pr.endReceiving()
		}
		return errRange
	}
	var in *receiving
	if p.Session == pr.from {
		in = pr.in[p.Channel]
	}
	if in == nil && p.Oldest > 1 && !x.is(oldestIgnored) {
		return pr.declareDead(p) // what was acknowledged is lost here
	}
	if in != nil && p.Oldest > in.next && !x.is(oldestIgnored) {
		// Something was acknowledged that never came: not by this member.
		return pr.contradicts(p)
	}
	if p.Session > pr.from {
		pr.endReceiving()
		pr.from, pr.fromIncarnation = p.Session, p.ToIncarnation
	}
	if in == nil {
		in = newReceiving(pr, p.Channel)
		pr.in[p.Channel] = in
	}
	return in.step(now, p, r)
}

// floor is the incarnation of this member that a session of another one is for at least. One that this member has not
// reached was forged: sessions for the one that it has are alive.
func (x *pairs) floor(e *entry) uint32 { return min(e.floor, x.p.incarnation) }

func (pr *pair) declareDead(p *wire.Pair) error {
	pr.dead, pr.deadChannel = p.Session, p.Channel
	pr.tell()
	return errDeadSession
}

// contradicts ends the session inwards, because a frame of it does not fit what came before: somebody sends in
// the other member's name.
func (pr *pair) contradicts(p *wire.Pair) error {
	pr.e.lastSession = max(pr.e.lastSession, p.Session)
	pr.endReceiving()
	return pr.declareDead(p)
}

// stepAck takes in an acknowledgement.
func (x *pairs) stepAck(now clock.Time, a *wire.PairAck, e *entry) error {
	pr := e.pair
	x.stats.AcksReceived++
	switch {
	case pr == nil || pr.session == 0 || a.Session != pr.session:
		return errNoSession
	case a.Dead:
		x.stats.SessionsDead++
		if last := a.Taken - 1; last > uint64(x.sessions) { // of a higher one, which this member has not begun
			x.sessions += uint32(min(last-uint64(x.sessions), maxSessionJump))
		}
		pr.endSession(now)
		return nil
	case x.p.gated():
		return nil // no call may succeed now; it comes again
	}
	out := pr.out[a.Channel]
	err := errRange
	if out != nil {
		err = out.acknowledged(now, a)
	} else if a.Next == 1 && a.Taken == 1 {
		return errNoSession
	}
	if err == nil {
		pr.beyond = 0
		return nil
	}
	// The next datagram would be a repeated one to the other side. A session with nothing outstanding ends without
	// harm.
	if pr.beyond++; pr.beyond >= maxBeyond || !pr.outstanding() {
		pr.beyond = 0
		x.stats.SessionsDead++
		pr.endSession(now)
	}
	return err
}

// begin begins a session outwards, if there is none.
func (pr *pair) begin() {
	if pr.session == 0 {
		pr.x.sessions++
		pr.session, pr.toIncarnation = pr.x.sessions, pr.e.incarnation
	}
}

// endSession ends the session outwards, which is dead at the other side. What was sent and has no outcome
// fails with an outcome that is not known; replies and results go again in the next session. What was
// not sent yet stays.
func (pr *pair) endSession(now clock.Time) {
	x := pr.x
	for _, out := range pr.out {
		if out == nil {
			continue
		}
		again := out.channel == wire.ChannelAnswers && !x.is(resultsDie)
		out.end(now, again)
	}
	for c := pr.asked.first; c != nil; c = pr.asked.first {
		x.fail(now, c, End{Why: Gone, Unknown: true})
	}
	pr.session = 0
	for _, out := range pr.out {
		if out != nil {
			out.pump(now)
		}
	}
}

// endReceiving ends the session inwards: what is held of it goes.
func (pr *pair) endReceiving() {
	pr.x.dropWorkOf(pr.e.id)
	for i, in := range pr.in {
		if in != nil {
			in.release()
			pr.in[i] = nil
		}
	}
}

// gone ends everything with a member that is no longer here.
func (x *pairs) gone(now clock.Time, e *entry, _ gone) {
	x.stale = x.stale || e.consumes
	x.dropWorkOf(e.id)
	pr := e.pair
	if pr == nil {
		return
	}
	e.lastSession = max(e.lastSession, pr.from)
	x.drop(now, pr, Gone)
	e.pair = nil
}

// drop ends a pair.
func (x *pairs) drop(now clock.Time, pr *pair, why Why) {
	pr.endReceiving()
	for _, out := range pr.out {
		if out != nil {
			out.release(now, why)
		}
	}
	for c := pr.asked.first; c != nil; c = pr.asked.first {
		x.fail(now, c, End{Why: why, Unknown: true})
	}
	x.tellers = slices.DeleteFunc(x.tellers, func(o *pair) bool { return o == pr })
	last := len(x.all) - 1
	x.all[pr.index] = x.all[last]
	x.all[pr.index].index = pr.index
	x.all[last] = nil
	x.all = x.all[:last]
	x.stats.PairsOpen--
}

// returned sends something in the session with a member, if something is outstanding in it, after this
// member's own incarnation rose: a member that had removed this one answers that the session is dead. If nothing is
// outstanding, what comes next begins a session: in the old one it would fail there, though nothing was lost.
func (x *pairs) returned(now clock.Time, e *entry) {
	pr := e.pair
	switch {
	case pr == nil || pr.session == 0 || x.is(noNothing):
	case pr.outstanding():
		pr.sendNothing(now)
	default:
		pr.endSession(now)
	}
}

// removedThere notes that a member has said that it had removed this one, with this incarnation. Its
// sessions from before are dead.
func (x *pairs) removedThere(e *entry, incarnation uint32) {
	e.floor = max(e.floor, incarnation+1)
	if pr := e.pair; pr != nil && pr.fromIncarnation < e.floor {
		pr.endReceiving()
	}
}

// outstanding reports whether something was sent that has no outcome yet.
func (pr *pair) outstanding() bool {
	if pr.session == 0 {
		return false
	}
	if pr.asked.first != nil {
		return true
	}
	for _, out := range pr.out {
		if out != nil && out.seen < out.item {
			return true
		}
	}
	return false
}

// sendNothing sends an item that is nothing: it is acknowledged, or the session is found to be dead.
func (pr *pair) sendNothing(now clock.Time) {
	out := pr.channel(wire.ChannelQueues)
	if out.canPack(now) {
		out.add(now, &wire.Item{Kind: wire.ItemNothing})
	}
}

// channel returns one channel outwards, and makes it when there is none.
func (pr *pair) channel(c wire.Channel) *sending {
	if pr.out[c] == nil {
		pr.out[c] = newSending(pr, c)
	}
	return pr.out[c]
}

// tell has PollControl send what is pending for a pair.
func (pr *pair) tell() {
	if !pr.telling {
		pr.telling = true
		pr.x.tellers = append(pr.x.tellers, pr)
	}
}

// deadline is the next time at which tick has something to do; 0: none.
func (x *pairs) deadline() clock.Time {
	if len(x.timers) == 0 || x.queuesAt != 0 && x.queuesAt < x.timers[0].at {
		return x.queuesAt
	}
	return x.timers[0].at
}

func (x *pairs) tick(now clock.Time) {
	for len(x.timers) > 0 && x.timers[0].at <= now {
		x.timers.pop().fire(now)
	}
	x.tickQueues(now)
}

// flush closes the open datagrams: no command is waiting.
func (x *pairs) flush(now clock.Time) {
	x.tickQueues(now)
	if len(x.starved) > 0 {
		starved := x.starved
		x.starved = nil
		for _, out := range starved {
			out.starving = false
			out.pump(now)
		}
	}
	for _, out := range x.opened {
		out.close(now, true)
	}
	clear(x.opened)
	x.opened = x.opened[:0]
}

// pollControl hands out the next datagram with acknowledgements and questions.
func (x *pairs) pollControl(now clock.Time) (buf.Send, bool) {
	for len(x.tellers) > 0 {
		pr := x.tellers[0]
		if !pr.pending() {
			pr.telling = false
			x.tellers = slices.Delete(x.tellers, 0, 1)
			continue
		}
		b := x.p.cfg.Pool.Get() // it goes back at once: not one of those that pairs hold
		if b == nil {
			return buf.Send{}, false
		}
		room := min(len(b.Mem()), x.p.cfg.Datagram)
		datagram := wire.AppendHeader(b.Mem()[:0], x.head())
		for _, out := range pr.out {
			if out != nil && out.asking && len(datagram)+wire.PairQuestionLen <= room {
				out.asking = false
				x.stats.PairQuestions++
				datagram = wire.AppendPairQuestion(datagram, &wire.Pair{To: pr.e.id, Session: pr.session, ToIncarnation: pr.toIncarnation,
					Channel: out.channel, AckAtOnce: true, Number: out.next, Oldest: out.oldest, Known: out.seen, FirstItem: out.item})
			}
		}
		if pr.dead != 0 && len(datagram)+wire.PairAckSize(0) <= room {
			datagram = wire.AppendPairAck(datagram, &wire.PairAck{To: pr.e.id, Session: pr.dead, Channel: pr.deadChannel, Dead: true, Next: 1,
				Taken: 1 + uint64(max(pr.from, pr.e.lastSession)), Limit: 1})
			pr.dead = 0
			x.stats.AcksSent++
		}
		datagram = pr.appendAcks(now, datagram, room, true)
		wire.Seal(datagram)
		b.Set(0, len(datagram))
		x.p.cfg.Pacer.Spend(now, len(datagram))
		return buf.Send{Buf: b, To: pr.e.endpoint}, true
	}
	return buf.Send{}, false
}

// pending reports whether there is something to be sent as control.
func (pr *pair) pending() bool {
	if pr.dead != 0 {
		return true
	}
	for i := range pr.in {
		if in := pr.in[i]; in != nil && in.urgent {
			return true
		}
		if out := pr.out[i]; out != nil && out.asking {
			return true
		}
	}
	return false
}

// appendAcks appends the acknowledgements that are owed, as far as they fit.
func (pr *pair) appendAcks(now clock.Time, datagram []byte, room int, urgentOnly bool) []byte {
	for _, in := range pr.in {
		if in != nil && in.owed && (!urgentOnly || in.urgent || len(datagram) > wire.HeaderLen) && len(datagram)+wire.PairAckSize(in.refused.Len()) <= room {
			datagram = in.appendAck(now, datagram)
		}
	}
	return datagram
}

// head is the header of a datagram.
func (x *pairs) head() wire.Header {
	return wire.Header{Cluster: x.p.cfg.Cluster, Transmitter: x.p.cfg.Self, Incarnation: x.p.incarnation, Stream: Stream}
}

// poll hands out the next datagram with items.
func (x *pairs) poll(now clock.Time) (buf.Send, bool) {
	if len(x.ready) == 0 || x.p.gated() {
		return buf.Send{}, false
	}
	if pacer := x.p.cfg.Pacer; !pacer.Ready(now) {
		x.p.arm(pacer.At())
		return buf.Send{}, false
	}
	for len(x.ready) > 0 {
		out := x.ready[0]
		b := out.take(now)
		x.ready = slices.Delete(x.ready, 0, 1)
		if b != nil && out.unsent() {
			x.ready = append(x.ready, out) // each in turn
		} else {
			out.listed = false
		}
		if b != nil {
			x.stats.PairDatagrams++
			x.stats.PairBytes += uint64(b.Len())
			x.p.cfg.Pacer.Spend(now, b.Len())
			return buf.Send{Buf: b, To: out.pair.e.endpoint}, true
		}
	}
	return buf.Send{}, false
}

// deliver hands up what had to wait, and calls to oneself. It returns the number of items.
func (x *pairs) deliver(now clock.Time) (n int) {
	if x.p.gated() {
		return 0
	}
	if len(x.blocked) > 0 {
		blocked := x.blocked
		x.blocked = x.spare[:0]
		for _, in := range blocked {
			in.blocked = false
			if !in.ended {
				n += in.drain(now)
			}
		}
		clear(blocked)
		x.spare = blocked
	}
	n += x.deliverReplies(now)
	n += x.lateResults(now)
	n += x.startWaiting(now)
	return n + x.deliverLoop(now)
}

// PairBuffersHeld is how many buffers pairs hold.
func (p *Protocol) PairBuffersHeld() int { return p.pairs.held }

// quiet reports whether nothing is outstanding, in either direction.
func (x *pairs) quiet() bool {
	for _, pr := range x.all {
		if pr.pending() {
			return false
		}
		for _, in := range pr.in {
			if in != nil && in.owed {
				return false
			}
		}
		for _, out := range pr.out {
			if out != nil && (out.oldest < out.next || out.filling != nil || out.waits()) {
				return false
			}
		}
	}
	return true
}

// release ends all calls and gives back all buffers.
func (x *pairs) release() {
	x.closed = true
	for _, q := range x.queueList {
		for _, k := range q.waiting.all() {
			x.fail(x.p.last, k.c, End{Why: Closed, Unknown: k.marked})
		}
	}
	x.queueList = nil
	clear(x.queues)
	for len(x.all) > 0 {
		pr := x.all[len(x.all)-1]
		x.drop(x.p.last, pr, Closed)
		pr.e.pair = nil
	}
	for c := x.loop.first; c != nil; c = x.loop.first {
		x.calls.end(x, c, End{Why: Closed})
	}
	for c := x.loopReplies.first; c != nil; c = x.loopReplies.first {
		x.calls.end(x, c, End{Why: Closed})
	}
	for c := x.loopAsked.first; c != nil; c = x.loopAsked.first {
		x.fail(x.p.last, c, End{Why: Closed, Unknown: true})
	}
	x.ready, x.opened, x.starved, x.blocked = nil, nil, nil, nil
}

const (
	ackDelay   = time.Millisecond       // an acknowledgement waits at most so long for a datagram to go with
	maxTimeout = 50 * time.Millisecond  // between two repetitions
	firstAsk   = 5 * time.Millisecond   // a question about what was acknowledged and not taken
	maxAsk     = 100 * time.Millisecond // between two of them
)
