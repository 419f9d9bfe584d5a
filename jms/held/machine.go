package held

import (
	"time"

	"github.com/activeblaze/blaze/internal/pb"
)

// Machine is a holder's replica of the queues: it applies operations in the total order. It does no I/O, starts no
// goroutine and reads no clock. Calls must not overlap; a Snapshot may be written beside them.
type Machine struct {
	self   Member
	state  *state
	index  uint64 // of the last operation
	op     Op
	item   Op // of a batch
	source source

	maxSteps int    // MaxSteps, but in tests
	leave    defect // a rule that is left out, in tests

	notices []pending // in order of index
	due     int       // those before it are certain

	subscribed uint64 // how often subscriptions came or went: not part of the state
}

// pending is a notice that is not certain yet, or not handed out.
type pending struct {
	index    uint64
	notice   Notice
	messages []*message
}

// New returns an empty Machine of the member self. It has notices for those clients that began their connections through
// self, and have not turned to another holder since.
func New(self Member) *Machine {
	m := &Machine{self: self, maxSteps: MaxSteps}
	m.state = newState(m)
	return m
}

// SetSelf says whose Machine it is, for one that was made before that was known. Until then it has no notices.
func (m *Machine) SetSelf(self Member) { m.self = self }

// Apply does one operation, which by proposed, and returns the encoding of its Answer. Nothing of data is kept. The
// result depends only on data, by and what came before.
func (m *Machine) Apply(data []byte, by Member, index uint64) []byte {
	m.index = index
	s := m.state
	s.begin()
	var answer Answer
	switch op := &m.op; {
	case !op.Parse(data):
		answer = refuse(CodeMalformed)
	case op.Kind == KindBatch:
		return m.batch(op, by)
	default:
		answer = s.apply(op, by)
	}
	s.end()
	return answer.Append(nil)
}

// batch does the operations of a batch, in their order. They share the steps of one operation, and what one of them causes
// is done before the next one.
func (m *Machine) batch(batch *Op, by Member) (answers []byte) {
	s := m.state
	if batch.Origin == (Member{}) {
		s.refused++
		a := refuse(CodeForged)
		return a.Append(nil)
	}
	var one []byte
	for _, data := range batch.Batch {
		op, a := &m.item, refuse(CodeMalformed)
		if op.Parse(data) && op.Batches() {
			op.Origin = batch.Origin
			a = s.apply(op, by)
			s.end()
			s.recordSome()
		}
		one = a.Append(one[:0])
		answers = append(pb.AppendLength(answers, 10, len(one)), one...)
	}
	return answers
}

// Gone ends the connections of a member that left or failed.
func (m *Machine) Gone(member Member) {
	m.index++
	m.state.begin()
	m.state.gone(member)
	m.state.end()
}

// Tick notes the time, which never goes back. Messages whose time has come are shown, those that expired are removed, and
// what was too much for one operation goes on. Next says when it is needed.
func (m *Machine) Tick(now time.Time) {
	m.index++
	m.state.begin()
	m.state.tick(now.UnixMilli())
	m.state.end()
}

// Next is when the next Tick is needed. A time that has passed means at once.
func (m *Machine) Next() (at time.Time, ok bool) {
	ms, ok := m.state.next()
	return time.UnixMilli(ms), ok
}

// Certain says that all up to index may be told to others: Notice returns what came of it.
func (m *Machine) Certain(index uint64) {
	for m.due < len(m.notices) && m.notices[m.due].index <= index {
		m.due++
	}
}

// Notice returns the next notice for one of this holder's clients. Its messages must not be changed.
func (m *Machine) Notice() (n Notice, ok bool) {
	if m.due == 0 {
		return n, false
	}
	p := m.notices[0]
	m.notices[0] = pending{}
	m.notices, m.due = m.notices[1:], m.due-1
	if len(m.notices) == 0 {
		m.notices = nil
	}
	n = p.notice
	inline := 0
	for _, msg := range p.messages {
		n.Messages = append(n.Messages, m.state.shown(msg, n.Consumer, &inline))
	}
	return n, true
}

// noticeMessages is how many messages one notice has at most.
const noticeMessages = 64

// notice queues a notice for a client of this holder. It is no part of the state.
func (m *Machine) notice(c *conn, n Notice, msg *message) {
	if c.by != m.self {
		return
	}
	n.To, n.Conn = c.client.member, c.number
	if msg == nil {
		m.notices = append(m.notices, pending{index: m.index, notice: n})
		return
	}
	if last := len(m.notices) - 1; last >= 0 && last >= m.due {
		p := &m.notices[last]
		if p.index == m.index && p.notice.Kind == n.Kind && p.notice.Conn == n.Conn && p.notice.To == n.To &&
			p.notice.Consumer == n.Consumer && len(p.messages) < noticeMessages {
			p.messages = append(p.messages, msg)
			return
		}
	}
	m.notices = append(m.notices, pending{index: m.index, notice: n, messages: []*message{msg}})
}

// shown is a message as an answer or notice has it: with its data where that is not too much.
func (s *state) shown(m *message, consumer uint64, inline *int) Message {
	w := m.wire()
	w.Consumer = consumer
	w.Session = m.session
	size := m.size()
	if size <= MaxInline && (*inline == 0 || *inline+size <= MaxAnswer) {
		*inline += size
		w.Data = m.whole()
	} else {
		w.Size = uint64(size)
	}
	if w.Reason == ReasonNone {
		w.Queue = nil
	}
	return w
}
