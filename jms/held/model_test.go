package held

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/activeblaze/blaze/internal/jmsheader"
	"github.com/activeblaze/blaze/internal/pb"
)

// model is what held queues should do, without trees, positions, budgets and encodings: slow, and simple enough to be
// believed. Names of queues, connections and consumers are what they are; a message is a pointer.
type model struct {
	now        int64
	defaults   Settings
	queues     map[string]*mQueue
	order      []string // of queues, as they were made
	conns      map[uint64]*mConn
	begun      map[uint64]bool
	seq        int
	line       int
	out        []string // notices of the operation that is being done
	again      []*mConsumer
	overQueues []*mQueue
}

type mMsg struct {
	name     string
	queue    *mQueue
	home     string // of a dead letter
	priority int
	seq      int
	expires  int64
	due      int64 // 0: none; -1: the next Tick sets it
	group    string
	endGroup bool
	colour   string
	count    int
	from     uint64 // connection
	where    int    // 0 ready, 1 delayed, 2 in flight, 3 staged, 4 gone
	conn     *mConn
	session  uint32
	consumer *mConsumer
	size     int
}

type mQueue struct {
	name      string
	settings  Settings
	msgs      []*mMsg // all that are in no transaction, in no order
	staged    int
	consumers []*mConsumer // as they were made
	groups    map[string]*mConsumer
	room      []*mConn

	topic, sel, client       string // of a subscription
	noLocal, durable, shared bool
	over                     bool
}

type mConn struct {
	id        uint64
	name      string
	consumers map[uint64]*mConsumer
	sessions  map[uint32]*mSession
	over      bool
}

type mSession struct {
	puts   []*mMsg
	topics map[*mMsg]string
	settle []*mMsg
}

type mConsumer struct {
	id        uint64
	conn      *mConn
	queue     *mQueue
	session   uint32
	sel       string
	noLocal   bool
	exclusive bool
	credit    int
	wait      bool
	line      int // 0: not in line
	again     bool
	over      bool
}

// Selectors that the model knows, with what they mean.
var modelSelectors = map[string]func(*mMsg) bool{
	"":                                   func(*mMsg) bool { return true },
	"colour = 'red'":                     func(m *mMsg) bool { return m.colour == "red" },
	"colour <> 'red' OR JMSPriority > 5": func(m *mMsg) bool { return m.colour != "" && m.colour != "red" || m.priority > 5 },
	"colour IS NULL":                     func(m *mMsg) bool { return m.colour == "" },
}

// encodeMessage is the data of a message: a text, and a header with a colour.
func encodeMessage(text, colour string, timestamp int64) []byte {
	b := append(pb.AppendLength(nil, 2, len(text)), text...)
	h := jmsheader.New()
	h.Timestamp = timestamp
	if colour != "" {
		h.Set("colour", jmsheader.StringValue(colour))
	}
	header := h.Append(nil)
	return append(pb.AppendLength(b, 8, len(header)), header...)
}

func newModel() *model {
	return &model{
		defaults: Settings{Depth: DefaultDepth, Bytes: DefaultBytes, MaxRedeliveries: DefaultMaxRedeliveries},
		queues:   map[string]*mQueue{}, conns: map[uint64]*mConn{}, begun: map[uint64]bool{},
	}
}

func (d *model) settings(q *mQueue) Settings {
	x := q.settings
	if x.Depth == 0 {
		x.Depth = d.defaults.Depth
	}
	if x.MaxRedeliveries == 0 {
		x.MaxRedeliveries = d.defaults.MaxRedeliveries
	}
	if x.RedeliveryDelay == 0 {
		x.RedeliveryDelay, x.Doubling = d.defaults.RedeliveryDelay, d.defaults.Doubling
	}
	x.DeadLetterExpired = x.DeadLetterExpired || d.defaults.DeadLetterExpired
	return x
}

func (d *model) queue(name string) *mQueue {
	q := d.queues[name]
	if q == nil {
		q = &mQueue{name: name, groups: map[string]*mConsumer{}}
		d.queues[name] = q
		d.order = append(d.order, name)
	}
	return q
}

// ready is what can be taken, in order of delivery.
func (q *mQueue) ready() []*mMsg {
	var all []*mMsg
	for _, m := range q.msgs {
		if m.where == 0 {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *mMsg) int { return cmp.Or(b.priority-a.priority, a.seq-b.seq) })
	return all
}

func (q *mQueue) exclusive() *mConsumer {
	for _, k := range q.consumers {
		if k.exclusive {
			return k
		}
	}
	return nil
}

func (d *model) mayHave(k *mConsumer) bool {
	x := k.queue.exclusive()
	return !k.over && !k.conn.over && (x == nil || x == k)
}

