package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/jms/held"
	"github.com/activeblaze/blaze/jms/link"
)

// The queues that producers put into, and those that transactions do.
var (
	heldQueues = [3]string{"A", "B", "C"}
	heldTarget = [3]string{"T1", "T2", "T3"}
)

// heldProgram is what all programs have.
type heldProgram struct {
	h      *HeldCluster
	x      *heldClient
	sender int // of this process
	conns  int
}

func (p *heldProgram) add(r check.HeldRecord) {
	r.At = p.h.Net.Now()
	p.h.Queues.Add(r)
	p.h.Net.Note(uint64(r.At), 'q', uint64(r.Kind), uint64(r.Message), r.Delivery)
}

// process numbers a process of a program.
func (h *HeldCluster) process() int {
	h.Counts.Programs++
	return h.Counts.Programs
}

// every calls f from time to time, until it returns false or the connection is another one.
func (p *heldProgram) every(mean time.Duration, f func() bool) {
	x, of := p.x, p.x.link
	var next func()
	next = func() {
		x.after(time.Duration(x.rng.ExpFloat64()*float64(mean)), func() {
			if x.link == of && !of.Ended() && !x.leaving && f() {
				x.turn()
				next()
			}
		})
	}
	next()
}

// message makes a message, and its operation.
func (p *heldProgram) message(kind held.Kind, queue string, priority, batch int) (int, held.Op) {
	h := p.h
	n := h.Queues.Put(check.HeldMessage{Queue: queue, Sender: p.sender, Priority: priority, Batch: batch})
	size := 8 + p.x.rng.IntN(150)
	if p.x.rng.IntN(50) == 0 {
		size = 8 + p.x.rng.IntN(5000)
	}
	data := make([]byte, size)
	check.Payload(data[8:], h.Seed<<20, uint64(n))
	binary.LittleEndian.PutUint64(data, uint64(n))
	id := make([]byte, 24)
	id[0] = 1
	binary.BigEndian.PutUint64(id[16:], uint64(n))
	return n, held.Op{Kind: kind, Queue: []byte(queue), HasMessage: true,
		Message: held.Message{ID: id, Data: data, Priority: uint8(priority), Persistent: true}}
}

// received notes a message, whose number it returns.
func (p *heldProgram) received(m *held.Message, session int) int {
	n := -1
	if len(m.Data) >= 8 {
		n = int(binary.LittleEndian.Uint64(m.Data))
	}
	if n < 0 || n >= len(p.h.Queues.Messages) {
		p.h.Queues.Found("HQ-2", "a message that nobody has put: %x", m.Data)
		return -1
	}
	want := make([]byte, len(m.Data)-8)
	check.Payload(want, p.h.Seed<<20, uint64(n))
	if string(want) != string(m.Data[8:]) {
		p.h.Queues.Found("HQ-2", "message %d has another body than was put", n)
	}
	p.h.Counts.Received++
	if m.Count > 1 {
		p.h.Counts.Again++
	}
	p.add(check.HeldRecord{Kind: check.HeldReceived, Message: n, Reader: session, Count: m.Count, Delivery: m.Delivery})
	return n
}

func (p *heldProgram) unexpected(what string, e *link.Event) {
	p.h.Queues.Found("HQ-8", "node %d: %s is answered with code %d, %v", p.x.Node, what, e.Answer.Code, e.Err)
}

// heldProducer puts messages.
type heldProducer struct {
	heldProgram
	put   map[uint64]int // by ticket
	ops   map[int]held.Op
	redo  []int // to be put again: nobody knows whether they were
	first uint64
}

func newHeldProducer(h *HeldCluster, _ int) *heldProducer {
	return &heldProducer{heldProgram: heldProgram{h: h, sender: h.process()}, ops: map[int]held.Op{}}
}

func (p *heldProducer) again() heldApp {
	return newHeldProducer(p.h, 0)
}

func (p *heldProducer) idle() bool { return len(p.redo) == 0 }
func (p *heldProducer) String() string {
	return fmt.Sprintf("producer, %d to be repeated", len(p.redo))
}
func (p *heldProducer) crashed()         {}
func (p *heldProducer) ends(*heldClient) {}

