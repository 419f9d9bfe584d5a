package group

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// consistent recounts what a member keeps a count of.
func (r *rig) consistent() {
	r.t.Helper()
	for _, m := range r.members {
		t := &m.table
		unconfirmed, records, digest, places := 0, 0, uint64(0), map[buf.Endpoint]int{}
		for _, e := range t.order {
			if !e.here() {
				unconfirmed++
			}
			records += len(e.record)
			digest ^= digestOf(e.id, e.incarnation, e.version)
			places[e.endpoint]++
			if t.entries[e.id] != e || e.timer.at == 0 || e.removed {
				r.t.Fatalf("member %d: entry %x is not where it belongs, or has no deadline", m.at, e.id[:4])
			}
			if t.tombs[e.id] != nil {
				r.t.Fatalf("member %d: %x has an entry and a tombstone", m.at, e.id[:4])
			}
		}
		switch {
		case unconfirmed != t.unconfirmed || records != t.records || digest != t.digest || len(t.entries) != len(t.order) || len(t.due) != len(t.order):
			r.t.Fatalf("member %d: counts %d, %d, %x, are %d, %d, %x; %d entries, %d in order, %d due", m.at, t.unconfirmed, t.records, t.digest,
				unconfirmed, records, digest, len(t.entries), len(t.order), len(t.due))
		case fmt.Sprint(places) != fmt.Sprint(t.places):
			r.t.Fatalf("member %d: endpoints %v, are %v", m.at, t.places, places)
		case len(t.tombs) != len(t.graves):
			r.t.Fatalf("member %d: %d tombstones and %d", m.at, len(t.tombs), len(t.graves))
		case len(t.order) >= MaxMembers || len(t.graves) > MaxTombstones || t.unconfirmed > MaxUnconfirmed || len(m.asks) > MaxQuestions || len(m.out)-m.outNext > maxOut || records > MaxRecords:
			r.t.Fatalf("member %d: %d entries, %d tombstones, %d unconfirmed, %d questions, %d datagrams, %d bytes of records", m.at, len(t.order), len(t.graves),
				t.unconfirmed, len(m.asks), len(m.out)-m.outNext, records)
		}
	}
}

// algebra replays what handlers were given: GR-4.
func (r *rig) algebra() {
	r.t.Helper()
	for _, m := range r.members {
		type state struct {
			here   bool
			since  uint32
			ended  bool
			groups map[string]bool
		}
		states := map[wire.MemberID]*state{}
		for i, c := range m.told {
			s := states[c.ID]
			if s == nil {
				s = &state{groups: map[string]bool{}}
				states[c.ID] = s
			}
			ok := s.here
			switch c.Kind {
			case Started:
				ok = !s.here && (!s.ended || c.Incarnation > s.since)
				s.here, s.since = true, c.Incarnation
				clear(s.groups)
			case Stopped, Failed:
				s.here, s.ended, s.since = false, true, max(s.since, c.Incarnation)
			case JoinedGroup:
				ok = ok && !s.groups[string(c.Group)]
				s.groups[string(c.Group)] = true
			case LeftGroup:
				ok = ok && s.groups[string(c.Group)]
				delete(s.groups, string(c.Group))
			}
			if !ok {
				r.t.Fatalf("member %d, change %d: %x %v %s, incarnation %d", m.at, i, c.ID[:4], c.Kind, c.Group, c.Incarnation)
			}
		}
	}
}

