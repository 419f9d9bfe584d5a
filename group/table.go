package group

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// entry is one member that is here. The member itself has none.
type entry struct {
	id          wire.MemberID
	endpoint    buf.Endpoint
	proven      buf.Endpoint // from where it answered a probe, or where a table with this member's nonce has it; 0: none
	incarnation uint32
	since       uint32 // the incarnation with which it came
	begun       uint64 // when it was started, ns since 1970
	version     uint32
	record      []byte // as it announced itself, canonical
	partial     bool   // record has no groups and queues yet
	groups      int    // of record
	consumes    bool   // record has queues
	timer       timer  // when tickEntry looks at it next
	removed     bool   // it is in the table no more
	told        bool   // handlers were given its start
	ring        bool   // it is in the kind of ring that this member's table follows
	hidden      bool   // this member is in a ring too, and its view does not have it yet
	leaving     bool   // it has said so, and the view still has it

	interval time.Duration // of its beats
	timeout  time.Duration // T of this member
	suspect  time.Duration // S

	heard, vouched clock.Time
	doubt          doubt
	hold           clock.Time // no doubt of one's own before
	holdFor        time.Duration
	vouchAt        clock.Time // a vouch is due; 0: none
	vouchedLast    clock.Time // when this member last vouched for it
	vouchHeard     clock.Time // when another member last did
	vouchRound     int        // how often in a row a doubt has come after such a vouch
	vouchNeed      int        // how many vouches of others the one that is due is dropped for

	confirmed, trusted bool // it answered a probe; its record came with this member's nonce
	expected           bool // another member's table has it, or it was there before it was removed
	nonce              uint64
	asked              clock.Time // when nonce was sent
	leavesAt           clock.Time // it leaves, and is removed then; 0: it does not
	probeAt            clock.Time // the next probe that is to confirm it; 0: none
	tries              int
	roundTrip          time.Duration

	recordAsked clock.Time
	corrected   clock.Time // when it was last sent the incarnation that is held of it
	versionAt   clock.Time // when version was taken
	contested   bool       // two records of that version came: one of them is made up
	climbed     clock.Time // when incarnation was last raised towards one that jumps
	helloSent   clock.Time // to it alone
	owed        bool       // it asked for this member's record and got a part of it
	joining     bool       // it is owed a table; without multicast only
	joinNonce   uint64     // of the Hello with which it asked
	askedWith   uint64     // the nonce with which it asked for any of these
	tableSent   clock.Time
	agreed      clock.Time // when it last announced the digest of this member's table
	different   int        // beats in a row with another digest
	compared    clock.Time // when a Compare was last sent to it
	answered    clock.Time // when one of it was last answered
	mark        uint64     // of the Compare that named it

	pair        *pair
	lastSession uint32
	// When lastSession went up towards a session far above it; 0: never.
	sessionClimbed clock.Time

	floor uint32 // one above the incarnation of this member that it removed, by its own word
}

// tombstone is what is kept of a member that was here.
type tombstone struct {
	id          wire.MemberID
	endpoint    buf.Endpoint
	address     buf.Endpoint // as it was announced
	incarnation uint32
	lastSession uint32
	climbed     clock.Time // when incarnation was last raised towards one that jumps
	floor       uint32
	left        bool
	confirmed   bool // it had answered a probe: it may come back there, whoever else waits for a place
	at          clock.Time
	due, last   clock.Time   // of the notice that it is owed; 0: none
	proven      buf.Endpoint // as in entry
	from        buf.Endpoint // where it was last received from, since
	seek        clock.Time   // without multicast: when a beat is next sent there
	seeks       int
}

const keepTombstone = time.Hour

// table is who is here, and who was.
type table struct {
	entries     map[wire.MemberID]*entry
	order       []*entry             // by age
	due         timers[*entry]       // of the entries
	places      map[buf.Endpoint]int // entries with this endpoint
	tombs       map[wire.MemberID]*tombstone
	graves      []*tombstone // the oldest first
	unconfirmed int
	records     int        // bytes
	digest      uint64     // of the entries, without the member itself
	changed     clock.Time // when the table was last another
}

func (t *table) init() {
	t.entries = make(map[wire.MemberID]*entry, MaxMembers)
	t.places = make(map[buf.Endpoint]int, MaxMembers)
	t.tombs = make(map[wire.MemberID]*tombstone)
}

