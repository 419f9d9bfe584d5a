package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// patience is how long a command waits for others unless --timeout is given.
const patience = 5 * time.Second

// published is the object that pub prints with --json.
type published struct {
	Topic     string `json:"topic"`
	Sent      int    `json:"sent"`       // messages
	Receivers int    `json:"receivers"`  // members that received the stream when the first message was sent
	ElapsedNS int64  `json:"elapsed_ns"` // from the first message until all were received
}

type pubOptions struct {
	raw       bool
	receivers int
	rate      float64
	count     int
}

func (a *app) pub() *cobra.Command {
	var o pubOptions
	cmd := &cobra.Command{
		Use:   "pub TOPIC [TEXT... | -]",
		Short: "Send messages on a topic",
		Long: `Sends one message for each argument, or for each line of standard input where
there is none or only "-". It ends when the receivers have everything.

It waits until a member receives, 5s or --timeout: what was sent before would be
for nobody. --wait-receivers 0 sends at once.`,
		Example: "  blaze sub --count 2 prices.acme &\n  blaze pub prices.acme 101.25 101.50",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("blaze pub: which TOPIC? For example: blaze pub prices.acme 101.25")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.publish(cmd, &o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.raw, "raw", false, "send bare bytes, not the encoding of a Message")
	f.IntVar(&o.receivers, "wait-receivers", 1, "wait until `N` members receive")
	f.Float64Var(&o.rate, "rate", 0, "`N` messages a second at most")
	f.IntVar(&o.count, "count", 0, "send `N` messages: repeats the arguments, or stops reading")
	cmd.ValidArgsFunction = a.completeTopics(1)
	return cmd
}

func (a *app) publish(cmd *cobra.Command, o *pubOptions, topic string, args []string) error {
	switch {
	case o.receivers < 0:
		return usagef("--wait-receivers %d: want 0 or more", o.receivers)
	case o.rate < 0 || o.rate != o.rate:
		return usagef("--rate %v: want more than 0, or 0 for no limit", o.rate)
	case o.count < 0:
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	c, err := a.channel(cfg)
	if err != nil {
		return err
	}
	defer c.Shutdown()
	p, err := c.Publisher(topic)
	if err != nil {
		return err
	}
	if err := a.awaitReceivers(ctx, cmd, c, p, topic, o.receivers); err != nil {
		return err
	}
	sent, receivers, begin := 0, p.Receivers(), time.Now()
	err = a.texts(ctx, args, o.count > 0, c.Config().MaxMessageSize, func(text string) error {
		if o.count > 0 && sent == o.count {
			return errEnough
		}
		if o.rate > 0 {
			due := begin.Add(time.Duration(min(float64(sent)/o.rate*float64(time.Second), math.MaxInt64/2)))
			if err := sleep(ctx, time.Until(due)); err != nil {
				return err
			}
		}
		if err := a.send(ctx, cmd, c, p, topic, text, o.raw); err != nil {
			return err
		}
		if sent++; sent == o.count {
			return errEnough
		}
		return nil
	})
	if stopped := c.Stop(); (err == nil || err == errEnough) && stopped != nil {
		return failf(statusUnknown, "%s sent; %w", plural(sent, "message"), stopped)
	}
	if err != nil && err != errEnough {
		return err
	}
	if a.common.json {
		a.out.object(published{topic, sent, receivers, int64(time.Since(begin))})
	} else {
		a.remark("%s sent to %s", plural(sent, "message"), plural(receivers, "receiver"))
	}
	return nil
}

// errEnough ends the reading of messages: there were as many as were asked for.
var errEnough = errors.New("enough")

// send hands one message over, and waits while the receivers have no room.
func (a *app) send(ctx context.Context, cmd *cobra.Command, c *blaze.Channel, p *blaze.Publisher, topic, text string, raw bool) error {
	ctx, cancel := a.within(ctx, cmd, 0)
	defer cancel()
	if !raw {
		m, err := textMessage(text)
		if err != nil {
			return fmt.Errorf("%w; --raw sends bytes", err)
		}
		return c.Broadcast(ctx, topic, m)
	}
	for {
		err := p.Offer([]byte(text))
		if !errors.Is(err, blaze.ErrBackPressure) {
			return err
		}
		if err := sleep(ctx, 100*time.Microsecond); err != nil {
			return fmt.Errorf("waiting to send on %q: %w", topic, err)
		}
	}
}

// awaitReceivers waits until n members receive the stream of p.
func (a *app) awaitReceivers(ctx context.Context, cmd *cobra.Command, c *blaze.Channel, p *blaze.Publisher, topic string, n int) error {
	if n == 0 {
		return nil
	}
	within, cancel := a.within(ctx, cmd, patience)
	defer cancel()
	err := p.WaitReceivers(within, n)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if p.Receivers() == 0 {
		return failf(statusNobody, "nobody receives %q in %s; start \"blaze sub %s\" first, or send with --wait-receivers 0", topic, where(c), topic)
	}
	return failf(statusTime, "%d of %d receivers of %q are there, and time is up", p.Receivers(), n, topic)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
