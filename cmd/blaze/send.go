package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// delivered is the object that send prints with --json.
type delivered struct {
	To        string `json:"to"` // MemberID
	Name      string `json:"name"`
	Inbox     string `json:"inbox"`
	Sent      int    `json:"sent"`       // messages
	ElapsedNS int64  `json:"elapsed_ns"` // until the member had the last one
}

func (a *app) sendTo() *cobra.Command {
	var inbox string
	cmd := &cobra.Command{
		Use:   "send MEMBER [TEXT... | -]",
		Short: "Send messages to one member",
		Long: `Sends one message for each argument, or for each line of standard input where
there is none or only "-", to an in-box of one member. It ends when that member
has them.

MEMBER is a name or an id, or a beginning of one that only one member has. It
waits for that member, 5s or --timeout.`,
		Example: "  blaze inbox --name desk --count 1 &\n  blaze send desk hello",
		Args:    needArgs(1, true, "MEMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.sendMessages(cmd, args[0], inbox, args[1:])
		},
	}
	cmd.Flags().StringVar(&inbox, "inbox", "", "the in-box `NAME` instead of the default one")
	cmd.ValidArgsFunction = a.completeMembers
	_ = cmd.RegisterFlagCompletionFunc("inbox", cobra.NoFileCompletions)
	return cmd
}

func (a *app) sendMessages(cmd *cobra.Command, word, inbox string, args []string) error {
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	if err := g.Start(); err != nil {
		return err
	}
	to, err := a.member(cmd.Context(), cmd, g, word)
	if err != nil {
		return err
	}
	sent, took, err := a.sendEach(cmd, args, g, fmt.Sprintf("%s (%v)", to.Name, to.ID), func(ctx context.Context, m *blaze.Message) error {
		return g.SendInbox(ctx, to.ID, inbox, m)
	})
	if err != nil {
		return err
	}
	if a.common.json {
		a.out.object(delivered{to.ID.String(), to.Name, inbox, sent, int64(took)})
	} else {
		a.remark("%s sent to %s", plural(sent, "message"), to.Name)
	}
	return nil
}

// sendEach has send send a message for each of args, or for each line of standard input, and gives each of them its time.
// It returns how many were sent, and how long all took. to is where they go, in words.
func (a *app) sendEach(cmd *cobra.Command, args []string, g *blaze.GroupChannel, to string, send func(context.Context, *blaze.Message) error) (n int, took time.Duration, err error) {
	ctx, begin := cmd.Context(), time.Now()
	err = a.texts(ctx, args, false, g.Config().MaxMessageSize, func(text string) error {
		m, err := textMessage(text)
		if err != nil {
			return err
		}
		within, cancel := a.within(ctx, cmd, patience)
		defer cancel()
		if err := send(within, m); err != nil {
			return a.callError(err, to, n)
		}
		n++
		return nil
	})
	return n, time.Since(begin), err
}

// callError is the error of a message to a member or queue: with what was done before, and with the status 7 where it may
// have been handled.
func (a *app) callError(err error, to string, before int) error {
	done := ""
	if before > 0 {
		done = fmt.Sprintf("after %s: ", plural(before, "message"))
	}
	switch {
	case errors.Is(err, blaze.ErrNoConsumer) && errors.Is(err, context.DeadlineExceeded): // a queue
		return failf(statusNobody, "%snobody takes from %s, or all have failed on it, and time is up", done, to)
	case errors.Is(err, blaze.ErrNoConsumer):
		return failf(statusNobody, "%s%s does not handle that in-box", done, to)
	case errors.Is(err, context.DeadlineExceeded):
		return failf(statusUnknown, "%s%s has not answered, and time is up; it may have the message", done, to)
	}
	return fmt.Errorf("%s%s: %w", done, to, err)
}
