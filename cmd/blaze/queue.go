package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// queued is the object that queue put prints with --json.
type queued struct {
	Queue     string `json:"queue"`
	Handled   int    `json:"handled"`    // messages
	ElapsedNS int64  `json:"elapsed_ns"` // until the last one was handled
}

// taken is the object that queue take prints with --json for each message, when it was handled.
type taken struct {
	Time        string `json:"time"`
	Queue       string `json:"queue"`
	From        string `json:"from"`           // MemberID
	Name        string `json:"name,omitempty"` // of the sender
	Redelivered bool   `json:"redelivered"`
	Request     bool   `json:"request"` // the sender waits for a reply
	Result      string `json:"result"`  // "handled" or "failed"
	content
}

func (a *app) queue() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "queue",
		Short:   "Put messages in a queue, or take them from it",
		Long:    "A queue hands each message to one of the members that take from it.",
		Example: "  blaze queue take orders --count 1 &\n  blaze queue put orders 'buy 100'",
		Args:    isCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("blaze queue: want put or take; blaze queue --help has more")
		},
	}
	cmd.AddCommand(a.queuePut(), a.queueTake())
	return cmd
}

func (a *app) queuePut() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "put QUEUE [TEXT... | -]",
		Short: "Put messages in a queue, and wait until they were handled",
		Long: `Puts in one message for each argument, or for each line of standard input where
there is none or only "-", and waits until it was handled: 5s or --timeout for
each. With status 3 nobody took from the queue; with status 7 somebody took the
message, and may have handled it.`,
		Example: "  blaze queue take orders --count 2 &\n  blaze queue put orders 'buy 100' 'sell 50'",
		Args:    needArgs(1, true, "QUEUE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.put(cmd, args[0], args[1:]) },
	}
	cmd.ValidArgsFunction = a.completeQueues
	return cmd
}

func (a *app) put(cmd *cobra.Command, queue string, args []string) error {
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	if err := g.Start(); err != nil {
		return err
	}
	handled, took, err := a.sendEach(cmd, args, g, fmt.Sprintf("queue %q", abridged(queue)), func(ctx context.Context, m *blaze.Message) error {
		return g.Enqueue(ctx, queue, m)
	})
	if err != nil {
		return err
	}
	if a.common.json {
		a.out.object(queued{queue, handled, int64(took)})
	} else {
		a.remark("%s handled", plural(handled, "message"))
	}
	return nil
}

type takeOptions struct {
	count     int
	exclusive bool
	fail      int
	exec      string
	reply     string
}

