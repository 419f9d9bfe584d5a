package held

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 300, "random sequences of TestModel")
	seed  = flag.Uint64("seed", 0, "only this one")
)

// pair is a Machine and the model, which are given the same operations.
type pair struct {
	rng  *rand.Rand
	m    *Machine
	twin *Machine // fed the same, restored from a snapshot now and then
	d    *model

	index    uint64
	next     map[uint64]uint64 // counters
	conns    []uint64
	lastConn uint64
	id       uint64
	history  []string
	last     []byte // operation of lastBy, for repetitions
	lastBy   uint64
	answer   []byte

	differs string
}

func (p *pair) fail(format string, args ...any) {
	if p.differs == "" {
		p.differs = fmt.Sprintf(format, args...)
	}
}

func (p *pair) drain(m *Machine) (all []string) {
	m.Certain(p.index)
	for {
		n, ok := m.Notice()
		if !ok {
			return all
		}
		switch n.Kind {
		case NoticeMessage:
			for _, x := range n.Messages {
				all = append(all, fmt.Sprintf("%d.%d: %s", n.Conn, n.Consumer, named(x)))
			}
		case NoticeRoom:
			all = append(all, fmt.Sprintf("%d: room in %s", n.Conn, n.Queue))
		}
	}
}

// named is a message as the model shows it: its data begins with a text field.
func named(m Message) string {
	name := "?"
	if len(m.Data) > 2 {
		name = string(m.Data[2 : 2+m.Data[1]])
	}
	if m.Count > 1 {
		return fmt.Sprint(name, "*", m.Count)
	}
	return name
}

func show(code Code, names []string) string { return fmt.Sprint(code, " ", strings.Join(names, " ")) }

// do gives op to both machines, and compares with what the model says: want, and its notices.
func (p *pair) do(conn uint64, op Op, want func() (Code, []string)) Answer {
	op.Conn = conn
	if op.Kind != KindBegin && op.Kind != KindGone && !op.Kind.reads() {
		p.next[conn]++
		op.Counter = p.next[conn]
	}
	b := op.Append(nil)
	if op.Kind != KindGone {
		b = Sign(b, member(conn))
	}
	a := p.apply(b, fmt.Sprintf("%d kind %d queue %q consumer %d session %d numbers %v limit %d flags %d",
		conn, op.Kind, op.Queue, op.Consumer, op.Session, op.Numbers, op.Limit, op.Flags))
	if p.last, p.lastBy = b, conn; op.Kind.reads() {
		p.lastBy = 0 // a read is answered anew
	}
	code, names := want()
	var got []string
	for _, m := range a.Messages {
		got = append(got, named(m))
	}
	if g, w := show(a.Code, got), show(code, names); g != w {
		p.fail("answers %s, the model %s", g, w)
	}
	p.compareNotices()
	return a
}

func (p *pair) apply(b []byte, text string) (a Answer) {
	p.index++
	p.history = append(p.history, text)
	p.answer = p.m.Apply(b, holder, p.index)
	var op Op
	var twin []byte
	if op.Parse(b) && op.Batches() && op.Origin != (Member{}) && p.index%4 == 0 { // the twin has it in a batch
		var a Answer
		a.Parse(p.twin.Apply(Sign(AppendBatch(nil, b), op.Origin), holder, p.index))
		if len(a.Answers) == 1 {
			twin = a.Answers[0]
		}
	} else {
		twin = p.twin.Apply(b, holder, p.index)
	}
	if !bytes.Equal(p.answer, twin) {
		p.fail("the twin answers\n%x, not\n%x", twin, p.answer)
	}
	a.Parse(p.answer)
	return a
}

func (p *pair) compareNotices() {
	got, want, twin := p.drain(p.m), p.d.end(), p.drain(p.twin)
	if !slices.Equal(got, want) {
		p.fail("notices %q, the model %q", got, want)
	}
	if !slices.Equal(twin, got) {
		p.fail("notices %q, the twin %q", got, twin)
	}
	if err := p.m.state.audit(); err != nil {
		p.fail("%v", err)
	}
}

