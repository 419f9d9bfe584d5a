package group

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// ErrTooLarge refuses a group or a queue that a record has no room for.
var ErrTooLarge = errors.New("group: too many groups or queues")

// ownRecord is what this member announces.
type ownRecord struct {
	groups   []string // ascending
	queues   []consumes
	version  uint32
	record   []byte // canonical
	lists    wire.RecordLists
	announce bool // it changed in this turn

	changed bool       // record is older than groups and queues
	bytes   int        // that groups and queues take in the record
	moved   []ownGroup // changes of groups that handlers were not given yet
}

// ownGroup is a group that this member has joined or left.
type ownGroup struct {
	kind ChangeKind
	name string
}

// consumes is a queue that this member consumes.
type consumes struct {
	queue          string
	handlers, rank uint32
	claim          *claim // nil: its place is taken, or rank is 0
	ending         bool   // it goes from the record when the last handler is done
}

// build makes the encoding anew.
func (o *ownRecord) build(p *Protocol) {
	o.lists = o.lists[:0]
	for _, g := range o.groups {
		o.lists = o.lists.AppendGroup(g)
	}
	for _, q := range o.queues {
		o.lists = o.lists.AppendQueue(q.queue, q.handlers, q.rank)
	}
	o.bytes = len(o.lists)
	r := p.ownHead()
	o.record = wire.AppendRecord(nil, &r, o.lists) // never in place: changes refer to the old one
}

// ownHead is this member's record without its lists.
func (p *Protocol) ownHead() wire.Record {
	return wire.Record{ID: p.cfg.Self, Incarnation: p.incarnation, Version: p.own.version, Started: p.cfg.Started,
		Ring: p.cfg.Ring, Cluster: p.cfg.InCluster,
		Address: uint64(p.cfg.Local), Interval: micros(p.every(len(p.table.order) + 1)), Name: []byte(p.cfg.Name)}
}

// change notes a change of this member's record. All changes until the next settle are one version.
func (p *Protocol) change(bytes int) {
	p.own.bytes += bytes
	p.own.changed = true
}

// settle counts what has changed in this member's record, and has it announced.
func (p *Protocol) settle(now clock.Time) {
	if !p.own.changed {
		return
	}
	p.own.changed = false
	p.own.version++
	p.own.build(p)
	p.own.announce = true
	p.table.changed = now
	p.stats.Changes++
	p.mirrorSelf(now, Changed)
	for _, g := range p.own.moved {
		p.tellSelfGroup(now, g.kind, g.name)
	}
	clear(p.own.moved)
	p.own.moved = p.own.moved[:0]
}

// room reports whether the record has room for bytes more.
func (p *Protocol) room(bytes int) bool {
	return wire.RecordLen(len(p.cfg.Name), p.own.bytes+bytes) <= wire.MaxRecord
}

func groupLen(group string) int {
	var scratch [wire.MaxName + 8]byte
	return len(wire.RecordLists(scratch[:0]).AppendGroup(group))
}

func queueLen(queue string) int {
	var scratch [wire.MaxName + 32]byte
	return len(wire.RecordLists(scratch[:0]).AppendQueue(queue, 0, 0))
}

// Join makes this member one of a group. Its name is valid, of 1..wire.MaxName bytes. Joining again is no
// error.
func (p *Protocol) Join(now clock.Time, group string) error {
	p.observe(now)
	at, ok := slices.BinarySearch(p.own.groups, group)
	if ok {
		return nil
	}
	if len(p.own.groups) == wire.MaxGroups || !p.room(groupLen(group)) {
		return ErrTooLarge
	}
	p.own.groups = slices.Insert(p.own.groups, at, group)
	p.own.moved = append(p.own.moved, ownGroup{JoinedGroup, group})
	p.change(groupLen(group))
	return nil
}

// Leave undoes Join.
func (p *Protocol) Leave(now clock.Time, group string) {
	p.observe(now)
	if at, ok := slices.BinarySearch(p.own.groups, group); ok {
		p.own.groups = slices.Delete(p.own.groups, at, at+1)
		p.own.moved = append(p.own.moved, ownGroup{LeftGroup, group})
		p.change(-groupLen(group))
	}
}

