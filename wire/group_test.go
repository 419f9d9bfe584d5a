package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// The frames of groups as values that can be compared.

type plainPair struct {
	To                               MemberID
	Session, ToIncarnation           uint32
	Channel                          Channel
	AckAtOnce                        bool
	Number, Oldest, Known, FirstItem uint64
	Items                            []plainItem
}

type plainItem struct {
	Kind                      ItemKind
	PayloadKind               Kind
	Redelivered, Fragment     bool
	Result                    Result
	Call                      uint64
	Attempt, Backlog, Service uint32
	Name                      string // resolved
	Offset, Size              uint32
	Payload                   string
}

type plainPairAck struct {
	To                       MemberID
	Session                  uint32
	Channel                  Channel
	Dead                     bool
	Next, Held, Taken, Limit uint64
	Delay                    uint32
	Refused                  string
}

type plainRecord struct {
	ID                     MemberID
	Incarnation, Version   uint32
	Started, Address       uint64
	Interval               uint32
	Partial, Ring, Cluster bool
	Name                   string
	Groups                 []string
	Queues                 []plainConsumes
}

type plainConsumes struct {
	Queue          string
	Handlers, Rank uint32
}

type plainHello struct {
	Ask     bool
	Attempt uint8
	Nonce   uint64
	Record  plainRecord
}

type plainTable struct {
	Compare, More bool
	Nonces        string
	Records       []plainRecord
}

type plainWord struct{ About []About }

// kindOf is the kind of a frame as a value.
func kindOf(f any) FrameKind {
	switch f.(type) {
	case plainData:
		return FrameData
	case plainNak:
		return FrameNak
	case Heartbeat:
		return FrameHeartbeat
	case Status:
		return FrameStatus
	case Start:
		return FrameStart
	case Leave:
		return FrameLeave
	case Ring:
		return FrameRing
	case plainToken:
		return FrameToken
	case plainJoin:
		return FrameJoin
	case plainCommit:
		return FrameCommit
	case plainNotice:
		return FrameNotice
	case plainPair:
		return FramePair
	case plainRepair:
		return FrameRepair
	case plainSymbolNak:
		return FrameSymbolNak
	case plainPairAck:
		return FramePairAck
	case Beat:
		return FrameBeat
	case plainHello:
		return FrameHello
	case plainTable:
		return FrameMembers
	case Probe:
		return FrameProbe
	case plainWord:
		return FrameWord
	}
	return 0 // what a refused frame leaves
}

func plainGroup(f *Frame) any {
	switch f.Kind {
	case FramePair:
		p := f.Pair()
		x := plainPair{To: p.To, Session: p.Session, ToIncarnation: p.ToIncarnation, Channel: p.Channel, AckAtOnce: p.AckAtOnce,
			Number: p.Number, Oldest: p.Oldest, Known: p.Known, FirstItem: p.FirstItem}
		it := p.Items()
		for it.Step() {
			i := &it.Item
			x.Items = append(x.Items, plainItem{i.Kind, i.PayloadKind, i.Redelivered, i.Fragment, i.Result, i.Call,
				i.Attempt, i.Backlog, i.Service, string(i.Name), i.Offset, i.Size, string(i.Payload)})
		}
		if len(x.Items) != p.Count {
			panic(fmt.Sprintf("Count is %d, but there are %d items", p.Count, len(x.Items)))
		}
		return x
	case FramePairAck:
		a := f.PairAck()
		return plainPairAck{a.To, a.Session, a.Channel, a.Dead, a.Next, a.Held, a.Taken, a.Limit, a.Delay, string(a.Refused)}
	case FrameBeat:
		return f.Beat()
	case FrameHello:
		h := f.Hello()
		return plainHello{h.Ask, h.Attempt, h.Nonce, plainRecordOf(&h.Record)}
	case FrameMembers:
		t := f.Members()
		x := plainTable{Compare: t.Compare, More: t.More, Nonces: string(t.Nonces)}
		it := t.Records()
		for r, ok := it.Next(); ok; r, ok = it.Next() {
			x.Records = append(x.Records, plainRecordOf(&r))
		}
		if len(x.Records) != t.Count {
			panic(fmt.Sprintf("Count is %d, but there are %d records", t.Count, len(x.Records)))
		}
		return x
	case FrameProbe:
		return f.Probe()
	}
	w := f.Word()
	x := plainWord{}
	it := w.About()
	for a, ok := it.Next(); ok; a, ok = it.Next() {
		x.About = append(x.About, a)
	}
	if len(x.About) != w.Count {
		panic(fmt.Sprintf("Count is %d, but the Word is about %d members", w.Count, len(x.About)))
	}
	return x
}

func plainRecordOf(r *Record) plainRecord {
	p := plainRecord{ID: r.ID, Incarnation: r.Incarnation, Version: r.Version, Started: r.Started, Address: r.Address,
		Interval: r.Interval, Partial: r.Partial, Ring: r.Ring, Cluster: r.Cluster, Name: string(r.Name)}
	groups, queues := r.Groups(), r.Queues()
	for g, ok := groups.Next(); ok; g, ok = groups.Next() {
		p.Groups = append(p.Groups, string(g))
	}
	for q, ok := queues.Next(); ok; q, ok = queues.Next() {
		p.Queues = append(p.Queues, plainConsumes{string(q.Queue), q.Handlers, q.Rank})
	}
	if lists := r.AppendLists(nil); !bytes.Equal(lists, p.lists()) {
		panic(fmt.Sprintf("AppendLists gives %x, not %x", lists, p.lists()))
	}
	return p
}

