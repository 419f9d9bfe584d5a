package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze/internal/jmstool"
	"github.com/activeblaze/blaze/jms"
)

// sifted is the object that jms purge, jms move and jms dlq retry print with --json.
type sifted struct {
	Queue     string `json:"queue"`
	To        string `json:"to,omitempty"` // of move
	Messages  int    `json:"messages"`
	ElapsedNS int64  `json:"elapsed_ns"`
}

type siftOptions struct {
	count    int
	selector string
}

func (o *siftOptions) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&o.count, "count", 0, "at most `N` messages, those first that would be delivered first")
	cmd.Flags().StringVar(&o.selector, "selector", "", "only messages that `S` is true of")
}

func (a *app) jmsPurge() *cobra.Command {
	var o siftOptions
	var all bool
	cmd := &cobra.Command{
		Use:   "purge QUEUE",
		Short: "Remove messages that wait in a held queue",
		Long: `Removes messages that wait in a queue: --all, those that --selector is true of,
or the first --count of them. What a consumer has stays, and so do delayed
ones. With status 1 there is no such queue.`,
		Example: "  blaze jms put orders 'buy 100' --property desk=emea\n  blaze jms purge orders --selector \"desk = 'emea'\"",
		Args:    needArgs(1, false, "QUEUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if some := o.selector != "" || o.count != 0; all == some {
				return usagef("blaze jms purge: which messages? Want --all, or --selector and --count")
			}
			return a.sift(cmd, &o, jmstool.Sift{Do: jmstool.Purge, Queue: args[0]}, "purged")
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all that wait")
	cmd.ValidArgsFunction = a.completeHeldQueues
	return cmd
}

func (a *app) jmsMove() *cobra.Command {
	var o siftOptions
	cmd := &cobra.Command{
		Use:   "move QUEUE TO",
		Short: "Move messages that wait in a held queue to another one",
		Long: `Moves the messages that wait in a queue to the end of another one, which is made
if need be. What a consumer has stays, and so do delayed ones. With status 5
the other queue is full: what was moved before is there.`,
		Example: "  blaze jms put orders 'buy 100'\n  blaze jms move orders orders.emea",
		Args:    needArgs(2, false, "QUEUE", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == args[1] {
				return usagef("blaze jms move: %q is both queues", abridged(args[0]))
			}
			return a.sift(cmd, &o, jmstool.Sift{Do: jmstool.Move, Queue: args[0], To: args[1]}, "moved")
		},
	}
	o.register(cmd)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.heldQueues(cmd), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (a *app) jmsDeadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Work on the messages that could not be delivered",
		Long: `A message that was delivered too often without being acknowledged goes to the
dead-letter queue of its queue, DLQ.QUEUE. The other jms commands work on it as
on any queue.`,
		Example: "  blaze jms put DLQ.orders 'sell 50'\n  blaze jms browse DLQ.orders",
		Args:    isCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("blaze jms dlq: want retry; blaze jms dlq --help has more")
		},
	}
	var o siftOptions
	retry := &cobra.Command{
		Use:   "retry QUEUE",
		Short: "Put dead letters back in the queue that they came from",
		Long: `Puts the messages of DLQ.QUEUE back in the queues that they came from, to be
delivered as often again. What came from a queue that is no more stays. With
status 1 there is no dead-letter queue of that name.`,
		Example: "  blaze jms put DLQ.orders 'sell 50'\n  blaze jms dlq retry orders",
		Args:    needArgs(1, false, "QUEUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sift(cmd, &o, jmstool.Sift{Do: jmstool.Retry, Queue: deadLetters + strings.TrimPrefix(args[0], deadLetters)}, "retried")
		},
	}
	o.register(retry)
	retry.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			for _, name := range a.heldQueues(cmd) {
				if of, dead := strings.CutPrefix(name, deadLetters); dead {
					names = append(names, of)
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.AddCommand(retry)
	return cmd
}

// sift does work on a queue, step by step.
func (a *app) sift(cmd *cobra.Command, o *siftOptions, work jmstool.Sift, done string) error {
	if o.count < 0 {
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	work.Limit, work.Selector, work.More = o.count, o.selector, true
	c, _, err := a.jmsQueue(cmd, jms.AutoAcknowledge, work.Queue)
	if err != nil {
		return err
	}
	defer c.Close()
	if work.Do == jmstool.Move {
		if _, err := c.Queue(work.To); err != nil {
			return &usageError{err}
		}
	}
	begin := time.Now()
	for work.More {
		within, cancel := a.within(cmd.Context(), cmd, patience)
		work, err = jmstool.JMS.Sift(within, c, work)
		cancel()
		switch {
		case errors.Is(err, jms.ErrQueueFull):
			return failf(statusCondition, "after %s: the queue that they go to is full", plural(work.Done, "message"))
		case errors.Is(err, jms.ErrInvalidDestination):
			return failf(statusFailed, "there is no queue %q", abridged(work.Queue))
		case err != nil:
			return err
		}
	}
	if a.common.json {
		a.out.object(sifted{work.Queue, work.To, work.Done, int64(time.Since(begin))})
	} else {
		a.remark("%s %s", plural(work.Done, "message"), done)
	}
	return nil
}
