package group

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Stream is the stream of all group datagrams.
var Stream = wire.NewStreamID(wire.Group, 0)

// Bounds.
const (
	MaxMembers     = 1024     // entries, the member itself included
	MaxTombstones  = 4096     // members that were here
	MaxUnconfirmed = 32       // entries that have not answered a probe
	MaxQuestions   = 32       // ids that a record was asked for and has not come
	MaxRecords     = 32 << 20 // bytes of all records
	maxOut         = 1024     // datagrams that wait for PollSend
	maxJump        = 1000     // incarnations that a member may go up at a time
)

// Config is what a member of a group is made of.
type Config struct {
	Self     wire.MemberID
	Cluster  uint64       // wire.ClusterHash of the cluster's name
	Local    buf.Endpoint // the member's own address
	Name     string       // at most wire.MaxName bytes
	Started  uint64       // when it was started, ns since 1970
	Groups   []string     // that it is in from its start, ascending, at most wire.MaxGroups
	Datagram int          // the largest UDP payload, bytes

	MaxMessageSize int // bytes
	PairBuffers    int // buffers of Pool that pairs hold at most; zero means DefaultBuffers

	HeartbeatInterval time.Duration // zero means 20ms
	FailureTimeout    time.Duration // zero means five intervals
	HeartbeatRate     int64         // bits/s of all beats together; zero means 800,000

	Pool  *buf.Pool
	Rand  *rand.Rand
	Pacer *core.Pacer // of the member; may be nil

	// Heard returns when anything was last received of a member under another protocol; 0: never. It
	// may be nil.
	Heard func(id wire.MemberID) clock.Time
	// Forget ends what another protocol has of a member that is gone, and bars what still comes from
	// it. Admit lifts the bar. Pending reports whether a full queue still holds up something of it.
	// All may be nil.
	Forget  func(now clock.Time, id wire.MemberID)
	Admit   func(id wire.MemberID)
	Pending func(id wire.MemberID) bool

	// Mirror is given each change of the table at once. Tell is given what handlers are to be given, in
	// order for each member. Both may be nil.
	Mirror func(now clock.Time, c *Change)
	Tell   func(now clock.Time, c *Change)
	// Warn is called once for each Warning. It may be nil.
	Warn func(w Warning)
	// Gate is called when the gate closes and when it opens; see Gated. It may be nil.
	Gate func(closed bool)

	// Transfer takes an item of a cluster's transfer (wire.Transfer) from a member, or refuses it. payload is lent for
	// the call. It must not call the Protocol. Nil: all are refused, as of a kind that is not known.
	Transfer func(now clock.Time, from wire.MemberID, payload []byte) bool

	// Calls takes the ends of calls. It may be nil where there are none.
	Calls CallSink

	// Ring: the member is in a ring of topics too. InCluster: it is in the ring of a cluster. Then View is to be called,
	// and Excluded: of the cluster's ring, where it is in both.
	Ring, InCluster bool

	// Peers takes the list of members that the group's datagrams go to besides the configured addresses, for a
	// driver without multicast; nil: the driver has multicast.
	Peers func(list []buf.Endpoint)

	defect defect // a planted one, in tests
}

const (
	defaultInterval = 20 * time.Millisecond
	defaultRate     = 800_000
	beatBits        = 8 * (wire.HeaderLen + wire.BeatLen + core.WireOverhead)
)

func (c Config) withDefaults() Config {
	if c.HeartbeatInterval <= 0 {
		c.HeartbeatInterval = defaultInterval
	}
	c.HeartbeatInterval = min(max(c.HeartbeatInterval, wire.MinInterval*time.Microsecond), wire.MaxInterval*time.Microsecond)
	if c.FailureTimeout <= 0 {
		c.FailureTimeout = 5 * c.HeartbeatInterval
	}
	if c.HeartbeatRate <= 0 {
		c.HeartbeatRate = defaultRate
	}
	return c
}

// Protocol is one member of a group. Calls must not overlap, and now never goes backwards.
type Protocol struct {
	cfg         Config
	datagram    int    // Config.Datagram as it was given; cfg's is less while the interface's MTU is
	incarnation uint32 // the member's own
	nonce       uint64 // of this start
	started     bool

	table table
	own   ownRecord
	beat  beater
	join  joiner
	doubt doubter
	gate  gate
	ends  []waitingEnd // ends that are not told yet
	pairs *pairs

	asks    []question // at most MaxQuestions
	answers answers
	words   []wire.About
	leaves  int        // Leaves that are still to be sent, once leaving
	leaveAt clock.Time // not before
	leaving bool

	out     []buf.Send
	outNext int
	scratch []byte
	lists   wire.RecordLists // scratch memory

	at      clock.Time // Tick looks at everything then
	last    clock.Time // of the last call
	stepped bool       // since the last Flush
	peers   []buf.Endpoint
	view    []wire.MemberID // the ring's last regular one, ascending
	stats   Stats
	warned  [warnings]bool
}