func (p *plainRecord) lists() (l RecordLists) {
	for _, g := range p.Groups {
		l = l.AppendGroup(g)
	}
	for _, q := range p.Queues {
		l = l.AppendQueue(q.Queue, q.Handlers, q.Rank)
	}
	return l
}

func (p *plainRecord) record() *Record {
	return &Record{ID: p.ID, Incarnation: p.Incarnation, Version: p.Version, Started: p.Started, Address: p.Address,
		Interval: p.Interval, Partial: p.Partial, Ring: p.Ring, Cluster: p.Cluster, Name: []byte(p.Name)}
}

func (p *plainItem) item() *Item {
	return &Item{p.Kind, p.PayloadKind, p.Redelivered, p.Fragment, p.Result, p.Call, p.Attempt, p.Backlog, p.Service,
		[]byte(p.Name), p.Offset, p.Size, []byte(p.Payload)}
}

func (p *plainPair) head() *Pair {
	return &Pair{To: p.To, Session: p.Session, ToIncarnation: p.ToIncarnation, Channel: p.Channel, AckAtOnce: p.AckAtOnce,
		Number: p.Number, Oldest: p.Oldest, Known: p.Known, FirstItem: p.FirstItem}
}

func appendPlainGroup(b []byte, f any) []byte {
	switch f := f.(type) {
	case plainPair:
		return append(b, writePair(f)[HeaderLen:]...)
	case plainPairAck:
		return AppendPairAck(b, &PairAck{f.To, f.Session, f.Channel, f.Dead, f.Next, f.Held, f.Taken, f.Limit, f.Delay, Refusals(f.Refused)})
	case Beat:
		return AppendBeat(b, f)
	case plainHello:
		return AppendHello(b, &Hello{f.Ask, f.Attempt, f.Nonce, *f.Record.record()}, f.Record.lists())
	case plainTable:
		var records []byte
		for _, r := range f.Records {
			n := len(records)
			records = AppendTableRecord(records, r.record(), r.lists())
			if len(records)-n != TableRecordSize(RecordLen(len(r.Name), len(r.lists()))) {
				panic("TableRecordSize")
			}
		}
		return AppendMembers(b, &Table{Compare: f.Compare, More: f.More, Nonces: Numbers(f.Nonces)}, records)
	case Probe:
		return AppendProbe(b, f)
	case plainWord:
		return AppendWord(b, f.About)
	}
	panic("a frame of no kind")
}

// writePair makes a datagram of one Pair, as large as it takes.
func writePair(p plainPair) []byte {
	size := 200
	for _, i := range p.Items {
		size += 60 + len(i.Name) + len(i.Payload)
	}
	mem := make([]byte, size+DataOverhead)
	var w PairWriter
	w.Begin(mem, size)
	for _, i := range p.Items {
		if room := w.Room(i.Name); room < len(i.Payload) && w.Count() < MaxItems || !w.Add(i.item()) {
			panic("wire: a valid Pair does not fit")
		}
	}
	off, n := w.Finish(testHeader(), p.head())
	if len(p.Items) == 0 {
		if q := AppendPairQuestion(nil, p.head()); !bytes.Equal(q, mem[off+HeaderLen:off+n]) || len(q) != PairQuestionLen {
			panic("AppendPairQuestion")
		}
	}
	return mem[off : off+n]
}

func referenceGroup(pb *wirepb.Datagram, raw []byte, add func(any, error)) {
	for _, f := range pb.Pair {
		add(referencePair(f))
	}
	for _, f := range pb.PairAck {
		add(referencePairAck(f))
	}
	for _, f := range pb.Beat {
		add(referenceBeat(f))
	}
	for _, f := range pb.Hello {
		add(referenceHello(f))
	}
	if recordTwice(raw) {
		add(nil, ErrMalformed)
	}
	for _, f := range pb.Members {
		add(referenceMembers(f))
	}
	for _, f := range pb.Probe {
		add(referenceProbe(f))
	}
	for _, f := range pb.Word {
		add(referenceWord(f))
	}
}

// fieldsOf returns the values of the fields of bytes with this number.
func fieldsOf(b []byte, number protowire.Number) (list [][]byte) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return list
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return list
		}
		if num == number && typ == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b[n:])
			list = append(list, v)
		}
		b = b[n+size:]
	}
	return list
}

// recordTwice reports whether a Hello has two Records, which generated code merges.
func recordTwice(raw []byte) bool {
	return slices.ContainsFunc(fieldsOf(raw, fieldHello), func(h []byte) bool { return len(fieldsOf(h, 3)) > 1 })
}

