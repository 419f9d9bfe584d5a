package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

// record is one line that a member writes.
type record struct {
	Topic string `json:"t,omitempty"`
	N     uint64 `json:"n,omitempty"`
	SHA   string `json:"sha,omitempty"`
	Size  int    `json:"size,omitempty"`
	Lost  *lost  `json:"lost,omitempty"`
	Ready bool   `json:"ready,omitempty"`
}

type lost struct {
	Count uint64 `json:"count"`
}

// memberFlags are the command line of a member.
type memberFlags struct {
	uri, topic  string
	count, size int
	rate, loss  float64
	seed        uint64
	typed       bool
}

// lines writes records, a line each, at once.
type lines struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func (l *lines) put(r record) {
	b, _ := json.Marshal(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = l.w.Write(append(b, '\n'))
	_ = l.w.Flush()
}

// member runs the Go member.
func member(args []string, out io.Writer) error {
	if len(args) == 0 || args[0] != "pub" && args[0] != "sub" {
		return errors.New("usage: interop member pub|sub --uri URI --topic T …")
	}
	var f memberFlags
	set := flag.NewFlagSet("member", flag.ContinueOnError)
	set.StringVar(&f.uri, "uri", "", "Config.BroadcastURI")
	set.StringVar(&f.topic, "topic", "interop", "the topic, or the pattern")
	set.IntVar(&f.count, "count", 0, "messages")
	set.IntVar(&f.size, "size", 64, "bytes of each, 8 or more")
	set.Float64Var(&f.rate, "rate", 0, "messages a second; 0: as fast as they are taken")
	set.Float64Var(&f.loss, "loss", 0, "share of the datagrams that is lost")
	set.Uint64Var(&f.seed, "seed", 1, "what is drawn by chance follows from it")
	set.BoolVar(&f.typed, "typed", false, "typed messages")
	if err := set.Parse(args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg := blaze.Config{BroadcastURI: f.uri, Linger: 10 * time.Second, NoSelfDelivery: true, Idle: blaze.Block}
	if f.loss > 0 {
		hook.Set(&cfg, hook.Options{Drop: f.loss, Seed: f.seed})
	}
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	w := &lines{w: bufio.NewWriter(out)}
	if args[0] == "sub" {
		return subscribe(ctx, c, &f, w)
	}
	return publish(ctx, c, &f, w)
}

func subscribe(ctx context.Context, c *blaze.Channel, f *memberFlags, w *lines) error {
	done := make(chan struct{})
	got := 0
	_, err := c.SubscribePayload(f.topic, func(d *blaze.Delivery) {
		if got == f.count && got > 0 {
			return
		}
		if d.Kind == blaze.KindMessage {
			var m blaze.Message
			if m.UnmarshalBinary(d.Payload) == nil {
				text, _ := m.Text()
				w.put(typedRecord(d.Topic, text))
			}
		} else {
			w.put(rawRecord(d.Topic, d.Payload))
		}
		if got++; got == f.count {
			close(done)
		}
	}, blaze.OnLoss(func(l blaze.Loss) {
		n := uint64(0)
		if l.First != 0 {
			n = l.Last - l.First + 1
		}
		w.put(record{Lost: &lost{Count: n}})
	}))
	if err != nil {
		return err
	}
	if err = c.Start(); err != nil {
		return err
	}
	w.put(record{Ready: true})
	select {
	case <-ctx.Done():
	case <-done:
	}
	return c.Shutdown()
}

func publish(ctx context.Context, c *blaze.Channel, f *memberFlags, w *lines) error {
	if err := c.Start(); err != nil {
		return err
	}
	p, err := c.Publisher(f.topic)
	if err != nil {
		return err
	}
	w.put(record{Ready: true})
	began := time.Now()
	for n := 1; n <= f.count && ctx.Err() == nil; n++ {
		if f.typed {
			text := textOf(uint64(n), f.size)
			if err = c.Broadcast(ctx, f.topic, blaze.NewTextMessage(text)); err != nil {
				return err
			}
			w.put(typedRecord(f.topic, text))
		} else {
			b := payloadOf(uint64(n), f.size)
			for err = p.Offer(b); errors.Is(err, blaze.ErrBackPressure) && ctx.Err() == nil; err = p.Offer(b) {
				time.Sleep(100 * time.Microsecond)
			}
			if err != nil {
				return err
			}
			w.put(rawRecord(f.topic, b))
		}
		if f.rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(n) / f.rate * 1e9))))
		}
	}
	// Who comes at the end is waited for a little: without receivers there is nothing to wait for.
	some, stop := context.WithTimeout(ctx, 2*time.Second)
	_ = p.WaitReceivers(some, 1)
	stop()
	return c.Shutdown()
}

func payloadOf(n uint64, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(b, n)
	for i := 8; i < len(b); i++ {
		b[i] = byte(n*31 + uint64(i))
	}
	return b
}

func textOf(n uint64, size int) string {
	return fmt.Sprintf("%016x", n) + strings.Repeat("x", max(size-16, 0))
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:4])
}

func rawRecord(topic string, b []byte) record {
	n := uint64(0)
	if len(b) >= 8 {
		n = binary.BigEndian.Uint64(b)
	}
	return record{Topic: topic, N: n, SHA: digest(b), Size: len(b)}
}

func typedRecord(topic, text string) record {
	n := uint64(0)
	if len(text) >= 16 {
		n, _ = strconv.ParseUint(text[:16], 16, 64)
	}
	return record{Topic: topic, N: n, SHA: digest([]byte(text)), Size: len(text)}
}
