package link

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/jms/held"
)

var (
	seeds   = flag.Int("seeds", 200, "simulated runs")
	oneSeed = flag.Uint64("seed", 0, "only this one")
	verbose = flag.Bool("trace.sim", false, "print what happens")
)

// world is clients and holders in virtual time: a total order, a network that loses, doubles and delays, crashes.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	seed   uint64
	now    clock.Time
	events eventHeap
	seq    int

	log     []entry // the total order
	holders []*holder
	clients []*client
	made    byte
	healed  bool
	hashes  map[int]uint64 // of snapshots, by index
	leave   defect
	wrong   string // what was noticed on the way

	app appRecord
}

type entry struct {
	data    []byte
	by      held.Member
	request func(answer []byte) // at the proposer; nil: a Tick or an end
	tick    int64
	gone    held.Member
}

type event struct {
	at  clock.Time
	seq int
	do  func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

// holder is one replica.
type holder struct {
	w       *world
	id      held.Member
	m       *held.Machine
	applied int
	alive   bool
	paused  clock.Time                  // it does nothing before
	last    map[*client]clock.Time      // notices arrive in order
	pending map[int]func(answer []byte) // by index
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now.Add(d), w.seq, do})
}

func (w *world) between(low, high time.Duration) time.Duration {
	return low + time.Duration(w.rng.Int64N(int64(high-low)+1))
}

// looks reports whether notices are lost in this run, and clients look for them.
func (w *world) looks() bool { return w.seed%3 == 0 }

func (w *world) chance(p float64) bool { return !w.healed && w.rng.Float64() < p }

func (w *world) trace(format string, args ...any) {
	if *verbose {
		fmt.Printf("%v "+format+"\n", append([]any{time.Duration(w.now)}, args...)...)
	}
}