func referencePair(f *wirepb.Pair) (any, error) {
	if err := missing(f.To != nil, f.Session != nil, f.ToIncarnation != nil, f.Flags != nil, f.Number != nil, f.Oldest != nil, f.Known != nil, f.FirstItem != nil); err != nil {
		return nil, err
	}
	if err := outside(len(f.To) == 16, *f.Session >= 1, *f.Flags&3 <= 2, *f.Number >= 1, *f.Number <= math.MaxUint64-1, *f.Oldest >= 1, *f.Oldest <= *f.Number,
		*f.Known >= 1, *f.FirstItem >= 1, *f.FirstItem <= math.MaxUint64-uint64(len(f.Items)), len(f.Items) <= 64); err != nil {
		return nil, err
	}
	p := plainPair{To: member(f.To), Session: *f.Session, ToIncarnation: *f.ToIncarnation, Channel: Channel(*f.Flags & 3), AckAtOnce: *f.Flags&4 != 0,
		Number: *f.Number, Oldest: *f.Oldest, Known: *f.Known, FirstItem: *f.FirstItem}
	var last *string
	for _, i := range f.Items {
		if err := missing(i.Head != nil, i.Call != nil); err != nil {
			return nil, err
		}
		head := *i.Head
		x := plainItem{Kind: ItemKind(head & 15), PayloadKind: Kind(head >> 4 & 15), Redelivered: head&256 != 0, Fragment: head&512 != 0, Result: Result(head >> 12 & 15),
			Call: *i.Call, Attempt: i.GetAttempt(), Backlog: i.GetBacklog(), Service: i.GetService(), Name: i.GetName(), Payload: string(i.Payload)}
		if x.Fragment {
			if err := missing(i.Offset != nil, i.Size != nil); err != nil {
				return nil, err
			}
			x.Offset, x.Size = *i.Offset, *i.Size
			if err := outside(len(i.Payload) > 0, uint64(*i.Offset)+uint64(len(i.Payload)) <= uint64(*i.Size)); err != nil {
				return nil, err
			}
		}
		if x.Kind >= 1 && x.Kind <= 4 {
			if i.Name != nil {
				last = i.Name
			}
			if last == nil {
				return nil, ErrMalformed
			}
			x.Name = *last
		}
		if err := outside(len(x.Name) <= 255); err != nil {
			return nil, err
		}
		p.Items = append(p.Items, x)
	}
	return p, nil
}

func referencePairAck(f *wirepb.PairAck) (any, error) {
	if err := missing(f.To != nil, f.Session != nil, f.Flags != nil, f.Next != nil, f.Held != nil, f.Taken != nil, f.Limit != nil, f.Delay != nil); err != nil {
		return nil, err
	}
	ok := len(f.Refused)%12 == 0 && len(f.Refused) <= 64*12
	for last, b := uint64(0), f.Refused; ok && len(b) > 0; b = b[12:] {
		item, n := protowire.ConsumeFixed64(b)
		reason, _ := protowire.ConsumeFixed32(b[n:])
		ok = item > last && item < math.MaxUint64 && reason >= 1
		last = item
	}
	return plainPairAck{member(f.To), *f.Session, Channel(*f.Flags & 3), *f.Flags&4 != 0, *f.Next, *f.Held, *f.Taken, *f.Limit, *f.Delay, string(f.Refused)},
		outside(len(f.To) == 16, *f.Session >= 1, *f.Flags&3 <= 2, *f.Next >= 1, *f.Taken >= 1, *f.Limit >= *f.Next, ok)
}

func referenceBeat(f *wirepb.Beat) (any, error) {
	if err := missing(f.Version != nil, f.Interval != nil, f.Members != nil, f.Digest != nil, f.Stall != nil); err != nil {
		return nil, err
	}
	return Beat{*f.Version, *f.Interval, *f.Members, *f.Digest, *f.Stall},
		outside(*f.Interval >= 1000, *f.Interval <= 60_000_000, *f.Members >= 1)
}

func referenceHello(f *wirepb.Hello) (any, error) {
	if err := missing(f.Flags != nil, f.Nonce != nil, f.Record != nil); err != nil {
		return nil, err
	}
	r, err := referenceRecord(f.Record)
	return plainHello{*f.Flags&1 != 0, uint8(*f.Flags >> 8), *f.Nonce, r}, err
}

func referenceRecord(f *wirepb.Record) (p plainRecord, err error) {
	if err := missing(f.Id != nil, f.Incarnation != nil, f.Version != nil, f.Started != nil, f.Address != nil, f.Interval != nil, f.Flags != nil); err != nil {
		return p, err
	}
	names := func(list []string, most int) bool {
		for i, s := range list {
			if len(s) < 1 || len(s) > 255 || !utf8.ValidString(s) || i > 0 && s <= list[i-1] {
				return false
			}
		}
		return len(list) <= most
	}
	p = plainRecord{ID: member(f.Id), Incarnation: *f.Incarnation, Version: *f.Version, Started: *f.Started, Address: *f.Address,
		Interval: *f.Interval, Partial: *f.Flags&1 != 0, Ring: *f.Flags&2 != 0, Cluster: *f.Flags&4 != 0, Name: f.GetName(), Groups: f.Groups}
	var queues []string
	for _, q := range f.Queues {
		if err := missing(q.Queue != nil, q.Handlers != nil, q.Rank != nil); err != nil {
			return p, err
		}
		if *q.Handlers < 1 {
			return p, ErrRange
		}
		queues = append(queues, *q.Queue)
		p.Queues = append(p.Queues, plainConsumes{*q.Queue, *q.Handlers, *q.Rank})
	}
	return p, outside(len(f.Id) == 16, *f.Address < 1<<48, *f.Interval >= 1000, *f.Interval <= 60_000_000, len(p.Name) <= 255,
		names(f.Groups, 16384), names(queues, 4096), !p.Partial || len(f.Groups)+len(f.Queues) == 0)
}

func referenceMembers(f *wirepb.Members) (any, error) {
	if err := missing(f.Flags != nil, f.Nonces != nil); err != nil {
		return nil, err
	}
	p := plainTable{Compare: *f.Flags&1 != 0, More: *f.Flags&2 != 0, Nonces: string(f.Nonces)}
	for _, r := range f.Members {
		x, err := referenceRecord(r)
		if err != nil {
			return nil, err
		}
		p.Records = append(p.Records, x)
	}
	return p, outside(len(f.Nonces)%8 == 0, len(f.Nonces) <= 64, len(f.Members) <= 64)
}

