package blaze_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/lanes"
	"github.com/activeblaze/blaze/internal/testnet"
	"github.com/activeblaze/blaze/nack"
)

// laneTopic is a topic that is hashed to lane, of lanes, and to the lane that is also asked for, of
// as many as are asked for.
func laneTopic(lane, count int, also ...int) string {
	for i := 0; ; i++ {
		t := fmt.Sprint("lane.", i)
		if int(lanes.Of(t, count)) == lane && (len(also) == 0 || int(lanes.Of(t, also[1])) == also[0]) {
			return t
		}
	}
}

// inOrder subscribes and wants the numbers from first to last, once and in order. What was sent
// before may still come before them.
func inOrder(t testing.TB, c *blaze.Channel, topic string, first, last int, opts ...blaze.SubscribeOption) (*blaze.Subscription, <-chan struct{}) {
	t.Helper()
	done, want := make(chan struct{}), first
	opts = append(opts, blaze.OnLoss(func(l blaze.Loss) { t.Errorf("%s: %v", topic, l) }))
	s, err := c.SubscribePayload(topic, func(d *blaze.Delivery) {
		switch got, err := strconv.Atoi(string(bytes.TrimRight(d.Payload, "\x00"))); {
		case err == nil && got < first && want == first:
			return
		case err != nil || got != want:
			t.Errorf("%s: got %.8q, want %d", topic, d.Payload, want)
		}
		if want++; want == last+1 {
			close(done)
		}
	}, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s, done
}

func numbered(t testing.TB, p *blaze.Publisher, first, last int) {
	t.Helper()
	payload := make([]byte, 1000) // two of them do not fit a datagram
	for i := first; i <= last; i++ {
		clear(payload)
		copy(payload, fmt.Sprint(i))
		offer(t, p, payload)
	}
}

// lanesPair starts a member that hears everything and one at the other end of the wire, with an option
// in its URI and what change makes of its Config; change may be nil.
func lanesPair(t *testing.T, lanes int, option string, change func(*blaze.Config)) (a, b *blaze.Channel) {
	t.Helper()
	na, nb := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	cfg.Lanes = lanes
	a = startedIn(t, na, cfg)
	cfg.BroadcastURI = strings.Replace(cfg.BroadcastURI, "v0", "v1", 1) + option
	if change != nil {
		change(&cfg)
	}
	return a, startedIn(t, nb, cfg)
}

// With lanes=subscribed a member hears what it subscribes to and sends on, and its driver nothing
// else; without, all of it.
func TestSubscribedLanes(t *testing.T) {
	fastPath(t)
	const lanes, count = 8, 300
	for _, subscribed := range []bool{true, false} {
		t.Run(fmt.Sprint(subscribed), func(t *testing.T) {
			option := ""
			if subscribed {
				option = "&lanes=subscribed"
			}
			a, b := lanesPair(t, lanes, option, nil)

			_, all := inOrder(t, b, laneTopic(3, lanes), 0, count-1)
			var pubs [lanes]*blaze.Publisher
			for l := range pubs {
				n := 0
				if !subscribed || l == 3 {
					n = 1
				}
				pubs[l] = publisher(t, a, laneTopic(l, lanes), n)
			}
			for l, p := range pubs {
				if l != 3 {
					numbered(t, p, 0, count-1)
				}
			}
			numbered(t, pubs[3], 0, count-1)
			next(t, all, "last message in a wanted lane")
			s := b.Stats()
			if !subscribed {
				if s.XDP.Filter.Unwanted != 0 || s.Nack.Drops[nack.DropLane] != 0 {
					t.Errorf("%d packets were unwanted, %d frames refused", s.XDP.Filter.Unwanted, s.Nack.Drops[nack.DropLane])
				}
				eventually(t, "all lanes are heard", func() bool { return b.Stats().Nack.DataReceived == lanes*count })
				return
			}
			eventually(t, "what is unwanted is counted", func() bool {
				s = b.Stats()
				return s.XDP.Filter.Unwanted >= (lanes-1)*count
			})
			if s.Nack.DataReceived != count || s.Nack.Streams != 1 {
				t.Errorf("%d data frames of %d streams; %d were for this member", s.Nack.DataReceived, s.Nack.Streams, count)
			}
			if s.XDP.RecvDatagrams >= lanes/2*count {
				t.Errorf("%d datagrams came, %d through the kernel", s.XDP.RecvDatagrams, s.XDP.RecvKernel)
			}
			if s.Nack.Drops[nack.DropLane] == 0 {
				t.Error("no Start of an unwanted stream was heard")
			}
			for l, p := range pubs {
				if n := p.Receivers(); (l == 3) != (n == 1) {
					t.Errorf("lane %d has %d receivers", l, n)
				}
			}

			// Another subscription hears what is sent as soon as it is made, and when it is closed its
			// lane is still heard.
			sub, all := inOrder(t, b, laneTopic(5, lanes), count, 2*count-1)
			numbered(t, pubs[5], count, 2*count-1)
			next(t, all, "last message in a lane that is wanted now")
			sub.Close()
			numbered(t, pubs[5], 2*count, 3*count-1)
			eventually(t, "the lane of a closed subscription is heard", func() bool { return b.Stats().Nack.DataReceived >= 3*count })
			if n := pubs[5].Receivers(); n != 1 {
				t.Errorf("%d receivers", n)
			}
			// One from a handler that the engine's thread runs.
			made := make(chan (<-chan struct{}), 1)
			b.SubscribePayload(laneTopic(5, lanes), func(*blaze.Delivery) {
				_, all := inOrder(t, b, laneTopic(6, lanes), count, 2*count-1)
				made <- all
			}, blaze.Inline())
			numbered(t, pubs[5], 0, 0)
			all = next(t, made, "handler")
			numbered(t, pubs[6], count, 2*count-1)
			next(t, all, "last message in a lane that a handler wants")
			if n := b.Stats().Nack.Streams; n != 3 {
				t.Errorf("%d streams are heard", n)
			}
		})
	}
}

// Until the next Start: then only what is subscribed to at that time.
func TestSubscribedLanesAfterStart(t *testing.T) {
	fastPath(t)
	const lanes = 8
	na, nb := testnet.Pair(t)
	cfg := over(t, "xdp", "v0", "")
	cfg.Lanes = lanes
	a := startedIn(t, na, cfg)
	cfg.BroadcastURI = strings.Replace(cfg.BroadcastURI, "v0", "v1", 1) + "&lanes=subscribed"
	b := startedIn(t, nb, cfg)
	three, err := b.SubscribePayload(laneTopic(3, lanes), func(*blaze.Delivery) {})
	if err != nil {
		t.Fatal(err)
	}
	p3 := publisher(t, a, laneTopic(3, lanes), 1)
	p5 := publisher(t, a, laneTopic(5, lanes), 0)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the farewell", func() bool { return p3.Receivers() == 0 })
	three.Close()
	_, all := inOrder(t, b, laneTopic(5, lanes), 0, 99)
	nb.Do(func() { err = b.Start() })
	if err != nil {
		t.Fatal(err)
	}
	if err := p5.WaitReceivers(within(t), 1); err != nil {
		t.Fatal(err)
	}
	numbered(t, p3, 0, 99)
	numbered(t, p5, 0, 99)
	next(t, all, "last message")
	// Were the lane not wanted all would have come as repairs.
	if s := b.Stats().Nack; s.Streams != 1 || s.DataReceived != 100 || s.Missed >= 50 {
		t.Errorf("%d streams, %d data frames, %d of them missed at first", s.Streams, s.DataReceived, s.Missed)
	}
}

// A wildcard wants all lanes.
func TestSubscribedLanesWithAWildcard(t *testing.T) {
	fastPath(t)
	const lanes, count = 8, 50
	a, b := lanesPair(t, lanes, "&lanes=subscribed", nil)
	got := make(chan string, lanes*count)
	if _, err := b.SubscribePayload("lane.*", func(d *blaze.Delivery) { got <- d.Topic }); err != nil {
		t.Fatal(err)
	}
	for l := range lanes {
		numbered(t, publisher(t, a, laneTopic(l, lanes), 1), 0, count-1)
	}
	for range lanes * count {
		next(t, got, "message")
	}
	if s := b.Stats().XDP.Filter; s.Unwanted != 0 {
		t.Errorf("%d unwanted", s.Unwanted)
	}
}

// A member that only sends hears the lanes that it sends on: what its receivers report, and that
// one leaves that sends nothing itself.
func TestSubscribedLanesOfASender(t *testing.T) {
	fastPath(t)
	const lanes, count = 8, 300
	nets := testnet.Bridge(t, 3)
	cfg := over(t, "xdp", "v0", "")
	cfg.Lanes = lanes
	receiver, other := startedIn(t, nets[1], cfg), startedIn(t, nets[2], cfg)
	cfg.BroadcastURI += "&lanes=subscribed"
	cfg.FailureTimeout = time.Minute // nobody is evicted meanwhile
	a := startedIn(t, nets[0], cfg)
	topic := laneTopic(5, lanes, 13, 2*lanes) // in the same lane as one of the other's
	_, all := inOrder(t, receiver, topic, 0, count-1)
	p := publisher(t, a, topic, 2)
	for l := range lanes {
		n := 1 // receiver hears all
		if l == 5 {
			n = 2
		}
		numbered(t, publisher(t, other, laneTopic(l, lanes, l, 2*lanes), n), 0, count-1)
	}
	numbered(t, p, 0, count-1)
	next(t, all, "last message")
	eventually(t, "what is unwanted is counted, and the rest is heard", func() bool {
		s := a.Stats()
		return s.XDP.Filter.Unwanted >= (lanes-1)*count && s.Nack.DataReceived >= count
	})
	if s := a.Stats().Nack; s.Streams != 1 || s.DataReceived != count {
		t.Errorf("%d streams are heard, %d data frames", s.Streams, s.DataReceived)
	}
	if err := receiver.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the receiver's farewell", func() bool { return p.Receivers() == 1 })
}

// A member with another number of lanes is noticed when it begins to send, in whatever lane; all
// lanes are heard from then on, and the log says so once.
func TestSubscribedLanesAndAnotherNumber(t *testing.T) {
	fastPath(t)
	const lanes, fewer, count = 8, 4, 100
	nets := testnet.Bridge(t, 3)
	cfg := over(t, "xdp", "v0", "")
	cfg.Lanes = lanes
	a := startedIn(t, nets[0], cfg)
	var log lines
	heard := cfg
	heard.Logger = slog.New(slog.NewTextHandler(&log, nil))
	heard.BroadcastURI += "&lanes=subscribed"
	b := startedIn(t, nets[1], heard)

	topic := laneTopic(7, lanes, 3, fewer) // wanted: 7; sent in: 3
	_, all := inOrder(t, b, topic, 0, count-1)
	p := publisher(t, a, laneTopic(2, lanes), 0)
	numbered(t, p, 0, count-1)
	eventually(t, "what is unwanted is counted", func() bool { return b.Stats().XDP.Filter.Unwanted >= count })
	if s := b.Stats().Nack; s.Streams != 0 || s.LanesDiffer != 0 || log.count("another number of lanes") != 0 {
		t.Errorf("%d streams, %d differ", s.Streams, s.LanesDiffer)
	}

	cfg.Lanes = fewer
	c := startedIn(t, nets[2], cfg)
	q := publisher(t, c, topic, 2)
	numbered(t, q, 0, count-1)
	next(t, all, "last message of the other number")
	publisher(t, c, laneTopic(1, fewer), 2)
	eventually(t, "both of its streams are counted", func() bool { return b.Stats().Nack.LanesDiffer == 2 })
	if n := log.count("another number of lanes"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	eventually(t, "a lane is heard that was not", func() bool { return p.Receivers() == 2 })
	before := b.Stats()
	numbered(t, p, count, 2*count-1)
	eventually(t, "its data is heard", func() bool { return b.Stats().Nack.DataReceived >= before.Nack.DataReceived+count })
	if s := b.Stats().XDP.Filter; s.Unwanted != before.XDP.Filter.Unwanted {
		t.Errorf("%d more are unwanted", s.Unwanted-before.XDP.Filter.Unwanted)
	}
}

// With an Invoker the turning goroutine itself tells the driver.
func TestSubscribedLanesWithAnInvoker(t *testing.T) {
	fastPath(t)
	const lanes, count = 8, 50
	a, b := lanesPair(t, lanes, "&lanes=subscribed", func(cfg *blaze.Config) { cfg.Invoker = true })
	p, err := a.Publisher(laneTopic(3, lanes))
	if err != nil {
		t.Fatal(err)
	}
	numbered(t, p, 0, 0) // nobody hears it
	eventually(t, "what is unwanted is counted", func() bool { b.Turn(); return b.Stats().XDP.Filter.Unwanted > 0 })
	got := 0
	b.SubscribePayload(p.Topic(), func(d *blaze.Delivery) {
		switch s := string(bytes.TrimRight(d.Payload, "\x00")); s {
		case strconv.Itoa(got + 1):
			got++
		case "0": // it came while b did not turn
		default:
			t.Errorf("got %q, want %d", s, got+1)
		}
	}, blaze.Inline(), blaze.OnLoss(func(l blaze.Loss) { t.Error(l) }))
	eventually(t, "the stream is heard", func() bool { b.Turn(); return p.Receivers() == 1 })
	numbered(t, p, 1, count)
	eventually(t, "all messages", func() bool { b.Turn(); return got == count })
}
