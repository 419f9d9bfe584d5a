package held

import (
	"slices"
	"strings"

	"github.com/activeblaze/blaze/internal/topic"
)

// subscriptionKey is the name of a subscription's queue. No queue of an application begins with NUL.
func subscriptionKey(client, name []byte, durable bool) string {
	kind := "\x00s"
	if durable {
		kind = "\x00d"
	}
	return kind + string(client) + "\x00" + string(name)
}

// Label is a queue's name as people see it: of a subscription its own name, behind the client id and a dot where it has one.
func Label(queue string) string {
	if len(queue) < 2 || queue[0] != 0 {
		return queue
	}
	client, name, _ := strings.Cut(queue[2:], "\x00")
	if client == "" {
		return name
	}
	return client + "." + name
}

// subscribe makes a subscription, unless it is there, and a consumer of it.
func (s *state) subscribe(c *conn, op *Op) Answer {
	durable, shared := op.Flags&FlagDurable != 0, op.Flags&FlagShared != 0
	if topic.ValidatePattern(string(op.Topic)) != nil || len(op.Name) == 0 || !durable && (!shared || op.Consumer == 0) {
		return refuse(CodeMalformed)
	}
	sel, err := parseSelector(op.Selector)
	if err != nil {
		return Answer{Code: CodeSelector, Detail: err.Error()}
	}
	if op.Consumer != 0 {
		if _, k := c.consumer(op.Consumer); k != nil {
			return refuse(CodeInUse)
		}
		if len(s.consumers) >= MaxConsumers {
			return refuse(CodeTooMany)
		}
	}
	want := subscription{
		client: c.name, name: string(op.Name), topic: string(op.Topic), selector: sel, text: string(op.Selector),
		noLocal: op.Flags&FlagNoLocal != 0, durable: durable, shared: shared,
	}
	name := subscriptionKey([]byte(c.name), op.Name, durable)
	q := s.queues[name]
	if q != nil {
		same := q.sub.topic == want.topic && q.sub.text == want.text && q.sub.noLocal == want.noLocal
		busy := len(q.consumers) > 0
		switch {
		case q.sub.shared != shared, busy && !same, busy && !shared && op.Consumer != 0:
			return refuse(CodeInUse)
		case !same: // as if it had been ended and begun
			s.dropQueue(q)
			q = nil
		}
	}
	if q == nil {
		if len(s.subs) >= MaxSubscriptions {
			return refuse(CodeTooMany)
		}
		q = s.newQueue(name)
		q.sub = &want
		s.subs = append(s.subs, q)
		s.m.subscribed++
	}
	if op.Consumer == 0 {
		return Answer{}
	}
	return s.newConsumer(c, op, q)
}

// unsubscribe ends a durable subscription that nobody uses.
func (s *state) unsubscribe(c *conn, op *Op) Answer {
	q := s.queues[subscriptionKey([]byte(c.name), op.Name, true)]
	switch {
	case q == nil:
		return refuse(CodeNoSubscription)
	case len(q.consumers) > 0 || q.flight > 0:
		return refuse(CodeInUse)
	}
	s.dropQueue(q)
	return Answer{}
}

// dropQueue ends a queue without consumers; its messages go by and by.
func (s *state) dropQueue(q *queue) {
	delete(s.queues, q.name)
	i, _ := slices.BinarySearch(s.names, q.name)
	s.names = slices.Delete(s.names, i, i+1)
	if i := slices.Index(s.subs, q); i >= 0 {
		s.subs = slices.Delete(s.subs, i, i+1)
		s.m.subscribed++
	}
	for _, no := range q.room {
		s.notifyRoom(no, q)
	}
	q.room = nil
	q.dropped = true
	s.touch(q)
	if !s.dropSome(q) {
		s.drops = append(s.drops, q)
	}
}

// dropSome removes messages of a queue that has ended. It reports whether that was all. Those that are in flight, or wait
// for a time, go when their turn comes.
func (s *state) dropSome(q *queue) bool {
	for s.steps > 0 {
		k, m, ok := s.ready.first(key{hi: uint64(q.no)})
		if !ok || k.hi != uint64(q.no) {
			s.forgetQueue(q)
			return true
		}
		s.steps -= stepsMessage
		s.unready(q, m)
		s.discount(q, m)
	}
	return false
}

// forgetQueue forgets a queue that has ended, once nothing is left of it.
func (s *state) forgetQueue(q *queue) {
	if q.total() == 0 {
		if i := slices.Index(s.drops, q); i >= 0 {
			s.drops = slices.Delete(s.drops, i, i+1)
		}
		s.lagging = slices.DeleteFunc(s.lagging, func(o *queue) bool { return o == q })
		delete(s.queueByNo, q.no)
		s.touch(q)
	}
}

// publish puts a message into all subscriptions that want it. c is nil where the master does it, for messages that
// are not persistent.
func (s *state) publish(c *conn, op *Op) Answer {
	if topic.Validate(string(op.Topic)) != nil {
		return refuse(CodeMalformed)
	}
	if c != nil {
		for _, q := range s.subs {
			if !topic.Match(q.sub.topic, op.Topic) {
				continue
			}
			if code := s.admit(c, op, q); code != CodeOK {
				return refuse(code)
			}
		}
	}
	if len(s.feeds) >= MaxFeeds {
		return refuse(CodeHolderFull)
	}
	m, code := s.incoming(c, op)
	if code != CodeOK {
		return refuse(code)
	}
	name := ""
	if c != nil {
		name = c.name
	}
	s.feed(m, string(op.Topic), name)
	return Answer{}
}

// feed gives a publication to the subscriptions that there are, behind those that are on their way.
func (s *state) feed(m *message, topic, name string) {
	f := &feed{m: m, topic: topic, name: name, until: uint32(s.nextQueue)}
	if len(s.feeds) == 0 && s.feedSome(f) {
		return
	}
	s.feeds = append(s.feeds, f)
}

// feedSome goes on with a publication. It reports whether that was all.
func (s *state) feedSome(f *feed) bool {
	i, _ := slices.BinarySearchFunc(s.subs, f.next, func(q *queue, no uint32) int { return int(q.no) - int(no) })
	for ; i < len(s.subs) && s.subs[i].no < f.until; i++ {
		q := s.subs[i]
		if s.steps <= 0 {
			f.next = q.no
			return false
		}
		s.steps -= stepsLook
		if !s.wants(f, q) {
			continue
		}
		m := *f.m
		m.queue = q.no
		if m.count > 0 && m.hasID() && s.known(m.idKey()) {
			continue // it came again
		}
		s.enter(q, &m)
		if s.m.leave == leaveSubscribed {
			return true
		}
	}
	return true
}