func referenceProbe(f *wirepb.Probe) (any, error) {
	if err := missing(f.To != nil, f.Kind != nil, f.Incarnation != nil, f.Nonce != nil); err != nil {
		return nil, err
	}
	return Probe{member(f.To), ProbeKind(*f.Kind), *f.Incarnation, *f.Nonce}, outside(len(f.To) == 16, *f.Kind >= 1)
}

func referenceWord(f *wirepb.Word) (any, error) {
	p := plainWord{}
	for _, a := range f.About {
		if err := missing(a.Id != nil, a.Incarnation != nil, a.Kind != nil, a.Age != nil); err != nil {
			return nil, err
		}
		if err := outside(len(a.Id) == 16, *a.Kind >= 1); err != nil {
			return nil, err
		}
		p.About = append(p.About, About{member(a.Id), *a.Incarnation, AboutKind(*a.Kind), *a.Age})
	}
	return p, outside(len(f.About) >= 1, len(f.About) <= 64)
}

// name is UTF-8 of at least as many bytes as there must be.
func (m *maker) name(least int) string {
	s := []string{"", "a", "orders.fx", "été.€", strings.Repeat("n", 255), strings.Repeat("n", 1+m.n(255))}[m.n(6)]
	return (s + "x")[:max(len(s), least)]
}

