package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// answered is the object that request prints with --json.
type answered struct {
	From        string `json:"from"`           // MemberID of who replied
	Name        string `json:"name,omitempty"` // of it
	RoundTripNS int64  `json:"round_trip_ns"`
	content
}

func (a *app) request() *cobra.Command {
	var queue string
	cmd := &cobra.Command{
		Use:   "request MEMBER TEXT | request --queue QUEUE TEXT",
		Short: "Send a request, and print the reply and the round trip",
		Long: `Sends a request to a member, or to one of those that take from a queue, and
prints the reply. The round trip goes to standard error. It waits for the
member, and then for the reply, 5s or --timeout.`,
		Example: "  blaze inbox --name desk --count 1 --reply 101.25 &\n  blaze request desk 'what is acme?'",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("queue") {
				return needArgs(1, false, "TEXT")(cmd, args)
			}
			return needArgs(2, false, "MEMBER", "TEXT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.ask(cmd, queue, args) },
	}
	cmd.Flags().StringVar(&queue, "queue", "", "to one of those that take from `QUEUE`")
	_ = cmd.RegisterFlagCompletionFunc("queue", a.completeQueues)
	cmd.ValidArgsFunction = a.completeMembers
	return cmd
}

func (a *app) ask(cmd *cobra.Command, queue string, args []string) error {
	m, err := textMessage(args[len(args)-1])
	if err != nil {
		return err
	}
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	names := directoryOf(g)
	if err := g.Start(); err != nil {
		return err
	}
	ctx := cmd.Context()
	var to blaze.Member
	if queue == "" && !cmd.Flags().Changed("queue") {
		if to, err = a.member(ctx, cmd, g, args[0]); err != nil {
			return err
		}
	}
	within, cancel := a.within(ctx, cmd, patience)
	defer cancel()
	var reply *blaze.Message
	begin := time.Now()
	if to.ID.IsZero() {
		reply, err = g.RequestQueue(within, queue, m)
	} else {
		reply, err = g.Request(within, to.ID, m)
	}
	trip := time.Since(begin)
	about := fmt.Sprintf("%s (%v)", to.Name, to.ID)
	if to.ID.IsZero() {
		about = fmt.Sprintf("queue %q", abridged(queue))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, blaze.ErrNoConsumer):
		return failf(statusTime, "no reply from %s, and time is up", about)
	case err != nil:
		return a.callError(err, about, 0)
	}
	name := names.name(reply.From())
	if a.common.json {
		a.out.object(answered{reply.From().String(), name, int64(trip), contentOf(reply)})
		return nil
	}
	a.out.line(a.out.text(plain(reply)))
	a.remark("round trip %s, from %s", shortDuration(trip), sender(name, reply.From()))
	return nil
}
