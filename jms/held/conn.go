package held

import (
	"cmp"
	"slices"

	"github.com/activeblaze/blaze/selector"
)

func refuse(code Code) Answer { return Answer{Code: code} }

// begin is the start of an operation, a Tick or an end of members.
func (s *state) begin() {
	s.steps = s.m.maxSteps
	s.recordSome()
}

// recordSome keeps what is left for a snapshot small.
func (s *state) recordSome() {
	if len(s.dirty) > maxDirty {
		s.record(maxDirty)
	}
}

// apply does an operation that was parsed, and is no batch.
func (s *state) apply(op *Op, by Member) Answer {
	switch {
	case op.Kind == KindGone || op.Kind == KindMerge || op.Kind == KindPublish && op.Conn == 0:
		if op.Origin != (Member{}) {
			s.refused++
			return refuse(CodeForged)
		}
		return s.own(op)
	case op.Origin == (Member{}):
		s.refused++
		return refuse(CodeForged)
	case op.Kind == KindBegin:
		return s.beginConn(op, by)
	}
	c := s.conns[connKey{op.Origin, op.Conn}]
	if c == nil {
		return Answer{Code: CodeNoConnection, Counter: op.Counter}
	}
	if op.Kind.reads() {
		a := s.read(c, op)
		a.Counter = op.Counter
		return a
	}
	switch {
	case op.Counter > c.next:
		return Answer{Code: CodeGap, Counter: op.Counter, Next: c.next}
	case op.Counter < c.next && s.m.leave != leaveOnce:
		return s.again(c, op)
	}
	c.next++
	s.touch(c)
	c.forget(op.Low)
	a := s.do(c, op)
	a.Counter = op.Counter
	return a
}

// own does an operation of a holder.
func (s *state) own(op *Op) Answer {
	switch op.Kind {
	case KindGone:
		s.gone(op.To)
		return Answer{}
	case KindMerge:
		return s.merge(op)
	}
	return s.publish(nil, op)
}

// beginConn is the beginning of a connection. A client's numbers go up, so that one that has ended does not come back.
func (s *state) beginConn(op *Op, by Member) Answer {
	k := connKey{op.Origin, op.Conn}
	if c := s.conns[k]; c != nil {
		// An operation may come late, by a holder that the client has turned away from: periods go up.
		if op.Limit > c.period {
			c.by, c.period = by, op.Limit
			s.touch(c)
		}
		return Answer{Counter: op.Counter, Next: c.next}
	}
	cl := s.clients[op.Origin]
	switch {
	case cl != nil && op.Conn <= cl.highest, op.Conn == 0:
		return Answer{Code: CodeNoConnection, Counter: op.Counter}
	case len(s.conns)+len(s.sweeps) >= MaxConnections, cl == nil && len(s.clients)-len(s.left) >= MaxClients:
		return Answer{Code: CodeTooMany, Counter: op.Counter}
	}
	if cl == nil {
		cl = s.newClient(op.Origin)
	}
	if cl.left { // it was only cut off
		cl.left = false
		s.left = slices.Delete(s.left, slices.Index(s.left, op.Origin), slices.Index(s.left, op.Origin)+1)
	}
	cl.highest = op.Conn
	s.touch(cl)
	c := &conn{no: uint32(s.nextConn), client: cl, number: op.Conn, by: by, period: op.Limit, name: string(op.Name), next: 1}
	s.nextConn++
	cl.conns = append(cl.conns, c)
	s.conns[k] = c
	s.connByNo[c.no] = c
	s.touch(c)
	return Answer{Counter: op.Counter, Next: c.next}
}

// forget drops answers that the client does not need any more.
func (c *conn) forget(low uint64) {
	n := 0
	for n < len(c.answers) && (c.answers[n].counter < low || len(c.answers)-n >= MaxWindow) {
		n++
	}
	c.answers = slices.Delete(c.answers, 0, n)
}