// mix64 is the finalizer of SplitMix64.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func digestOf(id wire.MemberID, incarnation, version uint32) uint64 {
	return mix64(binary.LittleEndian.Uint64(id[:]) ^ uint64(incarnation)<<32 ^ uint64(version))
}

// Digest identifies what the table holds, the member itself included.
func (p *Protocol) Digest() uint64 {
	return p.table.digest ^ digestOf(p.cfg.Self, p.incarnation, p.own.version)
}

func byAge(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.begun, b.begun), bytes.Compare(a.id[:], b.id[:]))
}

// position is where the member itself would be in the table's order.
func (p *Protocol) position() int {
	self := entry{id: p.cfg.Self, begun: p.cfg.Started}
	n, _ := slices.BinarySearchFunc(p.table.order, &self, byAge)
	return n
}

// place is how many members that are known to be here are older than this one, but for one.
func (p *Protocol) place(but wire.MemberID) int {
	n := p.position()
	for _, e := range p.table.order[:n] {
		if e.id == but || !e.here() {
			n--
		}
	}
	return n
}

// add makes an entry, if there is room for it: nil if not. trusted: it does not have to answer a probe first.
func (p *Protocol) add(now clock.Time, r *wire.Record, from buf.Endpoint, trusted bool) *entry {
	t := &p.table
	tomb := t.tombs[r.ID]
	trusted = trusted || tomb != nil && tomb.confirmed && tomb.endpoint == from
	switch {
	case len(t.order)+1 >= MaxMembers || t.records+wire.RecordLen(len(r.Name), 0) > MaxRecords:
		p.stats.Drops[DropFull]++
		return nil
	case !trusted && t.unconfirmed >= MaxUnconfirmed:
		p.stats.Drops[DropUnconfirmed]++
		return nil
	}
	e := &entry{id: r.ID, endpoint: from, incarnation: r.Incarnation, since: r.Incarnation, versionAt: now, begun: r.Started, version: r.Version,
		ring: p.sameRing(r), heard: now, trusted: trusted, expected: from == 0, probeAt: now}
	if e.endpoint == 0 {
		e.endpoint = buf.Endpoint(r.Address)
	}
	if trusted {
		e.probeAt = now.Add(p.within(p.h()))
	} else {
		t.unconfirmed++
	}
	t.places[e.endpoint]++
	e.timings(p, r.Interval)
	if tomb != nil {
		e.lastSession, e.floor = tomb.lastSession, tomb.floor
		e.expected = e.expected || tomb.endpoint == from
		p.bury(tomb)
		p.stats.Returned++
	}
	t.entries[e.id] = e
	at, _ := slices.BinarySearchFunc(t.order, e, byAge)
	t.order = slices.Insert(t.order, at, e)
	t.digest ^= digestOf(e.id, e.incarnation, e.version)
	t.changed = now
	if trusted {
		p.prove(e)
	}
	return e
}

// bury removes a tombstone.
func (p *Protocol) bury(t *tombstone) {
	delete(p.table.tombs, t.id)
	if i := slices.Index(p.table.graves, t); i >= 0 {
		p.table.graves = slices.Delete(p.table.graves, i, i+1)
	}
}

// timings takes the interval that a member announces. It gives no time beyond T to one that has not answered
// a probe.
func (e *entry) timings(p *Protocol, us uint32) {
	e.interval = time.Duration(us) * time.Microsecond
	h, t := p.h(), p.t()
	e.timeout = t
	if e.interval > h && e.here() {
		e.timeout = time.Duration(float64(t) * float64(e.interval) / float64(h))
	}
	e.suspect = min(max(e.timeout*45/100, e.interval*3/2), e.timeout*3/4)
	p.wake(e, p.last)
}

// raise takes a higher incarnation of a member that was not removed here. That is no event.
func (p *Protocol) raise(now clock.Time, e *entry, to uint32) {
	p.table.digest ^= digestOf(e.id, e.incarnation, e.version) ^ digestOf(e.id, to, e.version)
	e.incarnation = to
	p.table.changed = now
	if p.cfg.defect == startedAgain {
		p.tellEntry(now, e, Started)
	}
	p.mirrorEntry(now, e, Changed)
}