func (d *model) wants(k *mConsumer, m *mMsg) bool {
	owner := k.queue.groups[m.group]
	return (m.expires == 0 || m.expires > d.now) && !(k.noLocal && m.from == k.conn.id) &&
		(m.group == "" || owner == nil || owner == k) && (k.queue.topic != "" || modelSelectors[k.sel](m))
}

// give puts m in flight for k.
func (d *model) give(k *mConsumer, m *mMsg) {
	m.where, m.conn, m.session, m.consumer = 2, k.conn, k.session, k
	m.count++
	k.credit--
	if m.group == "" {
		return
	}
	owner := k.queue.groups[m.group]
	switch {
	case m.endGroup && owner != nil:
		delete(k.queue.groups, m.group)
		d.lookAgain(k.queue)
	case !m.endGroup && owner == nil:
		k.queue.groups[m.group] = k
	}
}

func (d *model) lookAgain(q *mQueue) {
	for _, k := range q.consumers {
		if k.credit > 0 && !k.again {
			k.again = true
			d.again = append(d.again, k)
		}
	}
}

func (q *mQueue) waiting() []*mConsumer {
	var all []*mConsumer
	for _, k := range q.consumers {
		if k.line > 0 {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *mConsumer) int { return a.line - b.line })
	return all
}

func (d *model) toEnd(k *mConsumer) {
	d.line++
	k.line = d.line
}

// show makes m ready: the first in line that wants it gets it.
func (d *model) show(m *mMsg) {
	m.where = 0
	for _, k := range m.queue.waiting() {
		if k.again || !d.mayHave(k) || !d.wants(k, m) {
			continue
		}
		d.give(k, m)
		d.notice(k, m)
		k.line = 0
		if k.credit > 0 {
			d.toEnd(k)
		}
		return
	}
}

func (d *model) notice(k *mConsumer, m *mMsg) {
	d.out = append(d.out, fmt.Sprintf("%d.%d: %s", k.conn.id, k.id, m.shown()))
}

func (m *mMsg) shown() string {
	if m.count > 1 {
		return fmt.Sprint(m.name, "*", m.count)
	}
	return m.name
}

// scan gives k what there is for it.
func (d *model) scan(k *mConsumer, found func(*mMsg)) {
	for k.credit > 0 && d.mayHave(k) {
		i := slices.IndexFunc(k.queue.ready(), func(m *mMsg) bool { return d.wants(k, m) })
		if i < 0 {
			break
		}
		m := k.queue.ready()[i]
		d.give(k, m)
		found(m)
	}
	switch {
	case k.credit == 0:
		k.line = 0
	case !k.wait:
		k.credit, k.line = 0, 0
	case k.line == 0:
		d.toEnd(k)
	}
}

// end is the end of an operation.
func (d *model) end() []string {
	for len(d.again) > 0 {
		k := d.again[0]
		d.again = d.again[1:]
		if k.over {
			continue
		}
		k.again = false
		if k.credit > 0 {
			d.scan(k, func(m *mMsg) { d.notice(k, m) })
		}
	}
	out := d.out
	d.out = nil
	return out
}

func (q *mQueue) full(n int, x Settings) bool { return len(q.msgs)+q.staged+n > int(x.Depth) }

// enter puts a new message into q.
func (d *model) enter(q *mQueue, m *mMsg) {
	d.seq++
	m.seq, m.queue = d.seq, q
	q.msgs = append(q.msgs, m)
	if m.due > d.now {
		m.where = 1
		return
	}
	m.due = 0
	d.show(m)
}

// drop is the end of a message in its queue. Those that wait for room get a notice.
func (d *model) drop(m *mMsg) {
	q := m.queue
	q.msgs = slices.DeleteFunc(q.msgs, func(o *mMsg) bool { return o == m })
	m.where = 4
	d.roomIn(q)
}

func (d *model) roomIn(q *mQueue) {
	if len(q.room) == 0 || q.full(1, d.settings(q)) {
		return
	}
	for _, c := range q.room {
		if !c.over {
			d.out = append(d.out, fmt.Sprintf("%d: room in %s", c.id, q.name))
		}
	}
	q.room = nil
}

func (d *model) bury(m *mMsg) {
	from := m.queue
	d.drop(m)
	label := from.name
	if from.topic != "" {
		label = strings.ReplaceAll(from.name[2:], "\x00", ".")
	}
	dead := *m
	dead.home, dead.expires, dead.due = from.name, 0, 0
	d.enter(d.queue("DLQ."+label), &dead)
}

func (d *model) release(m *mMsg, unseen bool) {
	q := m.queue
	x := d.settings(q)
	isDead := strings.HasPrefix(q.name, "DLQ.")
	m.conn, m.consumer, m.session = nil, nil, 0
	switch {
	case q.over:
		d.drop(m)
	case unseen:
		m.count--
		d.show(m)
	case x.MaxRedeliveries >= 0 && m.count > int(x.MaxRedeliveries) && !isDead:
		d.bury(m)
	case x.RedeliveryDelay > 0:
		m.where, m.due = 1, -1
	default:
		d.show(m)
	}
}

