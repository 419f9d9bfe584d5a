package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/jmstool"
	"github.com/activeblaze/blaze/jms"
)

// heldBy is the object that jms hold prints with --json.
type heldBy struct {
	Time    string `json:"time"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Stored  bool   `json:"stored"`   // it has a DataDir
	ReadyNS int64  `json:"ready_ns"` // until it was a holder
}

// heldState is the object that jms status prints with --json.
type heldState struct {
	Time          string       `json:"time"`
	Asked         string       `json:"asked"` // MemberID of who tells the first fields
	Primary       bool         `json:"primary"`
	Why           string       `json:"why"`
	Persistent    string       `json:"persistent"` // "disk", "memory" or "mixed"
	Holders       []heldHolder `json:"holders"`
	Queues        int          `json:"queues"`
	Subscriptions int          `json:"subscriptions"`
	Messages      uint64       `json:"messages"`
	InFlight      uint64       `json:"in_flight"`
	DeadLetters   uint64       `json:"dead_letters"`
	Bytes         uint64       `json:"bytes"`
	Holding       []heldBack   `json:"holding"` // clients that have messages in flight and have settled none for a while
}

// heldBack is a client that keeps messages.
type heldBack struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"` // empty: it is not in the group
	ClientID string   `json:"client_id"`
	InFlight uint64   `json:"in_flight"`
	Since    string   `json:"since"` // its last settlement, or its first message
	Queues   []string `json:"queues"`
}

// longHeld is how long a client settles nothing before jms status names it.
const longHeld = 10 * time.Second

// heldHolder is one holder.
type heldHolder struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	State    string `json:"state"` // "complete", "learner" or, where the asked member does not have it in its ring, "elsewhere"
	Stored   bool   `json:"stored"`
	IsMaster bool   `json:"master"`
}

// heldQueue is the object that jms queues prints with --json for each queue and subscription.
type heldQueue struct {
	Queue       string `json:"queue,omitempty"`
	Name        string `json:"subscription,omitempty"`
	ClientID    string `json:"client_id,omitempty"`
	Topic       string `json:"topic,omitempty"`
	Durable     *bool  `json:"durable,omitempty"`
	Depth       uint64 `json:"depth"`
	Delayed     uint64 `json:"delayed"`
	InFlight    uint64 `json:"in_flight"`
	Staged      uint64 `json:"staged"`
	Bytes       uint64 `json:"bytes"`
	Oldest      string `json:"oldest,omitempty"`
	Consumers   uint64 `json:"consumers"`
	Waiting     uint64 `json:"waiting"`
	Put         uint64 `json:"put"`
	Taken       uint64 `json:"taken"`
	Settled     uint64 `json:"settled"`
	Redelivered uint64 `json:"redelivered"`
	Expired     uint64 `json:"expired"`
	Dead        uint64 `json:"dead"`
	Removed     uint64 `json:"removed"`
}

func (a *app) jmsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jms",
		Short: "Hold queues that keep their messages, and work on them",
		Long: `Holds queues of the JMS-style API, and works on them. Such a queue keeps what is
sent before anybody consumes, and after the sender has gone. It is held by
members that are called holders. Each of them has all messages.`,
		Example: "  blaze jms put orders 'buy 100'\n  blaze jms take orders --count 1",
		Args:    isCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("blaze jms: want hold, status, queues, put, take, browse, purge, move or dlq; blaze jms --help has more")
		},
	}
	cmd.AddCommand(a.jmsHold(), a.jmsStatus())
	for _, c := range cmd.Commands() {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.AddCommand(a.jmsQueues(), a.jmsPut(), a.jmsTake(), a.jmsBrowse(), a.jmsPurge(), a.jmsMove(), a.jmsDeadLetters())
	return cmd
}

type holdOptions struct {
	dataDir string
	holders int
}

func (a *app) jmsHold() *cobra.Command {
	var o holdOptions
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Be a holder of queues",
		Long: `Becomes a holder, and stays one until --timeout or Ctrl-C. Run it on one host or
on three: each holder has every message, and a minority of them may be lost.

Without --data-dir messages are in memory, the PERSISTENT ones too: they last
while one holder lives. With it, a PERSISTENT message is on the disks of a
majority when its sender goes on.

A holder's --name stays over restarts; two on one host need different ones.
Without it, it is "holder-" and the host's name.`,
		Example: "  blaze jms hold &\n  blaze jms put orders 'buy 100'\n  kill $!",
		Args:    needArgs(0, false),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.hold(cmd, &o) },
	}
	cmd.Flags().StringVar(&o.dataDir, "data-dir", "", "keep messages in `DIR` too, which is made if need be")
	cmd.Flags().IntVar(&o.holders, "holders", 0, "of `N` holders a majority is needed: then there is never a second set of them")
	return cmd
}

