package held

// message is one message of one queue. It never changes once it is in a tree: views share it. What changes is a copy.
type message struct {
	data    []byte
	more    *more // what only some messages have
	id      [idLen]byte
	sender  Member
	from    uint64 // the sender's number of its connection
	number  uint64 // in order of arrival, over all queues; of a staged one: in order of staging in its session
	expires int64  // ms since 1970; 0: never
	count   uint32 // deliveries
	queue   uint32
	// Where it is in flight or staged.
	conn     uint32
	session  uint32
	consumer uint32 // which may have ended meanwhile
	delivery uint64

	priority uint8
	flags    uint8 // messagePersistent
}

// more is what only some messages have.
type more struct {
	group    string
	groupSeq int64
	due      int64  // ms since 1970: not before
	topic    string // of a staged publication
	origin   string // of a dead letter: its queue's name
	reason   Reason
	rest     [][]byte // what follows data, of a message that came in parts
	size     int      // of data and rest; 0: there is no rest
}

const (
	placeBits  = 60
	numberMask = 1<<placeBits - 1
	endPlace   = 1<<64 - 1 // behind every message
)

// place is where a message lies in its queue: a higher priority first, order of arrival within one.
func (m *message) place() uint64 { return uint64(9-m.priority)<<placeBits | m.number }

func (m *message) readyKey() key   { return key{uint64(m.queue), m.place()} }
func (m *message) flightKey() key  { return key{uint64(m.conn)<<32 | uint64(m.session), m.number} }
func (m *message) delayedKey() key { return key{uint64(m.due()), m.number} }
func (m *message) expiryKey() key  { return key{uint64(m.expires), m.number} }

func (m *message) due() int64 {
	if m.more == nil {
		return 0
	}
	return m.more.due
}

func (m *message) group() string {
	if m.more == nil {
		return ""
	}
	return m.more.group
}

// size is the bytes of its data.
func (m *message) size() int {
	if m.more != nil && m.more.size > 0 {
		return m.more.size
	}
	return len(m.data)
}

// copyWith returns a copy whose more is its own, so that change may change it.
func (m *message) copyWith(change func(*more)) *message {
	c, x := *m, more{}
	if m.more != nil {
		x = *m.more
	}
	change(&x)
	c.more = &x
	return &c
}

// idKey is what tells messages of one queue apart, also those of another set of holders.
type idKey struct {
	queue  uint32
	id     [idLen]byte
	sender Member
}

func (m *message) idKey() idKey { return idKey{m.queue, m.id, m.sender} }

// hasID reports whether m can be told apart.
func (m *message) hasID() bool { return m.id != [idLen]byte{} }

// wire is m as an answer, a notice or a snapshot has it, without its data. Its slices are m's.
func (m *message) wire() Message {
	w := Message{
		Priority: m.priority, Expires: m.expires, Count: m.count, Number: m.number, Sender: m.sender, From: m.from,
		Session: m.session, Delivery: m.delivery, Persistent: m.flags&messagePersistent != 0,
	}
	if m.hasID() {
		w.ID = m.id[:]
	}
	if x := m.more; x != nil {
		w.Group, w.GroupSeq, w.Due = []byte(x.group), x.groupSeq, x.due
		w.Queue, w.Reason = []byte(x.origin), x.reason
	}
	return w
}

// whole is all of m's data. It is a copy where m came in parts.
func (m *message) whole() []byte {
	if m.more == nil || len(m.more.rest) == 0 {
		return m.data
	}
	all := append(make([]byte, 0, m.size()), m.data...)
	for _, part := range m.more.rest {
		all = append(all, part...)
	}
	return all
}

// cut returns up to n bytes of m's data from offset on.
func (m *message) cut(offset uint64, n int) []byte {
	if offset >= uint64(m.size()) {
		return nil
	}
	n = min(n, m.size()-int(offset))
	if offset+uint64(n) <= uint64(len(m.data)) {
		return m.data[offset:][:n]
	}
	out, at := make([]byte, 0, n), uint64(0)
	add := func(part []byte) {
		if end := at + uint64(len(part)); offset < end && len(out) < n {
			piece := part[max(offset, at)-at:]
			piece = piece[:min(len(piece), n-len(out))]
			out = append(out, piece...)
			offset += uint64(len(piece))
		}
		at += uint64(len(part))
	}
	add(m.data)
	for _, part := range m.more.rest {
		add(part)
	}
	return out
}