func (p *pair) snapshot(m *Machine) []byte {
	s, err := m.Snapshot()
	if err != nil {
		p.fail("%v", err)
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		p.fail("%v", err)
	}
	return b.Bytes()
}

// compareAll looks at everything that can be seen.
func (p *pair) compareAll() {
	for i, name := range p.d.order {
		q := p.d.queues[name]
		st := p.m.state.queues[name]
		if st == nil {
			p.fail("there is no queue %q", name)
			return
		}
		x := p.m.state.statsOf(st)
		var c [4]uint64
		for _, m := range q.msgs {
			c[m.where]++
		}
		got := [...]uint64{x.Depth - x.Delayed, x.Delayed, x.InFlight, x.Staged, x.Consumers, x.Waiting}
		want := [...]uint64{c[0], c[1], c[2], uint64(q.staged), uint64(len(q.consumers)), uint64(len(q.waiting()))}
		if got != want {
			p.fail("queue %q has %v, the model %v", name, got, want)
		}
		_ = i
		if len(p.conns) == 0 {
			continue
		}
		sel := p.anySelector()
		p.do(p.conns[0], Op{Kind: KindBrowse, Queue: []byte(name), Selector: []byte(sel)}, func() (Code, []string) {
			var names []string
			for _, m := range q.ready() {
				if modelSelectors[sel](m) {
					names = append(names, m.shown())
				}
			}
			return CodeOK, names
		})
	}
	if n := len(p.m.state.queues); n != len(p.d.queues) {
		p.fail("%d queues, the model has %d", n, len(p.d.queues))
	}
}

var selectorTexts = []string{"", "", "colour = 'red'", "colour <> 'red' OR JMSPriority > 5", "colour IS NULL"}

func (p *pair) anySelector() string { return selectorTexts[p.rng.IntN(len(selectorTexts))] }

func (p *pair) anyQueue() string { return []string{"A", "B", "DLQ.A"}[min(2, p.rng.IntN(9)/4)] }

func (p *pair) newMessage() (Message, *mMsg) {
	p.id++
	d := &mMsg{name: fmt.Sprint("m", p.id), priority: 4}
	if p.rng.IntN(4) == 0 {
		d.priority = p.rng.IntN(10)
	}
	if p.rng.IntN(5) == 0 {
		d.expires = p.d.now + p.rng.Int64N(3000)
	}
	if p.rng.IntN(6) == 0 {
		d.due = p.d.now + p.rng.Int64N(1500)
	}
	if p.rng.IntN(4) == 0 {
		d.group = string('g' + rune(p.rng.IntN(2)))
		d.endGroup = p.rng.IntN(4) == 0
	}
	d.colour = []string{"", "red", "blue"}[p.rng.IntN(3)]
	m := Message{ID: make([]byte, idLen), Data: encodeMessage(d.name, d.colour, 0), Priority: uint8(d.priority), Expires: d.expires,
		Due: d.due, Group: []byte(d.group)}
	m.ID[0], m.ID[22], m.ID[23] = 7, byte(p.id>>8), byte(p.id)
	if d.endGroup {
		m.GroupSeq = -1
	}
	d.size = len(m.Data)
	return m, d
}

// numbersOf picks some of what a session has in flight.
func (p *pair) numbersOf(c *mConn, session uint32) (numbers []uint64, msgs []*mMsg) {
	for _, m := range p.d.flights(c, session, false) {
		if p.rng.IntN(2) == 0 {
			numbers, msgs = append(numbers, uint64(m.seq)), append(msgs, m)
		}
	}
	p.rng.Shuffle(len(msgs), func(i, j int) {
		numbers[i], numbers[j] = numbers[j], numbers[i]
		msgs[i], msgs[j] = msgs[j], msgs[i]
	})
	return numbers, msgs
}

