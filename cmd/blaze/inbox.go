package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// arrived is the object that inbox prints with --json for each message.
type arrived struct {
	Time    string `json:"time"` // when it was printed
	Inbox   string `json:"inbox"`
	From    string `json:"from"`           // MemberID
	Name    string `json:"name,omitempty"` // of the sender
	Request bool   `json:"request"`        // the sender waits for a reply
	content
}

type inboxOptions struct {
	count int
	reply string
}

func (a *app) inbox() *cobra.Command {
	var o inboxOptions
	cmd := &cobra.Command{
		Use:   "inbox [NAME]",
		Short: "Print what is sent to this member, and answer requests",
		Long: `Handles an in-box of this member, the default one without NAME, and prints what
comes, until --count, --timeout or Ctrl-C: time, sender, text. Give this member
a --name, so that others can send to it. Requests get the text of --reply;
without it they wait in vain.`,
		Example: "  blaze send desk 'good morning' &\n  blaze inbox --name desk --count 1",
		Args: func(cmd *cobra.Command, args []string) error {
			return needArgs(min(len(args), 1), false)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return a.handleInbox(cmd, &o, name)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.StringVar(&o.reply, "reply", "", "answer requests with `TEXT`")
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func (a *app) handleInbox(cmd *cobra.Command, o *inboxOptions, name string) error {
	if o.count < 0 {
		return usagef("--count %d: want more than 0, or 0 for all", o.count)
	}
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	names := directoryOf(g)
	reply, err := textMessage(o.reply)
	if err != nil {
		return usagef("--reply: %w", err)
	}
	replies := cmd.Flags().Changed("reply")
	var mu sync.Mutex
	var box *blaze.Subscription
	printed, enough := 0, make(chan struct{})
	mu.Lock()
	box, err = g.HandleInbox(name, func(m *blaze.Message) {
		mu.Lock()
		defer mu.Unlock()
		if o.count > 0 && printed == o.count {
			return
		}
		printed++
		from := names.name(m.From())
		a.printArrived(m, name, from)
		if m.Wanted() && replies {
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			if err := g.Reply(ctx, m, reply); err != nil && !errors.Is(err, context.Canceled) {
				a.remark("the reply to %s: %v", sender(from, m.From()), err)
			}
		}
		if printed == o.count {
			_ = box.Close()
			close(enough)
		}
	})
	mu.Unlock()
	if err != nil {
		return &usageError{err}
	}
	if err := g.Start(); err != nil {
		return err
	}
	a.remark("%s handles its in-box%s; Ctrl-C ends", g.Config().Name, quoted(name))
	err = a.until(cmd.Context(), cmd, enough)
	if stopped := g.Shutdown(); err == nil && stopped != nil {
		err = stopped // a reply that did not arrive
	}
	mu.Lock()
	defer mu.Unlock()
	if errors.Is(err, errTime) {
		return timeIsUp(printed, o.count)
	}
	return err
}

func (a *app) printArrived(m *blaze.Message, inbox, name string) {
	now := time.Now()
	if a.common.json {
		a.out.object(arrived{stamp(now), inbox, m.From().String(), name, m.Wanted(), contentOf(m)})
		return
	}
	mark := ""
	if m.Wanted() {
		mark = " (request)"
	}
	a.out.line(fmt.Sprintf("%s %s%s %s", clock(now), oneLine(sender(name, m.From())), mark, oneLine(plain(m))))
}

// quoted is a name that is not empty, in quotes after a space.
func quoted(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" %q", abridged(name))
}
