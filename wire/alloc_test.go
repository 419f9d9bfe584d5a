package wire

import (
	"testing"

	"github.com/activeblaze/blaze/wire/wirepb"
)

// Nothing on the data path allocates: not for good datagrams, not for a flood of bad ones.
func TestNoAllocation(t *testing.T) {
	var vectors [][]byte
	for _, g := range golden {
		b := goldenBytes(t, g.name)
		vectors = append(vectors, b, b[:len(b)/2])
		for _, at := range []int{1, 7, 30, len(b) - 1} {
			bad := append([]byte(nil), b...)
			bad[at] ^= 1
			vectors = append(vectors, bad, reseal(bad))
		}
		w := rewriter{newRand(3), true, true, true}
		vectors = append(vectors, reseal(w.rewrite(b, (&wirepb.Datagram{}).ProtoReflect().Descriptor())))
	}
	var d Datagram
	sum := 0
	decode := func() {
		for _, b := range vectors {
			Peek(b)
			if Decode(b, &d) == nil {
				sum += readAll(&d)
			}
		}
	}
	if n := testing.AllocsPerRun(10, decode); n != 0 {
		t.Errorf("decoding: %v allocations", n)
	}

	mem := make([]byte, 1502)
	payload := make([]byte, 64)
	var w DataWriter
	write := func() {
		w.Begin(mem, 1500, testHeader(), 1, 1)
		for w.Add("market.fx.EURUSD", KindRaw, payload) {
			sum += w.Room("market.fx.EURUSD")
		}
		if _, ok := w.Reserve("x", KindMessage, 3); ok {
			w.Cancel()
		}
		w.Finish()
		w.Begin(mem, 1500, testHeader(), 1, 1)
		w.AddFragment("t", KindRaw, 0, 100, payload)
		w.AppendStart(Start{})
		w.Finish()
	}
	if n := testing.AllocsPerRun(10, write); n != 0 {
		t.Errorf("writing data: %v allocations", n)
	}

	buffer := make([]byte, 0, 1500)
	inbox := []byte("orders")
	gaps := make([]Gap, 10)
	needs := make([]Need, 10)
	about, lists := make([]About, 3), make(RecordLists, 0, 200).AppendGroup("g").AppendQueue("q", 1, 0)
	control := func() {
		b := AppendHeader(buffer, testHeader())
		b = AppendNak(b, testOrigin, 1, gaps, gaps)
		b = AppendHeartbeat(b, Heartbeat{})
		b = AppendStatus(b, Status{})
		b = AppendStart(b, Start{})
		b = AppendLeave(b, Leave{})
		b = AppendRing(b, Ring{})
		b = AppendToken(b, &Token{})
		b = AppendNotice(b, Notice{})
		b = AppendRepair(b, &Repair{Symbol: payload})
		b = AppendSymbolNak(b, testOrigin, 1, needs)
		b = AppendJoin(b, &Join{})
		b = AppendCommit(b, &Commit{})
		b = AppendPairAck(b, &PairAck{})
		b = AppendBeat(b, Beat{})
		b = AppendProbe(b, Probe{})
		b = AppendWord(b, about)
		b = AppendHello(b, &Hello{}, lists)
		b = AppendMembers(b, &Table{}, lists)
		Seal(b)
	}
	var pw PairWriter
	pair := func() {
		pw.Begin(mem, 1500)
		for pw.Add(&Item{Kind: ItemRequest, Call: 1, Name: inbox, Payload: payload}) {
			sum += pw.Room("orders")
		}
		pw.Finish(testHeader(), &Pair{})
	}
	if n := testing.AllocsPerRun(10, pair); n != 0 {
		t.Errorf("writing pairs: %v allocations", n)
	}
	if n := testing.AllocsPerRun(10, control); n != 0 {
		t.Errorf("writing control frames: %v allocations", n)
	}
	sinkInt = sum
}

// readAll visits everything that a datagram hands out.
func readAll(d *Datagram) (sum int) {
	frames := d.Frames()
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case FrameData:
			data := f.Data()
			it := data.Messages()
			for it.Step() {
				sum += len(it.Topic) + len(it.Payload)
			}
		case FrameNak:
			n := f.Nak()
			gaps, again := n.Gaps(), n.Again()
			for g, ok := gaps.Next(); ok; g, ok = gaps.Next() {
				sum += int(g.Count)
			}
			for g, ok := again.Next(); ok; g, ok = again.Next() {
				sum += int(g.Count)
			}
		case FrameHeartbeat:
			sum += int(f.Heartbeat().Receivers)
		case FrameStatus:
			sum += int(f.Status().Room)
		case FrameStart:
			sum += int(f.Start().Lanes)
		case FrameLeave:
			sum += int(f.Leave().Last)
		case FrameRing:
			sum += int(f.Ring().Round)
		case FrameToken:
			t := f.Token()
			for i := range t.Wanted.Len() {
				sum += int(t.Wanted.At(i))
			}
		case FrameJoin:
			j := f.Join()
			for i := range j.Proc.Len() {
				sum += int(j.Proc.At(i)[0])
			}
		case FrameCommit:
			c := f.Commit()
			for i := range c.Entries.Len() {
				sum += int(c.Entries.At(i).Aru + c.Rings.At(0).Seq)
			}
		case FrameNotice:
			sum += int(f.Notice().Kind)
		case FrameRepair:
			r := f.Repair()
			sum += len(r.Symbol)
		case FrameSymbolNak:
			n := f.SymbolNak()
			it := n.Needs()
			for x, ok := it.Next(); ok; x, ok = it.Next() {
				sum += int(x.Count)
			}
		case FramePair:
			p := f.Pair()
			it := p.Items()
			for it.Step() {
				sum += len(it.Name) + len(it.Payload)
			}
		case FramePairAck:
			a := f.PairAck()
			for i := range a.Refused.Len() {
				sum += int(a.Refused.At(i).Reason)
			}
		case FrameBeat:
			sum += int(f.Beat().Members)
		case FrameHello:
			h := f.Hello()
			sum += readRecordAll(&h.Record)
		case FrameMembers:
			m := f.Members()
			it := m.Records()
			for r, ok := it.Next(); ok; r, ok = it.Next() {
				sum += readRecordAll(&r)
			}
		case FrameProbe:
			sum += int(f.Probe().Kind)
		case FrameWord:
			w := f.Word()
			it := w.About()
			for a, ok := it.Next(); ok; a, ok = it.Next() {
				sum += int(a.Age)
			}
		}
	}
	return sum
}

func readRecordAll(r *Record) (sum int) {
	groups, queues := r.Groups(), r.Queues()
	for g, ok := groups.Next(); ok; g, ok = groups.Next() {
		sum += len(g)
	}
	for q, ok := queues.Next(); ok; q, ok = queues.Next() {
		sum += int(q.Handlers)
	}
	return sum
}