// again answers an operation that was applied.
func (s *state) again(c *conn, op *Op) Answer {
	i, ok := slices.BinarySearchFunc(c.answers, op.Counter, func(r remembered, n uint64) int { return cmp.Compare(r.counter, n) })
	if !ok {
		return Answer{Code: CodeForgotten, Counter: op.Counter}
	}
	r := &c.answers[i]
	a := Answer{Code: r.code, Counter: op.Counter, Detail: r.detail, Value: r.value, Next: r.next, More: r.more}
	inline := 0
	for _, n := range r.taken {
		if m, ok := s.flight.get(key{uint64(c.no)<<32 | uint64(r.session), n}); ok {
			a.Messages = append(a.Messages, s.shown(m, s.consumerID(m), &inline))
		}
	}
	return a
}

// consumerID is the client's number of the consumer that m was given to; 0: it has ended.
func (s *state) consumerID(m *message) uint64 {
	if k := s.consumers[m.consumer]; k != nil {
		return k.id
	}
	return 0
}

// remember keeps the answer to the operation that c.next follows.
func (s *state) remember(c *conn, op *Op, a *Answer) {
	r := remembered{counter: op.Counter, code: a.Code, detail: a.Detail, value: a.Value, next: a.Next, more: a.More}
	for i := range a.Messages {
		r.session = a.Messages[i].Session
		r.taken = append(r.taken, a.Messages[i].Number)
	}
	c.answers = append(c.answers, r)
}

// do does an operation of a connection, in its turn.
func (s *state) do(c *conn, op *Op) (a Answer) {
	switch op.Kind {
	case KindEnd:
		s.endConn(c)
		return a // nobody asks again
	case KindPut:
		a = s.put(c, op)
	case KindStage:
		a = s.stage(c, op)
	case KindCommit:
		a = s.commit(c, op)
	case KindRollback:
		a = s.rollback(c, op)
	case KindConsume:
		a = s.consume(c, op)
	case KindCancel:
		a = s.cancel(c, op)
	case KindTake:
		a = s.take(c, op)
	case KindStop:
		a = s.stop(c, op)
	case KindSettle:
		a = s.settleAll(c, op)
	case KindRelease:
		a = s.releaseAll(c, op)
	case KindSubscribe:
		a = s.subscribe(c, op)
	case KindUnsubscribe:
		a = s.unsubscribe(c, op)
	case KindPublish:
		a = s.publish(c, op)
	case KindPart:
		a = s.part(c, op)
	case KindConfigure:
		a = s.configure(op)
	case KindDrop:
		a = s.drop(op)
	case KindPurge, KindMove, KindRetry:
		a = s.sift(op)
	default:
		a = refuse(CodeMalformed)
	}
	s.remember(c, op, &a)
	return a
}

// incoming makes a message of an operation's. code is not CodeOK where it cannot be one.
func (s *state) incoming(c *conn, op *Op) (m *message, code Code) {
	w := &op.Message
	if !op.HasMessage || len(w.ID) == 0 {
		return nil, CodeMalformed
	}
	m = &message{priority: w.Priority, expires: w.Expires}
	copy(m.id[:], w.ID)
	if c != nil {
		m.sender, m.from = c.client.member, c.number
	} else {
		m.sender, m.from = w.Sender, w.From
	}
	if w.Persistent {
		m.flags |= messagePersistent
	}
	if w.Again {
		m.count = 1 // whoever gets it may have had it
	}
	x := more{group: string(w.Group), groupSeq: w.GroupSeq, due: w.Due}
	if w.Part != 0 {
		if c == nil {
			return nil, CodeMalformed
		}
		p := s.takePart(c, w.Part)
		if p == nil {
			return nil, CodeTooLarge
		}
		m.data, x.rest, x.size = p[0], p[1:], 0
		for _, piece := range p {
			x.size += len(piece)
		}
	} else {
		m.data = append(make([]byte, 0, len(w.Data)), w.Data...)
	}
	if x.group != "" || x.due != 0 || len(x.rest) > 0 {
		m.more = &x
	}
	return m, CodeOK
}

// put is a message into a queue.
func (s *state) put(c *conn, op *Op) Answer {
	q, code := s.open(op.Queue)
	if code != CodeOK {
		return refuse(code)
	}
	if code = s.admit(c, op, q); code != CodeOK {
		return refuse(code)
	}
	m, code := s.incoming(c, op)
	if code != CodeOK {
		return refuse(code)
	}
	m.queue = q.no
	if op.Message.Again && m.hasID() && s.known(m.idKey()) {
		return Answer{}
	}
	s.enter(q, m)
	return Answer{}
}