func (w *world) note(format string, args ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

func (w *world) alive() (all []*holder) {
	for _, h := range w.holders {
		if h.alive {
			all = append(all, h)
		}
	}
	return all
}

func (w *world) newHolder() *holder {
	w.made++
	h := &holder{w: w, id: held.Member{0: 0xAA, 15: w.made}, m: held.New(held.Member{0: 0xAA, 15: w.made}), alive: true,
		last: map[*client]clock.Time{}, pending: map[int]func([]byte){}}
	w.holders = append(w.holders, h)
	return h
}

// propose brings an operation into the order, or loses it.
func (w *world) propose(e entry, delay time.Duration) {
	w.after(delay, func() {
		if e.request != nil && w.chance(0.02) {
			return // the ring dropped it
		}
		w.log = append(w.log, e)
		for _, h := range w.alive() {
			w.after(w.between(10*time.Microsecond, 400*time.Microsecond), h.run)
		}
	})
}

// run applies what there is.
func (h *holder) run() {
	w := h.w
	if !h.alive {
		return
	}
	if w.now < h.paused {
		w.after(h.paused.Sub(w.now), h.run)
		return
	}
	for n := 1 + w.rng.IntN(8); n > 0 && h.applied < len(w.log); n-- {
		e := w.log[h.applied]
		h.applied++
		var answer []byte
		switch {
		case e.tick != 0:
			h.m.Tick(time.UnixMilli(e.tick))
		case e.gone != held.Member{}:
			h.m.Gone(e.gone)
		default:
			answer = h.m.Apply(e.data, e.by, uint64(h.applied))
		}
		if e.by == h.id && e.request != nil {
			e.request(answer)
		}
		h.m.Certain(uint64(h.applied))
		for {
			n, ok := h.m.Notice()
			if !ok {
				break
			}
			for _, c := range w.clients {
				if c.member == n.To && c.alive && c.conn == n.Conn {
					h.notify(c, held.AppendNotice(nil, &n), n.Kind == held.NoticeMessage)
				}
			}
		}
		if h.applied%64 == 0 {
			h.compare()
		}
	}
	if h.applied < len(w.log) {
		w.after(50*time.Microsecond, h.run)
	}
}

// compare sees to it that replicas that have applied as much are equal.
func (h *holder) compare() {
	s, err := h.m.Snapshot()
	if err != nil {
		h.w.t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		h.w.t.Fatal(err)
	}
	sum := uint64(14695981039346656037)
	for _, c := range b.Bytes() {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	if want, ok := h.w.hashes[h.applied]; ok && want != sum {
		h.w.t.Fatalf("seed %d: replicas differ at %d", h.w.seed, h.applied)
	}
	h.w.hashes[h.applied] = sum
}

// notify sends a notice: in order, and now and then late, with those behind it. In some runs messages are lost.
func (h *holder) notify(c *client, b []byte, message bool) {
	w := h.w
	if message && w.looks() && w.chance(0.02) {
		return
	}
	delay := w.between(20*time.Microsecond, 600*time.Microsecond)
	if w.chance(0.02) {
		delay = w.between(time.Millisecond, 20*time.Millisecond)
	}
	at := max(w.now.Add(delay), h.last[c]+1)
	h.last[c] = at
	link := c.link
	w.after(at.Sub(w.now), func() {
		if c.alive && c.link == link && h.alive {
			if !held.ParseNotices(b, c.link.Notice) {
				w.t.Fatal("a notice does not parse")
			}
			c.turn()
		}
	})
}

// client is a program with one connection.
type client struct {
	w      *world
	member held.Member
	conn   uint64
	link   *Link
	out    Outbound[*Link]
	alive  bool
	woken  clock.Time
	looks  map[uint64]bool
	app    app
}

// app is what a program does.
type app interface {
	start(c *client)
	again() app
	event(c *client, e Event)
}

func (w *world) newClient(a app) *client {
	w.made++
	c := &client{w: w, member: held.Member{0: 0xCC, 15: w.made}, alive: true, app: a}
	w.clients = append(w.clients, c)
	c.connect()
	return c
}

func (c *client) connect() {
	c.conn++
	c.looks = map[uint64]bool{}
	c.link = New(Config{Conn: c.conn, Name: "c", RetryAfter: 20 * time.Millisecond, Window: 16})
	c.link.leave = c.w.leave
	c.link.Holders(c.w.holderIDs())
	c.app.start(c)
	c.look(c.link)
	c.turn()
}

// look asks for lost notices now and then, in a third of the runs: what it finds hides what else is wrong.
func (c *client) look(link *Link) {
	if !c.w.looks() {
		return
	}
	c.w.after(c.w.between(time.Millisecond, 20*time.Millisecond), func() {
		if !c.alive || c.link != link || c.w.now > clock.Time(2300*time.Millisecond) {
			return
		}
		if ticket, err := link.Look(); err == nil {
			c.looks[ticket] = true
		}
		c.look(link)
		c.turn()
	})
}

func (w *world) holderIDs() (all []held.Member) {
	for _, h := range w.alive() {
		all = append(all, h.id)
	}
	return all
}

// turn sends what there is, and lets the program have what came.
func (c *client) turn() {
	w := c.w
	for c.alive {
		if e, ok := c.link.PollEvent(); ok {
			if e.Kind == EventAnswer && c.looks[e.Ticket] {
				delete(c.looks, e.Ticket)
			} else {
				c.app.event(c, e)
			}
			if e.Kind == EventEnded {
				w.trace("client %d lost connection %d", c.member[15], c.conn)
				w.after(w.between(0, 5*time.Millisecond), func() {
					if c.alive {
						c.connect()
					}
				})
			}
			continue
		}
		s, ok := c.link.PollSend(w.now)
		if !ok {
			break
		}
		c.out.Add(c.link, s)
	}
	for {
		b, ok := c.out.Poll()
		if !ok {
			break
		}
		c.out.Done(b) // what is lost here has no end
		c.send(b)
	}
	if at, ok := c.link.Deadline(); ok && (c.woken == 0 || c.woken <= w.now || at < c.woken) {
		c.woken = at
		w.after(max(0, at.Sub(w.now)), func() {
			if c.alive {
				c.woken = 0
				c.link.Tick(w.now)
				c.turn()
			}
		})
	}
}

// send is a request through the network, and its answer.
func (c *client) send(b *Batch[*Link]) {
	w, link := c.w, c.link
	h := w.holders[slices.IndexFunc(w.holders, func(h *holder) bool { return h.id == b.To })]
	copies := 1
	if w.chance(0.02) {
		copies = 0
	} else if w.chance(0.02) {
		copies = 2
	}
	for range copies {
		w.after(w.between(20*time.Microsecond, 800*time.Microsecond), func() {
			if !h.alive {
				return
			}
			if w.chance(0.005) {
				w.after(w.between(20*time.Microsecond, 800*time.Microsecond), func() {
					if c.alive && c.link == link {
						for _, i := range b.Items {
							link.Failed(i.Send)
						}
						c.turn()
					}
				})
				return
			}
			data := held.Sign(slices.Clone(b.Data), c.member)
			w.propose(entry{data: data, by: h.id, request: func(answer []byte) {
				if w.chance(0.02) {
					return
				}
				delay := w.between(20*time.Microsecond, 800*time.Microsecond)
				if w.chance(0.05) {
					delay = w.between(time.Millisecond, 10*time.Millisecond)
				}
				w.after(delay, func() {
					if c.alive && c.link == link {
						if !b.Answers(answer, func(i *Item[*Link], answer []byte) { link.Answer(h.id, answer) }) {
							w.note("a batch of %d is answered by %x", len(b.Items), answer)
						}
						c.turn()
					}
				})
			}}, max(0, h.paused.Sub(w.now))+w.between(20*time.Microsecond, 300*time.Microsecond))
		})
	}
}

// die is the crash of a client: the holders are told a little later.
func (c *client) die() {
	c.alive = false
	if k, ok := c.app.(*taker); ok {
		for ticket := range k.settling {
			k.leaveOpen(Event{Ticket: ticket})
		}
	}
	c.w.propose(entry{gone: c.member}, c.w.between(time.Millisecond, 30*time.Millisecond))
}

// faults lets things go wrong now and then.
func (w *world) faults() {
	if w.healed {
		return
	}
	w.after(w.between(time.Millisecond, 60*time.Millisecond), w.faults)
	all := w.alive()
	h := all[w.rng.IntN(len(all))]
	switch r := w.rng.IntN(10); {
	case r < 3 && len(all) > 1:
		w.trace("holder %d crashes", h.id[15])
		h.alive = false
		w.after(w.between(5*time.Millisecond, 50*time.Millisecond), w.tellHolders)
	case r < 5 && len(all) < 4:
		from := all[w.rng.IntN(len(all))]
		if from.paused > w.now {
			return
		}
		s, _ := from.m.Snapshot()
		index := from.applied
		w.after(w.between(time.Millisecond, 20*time.Millisecond), func() { // beside what goes on
			var b bytes.Buffer
			if _, err := s.WriteTo(&b); err != nil {
				w.t.Fatal(err)
			}
			n := w.newHolder()
			if _, err := n.m.Restore(&b, false); err != nil {
				w.t.Fatalf("seed %d: %v", w.seed, err)
			}
			n.applied = index
			w.trace("holder %d joins at %d", n.id[15], index)
			n.run()
			w.tellHolders()
		})
	case r < 7:
		h.paused = w.now.Add(w.between(5*time.Millisecond, 80*time.Millisecond))
		w.trace("holder %d pauses", h.id[15])
	case r < 8:
		if c := w.clients[w.rng.IntN(len(w.clients))]; c.alive {
			w.trace("client %d crashes", c.member[15])
			c.die()
			w.after(w.between(time.Millisecond, 30*time.Millisecond), func() { w.newClient(c.app.again()) })
		}
	case r < 9 && w.rng.IntN(3) == 0: // taken for gone, and is not
		if c := w.clients[w.rng.IntN(len(w.clients))]; c.alive {
			w.trace("client %d is taken for gone", c.member[15])
			w.propose(entry{gone: c.member}, 0)
		}
	}
}

func (w *world) tellHolders() {
	for _, c := range w.clients {
		if c.alive {
			w.after(w.between(0, 3*time.Millisecond), func() {
				if c.alive {
					c.link.Holders(w.holderIDs())
					c.turn()
				}
			})
		}
	}
}

// leader proposes Ticks that are asked for.
func (w *world) leader() {
	w.after(time.Millisecond, w.leader)
	h := w.alive()[0]
	wall := int64(1_000_000) + int64(w.now)/1e6
	if at, ok := h.m.Next(); ok && at.UnixMilli() <= wall {
		w.propose(entry{tick: wall}, w.between(0, 200*time.Microsecond))
	}
}

func (w *world) until(at clock.Time) {
	for n := 0; len(w.events) > 0 && w.events[0].at <= at; n++ {
		if n > 2_000_000 {
			w.note("it does not come to rest")
			return
		}
		e := heap.Pop(&w.events).(event)
		w.now = max(w.now, e.at)
		e.do()
	}
	w.now = at
}

// appRecord is what all programs note, for the checks.
type appRecord struct {
	senders   int
	acked     map[string]bool // text of a message: its Send has returned nil
	lost      map[string]bool // it was put again, in another connection
	received  map[string][]reception
	settled   map[string]uint64 // the delivery whose settlement was acknowledged
	open      map[string]bool   // the outcome of a settlement is not known
	batches   map[string][]string
	committed map[string]int // of a batch: 1 committed, 2 not, 3 in doubt
}

type reception struct {
	queue    string
	count    uint32
	delivery uint64
}

var simQueues = []string{"A", "B"}

// producer puts messages into queues.
type producer struct {
	w     *world
	no    int
	n     int
	under map[uint64]string
	texts map[string]held.Op
	redo  []string // to be put again, for their outcome is not known
}

func (a *appRecord) init() {
	a.acked, a.lost, a.open, a.settled = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]uint64{}
	a.received, a.batches, a.committed = map[string][]reception{}, map[string][]string{}, map[string]int{}
}

func (w *world) newProducer() *producer {
	w.app.senders++
	return &producer{w: w, no: w.app.senders}
}

func (p *producer) again() app { return p.w.newProducer() }

func (p *producer) start(c *client) {
	p.under = map[uint64]string{}
	// No dead letters: each message is to be settled.
	if ticket, err := c.link.Submit(&held.Op{Kind: held.KindConfigure, Settings: &held.Settings{MaxRedeliveries: -1}}); err == nil {
		p.under[ticket] = ""
	}
	if p.texts == nil {
		p.texts = map[string]held.Op{}
		p.next(c)
	}
	redo := p.redo
	p.redo = nil
	for _, text := range redo {
		op := p.texts[text]
		op.Message.Again = true
		p.w.app.lost[text] = true // it may have been put, received and settled, and comes once more, marked
		p.submit(c, text, op)
	}
}

func messageID(sender, n int) []byte {
	id := make([]byte, 24)
	id[0] = 1
	binary.BigEndian.PutUint32(id[8:], uint32(sender))
	binary.BigEndian.PutUint64(id[16:], uint64(n))
	return id
}

func (p *producer) next(c *client) {
	w := p.w
	if !c.alive || w.healed {
		return
	}
	w.after(w.between(50*time.Microsecond, 3*time.Millisecond), func() { p.next(c) })
	if c.link.Ended() || c.link.UnderWay() > 6 {
		return
	}
	p.n++
	queue := simQueues[w.rng.IntN(len(simQueues))]
	priority := []int{4, 4, 4, 9}[w.rng.IntN(4)]
	text := fmt.Sprintf("%s/p%d/%d/%06d", queue, p.no, priority, p.n)
	op := held.Op{Kind: held.KindPut, Queue: []byte(queue), HasMessage: true,
		Message: held.Message{ID: messageID(p.no, p.n), Data: []byte(text), Priority: uint8(priority), Persistent: true}}
	p.texts[text] = op
	p.submit(c, text, op)
	c.turn()
}

func (p *producer) submit(c *client, text string, op held.Op) {
	ticket, err := c.link.Submit(&op)
	if err != nil {
		p.redo = append(p.redo, text)
		return
	}
	p.under[ticket] = text
}

func (p *producer) event(c *client, e Event) {
	if e.Kind != EventAnswer {
		return
	}
	text, ok := p.under[e.Ticket]
	if !ok {
		p.w.note("an answer to no operation: %+v", e)
	}
	delete(p.under, e.Ticket)
	switch {
	case text == "":
	case e.Err != nil:
		p.redo = append(p.redo, text)
	case e.Answer.Code == held.CodeOK:
		p.w.app.acked[text] = true
	default:
		p.w.note("a put is answered %+v", e.Answer)
	}
}

// taker takes messages, holds them for a while, and settles them; now and then it gives one back, or takes in a
// transaction whose puts go to two queues of their own.
type taker struct {
	w        *world
	no       int
	queues   []string
	tx       bool
	batch    int
	holding  []held.Message
	settling map[uint64][]held.Message
	commits  map[uint64]string
	credit   map[uint64]int
	conn     int
	asking   int
}

func (w *world) newTaker(queues []string, tx bool) *taker {
	w.app.senders++
	return &taker{w: w, no: w.app.senders, queues: queues, tx: tx}
}

func (k *taker) again() app { return k.w.newTaker(k.queues, k.tx) }

func (k *taker) start(c *client) {
	k.holding, k.settling, k.commits, k.credit = nil, map[uint64][]held.Message{}, map[uint64]string{}, map[uint64]int{}
	for i, q := range k.queues {
		if _, err := c.link.Submit(&held.Op{Kind: held.KindConsume, Consumer: uint64(i + 1), Queue: []byte(q), Session: 1}); err != nil {
			k.w.t.Fatal(err)
		}
	}
	k.conn++
	k.next(c, k.conn)
}

func (k *taker) next(c *client, conn int) {
	w := k.w
	if !c.alive || conn != k.conn || c.link.Ended() {
		return
	}
	w.after(w.between(200*time.Microsecond, 3*time.Millisecond), func() { k.next(c, conn) })
	if c.link.UnderWay() > 8 {
		return
	}
	for i := range k.queues {
		id := uint64(i + 1)
		if k.credit[id] == 0 && w.rng.IntN(2) == 0 {
			k.credit[id] = 1 + w.rng.IntN(5)
			flags := uint64(held.FlagWait)
			if w.rng.IntN(4) == 0 {
				flags = 0
			}
			ticket, err := c.link.Submit(&held.Op{Kind: held.KindTake, Consumer: id, Limit: uint64(k.credit[id]), Flags: flags})
			if err != nil {
				w.t.Fatal(err)
			}
			if flags == 0 {
				k.asking++
				_ = ticket
			}
		}
	}
	if len(k.holding) == 0 {
		c.turn()
		return
	}
	n := 1 + w.rng.IntN(len(k.holding))
	if w.healed {
		n = len(k.holding)
	}
	some := slices.Clone(k.holding[:n])
	k.holding = k.holding[n:]
	var numbers []uint64
	for _, m := range some {
		numbers = append(numbers, m.Number)
	}
	switch r := w.rng.IntN(10); {
	case r == 0 && !w.healed:
		k.submit(c, held.Op{Kind: held.KindRelease, Session: 1, Numbers: numbers}, nil)
	case k.tx && r < 7 && !w.healed:
		k.batch++
		name := fmt.Sprintf("t%d.%d", k.no, k.batch)
		for j, q := range []string{"T1", "T2"} {
			text := fmt.Sprintf("%s/%s/4/%06d", q, name, j)
			w.app.batches[name] = append(w.app.batches[name], text)
			k.submit(c, held.Op{Kind: held.KindStage, Session: 1, Queue: []byte(q), HasMessage: true,
				Message: held.Message{ID: messageID(k.no, k.batch*2+j), Data: []byte(text), Priority: 4}}, nil)
		}
		w.app.committed[name] = 3
		if w.rng.IntN(5) == 0 {
			w.app.committed[name] = 2
			k.holding = nil
			k.submit(c, held.Op{Kind: held.KindRollback, Session: 1}, nil)
			break
		}
		ticket := k.submit(c, held.Op{Kind: held.KindCommit, Session: 1, Numbers: numbers}, some)
		k.commits[ticket] = name
	default:
		k.submit(c, held.Op{Kind: held.KindSettle, Session: 1, Numbers: numbers}, some)
	}
	c.turn()
}

func (k *taker) submit(c *client, op held.Op, settles []held.Message) uint64 {
	ticket, err := c.link.Submit(&op)
	k.w.trace("client %d submits %d: kind %d numbers %v", c.member[15], ticket, op.Kind, op.Numbers)
	if err != nil {
		k.w.t.Fatalf("seed %d: %v", k.w.seed, err)
	}
	if settles != nil {
		k.settling[ticket] = settles
	}
	return ticket
}

func (k *taker) event(c *client, e Event) {
	w := k.w
	switch e.Kind {
	case EventMessage:
		m := e.Message
		text := string(m.Data)
		queue, _, _ := strings.Cut(text, "/")
		w.app.received[text] = append(w.app.received[text], reception{queue, m.Count, m.Delivery})
		k.holding = append(k.holding, m)
		w.trace("client %d gets %s count %d delivery %d number %d", c.member[15], text, m.Count, m.Delivery, m.Number)
		k.credit[m.Consumer] = max(0, k.credit[m.Consumer]-1)
	case EventNone:
		k.asking--
		clear(k.credit) // it asks again
	case EventAnswer:
		name, commit := k.commits[e.Ticket]
		w.trace("client %d: %d is answered %d %v, %d messages", c.member[15], e.Ticket, e.Answer.Code, e.Err, len(e.Answer.Messages))
		delete(k.commits, e.Ticket)
		if e.Err == nil && e.Answer.Code == held.CodeOK {
			for _, m := range k.settling[e.Ticket] {
				w.app.settled[string(m.Data)] = m.Delivery
			}
			if commit {
				w.app.committed[name] = 1
			}
		} else if commit {
			k.leaveOpen(e)
			switch {
			case e.Err == ErrInDoubt:
			case e.Err == ErrLost:
				w.app.committed[name] = 2 // it was not even sent
			default:
				w.note("a commit is answered %+v %v", e.Answer, e.Err)
			}
		} else if e.Err != nil {
			k.leaveOpen(e)
		} else if e.Answer.Code != held.CodeLater {
			w.note("connection %d of client %d: an operation is answered %+v", c.conn, c.member[15], e.Answer)
		}
		delete(k.settling, e.Ticket)
		if len(e.Answer.Messages) == 0 && e.Err == nil && e.Answer.Code == held.CodeOK && k.asking > 0 {
			clear(k.credit)
		}
	}
}

func (k *taker) leaveOpen(e Event) {
	for _, m := range k.settling[e.Ticket] {
		k.w.app.open[string(m.Data)] = true
	}
}

// simulate is one run. It returns what is wrong, or "".
func simulate(t *testing.T, seed uint64, leave defect) string {
	w := &world{leave: leave, t: t, rng: rand.New(rand.NewPCG(seed, 77)), seed: seed, now: 1, hashes: map[int]uint64{}}
	w.app.init()
	for range 3 {
		w.newHolder()
	}
	w.propose(entry{data: (&held.Op{Kind: held.KindGone, To: held.Member{1}}).Append(nil), by: w.holders[0].id}, 0)
	for range 3 {
		w.newClient(w.newProducer())
	}
	w.newClient(w.newTaker([]string{"A", "B"}, false))
	w.newClient(w.newTaker([]string{"A"}, true))
	w.newClient(w.newTaker([]string{"B", "A"}, true))
	w.newClient(w.newTaker([]string{"T1", "T2"}, false))
	w.leader()
	w.after(10*time.Millisecond, w.faults)
	w.until(clock.Time(600 * time.Millisecond))
	w.healed = true
	w.tellHolders()
	w.until(clock.Time(2500 * time.Millisecond))
	return w.judge()
}

// judge checks what must hold.
func (w *world) judge() string {
	a := &w.app
	if w.wrong != "" {
		return w.wrong
	}
	for _, h := range w.alive() {
		if h.applied != len(w.log) {
			return fmt.Sprintf("holder %d has applied %d of %d", h.id[15], h.applied, len(w.log))
		}
		h.compare()
	}
	total := 0
	for _, text := range sortedKeys(a.acked) {
		total++
		if len(a.received[text]) == 0 {
			return fmt.Sprintf("%s was acknowledged, and nobody has received it", text)
		}
		if a.settled[text] == 0 && !a.open[text] {
			return fmt.Sprintf("%s was never settled: %v", text, a.received[text])
		}
	}
	type lane struct{ queue, sender, priority string }
	order := map[lane]map[uint64]string{}
	for _, text := range sortedKeys(a.received) {
		// In the order in which it was handed out: what a connection gets that has ended may come late.
		slices.SortFunc(a.received[text], func(a, b reception) int { return cmp.Compare(a.delivery, b.delivery) })
		for i, r := range a.received[text] {
			if i > 0 && r.count < 2 {
				return fmt.Sprintf("%s came twice without a mark: %v", text, a.received[text])
			}
			if d := a.settled[text]; d != 0 && r.delivery > d && !a.lost[text] {
				return fmt.Sprintf("%s came after it was settled: %v", text, a.received[text])
			}
			if r.count == 1 {
				p := strings.Split(text, "/")
				l := lane{p[0], p[1], p[2]}
				if order[l] == nil {
					order[l] = map[uint64]string{}
				}
				order[l][r.delivery] = text
			}
		}
	}
	for l, all := range order {
		if strings.HasPrefix(l.sender, "t") {
			continue
		}
		last := ""
		for _, d := range sortedKeys(all) {
			if all[d] < last {
				return fmt.Sprintf("%s was handed out after %s", all[d], last)
			}
			last = all[d]
		}
	}
	kinds := [4]int{}
	for _, name := range sortedKeys(a.batches) {
		seen := 0
		for _, text := range a.batches[name] {
			if len(a.received[text]) > 0 {
				seen++
			}
		}
		kinds[a.committed[name]]++
		switch a.committed[name] {
		case 1:
			if seen != 2 {
				return fmt.Sprintf("batch %s was committed, and %d of 2 were received", name, seen)
			}
		case 2:
			if seen != 0 {
				return fmt.Sprintf("batch %s was rolled back, and %d of 2 were received", name, seen)
			}
		case 3:
			if seen == 1 {
				return fmt.Sprintf("batch %s is in doubt, and half of it was received", name)
			}
		}
	}
	if total < 20 {
		return fmt.Sprintf("only %d messages were acknowledged", total)
	}
	w.trace("%d acknowledged; batches: %d committed, %d rolled back, %d in doubt", total, kinds[1], kinds[2], kinds[3])
	return ""
}

func sortedKeys[K interface{ ~string | ~uint64 }, V any](m map[K]V) []K {
	all := make([]K, 0, len(m))
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// Clients, holders and an order, with losses, crashes, pauses and joiners: nothing acknowledged is lost, nothing comes twice
// without a mark, each sender's messages come in order, transactions are whole, and all replicas are equal.
func TestSimulation(t *testing.T) {
	n := *seeds
	if testing.Short() {
		n = min(n, 8)
	}
	for s := uint64(1); s <= uint64(n); s++ {
		if *oneSeed != 0 && s != *oneSeed {
			continue
		}
		if wrong := simulate(t, s, none); wrong != "" {
			t.Fatalf("go test ./jms/link -run '^TestSimulation$' -seed=%d: %s", s, wrong)
		}
	}
}

// The simulation finds each rule that is left out.
func TestPlanted(t *testing.T) {
	n := uint64(2000)
	if testing.Short() {
		t.Skip("many runs")
	}
	for leave := none + 1; leave < defects; leave++ {
		found := ""
		for s := uint64(1); s <= n && found == ""; s++ {
			if wrong := simulate(t, s, leave); wrong != "" {
				found = fmt.Sprintf("seed %d: %s", s, wrong)
			}
		}
		if found == "" {
			t.Errorf("defect %d is not found", leave)
		} else {
			t.Logf("defect %d: %s", leave, found)
		}
	}
}