func (p *pair) step() {
	d, rng := p.d, p.rng
	if len(p.conns) == 0 || len(p.conns) < 4 && rng.IntN(20) == 0 {
		p.lastConn++
		conn := p.lastConn
		name := fmt.Sprint("client", conn%2)
		p.do(conn, Op{Kind: KindBegin, Name: []byte(name)}, func() (Code, []string) {
			d.conns[conn] = &mConn{id: conn, name: name, consumers: map[uint64]*mConsumer{}, sessions: map[uint32]*mSession{}}
			return CodeOK, nil
		})
		p.conns = append(p.conns, conn)
		return
	}
	conn := p.conns[rng.IntN(len(p.conns))]
	c := d.conns[conn]
	id := uint64(1 + rng.IntN(3))
	k := c.consumers[id]
	session := uint32(rng.IntN(2))
	switch r := rng.IntN(100); {
	case r < 26:
		m, dm := p.newMessage()
		dm.from = conn
		name := p.anyQueue()
		flags := uint64(rng.IntN(2)) * FlagWait
		p.do(conn, Op{Kind: KindPut, Queue: []byte(name), HasMessage: true, Message: m, Flags: flags}, func() (Code, []string) {
			q := d.queue(name)
			if q.full(1, d.settings(q)) {
				d.awaitRoom(c, q, flags)
				return CodeQueueFull, nil
			}
			d.enter(q, dm)
			return CodeOK, nil
		})
	case r < 34:
		name, sel := p.anyQueue(), p.anySelector()
		flags := []uint64{0, 0, 0, FlagNoLocal, FlagExclusive}[rng.IntN(5)]
		p.do(conn, Op{Kind: KindConsume, Consumer: id, Queue: []byte(name), Selector: []byte(sel), Flags: flags, Session: session},
			func() (Code, []string) {
				q := d.queue(name)
				if k != nil {
					return CodeInUse, nil
				}
				d.newConsumer(c, q, id, session, sel, flags)
				return CodeOK, nil
			})
	case r < 37:
		var numbers []uint64
		var msgs []*mMsg
		if k != nil {
			numbers, msgs = p.numbersOf(c, k.session)
		}
		p.do(conn, Op{Kind: KindCancel, Consumer: id, Numbers: numbers}, func() (Code, []string) {
			if k == nil {
				return CodeNoConsumer, nil
			}
			for _, m := range msgs {
				d.release(m, true)
			}
			d.endConsumer(k)
			return CodeOK, nil
		})
	case r < 55:
		limit := 1 + rng.IntN(3)
		wait := rng.IntN(2) == 0
		flags := uint64(0)
		if wait {
			flags = FlagWait
		}
		p.do(conn, Op{Kind: KindTake, Consumer: id, Limit: uint64(limit), Flags: flags}, func() (Code, []string) {
			if k == nil {
				return CodeNoConsumer, nil
			}
			k.credit += limit
			k.wait = wait
			var names []string
			d.scan(k, func(m *mMsg) {
				if wait {
					d.notice(k, m)
				} else {
					names = append(names, m.shown())
				}
			})
			if k.credit > 0 {
				return CodeLater, names
			}
			return CodeOK, names
		})
	case r < 57:
		p.do(conn, Op{Kind: KindStop, Consumer: id}, func() (Code, []string) {
			if k == nil {
				return CodeNoConsumer, nil
			}
			k.credit, k.line = 0, 0
			return CodeOK, nil
		})
	case r < 63:
		numbers, msgs := p.numbersOf(c, session)
		code := CodeOK
		if rng.IntN(5) == 0 { // somebody else's, or nobody's
			numbers = append(numbers, 1+rng.Uint64N(uint64(d.seq)+2))
			for _, m := range d.flights(c, session, false) {
				if uint64(m.seq) == numbers[len(numbers)-1] && !slices.Contains(msgs, m) {
					numbers = numbers[:len(numbers)-1]
					break
				}
			}
			if len(numbers) > len(msgs) {
				code = CodeNotHeld
			}
		}
		p.do(conn, Op{Kind: KindSettle, Session: session, Numbers: numbers}, func() (Code, []string) {
			for _, m := range msgs {
				d.drop(m)
			}
			return code, nil
		})
	case r < 69:
		numbers, msgs := p.numbersOf(c, session)
		unseen := rng.IntN(3) == 0
		flags := uint64(0)
		if unseen {
			flags = FlagUnseen
		}
		p.do(conn, Op{Kind: KindRelease, Session: session, Numbers: numbers, Flags: flags}, func() (Code, []string) {
			for _, m := range msgs {
				d.release(m, unseen)
			}
			return CodeOK, nil
		})
	case r < 76:
		p.stage(conn, c, session)
	case r < 80:
		numbers, msgs := p.numbersOf(c, session)
		wrong := rng.IntN(6) == 0
		if wrong {
			numbers = append(numbers, uint64(d.seq)+5)
		}
		p.do(conn, Op{Kind: KindCommit, Session: session, Numbers: numbers}, func() (Code, []string) {
			return d.commit(c, session, msgs, wrong), nil
		})
	case r < 83:
		numbers, msgs := p.numbersOf(c, session)
		p.do(conn, Op{Kind: KindRollback, Session: session, Numbers: numbers}, func() (Code, []string) {
			for _, m := range msgs {
				d.release(m, true)
			}
			d.unstage(c, session)
			for _, m := range d.flights(c, session, false) {
				d.release(m, false)
			}
			return CodeOK, nil
		})
	case r < 84:
		p.conns = slices.DeleteFunc(p.conns, func(o uint64) bool { return o == conn })
		end := func() (Code, []string) { d.endConn(c); return CodeOK, nil }
		if rng.IntN(2) == 0 {
			p.do(conn, Op{Kind: KindEnd}, end)
		} else {
			p.do(conn, Op{Kind: KindGone, To: member(conn)}, end)
		}
	case r < 87:
		p.subscribe(conn, c, id, session)
	case r < 88:
		name := string('s' + rune(rng.IntN(2)))
		p.do(conn, Op{Kind: KindUnsubscribe, Name: []byte(name)}, func() (Code, []string) {
			q := d.queues["\x00d"+c.name+"\x00"+name]
			if q == nil {
				return CodeNoSubscription, nil
			}
			for _, m := range q.msgs {
				if m.where == 2 {
					return CodeInUse, nil
				}
			}
			if len(q.consumers) > 0 {
				return CodeInUse, nil
			}
			d.dropQueue(q)
			return CodeOK, nil
		})
	case r < 91:
		m, dm := p.newMessage()
		dm.from = conn
		topic := []string{"t/1", "t/2"}[rng.IntN(2)]
		flags := uint64(rng.IntN(2)) * FlagWait
		p.do(conn, Op{Kind: KindPublish, Topic: []byte(topic), HasMessage: true, Message: m, Flags: flags}, func() (Code, []string) {
			for _, n := range d.order {
				if q := d.queues[n]; q.topic == topic && q.full(1, d.settings(q)) {
					d.awaitRoom(c, q, flags)
					return CodeQueueFull, nil
				}
			}
			d.feed(dm, topic, c.name)
			return CodeOK, nil
		})
	case r < 93:
		s := Settings{MaxRedeliveries: int64(rng.IntN(4)), DeadLetterExpired: rng.IntN(2) == 0}
		if rng.IntN(3) == 0 {
			s.RedeliveryDelay, s.Doubling = rng.Int64N(800), rng.IntN(2) == 0
		}
		if rng.IntN(3) == 0 {
			s.Depth = 3 + rng.Uint64N(8)
		}
		name := p.anyQueue()
		p.do(conn, Op{Kind: KindConfigure, Queue: []byte(name), Settings: &s}, func() (Code, []string) {
			d.queue(name).settings = s
			return CodeOK, nil
		})
	case r < 95:
		p.sift(conn)
	case r < 96:
		if p.lastBy != 0 && d.conns[p.lastBy] != nil { // once more: the same answer, and nothing happens
			before := p.answer
			p.apply(p.last, "again")
			if !bytes.Equal(before, p.answer) {
				p.fail("an operation that is repeated answers\n%x, before\n%x", p.answer, before)
			}
			p.compareNotices()
		}
	default:
		now := d.now + rng.Int64N(900)
		p.index++
		p.history = append(p.history, fmt.Sprint("tick ", now))
		p.m.Tick(time.UnixMilli(now))
		p.twin.Tick(time.UnixMilli(now))
		d.tick(now)
		p.compareNotices()
	}
}