// New makes a Protocol. It panics when Pool or Rand is missing. The first call that has the time begins
// the announcing.
func New(cfg Config) *Protocol {
	if cfg.Pool == nil || cfg.Rand == nil {
		panic("group: Config needs Pool and Rand")
	}
	cfg = cfg.withDefaults()
	p := &Protocol{cfg: cfg, datagram: cfg.Datagram, nonce: cfg.Rand.Uint64()}
	p.table.init()
	p.own.groups = slices.Clone(cfg.Groups)
	p.own.build(p)
	p.pairs = newPairs(p)
	return p
}

// h and t are the configured interval and timeout.
func (p *Protocol) h() time.Duration { return p.cfg.HeartbeatInterval }
func (p *Protocol) t() time.Duration { return p.cfg.FailureTimeout }

// observe begins every call.
func (p *Protocol) observe(now clock.Time) {
	p.last = max(now, p.last)
	if p.started {
		return
	}
	p.started = true
	p.table.changed = now
	if p.alone() {
		p.cfg.Peers(nil) // what an earlier start found
	}
	p.tellSelf(now, Started)
	p.join.begin(p, now)
	p.beat.due = now
	p.arm(now)
}

// Incarnation is the member's own.
func (p *Protocol) Incarnation() uint32 { return p.incarnation }

// Gated reports whether nothing may be handed to any handler now: the member stood still so long that
// others may have removed it, and has not learnt yet whether they did.
func (p *Protocol) Gated() bool { return p.gate.closed }

func (p *Protocol) gated() bool { return p.gate.closed }

// find returns the entry of a member, or nil.
func (p *Protocol) find(id wire.MemberID) *entry { return p.table.entries[id] }

// arm has Tick called at the latest at at.
func (p *Protocol) arm(at clock.Time) { p.at = min(p.at, at) }

// Fit makes what is packed from now on fit the way. It implements engine.Fitter.
func (p *Protocol) Fit(_ clock.Time, w buf.Way) { p.cfg.Datagram = min(w.Pack, p.datagram) }

// Step takes in one group datagram. An error means that it was refused.
func (p *Protocol) Step(now clock.Time, d *wire.Datagram, r buf.Received) error {
	p.observe(now)
	p.settle(now)
	p.stepped = true
	if d.Stream != Stream {
		return p.drop(DropStream)
	}
	if p.leaving && p.leaves == 0 {
		return p.drop(DropFinished)
	}
	frames := d.Frames()
	for i := range frames {
		if !ofGroup(frames[i].Kind) {
			return p.drop(DropFrames)
		}
	}
	if len(frames) == 0 || d.Transmitter == p.cfg.Self {
		return p.drop(DropFrames)
	}
	e := p.find(d.Transmitter)
	if e == nil {
		return p.stepStranger(now, d, r)
	}
	switch {
	case d.Incarnation < e.incarnation:
		if now.Sub(e.heard) >= p.t()/2 {
			p.aboutMeOnly(now, d)
			p.correct(now, e, d.Incarnation, r.From)
		}
		return p.drop(DropStale)
	case jumps(e.incarnation, d.Incarnation):
		if now.Sub(e.heard) >= p.t()/2 {
			p.aboutMeOnly(now, d)
			p.raise(now, e, p.climb(now, e.incarnation, &e.climbed))
		}
		return p.drop(DropIncarnation)
	case d.Incarnation > e.incarnation:
		p.raise(now, e, d.Incarnation)
	}
	p.heard(now, e)
	p.moved(now, e, r.From)
	var err error
	for i := range frames {
		if e.removed {
			break // it has left with a frame before
		}
		if got := p.stepFrame(now, d, &frames[i], r, e); got != nil {
			err = got
		}
	}
	return err
}

func ofGroup(k wire.FrameKind) bool {
	switch k {
	case wire.FramePair, wire.FramePairAck, wire.FrameBeat, wire.FrameHello, wire.FrameMembers, wire.FrameProbe, wire.FrameWord:
		return true
	}
	return false
}

// stepFrame takes in one frame of a member that has an entry.
func (p *Protocol) stepFrame(now clock.Time, d *wire.Datagram, f *wire.Frame, r buf.Received, e *entry) error {
	switch f.Kind {
	case wire.FrameBeat:
		b := f.Beat()
		p.stepBeat(now, e, &b)
	case wire.FrameHello:
		h := f.Hello()
		return p.stepHello(now, d, &h, r)
	case wire.FrameMembers:
		t := f.Members()
		return p.stepMembers(now, e, &t, p.returnsNonce(&t), r)
	case wire.FrameProbe:
		q := f.Probe()
		return p.stepProbe(now, d, &q, r, e)
	case wire.FrameWord:
		w := f.Word()
		return p.stepWord(now, e, &w, r)
	case wire.FramePair, wire.FramePairAck:
		return p.pairs.step(now, d, f, r, e)
	}
	return nil
}