// known reports whether such a message is there, or came from another set of holders.
func (s *state) known(k idKey) bool {
	if _, there := s.ids[k]; there {
		return true
	}
	_, there := s.merged[k]
	return there
}

// admit judges whether a message has room in q.
func (s *state) admit(c *conn, op *Op, q *queue) Code {
	size := uint64(len(op.Message.Data))
	if op.Message.Part != 0 {
		if p := c.part(op.Message.Part); p != nil {
			size = p.size
		}
	}
	code := s.full(q, 1, size)
	if op.Flags&FlagWait != 0 && (code == CodeQueueFull || code == CodeHolderFull) {
		s.awaitRoom(c, q, code)
	}
	return code
}

// enter puts m, which is new, into q.
func (s *state) enter(q *queue, m *message) {
	s.steps -= stepsMessage
	m.number = s.number()
	s.account(q, m.size())
	q.stats.Put++
	s.arrive(q, m)
}

// consumer returns the client's consumer of a number.
func (c *conn) consumer(id uint64) (i int, k *consumer) {
	i, ok := slices.BinarySearchFunc(c.consumers, id, func(k *consumer, id uint64) int { return cmp.Compare(k.id, id) })
	if !ok {
		return i, nil
	}
	return i, c.consumers[i]
}

// consume makes a consumer of a queue.
func (s *state) consume(c *conn, op *Op) Answer {
	q, code := s.open(op.Queue)
	switch {
	case code != CodeOK:
		return refuse(code)
	case q.sub != nil:
		return refuse(CodeNoQueue)
	}
	return s.newConsumer(c, op, q)
}

func parseSelector(b []byte) (*selector.Selector, error) {
	sel, err := selector.Parse(string(b), selector.JMS())
	if err != nil {
		return nil, err
	}
	if sel.Empty() {
		return nil, nil
	}
	return sel, nil
}

func (s *state) newConsumer(c *conn, op *Op, q *queue) Answer {
	i, k := c.consumer(op.Consumer)
	switch {
	case op.Consumer == 0:
		return refuse(CodeMalformed)
	case k != nil:
		return refuse(CodeInUse)
	case len(s.consumers) >= MaxConsumers:
		return refuse(CodeTooMany)
	}
	k = &consumer{
		no: uint32(s.nextConsumer), id: op.Consumer, conn: c, queue: q, session: op.Session,
		noLocal: op.Flags&FlagNoLocal != 0, exclusive: op.Flags&FlagExclusive != 0,
	}
	if q.sub == nil {
		sel, err := parseSelector(op.Selector)
		if err != nil {
			return Answer{Code: CodeSelector, Detail: err.Error()}
		}
		if sel != nil {
			k.selector, k.text = sel, string(op.Selector)
		}
	}
	s.nextConsumer++
	s.consumers[k.no] = k
	c.consumers = slices.Insert(c.consumers, i, k)
	q.consumers = append(q.consumers, k)
	if k.exclusive && q.exclusive == nil {
		q.exclusive = k
	}
	s.touch(k)
	s.touch(q)
	return Answer{}
}

// cancel ends a consumer. What it took stays in flight, but for what nobody has seen.
func (s *state) cancel(c *conn, op *Op) Answer {
	_, k := c.consumer(op.Consumer)
	if k == nil {
		return refuse(CodeNoConsumer)
	}
	a := s.releaseNumbers(c, k.session, op.Numbers, true)
	s.endConsumer(k)
	return a
}