// SetGroups has this member be in these groups, which are ascending, and in no others.
func (p *Protocol) SetGroups(now clock.Time, groups []string) {
	for _, g := range slices.Clone(p.own.groups) {
		if _, ok := slices.BinarySearch(groups, g); !ok {
			p.Leave(now, g)
		}
	}
	for _, g := range groups {
		_ = p.Join(now, g) // its owner keeps to the bounds
	}
}

// Consume announces that this member takes messages from a queue, with so many handlers; rank as in
// wire.Consumes; that of an exclusive consumer may be raised, see claim. Without handlers it does so no longer:
// an exclusive consumer is announced until its last handler is done.
func (p *Protocol) Consume(now clock.Time, queue string, handlers, rank uint32) error {
	p.observe(now)
	bytes := 0
	at, ok := slices.BinarySearchFunc(p.own.queues, queue, func(c consumes, q string) int { return cmp.Compare(c.queue, q) })
	switch {
	case handlers == 0 && !ok:
		return nil
	case handlers == 0:
		if p.own.queues[at].rank != 0 && p.pairs.working(queue) {
			p.own.queues[at].ending = true
			return nil
		}
		p.own.queues = slices.Delete(p.own.queues, at, at+1)
		bytes = -queueLen(queue)
	case ok:
		q := &p.own.queues[at]
		q.ending = false
		if q.rank != 0 && rank != 0 {
			rank = q.rank // its place in line stays
		}
		if q.handlers == handlers && q.rank == rank {
			return nil
		}
		if q.handlers = handlers; q.rank != rank {
			q.rank = rank
			p.claim(now, q)
		}
	case len(p.own.queues) == wire.MaxConsumes || !p.room(queueLen(queue)):
		return ErrTooLarge
	default:
		p.own.queues = slices.Insert(p.own.queues, at, consumes{queue: queue, handlers: handlers, rank: rank})
		p.claim(now, &p.own.queues[at])
		bytes = queueLen(queue)
	}
	p.change(bytes)
	p.pairs.recordsChanged()
	return nil
}

// OwnGroups is of how many groups this member is one.
func (p *Protocol) OwnGroups() uint64 { return uint64(len(p.own.groups)) }

// hello is a Hello of this member.
func (p *Protocol) hello(ask bool, attempt uint8, nonce uint64) wire.Hello {
	return wire.Hello{Ask: ask, Attempt: attempt, Nonce: nonce, Record: p.ownHead()}
}

// shortName is the longest name that goes to one that may not be there: an answer is not much larger than what it
// answers.
const shortName = 64

// partialHello is a Hello without groups and queues.
func (p *Protocol) partialHello(nonce uint64) wire.Hello {
	h := p.hello(false, 0, nonce)
	h.Record.Partial = len(p.own.lists) > 0
	if len(h.Record.Name) > shortName {
		h.Record.Name, h.Record.Partial = nil, true
	}
	return h
}

// sendHello sends h with the lists, where they fit a datagram. It reports whether they were left out
// because they do not.
func (p *Protocol) sendHello(to buf.Endpoint, h wire.Hello) (cut bool) {
	lists := p.own.lists
	if wire.HeaderLen+wire.HelloSize(wire.RecordLen(len(h.Record.Name), len(lists))) > p.cfg.Datagram {
		cut = len(lists) > 0
		h.Record.Partial = true
	}
	if h.Record.Partial {
		lists = nil
	}
	p.put(wire.AppendHello(p.begin(), &h, lists), to)
	p.stats.HellosSent++
	return cut
}

// answerHello sends this member's record to one that asked, not more often than it has to ask.
func (p *Protocol) answerHello(now clock.Time, e *entry, to buf.Endpoint, nonce uint64) {
	if e.helloSent != 0 && now.Sub(e.helloSent) < helloEvery {
		p.stats.Drops[DropRate]++
		return
	}
	e.helloSent, e.askedWith = now, nonce
	if e.owed = !e.here() && p.partialHello(0).Record.Partial; e.owed {
		p.sendHello(to, p.partialHello(nonce)) // to one that may not be there no more than a little
		return
	}
	if p.sendHello(to, p.hello(false, 0, nonce)) {
		p.pairs.sendRecord(now, e)
	}
}

