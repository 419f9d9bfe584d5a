package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/local"
)

type inspectOptions struct {
	last bool
	all  bool
}

const inspectHelp = `Without an argument it shows the channels of this user on this host that show
themselves: those with Config.Inspect "local", or BLAZE_INSPECT=local in their
environment. PID shows those of one process, MEMBER a member of the cluster, by
name, id, or the beginning of one, wherever it runs.`

func (a *app) inspect() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect [PID|MEMBER]",
		Short: "Show what a channel does now: streams, receivers, handlers, locks",
		Long: `Prints the state of channels once: each stream that one sends, with the
receivers that are furthest behind first; each stream that it receives;
subscriptions; the ring, queues, locks, losses.

` + inspectHelp,
		Example: "  BLAZE_INSPECT=local blaze sub --timeout 2s prices.acme &\n  sleep 1; blaze inspect",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inspections(cmd, &o, args, func(v *blaze.Inspection, raw []byte, old time.Duration) {
				if a.common.json {
					_, _ = a.out.Write(append(raw, '\n'))
					return
				}
				a.show(v, old)
			})
		},
	}
	o.register(cmd)
	return cmd
}

func (o *inspectOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.last, "last", false, "what a process wrote last, also one that hangs or that was killed")
	f.BoolVar(&o.all, "all", false, "every member of the cluster")
	cmd.ValidArgsFunction = cobra.NoFileCompletions
}

// atMost are the Args of a command that takes at most n.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("%s: unexpected %q; %s --help has what it takes", cmd.CommandPath(), abridged(args[n]), cmd.CommandPath())
		}
		return nil
	}
}

// inspections calls each with the state of every channel that is asked for. old is how long ago it was written, where that
// is not now.
func (a *app) inspections(cmd *cobra.Command, o *inspectOptions, args []string, each func(v *blaze.Inspection, raw []byte, old time.Duration)) error {
	pid := 0
	if len(args) == 1 {
		pid, _ = strconv.Atoi(args[0])
	}
	switch {
	case o.all && len(args) > 0:
		return usagef("%s: --all is every member, and %q is one", cmd.CommandPath(), abridged(args[0]))
	case o.last && (o.all || len(args) == 1 && pid <= 0):
		return usagef("%s: --last reads files of this host: want a PID, or nothing", cmd.CommandPath())
	case o.all || len(args) == 1 && pid <= 0:
		return a.inspectMembers(cmd, o, args, each)
	}
	channels, err := local.List(local.Dir())
	if err != nil {
		return err
	}
	ctx, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	shown := 0
	var failed error
	for i := range channels {
		c := &channels[i]
		if pid > 0 && c.Process != pid || !c.Alive && !o.last {
			continue
		}
		v, raw, old, err := readLocal(ctx, c, o.last)
		if err != nil {
			failed = failf(statusFailed, "process %d does not answer: %v; --last has what it wrote last", c.Process, err)
			continue
		}
		shown++
		each(v, raw, old)
	}
	switch {
	case failed != nil:
		return failed
	case shown == 0 && pid > 0:
		return failf(statusNobody, "process %d shows no channel of this user; a program with BLAZE_INSPECT=local in its environment does%s", pid, killed(o.last))
	case shown == 0:
		return failf(statusNobody, "no channel of this user shows itself on this host; a program with BLAZE_INSPECT=local in its environment does%s", killed(o.last))
	}
	return nil
}

func killed(last bool) string {
	if last {
		return ""
	}
	return ", and --last shows what one that was killed wrote last"
}

func readLocal(ctx context.Context, c *local.Channel, last bool) (v *blaze.Inspection, raw []byte, old time.Duration, err error) {
	if last {
		var at time.Time
		if raw, at, err = c.Last(); err == nil {
			old = max(time.Since(at), 1)
		}
	} else {
		raw, err = c.Ask(ctx)
	}
	if err == nil {
		v = &blaze.Inspection{}
		err = json.Unmarshal(raw, v)
	}
	return v, raw, old, err
}

