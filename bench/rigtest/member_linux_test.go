package rigtest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/proc"
	"github.com/activeblaze/blaze/bench/rig"
	"github.com/activeblaze/blaze/bench/workload"
	"github.com/activeblaze/blaze/xdp"
)

// role says what a process plays that the test program starts of itself.
const role = "RIGTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "member":
		if err := member(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "member:", err)
			os.Exit(1)
		}
		os.Exit(0)
	case "receiver":
		if workload.Serve(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// build makes a rig, or skips in one line.
func build(t *testing.T, kind rig.Kind, hosts int, opt rig.Options) *rig.Rig {
	t.Helper()
	if err := errors.Join(rig.Possible(), xdp.Available()); err != nil {
		t.Skip(err)
	}
	r, err := rig.New(kind, hosts, opt)
	if errors.Is(err, rig.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// order is what a member process is told first: who to be.
type order struct {
	URI      string `json:"uri"`
	Number   int    `json:"number"`   // which member, from 0
	Members  int    `json:"members"`  // of the conversation
	Messages uint64 `json:"messages"` // that each of them sends
}

// ready is its answer when it has started, and done when it has heard everything or given up.
type ready struct {
	Error string `json:"error,omitempty"`
	Took  int64  `json:"took"` // ns that Start took
	Mode  string `json:"mode"`
}

type done struct {
	Error     string   `json:"error,omitempty"`
	Transport string   `json:"transport"`
	Mode      string   `json:"mode"`
	Heard     []uint64 `json:"heard"` // of each member, in order and once
	Wrong     uint64   `json:"wrong"` // out of order, twice, damaged, or of nobody
	Told      uint64   `json:"told"`  // as lost
	Repairs   uint64   `json:"repairs"`
	NAKs      uint64   `json:"naks"`
}

// config is every member's.
func config(uri string) blaze.Config {
	return blaze.Config{
		Cluster: "rigtest", BroadcastURI: uri, NoSelfDelivery: true, Idle: blaze.Backoff,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// member plays one: it starts, waits for a line, sends its messages while it hears the others', and
// reports. It stays until its input ends, for others may need repairs.
func member(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var o order
	if err := dec.Decode(&o); err != nil {
		return err
	}
	// payload: 1 byte the sender, 8 its message's number, 23 more that follow from both
	heard := make([]atomic.Uint64, o.Members)
	var wrong, told atomic.Uint64
	ch, err := blaze.NewChannel(config(o.URI))
	if err != nil {
		return err
	}
	defer ch.Shutdown()
	_, err = ch.SubscribePayload("rigtest", func(d *blaze.Delivery) {
		if len(d.Payload) != payloadSize || int(d.Payload[0]) >= o.Members {
			wrong.Add(1)
			return
		}
		from := &heard[d.Payload[0]]
		if n := binary.LittleEndian.Uint64(d.Payload[1:]); n != from.Load()+1 || string(d.Payload) != string(payload(d.Payload[0], n)) {
			wrong.Add(1)
			return
		}
		from.Add(1)
	}, blaze.Inline(), blaze.OnLoss(func(l blaze.Loss) { told.Add(l.Last - l.First + 1) }))
	if err != nil {
		return err
	}
	began := time.Now()
	if err := ch.Start(); err != nil {
		return enc.Encode(ready{Error: err.Error()})
	}
	if err := enc.Encode(ready{Took: int64(time.Since(began)), Mode: ch.Stats().Mode}); err != nil {
		return err
	}
	var start struct{}
	if err := dec.Decode(&start); err != nil {
		return nil // nobody wants a conversation
	}
	err = talk(ch, &o)
	for end := time.Now().Add(30 * time.Second); err == nil && !all(heard, &o); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			err = errors.New("not everything came within 30 s")
		}
	}
	s := ch.Stats()
	d := done{Transport: s.Transport, Mode: s.Mode, Wrong: wrong.Load(), Told: told.Load(), NAKs: s.Nack.NaksSent, Repairs: s.Nack.RepairsMulticast + s.Nack.RepairsUnicast}
	for i := range heard {
		d.Heard = append(d.Heard, heard[i].Load())
	}
	if err != nil {
		d.Error = err.Error()
	}
	if err := enc.Encode(d); err != nil {
		return err
	}
	_ = dec.Decode(&start) // waits for the end
	return nil
}

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

// talk sends o.Messages, some hundred at a time.
func talk(ch *blaze.Channel, o *order) error {
	p, err := ch.Publisher("rigtest")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.WaitReceivers(ctx, o.Members-1); err != nil {
		return fmt.Errorf("the others: %w", err)
	}
	for n := uint64(1); n <= o.Messages; {
		err := p.Offer(payload(byte(o.Number), n))
		switch {
		case err == nil:
			if n++; n%100 == 0 {
				time.Sleep(time.Millisecond) // three members on two processors
			}
		case errors.Is(err, blaze.ErrBackPressure) && ctx.Err() == nil:
			time.Sleep(100 * time.Microsecond)
		default:
			return err
		}
	}
	return nil
}

// all tells whether everything of the others has come.
func all(heard []atomic.Uint64, o *order) bool {
	for i := range heard {
		if i != o.Number && heard[i].Load() < o.Messages {
			return false
		}
	}
	return true
}

// start starts a member on host i of a rig.
func start(t *testing.T, r *rig.Rig, i int, o order) *proc.Child {
	t.Helper()
	t.Setenv(role, "member")
	c, err := proc.StartIn(r.Host(i), []string{os.Args[0]}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(2 * time.Second) })
	if err := c.Send(o); err != nil {
		t.Fatal(err)
	}
	return c
}

// hear waits for a process's next line.
func hear[T any](t *testing.T, c *proc.Child, limit time.Duration) (v T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := c.Receive(ctx, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