// FuzzMembership has members that join and leave groups, stand still, are cut off, end, and are received
// forgeries of: every kind of frame, with ids that are here, were here and never were, and numbers at their
// bounds. Nothing panics, all counts are right, what handlers are given is in order, and every buffer comes back.
func FuzzMembership(f *testing.F) {
	f.Add([]byte{0, 90, 1, 0, 0, 200, 1, 0, 0, 200, 2, 1, 0, 255, 2, 1, 0, 80})
	f.Add([]byte{6, 0, 7, 1, 8, 2, 9, 3, 10, 4, 11, 5, 12, 6, 13, 7, 14, 8, 0, 100, 70, 9, 71, 10, 72, 11, 73, 12, 74, 13, 75, 14, 76, 15, 0, 255})
	f.Add([]byte{3, 0, 0, 120, 3, 0, 0, 50, 5, 1, 0, 20, 4, 0, 0, 20, 134, 255, 135, 254, 136, 253, 137, 252, 138, 251, 139, 250, 0, 200})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 200 {
			in = in[:200]
		}
		r := &rig{t: t, now: 1_000_000, step100: 20, sentTo: map[buf.Endpoint]int{}}
		for range 3 {
			r.add()
		}
		r.run(30 * time.Millisecond)
		for i := 0; i+1 < len(in); i += 2 {
			r.operation(in[i], in[i+1], in[i:])
			r.consistent()
		}
		for _, m := range r.members {
			m.silent, m.deaf, m.cut, m.held = false, false, nil, false
			r.resume(m)
		}
		r.run(300 * time.Millisecond)
		r.consistent()
		r.algebra()
		for _, m := range r.members {
			m.Release()
			if m.pool.Free() != m.pool.Count() {
				t.Fatalf("member %d: %d of %d buffers are free", m.at, m.pool.Free(), m.pool.Count())
			}
		}
	})
}

// operation does one thing: op says what, and x to whom, and with which numbers. rest stands for frames that
// nobody wrote.
func (r *rig) operation(op, x byte, rest []byte) {
	m := r.members[int(x)%len(r.members)]
	id := func(n byte) wire.MemberID { // 1 to 8: members that run or did; above: made up
		if n %= 12; n < 8 {
			return wire.MemberID{n + 1}
		}
		return wire.MemberID{0xEE, n, x >> 4}
	}
	about := id(x >> 2)
	number := uint32(x >> 5)
	if e := m.find(about); e != nil && op&0x20 == 0 {
		number = e.incarnation + uint32(x>>6)
	}
	if op&0x80 != 0 {
		number = []uint32{0, 1, 999, 1000, 1001, math.MaxUint32 - 1, math.MaxUint32, 1 << 31}[x%8]
	}
	from := buf.Endpoint(x>>3) + 1
	transmitter, incarnation := id(op>>4), uint32(0)
	if e := m.find(transmitter); e != nil {
		incarnation, from = e.incarnation, e.endpoint
	}
	if op&0x40 != 0 {
		incarnation = number
	}
	record := func(id wire.MemberID, n uint32) (wire.Record, wire.RecordLists) {
		rec := wire.Record{ID: id, Incarnation: n, Version: number, Started: uint64(x) << 8, Address: uint64(from), Interval: 1000 + uint32(x)*1000}
		if x%4 == 0 {
			rec.Partial = true
			return rec, nil
		}
		return rec, wire.RecordLists(nil).AppendGroup("a").AppendGroup(string('b' + rune(x%3)))
	}
	forge := func(frame func(b []byte) []byte) {
		b := frame(wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: transmitter, Incarnation: incarnation, Stream: Stream}))
		wire.Seal(b)
		if wire.Decode(b, &r.frames) == nil { // else the engine has refused it
			r.step(m, b, from, x&1 != 0)
		}
	}
	switch op & 0x0f {
	case 0:
		if r.now < 2_000_000_000 { // an input is worth so much time
			r.run(time.Duration(x) * time.Millisecond)
		}
	case 1:
		if m.paused {
			r.resume(m)
		} else {
			m.paused, m.since = true, r.now
		}
	case 2:
		m.silent, m.deaf = x&0x10 != 0, x&0x20 != 0
		if m.cut = nil; x&0x40 != 0 {
			m.cut = r.members[int(x>>7)%len(r.members)]
		}
	case 3:
		if group := string('a' + rune(x>>4)); op&0x10 == 0 {
			m.Join(r.now, group)
		} else {
			m.Leave(r.now, group)
		}
	case 4:
		if op&0x10 != 0 {
			m.Close(r.now)
		} else if len(r.members) < 6 {
			r.add()
		}
	case 5:
		switch op >> 4 & 3 {
		case 0:
			m.held = !m.held
		case 1:
			m.SelfTold(r.now)
		case 2:
			m.down = true
		default:
			m.Consume(r.now, "q", uint32(x%3), uint32(x%5))
		}
	case 6, 7:
		forge(func(b []byte) []byte {
			rec, lists := record(transmitter, incarnation)
			return wire.AppendHello(b, &wire.Hello{Ask: x&1 != 0, Attempt: x, Nonce: m.nonce + uint64(x>>7), Record: rec}, lists)
		})
	case 8:
		forge(func(b []byte) []byte {
			return wire.AppendBeat(b, wire.Beat{Version: number, Interval: 1000 + uint32(x)*200_000, Members: number, Digest: uint64(x), Stall: number})
		})
	case 9, 10:
		forge(func(b []byte) []byte {
			var records []byte
			for i := range x % 9 {
				rec, lists := record(id(x+i), number)
				records = wire.AppendTableRecord(records, &rec, lists)
			}
			table := wire.Table{Compare: op&0x10 != 0, More: x&8 != 0}
			if op&0x20 != 0 {
				table.Nonces = binary.LittleEndian.AppendUint64(nil, m.nonce)
			}
			return wire.AppendMembers(b, &table, records)
		})
	case 11, 12:
		q := wire.Probe{To: about, Kind: wire.ProbeKind(1 + x%7), Incarnation: number, Nonce: uint64(x)}
		if op&0x20 != 0 {
			q.To = m.id()
		}
		if e := m.find(about); e != nil {
			q.Nonce = e.nonce
		}
		forge(func(b []byte) []byte { return wire.AppendProbe(b, q) })
	case 15:
		if len(rest) > 300 {
			rest = rest[:300]
		}
		forge(func(b []byte) []byte { return append(b, rest...) })
	default:
		a := wire.About{ID: about, Incarnation: number, Kind: wire.AboutKind(1 + x%5), Age: uint32(x) << (x % 24)}
		if op&0x20 != 0 {
			a.ID = m.id()
		}
		forge(func(b []byte) []byte {
			return wire.AppendWord(b, []wire.About{a, {ID: transmitter, Incarnation: number, Kind: a.Kind}})
		})
	}
}

