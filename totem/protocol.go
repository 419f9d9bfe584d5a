package totem

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Protocol runs one ring for one member. Calls must not overlap, but a handler that Sink.Deliver
// or Views runs may call Offer.
type Protocol struct {
	cfg     Config
	prof    Profile
	longest int // what new datagrams have at most; cfg.Datagram, unless the interface's MTU was lowered
	whole   int // length of the longest datagram that leaves whole now
	created bool
	closed  bool
	leaves  int // Leaves that are still to be sent

	state      State
	proc, fail idSet
	consensus  idSet
	reached    bool   // everybody agrees, and a commit token is awaited
	firstTry   bool   // in the first Gather since Operational: the old ring's data is still taken
	founding   bool   // the first Gather of all: others are waited for
	maxRingSeq uint64 // the largest that is known
	leapAfter  clock.Time
	made       uint64 // sequence of the last ring that this member made
	joins      uint64 // counts own Joins

	cur  *ring  // the ring that this member is in, or that is being formed
	old  *ring  // the ring before it, until cur is installed
	memb idSet  // members of the last ring that was installed
	tok  tokens // what is known of the token of cur
	pace congestion
	rec  recovery

	send   sendQueue
	out    outbox
	deliv  deliverer
	wholes wholes
	peers  peers
	holds  holdDowns

	gathered clock.Time // when this member left its last ring
	disputed clock.Time // when this member found itself in the middle for the first time since

	timers [timerCount]clock.Time
	at     clock.Time // no timer is earlier
	armed  bool
	stale  bool // the timer of at was put off

	last       clock.Time // of the last call
	gaps       gapMeter   // of the loop
	rotations  gapMeter   // of the token, without rests
	discarding bool       // the loop stood still: what waited meanwhile and speaks of membership is stale
	discardEnd clock.Time // at the latest
	stepped    bool       // since the last Flush

	limited core.LimitMeter
	slowest wire.MemberID // where that is ByReceiver, who
	entered entries
	stats   Stats
}

// timer names one deadline.
type timer uint8

const (
	tokenLoss timer = iota // first: a token that is given up is not sent again
	tokenRetransmit
	joinAgain
	consensusEnd
	mergeDetect
	holdEnd
	leaveAgain
	foundingEnd
	paceReady
	restEnd
	askForToken
	timerCount
)

// never is the deadline of a timer that is not set.
const never = clock.Time(1<<63 - 1)

// New makes a Protocol. It panics when Pool, Rand or Sink is missing, or when Profile is not valid.
func New(cfg Config) *Protocol {
	if cfg.Pool == nil || cfg.Rand == nil || cfg.Sink == nil {
		panic("totem: Config needs Pool, Rand and Sink")
	}
	if err := cfg.Profile.Validate(); err != nil {
		panic(err.Error())
	}
	if cfg.MaxMessageSize <= 0 {
		cfg.MaxMessageSize = 1 << 20
	}
	if cfg.Stream == 0 {
		cfg.Stream = Stream
	}
	size := StoreSize(cfg.Window, cfg.Datagram)
	p := &Protocol{cfg: cfg, longest: cfg.Datagram, whole: cfg.Datagram, prof: cfg.Profile.withDefaults().within(cfg.Room, cfg.Datagram), cur: newRing(size), old: newRing(size)}
	for i := range p.timers {
		p.timers[i] = never
	}
	// The ring before the first one: nobody else is in it, and it has no messages.
	p.maxRingSeq = max(cfg.RingSeq+1, 1)
	self := setOf(cfg.Self)
	p.old.begin(wire.RingID{Rep: cfg.Self, Seq: p.maxRingSeq}, &self, cfg.Self)
	p.cur.begin(p.old.id, &self, cfg.Self)
	p.memb = self
	p.rec.deliverSet = self
	p.send.init(p, queueSize(size))
	p.out.init(p)
	p.deliv.limit = 2 * size
	p.deliv.parts.limit = AssemblyBytes(cfg.MaxMessageSize)
	return p
}

// start enters the first Gather, in the first call, which brings the time.
func (p *Protocol) start(now clock.Time) {
	p.created, p.last = true, now
	p.proc, p.founding = setOf(p.cfg.Self), true
	// Two join intervals, and a little of chance, so that members that start together do not
	// all speak at once.
	p.arm(foundingEnd, now.Add(2*p.prof.Join+time.Duration(p.cfg.Rand.Int64N(int64(p.prof.Join)/4+1))))
	p.enterGather(now, Started)
}

// observe is the beginning of every call. It notices when the loop has stood still.
func (p *Protocol) observe(now clock.Time) {
	if !p.created {
		p.start(now)
		return
	}
	if p.armed && now > p.at {
		// The engine would have called by p.at. What came before may have been sleep.
		p.stoodStill(now, now.Sub(max(p.at, p.last)))
	}
	p.last = now
}

