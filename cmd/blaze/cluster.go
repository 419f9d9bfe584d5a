package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/desk"
)

// clusterState is the object that cluster status prints with --json.
type clusterState struct {
	Time      string         `json:"time"`
	Asked     string         `json:"asked"` // MemberID of who tells this
	Phase     string         `json:"phase"`
	Primary   bool           `json:"primary"`
	Why       string         `json:"why"`
	Need      string         `json:"need,omitempty"`
	Chain     string         `json:"chain"`
	Founded   string         `json:"founded,omitempty"`
	Epoch     uint64         `json:"epoch"`
	Index     uint64         `json:"index"`
	Hash      string         `json:"hash"` // 16 hexadecimal digits
	Master    string         `json:"master,omitempty"`
	Leader    string         `json:"leader,omitempty"`
	Tried     int            `json:"tried"`
	Rules     uint32         `json:"rules"`
	RulesMin  uint32         `json:"rules_min"`
	RulesMax  uint32         `json:"rules_max"`
	Durable   uint64         `json:"durable,omitempty"`
	Committed uint64         `json:"committed,omitempty"`
	DiskError string         `json:"disk_error,omitempty"`
	Maps      int            `json:"maps"`
	Entries   int            `json:"entries"`
	Locks     int            `json:"locks"`
	Bytes     int64          `json:"bytes"`
	Services  []string       `json:"services,omitempty"` // in force
	Members   []clusterSeat  `json:"members"`
	Voters    []clusterVoter `json:"voters"`
}

// clusterSeat is one member of the ring.
type clusterSeat struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Seat     string `json:"seat"`
	Vote     bool   `json:"vote"`
	State    string `json:"state"`             // "complete", "learner" or "observer"
	Learned  uint64 `json:"learned,omitempty"` // of the asked member alone: entries that it has got, while it is a learner
	ToLearn  uint64 `json:"to_learn,omitempty"`
	Age      uint64 `json:"age"`
	Weight   int    `json:"weight"`
	Disk     bool   `json:"disk"`
	Durable  uint64 `json:"durable,omitempty"`
	IsMaster bool   `json:"master"`
}

// clusterVoter is one of those that a quorum is counted from.
type clusterVoter struct {
	Seat    string `json:"seat"`
	Name    string `json:"name,omitempty"`
	Missing bool   `json:"missing"`
}

func (a *app) clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cluster",
		Short:   "See the state of a cluster, or make what is left of it go on",
		Long:    "A cluster is the ClusterChannels of one name: they share maps, locks and a\nmaster.",
		Example: "  blaze cluster status",
		Args:    isCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("blaze cluster: want status, force or check; blaze cluster --help has more")
		},
	}
	cmd.AddCommand(a.clusterStatus(), a.clusterForce())
	for _, c := range cmd.Commands() {
		c.ValidArgsFunction = cobra.NoFileCompletions
	}
	cmd.AddCommand(a.clusterCheck())
	return cmd
}

func (a *app) clusterStatus() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Print who is in the cluster, what it holds, and what it waits for",
		Long: `Asks a member, of the primary component where there is one, and prints what it
knows. With status 3 no member of a cluster is there; with status 5 there is
no primary component: nobody can write.`,
		Example: "  blaze cluster status\n  blaze cluster status --json",
		Args:    needArgs(0, false),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clusterClient(cmd)
			if err != nil {
				return err
			}
			defer c.close()
			if watch {
				return a.watchStatus(cmd, c)
			}
			ctx, cancel := a.within(cmd.Context(), cmd, patience)
			defer cancel()
			s, err := c.status(ctx)
			if err != nil {
				return err
			}
			a.printStatus(c, s)
			if !s.Primary {
				return failf(statusCondition, "no primary component: %s", s.Why)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again whenever it changes, until Ctrl-C")
	return cmd
}