func (p *Protocol) stepHello(now clock.Time, d *wire.Datagram, h *wire.Hello, r buf.Received) error {
	if h.Record.ID != d.Transmitter || h.Record.Incarnation != d.Incarnation {
		return p.drop(DropForeign)
	}
	p.stats.HellosHeard++
	p.forgetQuestion(d.Transmitter)
	trusted := !h.Ask && h.Nonce == p.nonce
	if trusted {
		p.join.done = true
	}
	p.take(now, &h.Record, r.From, trusted)
	if h.Ask {
		p.join.asked(p, now, d.Transmitter, h, r.From)
	}
	return nil
}

// take takes in a record. from is where it came from, if its owner sent it, else 0. trusted: it came with
// this member's nonce.
func (p *Protocol) take(now clock.Time, r *wire.Record, from buf.Endpoint, trusted bool) {
	if r.ID == p.cfg.Self {
		return
	}
	e := p.find(r.ID)
	if e != nil {
		p.update(now, e, r, from != 0)
		return
	}
	if t := p.table.tombs[r.ID]; t != nil {
		if t.left || r.Incarnation <= t.incarnation {
			if from != 0 {
				p.owe(now, t)
			}
			return
		}
		if jumps(t.incarnation, r.Incarnation) {
			p.stats.Drops[DropIncarnation]++
			return
		}
	}
	if e = p.add(now, r, from, trusted); e == nil {
		return
	}
	p.keep(e, r)
	p.show(now, e)
	p.greet(e)
	p.pairs.returned(now, e)
	if e.here() {
		p.gateMeets(now, e.id, e.endpoint)
	}
}

// keep stores a record in its entry.
func (p *Protocol) keep(e *entry, r *wire.Record) {
	lists := r.AppendLists(nil)
	p.table.records -= len(e.record)
	head := *r
	if p.table.records+wire.RecordLen(len(r.Name), len(lists)) > MaxRecords {
		p.stats.Drops[DropFull]++
		lists, head.Partial = nil, true
	}
	e.record = wire.AppendRecord(nil, &head, lists)
	e.partial, e.groups = r.Partial, 0
	if lists != nil {
		groups := r.Groups()
		for _, ok := groups.Next(); ok; _, ok = groups.Next() {
			e.groups++
		}
	}
	p.table.records += len(e.record)
	queues, consumed := r.Queues(), e.consumes
	if _, e.consumes = queues.Next(); lists == nil {
		e.consumes = false
	}
	if consumed || e.consumes {
		p.pairs.recordsChanged()
	}
}

// update takes a newer record of a member that is here. direct: the member itself sent it. Then a version that
// is not newer counts too, if what is held is old: somebody else may have made that up.
func (p *Protocol) update(now clock.Time, e *entry, r *wire.Record, direct bool) {
	switch {
	case r.Incarnation < e.incarnation || jumps(e.incarnation, r.Incarnation):
		return
	case r.Incarnation > e.incarnation:
		p.raise(now, e, r.Incarnation)
	}
	if r.Version < e.version || r.Version == e.version && !(e.partial && !r.Partial) {
		if !direct || r.Partial {
			return
		}
		if r.Version == e.version {
			if e.contested = !p.holds(e, r); !e.contested {
				return
			}
		}
		if now.Sub(e.versionAt) < p.t()/2 {
			return
		}
	}
	old := e.record
	if r.Partial && len(old) > 0 {
		// The groups that are known stay until all of it comes.
		if e.partial = true; r.Version == e.version {
			return
		}
		p.askRecord(now, e)
		return
	}
	p.table.digest ^= digestOf(e.id, e.incarnation, e.version) ^ digestOf(e.id, e.incarnation, r.Version)
	e.version, e.versionAt = r.Version, now
	p.table.changed = now
	p.keep(e, r)
	if e.hidden {
		e.ring = p.sameRing(r)
		p.show(now, e)
		return
	}
	p.mirrorEntry(now, e, Changed)
	if e.told {
		p.tellGroups(now, e, old)
	}
}

// holds reports whether the record that is held has the same groups and queues.
func (p *Protocol) holds(e *entry, r *wire.Record) bool {
	lists := r.AppendLists(p.lists[:0])
	p.lists = lists
	return bytes.HasSuffix(e.record, lists) && len(e.record) == wire.RecordLen(len(r.Name), len(lists))
}

