package nack

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Protocol runs NACK, BestEffort, FEC and Hybrid for one member: a Sender for each stream that it opened, a
// receiving half for each stream that it receives. Calls must not overlap, but a handler that
// Sink.Deliver runs may call Offer, Claim, Commit, Abort and Open.
type Protocol struct {
	cfg     Config
	created clock.Time // of the first call that said what time it is; 0: none yet
	window  int        // datagrams, of every stream
	way     buf.Way

	senders []*Sender
	busy    []*Sender // those with something to do: Flush, PollSend and Deliver look at no others
	filled  int       // datagrams in the windows of all senders
	turn    int       // the sender whose data PollSend looks at first

	streams  []*stream // all that are known or end, in order of their beginning
	ended    int       // of them, those that are not live
	known    map[streamKey]*stream
	last     *stream // the stream of the last data datagram
	expected expectation
	paused   []*stream // streams whose next message Sink refused
	spare    []*stream // the memory of paused, when it is emptied
	held     int       // buffers in reorder windows
	holders  int       // streams that hold some

	decoders  int            // streams that have a decoder
	decoded   int            // buffers that decoders hold; those of reorder windows among them count twice
	workspace *fec.Workspace // theirs; nil: none has been needed

	assemblies assemblies
	refused    refusals // of streams
	barred     barred
	late       latenesses
	mended     mended
	lately     lately // members whose reports come too late
	unwaited   bucket // bounds the events of receivers that are refused
	slots      slots
	gapsLeft   int // of sharedGaps

	control []control // what is to be sent at once, in order
	next    int       // control[next:] are left
	naks    bucket

	schedule schedule   // senders and streams, by their deadlines
	at       clock.Time // no deadline is earlier
	armed    bool
	self     bool // own messages go to Sink
	closed   bool

	scratch  wire.Datagram
	delivery core.Delivery
	loss     core.Loss
	gaps     [2][]wire.Gap // scratch memory of appendNak,
	needs    []wire.Need   // as this is
	stats    Stats
}

// New makes a Protocol. It panics when Pool, Rand or Sink is missing.
func New(cfg Config) *Protocol {
	if cfg.Pool == nil || cfg.Rand == nil || cfg.Sink == nil {
		panic("nack: Config needs Pool, Rand and Sink")
	}
	if cfg.MaxMessageSize <= 0 {
		cfg.MaxMessageSize = 1 << 20
	}
	if cfg.Eviction <= 0 {
		cfg.Eviction = time.Second
	}
	if cfg.RepairTimeout <= 0 {
		cfg.RepairTimeout = 5 * time.Second
	}
	if cfg.MaxStreams <= 0 {
		cfg.MaxStreams = defaultStreams
	}
	if cfg.MaxReceivers <= 0 {
		cfg.MaxReceivers = defaultReceivers
	}
	if cfg.Assembly <= 0 {
		cfg.Assembly = AssemblyBytes(cfg.MaxMessageSize)
	}
	cfg.Lanes = max(cfg.Lanes, 1)
	p := &Protocol{
		cfg:    cfg,
		window: WindowDatagrams(cfg.Window, cfg.Datagram),
		known:  make(map[streamKey]*stream),
		self:   cfg.SelfDelivery,
	}
	p.way = buf.Way{Pack: cfg.Datagram, Longest: cfg.Datagram}
	p.gaps[0] = make([]wire.Gap, 0, wire.MaxGaps)
	p.gaps[1] = make([]wire.Gap, 0, wire.MaxGaps)
	p.gapsLeft = sharedGaps
	p.refused.budget.tokens, p.unwaited.tokens = maxRefusals, maxRefusals
	p.slots.limit = fullWindows * slotCount(p.window)
	p.assemblies.limit = max(cfg.Assembly, cfg.MaxMessageSize) // or a message would wait for ever
	p.needs = make([]wire.Need, 0, mostNeeds)
	return p
}