// correct answers a datagram of an incarnation below the one that is held of a member, of which nothing else
// comes: somebody forged the higher one. The member goes up to it, in steps that are not too large.
func (p *Protocol) correct(now clock.Time, e *entry, incarnation uint32, to buf.Endpoint) {
	if now.Sub(e.corrected) >= p.h() {
		e.corrected = now
		p.probe(to, wire.Probe{To: e.id, Kind: wire.ProbeRemoved, Incarnation: min(e.incarnation-1, incarnation+maxJump)})
	}
}

// climb takes a datagram whose incarnation jumps, of a member of which nothing else comes. What is known goes
// up in steps, so that a member is not refused for good that others have made go up far.
func (p *Protocol) climb(now clock.Time, known uint32, last *clock.Time) uint32 {
	if *last != 0 && now.Sub(*last) < p.h()/4 || uint64(known)+maxJump >= math.MaxUint32 {
		return known
	}
	*last = now
	return known + maxJump
}

// gone is why a member is no longer here.
type gone uint8

const (
	failed gone = iota + 1
	left
)

// remove ends an entry.
func (p *Protocol) remove(now clock.Time, e *entry, why gone) {
	t := &p.table
	p.pairs.gone(now, e, why) // which says what the tombstone keeps
	e.removed = true
	t.due.set(&e.timer, e, 0)
	p.leavePlace(e)
	delete(t.entries, e.id)
	if i := slices.Index(t.order, e); i >= 0 {
		t.order = slices.Delete(t.order, i, i+1)
	}
	if !e.here() {
		t.unconfirmed--
	}
	t.records -= len(e.record)
	t.digest ^= digestOf(e.id, e.incarnation, e.version)
	t.changed = now
	if p.cfg.defect != noTombstones {
		for len(t.graves) >= MaxTombstones {
			p.bury(t.graves[0])
		}
		tomb := &tombstone{id: e.id, endpoint: e.endpoint, incarnation: e.incarnation, lastSession: e.lastSession, floor: e.floor, left: why == left, confirmed: e.confirmed, at: now,
			proven: e.proven, seek: now.Add(time.Second)}
		if r, err := wire.ParseRecord(e.record); err == nil {
			tomb.address = buf.Endpoint(r.Address)
		}
		t.tombs[e.id] = tomb
		t.graves = append(t.graves, tomb)
	}
	kind := Failed
	if why == left {
		kind = Stopped
		p.stats.Left++
	} else {
		p.stats.Removed++
	}
	p.mirrorEntry(now, e, kind)
	p.end(now, e, kind)
	p.listPeers()
}

// moved notes where a member's datagrams come from.
func (p *Protocol) moved(now clock.Time, e *entry, from buf.Endpoint) {
	if e.endpoint != from {
		p.suspectEndpoint(now, e.id, from)
		p.leavePlace(e)
		e.endpoint = from
		p.table.places[from]++
	}
	p.reprove(now, e)
}

// leavePlace takes an entry out of the count of those with its endpoint.
func (p *Protocol) leavePlace(e *entry) {
	places := p.table.places
	if places[e.endpoint]--; places[e.endpoint] == 0 {
		delete(places, e.endpoint)
	}
}

// suspectEndpoint looks whether another member had the endpoint that id sends from. One endpoint belongs
// to one member: the other one is doubted, and whoever lives there now is asked.
func (p *Protocol) suspectEndpoint(now clock.Time, id wire.MemberID, from buf.Endpoint) {
	if p.table.places[from] == 0 {
		return
	}
	for _, e := range p.table.order {
		if e.endpoint == from && e.id != id && now.Sub(e.asked) >= p.h()/4 && e.mayProbe() {
			p.question(now, e)
		}
	}
}

// here reports whether a member is known to be where it seems to be. Anybody may send in the name of one that is not.
func (e *entry) here() bool { return e.confirmed || e.trusted }

// mayProbe reports whether a member may be probed now. One that has not answered yet may not be where it seems to
// be: it gets no more probes than datagrams come in its name.
func (e *entry) mayProbe() bool { return e.here() || e.expected || e.heard > e.asked }

// question probes a member.
func (p *Protocol) question(now clock.Time, e *entry) {
	e.nonce, e.asked = p.cfg.Rand.Uint64(), now
	p.probe(e.endpoint, wire.Probe{To: e.id, Kind: wire.ProbeThere, Incarnation: p.incarnation, Nonce: e.nonce})
}