func (p *heldProducer) begin(x *heldClient) {
	p.x, p.put = x, map[uint64]int{}
	p.first, _ = x.submit(&held.Op{Kind: held.KindConfigure, Settings: &held.Settings{MaxRedeliveries: -1}}) // no dead letters
	redo := p.redo
	p.redo = nil
	for _, n := range redo {
		p.add(check.HeldRecord{Kind: check.HeldRepeated, Message: n})
		p.h.Counts.Repeated++
		op := p.ops[n]
		op.Message.Again = true
		p.submit(n, op)
	}
	p.every(4*time.Millisecond, func() bool {
		if p.h.quiet {
			return false
		}
		if x.link.UnderWay() < 20 {
			n, op := p.message(held.KindPut, heldQueues[x.rng.IntN(len(heldQueues))], []int{4, 4, 4, 9}[x.rng.IntN(4)], -1)
			p.ops[n] = op
			p.submit(n, op)
		}
		return true
	})
}

func (p *heldProducer) submit(n int, op held.Op) {
	ticket, ok := p.x.submit(&op)
	if !ok {
		p.redo = append(p.redo, n)
		return
	}
	p.put[ticket] = n
}

func (p *heldProducer) event(e *link.Event) {
	if e.Kind != link.EventAnswer || e.Ticket == p.first {
		return
	}
	n, ok := p.put[e.Ticket]
	delete(p.put, e.Ticket)
	switch {
	case !ok: // its own end
	case e.Err != nil:
		p.redo = append(p.redo, n)
	case e.Answer.Code == held.CodeOK:
		p.h.Counts.Accepted++
		delete(p.ops, n)
		p.add(check.HeldRecord{Kind: check.HeldAccepted, Message: n})
	default:
		p.unexpected("a put", e)
	}
}

// heldHas is a message that a taker has received, and not acknowledged.
type heldHas struct {
	check.HeldDelivery
	number  uint64
	session uint32
	queue   string
}

// heldTaker takes messages that come when they come, keeps them for a while, and acknowledges some; now and then it
// gives some back. tx: it does so in transactions, which put into three other queues. The last of its queues is another
// session's.
type heldTaker struct {
	heldProgram
	queues   []string
	tx       bool
	has      []heldHas
	settling map[uint64][]heldHas // by ticket
	commits  map[uint64]int       // batches, by ticket
	credit   map[uint64]int       // messages that a consumer may still be given
	doomed   uint64               // a commit that names what it does not have, and has no answer; 0: none
	takes    map[uint64]uint64    // consumers, by the ticket of a Take that does not wait
}

func newHeldTaker(h *HeldCluster, queues []string, tx bool) *heldTaker {
	return &heldTaker{heldProgram: heldProgram{h: h, sender: h.process()}, queues: queues, tx: tx}
}

func (k *heldTaker) again() heldApp { return newHeldTaker(k.h, k.queues, k.tx) }

func (k *heldTaker) idle() bool { return len(k.has) == 0 && len(k.settling) == 0 }
func (k *heldTaker) String() string {
	return fmt.Sprintf("taker, has %d, acknowledges %d, credit %v", len(k.has), len(k.settling), k.credit)
}

// crashed leaves open what was being acknowledged.
func (k *heldTaker) crashed() {
	for _, ticket := range sortedTickets(k.settling) {
		k.leaveOpen(ticket)
		if batch, ok := k.commits[ticket]; ok {
			k.add(check.HeldRecord{Kind: check.HeldInDoubt, Batch: batch})
			delete(k.commits, ticket)
		}
	}
	if batch, ok := k.commits[k.doomed]; ok {
		k.add(check.HeldRecord{Kind: check.HeldRolledBack, Batch: batch})
	}
	k.has, k.settling = nil, nil
}

func (k *heldTaker) ends(*heldClient) {}

func sortedTickets[V any](m map[uint64]V) (all []uint64) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

func (k *heldTaker) leaveOpen(ticket uint64) {
	for _, one := range k.settling[ticket] {
		k.add(check.HeldRecord{Kind: check.HeldOpen, Message: one.Message, Delivery: one.Delivery})
	}
}

