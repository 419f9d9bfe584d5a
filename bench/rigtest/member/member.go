// Package member is one member of a conversation, as a process: it sends its messages, checks those of
// the others, and reports. It uses nothing but the public API, since a test also builds it against the
// library of an earlier commit.
package member

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
)

// Order is the first line of a member's input: what to be.
type Order struct {
	URI      string        `json:"uri"`
	Protocol string        `json:"protocol"` // nack, hybrid or totem; empty: nack
	Number   int           `json:"number"`   // which member, from 0
	Members  int           `json:"members"`  // of the conversation
	Messages uint64        `json:"messages"` // that each of them sends
	Pause    time.Duration `json:"pause"`    // after each hundred messages
	Idle     string        `json:"idle"`     // backoff, block; empty: backoff
	Talk     bool          `json:"talk"`     // be a talker, which counts what is sent later than Pause after its Start
}

// Ready is its answer when it has started.
type Ready struct {
	Error string `json:"error,omitempty"`
	Took  int64  `json:"took"` // ns that Start took
	Mode  string `json:"mode"`
}

// Done is its report, when everything has come or it has given up.
type Done struct {
	Error     string   `json:"error,omitempty"`
	Transport string   `json:"transport"`
	Mode      string   `json:"mode"`
	Received  []uint64 `json:"received"` // of each member, in order and once
	Wrong     uint64   `json:"wrong"`    // out of order, twice, damaged, or of no member
	Lost      uint64   `json:"lost"`     // that OnLoss reported
	Repairs   uint64   `json:"repairs"`
	NAKs      uint64   `json:"naks"`
	Sequence  uint64   `json:"sequence"` // hash of all that was delivered, in its order
	Views     int      `json:"views"`    // Totem: views since all are members
	LateViews int      `json:"late_views"`
	TalkMS    int64    `json:"talk_ms"` // how long it sent
}

// Settled is how long a ring may take for its views. A view later than this is a late one.
const Settled = time.Second

// Config is every member's.
func Config(uri string) blaze.Config {
	return blaze.Config{
		Cluster: "rigtest", BroadcastURI: uri, NoSelfDelivery: true, Idle: blaze.Backoff,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// Main is a program that is one member. Its exit status is 1 where Run failed.
func Main() {
	if err := Run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "member:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

const topic = "rigtest"

// Run starts a member as the first line of in orders, waits for a second line, sends and receives, and
// reports. The member stays until in ends, for others may need repairs.
func Run(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var o Order
	if err := dec.Decode(&o); err != nil {
		return err
	}
	cfg := Config(o.URI)
	if o.Talk {
		return runTalker(&o, cfg, dec, enc)
	}
	l := &listener{o: o, received: make([]uint64, o.Members), sequence: fnv.New64a(), complete: make(chan struct{})}
	for i := range o.Members {
		if i != o.Number || o.Protocol == "totem" {
			l.missing += o.Messages
		}
	}
	switch o.Protocol {
	case "", "nack":
	case "hybrid":
		cfg.Protocol = blaze.Hybrid
	case "totem":
		cfg.Protocol, cfg.NoSelfDelivery = blaze.Totem, false // its own messages have a place in the order too
	default:
		return fmt.Errorf("protocol %q", o.Protocol)
	}
	if o.Idle != "" {
		idle, err := blaze.ParseIdle(o.Idle)
		if err != nil {
			return err
		}
		cfg.Idle = idle
	}
	ch, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	if cfg.Protocol == blaze.Totem {
		ch.OnView(l.view)
	}
	if _, err = ch.SubscribePayload(topic, l.take, blaze.Inline(), blaze.OnLoss(l.loss)); err != nil {
		return err
	}
	began := time.Now()
	if err := ch.Start(); err != nil {
		return enc.Encode(Ready{Error: err.Error()})
	}
	if err := enc.Encode(Ready{Took: int64(time.Since(began)), Mode: ch.Stats().Mode}); err != nil {
		return err
	}
	var line struct{}
	if err := dec.Decode(&line); err != nil {
		return nil // there is no conversation
	}
	began = time.Now()
	err = talk(ch, &o)
	took := time.Since(began)
	if err == nil {
		select {
		case <-l.complete:
		case <-time.After(30 * time.Second):
			err = errors.New("not everything came within 30 s")
		}
	}
	d := l.report()
	s := ch.Stats()
	d.Transport, d.Mode, d.TalkMS = s.Transport, s.Mode, took.Milliseconds()
	d.NAKs, d.Repairs = s.Nack.NaksSent, s.Nack.RepairsMulticast+s.Nack.RepairsUnicast
	if err != nil {
		d.Error = err.Error()
	}
	if err := enc.Encode(d); err != nil {
		return err
	}
	_ = dec.Decode(&line) // waits for the end
	return nil
}

// listener is what a member receives.
type listener struct {
	o        Order
	complete chan struct{} // closed when everything has come

	mu       sync.Mutex
	received []uint64
	missing  uint64
	wrong    uint64
	lost     uint64
	sequence interface {
		io.Writer
		Sum64() uint64
	}
	views, late int
	whole       time.Time // of the first view with all members
}

// take checks one message.
func (l *listener) take(d *blaze.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(d.Payload) != payloadSize || int(d.Payload[0]) >= l.o.Members {
		l.wrong++
		return
	}
	from := &l.received[d.Payload[0]]
	if n := binary.LittleEndian.Uint64(d.Payload[1:]); n != *from+1 || string(d.Payload) != string(payload(d.Payload[0], n)) {
		l.wrong++
		return
	}
	*from++
	_, _ = l.sequence.Write(d.Payload[:9])
	if l.missing--; l.missing == 0 {
		close(l.complete)
	}
}

func (l *listener) loss(m blaze.Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += m.Last - m.First + 1
}

// view counts the views from the first one with all members on.
func (l *listener) view(v blaze.View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.whole.IsZero() {
		if len(v.Members) < l.o.Members {
			return
		}
		l.whole = now
	}
	if l.views++; now.Sub(l.whole) > Settled {
		l.late++
	}
}

func (l *listener) report() Done {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Done{
		Received: l.received, Wrong: l.wrong, Lost: l.lost, Sequence: l.sequence.Sum64(), Views: l.views, LateViews: l.late,
	}
}

// A payload is 1 byte for the sender, 8 for its message's number, and 23 that follow from both.
const payloadSize = 32

func payload(from byte, n uint64) []byte {
	b := make([]byte, payloadSize)
	b[0] = from
	binary.LittleEndian.PutUint64(b[1:], n)
	for i := 9; i < payloadSize; i++ {
		b[i] = byte(n>>(i%8)) ^ from ^ byte(i)
	}
	return b
}

// talk sends o.Messages, a hundred at a time.
func talk(ch *blaze.Channel, o *Order) error {
	p, err := ch.Publisher(topic)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.WaitReceivers(ctx, o.Members-1); err != nil {
		return fmt.Errorf("the others: %w", err)
	}
	pause := max(o.Pause, time.Millisecond) // there may be more members than processors
	for n := uint64(1); n <= o.Messages; {
		err := p.Offer(payload(byte(o.Number), n))
		switch {
		case err == nil:
			if n++; n%100 == 0 {
				time.Sleep(pause)
			}
		case errors.Is(err, blaze.ErrBackPressure) && ctx.Err() == nil:
			time.Sleep(100 * time.Microsecond)
		default:
			return err
		}
	}
	return nil
}