// A million members that there never were: the tables keep to their bounds, the memory stays, and those that are
// there stay.
func TestMillionMembers(t *testing.T) {
	count := 1_000_000
	if testing.Short() {
		count = 100_000
	}
	r := newRig(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	r.step100 = 10
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	a.cfg.Tell, a.told = nil, nil
	for i := range count {
		var id wire.MemberID
		binary.LittleEndian.PutUint64(id[:], uint64(i)<<8|0xEE)
		from := buf.Endpoint(1000 + i)
		switch i % 3 {
		case 0, 1:
			r.forge(a, id, 0, from, func(d []byte) []byte {
				return wire.AppendHello(d, &wire.Hello{Ask: i%2 == 0, Record: wire.Record{ID: id, Interval: 60_000_000, Address: uint64(from)}}, nil)
			})
		default:
			r.forge(a, id, 0, from, func(d []byte) []byte { return wire.AppendBeat(d, wire.Beat{Interval: 20_000, Members: 1}) })
		}
		if i%1000 == 0 { // 100,000 a second
			r.run(10 * time.Millisecond)
		}
		if i%50_000 == 0 {
			r.consistent()
		}
	}
	r.run(300 * time.Millisecond)
	for _, m := range r.members {
		if s := m.Stats(); s.Members != 3 {
			t.Errorf("member %d holds %d members", m.at, s.Members)
		}
	}
	for _, m := range []*rigMember{b, c} {
		r.want(m, a.id(), Started)
		r.want(m, b.id(), Started)
		r.want(m, c.id(), Started)
	}
	s := a.Stats()
	t.Logf("%d Hellos heard, %d removed, drops %v", s.HellosHeard, s.Removed, s.Drops)
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
}

// Floods of Words, Probes and Compares by a member: what is done for one is bounded, by time, not by their number.
func TestFloodsOfOneMember(t *testing.T) {
	r := newRig(t, 3)
	a, b, c := r.members[0], r.members[1], r.members[2]
	r.run(time.Second)
	before, sent := a.Stats(), len(a.sent)
	for range 100 { // for one second
		for range 100 {
			r.forge(a, c.id(), 0, c.at, func(d []byte) []byte {
				return wire.AppendWord(d, []wire.About{{ID: b.id(), Kind: wire.AboutDoubt}, {ID: a.id(), Kind: wire.AboutDoubt}})
			})
			r.forge(a, c.id(), 0, c.at, func(d []byte) []byte { return wire.AppendMembers(d, &wire.Table{Compare: true}, nil) })
			r.forge(a, c.id(), 0, c.at, func(d []byte) []byte {
				return wire.AppendProbe(d, wire.Probe{To: a.id(), Kind: wire.ProbeRecord})
			})
		}
		r.run(10 * time.Millisecond)
	}
	s := a.Stats()
	// One beat in H/4, one vouch in T/16, one answer to a Compare in 5 H, one Hello in 3 ms.
	if beats, vouches := s.BeatsSent-before.BeatsSent, s.VouchesSent-before.VouchesSent; beats > 1000/5+60 || vouches > 1000/6+10 {
		t.Errorf("%d beats and %d vouches in a second", beats, vouches)
	}
	members, hellos := 0, 0
	for _, k := range a.sent[sent:] {
		switch k {
		case wire.FrameMembers:
			members++
		case wire.FrameHello:
			hellos++
		}
	}
	if members > 12 || hellos > 1000/3+10 {
		t.Errorf("%d tables and %d Hellos in a second", members, hellos)
	}
	if s.Drops[DropRate] == 0 {
		t.Error("nothing was refused")
	}
	r.want(a, b.id(), Started)
	r.want(b, a.id(), Started)
	r.want(c, a.id(), Started)
}

// Tables of strangers: none is taken without the nonce of this start, and of a member's each record stands for an
// unconfirmed entry.
func TestTablesOfStrangers(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	table := func(first byte) (records []byte) {
		for i := range byte(wire.MaxRecords) {
			rec := wire.Record{ID: wire.MemberID{0xEE, first, i}, Interval: 20_000, Address: 500}
			records = wire.AppendTableRecord(records, &rec, nil)
		}
		return records
	}
	r.forge(a, wire.MemberID{99}, 0, 500, func(d []byte) []byte {
		return wire.AppendMembers(d, &wire.Table{Nonces: binary.LittleEndian.AppendUint64(nil, a.nonce+1)}, table(0))
	})
	if s := a.Stats(); s.Members != 2 {
		t.Errorf("%d members after a stranger's table", s.Members)
	}
	for i := range byte(10) {
		r.forge(a, b.id(), 0, b.at, func(d []byte) []byte { return wire.AppendMembers(d, &wire.Table{}, table(i)) })
	}
	r.consistent()
	if s := a.Stats(); s.Members != 2+MaxUnconfirmed || s.Unconfirmed != MaxUnconfirmed || s.Drops[DropUnconfirmed] != 640-MaxUnconfirmed {
		t.Errorf("%d members, %d unconfirmed, %d refused", s.Members, s.Unconfirmed, s.Drops[DropUnconfirmed])
	}
	r.run(300 * time.Millisecond)
	if s := a.Stats(); s.Members != 2 {
		t.Errorf("%d members, none of which answers", s.Members)
	}
}

// Many ids that send from one address have each the probe that its datagram is worth, and not one for every datagram
// that any of them sends.
func TestStrangersAtOneAddress(t *testing.T) {
	r := newRig(t, 2)
	a, got := r.members[0], 0
	for i := range byte(20) {
		id := wire.MemberID{0xEE, i}
		r.forge(a, id, 0, 77, func(d []byte) []byte {
			d = wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: id, Interval: 60_000_000, Address: 77}}, nil)
			got += len(d)
			return d
		})
		r.run(8 * time.Millisecond) // another probe of one member may leave by then
	}
	if n := r.sentTo[77]; n == 0 || n > got {
		t.Errorf("%d bytes received, %d sent to an address that did not answer", got, n)
	}
}