func (a *app) hold(cmd *cobra.Command, o *holdOptions) error {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return err
	}
	if host, err := os.Hostname(); cfg.Name == defaultName(cmd) && err == nil {
		cfg.Name = "holder-" + host // the same after a restart: it takes its seat again
	}
	if cmd.Flags().Changed("data-dir") {
		cfg.DataDir = o.dataDir
	}
	if cmd.Flags().Changed("holders") {
		cfg.ExpectedMembers = o.holders
	}
	f, err := jms.NewConnectionFactory(cfg, jms.WithRole(jms.Holder))
	if err != nil {
		return &usageError{err}
	}
	ctx, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	begin := time.Now()
	opened, err := jmstool.JMS.Open(ctx, f)
	if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
		return failf(statusNobody, "not enough holders are there, and time is up")
	}
	if err != nil {
		return err
	}
	c := opened.(*jms.Context)
	defer c.Close()
	g := jmstool.JMS.Channel(c).(*blaze.GroupChannel)
	if a.common.json {
		a.out.object(heldBy{stamp(time.Now()), g.ID().String(), g.Config().Name, cfg.DataDir != "", int64(time.Since(begin))})
	}
	where := "in memory: PERSISTENT lasts while one holder lives"
	if cfg.DataDir != "" {
		where = "in memory and in " + cfg.DataDir
	}
	a.remark("%s holds queues %s; Ctrl-C ends", g.Config().Name, where)
	<-ctx.Done()
	if err := c.Close(); err != nil {
		return err
	}
	if cmd.Context().Err() == nil {
		return failf(statusTime, "time is up")
	}
	return cmd.Context().Err()
}

// jmsContext is a client of the holders.
func (a *app) jmsContext(cmd *cobra.Command, mode jms.AckMode) (*jms.Context, error) {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil, err
	}
	return jmsClient(cfg, mode)
}

func jmsClient(cfg blaze.Config, mode jms.AckMode) (*jms.Context, error) {
	f, err := jms.NewConnectionFactory(cfg, jms.WithRole(jms.Client))
	if err != nil {
		return nil, &usageError{err}
	}
	return f.CreateContext(mode)
}

// jmsQueue is a client of the holders that has found one, and a queue.
func (a *app) jmsQueue(cmd *cobra.Command, mode jms.AckMode, name string) (*jms.Context, *jms.Queue, error) {
	c, err := a.jmsContext(cmd, mode)
	if err != nil {
		return nil, nil, err
	}
	q, err := c.Queue(name)
	switch {
	case err != nil:
		err = &usageError{err}
	case q.Direct():
		err = usagef("queue %q is direct: its senders keep the messages; blaze queue works on it", abridged(q.Name()))
	default:
		err = a.findHolders(cmd, c)
	}
	if err != nil {
		_ = c.Close()
		return nil, nil, err
	}
	return c, q, nil
}

// findHolders begins the connection at a holder.
func (a *app) findHolders(cmd *cobra.Command, c *jms.Context) error {
	ctx, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	err := c.ConnectHolders(ctx)
	if err == nil || cmd.Context().Err() != nil || ctx.Err() == nil {
		return err
	}
	g := jmstool.JMS.Channel(c).(*blaze.GroupChannel)
	if len(g.MembersOf(jmstool.Group)) == 0 {
		return failf(statusNobody, "nobody holds queues in %s, and time is up; blaze jms hold does", where(g.Channel))
	}
	return failf(statusNobody, "the holders in %s have not answered, and time is up; blaze jms status may say why", where(g.Channel))
}

func (a *app) jmsStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Print who holds queues, and what they hold",
		Long: `Prints who holds queues, whether they have disks, and how much they hold. Where
none has a DataDir, PERSISTENT messages are in memory. With status 3 nobody
holds queues; with status 5 the holders have no majority: nobody can put or
take. A client that has messages and has settled none for ten seconds is named.`,
		Example: "  blaze jms status\n  blaze jms status --json",
		Args:    needArgs(0, false),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.heldStatus(cmd) },
	}
}