func (a *app) queueTake() *cobra.Command {
	var o takeOptions
	cmd := &cobra.Command{
		Use:   "take QUEUE",
		Short: "Take messages from a queue, print them or run a command",
		Long: `Takes part in a queue until --count, --timeout or Ctrl-C, and prints each
message: time, sender, text, and a mark if somebody may have begun it before.

With --exec a shell runs CMD for each message instead. The text is its standard
input, and its status decides whether the message was handled. Its standard
output is the reply to a request, and else goes to standard output. It has
BLAZE_QUEUE, BLAZE_FROM and BLAZE_REDELIVERED (0 or 1) in its environment.`,
		Example: "  blaze queue put orders 'buy 100' &\n  blaze queue take orders --count 1 --exec 'tr a-z A-Z'",
		Args:    needArgs(1, false, "QUEUE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.take(cmd, &o, args[0]) },
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.BoolVar(&o.exclusive, "exclusive", false, "one consumer at a time has the queue")
	f.IntVar(&o.fail, "fail", 0, "fail on the first `N` messages: others get them")
	f.StringVar(&o.exec, "exec", "", "run `CMD` for each message")
	f.StringVar(&o.reply, "reply", "", "answer requests with `TEXT`")
	cmd.ValidArgsFunction = a.completeQueues
	return cmd
}

// taker handles the messages of a queue.
type taker struct {
	a     *app
	o     *takeOptions
	g     *blaze.GroupChannel
	names *directory
	ctx   context.Context
	queue string
	reply *blaze.Message // nil: none

	mu     sync.Mutex
	sub    *blaze.Subscription
	taken  int
	enough chan struct{}
}

func (a *app) take(cmd *cobra.Command, o *takeOptions, queue string) error {
	switch {
	case o.count < 0:
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	case o.fail < 0:
		return usagef("--fail %d: want 0 or more", o.fail)
	case o.exec != "" && cmd.Flags().Changed("reply"):
		return usagef("--reply and --exec: the output of the command is the reply")
	}
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	t := &taker{a: a, o: o, g: g, names: directoryOf(g), ctx: cmd.Context(), queue: queue, enough: make(chan struct{})}
	if cmd.Flags().Changed("reply") {
		if t.reply, err = textMessage(o.reply); err != nil {
			return usagef("--reply: %w", err)
		}
	}
	var opts []blaze.ConsumeOption
	if o.exclusive {
		opts = append(opts, blaze.Exclusive())
	}
	t.mu.Lock()
	t.sub, err = g.Consume(queue, t.handle, opts...)
	t.mu.Unlock()
	if err != nil {
		return &usageError{err}
	}
	if err := g.Start(); err != nil {
		return err
	}
	a.remark("%s takes from queue %q; Ctrl-C ends", g.Config().Name, abridged(queue))
	err = a.until(cmd.Context(), cmd, t.enough)
	if stopped := g.Shutdown(); err == nil && stopped != nil {
		err = stopped // a result that did not arrive
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, errTime) {
		return timeIsUp(t.taken, o.count)
	}
	return err
}

var errFailed = errors.New("failed")

func (t *taker) handle(m *blaze.Message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.count > 0 && t.taken == t.o.count {
		return errFailed // for another consumer
	}
	err := t.work(m)
	if t.ctx.Err() != nil {
		return errFailed
	}
	t.taken++
	t.print(m, err)
	if t.taken == t.o.count {
		_ = t.sub.Close()
		close(t.enough)
	}
	return err
}

// work does what the options say.
func (t *taker) work(m *blaze.Message) error {
	if t.taken < t.o.fail {
		return errFailed
	}
	reply := t.reply
	if t.o.exec != "" {
		out, err := t.run(m)
		if err != nil {
			t.a.remark("--exec: %v", err)
			return errFailed
		}
		if m.Wanted() {
			if reply, err = textMessage(string(bytes.TrimSuffix(out, []byte("\n")))); err != nil {
				reply = blaze.NewBytesMessage(out)
			}
		} else if !t.a.common.json {
			_, _ = t.a.out.Write(out)
		}
	}
	if !m.Wanted() || reply == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := t.g.Reply(ctx, m, reply); err != nil && !errors.Is(err, context.Canceled) {
		t.a.remark("the reply to %s: %v", sender(t.names.name(m.From()), m.From()), err)
	}
	return nil
}

// run runs the command of --exec.
func (t *taker) run(m *blaze.Message) ([]byte, error) {
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/c"}
	}
	cmd := exec.CommandContext(t.ctx, shell[0], shell[1], t.o.exec)
	cmd.WaitDelay = time.Second // what it started may hold its output open
	cmd.Env = append(os.Environ(), "BLAZE_QUEUE="+t.queue, "BLAZE_FROM="+m.From().String(), "BLAZE_REDELIVERED="+map[bool]string{true: "1", false: "0"}[m.Redelivered()])
	cmd.Stdin = bytes.NewReader([]byte(plain(m)))
	cmd.Stderr = t.a.stderr
	return cmd.Output()
}

func (t *taker) print(m *blaze.Message, err error) {
	now, name, result := time.Now(), t.names.name(m.From()), "handled"
	if err != nil {
		result = "failed"
	}
	switch {
	case t.a.common.json:
		t.a.out.object(taken{stamp(now), t.queue, m.From().String(), name, m.Redelivered(), m.Wanted(), result, contentOf(m)})
	case t.o.exec == "":
		marks := ""
		if m.Wanted() {
			marks += " (request)"
		}
		if m.Redelivered() {
			marks += " (redelivered)"
		}
		if err != nil {
			marks += " (failed)"
		}
		t.a.out.line(fmt.Sprintf("%s %s%s %s", clock(now), oneLine(sender(name, m.From())), marks, oneLine(plain(m))))
	}
}