// A pause of this member's own gives nobody another probe that has not answered: its silence is shifted, and no datagram
// of it came. Nor is it asked whether this member is in its table.
func TestStrangersAfterAPause(t *testing.T) {
	r := newRig(t, 2)
	a, got := r.members[0], 0
	for i := range byte(20) {
		id := wire.MemberID{0xEE, i}
		r.forge(a, id, 0, 77, func(d []byte) []byte {
			d = wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: id, Interval: 60_000_000, Address: 77}}, nil)
			got += len(d)
			return d
		})
	}
	r.run(8 * time.Millisecond)
	for range 3 {
		a.Stalled(r.now, 80*time.Millisecond)
		r.run(20 * time.Millisecond)
	}
	if n := r.sentTo[77]; n == 0 || n > got {
		t.Errorf("%d bytes received, %d sent to an address that did not answer", got, n)
	}
}

// A table that answers a newcomer has nobody in it who never answered: the newcomer holds all of it to be here.
func TestTableHasOnlyWhoAnswered(t *testing.T) {
	r := newRig(t, 12)
	strangers := make([]wire.MemberID, MaxUnconfirmed)
	for i := range strangers {
		strangers[i] = wire.MemberID{0xEE, byte(i)}
		for _, m := range r.members {
			r.forge(m, strangers[i], 0, 77, func(d []byte) []byte {
				return wire.AppendHello(d, &wire.Hello{Record: wire.Record{ID: strangers[i], Interval: 20_000, Address: 77}}, nil)
			})
		}
	}
	if s := r.members[0].Stats(); s.Unconfirmed != MaxUnconfirmed {
		t.Fatalf("%d are unconfirmed", s.Unconfirmed)
	}
	c := r.add()
	r.run(3 * time.Millisecond)
	for _, m := range r.members[:12] {
		if c.find(m.id()) == nil {
			t.Errorf("member %d is not in the newcomer's table", m.at)
		}
	}
	for _, id := range strangers {
		if c.find(id) != nil {
			t.Fatalf("%x is in the newcomer's table", id[:2])
		}
	}
}