// names is a list that ascends.
func (m *maker) names(most int) (list []string) {
	for range m.n(most + 1) {
		list = append(list, m.name(1))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (m *maker) record() plainRecord {
	r := plainRecord{ID: m.id(), Incarnation: m.u32(), Version: m.u32(), Started: m.u64(0, math.MaxUint64), Address: m.u64(0, 1<<48-1),
		Interval: uint32(m.u64(1000, 60_000_000)), Partial: m.n(3) == 1, Ring: m.n(3) == 1, Cluster: m.n(3) == 1, Name: m.name(0)}
	if r.Partial {
		return r
	}
	r.Groups = m.names(6)
	for _, q := range m.names(4) {
		r.Queues = append(r.Queues, plainConsumes{q, uint32(m.u64(1, math.MaxUint32)), m.u32()})
	}
	return r
}

func (m *maker) item() plainItem {
	i := plainItem{Kind: ItemKind(m.n(16)), PayloadKind: Kind(m.n(16)), Redelivered: m.n(2) == 1, Fragment: m.n(4) == 1, Result: Result(m.n(16)),
		Call: m.u64(0, math.MaxUint64), Attempt: m.u32(), Backlog: m.u32(), Service: m.u32(), Name: m.name(0), Payload: m.text(1 << (m.n(3) * 4))}
	if i.Fragment {
		i.Payload += "x"
		i.Offset = uint32(m.u64(0, math.MaxUint32-uint64(len(i.Payload))))
		i.Size = uint32(m.u64(uint64(i.Offset)+uint64(len(i.Payload)), math.MaxUint32))
	}
	return i
}

func (m *maker) group(kind FrameKind) any {
	const last = math.MaxUint64
	session := func() uint32 { return uint32(m.u64(1, math.MaxUint32)) }
	switch kind {
	case FramePair:
		p := plainPair{To: m.id(), Session: session(), ToIncarnation: m.u32(), Channel: Channel(m.n(3)), AckAtOnce: m.n(2) == 1,
			Number: m.u64(1, last-1), Known: m.u64(1, last), FirstItem: m.u64(1, last-64)}
		p.Oldest = m.u64(1, p.Number)
		for range m.n(12) {
			p.Items = append(p.Items, m.item())
		}
		return p
	case FramePairAck:
		a := plainPairAck{To: m.id(), Session: session(), Channel: Channel(m.n(3)), Dead: m.n(2) == 1, Next: m.u64(1, last), Held: m.u64(0, last),
			Taken: m.u64(1, last), Delay: m.u32()}
		a.Limit = m.u64(a.Next, last)
		var refused Refusals
		item := m.u64(1, last/2)
		for range m.n(20) {
			refused = refused.Append(Refusal{item, RefusalReason(session())})
			item += 1 + m.u64(0, 1<<40)
		}
		a.Refused = string(refused)
		return a
	case FrameBeat:
		return Beat{m.u32(), uint32(m.u64(1000, 60_000_000)), session(), m.u64(0, last), m.u32()}
	case FrameHello:
		return plainHello{m.n(2) == 1, uint8(m.n(256)), m.u64(0, last), m.record()}
	case FrameMembers:
		t := plainTable{Compare: m.n(2) == 1, More: m.n(2) == 1, Nonces: strings.Repeat("nonce 64", m.n(9))}
		for range m.n(6) {
			t.Records = append(t.Records, m.record())
		}
		return t
	case FrameProbe:
		return Probe{m.id(), ProbeKind(session()), m.u32(), m.u64(0, last)}
	}
	w := plainWord{}
	for range 1 + m.n(20) {
		w.About = append(w.About, About{m.id(), m.u32(), AboutKind(session()), m.u32()})
	}
	return w
}

// The bounds of the frames of groups, each on both sides.
func boundRowsGroup() []boundRow {
	const max64 = math.MaxUint64
	name, record := longName, recordWith
	pair := func(change func(*wirepb.Pair)) []byte {
		p := &wirepb.Pair{To: make([]byte, 16), Session: proto.Uint32(1), ToIncarnation: proto.Uint32(0), Flags: proto.Uint32(0), Number: proto.Uint64(3),
			Oldest: proto.Uint64(3), Known: proto.Uint64(1), FirstItem: proto.Uint64(1)}
		change(p)
		return frame(FramePair, marshal(p))
	}
	item := func(head uint32, change func(*wirepb.Item)) []byte {
		i := &wirepb.Item{Head: &head, Call: proto.Uint64(1)}
		if change != nil {
			change(i)
		}
		return pair(func(p *wirepb.Pair) { p.Items = []*wirepb.Item{i} })
	}
	items := func(n int, first uint64) []byte {
		return pair(func(p *wirepb.Pair) {
			*p.FirstItem = first
			for range n {
				p.Items = append(p.Items, &wirepb.Item{Head: proto.Uint32(9), Call: proto.Uint64(1)})
			}
		})
	}
	fragment := func(offset, size uint32, payload int) []byte {
		return item(5|1<<9, func(i *wirepb.Item) {
			i.Offset, i.Size = &offset, &size
			if payload > 0 {
				i.Payload = make([]byte, payload)
			}
		})
	}
	ack := func(change func(*wirepb.PairAck)) []byte {
		a := &wirepb.PairAck{To: make([]byte, 16), Session: proto.Uint32(1), Flags: proto.Uint32(0), Next: proto.Uint64(3), Held: proto.Uint64(0),
			Taken: proto.Uint64(1), Limit: proto.Uint64(3), Delay: proto.Uint32(0)}
		change(a)
		return frame(FramePairAck, marshal(a))
	}
	refused := func(list ...uint64) []byte {
		return ack(func(a *wirepb.PairAck) {
			var r Refusals
			for _, n := range list {
				r = r.Append(Refusal{n, 1})
			}
			a.Refused = r
		})
	}
	numbers := func(n int) (list []uint64) {
		for i := range n {
			list = append(list, uint64(i+1))
		}
		return list
	}
	hello := func(change func(*wirepb.Record)) []byte {
		return frame(FrameHello, marshal(&wirepb.Hello{Flags: proto.Uint32(0), Nonce: proto.Uint64(0), Record: record(change)}))
	}
	groups := func(list ...string) []byte { return hello(func(r *wirepb.Record) { r.Groups = list }) }
	consumes := func(list ...string) []byte {
		return hello(func(r *wirepb.Record) {
			for _, q := range list {
				r.Queues = append(r.Queues, &wirepb.Consumes{Queue: &q, Handlers: proto.Uint32(1), Rank: proto.Uint32(0)})
			}
		})
	}
	table := func(nonces, records int) []byte {
		m := &wirepb.Members{Flags: proto.Uint32(0), Nonces: make([]byte, nonces)}
		for range records {
			m.Members = append(m.Members, record(func(*wirepb.Record) {}))
		}
		return frame(FrameMembers, marshal(m))
	}
	beat := func(interval, members uint32) []byte {
		return AppendBeat(nil, Beat{Interval: interval, Members: members})
	}
	word := func(n int, kind AboutKind) []byte {
		list := make([]About, n)
		for i := range list {
			list[i].Kind = kind
		}
		return AppendWord(nil, list)
	}
	unset := func(*wirepb.Pair) {}

	return []boundRow{
		{"pair: a question", pair(unset), nil},
		{"pair: to 15 bytes", pair(func(p *wirepb.Pair) { p.To = p.To[:15] }), ErrRange},
		{"pair: session 0", pair(func(p *wirepb.Pair) { *p.Session = 0 }), ErrRange},
		{"pair: channel 2", pair(func(p *wirepb.Pair) { *p.Flags = 2 }), nil},
		{"pair: channel 3", pair(func(p *wirepb.Pair) { *p.Flags = 3 }), ErrRange},
		{"pair: a newer flag", pair(func(p *wirepb.Pair) { *p.Flags = 8 }), nil},
		{"pair: number 0", pair(func(p *wirepb.Pair) { *p.Number, *p.Oldest = 0, 0 }), ErrRange},
		{"pair: number max-1", pair(func(p *wirepb.Pair) { *p.Number = max64 - 1 }), nil},
		{"pair: number max", pair(func(p *wirepb.Pair) { *p.Number = max64 }), ErrRange},
		{"pair: oldest 0", pair(func(p *wirepb.Pair) { *p.Oldest = 0 }), ErrRange},
		{"pair: oldest above number", pair(func(p *wirepb.Pair) { *p.Oldest = 4 }), ErrRange},
		{"pair: known 0", pair(func(p *wirepb.Pair) { *p.Known = 0 }), ErrRange},
		{"pair: first item 0", pair(func(p *wirepb.Pair) { *p.FirstItem = 0 }), ErrRange},
		{"pair: 64 items", items(64, 1), nil},
		{"pair: 65 items", items(65, 1), ErrRange},
		{"pair: two items up to max-1", items(2, max64-2), nil},
		{"pair: two items up to max", items(2, max64-1), ErrRange},

		{"item: no name", item(1, nil), ErrMalformed},
		{"item: empty name, the default in-box", item(1, func(i *wirepb.Item) { i.Name = proto.String("") }), nil},
		{"item: name of 255 bytes", item(4, func(i *wirepb.Item) { i.Name = proto.String(name(255)) }), nil},
		{"item: name of 256 bytes", item(4, func(i *wirepb.Item) { i.Name = proto.String(name(256)) }), ErrRange},
		{"item: name not UTF-8", bytes.Replace(item(4, func(i *wirepb.Item) { i.Name = proto.String("tt") }), []byte("tt"), []byte("\xC3("), 1), ErrMalformed},
		{"item: reply without a name", item(5, nil), nil},
		{"item: of no kind", item(0, nil), nil},
		{"item: a newer kind", item(15, nil), nil},
		{"item: a newer bit", item(9|1<<31|1<<10, nil), nil},
		{"item: no call", item(9, func(i *wirepb.Item) { i.Call = nil }), ErrMalformed},
		{"item: no head", item(9, func(i *wirepb.Item) { i.Head = nil }), ErrMalformed},
		{"item: the second inherits no name from a reply", pair(func(p *wirepb.Pair) {
			p.Items = []*wirepb.Item{{Head: proto.Uint32(5), Call: proto.Uint64(1), Name: proto.String("n")}, {Head: proto.Uint32(1), Call: proto.Uint64(1)}}
		}), ErrMalformed},
		{"item: an offset that has no meaning", item(9, func(i *wirepb.Item) { i.Offset = proto.Uint32(7) }), nil},
		{"item: fragment, the tail", fragment(4, 5, 1), nil},
		{"item: fragment, beyond the end", fragment(4, 5, 2), ErrRange},
		{"item: fragment, empty", fragment(4, 5, 0), ErrRange},
		{"item: fragment, offset + part is 2^32", fragment(math.MaxUint32, math.MaxUint32, 1), ErrRange},
		{"item: fragment, no size", item(5|1<<9, func(i *wirepb.Item) { i.Offset, i.Payload = proto.Uint32(0), []byte("x") }), ErrMalformed},

		{"ack: nothing received", ack(func(a *wirepb.PairAck) { *a.Next, *a.Limit = 1, 1 }), nil},
		{"ack: session 0", ack(func(a *wirepb.PairAck) { *a.Session = 0 }), ErrRange},
		{"ack: channel 3", ack(func(a *wirepb.PairAck) { *a.Flags = 7 }), ErrRange},
		{"ack: next 0", ack(func(a *wirepb.PairAck) { *a.Next = 0 }), ErrRange},
		{"ack: taken 0", ack(func(a *wirepb.PairAck) { *a.Taken = 0 }), ErrRange},
		{"ack: limit below next", ack(func(a *wirepb.PairAck) { *a.Limit = 2 }), ErrRange},
		{"ack: 64 refused", refused(numbers(64)...), nil},
		{"ack: 65 refused", refused(numbers(65)...), ErrRange},
		{"ack: item 0 refused", refused(0), ErrRange},
		{"ack: item max refused", refused(max64), ErrRange},
		{"ack: refused twice", refused(4, 4), ErrRange},
		{"ack: refused out of order", refused(4, 3), ErrRange},
		{"ack: refused for no reason", ack(func(a *wirepb.PairAck) { a.Refused = Refusals(nil).Append(Refusal{1, 0}) }), ErrRange},
		{"ack: refused of 11 bytes", ack(func(a *wirepb.PairAck) { a.Refused = make([]byte, 11) }), ErrRange},
		{"ack: refused empty, written", ack(func(a *wirepb.PairAck) { a.Refused = []byte{} }), nil},

		{"beat: interval 1 ms", beat(1000, 1), nil},
		{"beat: interval below 1 ms", beat(999, 1), ErrRange},
		{"beat: interval 60 s", beat(60_000_000, 1), nil},
		{"beat: interval above 60 s", beat(60_000_001, 1), ErrRange},
		{"beat: no member", beat(1000, 0), ErrRange},

		{"record: as it should be", hello(func(r *wirepb.Record) {}), nil},
		{"record: id of 17 bytes", hello(func(r *wirepb.Record) { r.Id = make([]byte, 17) }), ErrRange},
		{"record: largest address", hello(func(r *wirepb.Record) { *r.Address = 1<<48 - 1 }), nil},
		{"record: address beyond IPv4", hello(func(r *wirepb.Record) { *r.Address = 1 << 48 }), ErrRange},
		{"record: interval 0", hello(func(r *wirepb.Record) { *r.Interval = 0 }), ErrRange},
		{"record: a newer flag", hello(func(r *wirepb.Record) { *r.Flags = 2 }), nil},
		{"record: name empty, written", hello(func(r *wirepb.Record) { r.Name = proto.String("") }), nil},
		{"record: name of 255 bytes", hello(func(r *wirepb.Record) { r.Name = proto.String(name(255)) }), nil},
		{"record: name of 256 bytes", hello(func(r *wirepb.Record) { r.Name = proto.String(name(256)) }), ErrRange},
		{"record: name of 60 KB", hello(func(r *wirepb.Record) { r.Name = proto.String(name(60000)) }), ErrRange},
		{"record: name not UTF-8", bytes.Replace(hello(func(r *wirepb.Record) { r.Name = proto.String("tt") }), []byte("tt"), []byte("\xC3("), 1), ErrMalformed},
		{"record: groups ascend", groups("a", "aa", "b"), nil},
		{"record: groups descend", groups("b", "a"), ErrRange},
		{"record: a group twice", groups("a", "a"), ErrRange},
		{"record: empty group", groups(""), ErrRange},
		{"record: group of 255 bytes", groups(name(255)), nil},
		{"record: group of 256 bytes", groups(name(256)), ErrRange},
		{"record: group not UTF-8", bytes.Replace(groups("tt"), []byte("tt"), []byte("\xC3("), 1), ErrMalformed},
		{"record: queues ascend", consumes("a", "aa", "b"), nil},
		{"record: a queue twice", consumes("a", "a"), ErrRange},
		{"record: queues descend", consumes("b", "a"), ErrRange},
		{"record: empty queue", consumes(""), ErrRange},
		{"record: queue of 256 bytes", consumes(name(256)), ErrRange},
		{"record: no handler", hello(func(r *wirepb.Record) {
			r.Queues = []*wirepb.Consumes{{Queue: proto.String("q"), Handlers: proto.Uint32(0), Rank: proto.Uint32(0)}}
		}), ErrRange},
		{"record: partial, with a group", hello(func(r *wirepb.Record) { *r.Flags, r.Groups = 1, []string{"g"} }), ErrRange},
		{"record: partial, with a queue", hello(func(r *wirepb.Record) {
			*r.Flags, r.Queues = 1, []*wirepb.Consumes{{Queue: proto.String("q"), Handlers: proto.Uint32(1), Rank: proto.Uint32(0)}}
		}), ErrRange},
		{"hello: record twice", frame(FrameHello, cat(hello(func(*wirepb.Record) {})[3:], protowire.AppendBytes([]byte{0x1A}, marshal(record(func(*wirepb.Record) {}))))), ErrMalformed},
		{"hello: no record", frame(FrameHello, marshal(&wirepb.Hello{Flags: proto.Uint32(0), Nonce: proto.Uint64(0)})), ErrMalformed},

		{"members: none", table(0, 0), nil},
		{"members: 64 records", table(0, 64), nil},
		{"members: 65 records", table(0, 65), ErrRange},
		{"members: 8 nonces", table(64, 1), nil},
		{"members: 9 nonces", table(72, 1), ErrRange},
		{"members: half a nonce", table(4, 1), ErrRange},

		{"probe: kind 0", AppendProbe(nil, Probe{}), ErrRange},
		{"probe: a newer kind", AppendProbe(nil, Probe{Kind: math.MaxUint32}), nil},
		{"word: about nobody", word(0, 1), ErrRange},
		{"word: about 64", word(64, 1), nil},
		{"word: about 65", word(65, 1), ErrRange},
		{"word: kind 0", word(1, 0), ErrRange},
		{"word: a newer kind", word(1, 77), nil},
		{"word: id of 15 bytes", frame(FrameWord, marshal(&wirepb.Word{About: []*wirepb.About{{Id: make([]byte, 15), Incarnation: proto.Uint32(0),
			Kind: proto.Uint32(1), Age: proto.Uint32(0)}}})), ErrRange},
	}
}

func recordWith(change func(*wirepb.Record)) *wirepb.Record {
	r := &wirepb.Record{Id: make([]byte, 16), Incarnation: proto.Uint32(0), Version: proto.Uint32(0), Started: proto.Uint64(0), Address: proto.Uint64(0),
		Interval: proto.Uint32(20000), Flags: proto.Uint32(0)}
	change(r)
	return r
}

func longName(n int) string { return strings.Repeat("n", n) }

func TestBoundsGroup(t *testing.T) {
	many := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%05d", i))
		}
		return list
	}
	name, record := longName, recordWith
	for _, c := range boundRowsGroup() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		compareDecoders(t, b)
	}

	// What a datagram is too small for is bounded where a record is read alone.
	for _, c := range []struct {
		name string
		r    *wirepb.Record
		want error
	}{
		{"16,384 groups", record(func(r *wirepb.Record) { r.Groups = many(MaxGroups) }), nil},
		{"16,385 groups", record(func(r *wirepb.Record) { r.Groups = many(MaxGroups + 1) }), ErrRange},
		{"4,096 queues", record(func(r *wirepb.Record) { r.Queues = queuesOf(many(MaxConsumes)) }), nil},
		{"4,097 queues", record(func(r *wirepb.Record) { r.Queues = queuesOf(many(MaxConsumes + 1)) }), ErrRange},
		{"more than 256 KiB", record(func(r *wirepb.Record) {
			for _, n := range many(1100) {
				r.Groups = append(r.Groups, n+name(240))
			}
		}), ErrRange},
	} {
		b := marshal(c.r)
		other := rewriter{rng: newRand(1), permute: true}.rewrite(b, c.r.ProtoReflect().Descriptor())
		for _, b := range [][]byte{b, other} {
			r, err := ParseRecord(b)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
			if want, _ := referenceRecord(c.r); err == nil && !slices.Equal(plainRecordOf(&r).Groups, want.Groups) {
				t.Errorf("%s: other groups", c.name)
			}
		}
	}
}