func (d *model) awaitRoom(c *mConn, q *mQueue, flags uint64) {
	if flags&FlagWait != 0 && !slices.Contains(q.room, c) {
		q.room = append(q.room, c)
	}
}

func (d *model) newConsumer(c *mConn, q *mQueue, id uint64, session uint32, sel string, flags uint64) {
	k := &mConsumer{id: id, conn: c, queue: q, session: session, sel: sel, noLocal: flags&FlagNoLocal != 0, exclusive: flags&FlagExclusive != 0}
	c.consumers[id] = k
	q.consumers = append(q.consumers, k)
}

func (p *pair) stage(conn uint64, c *mConn, session uint32) {
	d := p.d
	m, dm := p.newMessage()
	dm.from = conn
	op := Op{Kind: KindStage, Session: session, HasMessage: true, Message: m}
	name, topic := p.anyQueue(), ""
	if p.rng.IntN(4) == 0 {
		topic = "t/1"
		op.Topic = []byte(topic)
	} else {
		op.Queue = []byte(name)
	}
	var msgs []*mMsg
	if p.rng.IntN(3) == 0 {
		op.Numbers, msgs = p.numbersOf(c, session)
	}
	p.do(conn, op, func() (Code, []string) {
		if topic == "" {
			q := d.queue(name)
			if q.full(1, d.settings(q)) {
				return CodeQueueFull, nil
			}
			q.staged++
			dm.queue = q
		}
		x := c.sessions[session]
		if x == nil {
			x = &mSession{topics: map[*mMsg]string{}}
			c.sessions[session] = x
		}
		x.puts = append(x.puts, dm)
		x.topics[dm] = topic
		x.settle = append(x.settle, msgs...)
		return CodeOK, nil
	})
}