// Step takes in one decoded datagram that another member has sent.
func (p *Protocol) Step(now clock.Time, d *wire.Datagram, r buf.Received) error {
	p.observe(now)
	p.stepped = true
	if p.closed || p.deliv.stalled() {
		return p.drop(DropFinished)
	}
	frames := d.Frames()
	if data, ring := dataAndRing(frames); data != nil {
		m, g := data.Data(), ring.Ring()
		return p.stepData(now, d, &m, &g, r)
	}
	if len(frames) != 1 {
		return p.drop(DropFrames)
	}
	switch f := &frames[0]; f.Kind {
	case wire.FrameToken:
		t := f.Token()
		return p.stepToken(now, d, &t)
	case wire.FrameJoin:
		j := f.Join()
		return p.stepJoin(now, d, &j, r)
	case wire.FrameCommit:
		c := f.Commit()
		return p.stepCommit(now, d, &c)
	case wire.FrameNotice:
		n := f.Notice()
		return p.stepNotice(now, d, &n, r)
	case wire.FrameData:
		m := f.Data()
		return p.stepPart(now, d, &m, r)
	}
	return p.drop(DropFrames)
}

// arm sets a deadline.
func (p *Protocol) arm(t timer, at clock.Time) {
	p.stale = p.stale || p.timers[t] == p.at
	p.timers[t] = at
	if !p.armed || at < p.at {
		p.at, p.armed = at, true
	}
}

// cancel removes a deadline.
func (p *Protocol) cancel(t timer) {
	p.stale = p.stale || p.timers[t] == p.at
	p.timers[t] = never
}

// Deadline returns when Tick is next needed; ok is false when nothing is pending. A timer that was put
// off wakes nobody: in an idle ring it would once in each rotation.
func (p *Protocol) Deadline() (at clock.Time, ok bool) {
	if p.stale {
		p.earliest()
	}
	return p.at, p.armed
}

// earliest finds the timer that is due first.
func (p *Protocol) earliest() {
	p.at, p.armed, p.stale = never, false, false
	for _, at := range p.timers {
		if at < p.at {
			p.at, p.armed = at, true
		}
	}
}

// Tick fires every deadline at or before now. Calling it early is harmless.
func (p *Protocol) Tick(now clock.Time) {
	p.observe(now)
	if p.armed && now < p.at {
		return
	}
	for t := range timerCount {
		if p.timers[t] <= now {
			p.timers[t] = never
			p.expire(now, t)
		}
	}
	p.earliest()
}

// expire does what a deadline asks for (section 12).
func (p *Protocol) expire(now clock.Time, t timer) {
	switch t {
	case tokenRetransmit:
		p.tok.again(p, now)
	case tokenLoss:
		p.lostToken(now)
	case joinAgain:
		if p.state == Gather {
			p.sendJoin()
			p.arm(joinAgain, now.Add(p.prof.Join))
		}
	case consensusEnd:
		p.endConsensus(now)
	case mergeDetect:
		if p.cur.me == 0 || p.holds.any(p, now) {
			p.sendNotice(wire.MergeDetect, buf.Group)
		}
		p.armMerge(now)
	case holdEnd:
		p.endHold(now)
	case restEnd:
		p.endRest(now)
	case askForToken:
		p.askForToken()
	case leaveAgain:
		p.sendLeave(now)
	case foundingEnd:
		if p.founding {
			p.founding = false
			p.checkConsensus(now)
		}
	}
}

// Flush means that no command is waiting. What is being packed waits for the token all the same;
// a ring of one needs none, and a token that is held is asked for.
func (p *Protocol) Flush(now clock.Time) {
	p.observe(now)
	if p.discarding && (!p.stepped || now >= p.discardEnd) {
		p.discarding = false // the receive queue is empty: all that is old has been seen
	}
	p.stepped = false
	alone := p.state == Operational && p.cur.members.n == 1
	if alone {
		if p.cfg.Visit != nil && !p.closed {
			p.cfg.Visit(now, now, p.cur.high)
		}
		p.send.bound.lift() // there is no ring that limits
	}
	if p.state == Operational && (p.send.backlog() > 0 || p.tok.hurry) {
		switch {
		case alone:
			p.visitAlone(now)
		case p.tok.held:
			p.endHold(now)
		case p.tok.idle > 0 && !p.tok.asked && p.cur.me != 0:
			p.tok.asked = true
			if p.prof.Hold > 0 && p.tok.idle+2*minIdle >= p.prof.IdleRotations {
				p.askForToken()
			} else { // another member's profile may let it rest earlier
				p.arm(askForToken, p.tok.accepted.Add(min(3*p.tok.rotation.mean, longestRotation)+askAfter))
			}
		}
	}
}

// askForToken asks the representative for a token that may rest there, if it has not come meanwhile.
func (p *Protocol) askForToken() {
	if p.state != Operational || p.send.backlog() == 0 && !p.tok.hurry {
		return
	}
	if to, ok := p.peers.endpoint(p.cur.id.Rep); ok {
		p.sendNotice(wire.HoldCancel, to)
	}
}

