package totem

import (
	"math"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// token is this member's private copy of a token. A datagram that comes twice never shows what
// was done to the first copy.
type token struct {
	seq     uint64 // token_seq
	high    uint64 // highest number given to a datagram
	aru     uint64
	aruID   wire.MemberID // zero: nobody
	fcc     uint32
	backlog uint32
	flag    bool // recovery messages are still to be sent
	wanted  [wire.MaxWanted]uint64
	n       int // of wanted
}

// tokens is what a member has seen of the token of its ring.
type tokens struct {
	t          token
	seq        uint64 // my_token_seq: of the last token that was accepted
	originated bool   // the representative has made the ring's first token

	copy     *buf.Buf // the last one that was forwarded; nil: none
	copyTo   buf.Endpoint
	copyKind latest        // theToken or theCommit
	copySeq  uint64        // its token_seq
	copyHigh uint64        // its seq
	copyAt   clock.Time    // when it was forwarded; 0: it has arrived, or was sent again
	wait     time.Duration // before it is sent again
	hop      meter         // how long it takes until something shows that a token has arrived
	backed   bool          // wait stays raised until hop has a new value

	// The commit token with which this member entered recovery, while it is not known that the successor has it: until
	// the second regular token comes. Nothing tells a commit token of the first rotation that comes twice from that of
	// the second one, so the representative may make the ring's first token early. A successor that lacks the commit token
	// refuses that.
	full *buf.Buf

	aruForwarded uint64
	seqForwarded uint64
	sentLast     int
	backlogLast  int

	stuck      int // visits at which the same other member held the aru where it was
	stuckSince clock.Time

	lacking      int // and those at which this one did
	lackingSince clock.Time
	toldLack     bool

	visits uint16 // counts them, modulo 2^16
	resent int    // datagrams that were sent again of late
	failed int    // and of these, those that had been sent again before, in vain
	idle   int    // visits in a row at which nothing was to be done
	high   uint64 // at the last visit
	held   bool   // t is accepted and rests, since the ring is idle
	rests  bool   // t is accepted and rests, since the rate is used up
	short  int    // visits in a row at which the rate let nothing be sent
	hurry  bool   // Hurry was called since the last visit
	asked  bool   // since the last visit the token was asked for, or will be
	accel  bool   // somebody in this ring sends after the token

	// When the last token of the ring was forwarded. With the next one that comes, every member has been in the ring at
	// that time or later: also after the visit at which this member installed it, since the others do so at their
	// next visit at the latest.
	forwarded clock.Time

	accepted clock.Time // when the last one was; 0: none yet
	resting  bool       // the time since then may hold a rest
	rotation meter

	batch []*buf.Buf // of one visit
}

// begin forgets the ring before, but not how fast the token goes round.
func (k *tokens) begin() {
	k.forget()
	*k = tokens{rotation: k.rotation, hop: k.hop, batch: k.batch}
}

// forget gives up the copies, so that they are not sent again.
func (k *tokens) forget() {
	for _, b := range [...]**buf.Buf{&k.copy, &k.full} {
		if *b != nil {
			(*b).Release()
			*b = nil
		}
	}
	k.held, k.rests = false, false
}

// again sends the last token again: nothing shows that it arrived (5.5).
func (k *tokens) again(p *Protocol, now clock.Time) {
	if k.copy == nil {
		return
	}
	if k.full != nil && !p.out.waits(theCommit) {
		k.full.Retain()
		p.out.put(theCommit, k.full, k.copyTo)
	}
	if !p.out.waits(k.copyKind) {
		k.copy.Retain()
		p.out.put(k.copyKind, k.copy, k.copyTo)
		p.stats.TokensAgain++
	}
	k.wait = min(2*k.wait, p.prof.TokenRetransmit)
	k.copyAt, k.backed = 0, true
	p.arm(tokenRetransmit, now.Add(k.wait))
}

// stepToken takes in a regular token (5.1). One that is refused changes nothing and restarts no timer.
func (p *Protocol) stepToken(now clock.Time, d *wire.Datagram, t *wire.Token) error {
	r, k := p.cur, &p.tok
	switch {
	case p.state != Operational && p.state != Recovery:
		return p.drop(DropState)
	case t.Ring != r.id || d.Transmitter != r.members.ids[(r.me+r.members.n-1)%r.members.n]:
		return p.drop(DropToken)
	case p.cfg.defect == sharedToken && t.TokenSeq == k.seq && k.seq > 0 && !k.held:
		t.TokenSeq, t.Seq = k.t.seq, k.t.high // what the first copy left behind
	case t.TokenSeq <= k.seq:
		return p.drop(DropToken)
	case t.Seq < k.seqForwarded || t.Seq > r.aru+2*uint64(len(r.slots)):
		return p.drop(DropMalformed)
	}
	k.t.take(t)
	k.accept(p, now)
	if k.mayHold(p) {
		k.held = true
		p.stats.Holds++
		p.arm(holdEnd, now.Add(p.prof.Hold))
		return nil
	}
	if pace := p.cfg.Pacer; !pace.Ready(now) {
		k.rests = true
		if p.send.backlog() > 0 && p.state == Operational {
			p.limited.Set(now, core.ByMaxRate)
		}
		p.arm(restEnd, min(pace.At(), now.Add(p.paceWait())))
		return nil
	}
	p.visit(now)
	return nil
}

// endRest ends the rest of a token that waited for the rate.
func (p *Protocol) endRest(now clock.Time) {
	if p.tok.rests {
		p.tok.rests = false
		p.visit(now)
	}
}

// paceWait is how long the rate may hold up a token at one member: once before its visit, and once
// behind data that was sequenced earlier. A rotation stays below the time after which tokens are sent
// again. A token itself does not wait for the rate; without these rests an idle token would go round
// so fast that it takes all of it.
func (p *Protocol) paceWait() time.Duration {
	return p.prof.TokenRetransmit * 4 / 10 / time.Duration(p.cur.members.n)
}

// paceRoom is how many datagrams the rate lets this visit add to those that wait.
func (p *Protocol) paceRoom(now clock.Time) int {
	const most = maxStore
	k := &p.tok
	n := p.cfg.Pacer.Most(now, p.paceWait(), p.cfg.Datagram, most) - p.out.data
	if n > 0 {
		k.short = 0
		return n
	}
	// Where control datagrams alone take the whole rate the ring goes on all the same.
	if k.short++; k.short < maxShort {
		return 0
	}
	k.short = 0
	return 1
}

// maxShort is the number of visits in a row at which the rate may let nothing be sent.
const maxShort = 16

// take copies a token from the wire.
func (t *token) take(w *wire.Token) {
	t.seq, t.high, t.aru, t.aruID = w.TokenSeq, w.Seq, w.Aru, w.AruID
	t.fcc, t.backlog, t.flag = w.FCC, w.Backlog, w.Recovery
	t.n = w.Wanted.Len()
	for i := range t.n {
		t.wanted[i] = w.Wanted.At(i)
	}
}

// accept is step 1: the token has come.
func (k *tokens) accept(p *Protocol, now clock.Time) {
	t := &k.t
	k.seq = t.seq
	k.visits++
	p.probe(TokenAccepted, p.cur.id, t.seq)
	k.reached(now)
	if k.accepted != 0 && !k.resting {
		d := now.Sub(k.accepted)
		k.rotation.add(d)
		p.rotations.add(now, d)
	}
	k.accepted = now
	if t.high == k.high && t.aru == t.high && t.n == 0 && p.cur.stable == t.high && p.state == Operational {
		k.idle++
	} else {
		k.idle = 0
	}
	k.resting = p.prof.Hold > 0 && k.idle+1 >= max(p.prof.IdleRotations, minIdle)
	if k.asked {
		k.asked = false
		p.cancel(askForToken)
	}
	k.high = t.high
	if p.cfg.Visit != nil && p.state == Operational {
		if p.cfg.defect == confirmedEarly {
			k.forwarded = now
		}
		p.cfg.Visit(now, k.forwarded, t.high)
	}
	p.cancel(tokenRetransmit)
	p.arm(tokenLoss, now.Add(p.tokenLossTime()))
}

// mayHold reports whether the token may rest here: only with the representative, when nothing is
// wanted, sent or not stable, and nothing waits to be sent (5.6).
func (k *tokens) mayHold(p *Protocol) bool {
	return p.prof.Hold > 0 && p.state == Operational && p.cur.me == 0 && k.idle >= max(p.prof.IdleRotations, minIdle) && p.send.backlog() == 0 && !k.hurry
}

// minIdle is the least number of idle visits before the token rests. Another member counts them
// up to one later than the representative, and it asks for the token only when it has counted
// one; and a HoldCancel that finds the token on its way has to keep it from resting this time.
const minIdle = 3

// endHold lets the token go on.
func (p *Protocol) endHold(now clock.Time) {
	p.cancel(holdEnd)
	if p.tok.held {
		p.tok.held = false
		p.visit(now)
	}
}

// visit is what is done with an accepted token: steps 2 to 12 of 5.1.
func (p *Protocol) visit(now clock.Time) {
	r, k := p.cur, &p.tok
	k.hurry = false
	t := &k.t
	if p.receiverStuck(now) {
		return
	}
	k.lacks(p, now)
	room := p.paceRoom(now)
	again := p.retransmit(t, min(room, p.repairRoom(t))) // 2
	received := t.high
	backlog := p.send.demand()
	if p.state == Recovery {
		backlog = p.rec.left
	}
	late := 0
	if !p.cfg.Plain && p.state == Operational {
		late = p.prof.Personal
	}
	allowed, by := p.allowed(t, again, backlog)
	p.sequence(min(allowed, backlog, room-again), late) // 3 and 4
	sent := len(k.batch)
	p.limit(now, sent, backlog, room-again, by)
	if p.state == Operational {
		p.send.bound.step(sent, p.send.backlog(), k.rotation.mean)
	}
	if p.state == Operational && !p.cfg.FreePace {
		p.pace.step(p, now, sent, again, sent < backlog)
	}
	before := max(sent-late, 0)
	for _, b := range k.batch[:before] {
		p.out.putData(b)
	}

	// 5: only the member that lowered the aru may raise it (5.2).
	mine := min(r.aru, t.high)
	if mine < t.aru || t.aruID == p.cfg.Self || t.aruID == (wire.MemberID{}) || p.cfg.defect == anyoneRaisesAru {
		t.aru, t.aruID = mine, p.cfg.Self
		if t.aru == t.high {
			t.aruID = wire.MemberID{}
		}
	}
	// 6: what may not have been sent yet must not be asked for.
	limit := received
	if late > 0 || k.accel {
		limit = k.seqForwarded
	}
	p.request(t, limit)
	// 7
	t.fcc = uint32(max(int(t.fcc)+sent+again-k.sentLast, 0))
	t.backlog = uint32(max(int(t.backlog)+backlog-k.backlogLast, 0))
	k.sentLast, k.backlogLast, k.seqForwarded = sent+again, backlog, t.high
	// 8: only what was forwarded at two visits in a row is true of all members.
	if p.cfg.defect == stableAtOnce {
		r.stable = max(r.stable, t.aru)
	}
	r.stable = max(r.stable, min(t.aru, k.aruForwarded))
	k.aruForwarded = t.aru
	install := p.state == Recovery && p.recoveryRules(t) // 9
	p.forward(now)                                       // 10
	for _, b := range k.batch[before:] {                 // 11
		p.out.putData(b)
	}
	clear(k.batch)
	k.batch = k.batch[:0]
	if install {
		p.install(now)
	}
	p.deliver() // 12
	p.discardStable()
}

// receiverStuck counts visits at which one other member holds the aru back. After many of them
// the others put it out; a member never judges itself (5.2).
func (p *Protocol) receiverStuck(now clock.Time) bool {
	k := &p.tok
	t := &k.t
	if t.aruID == (wire.MemberID{}) || t.aruID == p.cfg.Self || t.aru != k.aruForwarded || k.aruForwarded == k.seqForwarded || !p.cur.members.has(t.aruID) {
		k.stuck = 0
		return false
	}
	if k.stuck++; k.stuck == 1 {
		k.stuckSince = now
	}
	if k.stuck <= p.prof.StuckRotations || now.Sub(k.stuckSince) < p.prof.StuckTime {
		return false
	}
	stuck := t.aruID
	p.tellStuck(RemovedStuck, stuck)
	p.holds.raise(p, now, stuck, answer)
	p.beginGather(now)
	p.fail.add(stuck)
	p.enterGather(now, ReceiverStuck)
	return true
}

// retransmit sends what the token asks for and this member holds, at most room datagrams. It returns
// how many.
func (p *Protocol) retransmit(t *token, room int) (n int) {
	left := 0
	for _, seq := range t.wanted[:t.n] {
		if seq <= p.cur.stable {
			continue // whoever asked has it meanwhile: it came late, and nobody had sent it again yet
		}
		s := p.cur.at(seq)
		if s == nil || n >= room || !p.due(s) && p.cfg.defect != againAlways || !p.resend(s) {
			t.wanted[left] = seq
			left++
			continue
		}
		n++
	}
	t.n = left
	return n
}

// resend multicasts a datagram of the ring once more: the same frames under an own header.
func (p *Protocol) resend(s *slot) bool {
	b, mem := p.frame()
	if b == nil {
		return false
	}
	finish(b, append(mem, s.buf.Bytes()[wire.HeaderLen:]...))
	p.out.putData(b)
	p.pace.leaves(s, p.cur.me, true)
	p.tok.sentAgain(s)
	p.stats.Retransmitted++
	return true
}

// due reports whether a datagram that the token asks for is to be sent again now: in the first rotations at once, and
// then after ever more rotations. Who still asks then receives nothing of that length, and will be put out.
func (p *Protocol) due(s *slot) bool {
	k := &p.tok
	if p.state == Recovery && s.seq > k.t.aru+recoveryAhead {
		return false
	}
	more := int(s.again) - k.tries() // beyond those
	if more < 0 {
		return true
	}
	wait := 1 << min(4*more+2, maxBackOff)
	if half := p.prof.StuckRotations / 2; wait > half { // once more before who lacks it is put out
		wait = min(wait, max(half, int(p.prof.StuckTime/2/max(k.rotation.mean, 1))))
	}
	return int(k.visits-s.visit) >= wait
}

// recoveryAhead is how far beyond what all members have a recovery sends datagrams again. The others wait until the oldest
// have arrived: where a way lets nothing of their length pass their tries would fail as well, and there is no new data
// whose share they could take.
const recoveryAhead = 64

// maxBackOff is the logarithm of the most rotations between two times that a datagram is sent again.
const maxBackOff = 10

// tries is in how many rotations a datagram is sent again at once: in so many that where chance alone loses them, one in
// a thousand is lost in all. Where more than every third one is lost, chance is not what loses them, and where more than
// every second one is, each waits at once.
func (k *tokens) tries() int {
	const least, most, waits = 2, 6, 1e-3
	failing := float64(k.failed) / float64(max(k.resent, 1))
	switch {
	case 2*failing > 1:
		return 1
	case 3*failing > 1:
		return least
	}
	n := least
	for left := math.Pow(failing, least); left > waits && n < most; left *= failing {
		n++
	}
	return n
}

// sentAgain notes that a datagram was sent again.
func (k *tokens) sentAgain(s *slot) {
	if k.resent++; s.again > 0 {
		k.failed++
	}
	if k.resent >= resentSample {
		k.resent, k.failed = k.resent/2, k.failed/2
	}
	s.visit = k.visits
	if s.again < math.MaxUint8/4 {
		s.again++
	}
}

// resentSample is how many of the last datagrams that were sent again tries looks at.
const resentSample = 256

// allowed is how many datagrams may be sent at this visit (5.3). It is reckoned with signs,
// because each difference may be negative after a visit that was lost or came twice. by is what allows no more.
func (p *Protocol) allowed(t *token, again, backlog int) (most int, by core.LimitedBy) {
	k := &p.tok
	window := int64(p.prof.Window)
	n := int64(p.prof.Personal)
	n = min(n, window-(int64(t.fcc)-int64(k.sentLast))-int64(again))
	by = core.ByWindow
	if p.pace.phase != paceFree { // or else what is sent again takes nothing of a member's part
		if pace := int64(p.pace.room(p.prof.Personal) - again); pace < n {
			n, by = pace, core.ByPace
		}
	}
	if gap := int64(t.aru) + int64(len(p.cur.slots)/2) - int64(t.high); gap < n {
		n, by = gap, core.ByReceiver
	}
	// The larger backlog of the two visits: with the earlier one alone, a burst after silence
	// would go out one datagram a rotation.
	if all := int64(t.backlog) + int64(backlog-k.backlogLast); all > 0 {
		n = min(n, max(window*int64(max(backlog, k.backlogLast))/all, 1))
	}
	return int(max(n, 0)), by
}

// sequence gives up to n datagrams their numbers and puts them into the batch. The last late of
// them are going to leave after the token.
func (p *Protocol) sequence(n, late int) {
	r, k := p.cur, &p.tok
	t := &k.t
	for i := 0; i < n && r.accepts(t.high+1); i++ {
		g := wire.Ring{Key: r.key, Round: uint32(t.seq + 1), After: i >= n-late, Origin: uint8(r.me)}
		var b *buf.Buf
		if p.state == Recovery {
			b = p.recover(&g, t.high+1)
		} else if b, g.Safe = p.send.next(); b != nil {
			p.stamp(b, t.high+1, &g)
		}
		if b == nil {
			return
		}
		t.high++
		b.Retain() // for the batch; the store has the other reference
		s := slot{buf: b, seq: t.high, origin: uint8(r.me), safe: g.Safe, recovered: g.Recovered, received: p.last}
		p.pace.leaves(&s, r.me, false)
		r.put(s)
		k.batch = append(k.batch, b)
	}
}

// stamp gives a datagram from the send queue its place in the ring.
func (p *Protocol) stamp(b *buf.Buf, seq uint64, g *wire.Ring) {
	mem := b.Bytes()
	wire.SetTransmitter(mem, p.header()) // the incarnation may have changed since it was packed
	wire.SetNumber(mem, seq)
	wire.Seal(wire.AppendRing(mem[:len(mem)-wire.RingLen], *g))
	p.stats.Datagrams++
	p.stats.DatagramBytes += uint64(len(mem))
	p.send.last = seq
	if p.cfg.Probe != nil {
		p.cfg.Probe(Probe{Kind: Sequenced, Ring: p.cur.id, Seq: seq, Messages: p.send.first, Count: p.send.count, Part: p.send.part, Safe: g.Safe, Position: p.cur.delivered})
	}
}

// request puts the numbers that this member lacks on the token's list.
func (p *Protocol) request(t *token, limit uint64) {
	listed := t.n
	for seq := p.cur.aru + 1; seq <= limit && t.n < len(t.wanted); seq++ {
		if p.cur.at(seq) == nil && !wants(t.wanted[:listed], seq) {
			t.wanted[t.n] = seq
			t.n++
			p.stats.Requested++
		}
	}
}

func wants(list []uint64, seq uint64) bool {
	for _, s := range list {
		if s == seq {
			return true
		}
	}
	return false
}

// forward sends the token to the successor.
func (p *Protocol) forward(now clock.Time) {
	r, k := p.cur, &p.tok
	t := &k.t
	p.probe(TokenForwarded, r.id, t.seq)
	t.seq++
	k.forwarded = now
	p.arm(tokenLoss, now.Add(p.tokenLossTime()))
	b, mem := p.frame()
	if b == nil {
		return // as if it were lost on the way
	}
	t.n = min(t.n, p.wantedRoom())
	var wanted [8 * wire.MaxWanted]byte
	w := wire.Token{Ring: r.id, TokenSeq: t.seq, Seq: t.high, Aru: t.aru, AruID: t.aruID, FCC: t.fcc, Backlog: t.backlog, Recovery: t.flag,
		Wanted: t.list(wanted[:0])}
	finish(b, wire.AppendToken(mem, &w))
	p.pass(now, theToken, b, t.seq, t.high)
	p.stats.Tokens++
}

// wantedRoom is how many numbers a token that leaves now can ask for. What it leaves out is asked for in the next rotation.
func (p *Protocol) wantedRoom() int {
	const without = wire.HeaderLen + wire.TokenMax - 8*wire.MaxWanted
	return min(max((p.longest-without)/8, 1), wire.MaxWanted)
}

// list writes the wanted numbers as they lie on the wire.
func (t *token) list(dst wire.Numbers) wire.Numbers {
	for _, seq := range t.wanted[:t.n] {
		dst = append(dst, byte(seq), byte(seq>>8), byte(seq>>16), byte(seq>>24), byte(seq>>32), byte(seq>>40), byte(seq>>48), byte(seq>>56))
	}
	return dst
}

// pass sends a token of either kind to the successor, and keeps it to be sent again.
func (p *Protocol) pass(now clock.Time, kind latest, b *buf.Buf, seq, high uint64) {
	r, k := p.cur, &p.tok
	var full *buf.Buf
	if p.state == Recovery && k.copyKind == theCommit && kind == theToken {
		full, k.copy = k.copy, nil
	}
	k.forget()
	k.full = full
	to, ok := p.peers.endpoint(r.members.ids[(r.me+1)%r.members.n])
	if !ok {
		to = buf.Group // no other member takes it for its own
	}
	b.Retain()
	k.copy, k.copyTo, k.copyKind, k.copySeq, k.copyHigh = b, to, kind, seq, high
	k.wait, k.copyAt = p.retransmitAfter(), now
	p.out.put(kind, b, to)
	p.arm(tokenRetransmit, now.Add(k.wait))
}

// retransmitAfter is how long nothing may show that the next token has arrived before it is sent again: what that
// takes, and four times its deviation, as in RFC 6298. A successor that has something to send shows it long before the
// token comes back. A token that was sent again measures nothing (Karn's rule), and the time to which it raised the
// wait is kept until another one does. Measured with those, and for a whole rotation, the wait grew with each token
// that was lost: with one in twenty datagrams lost a rotation took twenty times as long.
func (p *Protocol) retransmitAfter() time.Duration {
	k := &p.tok
	if k.hop.mean == 0 || k.resting {
		return p.prof.TokenRetransmit
	}
	d := k.hop.mean + 4*k.hop.deviation
	if k.backed {
		d = max(d, k.wait)
	}
	return min(max(d, minRetransmit), p.prof.TokenRetransmit)
}

// minRetransmit is the shortest wait before a token is sent again.
const minRetransmit = 100 * time.Microsecond

// arrived looks for evidence in a datagram of the ring that the last token has arrived (5.5).
func (k *tokens) arrived(p *Protocol, round uint32, seq uint64) {
	if k.copy != nil && k.copyKind == theToken && (int32(round-uint32(k.copySeq)) > 0 || seq > k.copyHigh) {
		p.cancel(tokenRetransmit)
		k.reached(p.last)
	}
}

// reached notes that the last token has arrived.
func (k *tokens) reached(now clock.Time) {
	if k.copyAt != 0 && !k.resting {
		d := now.Sub(k.copyAt)
		if k.hop.mean != 0 {
			d = min(d, 2*k.hop.mean)
		}
		k.hop.add(d)
		k.backed = false
	}
	k.copyAt = 0
}

// tokenLossTime is how long no token may come. The longest rotation of late counts beside the mean:
// another member's pause is no gap of this one's loop, and shows here only. On a host with fewer
// processors than members that all have work, a rotation takes ten times the mean now and then,
// whenever a member waits for its processor.
func (p *Protocol) tokenLossTime() time.Duration {
	d := max(p.prof.TokenLoss, 10*p.tok.rotation.mean, 3*p.rotations.longest(p.last), 3*p.gaps.longest(p.last))
	return min(d, maxRaise*p.prof.TokenLoss)
}

// maxRaise bounds how far a slow host raises its timers.
const maxRaise = 4

// consensusTime is how long the others have to agree.
func (p *Protocol) consensusTime() time.Duration {
	return max(p.prof.Consensus, p.tokenLossTime()*12/10)
}

// meter is a running mean with its deviation (RFC 6298).
type meter struct{ mean, deviation time.Duration }

func (m *meter) add(d time.Duration) {
	if m.mean == 0 {
		m.mean, m.deviation = d, d/2
		return
	}
	diff := d - m.mean
	m.mean += diff / 8
	m.deviation += (max(diff, -diff) - m.deviation) / 4
}

// visitAlone orders what a ring of one has to send: there is no token, and all is stable at once.
func (p *Protocol) visitAlone(now clock.Time) {
	r, k := p.cur, &p.tok
	for p.send.backlog() > 0 && r.high-r.discarded < uint64(len(r.slots)/2) && !p.deliv.blocked {
		k.t.high = r.high
		p.sequence(min(p.send.backlog(), p.prof.Personal), 0)
		if len(k.batch) == 0 {
			break
		}
		for i, b := range k.batch {
			b.Release()
			k.batch[i] = nil
		}
		k.batch = k.batch[:0]
		r.stable = r.high
		p.deliver()
		p.discardStable()
	}
}