func (k *heldTaker) begin(x *heldClient) {
	k.x = x
	k.conns++
	k.has, k.settling, k.commits, k.credit, k.doomed, k.takes = nil, map[uint64][]heldHas{}, map[uint64]int{}, map[uint64]int{}, 0, map[uint64]uint64{}
	for i, q := range k.queues {
		x.submit(&held.Op{Kind: held.KindConsume, Consumer: uint64(i + 1), Queue: []byte(q), Session: k.session(i)})
	}
	k.every(2*time.Millisecond, k.step)
}

// session is that of a consumer.
func (k *heldTaker) session(i int) uint32 {
	if i == len(k.queues)-1 && i > 1 {
		return 2
	}
	return 1
}

// step is what the program does next.
func (k *heldTaker) step() bool {
	x, rng := k.x, k.x.rng
	if x.link.UnderWay() > 40 || k.doomed != 0 {
		return true
	}
	for i := range k.queues {
		if id := uint64(i + 1); k.credit[id] == 0 && rng.IntN(2) == 0 {
			k.credit[id] = 1 + rng.IntN(8)
			op := held.Op{Kind: held.KindTake, Consumer: id, Limit: uint64(k.credit[id]), Flags: held.FlagWait}
			if rng.IntN(4) == 0 {
				op.Flags = 0
			}
			if ticket, ok := x.submit(&op); ok && op.Flags == 0 {
				k.takes[ticket] = id
			}
		}
	}
	if len(k.has) == 0 {
		return true
	}
	session := k.has[0].session
	var some, others []heldHas
	for most := 1 + rng.IntN(16); len(k.has) > 0; k.has = k.has[1:] {
		if k.has[0].session == session && len(some) < most {
			some = append(some, k.has[0])
		} else {
			others = append(others, k.has[0])
		}
	}
	k.has = others
	draw := rng.IntN(10)
	if k.h.quiet {
		draw = 9
	}
	switch {
	case draw == 0:
		x.submit(&held.Op{Kind: held.KindRelease, Session: session, Numbers: numbersOf(some)})
	case draw < 8 && k.tx && session == 1:
		k.transact(some)
	default:
		k.acknowledge(held.Op{Kind: held.KindSettle, Session: session, Numbers: numbersOf(some)}, some)
	}
	return true
}

func numbersOf(some []heldHas) (numbers []uint64) {
	for _, one := range some {
		numbers = append(numbers, one.number)
	}
	return numbers
}

func (k *heldTaker) acknowledge(op held.Op, some []heldHas) (ticket uint64) {
	ticket, ok := k.x.submit(&op)
	if ok {
		k.settling[ticket] = some
	}
	return ticket
}

// transact puts into three queues and acknowledges, and commits that or rolls it back.
func (k *heldTaker) transact(some []heldHas) {
	x, q := k.x, k.h.Queues
	batch := len(q.Batches)
	q.Batches = append(q.Batches, check.HeldBatch{})
	b := check.HeldBatch{}
	staged := some[:x.rng.IntN(len(some)+1)] // the others are named by the commit
	rest := some[len(staged):]
	for i, queue := range heldTarget {
		n, op := k.message(held.KindStage, queue, 4, batch)
		op.Session = 1
		if i == 1 && len(staged) > 0 {
			op.Numbers = numbersOf(staged)
		}
		b.Puts = append(b.Puts, n)
		x.submit(&op)
	}
	q.Batches[batch] = b
	switch x.rng.IntN(12) {
	case 0, 1:
		k.rollback(batch)
		return
	case 2: // it names what nobody has: nothing of it may happen
		op := held.Op{Kind: held.KindCommit, Session: 1, Numbers: append(numbersOf(rest), 1<<62)}
		if ticket, ok := x.submit(&op); ok {
			k.doomed, k.commits[ticket] = ticket, batch
		}
		return
	}
	two := map[string]bool{}
	for _, one := range some {
		b.Acks = append(b.Acks, one.HeldDelivery)
		two[one.queue] = true
	}
	if len(two) > 1 {
		k.h.Counts.OfTwo++
	}
	q.Batches[batch].Acks = b.Acks
	k.commits[k.acknowledge(held.Op{Kind: held.KindCommit, Session: 1, Numbers: numbersOf(rest)}, some)] = batch
}