// status asks for the state of the cluster.
func (c *client) status(ctx context.Context) (*blaze.ClusterStatus, error) {
	reply, err := c.doWithin(ctx, &desk.Request{Do: desk.DoStatus})
	if err != nil {
		return nil, err
	}
	s := new(blaze.ClusterStatus)
	if err := json.Unmarshal(reply.Status, s); err != nil {
		return nil, fmt.Errorf("the answer of %s is of another version: %w", c.name(), err)
	}
	return s, nil
}

// watchStatus prints the state whenever it is another one, but for how far the history is.
func (a *app) watchStatus(cmd *cobra.Command, c *client) error {
	ctx, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	last := ""
	for {
		within, cancel := context.WithTimeout(ctx, patience)
		s, err := c.status(within)
		cancel()
		switch {
		case cmd.Context().Err() != nil:
			return cmd.Context().Err()
		case ctx.Err() != nil:
			return failf(statusTime, "time is up")
		case err != nil:
			c.at = blaze.Member{}
			if text := err.Error(); text != last {
				last = text
				a.remark("%s", messageOf(err))
			}
		default:
			seen := *s
			seen.Index, seen.Hash, seen.Durable, seen.Committed, seen.Bytes, seen.Entries, seen.Locks = 0, 0, 0, 0, 0, 0, 0
			seen.Members = slices.Clone(seen.Members)
			for i := range seen.Members {
				seen.Members[i].Durable = 0
			}
			if text := fmt.Sprintf("%+v", seen); text != last {
				last = text
				if !a.common.json {
					a.out.line(clock(time.Now()))
				}
				a.printStatus(c, s)
			}
			if !s.Primary {
				c.at = blaze.Member{} // perhaps another one is in it
			}
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil && cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
	}
}

func (a *app) printStatus(c *client, s *blaze.ClusterStatus) {
	if a.common.json {
		a.out.object(stateOf(c.at.ID, s))
		return
	}
	word := "no primary component"
	if s.Primary {
		word = "primary component"
	}
	line := func(name, format string, args ...any) {
		a.out.line(a.out.fit(fmt.Sprintf("%-9s  %s", name, oneLine(fmt.Sprintf(format, args...)))))
	}
	line("state", "%s, as %s knows: %s", word, c.at.Name, s.Phase)
	if s.Why != "" {
		line("why", "%s", s.Why)
	}
	if s.Need != "" {
		line("quorum", "%s", s.Need)
	}
	var missing []string
	for _, v := range s.Voters {
		if v.Missing {
			name := v.Name
			if name == "" {
				name = v.Seat.String()
			}
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		line("missing", "%s", strings.Join(missing, ", "))
	}
	if s.Tried > 0 {
		line("open", "%s of which it is not known whether they began", plural(s.Tried, "primary component"))
	}
	if s.Epoch > 0 {
		line("history", "epoch %d, index %d, hash %016x, founded %s", s.Epoch, s.Index, s.Hash, since(s.Founded, time.Now()))
	}
	line("holds", "%s, %s, %s, %d bytes", plural(s.Maps, "map"), entries(s.Entries), plural(s.Locks, "lock"), s.Bytes)
	if len(s.Services) > 0 {
		line("serves", "%s", oneLine(strings.Join(s.Services, ", ")))
	}
	if s.Durable > 0 || s.DiskError != "" {
		line("disk", "has index %d, committed %d %s", s.Durable, s.Committed, s.DiskError)
	}
	rows := [][]string{{"NAME", "ID", "STATE", "VOTE", "WEIGHT", "AGE", "SEAT"}}
	width := a.out.width()
	short := func(id string) string {
		if width > 0 {
			return id[:8]
		}
		return id
	}
	for i := range s.Members {
		m := seatOf(c.at.ID, s, &s.Members[i])
		state := m.State
		if m.ToLearn > 0 {
			state += fmt.Sprintf(" %d/%d", m.Learned, m.ToLearn)
		}
		if m.IsMaster {
			state = "master"
		}
		vote := "no"
		if m.Vote {
			vote = "yes"
		}
		rows = append(rows, []string{oneLine(m.Name), short(m.ID), state, vote, fmt.Sprint(m.Weight), fmt.Sprint(m.Age), short(m.Seat)})
	}
	for _, l := range columns(rows, width) {
		a.out.line(l)
	}
}

// entries is a number of entries in words.
func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// fit is a line that no terminal breaks.
func (o *output) fit(s string) string {
	if w := o.width(); w > 0 {
		return cut(s, w)
	}
	return s
}

func stateOf(asked blaze.MemberID, s *blaze.ClusterStatus) *clusterState {
	out := &clusterState{
		Time: stamp(time.Now()), Asked: asked.String(), Phase: s.Phase, Primary: s.Primary, Why: s.Why, Need: s.Need,
		Chain: s.Chain.String(), Epoch: s.Epoch, Index: s.Index, Hash: fmt.Sprintf("%016x", s.Hash), Tried: s.Tried,
		Rules: s.Rules, RulesMin: s.RulesMin, RulesMax: s.RulesMax, DiskError: s.DiskError,
		Maps: s.Maps, Entries: s.Entries, Locks: s.Locks, Bytes: s.Bytes, Services: s.Services,
	}
	if s.Durable > 0 {
		out.Durable, out.Committed = s.Durable, s.Committed
	}
	if !s.Founded.IsZero() {
		out.Founded = stamp(s.Founded)
	}
	for _, id := range []struct {
		of blaze.MemberID
		to *string
	}{{s.Master, &out.Master}, {s.Leader, &out.Leader}} {
		if !id.of.IsZero() {
			*id.to = id.of.String()
		}
	}
	for i := range s.Members {
		out.Members = append(out.Members, seatOf(asked, s, &s.Members[i]))
	}
	for _, v := range s.Voters {
		out.Voters = append(out.Voters, clusterVoter{v.Seat.String(), v.Name, v.Missing})
	}
	return out
}

// seatOf is the row of m in what asked knows.
func seatOf(asked blaze.MemberID, s *blaze.ClusterStatus, m *blaze.ClusterMember) clusterSeat {
	out := clusterSeat{ID: m.ID.String(), Name: m.Name, Seat: m.Seat.String(), Vote: m.Vote, State: "complete", Age: m.Age, Weight: m.Weight,
		Disk: m.Disk, Durable: m.Durable, IsMaster: m.ID == s.Master}
	switch {
	case m.Observer:
		out.State = "observer"
	case !m.Ready:
		out.State = "learner"
	}
	if m.ID == asked {
		out.Learned, out.ToLearn = s.Learned, s.ToLearn
	}
	return out
}

func (a *app) clusterForce() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "force",
		Short: "Have the members that are here go on alone: writes may be lost",
		Long: `For an operator who is sure that the missing members do not come back: makes the
members that are connected now go on without them. What only the missing ones
know is lost. If they are alive and go on by themselves, there are two clusters.
It asks first, unless --yes is given.

It holds until the next member comes or goes: then half of ExpectedMembers, and
one more, must be there again.`,
		Example: "  blaze cluster force",
		Args:    needArgs(0, false),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.force(cmd, yes) },
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) force(cmd *cobra.Command, yes bool) error {
	c, err := a.clusterClient(cmd)
	if err != nil {
		return err
	}
	defer c.close()
	within, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	s, err := c.status(within)
	if err != nil {
		return err
	}
	if s.Primary {
		a.remark("there is a primary component: nothing was done")
		return nil
	}
	if !yes {
		a.printStatus(c, s)
		fmt.Fprint(a.stderr, "blaze: what only the missing members know is lost. Type yes to go on: ")
		answer, err := bufio.NewReader(a.stdin).ReadString('\n')
		if strings.TrimSpace(answer) != "yes" {
			if err != nil && answer == "" {
				fmt.Fprintln(a.stderr)
			}
			return failf(statusFailed, "nothing was done")
		}
	}
	// A member does it, and not this command as one of the ring: that would end with the next ring, without it.
	if _, err := c.do(&desk.Request{Do: desk.DoForce}); err != nil {
		return err
	}
	a.remark("the members that are here are the primary component")
	return nil
}
