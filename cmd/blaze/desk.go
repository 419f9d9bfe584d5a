package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/desk"
)

// client asks a member of a cluster to do calls for it. It is no member of the cluster itself, whose ring need not
// change for a single call.
type client struct {
	a   *app
	cmd *cobra.Command
	g   *blaze.GroupChannel
	at  blaze.Member // who is asked; its ID is zero until one was found
}

// cluster is a client of the cluster that the options name, started.
func (a *app) clusterClient(cmd *cobra.Command) (*client, error) {
	g, err := a.groupChannel(cmd)
	if err != nil {
		return nil, err
	}
	if err := g.Start(); err != nil {
		_ = g.Shutdown()
		return nil, err
	}
	return &client{a: a, cmd: cmd, g: g}, nil
}

func (c *client) close() { _ = c.g.Shutdown() }

// whoWithin is how long a member has to say that it is in the cluster.
const whoWithin = 500 * time.Millisecond

// find looks for a member to ask: of the primary component the one with the fewest calls under way, else any. It waits
// for one until ctx ends; for one that is ready, where ready is asked for, a moment longer than for any.
func (c *client) find(ctx context.Context) error {
	if !c.at.ID.IsZero() {
		return nil
	}
	if err := settle(ctx, c.g); err != nil {
		return err
	}
	const patient = time.Second // a cluster that is just starting
	for begin := time.Now(); ; {
		best, who, found := c.survey(ctx)
		if found && (who.Primary || time.Since(begin) > patient) {
			c.at = best
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			if found {
				c.at = best
				return nil
			}
			if errors.Is(err, context.DeadlineExceeded) {
				return failf(statusNobody, "no member of %s shares maps, and time is up: none is a ClusterChannel", where(c.g.Channel))
			}
			return err
		}
	}
}

// survey asks all members at once.
func (c *client) survey(ctx context.Context) (best blaze.Member, who desk.Reply, found bool) {
	within, cancel := context.WithTimeout(ctx, whoWithin)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range others(c.g, "") {
		all.Go(func() {
			reply, err := c.ask(within, m.ID, &desk.Request{Do: desk.DoWho})
			if err != nil || reply.Error != "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if better := reply.Primary && !who.Primary || reply.Primary == who.Primary && reply.Load < who.Load; !found || better {
				best, who, found = m, *reply, true
			}
		})
	}
	all.Wait()
	return best, who, found
}

// ask sends one request.
func (c *client) ask(ctx context.Context, to blaze.MemberID, r *desk.Request) (*desk.Reply, error) {
	b, err := c.g.RequestPayload(ctx, to, desk.Inbox, desk.Encode(r), nil)
	if err != nil {
		return nil, err
	}
	m, reply := new(blaze.Message), new(desk.Reply)
	if err := m.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	body, ok := m.Bytes()
	if !ok || desk.Decode(body, reply) != nil {
		return nil, fmt.Errorf("the answer of %v is of another version", to)
	}
	return reply, nil
}

// do has a request done within --timeout, 5s without it.
func (c *client) do(r *desk.Request) (*desk.Reply, error) {
	ctx, cancel := c.a.within(c.cmd.Context(), c.cmd, patience)
	defer cancel()
	return c.doWithin(ctx, r)
}

// doWithin has a request done. What only reads is asked of another member where the first one is gone.
func (c *client) doWithin(ctx context.Context, r *desk.Request) (*desk.Reply, error) {
	reads := r.Do == desk.DoGet || r.Do == desk.DoStatus || (r.Do == desk.DoList || r.Do == desk.DoWatch) && r.Session == 0
	for {
		if err := c.find(ctx); err != nil {
			return nil, err
		}
		r.Within = 0
		if at, ok := ctx.Deadline(); ok {
			r.Within = max(time.Until(at)-20*time.Millisecond, time.Millisecond) // its answer comes in time
		}
		reply, err := c.ask(ctx, c.at.ID, r)
		again := reads && (errors.Is(err, blaze.ErrNoSuchMember) || errors.Is(err, blaze.ErrNoConsumer) || reply != nil && reply.Error == desk.Stopped)
		switch {
		case again && ctx.Err() == nil:
			c.at = blaze.Member{}
			if err := sleep(ctx, 20*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		case err != nil && reads && errors.Is(err, context.DeadlineExceeded):
			return nil, failf(statusTime, "%s has not answered, and time is up", c.name())
		case err != nil && errors.Is(err, blaze.ErrNoConsumer):
			return nil, failf(statusNobody, "%s is in no cluster any more", c.name())
		case err != nil && (errors.Is(err, blaze.ErrUnknownOutcome) || errors.Is(err, context.DeadlineExceeded)):
			return nil, failf(statusUnknown, "%s has not answered; it may have done it", c.name())
		case err != nil:
			return nil, err
		case reply.Error != "":
			return reply, failf(statusOfWord(reply.Error), "%s", c.plain(reply))
		}
		return reply, nil
	}
}

func (c *client) name() string { return fmt.Sprintf("%s (%v)", oneLine(c.at.Name), c.at.ID) }

// plain is what was wrong, in the words of the member that was asked.
func (c *client) plain(r *desk.Reply) string {
	if r.Text == "" {
		return r.Error
	}
	return r.Text
}

// statusOfWord is the exit status for a word of the desk.
func statusOfWord(word string) int {
	switch word {
	case desk.NoQuorum, desk.Stopped:
		return statusNobody
	case desk.Locked, desk.NotOwner, desk.Version:
		return statusCondition
	case desk.Unknown:
		return statusUnknown
	case desk.TimeUp:
		return statusTime
	case desk.Argument, desk.TooLarge:
		return statusUsage
	}
	return statusFailed
}