// rollback rolls a batch back.
func (k *heldTaker) rollback(batch int) {
	k.add(check.HeldRecord{Kind: check.HeldRolledBack, Batch: batch})
	k.h.Counts.RolledBack++
	for i := range k.queues { // what is given to them before the rollback would count as what they wait for
		if k.session(i) == 1 {
			k.x.submit(&held.Op{Kind: held.KindStop, Consumer: uint64(i + 1)})
			k.credit[uint64(i+1)] = 0
		}
	}
	for ticket, id := range k.takes {
		if k.session(int(id)-1) == 1 {
			delete(k.takes, ticket)
		}
	}
	k.has = slices.DeleteFunc(k.has, func(one heldHas) bool { return one.session == 1 })
	k.x.submit(&held.Op{Kind: held.KindRollback, Session: 1})
}

func (k *heldTaker) event(e *link.Event) {
	switch e.Kind {
	case link.EventMessage:
		m := &e.Message
		k.credit[m.Consumer] = max(0, k.credit[m.Consumer]-1)
		if n := k.received(m, -1); n >= 0 {
			k.has = append(k.has, heldHas{check.HeldDelivery{Message: n, Delivery: m.Delivery}, m.Number, m.Session, k.h.Queues.Messages[n].Queue})
		}
	case link.EventNone:
		k.taken(e.Ticket)
	case link.EventAnswer:
		k.answered(e)
	}
}

// taken is the end of a Take that does not wait.
func (k *heldTaker) taken(ticket uint64) {
	if id, ok := k.takes[ticket]; ok {
		delete(k.takes, ticket)
		k.credit[id] = 0
	}
}

func (k *heldTaker) answered(e *link.Event) {
	batch, commit := k.commits[e.Ticket]
	some, settles := k.settling[e.Ticket]
	ok := e.Err == nil && e.Answer.Code == held.CodeOK
	doomed := k.doomed == e.Ticket
	if doomed {
		k.doomed = 0
	}
	switch {
	case doomed && e.Err == nil && e.Answer.Code == held.CodeNotHeld:
		k.h.Counts.Doomed++
		k.rollback(batch)
	case doomed && ok:
		k.h.Queues.Found("HQ-4", "node %d: a commit that names what its session does not have is not refused", k.x.Node)
	case doomed && e.Err != nil:
		k.add(check.HeldRecord{Kind: check.HeldRolledBack, Batch: batch}) // it could not but fail
	case ok:
		for _, one := range some {
			k.h.Counts.Settled++
			k.add(check.HeldRecord{Kind: check.HeldSettled, Message: one.Message, Delivery: one.Delivery})
		}
		if commit {
			k.h.Counts.Committed++
			k.add(check.HeldRecord{Kind: check.HeldCommitted, Batch: batch})
		}
		if !settles {
			k.taken(e.Ticket)
		}
	case commit && e.Err == link.ErrInDoubt:
		k.h.Counts.InDoubt++
		k.leaveOpen(e.Ticket)
		k.add(check.HeldRecord{Kind: check.HeldInDoubt, Batch: batch})
	case commit && e.Err == link.ErrLost: // it was never sent
		k.add(check.HeldRecord{Kind: check.HeldRolledBack, Batch: batch})
	case e.Err != nil:
		k.leaveOpen(e.Ticket)
	case e.Answer.Code == held.CodeLater:
	default:
		k.unexpected("an operation of a taker", e)
	}
	delete(k.commits, e.Ticket)
	delete(k.settling, e.Ticket)
}

// heldReader takes all that the transactions have put, queue by queue, in one session, and commits it.
type heldReader struct {
	heldProgram
	session int // of the log
	ticket  uint64
	kind    held.Kind // of the operation that it waits for; 0: it waits for none
	queue   int
	began   int
	got     int
	later   bool
	has     []heldHas
	some    []heldHas // that the commit acknowledges
	asked   int       // counts operations
}

// heldLimit is how many messages a reader takes at a time.
const heldLimit = 200

func newHeldReader(h *HeldCluster) *heldReader {
	return &heldReader{heldProgram: heldProgram{h: h, sender: h.process()}}
}

func (r *heldReader) again() heldApp { return newHeldReader(r.h) }

func (r *heldReader) idle() bool { return len(r.has) == 0 && len(r.some) == 0 }
func (r *heldReader) String() string {
	return fmt.Sprintf("reader, has %d, acknowledges %d, waits for kind %d", len(r.has), len(r.some), r.kind)
}
func (r *heldReader) ends(*heldClient) {}