// endConsumer removes a consumer; its groups are free, and others look at what it kept them from.
func (s *state) endConsumer(k *consumer) {
	s.steps -= stepsMessage
	c, q := k.conn, k.queue
	s.leaveLine(k)
	k.credit = 0
	if i, there := c.consumer(k.id); there == k {
		c.consumers = slices.Delete(c.consumers, i, i+1)
	}
	if i := slices.Index(q.consumers, k); i >= 0 {
		q.consumers = slices.Delete(q.consumers, i, i+1)
	}
	delete(s.consumers, k.no)
	if k.working {
		k.working = false
		same := func(o *consumer) bool { return o == k }
		s.work = slices.DeleteFunc(s.work, same)
		s.fresh = slices.DeleteFunc(s.fresh, same)
	}
	if len(k.groups) > 0 {
		for g := range k.groups {
			delete(q.groups, g) // in any order
		}
		k.groups = nil
		if s.m.leave != leaveRewind {
			s.rewind(q)
		}
	}
	if q.exclusive == k {
		q.exclusive = nil
		for _, o := range q.consumers {
			if o.exclusive {
				q.exclusive = o
				break
			}
		}
		for _, o := range q.consumers {
			s.goOn(o)
		}
	}
	s.touch(k)
	s.touch(q)
	if q.sub != nil && (!q.sub.durable || s.m.leave == leaveDurable) && len(q.consumers) == 0 {
		s.dropQueue(q)
	}
}

// take gives a consumer what there is for it, now or, with FlagWait, when it comes. What a consumer that waits is given
// comes as notices, all of it: they have an order, and answers of several operations have none.
func (s *state) take(c *conn, op *Op) Answer {
	_, k := c.consumer(op.Consumer)
	switch {
	case k == nil:
		return refuse(CodeNoConsumer)
	case op.Limit < 1 || op.Limit > MaxLimit:
		return refuse(CodeMalformed)
	}
	k.credit = min(k.credit+op.Limit, MaxInFlight)
	k.wait = op.Flags&FlagWait != 0
	k.counter = op.Counter
	s.touch(k)
	var a Answer
	inline := 0
	done := s.walk(k, func(m *message) {
		if k.wait {
			s.m.notice(c, Notice{Kind: NoticeMessage, Consumer: k.id}, m)
			return
		}
		a.Messages = append(a.Messages, s.shown(m, k.id, &inline))
	})
	over := false
	s.afterWalk(k, done, func() { over = true })
	if k.credit > 0 && !over {
		a.Code = CodeLater
	}
	return a
}

// stop ends the waiting of a consumer. What it was given meanwhile came as notices.
func (s *state) stop(c *conn, op *Op) Answer {
	_, k := c.consumer(op.Consumer)
	if k == nil {
		return refuse(CodeNoConsumer)
	}
	k.credit = 0
	s.leaveLine(k)
	s.touch(k)
	return Answer{}
}

// flying returns a message that the session has in flight.
func (s *state) flying(c *conn, session uint32, number uint64) *message {
	m, _ := s.flight.get(key{uint64(c.no)<<32 | uint64(session), number})
	return m
}

func (s *state) settleAll(c *conn, op *Op) (a Answer) {
	for _, n := range op.Numbers {
		if m := s.flying(c, op.Session, n); m != nil {
			s.settle(c, m)
		} else {
			a.Code = CodeNotHeld
			s.refused++
		}
	}
	return a
}

func (s *state) releaseAll(c *conn, op *Op) Answer {
	return s.releaseNumbers(c, op.Session, op.Numbers, op.Flags&FlagUnseen != 0)
}

func (s *state) releaseNumbers(c *conn, session uint32, numbers []uint64, unseen bool) (a Answer) {
	for _, n := range numbers {
		if m := s.flying(c, session, n); m != nil {
			s.release(c, m, unseen)
		} else {
			a.Code = CodeNotHeld
			s.refused++
		}
	}
	return a
}

// part keeps a piece of a large message.
func (s *state) part(c *conn, op *Op) Answer {
	p := c.part(op.After)
	switch {
	case op.After == 0 || len(op.Data) == 0 || op.Limit == 0:
		return refuse(CodeMalformed)
	case op.Limit > MaxStagedBytes:
		return refuse(CodeTooLarge)
	case p == nil && c.partBytes+op.Limit > MaxStagedBytes:
		return refuse(CodeTooMany)
	case p == nil:
		if s.bytes+op.Limit > s.defaults.HolderBytes {
			return refuse(CodeHolderFull)
		}
		p = &part{id: op.After, no: c.nextPart, size: op.Limit}
		c.nextPart++
		i, _ := c.findPart(op.After)
		c.parts = slices.Insert(c.parts, i, p)
		c.partBytes += p.size
		s.bytes += p.size
	case p.size != op.Limit:
		return refuse(CodeMalformed)
	}
	if p.have+uint64(len(op.Data)) > p.size {
		return refuse(CodeTooLarge)
	}
	s.pieces.put(c.pieceKey(p, p.pieces), append(make([]byte, 0, len(op.Data)), op.Data...))
	p.pieces++
	p.have += uint64(len(op.Data))
	return Answer{Value: p.have}
}

