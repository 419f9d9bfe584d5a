package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

var testRing = RingID{Rep: MemberID{0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF}, Seq: 16}

// The lists of these frames are lent bytes; as strings they can be compared.
type (
	plainToken struct {
		Ring               RingID
		TokenSeq, Seq, Aru uint64
		AruID              MemberID
		FCC, Backlog       uint32
		Recovery           bool
		Wanted             string
	}
	plainJoin struct {
		Node, Started, RingSeq, Counter uint64
		Proc, Fail                      string
		Datagram                        uint32
		Standing                        plainStanding
	}
	plainNotice struct {
		Ring     RingID
		Kind     NoticeKind
		Standing plainStanding
	}
	plainStanding struct {
		Datagram, Members, Pause uint32
		Hears                    string
		Padding                  int
	}
	plainCommit struct {
		Ring           RingID
		Index          uint32
		Rings, Entries string
	}
)

// ids is n MemberIDs, ascending.
func ids(n int) string {
	b := make([]byte, 16*n)
	for i := range n {
		b[16*i], b[16*i+15] = byte(i+1), 0xEE
	}
	return string(b)
}

func testRings() string {
	return string(OldRings(nil).Append(testRing).Append(RingID{Rep: idOf(ids(1)), Seq: 1}))
}

func testEntries() string {
	two := ids(2)
	return string(CommitEntries(nil).
		Append(CommitEntry{ID: idOf(two[:16]), Old: 1, Filled: true, Received: true, Aru: 10, High: 12, Bound: 9}).
		Append(CommitEntry{ID: idOf(two[16:])}))
}

func plainTotem(f *Frame) any {
	switch f.Kind {
	case FrameRing:
		return f.Ring()
	case FrameToken:
		t := f.Token()
		return plainToken{t.Ring, t.TokenSeq, t.Seq, t.Aru, t.AruID, t.FCC, t.Backlog, t.Recovery, string(t.Wanted)}
	case FrameJoin:
		j := f.Join()
		return plainJoin{j.Node, j.Started, j.RingSeq, j.Counter, string(j.Proc), string(j.Fail), j.Datagram, j.Standing.plain()}
	case FrameCommit:
		c := f.Commit()
		return plainCommit{c.Ring, c.Index, string(c.Rings), string(c.Entries)}
	case FrameNotice:
		n := f.Notice()
		return plainNotice{n.Ring, n.Kind, n.Standing.plain()}
	}
	panic("a frame of no kind")
}

func appendPlainTotem(b []byte, f any) []byte {
	switch f := f.(type) {
	case Ring:
		return AppendRing(b, f)
	case plainToken:
		return AppendToken(b, &Token{f.Ring, f.TokenSeq, f.Seq, f.Aru, f.AruID, f.FCC, f.Backlog, f.Recovery, Numbers(f.Wanted)})
	case plainJoin:
		return AppendJoin(b, &Join{f.Node, f.Started, f.RingSeq, f.Counter, Members(f.Proc), Members(f.Fail), f.Datagram, f.Standing.lent()})
	case plainCommit:
		return AppendCommit(b, &Commit{f.Ring, f.Index, OldRings(f.Rings), CommitEntries(f.Entries)})
	case plainNotice:
		return AppendNotice(b, Notice{f.Ring, f.Kind, f.Standing.lent()})
	}
	panic("a frame of no kind")
}

func (s Standing) plain() plainStanding {
	return plainStanding{s.Datagram, s.Members, s.Pause, string(s.Hears), s.Padding}
}

func (p plainStanding) lent() Standing {
	return Standing{p.Datagram, p.Members, p.Pause, Members(p.Hears), p.Padding}
}