// stepStranger takes in a datagram of an id that has no entry: of a member that was removed, that has
// left, or that is not known.
func (p *Protocol) stepStranger(now clock.Time, d *wire.Datagram, r buf.Received) error {
	frames := d.Frames()
	if t := p.table.tombs[d.Transmitter]; t != nil {
		if t.left {
			p.doubtLeave(now, t, d, r)
			return p.drop(DropLeft)
		}
		if d.Incarnation <= t.incarnation {
			if t.due == 0 && jumps(d.Incarnation, t.incarnation) {
				p.probe(r.From, wire.Probe{To: t.id, Kind: wire.ProbeRemoved, Incarnation: d.Incarnation + maxJump})
			}
			t.from = r.From
			p.owe(now, t)
			p.gateMeets(now, t.id, r.From)
			for i := range frames {
				p.aboutMe(now, &frames[i])
				switch f := &frames[i]; f.Kind {
				case wire.FrameProbe:
					if q := f.Probe(); q.To == p.cfg.Self && asks(q.Kind) {
						p.probe(r.From, wire.Probe{To: t.id, Kind: wire.ProbeRemoved, Incarnation: t.incarnation, Nonce: q.Nonce})
					}
				case wire.FramePair, wire.FramePairAck:
					p.pairs.stranger(now, d, f, r)
				}
			}
			return p.drop(DropRemoved)
		}
		if jumps(t.incarnation, d.Incarnation) {
			t.incarnation = p.climb(now, t.incarnation, &t.climbed)
			return p.drop(DropIncarnation)
		}
	}
	p.suspectEndpoint(now, d.Transmitter, r.From)
	known := false
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case wire.FrameHello:
			h := f.Hello()
			if err := p.stepHello(now, d, &h, r); err != nil {
				return err
			}
			known = true
		case wire.FrameMembers:
			t := f.Members()
			if !p.returnsNonce(&t) {
				continue
			}
			if err := p.stepMembers(now, nil, &t, true, r); err != nil {
				return err
			}
			known = true
		case wire.FrameWord:
			p.aboutMe(now, f)
		case wire.FrameProbe:
			if p.aboutMe(now, f) {
				known = true
				continue
			}
			q := f.Probe()
			if q.To == p.cfg.Self && q.Kind == wire.ProbeRecord {
				if p.mayAnswer(now, r.From) {
					p.sendHello(r.From, p.partialHello(q.Nonce)) // to a stranger no more than a little
				}
				known = true
			} else if q.To != p.cfg.Self && asks(q.Kind) {
				if p.mayAnswer(now, r.From) {
					p.probe(r.From, wire.Probe{To: q.To, Kind: wire.ProbeNotTo, Incarnation: p.incarnation, Nonce: q.Nonce})
				}
				known = true
			} else if q.To == p.cfg.Self && q.Kind == wire.ProbeThere && !p.leaving && p.mayAnswer(now, r.From) {
				// It has this member's record, and this one not yet its.
				p.probe(r.From, wire.Probe{To: d.Transmitter, Kind: wire.ProbeHere, Incarnation: p.incarnation, Nonce: q.Nonce})
			}
		}
	}
	if known {
		return nil
	}
	p.ask(now, d.Transmitter, r.From)
	return p.drop(DropUnknown)
}

// Deadline returns when Tick is next needed: within an interval at the latest, so that the member notices
// when it stands still.
func (p *Protocol) Deadline() (at clock.Time, ok bool) {
	if !p.started {
		return 0, true
	}
	at = min(p.at, p.last.Add(p.h()))
	if first := p.table.due.first(); first != 0 && !p.leaving {
		at = min(at, first)
	}
	if next := p.pairs.deadline(); next != 0 {
		at = min(at, next)
	}
	return at, true
}

// Tick fires every deadline at or before now.
func (p *Protocol) Tick(now clock.Time) {
	p.observe(now)
	p.settle(now)
	p.pairs.tick(now)
	if !p.leaving {
		p.tickEntries(now)
	}
	if now < p.at {
		return
	}
	p.at = now.Add(p.h())
	if p.leaving {
		p.tickLeave(now)
		return
	}
	p.join.tick(p, now)
	p.tickBeat(now)
	p.tickTombs(now)
	p.tickGate(now)
	p.tickEnds(now)
	p.tickClaims(now)
	p.flushWords()
}