// A full table refuses newcomers, and nobody that is there has to go for them.
func TestFullTable(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.members[0], r.members[1]
	nonces := binary.LittleEndian.AppendUint64(nil, a.nonce)
	for part := range byte(17) {
		var records []byte
		for i := range byte(wire.MaxRecords) {
			rec := wire.Record{ID: wire.MemberID{9, part, i}, Interval: 60_000_000, Address: 1000}
			records = wire.AppendTableRecord(records, &rec, nil)
		}
		r.forge(a, b.id(), 0, b.at, func(d []byte) []byte { return wire.AppendMembers(d, &wire.Table{Nonces: nonces}, records) })
	}
	if s := a.Stats(); s.Members != MaxMembers || s.Drops[DropFull] == 0 {
		t.Fatalf("%d members", s.Members)
	}
	c := r.add()
	r.run(200 * time.Millisecond)
	r.consistent()
	if a.find(b.id()) == nil || a.find(c.id()) != nil {
		t.Error("a member went, or a newcomer came into a full table")
	}
	r.want(a, b.id(), Started)
	r.want(b, c.id(), Started)
}

// A member that comes back from where it was has a place, however many made-up ones wait for theirs.
func TestReturnInAFlood(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	r.step100 = 5
	n := 0
	flood := func(d time.Duration) {
		for end := r.now.Add(d); r.now < end; {
			for range 50 { // 100,000 a second
				n++
				id := wire.MemberID{0xEE, byte(n), byte(n >> 8), byte(n >> 16)}
				r.forge(a, id, 0, buf.Endpoint(1000+n), func(d []byte) []byte {
					return wire.AppendHello(d, &wire.Hello{Ask: true, Record: wire.Record{ID: id, Interval: 20_000, Address: 77}}, nil)
				})
			}
			r.run(500 * time.Microsecond)
		}
	}
	flood(100 * time.Millisecond)
	b.silent, b.deaf = true, true
	flood(200 * time.Millisecond)
	if a.find(b.id()) != nil {
		t.Fatal("it is not removed")
	}
	b.silent, b.deaf = false, false
	flood(300 * time.Millisecond)
	r.want(a, b.id(), Started, Failed, Started)
	r.want(a, r.members[2].id(), Started)
	r.consistent()
}

// The memory of a member of 10,000 groups is less than 8 MB above that of a member of one, at itself and at
// another one.
func TestMemoryOfManyGroups(t *testing.T) {
	heap := func(groups int) int64 {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := newRig(t, 2)
		for i := range groups {
			if err := r.members[0].Join(r.now, fmt.Sprintf("a group with number %d", i)); err != nil {
				t.Fatal(err)
			}
		}
		r.run(200 * time.Millisecond)
		if n := r.members[1].Stats().Groups; n != uint64(groups) {
			t.Fatalf("the other one holds %d of %d memberships", n, groups)
		}
		for _, m := range r.members {
			m.told = nil // the rig's
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(r)
		return int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	one, many := heap(1), heap(10_000)
	t.Logf("two cores hold %d bytes with one group, %d with 10,000", one, many)
	if more := many - one; more > 8<<20 {
		t.Errorf("%d bytes more", more)
	}
}
