package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms"
)

// heldPut is the object that jms put prints with --json.
type heldPut struct {
	Queue     string `json:"queue"`
	Sent      int    `json:"sent"`       // messages
	ElapsedNS int64  `json:"elapsed_ns"` // until the holders had the last one
}

// heldMessage is the object that jms take and jms browse print with --json for each message.
type heldMessage struct {
	Time          string         `json:"time"`
	Queue         string         `json:"queue"`
	ID            string         `json:"id,omitempty"`
	Sent          string         `json:"sent,omitempty"`
	Priority      int            `json:"priority"`
	Persistent    bool           `json:"persistent"`
	Expires       string         `json:"expires,omitempty"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	ReplyTo       string         `json:"reply_to,omitempty"`
	JMSType       string         `json:"jms_type,omitempty"`
	Deliveries    int            `json:"deliveries"` // before this one
	Properties    map[string]any `json:"properties,omitempty"`
	content
}

func heldMessageOf(queue string, m *jms.Message) heldMessage {
	out := heldMessage{
		Time: stamp(time.Now()), Queue: queue, ID: m.MessageID(), Priority: m.Priority(), Persistent: m.DeliveryMode() == jms.Persistent,
		CorrelationID: m.CorrelationID(), JMSType: m.Type(), Deliveries: m.DeliveryCount() - 1, content: contentOf(m.Body()),
	}
	for at, to := range map[time.Time]*string{m.Timestamp(): &out.Sent, m.Expiration(): &out.Expires} {
		if !at.IsZero() {
			*to = stamp(at)
		}
	}
	if d := m.ReplyTo(); d != nil {
		out.ReplyTo = d.String()
	}
	for name, v := range m.Properties() {
		if out.Properties == nil {
			out.Properties = map[string]any{}
		}
		out.Properties[name] = jsonNumber(v)
	}
	return out
}

const defaultPriority = 4 // of Jakarta Messaging

// printHeld prints a message: when it was sent, marks, text.
func (a *app) printHeld(queue string, m *jms.Message) {
	if a.common.json {
		a.out.object(heldMessageOf(queue, m))
		return
	}
	line := "-"
	if at := m.Timestamp(); !at.IsZero() {
		line = clock(at)
	}
	if p := m.Priority(); p != defaultPriority {
		line += fmt.Sprintf(" (priority %d)", p)
	}
	if m.Redelivered() {
		line += " (redelivered)"
	}
	if from, _ := m.StringProperty("JMS_Blaze_Queue"); from != "" {
		why, _ := m.StringProperty("JMS_Blaze_Reason")
		line += fmt.Sprintf(" (%s, from %s)", oneLine(why), oneLine(from))
	}
	a.out.line(line + " " + oneLine(plain(m.Body())))
}

type heldPutOptions struct {
	priority      int
	ttl, delay    time.Duration
	nonPersistent bool
	correlationID string
	replyTo       string
	jmsType       string
	properties    []string
}

func (a *app) jmsPut() *cobra.Command {
	var o heldPutOptions
	cmd := &cobra.Command{
		Use:   "put QUEUE [TEXT... | -]",
		Short: "Put messages in a held queue",
		Long: `Puts in one message for each argument, or for each line of standard input where
there is none or only "-". A message is put when every holder has it and, where
they have a DataDir, the disks of a majority: 5s or --timeout for each.

The value of a --property is what it is as a literal of a selector: a number,
true, false, or a text in single quotes. Anything else is a text.`,
		Example: "  blaze jms put orders 'buy 100' 'sell 50' --property desk=emea --priority 9",
		Args:    needArgs(1, true, "QUEUE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.putHeld(cmd, &o, args[0], args[1:]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.priority, "priority", defaultPriority, "0 to 9, `N`: a higher one is delivered first")
	f.DurationVar(&o.ttl, "ttl", 0, "the message expires after `D`")
	f.DurationVar(&o.delay, "delay", 0, "the message is not delivered before `D`")
	f.BoolVar(&o.nonPersistent, "non-persistent", false, "do not wait for disks")
	f.StringVar(&o.correlationID, "correlation-id", "", "the message's JMSCorrelationID, `TEXT`")
	f.StringVar(&o.replyTo, "reply-to", "", "the message's JMSReplyTo, a `QUEUE`")
	f.StringVar(&o.jmsType, "type", "", "the message's JMSType, `TEXT`")
	f.StringArrayVar(&o.properties, "property", nil, "a property, `NAME=VALUE`; as often as needed")
	cmd.ValidArgsFunction = a.completeHeldQueues
	return cmd
}

// propertyOf reads NAME=VALUE.
func propertyOf(text string) (name string, value any, ok bool) {
	name, word, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return "", nil, false
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return name, n, true
	}
	if f, err := strconv.ParseFloat(word, 64); err == nil && strings.ContainsAny(word, "0123456789") { // not NaN, nor Infinity
		return name, f, true
	}
	switch {
	case word == "true" || word == "false":
		return name, word == "true", true
	case len(word) >= 2 && word[0] == '\'' && word[len(word)-1] == '\'':
		return name, strings.ReplaceAll(word[1:len(word)-1], "''", "'"), true
	}
	return name, word, true
}

func (a *app) putHeld(cmd *cobra.Command, o *heldPutOptions, queue string, args []string) error {
	switch {
	case o.priority < 0 || o.priority > 9:
		return usagef("--priority %d: want 0 to 9", o.priority)
	case o.ttl < 0:
		return usagef("--ttl %v: want more than 0, or 0 for never", o.ttl)
	case o.delay < 0:
		return usagef("--delay %v: want 0 or more", o.delay)
	}
	mode := jms.Persistent
	if o.nonPersistent {
		mode = jms.NonPersistent
	}
	properties := map[string]any{}
	for _, text := range o.properties {
		name, value, ok := propertyOf(text)
		if !ok {
			return usagef("--property %q: want NAME=VALUE", abridged(text))
		}
		if err := jms.NewMessage().SetProperty(name, value); err != nil {
			return usagef("--property %q: %w", abridged(text), err)
		}
		properties[name] = value
	}
	c, q, err := a.jmsQueue(cmd, jms.AutoAcknowledge, queue)
	if err != nil {
		return err
	}
	defer c.Close()
	p := c.Producer().SetDeliveryMode(mode).SetPriority(o.priority).SetTimeToLive(o.ttl).SetDeliveryDelay(o.delay)
	if o.correlationID != "" {
		p.SetCorrelationID(o.correlationID)
	}
	if o.jmsType != "" {
		p.SetType(o.jmsType)
	}
	if o.replyTo != "" {
		to, err := c.Queue(o.replyTo)
		if err != nil {
			return usagef("--reply-to: %w", err)
		}
		p.SetReplyTo(to)
	}
	for name, value := range properties {
		p.SetProperty(name, value)
	}
	sent, begin := 0, time.Now()
	err = a.texts(cmd.Context(), args, false, maxValue, func(text string) error {
		if _, err := textMessage(text); err != nil {
			return err
		}
		within, cancel := a.within(cmd.Context(), cmd, patience)
		defer cancel()
		if err := p.SendText(within, q, text); err != nil {
			return a.putError(err, q, sent)
		}
		sent++
		return nil
	})
	if err != nil {
		return err
	}
	if a.common.json {
		a.out.object(heldPut{q.Name(), sent, int64(time.Since(begin))})
	} else {
		a.remark("%s put", plural(sent, "message"))
	}
	return nil
}

// putError is the error of a put, with what was put before.
func (a *app) putError(err error, q *jms.Queue, before int) error {
	done := ""
	if before > 0 {
		done = fmt.Sprintf("after %s: ", plural(before, "message"))
	}
	switch {
	case errors.Is(err, jms.ErrQueueFull):
		return failf(statusCondition, "%squeue %q is full, or all queues of the holders together are, and time is up", done, abridged(q.Name()))
	case errors.Is(err, blaze.ErrUnknownOutcome):
		return failf(statusUnknown, "%sthe holders have not answered, and time is up; they may have the message", done)
	}
	return fmt.Errorf("%s%w", done, err)
}

type heldTakeOptions struct {
	count    int
	selector string
	noWait   bool
}

func (a *app) jmsTake() *cobra.Command {
	var o heldTakeOptions
	cmd := &cobra.Command{
		Use:   "take QUEUE",
		Short: "Take messages from a held queue and print them",
		Long: `Takes messages until --count, --timeout or Ctrl-C, and prints each: when it was
sent, marks and its text. It is acknowledged once it was printed: a command
that is killed in between leaves it to the next consumer, marked redelivered.

With --no-wait it ends when the queue has no more; with status 5 that was
before --count messages.`,
		Example: "  blaze jms put orders 'buy 100'\n  blaze jms take orders --count 1",
		Args:    needArgs(1, false, "QUEUE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.takeHeld(cmd, &o, args[0]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.StringVar(&o.selector, "selector", "", "only messages that `S` is true of, as \"desk = 'emea' AND size > 100\"")
	f.BoolVar(&o.noWait, "no-wait", false, "end when there are no more")
	cmd.ValidArgsFunction = a.completeHeldQueues
	return cmd
}

func (a *app) takeHeld(cmd *cobra.Command, o *heldTakeOptions, queue string) error {
	if o.count < 0 {
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	c, q, err := a.jmsQueue(cmd, jms.ClientAcknowledge, queue)
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := c.Consumer(q, jms.Selector(o.selector))
	if err != nil {
		return err
	}
	a.remark("taking from queue %q; Ctrl-C ends", abridged(q.Name()))
	ctx, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	next := func() (*jms.Message, error) { return k.Receive(ctx) }
	if o.noWait {
		next = k.ReceiveNoWait
	}
	for n := 0; o.count == 0 || n < o.count; n++ {
		m, err := next()
		if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
			return timeIsUp(n, o.count)
		}
		if err != nil {
			return err
		}
		if m == nil && o.count > 0 {
			return failf(statusCondition, "%d of %s were there", n, plural(o.count, "message"))
		}
		if m == nil {
			return cmd.Context().Err()
		}
		a.printHeld(q.Name(), m)
		if err := c.Acknowledge(); err != nil {
			return err
		}
	}
	return c.Close()
}

type browseOptions struct {
	count    int
	selector string
}

func (a *app) jmsBrowse() *cobra.Command {
	var o browseOptions
	cmd := &cobra.Command{
		Use:   "browse QUEUE",
		Short: "Print the messages that wait in a held queue, and take none",
		Long: `Prints the messages that wait in a queue, in the order in which they would be
delivered, and leaves them there. What a consumer has is not among them.`,
		Example: "  blaze jms put orders 'buy 100'\n  blaze jms browse orders --json",
		Args:    needArgs(1, false, "QUEUE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.browse(cmd, &o, args[0]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.StringVar(&o.selector, "selector", "", "only messages that `S` is true of")
	cmd.ValidArgsFunction = a.completeHeldQueues
	return cmd
}

func (a *app) browse(cmd *cobra.Command, o *browseOptions, queue string) error {
	if o.count < 0 {
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	c, q, err := a.jmsQueue(cmd, jms.AutoAcknowledge, queue)
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := c.Browser(q, jms.Selector(o.selector))
	if err != nil {
		return err
	}
	ctx, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })() // ends All
	n := 0
	for m, err := range b.All() {
		switch {
		case ctx.Err() != nil && cmd.Context().Err() == nil:
			return failf(statusTime, "%s came, and time is up", plural(n, "message"))
		case ctx.Err() != nil:
			return cmd.Context().Err()
		case err != nil:
			return err
		}
		a.printHeld(q.Name(), m)
		if n++; n == o.count {
			break
		}
	}
	return nil
}