func (d *model) commit(c *mConn, session uint32, msgs []*mMsg, wrong bool) Code {
	x := c.sessions[session]
	all := slices.Clone(msgs)
	if x != nil {
		all = append(slices.Clone(x.settle), msgs...)
	}
	for _, m := range all {
		if m.where != 2 || m.conn != c || m.session != session {
			wrong = true
		}
	}
	if wrong {
		return CodeNotHeld
	}
	for _, m := range all {
		if m.where == 2 {
			d.drop(m)
		}
	}
	if x == nil {
		return CodeOK
	}
	delete(c.sessions, session)
	for _, m := range x.puts {
		if t := x.topics[m]; t != "" {
			d.feed(m, t, c.name)
			continue
		}
		m.queue.staged--
		d.enter(m.queue, m)
	}
	return CodeOK
}

func (p *pair) subscribe(conn uint64, c *mConn, id uint64, session uint32) {
	d, rng := p.d, p.rng
	name, topic, sel := string('s'+rune(rng.IntN(2))), []string{"t/1", "t/2"}[rng.IntN(4)/3], p.anySelector()
	flags := []uint64{FlagDurable, FlagDurable | FlagShared, FlagShared, FlagDurable | FlagNoLocal}[rng.IntN(4)]
	if rng.IntN(4) == 0 && flags&FlagDurable != 0 {
		id = 0
	}
	p.do(conn, Op{Kind: KindSubscribe, Name: []byte(name), Topic: []byte(topic), Selector: []byte(sel), Flags: flags, Consumer: id, Session: session},
		func() (Code, []string) {
			if id != 0 && c.consumers[id] != nil {
				return CodeInUse, nil
			}
			key := "\x00s" + c.name + "\x00" + name
			if flags&FlagDurable != 0 {
				key = "\x00d" + c.name + "\x00" + name
			}
			noLocal, shared := flags&FlagNoLocal != 0, flags&FlagShared != 0
			q := d.queues[key]
			if q != nil {
				same := q.topic == topic && q.sel == sel && q.noLocal == noLocal
				busy := len(q.consumers) > 0
				if q.shared != shared || busy && !same || busy && !shared && id != 0 {
					return CodeInUse, nil
				}
				if !same {
					d.dropQueue(q)
				}
			}
			if d.queues[key] == nil {
				q = d.queue(key)
				q.topic, q.sel, q.client, q.noLocal, q.shared = topic, sel, c.name, noLocal, shared
				q.durable = flags&FlagDurable != 0
			}
			if id != 0 {
				d.newConsumer(c, q, id, session, "", flags)
			}
			return CodeOK, nil
		})
}