// Flush ends a turn's commands: what changed is announced.
func (p *Protocol) Flush(now clock.Time) {
	p.observe(now)
	p.settle(now)
	if p.own.announce && !p.leaving {
		p.own.announce = false
		p.sendHello(buf.Group, p.hello(false, 0, p.nonce))
	}
	p.join.answer(p, now)
	p.flushGate(now)
	p.stepped = false
	p.flushWords()
	p.pairs.flush(now)
}

// PollControl hands out the next control datagram.
func (p *Protocol) PollControl(now clock.Time) (buf.Send, bool) {
	if p.outNext < len(p.out) {
		s := p.out[p.outNext]
		p.out[p.outNext] = buf.Send{}
		if p.outNext++; p.outNext == len(p.out) {
			p.out, p.outNext = p.out[:0], 0
		}
		p.cfg.Pacer.Spend(now, s.Buf.Len())
		return s, true
	}
	return p.pairs.pollControl(now)
}

// PollSend hands out the next datagram.
func (p *Protocol) PollSend(now clock.Time) (buf.Send, bool) {
	if s, ok := p.PollControl(now); ok {
		return s, true
	}
	return p.pairs.poll(now)
}

// Deliver hands up what could not be handed up when it came.
func (p *Protocol) Deliver(now clock.Time) int { return p.pairs.deliver(now) }

// Close begins the member's end: it leaves, in three Words. Turns go on until Left. Calls that have not ended do
// so, and nothing of pairs is sent or taken any more: whoever wants that to be settled waits for Quiet before.
func (p *Protocol) Close(now clock.Time) {
	p.observe(now)
	p.settle(now)
	if p.leaving {
		return
	}
	p.leaving, p.leaves, p.leaveAt = true, 3, now
	p.words = p.words[:0]
	p.pairs.release()
	p.arm(now)
}

// Left reports whether nothing is left to be sent after Close.
func (p *Protocol) Left() bool {
	return p.leaving && p.leaves == 0 && p.outNext == len(p.out)
}

// Quiet reports whether nothing between this member and another one is outstanding.
func (p *Protocol) Quiet() bool { return p.pairs.quiet() }

func (p *Protocol) tickLeave(now clock.Time) {
	if p.leaves > 0 && now >= p.leaveAt {
		p.leaves--
		p.leaveAt = now.Add(time.Millisecond)
		p.say(wire.About{ID: p.cfg.Self, Incarnation: p.incarnation, Kind: wire.AboutLeave})
		p.flushWords()
	}
	if p.leaves > 0 {
		p.arm(p.leaveAt)
	}
}

// Release gives back every buffer.
func (p *Protocol) Release() {
	for _, s := range p.out[p.outNext:] {
		s.Buf.Release()
	}
	p.out, p.outNext = nil, 0
	p.pairs.release()
}

// begin starts a datagram in the scratch memory.
func (p *Protocol) begin() []byte {
	return wire.AppendHeader(p.scratch[:0], wire.Header{Cluster: p.cfg.Cluster, Transmitter: p.cfg.Self, Incarnation: p.incarnation, Stream: Stream})
}

// put seals a datagram that begin has started, and puts a copy of it in line.
func (p *Protocol) put(b []byte, to buf.Endpoint) {
	p.scratch = b[:0]
	if len(p.out)-p.outNext >= maxOut {
		p.stats.Drops[DropOut]++
		return
	}
	m := p.cfg.Pool.Get()
	if m == nil || len(b) > len(m.Mem()) {
		if m != nil {
			m.Release()
		}
		p.stats.Drops[DropNoBuffer]++
		return
	}
	wire.Seal(b)
	m.Set(0, copy(m.Mem(), b))
	p.out = append(p.out, buf.Send{Buf: m, To: to})
}

func (p *Protocol) probe(to buf.Endpoint, q wire.Probe) { p.put(wire.AppendProbe(p.begin(), q), to) }

// say has the next Word be about a too.
func (p *Protocol) say(a wire.About) {
	for i := range p.words {
		if w := &p.words[i]; w.ID == a.ID && w.Kind == a.Kind {
			*w = a
			return
		}
	}
	p.words = append(p.words, a)
}

// flushWords sends what was said in this turn.
func (p *Protocol) flushWords() {
	fit := min(wire.MaxAbout, (p.cfg.Datagram-wire.HeaderLen-wire.WordOverhead)/wire.AboutLen)
	for rest := p.words; len(rest) > 0; {
		n := min(fit, len(rest))
		p.put(wire.AppendWord(p.begin(), rest[:n]), buf.Group)
		rest = rest[n:]
	}
	p.words = p.words[:0]
}

// within draws a time from 0 to d.
func (p *Protocol) within(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(p.cfg.Rand.Int64N(int64(d) + 1))
}
