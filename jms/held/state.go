package held

import (
	"slices"

	"github.com/activeblaze/blaze/selector"
)

// Bounds of the state. What is beyond them is refused by every holder alike.
const (
	MaxQueues        = 10_000 // dead-letter queues and subscriptions apart
	MaxSubscriptions = 1_000
	MaxConnections   = 10_000
	MaxConsumers     = 20_000 // of all connections
	MaxSessions      = 1_000  // of one connection
	MaxClients       = 20_000 // members with connections, or that are remembered
	MaxWindow        = 256    // operations of one connection under way: so many answers are remembered
	MaxStaged        = 10_000 // operations of one transaction
	MaxStagedBytes   = 64 << 20
	MaxInFlight      = 100_000 // messages of one connection
	MaxGroups        = 65_536  // message groups of one queue that have a consumer; of more the oldest is forgotten
	MaxFeeds         = 10_000  // publications on their way
	MaxInline        = 32 << 10
	MaxAnswer        = 128 << 10 // bytes of messages in one answer, about
	MaxLimit         = 1_000     // messages of one Take, Browse, Purge, Move or Retry
	MaxSteps         = 10_000    // steps of selectors of one operation; other work counts as some of them
)

// What work counts, in steps of selectors.
const (
	stepsMessage = 12 // to move a message from one place to another
	stepsLook    = 5  // to look at a message, which is in no cache
)

// The defaults of Settings.
const (
	DefaultDepth           = 100_000
	DefaultBytes           = 256 << 20
	DefaultMaxRedeliveries = 6
	DefaultHolderDepth     = 4_000_000
	DefaultHolderBytes     = 2 << 30
)

// state is what holders have alike. All that it does depends on its fields and on the arguments of its methods.
type state struct {
	m *Machine // where notices go; no part of the state

	now          int64 // ms since 1970: the last Tick
	nextNumber   uint64
	nextLine     uint64
	nextDelivery uint64
	nextQueue    uint64
	nextConn     uint64
	nextConsumer uint64
	nextClient   uint64
	defaults     Settings
	depth, bytes uint64 // of all queues
	refused      uint64 // forged operations

	queues    map[string]*queue
	names     []string // of queues, sorted
	queueByNo map[uint32]*queue
	subs      []*queue // subscriptions, in order of their numbers
	conns     map[connKey]*conn
	connByNo  map[uint32]*conn
	clients   map[Member]*client
	left      []Member // clients that are only remembered, in order of leaving
	consumers map[uint32]*consumer

	ready   tree[*message] // by queue and place
	flight  tree[*message] // by connection, session and number
	delayed tree[*message] // by time and number; time 0: the next Tick sets it
	staged  tree[*message] // by connection, session and number
	pieces  tree[[]byte]   // of parts: by connection, part and place
	expiry  tree[*message] // those of ready that expire, by time; derived
	ids     map[idKey]struct{}
	twice   map[idKey]int // of ids: how many messages more than one have it; derived

	merged      map[idKey]struct{}
	mergedOrder tree[idKey] // by time and number

	work    []*consumer // whose walk is to go on at the next Tick, in order
	fresh   []*consumer // whose walk is to go on in this operation; empty between operations
	joins   []*join     // large messages of another set of holders, in order
	lagging []*queue    // with consumers in line that lag, in order
	feeds   []*feed     // publications that have not reached every subscription, in order
	sweeps  []*conn     // that have ended, and still have something
	drops   []*queue    // that have ended, and still have messages
	undated []*conn     // whose since the next Tick sets; derived
	room    []roomWait  // for the holder's bounds

	records  tree[[]byte] // queues, connections, consumers and clients, encoded; behind by those that are dirty
	dirty    []record
	lists    [5][]uint64       // of numbers, while a snapshot is read
	lagLines map[*queue]uint64 // the same

	steps int // left to this operation
}

type connKey struct {
	member Member
	number uint64
}

// client is a member that has begun a connection.
type client struct {
	mark
	no      uint32
	member  Member
	highest uint64  // number of a connection that it began
	conns   []*conn // in order of their numbers
	left    bool    // it is in state.left
}

// conn is one connection.
type conn struct {
	mark
	no        uint32
	client    *client
	number    uint64 // the client's
	by        Member // the holder that its notices go through
	period    uint64 // of that holder: the client counts how often it turned to one
	name      string // client id
	next      uint64 // counter that is due
	answers   []remembered
	sessions  []*session  // by id
	consumers []*consumer // by the client's id
	parts     []*part     // by id
	nextPart  uint32
	partBytes uint64
	flight    int
	since     int64 // where something is in flight: the Tick after there was nothing, or one was settled or released; 0: it has not come
	undated   bool  // it is in state.undated
	ended     bool
}

