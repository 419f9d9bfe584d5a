package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// groupChannel is a GroupChannel of a command. Whoever has it starts it, and shuts it down.
func (a *app) groupChannel(cmd *cobra.Command) (*blaze.GroupChannel, error) {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil, err
	}
	return blaze.NewGroupChannel("", cfg)
}

// others are the members but this one, of group where that is not empty: by name, then by age.
func others(g *blaze.GroupChannel, group string) []blaze.Member {
	var all []blaze.Member
	if group == "" {
		all = g.Members()
	} else {
		all = g.MembersOf(group)
	}
	self := g.ID()
	all = slices.DeleteFunc(all, func(m blaze.Member) bool { return m.ID == self })
	slices.SortFunc(all, func(x, y blaze.Member) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return x.Started.Compare(y.Started)
	})
	return all
}

// A member that starts asks who is there four times, within 40 ms. So a list that stood still for longer is
// complete, as far as asking makes it.
const (
	settled    = 60 * time.Millisecond
	settleMost = 250 * time.Millisecond
)

// settle waits until the list of members is complete.
func settle(ctx context.Context, g *blaze.GroupChannel) error {
	begin := time.Now()
	known, since := -1, begin
	for now := begin; now.Sub(since) < settled && now.Sub(begin) < settleMost; now = time.Now() {
		n := 0
		for _, m := range g.Members() {
			n += 1 + len(m.Groups)
			if m.Name != "" { // a long name comes after its member
				n++
			}
		}
		if n != known {
			known, since = n, now
		}
		if err := sleep(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// member finds the member that word means, and waits for it: a name, an id, or the beginning of one of them that no
// other member has.
func (a *app) member(ctx context.Context, cmd *cobra.Command, g *blaze.GroupChannel, word string) (blaze.Member, error) {
	if word == "" {
		return blaze.Member{}, usagef("%s: MEMBER is empty: want a name, an id, or the beginning of one", cmd.CommandPath())
	}
	within, cancel := a.within(ctx, cmd, patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	defer g.OnMember(func(blaze.MemberEvent) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	err := settle(within, g)
	for err == nil {
		m, found, wrong := find(others(g, ""), word)
		if found || wrong != nil {
			return m, wrong
		}
		select {
		case <-changed:
		case <-within.Done():
			err = within.Err()
		}
	}
	if ctx.Err() != nil {
		return blaze.Member{}, ctx.Err()
	}
	return blaze.Member{}, failf(statusNobody, "no member %q in %s; %s", abridged(word), where(g.Channel), who(others(g, "")))
}

// find is the member that word means. More than one is an error that lists them.
func find(all []blaze.Member, word string) (blaze.Member, bool, error) {
	plainWord := strings.ToLower(strings.ReplaceAll(word, "-", ""))
	for _, means := range []func(blaze.Member) bool{
		func(m blaze.Member) bool { return m.Name == word },
		func(m blaze.Member) bool { return strings.ReplaceAll(m.ID.String(), "-", "") == plainWord },
		func(m blaze.Member) bool {
			return strings.HasPrefix(m.Name, word) || plainWord != "" && strings.HasPrefix(strings.ReplaceAll(m.ID.String(), "-", ""), plainWord)
		},
	} {
		meant := slices.DeleteFunc(slices.Clone(all), func(m blaze.Member) bool { return !means(m) })
		switch len(meant) {
		case 0:
		case 1:
			return meant[0], true, nil
		default:
			return blaze.Member{}, false, usagef("%q may be any of %s: say more, or the id", abridged(word), names(meant))
		}
	}
	return blaze.Member{}, false, nil
}

// who says who is there, for errors.
func who(all []blaze.Member) string {
	if len(all) == 0 {
		return "nobody else is there"
	}
	if len(all) == 1 {
		return names(all) + " is there"
	}
	return names(all) + " are there"
}

// names lists members with their ids, the first of many.
func names(all []blaze.Member) string {
	const most = 8
	var parts []string
	short := shortIDs(all)
	for i, m := range all {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(all)-most))
			break
		}
		parts = append(parts, m.Name+" ("+short[i]+")")
	}
	return strings.Join(parts, ", ")
}

// shortIDs are the beginnings of ids that tell all apart, of 8 digits where that is enough.
func shortIDs(all []blaze.Member) []string {
	ids := make([]string, len(all))
	for i, m := range all {
		ids[i] = m.ID.String()
	}
	n := 8
	for taken := map[string]bool{}; n < 35; n++ {
		clear(taken)
		for _, id := range ids {
			taken[id[:n]] = true
		}
		if len(taken) == len(ids) {
			break
		}
	}
	for i := range ids {
		ids[i] = ids[i][:n]
	}
	return ids
}

// sender is the name of a member for people, or else its id.
func sender(name string, id blaze.MemberID) string {
	if name == "" {
		return id.String()[:8]
	}
	return name
}

// until waits until enough is closed or ctx ends: by --timeout, which is a status of its own, or by a signal.
func (a *app) until(ctx context.Context, cmd *cobra.Command, enough <-chan struct{}) error {
	within, cancel := a.within(ctx, cmd, 0)
	defer cancel()
	select {
	case <-enough:
		return nil
	case <-within.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errTime
	}
}

// errTime is that --timeout is over.
var errTime = errors.New("time is up")

// timeIsUp is the error of a command that had n messages when --timeout was over, of count or of any number.
func timeIsUp(n, count int) error {
	if count > 0 {
		return failf(statusTime, "%d of %s came, and time is up", n, plural(count, "message"))
	}
	return failf(statusTime, "%s came, and time is up", plural(n, "message"))
}

// needArgs are the Args of a command that takes at least n, or just n where more is false. what names the first that
// is missing.
func needArgs(n int, more bool, what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < n {
			example := strings.TrimSpace(cmd.Example[strings.LastIndexByte(cmd.Example, '\n')+1:])
			return usagef("%s: which %s? For example: %s", cmd.CommandPath(), what[len(args)], example)
		}
		if !more && len(args) > n {
			return usagef("%s: %q is one argument too many; a text with spaces needs quotes", cmd.CommandPath(), abridged(args[n]))
		}
		return nil
	}
}