func (a *app) heldStatus(cmd *cobra.Command) error {
	c, err := a.jmsContext(cmd, jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer c.Close()
	g := jmstool.JMS.Channel(c).(*blaze.GroupChannel)
	ctx, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	if err := settle(ctx, g); err != nil {
		return err
	}
	holders := g.MembersOf(jmstool.Group)
	for ; len(holders) == 0; holders = g.MembersOf(jmstool.Group) {
		if err := sleep(ctx, 10*time.Millisecond); err != nil && cmd.Context().Err() == nil {
			return failf(statusNobody, "nobody holds queues in %s, and time is up; blaze jms hold does", where(g.Channel))
		} else if err != nil {
			return err
		}
	}
	desk := &client{a: a, cmd: cmd, g: g, at: holders[0]}
	s, err := desk.status(ctx)
	if err != nil {
		return err
	}
	out := heldStateOf(desk.at.ID, s, holders)
	if s.Primary {
		queues, err := c.QueueStats(ctx)
		if err != nil {
			return err
		}
		out.count(queues)
		holding, err := c.Holding(ctx)
		if err != nil {
			return err
		}
		out.heldBack(g.Members(), holding)
	}
	a.printHeldState(desk.at.Name, out)
	if !s.Primary {
		return failf(statusCondition, "the holders have no majority: %s", s.Why)
	}
	return nil
}

// heldStateOf is what the status of a cluster says of holders.
func heldStateOf(asked blaze.MemberID, s *blaze.ClusterStatus, holders []blaze.Member) *heldState {
	out := &heldState{Time: stamp(time.Now()), Asked: asked.String(), Primary: s.Primary, Why: s.Why}
	stored := 0
	for _, m := range holders {
		h := heldHolder{ID: m.ID.String(), Name: m.Name, Address: m.Addr.String(), State: "elsewhere", IsMaster: m.ID == s.Master}
		if i := slices.IndexFunc(s.Members, func(c blaze.ClusterMember) bool { return c.ID == m.ID }); i >= 0 {
			seat := seatOf(asked, s, &s.Members[i])
			h.State, h.Stored = seat.State, seat.Disk
		}
		if h.Stored {
			stored++
		}
		out.Holders = append(out.Holders, h)
	}
	slices.SortFunc(out.Holders, func(x, y heldHolder) int { return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID)) })
	switch stored {
	case 0:
		out.Persistent = "memory"
	case len(holders):
		out.Persistent = "disk"
	default:
		out.Persistent = "mixed"
	}
	return out
}

// count adds up what the queues hold.
func (s *heldState) count(queues []jms.QueueStats) {
	for i := range queues {
		q := &queues[i]
		if q.Topic == "" {
			s.Queues++
		} else {
			s.Subscriptions++
		}
		if strings.HasPrefix(q.Name, deadLetters) && q.Topic == "" {
			s.DeadLetters += q.Depth
		}
		s.Messages += q.Depth
		s.InFlight += q.InFlight
		s.Bytes += q.Bytes
	}
}

// heldBack notes who has settled nothing for long.
func (s *heldState) heldBack(members []blaze.Member, holding []jms.Holding) {
	s.Holding = []heldBack{}
	for i := range holding {
		h := &holding[i]
		if h.Since.IsZero() || time.Since(h.Since) < longHeld {
			continue
		}
		b := heldBack{ID: h.Client.String(), ClientID: h.ClientID, InFlight: h.InFlight, Since: stamp(h.Since), Queues: h.Queues}
		if i := slices.IndexFunc(members, func(m blaze.Member) bool { return m.ID == h.Client }); i >= 0 {
			b.Name = members[i].Name
		}
		s.Holding = append(s.Holding, b)
	}
}

// deadLetters is how the names of dead-letter queues begin.
const deadLetters = "DLQ."

func (a *app) printHeldState(asked string, s *heldState) {
	if a.common.json {
		a.out.object(s)
		return
	}
	line := func(name, format string, args ...any) {
		a.out.line(a.out.fit(fmt.Sprintf("%-10s  %s", name, oneLine(fmt.Sprintf(format, args...)))))
	}
	word := "no majority"
	if s.Primary {
		word = "a majority of the holders is there"
	}
	line("state", "%s, as %s knows", word, asked)
	if s.Why != "" {
		line("why", "%s", s.Why)
	}
	line("PERSISTENT", "%s", map[string]string{
		"memory": "in memory: lasts while one holder lives, for none has a DataDir",
		"disk":   "on the disks of a majority",
		"mixed":  "on the disks of those holders that have a DataDir; not all have one",
	}[s.Persistent])
	if s.Primary {
		line("holds", "%s, %s, %s, %d in flight, %s, %d bytes", plural(s.Queues, "queue"), plural(s.Subscriptions, "subscription"),
			plural(int(s.Messages), "message"), s.InFlight, plural(int(s.DeadLetters), "dead letter"), s.Bytes)
	}
	for _, h := range s.Holding {
		line("keeps", "%s has %s of %s and has settled none since %s", cmp.Or(h.Name, h.ID), plural(int(h.InFlight), "message"),
			strings.Join(h.Queues, ", "), h.Since)
	}
	width := a.out.width()
	rows := [][]string{{"HOLDER", "ID", "STATE", "DISK", "ADDRESS"}}
	for _, h := range s.Holders {
		id, state, disk := h.ID, h.State, "no"
		if width > 0 {
			id = id[:8]
		}
		if h.IsMaster {
			state = "master"
		}
		if h.Stored {
			disk = "yes"
		}
		rows = append(rows, []string{oneLine(h.Name), id, state, disk, h.Address})
	}
	for _, l := range columns(rows, width) {
		a.out.line(l)
	}
}