// A member with something to send waits for a token that went round lately: three rotations at most,
// which count as longestRotation if they were measured over rests, and askAfter.
const (
	longestRotation = time.Millisecond
	askAfter        = 100 * time.Microsecond
)

// Hurry lets a token that rests go on, as an offered message does: somebody waits for the next Config.Visit.
func (p *Protocol) Hurry() {
	if p.state == Operational && p.cur.members.n > 1 {
		p.tok.hurry = true
		if p.cur.me == 0 {
			p.tok.idle = 0 // as with a HoldCancel: it does not rest in the rotations that follow either
		}
	}
}

// Delivered is how far this member has handed over everything of the ring that it is in, up to that number.
func (p *Protocol) Delivered() uint64 {
	if p.state != Operational {
		return 0
	}
	return p.cur.delivered
}

// PollSend hands out the next datagram to send, with one reference that passes to the caller.
// ok is false when there is nothing that may be sent now.
func (p *Protocol) PollSend(now clock.Time) (s buf.Send, ok bool) { return p.out.poll(now) }

// PollControl hands out the next datagram if it is a control datagram. A token never overtakes data
// that was put in before it.
func (p *Protocol) PollControl(now clock.Time) (s buf.Send, ok bool) {
	if p.out.empty() || p.out.list[p.out.next].Wait {
		return buf.Send{}, false
	}
	return p.out.poll(now)
}

// Deliver offers again what Sink refused. It returns the number of messages that Sink took.
func (p *Protocol) Deliver(now clock.Time) int {
	p.observe(now)
	if p.deliv.blocked {
		p.deliv.blocked = false
		p.deliver()
		p.discardStable()
	}
	n := p.deliv.taken
	p.deliv.taken = 0
	return n
}

// Close sends three Leaves, a join interval apart. Others then form a ring without this
// member at once. What has not been sent yet is not sent any more, and nothing is delivered.
func (p *Protocol) Close(now clock.Time) {
	p.observe(now)
	if p.closed {
		return
	}
	p.closed = true
	for t := range p.timers {
		p.timers[t] = never
	}
	p.tok.forget()
	p.out.clear()
	p.leaves = leaveCopies
	p.sendLeave(now)
}

// Idle reports whether PollSend has nothing to hand out, the rate aside, and after Close whether the
// last Leave has been handed out.
func (p *Protocol) Idle() bool { return p.out.empty() && (!p.closed || p.leaves == 0) }

// Acknowledged reports whether all that was accepted was sent, and every member of the ring has it.
func (p *Protocol) Acknowledged() bool {
	return p.state == Operational && p.send.backlog() == 0 && p.send.last <= p.cur.stable
}

// Release gives every buffer back to the pool. The Protocol must not be used afterwards.
func (p *Protocol) Release() {
	p.closed = true
	p.tok.forget()
	p.out.clear()
	p.send.release()
	p.deliv.release()
	p.cur.drop()
	p.old.drop()
}

// State is where the Protocol stands.
func (p *Protocol) State() State { return p.state }

// Ring names the ring that this member is in, or that is being formed.
func (p *Protocol) Ring() wire.RingID { return p.cur.id }

// Members lends the members of the last ring that was installed, ascending.
func (p *Protocol) Members() []wire.MemberID { return p.memb.list() }

// Received is how far this member has received everything of a ring; ok is false when that ring
// is forgotten, or not yet known here.
func (p *Protocol) Received(ring wire.RingID) (aru uint64, ok bool) {
	switch {
	case p.state != Gather && p.state != Commit && p.cur.id == ring:
		return p.cur.aru, true
	case p.state != Operational && p.old.id == ring:
		return p.old.aru, true
	}
	return 0, false
}

// Incarnation counts how often this member learned that it was excluded.
func (p *Protocol) Incarnation() uint32 { return p.cfg.Incarnation }

func (p *Protocol) header() wire.Header {
	return wire.Header{Cluster: p.cfg.Cluster, Transmitter: p.cfg.Self, Incarnation: p.cfg.Incarnation, Stream: p.cfg.Stream}
}

func (p *Protocol) event(e Event) {
	if p.cfg.Events != nil {
		p.cfg.Events(e)
	}
}

func (p *Protocol) probe(kind ProbeKind, ring wire.RingID, seq uint64) {
	if p.cfg.Probe != nil {
		p.cfg.Probe(Probe{Kind: kind, Ring: ring, Seq: seq})
	}
}

// enter changes the state, for a reason that is counted.
func (p *Protocol) enter(s State, why Reason) {
	p.state = s
	p.stats.Entered[s]++
	p.stats.Reasons[why]++
	p.entered.note(p.last, s, why)
	p.event(Event{Kind: StateEntered, State: s, Reason: why, Ring: p.cur.id})
}