// referenceStanding reads a Standing as the comment in blaze.proto has it.
func referenceStanding(b []byte) (p plainStanding, ok bool) {
	if len(b) == 0 {
		return p, true
	}
	if len(b) < 16 {
		return p, false
	}
	u32 := func(at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
	n := 16 * uint64(u32(12))
	if u32(12) > 16 || uint64(len(b)) < 16+n || u32(0) < 548 {
		return p, false
	}
	return plainStanding{u32(0), u32(4), u32(8), string(b[16 : 16+n]), len(b) - 16 - int(n)}, true
}

func referenceTotem(pb *wirepb.Datagram, add func(any, error)) {
	for _, f := range pb.Ring {
		add(referenceRing(f))
	}
	for _, f := range pb.Token {
		add(referenceToken(f))
	}
	for _, f := range pb.Join {
		add(referenceJoin(f))
	}
	for _, f := range pb.Commit {
		add(referenceCommit(f))
	}
	for _, f := range pb.Notice {
		add(referenceNotice(f))
	}
}

func referenceRing(f *wirepb.Ring) (any, error) {
	if err := missing(f.Rep != nil, f.RingSeq != nil, f.Round != nil, f.Flags != nil); err != nil {
		return nil, err
	}
	origin, old := *f.Flags>>8&0xFF, *f.Flags>>16&0xFF
	r := Ring{Key: RingKey{*f.Rep, *f.RingSeq}, Round: *f.Round, Safe: *f.Flags&1 != 0, After: *f.Flags&2 != 0, Origin: uint8(origin)}
	ok := origin < 16 && old < 16
	if f.Number != nil {
		r.Recovered, r.Old, r.Number = true, uint8(old), *f.Number
		ok = ok && *f.Number >= 1 && *f.Number <= math.MaxUint64-1
	}
	return r, outside(ok)
}

func ringSeqOK(seq uint64) bool { return seq >= 1 && seq <= 1<<62 }

func referenceToken(f *wirepb.Token) (any, error) {
	if err := missing(f.Rep != nil, f.RingSeq != nil, f.TokenSeq != nil, f.Seq != nil, f.Aru != nil, f.AruId != nil,
		f.Fcc != nil, f.Backlog != nil, f.Flags != nil, f.Rtr != nil); err != nil {
		return nil, err
	}
	ok := len(f.Rep) == 16 && len(f.AruId) == 16 && ringSeqOK(*f.RingSeq) && *f.TokenSeq < math.MaxUint64 && *f.Seq < math.MaxUint64 &&
		*f.Aru <= *f.Seq && len(f.Rtr)%8 == 0 && len(f.Rtr) <= 512
	for b := f.Rtr; len(b) >= 8; b = b[8:] {
		n := binary.LittleEndian.Uint64(b)
		ok = ok && n >= 1 && n <= *f.Seq
	}
	return plainToken{RingID{member(f.Rep), *f.RingSeq}, *f.TokenSeq, *f.Seq, *f.Aru, member(f.AruId), *f.Fcc, *f.Backlog, *f.Flags&1 != 0, string(f.Rtr)}, outside(ok)
}

// setOK reports whether b is strictly ascending MemberIDs.
func setOK(b []byte) bool {
	if len(b)%16 != 0 || len(b) > 32*16 {
		return false
	}
	for i := 16; i < len(b); i += 16 {
		if string(b[i-16:i]) >= string(b[i:i+16]) {
			return false
		}
	}
	return true
}

func referenceJoin(f *wirepb.Join) (any, error) {
	if err := missing(f.Node != nil, f.Started != nil, f.RingSeq != nil, f.Counter != nil, f.Proc != nil, f.Fail != nil); err != nil {
		return nil, err
	}
	standing, ok := referenceStanding(f.Standing)
	return plainJoin{*f.Node, *f.Started, *f.RingSeq, *f.Counter, string(f.Proc), string(f.Fail), f.GetDatagram(), standing},
		outside(ok, *f.RingSeq <= 1<<62, setOK(f.Proc), setOK(f.Fail), f.Datagram == nil || *f.Datagram >= 548)
}

func referenceCommit(f *wirepb.Commit) (any, error) {
	if err := missing(f.Rep != nil, f.RingSeq != nil, f.Index != nil, f.Rings != nil, f.Entries != nil); err != nil {
		return nil, err
	}
	n, k := len(f.Entries)/42, len(f.Rings)/24
	ok := len(f.Rep) == 16 && ringSeqOK(*f.RingSeq) && len(f.Entries)%42 == 0 && len(f.Rings)%24 == 0 && n >= 1 && n <= 16 && k >= 1 && k <= 16 && int(*f.Index) <= n
	for b := f.Rings; len(b) >= 24; b = b[24:] {
		ok = ok && ringSeqOK(binary.LittleEndian.Uint64(b[16:]))
	}
	last := ""
	for b := f.Entries; len(b) >= 42; b = b[42:] {
		aru, high, bound := binary.LittleEndian.Uint64(b[18:]), binary.LittleEndian.Uint64(b[26:]), binary.LittleEndian.Uint64(b[34:])
		ok = ok && last < string(b[:16]) && int(b[16]) < k && bound <= aru && aru <= high && high < math.MaxUint64
		last = string(b[:16])
	}
	ok = ok && string(f.Rep) == string(f.Entries[:16])
	return plainCommit{RingID{member(f.Rep), *f.RingSeq}, *f.Index, string(f.Rings), string(f.Entries)}, outside(ok)
}

func referenceNotice(f *wirepb.Notice) (any, error) {
	if err := missing(f.Rep != nil, f.RingSeq != nil, f.Kind != nil); err != nil {
		return nil, err
	}
	standing, ok := referenceStanding(f.Standing)
	return plainNotice{RingID{member(f.Rep), *f.RingSeq}, NoticeKind(*f.Kind), standing}, outside(ok, len(f.Rep) == 16, ringSeqOK(*f.RingSeq), *f.Kind >= 1)
}

// totem makes a frame of one of the ring's kinds out of the fuzzer's bytes.
func (m *maker) totem(kind FrameKind) any {
	const last = math.MaxUint64
	ring := RingID{m.id(), m.u64(1, 1<<62)}
	set := func() string { return ids(m.n(33)) }
	switch kind {
	case FrameRing:
		r := Ring{Key: ring.Key(), Round: m.u32(), Safe: m.n(2) == 1, After: m.n(2) == 1, Origin: uint8(m.n(16)), Recovered: m.n(2) == 1}
		if r.Recovered {
			r.Old, r.Number = uint8(m.n(16)), m.u64(1, last-1)
		}
		return r
	case FrameToken:
		t := plainToken{Ring: ring, TokenSeq: m.u64(0, last-1), Seq: m.u64(0, last-1), AruID: m.id(), FCC: m.u32(), Backlog: m.u32(), Recovery: m.n(2) == 1}
		t.Aru = m.u64(0, t.Seq)
		if t.Seq > 0 {
			var b []byte
			for range m.n(65) {
				b = binary.LittleEndian.AppendUint64(b, m.u64(1, t.Seq))
			}
			t.Wanted = string(b)
		}
		return t
	case FrameJoin:
		j := plainJoin{m.u64(0, last), m.u64(0, last), m.u64(0, 1<<62), m.u64(0, last), set(), set(), 0, plainStanding{}}
		if m.u64(0, 1) == 1 {
			j.Datagram = uint32(m.u64(MinDatagram, 1<<32-1))
			j.Standing = m.standing()
		}
		return j
	case FrameCommit:
		n := 1 + m.n(16)
		k := 1 + m.n(n)
		all := ids(n)
		var rings OldRings
		for range k {
			rings = rings.Append(RingID{m.id(), m.u64(1, 1<<62)})
		}
		var entries CommitEntries
		for i := range n {
			e := CommitEntry{ID: idOf(all[16*i:]), Old: uint8(m.n(k)), Filled: m.n(2) == 1, Received: m.n(2) == 1, High: m.u64(0, last-1)}
			e.Aru = m.u64(0, e.High)
			e.Bound = m.u64(0, e.Aru)
			entries = entries.Append(e)
		}
		return plainCommit{RingID{idOf(all), ring.Seq}, uint32(m.n(n + 1)), string(rings), string(entries)}
	}
	return plainNotice{ring, NoticeKind(m.u64(1, math.MaxUint32)), m.standing()}
}

func (m *maker) standing() (p plainStanding) {
	if m.n(2) == 1 {
		p = plainStanding{uint32(m.u64(MinDatagram, 1<<32-1)), m.u32(), m.u32(), ids(m.n(MaxHears + 1)), m.n(300)}
	}
	return p
}

// A Join and a Commit of the largest ring fit a datagram at an MTU of 1400 bytes.
func TestLargestRingFits(t *testing.T) {
	const room = 1400 - 28
	if n := HeaderLen + JoinMax; n > room {
		t.Errorf("a Join takes %d bytes of %d", n, room)
	}
	if n := HeaderLen + CommitMax; n > room {
		t.Errorf("a Commit takes %d bytes of %d", n, room)
	}
	j := Join{Proc: Members(ids(MaxSet)), Fail: Members(ids(MaxSet)), Datagram: 1472, Standing: Standing{Datagram: 1472}}
	if n := len(AppendJoin(nil, &j)); n > JoinMax {
		t.Errorf("a Join of %d bytes, JoinMax is %d", n, JoinMax)
	}
	var c Commit
	all := ids(MaxRing)
	for i := range MaxRing {
		c.Rings = c.Rings.Append(testRing)
		c.Entries = c.Entries.Append(CommitEntry{ID: idOf(all[16*i:])})
	}
	if n := len(AppendCommit(nil, &c)); n > CommitMax {
		t.Errorf("a Commit of %d bytes, CommitMax is %d", n, CommitMax)
	}
	tok := Token{Wanted: make(Numbers, 8*MaxWanted)}
	if n := len(AppendToken(nil, &tok)); n > TokenMax {
		t.Errorf("a Token of %d bytes, TokenMax is %d", n, TokenMax)
	}
	if n := len(AppendRing(nil, Ring{Recovered: true})); n != RingMax || len(AppendRing(nil, Ring{})) != RingLen {
		t.Errorf("a Ring of %d bytes", n)
	}
	if n := len(AppendNotice(nil, Notice{})); n != NoticeLen {
		t.Errorf("a Notice of %d bytes", n)
	}
}

// The bounds of the ring's frames, each on both sides. One that is broken is ErrRange.
func boundRowsTotem() (rows []boundRow) {
	p := proto.Uint64
	ring := func(flags uint32, number *uint64) []byte {
		return frame(FrameRing, marshal(&wirepb.Ring{Rep: p(1), RingSeq: proto.Uint32(1), Round: proto.Uint32(1), Flags: &flags, Number: number}))
	}
	token := func(change func(*Token)) []byte {
		tok := Token{Ring: testRing, TokenSeq: 5, Seq: 9, Aru: 8}
		change(&tok)
		return AppendToken(nil, &tok)
	}
	numbers := func(v ...uint64) (n Numbers) {
		for _, x := range v {
			n = binary.LittleEndian.AppendUint64(n, x)
		}
		return n
	}
	join := func(seq uint64, proc, fail string) []byte {
		return AppendJoin(nil, &Join{RingSeq: seq, Proc: Members(proc), Fail: Members(fail)})
	}
	standing := func(b []byte) []byte {
		return frame(FrameNotice, marshal(&wirepb.Notice{Rep: testRing.Rep[:], RingSeq: p(1), Kind: proto.Uint32(1), Standing: b}))
	}
	two := ids(2)
	commit := func(change func(c *Commit, e *CommitEntry)) []byte {
		c := Commit{Ring: RingID{idOf(two), 4}, Index: 2, Rings: OldRings(nil).Append(testRing)}
		e := CommitEntry{ID: idOf(two[16:]), Aru: 5, High: 6, Bound: 4}
		change(&c, &e)
		c.Entries = c.Entries.Append(CommitEntry{ID: idOf(two)}).Append(e)
		return AppendCommit(nil, &c)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		ok    bool
	}{
		{"ring: origin 15", ring(15<<8, nil), true},
		{"ring: origin 16", ring(16<<8, nil), false},
		{"ring: old ring 16", ring(16<<16, p(1)), false},
		{"ring: number 0", ring(0, p(0)), false},
		{"ring: number max-1", ring(0, p(math.MaxUint64-1)), true},
		{"ring: number max", ring(0, p(math.MaxUint64)), false},
		{"token: sequence 0 of a ring", token(func(t *Token) { t.Ring.Seq = 0 }), false},
		{"token: largest sequence of a ring", token(func(t *Token) { t.Ring.Seq = MaxRingSeq }), true},
		{"token: one more", token(func(t *Token) { t.Ring.Seq = MaxRingSeq + 1 }), false},
		{"token: aru is seq", token(func(t *Token) { t.Aru = 9 }), true},
		{"token: aru above seq", token(func(t *Token) { t.Aru = 10 }), false},
		{"token: token_seq max", token(func(t *Token) { t.TokenSeq = math.MaxUint64 }), false},
		{"token: seq max", token(func(t *Token) { t.Seq = math.MaxUint64 }), false},
		{"token: wants 1 and 9", token(func(t *Token) { t.Wanted = numbers(1, 9) }), true},
		{"token: wants 0", token(func(t *Token) { t.Wanted = numbers(0) }), false},
		{"token: wants 10", token(func(t *Token) { t.Wanted = numbers(10) }), false},
		{"token: wants half a number", token(func(t *Token) { t.Wanted = numbers(9)[:4] }), false},
		{"token: wants 64", token(func(t *Token) { t.Wanted = numbers(make([]uint64, 64)...); setAll(t.Wanted, 1) }), true},
		{"token: wants 65", token(func(t *Token) { t.Wanted = numbers(make([]uint64, 65)...); setAll(t.Wanted, 1) }), false},
		{"join: 32 members, all of them failed", join(1<<62, ids(32), ids(32)), true},
		{"join: 33 members", join(1, ids(33), ""), false},
		{"join: 33 failed", join(1, "", ids(33)), false},
		{"join: the same member twice", join(1, two[:16]+two[:16], ""), false},
		{"join: descending", join(1, two[16:]+two[:16], ""), false},
		{"join: half a member", join(1, two[:8], ""), false},
		{"join: a ring sequence above the largest", join(1<<62+1, two, ""), false},
		{"join: the smallest datagram that it may say", AppendJoin(nil, &Join{Proc: Members(two), Datagram: 548}), true},
		{"join: a smaller one", AppendJoin(nil, &Join{Proc: Members(two), Datagram: 547}), false},
		{"join: the smallest datagram of a standing", AppendJoin(nil, &Join{Datagram: 548, Standing: Standing{Datagram: 548}}), true},
		{"join: a smaller one of a standing", AppendJoin(nil, &Join{Datagram: 548, Standing: Standing{Datagram: 547}}), false},
		{"notice: receives 16", AppendNotice(nil, Notice{Ring: testRing, Kind: 1, Standing: Standing{Datagram: 548, Hears: Members(ids(16))}}), true},
		{"notice: receives 17", AppendNotice(nil, Notice{Ring: testRing, Kind: 1, Standing: Standing{Datagram: 548, Hears: Members(ids(17))}}), false},
		{"notice: an empty standing", standing(nil), true},
		{"notice: a short standing", standing(make([]byte, 15)), false},
		{"notice: receives more than it lists", standing([]byte{0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1}), false},
		{"notice: padding of newer members", standing([]byte{0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}), true},
		{"commit: as it should be", commit(func(*Commit, *CommitEntry) {}), true},
		{"commit: three of two are filled in", commit(func(c *Commit, _ *CommitEntry) { c.Index = 3 }), false},
		{"commit: representative is not the first", commit(func(c *Commit, _ *CommitEntry) { c.Ring.Rep = testOrigin }), false},
		{"commit: old ring unknown", commit(func(_ *Commit, e *CommitEntry) { e.Old = 1 }), false},
		{"commit: no old ring", commit(func(c *Commit, _ *CommitEntry) { c.Rings = nil }), false},
		{"commit: bound above aru", commit(func(_ *Commit, e *CommitEntry) { e.Bound = 6 }), false},
		{"commit: aru above high", commit(func(_ *Commit, e *CommitEntry) { e.Aru = 7 }), false},
		{"commit: high max", commit(func(_ *Commit, e *CommitEntry) { e.High = math.MaxUint64 }), false},
		{"commit: a member twice", commit(func(_ *Commit, e *CommitEntry) { e.ID = idOf(two) }), false},
		{"notice: kind 0", AppendNotice(nil, Notice{Ring: testRing}), false},
		{"notice: a newer kind", AppendNotice(nil, Notice{Ring: testRing, Kind: 9}), true},
	} {
		var want error
		if !c.ok {
			want = ErrRange
		}
		rows = append(rows, boundRow{c.name, c.bytes, want})
	}
	return rows
}

func TestTotemBounds(t *testing.T) {
	for _, c := range boundRowsTotem() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		compareDecoders(t, b)
	}
}