// confirm notes that a member answered a probe.
func (p *Protocol) confirm(now clock.Time, e *entry) {
	if !e.here() {
		p.table.unconfirmed--
	}
	e.confirmed, e.probeAt = true, 0
	e.timings(p, micros(e.interval))
	p.gateMeets(now, e.id, e.endpoint)
	e.roundTrip = now.Sub(e.asked)
	e.nonce = 0
	p.prove(e)
	if e.owed {
		e.helloSent = 0
		p.answerHello(now, e, e.endpoint, e.askedWith)
	}
	p.tableFor(now, e)
}

// jumps reports whether an incarnation is further above the one that is known than a member goes.
func jumps(known, to uint32) bool { return uint64(to) > uint64(known)+maxJump || to == math.MaxUint32 }

// Size is how many members the table holds, the member itself included.
func (p *Protocol) Size() int { return len(p.table.order) + 1 }

// Info is what the table holds of one member.
type Info struct {
	ID          wire.MemberID
	Incarnation uint32
	Version     uint32
	Endpoint    buf.Endpoint
	Record      []byte // canonical, as wire.ParseRecord takes it; lent
}

// Members appends what the table holds, the oldest first, the member itself included.
func (p *Protocol) Members(list []Info) []Info {
	at := p.position()
	for i, e := range p.table.order {
		if i == at {
			list = append(list, p.selfInfo())
		}
		list = append(list, e.info())
	}
	if at >= len(p.table.order) {
		list = append(list, p.selfInfo())
	}
	return list
}

func (e *entry) info() Info {
	return Info{ID: e.id, Incarnation: e.incarnation, Version: e.version, Endpoint: e.endpoint, Record: e.record}
}

func (p *Protocol) selfInfo() Info {
	return Info{ID: p.cfg.Self, Incarnation: p.incarnation, Version: p.own.version, Endpoint: p.cfg.Local, Record: p.own.record}
}

// question about the record of an id that has no entry.
type question struct {
	id wire.MemberID
	at clock.Time // when it was last asked
}

// mayAsk reports whether an id that has no entry may be asked: each once in an interval, MaxQuestions at a time.
func (p *Protocol) mayAsk(now clock.Time, id wire.MemberID) bool {
	free := -1
	for i := range p.asks {
		q := &p.asks[i]
		if q.id == id {
			if now.Sub(q.at) < p.h() {
				return false
			}
			q.at = now
			return true
		}
		if now.Sub(q.at) >= time.Second {
			free = i
		}
	}
	switch {
	case free >= 0:
		p.asks[free] = question{id, now}
	case len(p.asks) < MaxQuestions:
		p.asks = append(p.asks, question{id, now})
	default:
		return false
	}
	return true
}

// Answers to members that have no entry, and questions to them.
const (
	toOneAddress = 32             // a second
	toStrangers  = 8 * MaxMembers // a second
)

// answers counts what was sent to addresses that have no entry, in one second.
type answers struct {
	second clock.Time
	total  int
	to     [MaxMembers]uint8 // by the address, in classes
}

// mayAnswer reports whether a datagram may be sent to an address of which no member is known.
func (p *Protocol) mayAnswer(now clock.Time, to buf.Endpoint) bool {
	a := &p.answers
	if a.second == 0 || now.Sub(a.second) >= time.Second {
		*a = answers{second: now}
	}
	n := &a.to[mix64(uint64(to))%uint64(len(a.to))]
	if *n >= toOneAddress || a.total >= toStrangers {
		p.stats.Drops[DropRate]++
		return false
	}
	*n++
	a.total++
	return true
}

// ask asks an id that has no entry for its record.
func (p *Protocol) ask(now clock.Time, id wire.MemberID, to buf.Endpoint) {
	if p.mayAsk(now, id) && p.mayAnswer(now, to) {
		p.probe(to, wire.Probe{To: id, Kind: wire.ProbeRecord, Incarnation: p.incarnation, Nonce: p.nonce ^ 1})
	}
}

// forgetQuestion frees the place of a question that was answered.
func (p *Protocol) forgetQuestion(id wire.MemberID) {
	for i := range p.asks {
		if p.asks[i].id == id {
			p.asks[i].at = p.last.Add(-time.Second)
		}
	}
}