func (c *conn) findPart(id uint64) (int, bool) {
	return slices.BinarySearchFunc(c.parts, id, func(p *part, id uint64) int { return cmp.Compare(p.id, id) })
}

func (c *conn) part(id uint64) *part {
	if i, ok := c.findPart(id); ok {
		return c.parts[i]
	}
	return nil
}

func (c *conn) pieceKey(p *part, n uint64) key { return key{uint64(c.no)<<32 | uint64(p.no), n} }

// takePart removes a part that is whole, and returns its pieces; nil: it is not.
func (s *state) takePart(c *conn, id uint64) (pieces [][]byte) {
	i, ok := c.findPart(id)
	if !ok || c.parts[i].have != c.parts[i].size {
		return nil
	}
	p := c.parts[i]
	c.parts = slices.Delete(c.parts, i, i+1)
	c.partBytes -= p.size
	s.bytes -= p.size
	for n := range p.pieces {
		b, _ := s.pieces.remove(c.pieceKey(p, n))
		pieces = append(pieces, b)
	}
	return pieces
}

func (s *state) newClient(m Member) *client {
	cl := &client{no: uint32(s.nextClient), member: m}
	s.nextClient++
	s.clients[m] = cl
	s.touch(cl)
	return cl
}

// gone ends all connections of a member, for good.
func (s *state) gone(m Member) {
	cl := s.clients[m]
	if cl == nil {
		cl = s.newClient(m)
	}
	if !cl.left {
		cl.left = true
		s.left = append(s.left, m)
		s.touch(cl)
	}
	for len(cl.conns) > 0 {
		c := cl.conns[0]
		s.m.notice(c, Notice{Kind: NoticeEnded}, nil)
		s.endConn(c)
	}
	for len(s.left) > maxLeft {
		old := s.clients[s.left[0]]
		s.left = s.left[1:]
		delete(s.clients, old.member)
		s.touch(old)
	}
}

// maxLeft is how many members are remembered that have left, so that none of their connections begins anew.
const maxLeft = 4096

// endConn ends a connection: at once for its client, and as far as the steps reach for what it has.
func (s *state) endConn(c *conn) {
	c.ended = true
	delete(s.conns, connKey{c.client.member, c.number})
	if i := slices.Index(c.client.conns, c); i >= 0 {
		c.client.conns = slices.Delete(c.client.conns, i, i+1)
	}
	s.touch(c)
	if !s.sweep(c) {
		s.sweeps = append(s.sweeps, c)
	}
}

// sweep gives back what a connection that has ended has. It reports whether that was all.
func (s *state) sweep(c *conn) bool {
	for s.steps > 0 && len(c.parts) > 0 {
		p := c.parts[0]
		s.steps -= stepsMessage * int(1+p.pieces)
		p.have = p.size // whole or not
		s.takePart(c, p.id)
	}
	c.answers = nil
	s.touch(c)
	low, high := key{hi: uint64(c.no) << 32}, uint64(c.no+1)<<32
	for s.steps > 0 && len(c.consumers) > 0 {
		s.endConsumer(c.consumers[len(c.consumers)-1])
	}
	for s.steps > 0 {
		k, m, ok := s.staged.first(low)
		if !ok || k.hi >= high {
			break
		}
		s.unstage(k, m)
	}
	for s.steps > 0 {
		k, m, ok := s.flight.first(low)
		if !ok || k.hi >= high {
			delete(s.connByNo, c.no)
			s.touch(c)
			return true
		}
		if s.m.leave == leaveGone {
			s.settle(c, m)
			continue
		}
		s.release(c, m, false)
	}
	return false
}