// joiner is how a member gets to know the others at its start, and how it answers those that ask.
type joiner struct {
	done    bool // somebody answered
	attempt int
	due     clock.Time

	nonces []byte // of the Hellos that the next table answers
	table  clock.Time
}

// Numbers of section 6.2 of the design: with up to fewMembers each answers for itself.
const (
	fewMembers = 8
	tableEvery = 5 * time.Millisecond
	helloEvery = 3 * time.Millisecond
)

var attempts = [...]time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 40 * time.Millisecond}

func (j *joiner) begin(p *Protocol, now clock.Time) {
	p.sendAsk()
	j.attempt, j.due = 1, now.Add(attempts[1])
	p.arm(j.due)
}

// sendAsk asks all for their records.
func (p *Protocol) sendAsk() { p.sendHello(buf.Group, p.hello(true, 0, p.nonce)) }

func (j *joiner) tick(p *Protocol, now clock.Time) {
	if j.done || j.attempt >= len(attempts) && !p.alone() {
		return
	}
	if now >= j.due {
		p.sendHello(buf.Group, p.hello(true, uint8(min(j.attempt, len(attempts)-1)), p.nonce))
		switch j.attempt++; {
		case j.attempt < len(attempts):
			j.due = j.due.Add(attempts[j.attempt] - attempts[j.attempt-1])
		case p.alone():
			j.attempt, j.due = len(attempts), now.Add(time.Second) // nobody is up that this member lists
		default:
			return
		}
	}
	p.arm(j.due)
}

// Joined reports whether the table is as complete as asking makes it: every member that answered is here with
// its whole record, or nobody has answered.
func (p *Protocol) Joined(now clock.Time) bool {
	if !p.started || p.join.attempt < len(attempts) && (!p.join.done || now < p.join.due) {
		return false
	}
	for _, e := range p.table.order {
		if e.partial {
			return now.Sub(p.join.due) > time.Second // its record does not come
		}
	}
	return true
}

// asked answers a Hello that asks.
func (j *joiner) asked(p *Protocol, now clock.Time, id wire.MemberID, h *wire.Hello, from buf.Endpoint) {
	if p.leaving {
		return
	}
	others := len(p.table.order) + 1 - p.table.unconfirmed
	if e := p.find(id); e != nil && e.here() {
		others--
	}
	switch {
	case others <= fewMembers || p.alone():
		if e := p.find(id); e != nil {
			p.answerHello(now, e, from, h.Nonce)
			if p.alone() {
				e.joining, e.joinNonce = true, h.Nonce
				p.tableFor(now, e)
			}
		} else if p.mayAnswer(now, from) {
			p.sendHello(from, p.partialHello(h.Nonce))
		}
	case int(h.Attempt) >= len(attempts) || p.place(id) != int(h.Attempt):
	case j.table != 0 && now.Sub(j.table) < tableEvery || len(j.nonces) >= 8*wire.MaxNonces:
	default:
		j.nonces = binary.LittleEndian.AppendUint64(j.nonces, h.Nonce)
	}
}

// answer sends the table to all that have asked in this turn. They take it that whoever is in it is here.
func (j *joiner) answer(p *Protocol, now clock.Time) {
	if len(j.nonces) == 0 {
		return
	}
	p.sendTable(buf.Group, j.nonces, (*entry).here, true)
	j.nonces, j.table = j.nonces[:0], now
	p.stats.TablesSent++
}

// sendTable sends the records of those entries, and with self this member's own. Lists that do not fit are
// left out.
func (p *Protocol) sendTable(to buf.Endpoint, nonces []byte, wanted func(e *entry) bool, self bool) {
	limit := p.cfg.Datagram - wire.HeaderLen - wire.MembersOverhead
	var records []byte
	n := 0
	send := func(more bool) {
		t := wire.Table{More: more, Nonces: nonces}
		p.put(wire.AppendMembers(p.begin(), &t, records), to)
		records, n = records[:0], 0
	}
	add := func(r *wire.Record, lists wire.RecordLists) {
		if wire.TableRecordSize(wire.RecordLen(len(r.Name), len(lists))) > limit {
			r.Partial, lists = true, nil
		}
		if n == wire.MaxRecords || len(records)+wire.TableRecordSize(wire.RecordLen(len(r.Name), len(lists))) > limit {
			send(true)
		}
		records = wire.AppendTableRecord(records, r, lists)
		n++
	}
	if self {
		r := p.ownHead()
		add(&r, p.own.lists)
	}
	for _, e := range p.table.order {
		if r, err := wire.ParseRecord(e.record); err == nil && wanted(e) {
			r.Incarnation, r.Version = e.incarnation, e.version
			add(&r, r.AppendLists(nil))
		}
	}
	if n > 0 {
		send(false)
	}
}