func (p *pair) sift(conn uint64) {
	d, rng := p.d, p.rng
	op := Op{Kind: KindPurge + Kind(rng.IntN(3)), Queue: []byte(p.anyQueue()), Limit: 1 + rng.Uint64N(4)}
	if op.Kind == KindMove {
		op.Name = []byte("B")
	}
	sel := p.anySelector()
	op.Selector = []byte(sel)
	p.do(conn, op, func() (Code, []string) {
		q := d.queues[string(op.Queue)]
		if q == nil {
			return CodeNoQueue, nil
		}
		var to *mQueue
		if op.Kind == KindMove {
			if to = d.queue("B"); to == q {
				return CodeMalformed, nil
			}
		}
		n := 0
		for _, m := range q.ready() {
			if uint64(n) == op.Limit {
				break
			}
			if !modelSelectors[sel](m) {
				continue
			}
			n++
			target := to
			if op.Kind == KindRetry {
				if target = d.queues[m.home]; m.home == "" || target == nil {
					continue
				}
			}
			if target != nil && target.full(1, d.settings(target)) {
				return CodeQueueFull, nil
			}
			d.drop(m)
			if target == nil {
				continue
			}
			moved := *m
			if op.Kind == KindRetry {
				moved.home, moved.count = "", min(moved.count, 1)
			}
			d.enter(target, &moved)
		}
		return CodeOK, nil
	})
}

// run is one random sequence. It returns where the Machine and the model differ, or "".
func run(seed uint64, steps int, leave defect) (p *pair) {
	p = &pair{rng: rand.New(rand.NewPCG(seed, 9)), m: New(holder), twin: New(holder), d: newModel(), next: map[uint64]uint64{}}
	p.m.leave, p.twin.leave = leave, leave
	defer func() {
		if r := recover(); r != nil && leave != none {
			p.fail("panic: %v", r) // a defect may do that too
		} else if r != nil {
			fmt.Println(seed, strings.Join(p.history, "\n"))
			panic(r)
		}
	}()
	for i := 0; i < steps && p.differs == ""; i++ {
		p.step()
		if i%25 == 24 {
			p.compareAll()
		}
		if i%40 == 39 && p.differs == "" {
			b := p.snapshot(p.m)
			if !bytes.Equal(b, p.snapshot(p.twin)) {
				p.fail("the twin's snapshot differs")
			}
			p.twin = New(holder)
			p.twin.leave = leave
			if _, err := p.twin.Restore(bytes.NewReader(b), false); err != nil {
				p.fail("restore: %v", err)
			} else if c := p.snapshot(p.twin); !bytes.Equal(b, c) {
				p.fail("a restored state writes %d bytes, not the %d that it was read from", len(c), len(b))
			}
			if p.rng.IntN(2) == 0 {
				p.m, p.twin = p.twin, p.m
			}
		}
	}
	return p
}

// A Machine does what the model does, for many random sequences; a second one that is restored from snapshots now and then
// stays equal to it, byte for byte.
func TestModel(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 15)
	}
	for s := uint64(1); s <= uint64(n); s++ {
		if *seed != 0 && s != *seed {
			continue
		}
		p := run(s, 600, none)
		if p.differs != "" {
			from := max(0, len(p.history)-40)
			t.Fatalf("go test ./jms/held -run '^TestModel$' -seed=%d: after %d operations\n%s\n%s", s, len(p.history), strings.Join(p.history[from:], "\n"), p.differs)
		}
	}
}

// The model finds each rule that is left out.
func TestPlanted(t *testing.T) {
	for leave := none + 1; leave < defects; leave++ {
		found := ""
		for s := uint64(1); s <= 40 && found == ""; s++ {
			if p := run(s, 600, leave); p.differs != "" {
				found = fmt.Sprintf("seed %d, operation %d: %s", s, len(p.history), strings.SplitN(p.differs, "\n", 2)[0])
			}
		}
		if found == "" {
			t.Errorf("defect %d is not found", leave)
		} else {
			t.Logf("defect %d: %s", leave, found)
		}
	}
}