func queuesOf(names []string) (list []*wirepb.Consumes) {
	for _, n := range names {
		list = append(list, &wirepb.Consumes{Queue: &n, Handlers: proto.Uint32(1), Rank: proto.Uint32(0)})
	}
	return list
}

// Layouts of frames with messages inside that differ from the canonical one in one small thing.
func layoutRowsGroup() []layoutRow {
	question := writePair(plainPair{Session: 1, Number: 1, Oldest: 1, Known: 1, FirstItem: 1})[HeaderLen+3:]
	withItem := func(i *wirepb.Item) []byte {
		return frame(FramePair, protowire.AppendBytes(append(bytes.Clone(question), tagItem), marshal(i)))
	}
	about := AppendWord(nil, []About{{Kind: AboutDoubt}})
	return []layoutRow{
		{"an item", withItem(&wirepb.Item{Head: proto.Uint32(1), Call: proto.Uint64(7), Name: proto.String("")}), true},
		{"attempt 0 written", withItem(&wirepb.Item{Head: proto.Uint32(6), Call: proto.Uint64(7), Attempt: proto.Uint32(0)}), false},
		{"empty payload of an item written", withItem(&wirepb.Item{Head: proto.Uint32(6), Call: proto.Uint64(7), Payload: []byte{}}), false},
		{"empty name of a reply written", withItem(&wirepb.Item{Head: proto.Uint32(5), Call: proto.Uint64(7), Name: proto.String("")}), false},
		{"offset of what is no fragment", withItem(&wirepb.Item{Head: proto.Uint32(5), Call: proto.Uint64(7), Offset: proto.Uint32(1)}), false},
		{"a bit of an item's head that has no meaning", withItem(&wirepb.Item{Head: proto.Uint32(5 | 1<<10), Call: proto.Uint64(7)}), false},
		{"a word", about, true},
		{"an unknown field in what it is about", frame(FrameWord, protowire.AppendBytes([]byte{0x0A}, append(bytes.Clone(about[5:]), 0x50, 1))), false},
		{"an unknown field behind", frame(FrameWord, append(bytes.Clone(about[3:]), 0x50, 1)), false},
	}
}