// left is how many buffers there are to keep what is received: what senders' windows may still
// need, control datagrams, and the other users of the pool come first.
func (p *Protocol) left() int {
	pool := p.cfg.Pool
	n, most := pool.Free()-controlSpare, pool.Count()-controlSpare-p.cfg.Reserved
	windows := len(p.senders) * (p.window + 1)
	return min(n-windows+p.filled, most-windows-p.held-p.decoded)
}

// start remembers when this Protocol first heard what time it is.
func (p *Protocol) start(now clock.Time) {
	if p.created == 0 {
		p.created = now
	}
}

// Stats returns a copy of the counters.
func (p *Protocol) Stats() Stats {
	s := p.stats
	s.Streams = uint64(len(p.streams))
	for _, t := range p.senders {
		s.Receivers += uint64(t.joined())
		if t.encoding != nil {
			s.countEncoder(t.encoding.enc.Stats())
		}
	}
	if p.decoders > 0 {
		for _, t := range p.streams {
			if t.decoding != nil {
				s.countDecoder(t.decoding.dec.Stats())
			}
		}
	}
	return s
}

func (p *Protocol) event(kind EventKind, member wire.MemberID, at buf.Endpoint, id wire.StreamID) {
	if p.cfg.Events != nil {
		p.cfg.Events(Event{Kind: kind, Member: member, Endpoint: at, Stream: id})
	}
}

func (p *Protocol) header(id wire.StreamID) wire.Header {
	return wire.Header{Cluster: p.cfg.Cluster, Transmitter: p.cfg.Self, Incarnation: p.cfg.Incarnation, Stream: id}
}