// flights are what a session has in flight, in the order of their arrival.
func (d *model) flights(c *mConn, session uint32, all bool) []*mMsg {
	var out []*mMsg
	for _, q := range d.everyQueue() {
		for _, m := range q.msgs {
			if m.where == 2 && m.conn == c && (all || m.session == session) {
				out = append(out, m)
			}
		}
	}
	slices.SortFunc(out, func(a, b *mMsg) int { return cmp.Or(cmp.Compare(a.session, b.session), a.seq-b.seq) })
	return out
}

func (d *model) everyQueue() []*mQueue {
	var all []*mQueue
	for _, name := range d.order {
		all = append(all, d.queues[name])
	}
	return append(all, d.gone()...)
}

// gone queues still have messages in flight.
func (d *model) gone() []*mQueue { return d.overQueues }

func (d *model) endConsumer(k *mConsumer) {
	q := k.queue
	was := q.exclusive() == k
	k.over, k.line, k.credit, k.again = true, 0, 0, false
	delete(k.conn.consumers, k.id)
	q.consumers = slices.DeleteFunc(q.consumers, func(o *mConsumer) bool { return o == k })
	freed := false
	for g, owner := range q.groups {
		if owner == k {
			delete(q.groups, g)
			freed = true
		}
	}
	if freed || was {
		d.lookAgain(q)
	}
	if q.topic != "" && !q.durable && len(q.consumers) == 0 {
		d.dropQueue(q)
	}
}

func (d *model) dropQueue(q *mQueue) {
	delete(d.queues, q.name)
	d.order = slices.DeleteFunc(d.order, func(n string) bool { return n == q.name })
	q.over = true
	for _, c := range q.room {
		d.out = append(d.out, fmt.Sprintf("%d: room in %s", c.id, q.name))
	}
	q.room = nil
	q.msgs = slices.DeleteFunc(q.msgs, func(m *mMsg) bool { return m.where == 0 })
	d.overQueues = append(d.overQueues, q)
}

func (d *model) endConn(c *mConn) {
	c.over = true
	delete(d.conns, c.id)
	ids := []uint64{}
	for id := range c.consumers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	for _, id := range ids {
		d.endConsumer(c.consumers[id])
	}
	sessions := []uint32{}
	for id := range c.sessions {
		sessions = append(sessions, id)
	}
	slices.Sort(sessions)
	for _, id := range sessions {
		d.unstage(c, id)
	}
	for _, m := range d.flights(c, 0, true) {
		d.release(m, false)
	}
}

func (d *model) unstage(c *mConn, session uint32) {
	x := c.sessions[session]
	if x == nil {
		return
	}
	delete(c.sessions, session)
	for _, m := range x.puts {
		if x.topics[m] == "" {
			q := m.queue
			q.staged--
			d.roomIn(q)
		}
	}
}

func (d *model) feed(m *mMsg, topicName, name string) {
	for _, n := range slices.Clone(d.order) {
		q := d.queues[n]
		if q.topic == topicName && !(q.noLocal && q.client != "" && q.client == name) && modelSelectors[q.sel](m) {
			c := *m
			d.enter(q, &c)
		}
	}
}

func (d *model) tick(now int64) {
	d.now = max(d.now, now)
	// Those whose time is not set yet come first, in order of arrival; the others by time.
	var due []*mMsg
	for _, q := range d.everyQueue() {
		for _, m := range q.msgs {
			if m.where == 1 && m.due == -1 {
				x := d.settings(q)
				wait := x.RedeliveryDelay
				for i := 1; x.Doubling && i < m.count && wait < maxRedeliveryDelay; i++ {
					wait *= 2
				}
				if m.due = d.now + max(1, min(wait, maxRedeliveryDelay)); q.over {
					m.due = d.now
				}
			}
			if m.where == 1 && m.due <= d.now {
				due = append(due, m)
			}
		}
	}
	slices.SortFunc(due, func(a, b *mMsg) int { return cmp.Or(cmp.Compare(a.due, b.due), a.seq-b.seq) })
	for _, m := range due {
		m.due = 0
		if m.queue.over {
			d.drop(m)
		} else {
			d.show(m)
		}
	}
	var over []*mMsg
	for _, q := range d.everyQueue() {
		for _, m := range q.ready() {
			if m.expires != 0 && m.expires <= d.now {
				over = append(over, m)
			}
		}
	}
	slices.SortFunc(over, func(a, b *mMsg) int { return cmp.Or(cmp.Compare(a.expires, b.expires), a.seq-b.seq) })
	for _, m := range over {
		if d.settings(m.queue).DeadLetterExpired && !strings.HasPrefix(m.queue.name, "DLQ.") {
			d.bury(m)
		} else {
			d.drop(m)
		}
	}
}