func setAll(n Numbers, v uint64) {
	for i := range n.Len() {
		binary.LittleEndian.PutUint64(n[8*i:], v)
	}
}

// What Totem changes in a datagram that was decoded before or written here.
func TestRingTail(t *testing.T) {
	mem := make([]byte, 1502)
	var w DataWriter
	w.Begin(mem, 1500-RingMax, testHeader(), 1, 41)
	w.Add("orders", KindRaw, []byte("buy"))
	off, n := w.Close()
	b := AppendRing(mem[off:off+n], Ring{Key: testRing.Key(), Origin: 3})
	SetNumber(b, 977)
	other := Header{Cluster: 5, Transmitter: testOrigin, Incarnation: 9, Stream: NewStreamID(Totem, 0)}
	SetTransmitter(b, other)
	Seal(b)
	var d Datagram
	if err := Decode(b, &d); err != nil || !d.Canonical || d.Header != other {
		t.Fatalf("%v, %+v", err, d.Header)
	}
	if m := d.Frames()[0].Data(); m.Number != 977 || m.FirstMessage != 41 {
		t.Errorf("%+v", m)
	}
	if DataSpan(b) != n || d.Frames()[1].Ring().Origin != 3 {
		t.Errorf("the Data ends at %d, not %d", DataSpan(b), n)
	}
	m := StoredData(b)
	it := m.Messages()
	if m.Number != 977 || !it.Step() || string(it.Payload) != "buy" || it.Step() {
		t.Errorf("stored: %+v", m)
	}
}

// idOf is the first of some ids.
func idOf(s string) MemberID { return MemberID([]byte(s)) }