// remembered is an answer that may be asked for again.
type remembered struct {
	counter uint64
	code    Code
	detail  string
	value   uint64
	next    uint64
	more    bool
	session uint32
	taken   []uint64 // numbers
}

// session has something staged.
type session struct {
	id     uint32
	next   uint64 // number of the next staged message
	bytes  uint64
	count  int // staged messages and settlements
	settle []uint64
}

// part is a large message that is on its way.
type part struct {
	id     uint64
	no     uint32 // its place in state.pieces
	size   uint64 // that it will have
	have   uint64
	pieces uint64
}

// consumer takes messages from one queue.
type consumer struct {
	mark
	no        uint32
	id        uint64 // the client's
	conn      *conn
	queue     *queue
	session   uint32
	selector  *selector.Selector // nil: none
	text      string             // of the selector
	noLocal   bool
	exclusive bool

	// Every ready message that lies before pos was looked at, or was not there: none of them is for this consumer.
	pos     uint64
	credit  uint64 // messages that it may still be given
	wait    bool   // credit stays at the end of the queue
	counter uint64 // of the last Take
	line    uint64 // its place in line; 0: it is in none
	working bool   // it is in state.work or state.fresh

	groups     map[string]uint64 // that it has, with the number of their assignment
	prev, succ *consumer         // in line
}

// queue is a queue or a subscription.
type queue struct {
	mark
	no       uint32
	name     string // a subscription's begins with NUL
	settings Settings
	declared bool

	ready, delayed, flight, staged uint64 // messages
	bytes                          uint64 // of all of these
	stats                          QueueStats

	consumers   []*consumer // in order of their numbers
	first, last *consumer   // line
	waiting     int
	exclusive   *consumer
	lagAt       *consumer // it, and those behind it in line, have to look again from lagPlace on; nil: nobody
	lagPlace    uint64
	top         uint64 // no consumer that is not in line has a higher pos; derived
	room        []uint32

	groups    map[string]*consumer
	groupAge  []groupAge // in order of assignment; some are over
	nextGroup uint64

	sub     *subscription
	dropped bool
}

type groupAge struct {
	name string
	no   uint64
}

// subscription is what a queue has that topics feed.
type subscription struct {
	client, name    string
	topic           string
	selector        *selector.Selector
	text            string
	noLocal         bool
	durable, shared bool
}

// feed is one publication on its way to subscriptions.
type feed struct {
	m     *message
	topic string
	name  string // client id of the publisher
	next  uint32 // number of the queue that is next
	until uint32 // queues from this number on came later
}

type roomWait struct {
	conn  uint32
	queue uint32
}

func newState(m *Machine) *state {
	return &state{
		m:          m,
		nextNumber: 1, nextLine: 1, nextDelivery: 1, nextQueue: 1, nextConn: 1, nextConsumer: 1, nextClient: 1,
		defaults: Settings{
			Depth: DefaultDepth, Bytes: DefaultBytes, MaxRedeliveries: DefaultMaxRedeliveries,
			HolderDepth: DefaultHolderDepth, HolderBytes: DefaultHolderBytes,
		},
		queues:    map[string]*queue{},
		queueByNo: map[uint32]*queue{},
		conns:     map[connKey]*conn{},
		connByNo:  map[uint32]*conn{},
		clients:   map[Member]*client{},
		consumers: map[uint32]*consumer{},
		ids:       map[idKey]struct{}{},
		twice:     map[idKey]int{},
		merged:    map[idKey]struct{}{},
	}
}

// record is a part of the state that snapshots have as one field.
type record interface {
	recordKey() key
	encode(s *state, dst []byte) []byte // nil: it is there no longer
	marked() *bool
}

// mark is set while a record waits in state.dirty.
type mark struct{ dirty bool }

func (m *mark) marked() *bool { return &m.dirty }

// maxDirty is how many records an operation may leave behind for the next snapshot.
const maxDirty = 64

// touch notes that r has changed.
func (s *state) touch(r record) {
	if d := r.marked(); !*d {
		*d = true
		s.dirty = append(s.dirty, r)
	}
}

// record writes up to n dirty records into the tree.
func (s *state) record(n int) {
	n = min(n, len(s.dirty))
	for i, r := range s.dirty[:n] {
		*r.marked() = false
		if b := r.encode(s, nil); b != nil {
			s.records.put(r.recordKey(), b)
		} else {
			s.records.remove(r.recordKey())
		}
		s.dirty[i] = nil
	}
	s.dirty = s.dirty[n:]
	if len(s.dirty) == 0 {
		s.dirty = nil
	}
}