func TestAlmostCanonicalGroup(t *testing.T) {
	for _, c := range layoutRowsGroup() {
		b := datagramOf(c.bytes)
		var d Datagram
		if err := Decode(b, &d); err != nil || d.Canonical != c.canonical {
			t.Errorf("%s: %v, canonical %v", c.name, err, d.Canonical)
		}
		compareDecoders(t, b)
	}
}

// A PairWriter fills a datagram to its last byte and never beyond it, and Room says how much it takes.
func TestPairWriterRoom(t *testing.T) {
	payload := make([]byte, 20000)
	for max := 130; max < 18000; max += 1 + max/400 {
		mem := make([]byte, max+DataOverhead)
		var w PairWriter
		w.Begin(mem, max)
		i := Item{Kind: ItemQueue, Fragment: true, Call: 1, Attempt: 1, Backlog: 1, Service: 1, Name: []byte("q"), Size: 1 << 20}
		room := w.Room("q")
		if room < 1 {
			continue
		}
		if i.Payload = payload[:room+1]; w.Add(&i) && room >= 1<<7 {
			t.Fatalf("max %d: Room is %d, and one more fits", max, room)
		}
		if w.Count() == 0 {
			if i.Payload = payload[:room]; !w.Add(&i) {
				t.Fatalf("max %d: Room is %d, and that does not fit", max, room)
			}
		}
		off, n := w.Finish(testHeader(), &Pair{Session: 1, Number: 1, Oldest: 1, Known: 1, FirstItem: 1})
		if n > max || n < max-6 {
			t.Fatalf("max %d: a datagram of %d bytes", max, n)
		}
		var d Datagram
		if err := Decode(mem[off:off+n], &d); err != nil || !d.Canonical {
			t.Fatalf("max %d: %v", max, err)
		}
	}
	w, mem := PairWriter{}, make([]byte, 4000)
	w.Begin(mem, 3000)
	for w.Add(&Item{Kind: ItemNothing}) {
	}
	if w.Count() != MaxItems || w.Room("") != -1 {
		t.Errorf("%d items, room %d", w.Count(), w.Room(""))
	}
}

