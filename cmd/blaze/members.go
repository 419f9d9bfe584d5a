package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// listed is a member as --json has it.
type listed struct {
	Name        string   `json:"name"`
	ID          string   `json:"id"`
	Incarnation uint32   `json:"incarnation"`
	Address     string   `json:"address"`
	Groups      []string `json:"groups"`
	Since       string   `json:"since"`
}

// changed is the object that members --watch prints with --json.
type changed struct {
	Event string `json:"event"`           // "started", "stopped", "failed", "joined group", "left group"
	Time  string `json:"time"`            // when it was printed
	Group string `json:"group,omitempty"` // that was joined or left
	listed
}

func listedOf(m blaze.Member) listed {
	groups := m.Groups
	if groups == nil {
		groups = []string{}
	}
	return listed{m.Name, m.ID.String(), m.Incarnation, m.Addr.String(), groups, stamp(m.Started)}
}

type memberOptions struct {
	watch bool
	group string
	wait  int
}

func (a *app) members() *cobra.Command {
	var o memberOptions
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members, or watch them come and go",
		Long: `Lists the members of the cluster, or of one group in it: name, the beginning of
the id, incarnation, address, groups, and since when. This command is a member
itself, and leaves itself out.`,
		Example: "  blaze inbox --name desk --count 1 &\n  blaze members --wait 1\n  blaze send desk hello",
		Args:    needArgs(0, false),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.list(cmd, &o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.watch, "watch", false, "print who is there, and then what changes, until Ctrl-C")
	f.StringVar(&o.group, "group", "", "only members of `GROUP`")
	f.IntVar(&o.wait, "wait", 0, "wait until `N` are there; with --watch end then")
	_ = cmd.RegisterFlagCompletionFunc("group", a.completeGroups)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}

func (a *app) list(cmd *cobra.Command, o *memberOptions) error {
	if o.wait < 0 || o.wait > 1000 {
		return usagef("--wait %d: want 0 to 1000", o.wait)
	}
	g, err := a.groupChannel(cmd)
	if err != nil {
		return err
	}
	defer g.Shutdown()
	w := &watcher{a: a, g: g, o: o, changed: make(chan struct{}, 1)}
	g.OnMember(w.event)
	if err := g.Start(); err != nil {
		return err
	}
	ctx := cmd.Context()
	if o.watch {
		a.remark("watching %s; Ctrl-C ends", where(g.Channel))
	} else if err := settle(ctx, g); err != nil {
		return err
	}
	var waited error
	if o.watch || o.wait > 0 {
		waited = w.await(ctx, cmd)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	all := others(g, o.group)
	if !o.watch {
		a.table(all)
	}
	switch {
	case waited == nil && len(all) == 0 && !o.watch:
		return failf(statusNobody, "nobody else is in %s", w.where())
	case errors.Is(waited, errTime) && len(all) == 0 && o.wait > 0:
		return failf(statusNobody, "nobody else is in %s, and time is up", w.where())
	case errors.Is(waited, errTime) && o.wait > 0:
		return failf(statusTime, "%d of %s are there, and time is up", len(all), plural(o.wait, "member"))
	case errors.Is(waited, errTime):
		return failf(statusTime, "time is up")
	}
	return waited
}

// watcher is told of every change, and prints it with --watch.
type watcher struct {
	a       *app
	g       *blaze.GroupChannel
	o       *memberOptions
	changed chan struct{}

	mu sync.Mutex
	in map[blaze.MemberID]bool // with --watch and --group: who was in it
}

func (w *watcher) where() string {
	if w.o.group != "" {
		return fmt.Sprintf("group %q of %s", w.o.group, where(w.g.Channel))
	}
	return where(w.g.Channel)
}

// await waits until as many are there as were asked for; without a number until ctx or --timeout ends.
func (w *watcher) await(ctx context.Context, cmd *cobra.Command) error {
	enough := make(chan struct{})
	ended, end := context.WithCancel(ctx)
	defer end()
	if w.o.wait > 0 {
		go func() {
			for len(others(w.g, w.o.group)) < w.o.wait {
				select {
				case <-w.changed:
				case <-ended.Done():
					return
				}
			}
			close(enough)
		}()
	}
	return w.a.until(ctx, cmd, enough)
}

func (w *watcher) event(e blaze.MemberEvent) {
	if e.Member.ID == w.g.ID() {
		return
	}
	if w.o.watch && w.wanted(e) {
		for i := 0; e.Kind == blaze.MemberStarted && e.Member.Name == "" && i < 100; i++ { // a long name comes after its member
			time.Sleep(time.Millisecond)
			if m, ok := w.g.Member(e.Member.ID); ok {
				e.Member = m
			}
		}
		w.a.event(e)
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// wanted reports whether an event is to be printed. With --group these are the comings and goings in that group, and the
// end of who was in it.
func (w *watcher) wanted(e blaze.MemberEvent) bool {
	if w.o.group == "" {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.in == nil {
		w.in = map[blaze.MemberID]bool{}
	}
	switch e.Kind {
	case blaze.MemberJoinedGroup, blaze.MemberLeftGroup:
		if e.Group != w.o.group {
			return false
		}
		w.in[e.Member.ID] = e.Kind == blaze.MemberJoinedGroup
		return true
	case blaze.MemberStopped, blaze.MemberFailed:
		was := w.in[e.Member.ID]
		delete(w.in, e.Member.ID)
		return was
	}
	return false
}

// event prints a change.
func (a *app) event(e blaze.MemberEvent) {
	now := time.Now()
	if e.Kind == blaze.MemberStarted {
		e.Member.Groups = nil // they follow, each with an event
	}
	if a.common.json {
		a.out.object(changed{e.Kind.String(), stamp(now), e.Group, listedOf(e.Member)})
		return
	}
	what := e.Kind.String()
	if e.Group != "" {
		what += " " + e.Group
	}
	id := e.Member.ID.String()
	if a.out.width() > 0 {
		id = id[:8]
	}
	a.out.line(fmt.Sprintf("%s %s %s %s", clock(now), oneLine(e.Member.Name), id, oneLine(what)))
}

// table prints members. On a terminal the ids are short, and a row ends where the terminal does.
func (a *app) table(all []blaze.Member) {
	if a.common.json {
		for _, m := range all {
			a.out.object(listedOf(m))
		}
		return
	}
	if len(all) == 0 {
		return
	}
	width := a.out.width()
	short := shortIDs(all)
	rows := [][]string{{"NAME", "ID", "INC", "ADDRESS", "SINCE", "GROUPS"}}
	for i, m := range all {
		id := m.ID.String()
		if width > 0 {
			id = short[i]
		}
		rows = append(rows, []string{oneLine(m.Name), id, fmt.Sprint(m.Incarnation), m.Addr.String(), since(m.Started, time.Now()), oneLine(strings.Join(m.Groups, " "))})
	}
	for _, line := range columns(rows, width) {
		a.out.line(line)
	}
}

// since is the time of day, or the day where that is another one.
func since(t, now time.Time) string {
	t = t.Local()
	if t.Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return t.Format("2006-01-02 15:04")
}
