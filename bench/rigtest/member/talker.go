package member

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
)

// A talker sends a message each millisecond from its Start on, and checks what it receives of other talkers: of each of them
// every message that it sent after this one's Start had returned, once and in order. Each message has the time at which it
// and the one before were sent, so the first message that is received says whether one was missed.

// Talk is a talker's answer to each line of its input after the first.
type Talk struct {
	Sent   uint64          `json:"sent"`
	Heard  map[int]uint64  `json:"heard"`  // of each other talker's number, the number of the last message that came
	Missed uint64          `json:"missed"` // messages that should have come
	Why    json.RawMessage `json:"why,omitempty"`
}

// miss describes messages that should have come.
type miss struct {
	From        int           `json:"from"`
	First, Last uint64        // numbers
	After       time.Duration `json:"after"`            // the first was sent so long after this one's Start
	Reason      string        `json:"reason,omitempty"` // of a loss that was told
}

// spoken is a message: 8 bytes each for the talker's number, the message's number, when it was sent, and when the one before
// was (Unix, ns; 0: there was none).
const spoken = 32

// ear is what a talker hears.
type ear struct {
	mu    sync.Mutex
	since int64 // what was sent later than that must come; 0: nothing yet
	talk  Talk
	why   []miss
}

// runTalker is a talker until in ends.
func runTalker(o *Order, cfg blaze.Config, dec *json.Decoder, enc *json.Encoder) error {
	cfg.Window, cfg.MaxMessageSize = 2<<20, 64<<10
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	e := &ear{talk: Talk{Heard: map[int]uint64{}}}
	if _, err = ch.SubscribePayload(topic, e.take, blaze.Inline(), blaze.OnLoss(e.loss)); err != nil {
		return err
	}
	p, err := ch.Publisher(topic)
	if err != nil {
		return err
	}
	began := time.Now()
	if err = ch.Start(); err != nil {
		return enc.Encode(Ready{Error: err.Error()})
	}
	started := time.Now()
	e.mu.Lock()
	e.since = started.Add(o.Pause).UnixNano()
	e.mu.Unlock()
	end, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- e.speak(p, o.Number, end) }()
	if err = enc.Encode(Ready{Took: int64(started.Sub(began)), Mode: ch.Stats().Mode}); err != nil {
		return err
	}
	var line struct{}
	for dec.Decode(&line) == nil {
		if err = enc.Encode(e.said()); err != nil {
			return err
		}
	}
	close(end)
	return <-ended
}

// speak sends until end is closed.
func (e *ear) speak(p *blaze.Publisher, number int, end chan struct{}) error {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	b := make([]byte, spoken)
	binary.LittleEndian.PutUint64(b, uint64(number))
	before := uint64(0)
	for n := uint64(1); ; {
		now := uint64(time.Now().UnixNano())
		binary.LittleEndian.PutUint64(b[8:], n)
		binary.LittleEndian.PutUint64(b[16:], now)
		binary.LittleEndian.PutUint64(b[24:], before)
		switch err := p.Offer(b); {
		case err == nil:
			e.mu.Lock()
			e.talk.Sent = n
			e.mu.Unlock()
			n, before = n+1, now
		case !errors.Is(err, blaze.ErrBackPressure):
			return err
		}
		select {
		case <-end:
			return nil
		case <-t.C:
		}
	}
}

func (e *ear) take(d *blaze.Delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(d.Payload) != spoken {
		return
	}
	from, n := int(binary.LittleEndian.Uint64(d.Payload)), binary.LittleEndian.Uint64(d.Payload[8:])
	before := int64(binary.LittleEndian.Uint64(d.Payload[24:]))
	last, known := e.talk.Heard[from]
	switch {
	case known && n != last+1:
		e.misses(miss{From: from, First: last + 1, Last: n - 1})
	case !known && e.since != 0 && before > e.since:
		e.misses(miss{From: from, First: n - 1, Last: n - 1, After: time.Duration(before - e.since)})
	}
	e.talk.Heard[from] = n
}

func (e *ear) loss(l blaze.Loss) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.misses(miss{First: l.First, Last: l.Last, Reason: l.Reason.String()})
}

func (e *ear) misses(m miss) {
	e.talk.Missed++
	e.why = append(e.why, m)
}

// said is the answer to a question.
func (e *ear) said() Talk {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.talk
	t.Heard = make(map[int]uint64)
	for from, n := range e.talk.Heard {
		t.Heard[from] = n
	}
	if len(e.why) > 0 {
		t.Why, _ = json.Marshal(e.why)
	}
	return t
}
