package sim

import (
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// Load is what the members of a cluster send. Its zero value is one sender with a message
// every 100µs on average, of 1 to 400 bytes.
type Load struct {
	Senders  int           // members 0..Senders-1 send; zero means 1, negative means none
	Every    time.Duration // mean time between two bursts of one sender; zero means 100µs
	Burst    int           // messages in a burst, 1..Burst evenly drawn; zero means 1
	Size     int           // payload bytes, 1..Size evenly drawn; zero means 400
	Large    float64       // share of messages that are LargeSize bytes instead
	LargeTo  int           // the largest of those, bytes; zero means 8000
	Topics   int           // topics; zero means 3
	Messages int           // each process sends this many; zero: until EndLoad
	Protocol wire.Protocol // zero means NACK
}

func (l Load) withDefaults() Load {
	if l.Senders == 0 {
		l.Senders = 1
	}
	if l.Every == 0 {
		l.Every = 100 * time.Microsecond
	}
	if l.Burst == 0 {
		l.Burst = 1
	}
	if l.Size == 0 {
		l.Size = 400
	}
	if l.LargeTo == 0 {
		l.LargeTo = 8000
	}
	if l.Topics == 0 {
		l.Topics = 3
	}
	if l.Protocol == 0 {
		l.Protocol = wire.NACK
	}
	return l
}

// message is one that the application wants to send.
type message struct {
	stream  check.Stream
	id      wire.StreamID
	topic   string
	payload []byte
}

// StartLoad begins the load of all members.
func (c *Cluster) StartLoad() {
	for _, m := range c.Members {
		m.load()
	}
}

// EndLoad ends it; what met back-pressure is still sent.
func (c *Cluster) EndLoad() { c.Load.Messages = -1 }

// sends reports whether the load is on this member.
func (m *Member) sends() bool { return m.Node < m.c.Load.Senders }

// load makes one process send, burst after burst, until its messages are sent or it ends.
func (m *Member) load() {
	if !m.sends() || !m.Alive() {
		return
	}
	proc := m.Proc
	var next func()
	wait := func() {
		m.c.Net.After(time.Duration(m.rng.ExpFloat64()*float64(m.c.Load.Every)), next)
	}
	next = func() {
		if !m.Alive() || m.Proc != proc || m.leaving {
			return
		}
		if !m.paused && m.waiting == nil {
			for n := 1 + m.rng.IntN(m.c.Load.Burst); n > 0 && m.waiting == nil; n-- {
				if limit := m.c.Load.Messages; limit < 0 || limit > 0 && m.sent >= limit {
					return
				}
				m.offer()
			}
		}
		wait()
	}
	wait()
}

var topics = []string{"prices.eur", "prices.usd", "orders", "trades.eur.spot", "heart", "a", "b.c", "news"}

// offer sends one message; under back-pressure it stays and is tried again.
func (m *Member) offer() {
	l := &m.c.Load
	topic := m.rng.IntN(min(l.Topics, len(topics)))
	size := 1 + m.rng.IntN(l.Size)
	if chance(m.rng, l.Large) {
		size = 1 + m.rng.IntN(l.LargeTo)
	}
	m.Send(l.Protocol, topic, size)
}

// Send sends a message of size bytes on one of the topics, now or as soon as the window has room.
func (m *Member) Send(p wire.Protocol, topic, size int) {
	id := m.Core.Stream(topics[topic])
	s := m.open(wire.NewStreamID(p, id.Lane()))
	msg := &message{stream: s, id: m.c.Log.Streams[s].ID, topic: topics[topic], payload: make([]byte, size)}
	check.Payload(msg.payload, m.c.Seed<<20^uint64(s), m.c.Log.Next(s))
	if !m.try(msg) {
		m.waiting = msg
		m.again(m.Proc)
	}
}

// try offers a message once.
func (m *Member) try(msg *message) bool {
	now := m.c.Net.Now()
	err := m.Core.Offer(now, msg.id, msg.topic, msg.payload)
	if err == nil {
		m.c.Log.Sent(now, msg.stream, msg.payload)
		m.sent++
		return true
	}
	if !m.Core.Refused(err) {
		panic("sim: " + err.Error())
	}
	m.Refused++
	return false
}

// again tries what was refused, every now and then.
func (m *Member) again(proc check.Proc) {
	m.c.Net.After(20*time.Microsecond, func() {
		switch {
		case !m.Alive() || m.Proc != proc || m.waiting == nil:
		case m.leaving:
			m.waiting = nil
		case m.paused || !m.try(m.waiting):
			m.again(proc)
		default:
			m.waiting = nil
		}
	})
}