// settingsOf is what holds for q.
func (s *state) settingsOf(q *queue) Settings {
	x := q.settings
	if x.Depth == 0 {
		x.Depth = s.defaults.Depth
	}
	if x.Bytes == 0 {
		x.Bytes = s.defaults.Bytes
	}
	if x.MaxRedeliveries == 0 {
		x.MaxRedeliveries = s.defaults.MaxRedeliveries
	}
	if x.RedeliveryDelay == 0 {
		x.RedeliveryDelay = s.defaults.RedeliveryDelay
		x.Doubling = x.Doubling || s.defaults.Doubling
	}
	x.DeadLetterExpired = x.DeadLetterExpired || s.defaults.DeadLetterExpired
	return x
}

// total is all messages that q has.
func (q *queue) total() uint64 { return q.ready + q.delayed + q.flight + q.staged }

// open returns the queue of a name, which it makes where that is allowed.
func (s *state) open(name []byte) (*queue, Code) {
	if q := s.queues[string(name)]; q != nil {
		return q, CodeOK
	}
	if len(name) == 0 || name[0] == 0 || s.defaults.NoAutoCreate {
		return nil, CodeNoQueue
	}
	if len(s.queues)-len(s.subs) >= MaxQueues {
		return nil, CodeTooMany
	}
	return s.newQueue(string(name)), CodeOK
}

func (s *state) newQueue(name string) *queue {
	q := &queue{no: uint32(s.nextQueue), name: name}
	s.nextQueue++
	s.queues[name] = q
	i, _ := slices.BinarySearch(s.names, name)
	s.names = slices.Insert(s.names, i, name)
	s.queueByNo[q.no] = q
	s.touch(q)
	return q
}

// full reports whether q, or the holder, has no room for n messages of size bytes together.
func (s *state) full(q *queue, n, size uint64) Code {
	x := s.settingsOf(q)
	switch {
	case size > x.Bytes:
		return CodeTooLarge
	case s.m.leave == leaveFull:
	case q.total()+n > x.Depth || q.bytes+size > x.Bytes:
		return CodeQueueFull
	case s.depth+n > s.defaults.HolderDepth || s.bytes+size > s.defaults.HolderBytes:
		return CodeHolderFull
	}
	return CodeOK
}

// account notes that q has one message of size bytes more.
func (s *state) account(q *queue, size int) {
	q.bytes += uint64(size)
	s.depth++
	s.bytes += uint64(size)
	s.touch(q)
}

// addID notes that a message has an id. Nothing keeps a client from giving several the same one.
func (s *state) addID(k idKey) {
	if _, there := s.ids[k]; there {
		s.twice[k]++
		return
	}
	s.ids[k] = struct{}{}
}

func (s *state) dropID(k idKey) {
	switch s.twice[k] {
	case 0:
		delete(s.ids, k)
	case 1:
		delete(s.twice, k)
	default:
		s.twice[k]--
	}
}

// discount is the opposite of account. Those that wait for room get notices.
func (s *state) discount(q *queue, m *message) {
	size := uint64(m.size())
	q.bytes -= size
	s.depth--
	s.bytes -= size
	if m.hasID() {
		s.dropID(m.idKey())
	}
	s.touch(q)
	if q.dropped {
		s.forgetQueue(q)
	}
	if len(q.room) > 0 && s.full(q, 1, 1) == CodeOK {
		for _, no := range q.room {
			s.notifyRoom(no, q)
		}
		q.room = nil
	}
	if len(s.room) > 0 && s.depth < s.defaults.HolderDepth && s.bytes < s.defaults.HolderBytes {
		for _, w := range s.room {
			if r := s.queueByNo[w.queue]; r != nil {
				s.notifyRoom(w.conn, r)
			}
		}
		s.room = nil
	}
}

func (s *state) notifyRoom(no uint32, q *queue) {
	if c := s.connByNo[no]; c != nil && !c.ended {
		s.m.notice(c, Notice{Kind: NoticeRoom, Queue: q.name}, nil)
	}
}

// awaitRoom notes that c wants a notice when there is room.
func (s *state) awaitRoom(c *conn, q *queue, code Code) {
	if code == CodeHolderFull {
		if w := (roomWait{c.no, q.no}); !slices.Contains(s.room, w) {
			s.room = append(s.room, w)
		}
	} else if !slices.Contains(q.room, c.no) {
		q.room = append(q.room, c.no)
		s.touch(q)
	}
}