func (r *heldReader) crashed() {
	for _, one := range r.some {
		r.add(check.HeldRecord{Kind: check.HeldOpen, Message: one.Message, Delivery: one.Delivery})
	}
	r.has, r.some, r.kind = nil, nil, 0
}

func (r *heldReader) begin(x *heldClient) {
	r.x = x
	r.conns++
	r.session = r.h.process()
	r.has, r.some, r.kind, r.queue = nil, nil, 0, 0
	for i, q := range heldTarget {
		op := held.Op{Kind: held.KindConsume, Consumer: uint64(i + 1), Queue: []byte(q), Session: 1}
		if r.h.Seed%3 == 0 {
			op.Flags = held.FlagExclusive
		}
		x.submit(&op)
	}
	r.every(time.Millisecond, func() bool {
		if r.kind == 0 {
			r.next()
		}
		return true
	})
}

// next asks for the next thing: a queue's messages, or after the last one the end of the transaction.
func (r *heldReader) next() {
	r.asked++
	if r.queue < len(heldTarget) {
		r.began, r.got, r.later = len(r.h.Queues.Records), 0, false
		r.ask(held.Op{Kind: held.KindTake, Consumer: uint64(r.queue + 1), Limit: heldLimit})
		r.watch(r.asked)
		return
	}
	r.queue = 0
	if len(r.has) == 0 {
		return
	}
	if r.x.rng.IntN(8) == 0 && !r.h.quiet {
		r.has = nil
		r.ask(held.Op{Kind: held.KindRollback, Session: 1})
		return
	}
	n := min(len(r.has), held.MaxNumbers)
	r.some, r.has = r.has[:n:n], r.has[n:]
	r.ask(held.Op{Kind: held.KindCommit, Session: 1, Numbers: numbersOf(r.some)})
}

func (r *heldReader) ask(op held.Op) {
	if ticket, ok := r.x.submit(&op); ok {
		r.ticket, r.kind = ticket, op.Kind
	}
}

// watch gives up a Take whose end does not come: the notice of it was lost.
func (r *heldReader) watch(asked int) {
	r.x.after(300*time.Millisecond, func() {
		if r.asked == asked && r.kind == held.KindTake && r.later {
			r.took(false)
			r.x.submit(&held.Op{Kind: held.KindStop, Consumer: uint64(r.queue)})
			r.x.turn()
		}
	})
}

// took is the end of a Take.
func (r *heldReader) took(whole bool) {
	r.add(check.HeldRecord{Kind: check.HeldTook, Reader: r.session, Queue: heldTarget[r.queue], Whole: whole && r.got < heldLimit, Began: r.began})
	r.h.Counts.Took++
	r.kind = 0
	r.queue++
}

func (r *heldReader) event(e *link.Event) {
	switch e.Kind {
	case link.EventMessage:
		r.got++
		if n := r.received(&e.Message, r.session); n >= 0 {
			r.has = append(r.has, heldHas{check.HeldDelivery{Message: n, Delivery: e.Message.Delivery}, e.Message.Number, 1, ""})
		}
	case link.EventNone:
		if r.kind == held.KindTake && e.Ticket == r.ticket {
			r.took(true)
		}
	case link.EventEnded:
		r.kind = 0
	case link.EventAnswer:
		if r.kind == 0 || e.Ticket != r.ticket {
			if e.Err == nil && e.Answer.Code != held.CodeOK {
				r.unexpected("an operation of the reader", e)
			}
			return
		}
		kind := r.kind
		switch {
		case e.Err != nil:
			r.crashed()
		case kind == held.KindTake && e.Answer.Code == held.CodeLater:
			r.later = true
		case e.Answer.Code != held.CodeOK:
			r.unexpected("the reader's operation", e)
			r.kind = 0
		case kind == held.KindTake:
			r.took(true)
		case kind == held.KindCommit:
			for _, one := range r.some {
				r.h.Counts.Settled++
				r.add(check.HeldRecord{Kind: check.HeldSettled, Message: one.Message, Delivery: one.Delivery})
			}
			r.some, r.kind = nil, 0
		default:
			r.kind = 0
		}
	}
}