// Step takes in one decoded datagram that another member has sent. The frames in it stand for
// themselves: one that is refused changes nothing, and its error is returned when all have been
// looked at (the first, if there are several).
func (p *Protocol) Step(now clock.Time, d *wire.Datagram, r buf.Received) (err error) {
	p.start(now)
	if q := d.Stream.Protocol(); q < wire.BestEffort || q > wire.Hybrid {
		return p.drop(DropProtocol)
	}
	if p.barred.has(d.Transmitter) {
		return p.drop(DropBarred)
	}
	frames := d.Frames()
	if len(frames) > 1 {
		// A Start has the number at which the Data beside it begins, although it comes after it.
		for i := range frames {
			if frames[i].Kind == wire.FrameStart {
				st := frames[i].Start()
				err = first(err, p.stepStart(now, d, &st, r))
			}
		}
	}
	for i := range frames {
		f := &frames[i]
		switch f.Kind {
		case wire.FrameData:
			m := f.Data()
			err = first(err, p.stepData(now, d, &m, r))
		case wire.FrameNak:
			n := f.Nak()
			err = first(err, p.stepNak(now, d, &n, r))
		case wire.FrameHeartbeat:
			h := f.Heartbeat()
			err = first(err, p.stepHeartbeat(now, d, &h, r))
		case wire.FrameStatus:
			s := f.Status()
			err = first(err, p.stepStatus(now, d, &s, r))
		case wire.FrameStart:
			if len(frames) == 1 {
				st := f.Start()
				err = first(err, p.stepStart(now, d, &st, r))
			}
		case wire.FrameLeave:
			l := f.Leave()
			err = first(err, p.stepLeave(now, d, &l))
		case wire.FrameRepair:
			m := f.Repair()
			err = first(err, p.stepRepair(now, d, &m, r.Buf))
		case wire.FrameSymbolNak:
			n := f.SymbolNak()
			err = first(err, p.stepSymbolNak(now, d, &n, r))
		}
	}
	return err
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// findAsked finds the sender of an own stream that a receiver speaks of, if it means this incarnation.
func (p *Protocol) findAsked(id wire.StreamID, incarnation uint32) (*Sender, error) {
	if incarnation != p.cfg.Incarnation {
		return nil, p.drop(DropIncarnation)
	}
	s := p.findSender(id)
	if s == nil {
		return nil, p.drop(DropNotSent)
	}
	return s, nil
}

// stepNak gives a Nak to the sender whose stream it names, or lets it suppress our own.
func (p *Protocol) stepNak(now clock.Time, d *wire.Datagram, n *wire.Nak, r buf.Received) error {
	if n.Origin == p.cfg.Self {
		s, err := p.findAsked(d.Stream, n.OriginIncarnation)
		if err != nil {
			return err
		}
		return s.stepNak(now, d, n, r)
	}
	if s := p.known[streamKey{n.Origin, d.Stream}]; s != nil && s.incarnation == n.OriginIncarnation {
		s.overhear(now, n)
	}
	return nil
}

// stepSymbolNak gives a SymbolNak to the sender whose stream it names, or lets it suppress our own.
func (p *Protocol) stepSymbolNak(now clock.Time, d *wire.Datagram, n *wire.SymbolNak, r buf.Received) error {
	if n.Origin == p.cfg.Self {
		s, err := p.findAsked(d.Stream, n.OriginIncarnation)
		if err != nil {
			return err
		}
		return s.stepSymbolNak(now, d, n, r)
	}
	if s := p.known[streamKey{n.Origin, d.Stream}]; s != nil && s.incarnation == n.OriginIncarnation {
		s.overhearSymbols(now, n)
	}
	return nil
}

// stepStatus gives a Status to the sender whose stream it names.
func (p *Protocol) stepStatus(now clock.Time, d *wire.Datagram, st *wire.Status, r buf.Received) error {
	if st.Origin != p.cfg.Self {
		return nil
	}
	s, err := p.findAsked(d.Stream, st.OriginIncarnation)
	if err != nil {
		return err
	}
	return s.stepStatus(now, d, st, r.From)
}

// stepLeave takes a member off every table, and ends its stream.
func (p *Protocol) stepLeave(now clock.Time, d *wire.Datagram, l *wire.Leave) error {
	for _, s := range p.senders {
		delete(s.outcasts, d.Transmitter)
		if s.findReceiver(d.Transmitter) != nil {
			s.dropReceiver(d.Transmitter, ReceiverLeft)
			p.lately.add(now, d.Transmitter)
		}
	}
	if !l.HasLast {
		return nil
	}
	if s := p.known[streamKey{d.Transmitter, d.Stream}]; s != nil {
		if d.Incarnation != s.incarnation {
			return p.drop(DropIncarnation)
		}
		s.leave(now, l)
	}
	return nil
}

// arm makes sure that Deadline is not later than at.
func (p *Protocol) arm(at clock.Time) {
	if !p.armed || at < p.at {
		p.at, p.armed = at, true
	}
}

// sooner makes sure that x is ticked no later than at.
func (p *Protocol) sooner(x *scheduled, at clock.Time) {
	if at < x.at {
		p.schedule.set(x, at)
		p.arm(at)
	}
}

// Deadline returns when Tick is next needed; ok is false when nothing is pending.
func (p *Protocol) Deadline() (at clock.Time, ok bool) { return p.at, p.armed }

// Tick fires every deadline at or before now. Calling it early is harmless.
func (p *Protocol) Tick(now clock.Time) {
	p.start(now)
	if !p.armed || now < p.at {
		return
	}
	p.armed = false
	for range len(p.schedule) { // a deadline that is armed in the past waits for the next Tick
		x := p.schedule[0]
		if x.at > now {
			break
		}
		if x.owner.tick(now); len(p.schedule) == 0 {
			break
		}
	}
	if len(p.schedule) > 0 {
		p.arm(p.schedule[0].at)
	}
	if p.waiting() && !p.cfg.Pacer.Ready(now) {
		p.arm(p.cfg.Pacer.At())
	}
}

// waiting reports whether there is something that the rate alone holds back.
func (p *Protocol) waiting() bool {
	for _, s := range p.busy {
		if s.sendable() {
			return true
		}
	}
	return false
}

// Flush closes datagrams that still have room: the command queue is empty.
func (p *Protocol) Flush(now clock.Time) {
	p.start(now) // a member that only listens has no other call before its first datagram
	if len(p.busy) == 0 {
		return
	}
	still := p.busy[:0]
	for _, s := range p.busy {
		if s.flush(now); s.isIdle() {
			s.busy = false
		} else {
			still = append(still, s)
		}
	}
	clear(p.busy[len(still):])
	p.busy = still
}

// PollSend hands out the next datagram to send, with one reference that passes to the caller.
// ok is false when there is nothing that may be sent now.
func (p *Protocol) PollSend(now clock.Time) (s buf.Send, ok bool) {
	if p.closed {
		// What is sent last is protected, too: before the farewell.
		for _, t := range p.senders {
			if s, ok = t.poll(now); ok {
				p.cfg.Pacer.Spend(now, s.Buf.Len())
				return s, true
			}
		}
	}
	if p.next < len(p.control) {
		if s, ok = p.PollControl(now); ok {
			return s, true
		}
	}
	if !p.cfg.Pacer.Ready(now) {
		if p.waiting() {
			p.arm(p.cfg.Pacer.At())
			p.limit(now)
		}
		return buf.Send{}, false
	}
	// One after the other: a sender gives way after each datagram when others wait too.
	for range p.busy {
		if p.turn++; p.turn >= len(p.busy) {
			p.turn = 0
		}
		t := p.busy[p.turn]
		if s, ok = t.poll(now); ok {
			p.cfg.Pacer.Spend(now, s.Buf.Len())
			return s, true
		}
	}
	return buf.Send{}, false
}

// Deliver offers again what Sink refused, and delivers own messages. It returns the number of
// messages that Sink took.
func (p *Protocol) Deliver(now clock.Time) int {
	before := p.stats.Delivered
	if len(p.paused) > 0 {
		p.resume(now)
	}
	if p.self {
		for _, s := range p.busy {
			s.deliverSelf(now)
		}
	}
	return int(p.stats.Delivered - before)
}

func (p *Protocol) resume(now clock.Time) {
	// A stream that is refused again puts itself into the other list. Another one begins each time,
	// or the first would have all that Sink takes.
	again := p.paused
	p.paused = p.spare[:0]
	for i := range again {
		s := again[(i+1)%len(again)]
		if p.assemblies.waits(now, s, p.cfg.Eviction) {
			p.paused = append(p.paused, s)
			continue
		}
		s.paused = false
		if s.drain(now); !s.paused {
			s.resumed(now)
		}
	}
	clear(again)
	p.spare = again
}

// WantSelf switches self delivery. Switched on again, it begins at the present.
func (p *Protocol) WantSelf(on bool) {
	on = on && p.cfg.SelfDelivery
	if on == p.self {
		return
	}
	p.self = on
	for _, s := range p.senders {
		s.startSelf()
		s.rouse()
	}
}

// Release gives every buffer back to the pool. The Protocol must not be used afterwards.
func (p *Protocol) Release() {
	for _, s := range p.senders {
		s.release()
	}
	for _, s := range p.streams {
		s.release()
	}
	p.closed = true
}

// Hears reports whether something is remembered of what member sent: a stream that lives or may go
// on, or one that is over and whose late datagrams are still known for what they are. When it is
// false the next datagram of that member would begin a stream anew.
func (p *Protocol) Hears(member wire.MemberID) bool {
	for _, s := range p.streams {
		if s.from == member {
			return true
		}
	}
	return false
}

// Quiet reports whether PollSend has nothing to hand out, MaxRate and flow control aside: no control
// datagram, no repair and no data is waiting to leave.
func (p *Protocol) Quiet() bool {
	if p.next < len(p.control) {
		return false
	}
	for _, s := range p.busy {
		if s.encoding.waiting() || !p.closed && (s.repairs.n > 0 || s.unsent()) {
			return false
		}
	}
	return true
}