func (a *app) jmsQueues() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queues [NAME...]",
		Short: "Print the counters of queues and subscriptions",
		Long: `Prints the counters of all held queues and subscriptions, or of those that are
named: messages that wait (DEPTH), that consumers have (FLIGHT), consumers, and
when the oldest message that waits was sent. PUT, SETTLED, REDELIVERED, EXPIRED
and DEAD count since the queue was made. With status 1 a queue that is named is
not there.`,
		Example: "  blaze jms put orders 'buy 100'\n  blaze jms queues orders",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.listQueues(cmd, args) },
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return slices.DeleteFunc(a.heldQueues(cmd), func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func (a *app) listQueues(cmd *cobra.Command, names []string) error {
	c, err := a.jmsContext(cmd, jms.AutoAcknowledge)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := a.findHolders(cmd, c); err != nil {
		return err
	}
	ctx, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	queues, err := c.QueueStats(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !slices.ContainsFunc(queues, func(q jms.QueueStats) bool { return q.Name == name }) {
			return failf(statusFailed, "there is no queue %q", abridged(name))
		}
	}
	if len(names) > 0 {
		queues = slices.DeleteFunc(queues, func(q jms.QueueStats) bool { return !slices.Contains(names, q.Name) })
	}
	a.printQueues(queues)
	return nil
}

func (a *app) printQueues(queues []jms.QueueStats) {
	rows := [][]string{{"QUEUE", "DEPTH", "FLIGHT", "CONSUMERS", "PUT", "SETTLED", "REDELIVERED", "EXPIRED", "DEAD", "OLDEST"}}
	for i := range queues {
		q := &queues[i]
		if a.common.json {
			a.out.object(heldQueueOf(q))
			continue
		}
		name, oldest := q.Name, ""
		if q.Topic != "" {
			name += " (" + q.Topic + ")"
			if q.ClientID != "" {
				name = q.ClientID + "/" + name
			}
		}
		if !q.Oldest.IsZero() {
			oldest = since(q.Oldest, time.Now())
		}
		row := []string{oneLine(name)}
		for _, n := range []uint64{q.Depth, q.InFlight, q.Consumers, q.Put, q.Settled, q.Redelivered, q.Expired, q.Dead} {
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, append(row, oldest))
	}
	if a.common.json {
		return
	}
	for _, l := range columns(rows, a.out.width()) {
		a.out.line(l)
	}
}

func heldQueueOf(q *jms.QueueStats) heldQueue {
	out := heldQueue{
		Depth: q.Depth, Delayed: q.Delayed, InFlight: q.InFlight, Staged: q.Staged, Bytes: q.Bytes, Consumers: q.Consumers, Waiting: q.Waiting,
		Put: q.Put, Taken: q.Taken, Settled: q.Settled, Redelivered: q.Redelivered, Expired: q.Expired, Dead: q.Dead, Removed: q.Removed,
	}
	if q.Topic == "" {
		out.Queue = q.Name
	} else {
		out.Name, out.ClientID, out.Topic, out.Durable = q.Name, q.ClientID, q.Topic, &q.Durable
	}
	if !q.Oldest.IsZero() {
		out.Oldest = stamp(q.Oldest)
	}
	return out
}

// completeHeldQueues completes the first argument with the queues that are held.
func (a *app) completeHeldQueues(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.heldQueues(cmd), cobra.ShellCompDirectiveNoFileComp
}

// heldQueues are the names of queues that holders tell in completionTime.
func (a *app) heldQueues(cmd *cobra.Command) []string {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil
	}
	cfg.Logger = quiet
	c, err := jmsClient(cfg, jms.AutoAcknowledge)
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	queues, err := c.QueueStats(ctx)
	if err != nil {
		return nil
	}
	var names []string
	for i := range queues {
		if queues[i].Topic == "" {
			names = append(names, queues[i].Name)
		}
	}
	return names
}