// returnsNonce reports whether a table answers this member's own Hello.
func (p *Protocol) returnsNonce(t *wire.Table) bool {
	for b := []byte(t.Nonces); len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b) == p.nonce {
			return true
		}
	}
	return false
}

// stepMembers takes in a table. e is its transmitter's entry: nil, if it is not known but returns this
// member's nonce.
func (p *Protocol) stepMembers(now clock.Time, e *entry, t *wire.Table, nonce bool, r buf.Received) error {
	if t.Compare {
		if e == nil {
			return p.drop(DropUnknown)
		}
		return p.stepCompare(now, e, t)
	}
	if r.Group {
		p.join.table = now
	}
	if nonce {
		p.join.done = true
	}
	records := t.Records()
	for m, ok := records.Next(); ok; m, ok = records.Next() {
		p.take(now, &m, 0, nonce)
	}
	return nil
}

// comparison is a Compare that is coming in, in several datagrams perhaps.
type comparison struct {
	from wire.MemberID
	at   clock.Time
	mark uint64
	self bool // it named this member as it is
}

// sendCompare sends what this member's table holds, without lists.
func (p *Protocol) sendCompare(e *entry) {
	p.stats.Compares++
	limit := min(wire.MaxRecords, (p.cfg.Datagram-wire.HeaderLen-wire.MembersOverhead)/wire.TableRecordSize(wire.RecordLen(0, 0)))
	var records []byte
	n := 0
	send := func(more bool) {
		t := wire.Table{Compare: true, More: more}
		p.put(wire.AppendMembers(p.begin(), &t, records), e.endpoint)
		records, n = records[:0], 0
	}
	add := func(r wire.Record) {
		if n == limit {
			send(true)
		}
		r.Name, r.Partial = nil, true
		records = wire.AppendTableRecord(records, &r, nil)
		n++
	}
	add(p.ownHead())
	for _, o := range p.table.order {
		add(wire.Record{ID: o.id, Incarnation: o.incarnation, Version: o.version, Started: o.begun, Address: uint64(o.endpoint), Interval: micros(o.interval)})
	}
	send(false)
}

// stepCompare answers a Compare with what its transmitter lacks, and asks for what this member lacks.
func (p *Protocol) stepCompare(now clock.Time, e *entry, t *wire.Table) error {
	c := &p.doubt.compare
	if c.from != e.id || now.Sub(c.at) > p.h() {
		if e.answered != 0 && now.Sub(e.answered) < 5*p.h() {
			return p.drop(DropRate)
		}
		*c = comparison{from: e.id, mark: c.mark + 1}
	}
	c.at = now
	records := t.Records()
	for r, ok := records.Next(); ok; r, ok = records.Next() {
		if r.ID == p.cfg.Self {
			c.self = r.Incarnation == p.incarnation && r.Version == p.own.version
			continue
		}
		if x := p.find(r.ID); x != nil {
			switch {
			case r.Incarnation > x.incarnation || r.Incarnation == x.incarnation && r.Version > x.version:
				p.askRecord(now, x)
				fallthrough
			case r.Incarnation == x.incarnation && r.Version == x.version:
				x.mark = c.mark
			}
			continue
		}
		if tomb := p.table.tombs[r.ID]; tomb != nil {
			if tomb.left {
				p.say(wire.About{ID: r.ID, Incarnation: tomb.incarnation, Kind: wire.AboutLeft})
				continue
			}
			if r.Incarnation <= tomb.incarnation {
				p.owe(now, tomb)
				continue
			}
		}
		p.ask(now, r.ID, buf.Endpoint(r.Address))
	}
	if t.More {
		return nil
	}
	p.sendTable(e.endpoint, nil, func(x *entry) bool { return x.mark != c.mark && x != e }, !c.self)
	e.answered, c.from = now, wire.MemberID{}
	return nil
}

func before(a, b wire.MemberID) bool { return bytes.Compare(a[:], b[:]) < 0 }
