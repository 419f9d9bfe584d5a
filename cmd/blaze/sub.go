package main

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/topic"
)

// received is the object that sub prints with --json for each message.
type received struct {
	Event    string `json:"event"` // "message"
	Time     string `json:"time"`  // when it was printed
	Topic    string `json:"topic"`
	From     string `json:"from"`     // MemberID
	Sequence uint64 `json:"sequence"` // the message's number in its stream
	content
}

// lost is the object that sub prints with --json for messages that will never come.
type lost struct {
	Event  string `json:"event"` // "loss"
	Time   string `json:"time"`
	From   string `json:"from"`
	Stream uint32 `json:"stream"`
	First  uint64 `json:"first"` // message numbers, inclusive
	Last   uint64 `json:"last"`
	Reason string `json:"reason"`
}

type subOptions struct {
	count      int
	payload    bool
	failOnLoss bool
}

func (a *app) sub() *cobra.Command {
	var o subOptions
	cmd := &cobra.Command{
		Use:   "sub TOPIC...",
		Short: "Print the messages of topics, and losses in their place",
		Long: `Prints what is received, until --count, --timeout or Ctrl-C: time, topic, text.
A TOPIC may have wildcards: * is one element, > at the end the path itself and
all below it. Quote them. The order of each sender holds within each TOPIC.

A message that is lost for good is reported in its place. With --payload the
report goes to standard error. With --timeout and no --count the status is 4.`,
		Example: "  blaze pub prices.eu.bund 131.40 &\n  blaze sub --count 1 'prices.>'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("blaze sub: which TOPIC? For example: blaze sub 'prices.>'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.subscribe(cmd, &o, args) },
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.BoolVar(&o.payload, "payload", false, "print the text alone, as it is, each on a line")
	f.BoolVar(&o.failOnLoss, "fail-on-loss", false, "status 6 if messages were lost")
	cmd.ValidArgsFunction = a.completeTopics(-1)
	return cmd
}

// listener prints what several subscriptions receive.
type listener struct {
	a       *app
	o       *subOptions
	screen  bool // output is a terminal
	enough  chan struct{}
	mu      sync.Mutex
	printed int
	losses  map[blaze.Loss]int // how many subscriptions reported it
	recent  []blaze.Loss       // the keys of losses, oldest first
	lost    uint64             // messages
}

func (a *app) subscribe(cmd *cobra.Command, o *subOptions, patterns []string) error {
	if o.count < 0 {
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return err
	}
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		return err
	}
	defer c.Shutdown()
	l := &listener{a: a, o: o, screen: a.out.width() > 0, enough: make(chan struct{}), losses: map[blaze.Loss]int{}}
	for i, pattern := range patterns {
		if _, err := c.SubscribePayload(pattern, func(d *blaze.Delivery) {
			for _, earlier := range patterns[:i] { // printed by that subscription
				if topic.Match(earlier, []byte(d.Topic)) {
					return
				}
			}
			l.message(d)
		}, blaze.OnLoss(func(loss blaze.Loss) { l.loss(loss, i) })); err != nil {
			return err
		}
	}
	if err := c.Start(); err != nil {
		return err
	}
	a.remark("listening in %s; Ctrl-C ends", where(c))
	err = a.until(cmd.Context(), cmd, l.enough)
	_ = c.Shutdown() // its error is about messages that nobody asked for any more
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.failOnLoss && l.lost > 0 {
		return failf(statusLost, "lost: %s", plural(int(l.lost), "message"))
	}
	if errors.Is(err, errTime) {
		return timeIsUp(l.printed, o.count)
	}
	return err
}

// message prints one message.
func (l *listener) message(d *blaze.Delivery) {
	now := time.Now()
	c, text := rawContent(d.Payload), string(d.Payload)
	if d.Kind == blaze.KindMessage {
		m := new(blaze.Message)
		if err := m.UnmarshalBinary(d.Payload); err != nil {
			c, text = content{Kind: "malformed", Bytes: d.Payload}, err.Error()
		} else {
			c, text = contentOf(m), plain(m)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.count > 0 && l.printed == l.o.count {
		return
	}
	l.printed++
	switch {
	case l.a.common.json:
		l.a.out.object(received{"message", stamp(now), d.Topic, d.From.String(), d.Sequence, c})
	case l.o.payload && !l.screen:
		l.a.out.line(text)
	case l.o.payload:
		l.a.out.line(oneLine(text))
	default:
		l.a.out.line(clock(now) + " " + oneLine(d.Topic) + " " + oneLine(text))
	}
	if l.printed == l.o.count {
		close(l.enough)
	}
}

// loss prints a loss once, although each subscription that could have matched reports it.
func (l *listener) loss(loss blaze.Loss, subscription int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if by, known := l.losses[loss]; known && by != subscription || l.o.count > 0 && l.printed == l.o.count {
		return
	}
	if len(l.recent) == 1024 {
		delete(l.losses, l.recent[0])
		l.recent = l.recent[1:]
	}
	l.losses[loss] = subscription
	l.recent = append(l.recent, loss)
	if loss.Reason == blaze.LossRefused {
		l.lost++ // nobody knows how many
	} else {
		l.lost += loss.Last - loss.First + 1
	}
	now := time.Now()
	text := fmt.Sprintf("%s lost: %v", clock(now), loss)
	switch {
	case l.a.common.json:
		l.a.out.object(lost{"loss", stamp(now), loss.From.String(), loss.Stream, loss.First, loss.Last, loss.Reason.String()})
	case l.o.payload:
		fmt.Fprintln(l.a.stderr, "blaze: "+text)
	default:
		l.a.out.line(text)
	}
}