// A Pair that is sent again carries numbers of today.
func TestSetPairAcknowledged(t *testing.T) {
	b := writePair(plainPair{Session: 1, Channel: ChannelQueues, AckAtOnce: false, Number: 9, Oldest: 3, Known: 2, FirstItem: 20,
		Items: []plainItem{{Kind: ItemQueue, Name: "q", Payload: "x"}}})
	SetPairAcknowledged(b, 9, 8, true)
	Seal(b)
	var d Datagram
	if err := Decode(b, &d); err != nil {
		t.Fatal(err)
	}
	if p := d.Frames()[0].Pair(); p.Oldest != 9 || p.Known != 8 || !p.AckAtOnce || p.Channel != ChannelQueues || p.Number != 9 || p.FirstItem != 20 || p.Count != 1 {
		t.Errorf("got %+v", p)
	}
}

// The lengths that a core plans with are those of what is written.
func TestGroupSizes(t *testing.T) {
	r := plainRecord{Interval: 20000, Name: "n", Groups: []string{"a", "b"}}
	for got, want := range map[int]int{
		len(AppendBeat(nil, Beat{})):        BeatLen,
		len(AppendProbe(nil, Probe{})):      ProbeLen,
		len(AppendPairAck(nil, &PairAck{})): PairAckSize(0),
		len(AppendPairAck(nil, &PairAck{Refused: make([]byte, MaxRefused*refusalLen)})): PairAckMax,
		len(AppendHello(nil, &Hello{Record: *r.record()}, r.lists())):                   HelloSize(RecordLen(1, len(r.lists()))),
		len(AppendWord(nil, make([]About, 1))):                                          WordOverhead - 2 + AboutLen,
		len(AppendWord(nil, make([]About, 64))):                                         WordOverhead - 1 + 64*AboutLen,
		len(AppendMembers(nil, &Table{Nonces: make([]byte, 64)}, make([]byte, 2000))):   MembersOverhead - 1 + 2000,
		len(AppendPairAck(nil, &PairAck{Refused: make([]byte, 12)})) + 1000:             PairAckSize(1) + 1000,
	} {
		if got != want {
			t.Errorf("%d bytes are written, %d planned", got, want)
		}
	}
	if PairAckSize(MaxRefused) != PairAckMax {
		t.Errorf("PairAckSize gives %d, PairAckMax is %d", PairAckSize(MaxRefused), PairAckMax)
	}
}