// inspectMembers asks members of the cluster.
func (a *app) inspectMembers(cmd *cobra.Command, o *inspectOptions, args []string, each func(v *blaze.Inspection, raw []byte, old time.Duration)) error {
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	if err := g.Start(); err != nil {
		return err
	}
	ctx := cmd.Context()
	var one blaze.Member
	if len(args) == 1 {
		one, err = a.member(ctx, cmd, g, args[0])
	} else if err = settle(ctx, g); err == nil && len(others(g, "")) == 0 {
		err = failf(statusNobody, "nobody else is in %s", where(g.Channel))
	}
	if err != nil {
		return err
	}
	within, cancel := a.within(ctx, cmd, patience)
	defer cancel()
	silent := 0
	for id, v := range g.InspectAll(within) {
		if id == g.ID() || !one.ID.IsZero() && id != one.ID {
			continue
		}
		if v == nil {
			silent++
			a.remark("%s does not show itself: Config.NoInspect, an older version, or it stands still", id)
			continue
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		each(v, raw, 0)
		if id == one.ID {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if silent > 0 {
		return failf(statusTime, "%s did not answer", plural(silent, "member"))
	}
	return nil
}

// show prints one channel for people.
func (a *app) show(v *blaze.Inspection, old time.Duration) {
	c := &v.Channel
	head := fmt.Sprintf("%s  %s  %s  cluster %q  %s", oneLine(c.Name), c.ID, c.State, c.Cluster, oneLine(c.URI))
	if old > 0 {
		head += fmt.Sprintf("  (as it was %s ago)", shortDuration(old.Truncate(time.Millisecond)))
	}
	a.out.line(a.fit(head))
	a.out.line(a.fit(fmt.Sprintf("  %s, process %d on %s, %s, %s", oneLine(c.Program), c.Process, oneLine(c.Host), c.Transport, c.Mode)))
	if c.NoWay != "" {
		a.out.line(a.fit("  ! nothing can leave: " + oneLine(c.NoWay)))
	}
	for i := range v.Sending {
		a.showSending(&v.Sending[i])
	}
	if len(v.Receiving) > 0 {
		rows := [][]string{{"  FROM", "STREAM", "NEXT", "HELD", "MISSED", "REPAIRED", "GONE", "REPAIR P99", ""}}
		for _, r := range v.Receiving {
			state := ""
			if r.Silent {
				state = "silent"
			}
			rows = append(rows, []string{"  " + called(r.From), streamName(r.Protocol, r.Lane), fmt.Sprint(r.Next), fmt.Sprint(r.Held), fmt.Sprint(r.Missed),
				fmt.Sprint(r.Repaired), fmt.Sprint(r.Gone), orDash(r.RepairP99), state})
		}
		a.rows("receives", rows)
	}
	if len(v.Subscriptions) > 0 {
		rows := [][]string{{"  PATTERN", "KIND", "QUEUED", "OF", "FULL", "OLDEST", "TAKEN", "HANDLER P99"}}
		for _, s := range v.Subscriptions {
			of := fmt.Sprint(s.Capacity)
			if s.Inline {
				of = "inline"
			}
			rows = append(rows, []string{"  " + oneLine(s.Pattern), s.Kind, fmt.Sprint(s.Queued), of, share(s.Full), orDash(s.Oldest), fmt.Sprint(s.Taken), orDash(s.P99)})
		}
		a.rows("handles", rows)
	}
	a.showRing("ring", v.Ring)
	a.showRing("cluster's ring", v.ClusterRing)
	if m := v.Master; m != nil {
		text := "in the primary component"
		if !m.Primary {
			text = "not in the primary component: " + oneLine(m.Why)
		}
		if m.Master != nil {
			text += ", master is " + called(*m.Master)
		}
		a.out.line(a.fit(text))
	}
	if len(v.Locks) > 0 {
		rows := [][]string{{"  LOCK", "OWNER", "TOKEN", "LEASE LEFT", "WAITING"}}
		for _, l := range v.Locks {
			rows = append(rows, []string{"  " + oneLine(l.Map+"/"+l.Key), called(l.Owner), fmt.Sprint(l.Token), orDash(l.LeaseLeft), fmt.Sprint(l.Waiting)})
		}
		a.rows("locks", rows)
	}
	for _, q := range v.Queues {
		a.out.line(a.fit(fmt.Sprintf("queue %s: %d wait, %d are out, %s", oneLine(q.Name), q.Waiting, q.Out, plural(len(q.Consumers), "consumer"))))
	}
	if n := len(v.Losses); n > 0 {
		l := v.Losses[n-1]
		a.out.line(a.fit(fmt.Sprintf("lost: %s, the last at %s of %s, messages %d to %d: %s (blaze loss has all)", plural(n, "report"), clock(l.At.Local()), called(l.From), l.First, l.Last, l.Reason)))
	}
	if left := v.LeftOut; left != (blaze.LeftOutInfo{}) {
		b, _ := json.Marshal(left) // of numbers: no error
		a.out.line(a.fit("left out: " + strings.Trim(string(b), "{}")))
	}
}

// fit is a line as it is, or cut to the terminal.
func (a *app) fit(s string) string {
	if width := a.out.width(); width > 0 {
		return cut(s, width)
	}
	return s
}

func (a *app) rows(title string, rows [][]string) {
	a.out.line(title)
	for _, line := range columns(rows, a.out.width()) {
		a.out.line(line)
	}
}

func (a *app) showSending(s *blaze.SendingInfo) {
	line := fmt.Sprintf("sends %s  %.0f messages/s  window %d of %d", streamName(s.Protocol, s.Lane), s.Rate, s.WindowUsed, s.Window)
	if s.Blocked > 0.005 && s.Slowest != nil {
		line += fmt.Sprintf("  blocked %s of the last second, by %s", share(s.Blocked), called(*s.Slowest))
	}
	a.out.line(a.fit(line))
	if len(s.Receivers) == 0 {
		return
	}
	rows := [][]string{{"  RECEIVER", "BEHIND", "RTT", "MISSED", "GONE", "HEARD", ""}}
	for i, r := range s.Receivers {
		mark := ""
		if i == 0 && s.Blocked > 0.5 {
			mark = "! holds it up"
		}
		rows = append(rows, []string{"  " + called(r.MemberRef), fmt.Sprint(r.Behind), orDash(r.RoundTrip), fmt.Sprint(r.Missed), fmt.Sprint(r.Gone), clock(r.LastHeard.Local()), mark})
	}
	for _, l := range columns(rows, a.out.width()) {
		a.out.line(l)
	}
}

func (a *app) showRing(what string, r *blaze.RingInfo) {
	if r == nil {
		return
	}
	line := fmt.Sprintf("%s  %s  view %d  %s  rotation %s", what, r.State, r.View, plural(len(r.Members), "member"), orDash(r.Rotation))
	if r.State != "operational" && len(r.Reasons) > 0 {
		line += "  since: " + oneLine(r.Reasons[len(r.Reasons)-1].Reason)
	}
	a.out.line(a.fit(line))
}

// called is a member's name, or the beginning of its id.
func called(m blaze.MemberRef) string { return nameOr(m.Name, m.Member.String()) }

func nameOr(name, id string) string {
	if name != "" {
		return oneLine(name)
	}
	return id[:8]
}

func streamName(p blaze.Protocol, lane int) string { return fmt.Sprintf("%s/%d", p, lane) }

func share(f float64) string { return fmt.Sprintf("%.0f %%", 100*f) }

func orDash(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return shortDuration(d)
}
