package main

import (
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/desk"
)

// entry is the object that map get and map ls print with --json.
type entry struct {
	Map     string  `json:"map"`
	Key     string  `json:"key"`
	Text    *string `json:"text,omitempty"`  // a value that is UTF-8
	Bytes   []byte  `json:"bytes,omitempty"` // another one, in base64
	Version uint64  `json:"version"`
	Owner   string  `json:"owner,omitempty"`   // MemberID of the member that it goes with
	Expires string  `json:"expires,omitempty"` // about when
}

// written is the object that map put, cas and delete print with --json.
type written struct {
	Map     string `json:"map"`
	Key     string `json:"key"`
	Version uint64 `json:"version,omitempty"` // of the entry; none after delete
	TookNS  int64  `json:"took_ns"`           // until the cluster had it
}

// mapChange is the object that map watch prints with --json.
type mapChange struct {
	Time  string `json:"time"`
	Event string `json:"event"` // "present", "put", "deleted", "expired", "owner gone" or "reset"
	By    string `json:"by,omitempty"`
	Old   uint64 `json:"old_version,omitempty"`
	entry
}

func entryOf(name string, e *desk.Entry) entry {
	out := entry{Map: name, Key: e.Key, Version: e.Version, Owner: e.Owner}
	if utf8.Valid(e.Value) {
		text := string(e.Value)
		out.Text = &text
	} else {
		out.Bytes = e.Value
	}
	if !e.Expires.IsZero() {
		out.Expires = stamp(e.Expires)
	}
	return out
}

func (a *app) mapCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "map",
		Short: "Read and write maps that a cluster shares",
		Long: `Reads and writes the maps of a cluster. The members of the cluster are programs
with a ClusterChannel; one of them does the call.`,
		Example: "  blaze map put prices acme 101.25\n  blaze map get prices acme",
		Args:    isCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("blaze map: want get, put, cas, delete, ls or watch; blaze map --help has more")
		},
	}
	cmd.AddCommand(a.mapGet(), a.mapPut(), a.mapCAS(), a.mapDelete(), a.mapList(), a.mapWatch())
	for _, c := range cmd.Commands() {
		c.ValidArgsFunction = a.completeMaps
	}
	return cmd
}

func (a *app) mapGet() *cobra.Command {
	var linear, version bool
	cmd := &cobra.Command{
		Use:   "get MAP KEY",
		Short: "Print the value of a key",
		Long: `Prints the value of a key as the asked member has it; with --linear it is the
newest one of the whole cluster. With status 1 there is none.`,
		Example: "  blaze map get prices acme\n  blaze map get prices acme --linear --json",
		Args:    needArgs(2, false, "MAP", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			reply, _, err := a.desk(cmd, &desk.Request{Do: desk.DoGet, Map: args[0], Key: args[1], Linear: linear})
			switch {
			case err != nil:
				return err
			case !reply.Found:
				return failf(statusFailed, "map %q has no key %q", abridged(args[0]), abridged(args[1]))
			case a.common.json:
				a.out.object(entryOf(args[0], &reply.Entry))
			case version:
				a.out.line(strconv.FormatUint(reply.Entry.Version, 10))
			default:
				a.out.line(a.out.text(string(reply.Entry.Value)))
			}
			if !linear && !reply.Primary {
				a.remark("the asked member is outside of the primary component: this may be old")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&linear, "linear", false, "the newest value of the whole cluster")
	cmd.Flags().BoolVar(&version, "version", false, "print the entry's version instead, for cas")
	return cmd
}

// desk has one request done, and returns how long that took.
func (a *app) desk(cmd *cobra.Command, r *desk.Request) (*desk.Reply, time.Duration, error) {
	c, err := a.clusterClient(cmd)
	if err != nil {
		return nil, 0, err
	}
	defer c.close()
	begin := time.Now()
	reply, err := c.do(r)
	return reply, time.Since(begin), err
}

// value is a value from the command line; "-" is standard input, all of it.
func (a *app) value(arg string) ([]byte, error) {
	if arg != "-" {
		return []byte(arg), nil
	}
	b, err := io.ReadAll(io.LimitReader(a.stdin, maxValue+1))
	if err == nil && len(b) > maxValue {
		err = fmt.Errorf("%w: more than %d bytes", blaze.ErrTooLarge, maxValue)
	}
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return b, nil
}

// maxValue is more than a value can have.
const maxValue = 16 << 20

func (a *app) mapPut() *cobra.Command {
	var ttl time.Duration
	var owned bool
	cmd := &cobra.Command{
		Use:   "put MAP KEY VALUE | put MAP KEY -",
		Short: "Give a key a value",
		Long: `Gives a key a value, which is all of standard input for "-", and prints the
entry's version. It ends when the cluster has it.

With --remove-on-exit this command enters the cluster's ring, and stays until
Ctrl-C: then the entry goes.`,
		Example: "  blaze map put prices acme 101.25 --ttl 1h\n  date | blaze map put status started -",
		Args:    needArgs(3, false, "MAP", "KEY", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := termOption(cmd, "ttl", ttl); err != nil {
				return err
			}
			value, err := a.value(args[2])
			if err != nil {
				return err
			}
			if owned {
				return a.putOwned(cmd, args[0], args[1], value, ttl)
			}
			return a.write(cmd, &desk.Request{Do: desk.DoPut, Map: args[0], Key: args[1], Value: value, TTL: ttl})
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "the entry goes after `D`, 1ms to 24h")
	cmd.Flags().BoolVar(&owned, "remove-on-exit", false, "the entry goes when this command ends, however it ends")
	return cmd
}

// termOption judges a time of an option that may be left out.
func termOption(cmd *cobra.Command, name string, d time.Duration) error {
	if cmd.Flags().Changed(name) && (d < time.Millisecond || d > 24*time.Hour) {
		return usagef("--%s %v: want 1ms to 24h", name, d)
	}
	return nil
}

func (a *app) write(cmd *cobra.Command, r *desk.Request) error {
	reply, took, err := a.desk(cmd, r)
	if err != nil {
		return err
	}
	a.wrote(r.Map, r.Key, reply.Version, took)
	return nil
}

// wrote prints a write that has ended well.
func (a *app) wrote(name, key string, version uint64, took time.Duration) {
	switch {
	case a.common.json:
		a.out.object(written{name, key, version, int64(took)})
	case version != 0:
		a.out.line(strconv.FormatUint(version, 10))
	}
}

// putOwned writes as a member of the ring, and stays.
func (a *app) putOwned(cmd *cobra.Command, name, key string, value []byte, ttl time.Duration) error {
	c, err := a.observer(cmd)
	if err != nil {
		return err
	}
	defer c.Shutdown()
	opts := []blaze.PutOption{blaze.RemoveOnExit()}
	if ttl > 0 {
		opts = append(opts, blaze.TTL(ttl))
	}
	within, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	begin := time.Now()
	version, err := c.Map(name).Put(within, key, value, opts...)
	if err != nil {
		return err
	}
	a.wrote(name, key, version, time.Since(begin))
	a.remark("the entry stays until Ctrl-C")
	<-cmd.Context().Done()
	if err := c.Stop(); err != nil {
		return err
	}
	return cmd.Context().Err()
}

func (a *app) mapCAS() *cobra.Command {
	var version uint64
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "cas MAP KEY VALUE --version V",
		Short: "Give a key a value if nobody has changed it",
		Long: `Gives a key a value if its entry still has the version that was read; 0: if
there is none. It prints the new version. With status 5 the entry has another
one.`,
		Example: "  v=$(blaze map get prices acme --version)\n  blaze map cas prices acme 102 --version $v",
		Args:    needArgs(3, false, "MAP", "KEY", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("version") {
				return usagef("blaze map cas: --version is missing: the version that was read, or 0")
			}
			if err := termOption(cmd, "ttl", ttl); err != nil {
				return err
			}
			value, err := a.value(args[2])
			if err != nil {
				return err
			}
			return a.write(cmd, &desk.Request{Do: desk.DoCAS, Map: args[0], Key: args[1], Value: value, Version: version, TTL: ttl})
		},
	}
	cmd.Flags().Uint64Var(&version, "version", 0, "the entry's version `V` now; 0: there is none")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "the entry goes after `D`, 1ms to 24h")
	return cmd
}

func (a *app) mapDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete MAP KEY",
		Short:   "Remove a key",
		Long:    "Removes a key. That there is none is no error. With status 5 it is locked.",
		Example: "  blaze map delete prices old",
		Args:    needArgs(2, false, "MAP", "KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.write(cmd, &desk.Request{Do: desk.DoDelete, Map: args[0], Key: args[1]})
		},
	}
}

func (a *app) mapList() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "ls MAP",
		Short: "List the keys of a map",
		Long: `Prints the keys of a map in order, as the asked member has them: the key alone;
with --json values and versions too. What changes meanwhile may or may not be
seen.`,
		Example: "  blaze map ls prices --prefix ac",
		Args:    needArgs(1, false, "MAP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clusterClient(cmd)
			if err != nil {
				return err
			}
			defer c.close()
			for r := (&desk.Request{Do: desk.DoList, Map: args[0], Prefix: prefix}); ; {
				reply, err := c.do(r)
				if err != nil {
					return err
				}
				for i := range reply.Entries {
					if e := &reply.Entries[i]; a.common.json {
						a.out.object(entryOf(args[0], e))
					} else {
						a.out.line(a.out.text(e.Key))
					}
				}
				if r.Session = reply.Session; r.Session == 0 {
					return nil
				}
			}
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with `TEXT`")
	return cmd
}

func (a *app) mapWatch() *cobra.Command {
	var prefix string
	var count int
	cmd := &cobra.Command{
		Use:   "watch MAP",
		Short: "Print what is in a map, and then its changes",
		Long: `Prints the keys of a map, and then every change, until --count, --timeout or
Ctrl-C. After "reset" what was printed before no longer counts.`,
		Example: "  blaze map watch prices --prefix ac --count 1",
		Args:    needArgs(1, false, "MAP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usagef("--count %d: want 0 (no end) or more", count)
			}
			return a.watchMap(cmd, args[0], prefix, count)
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with `TEXT`")
	cmd.Flags().IntVar(&count, "count", 0, "end after `N` lines")
	return cmd
}

func (a *app) watchMap(cmd *cobra.Command, name, prefix string, count int) error {
	c, err := a.clusterClient(cmd)
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	r := &desk.Request{Do: desk.DoWatch, Map: name, Prefix: prefix}
	for printed, begun := 0, false; ; {
		reply, err := c.doWithin(ctx, r)
		if lost := err != nil && r.Session != 0 && (reply == nil || reply.Error == desk.Gone || reply.Error == desk.Stopped); lost && ctx.Err() == nil {
			r.Session, c.at = 0, blaze.Member{} // elsewhere, from the beginning
			continue
		}
		if ctx.Err() != nil && cmd.Context().Err() == nil {
			return failf(statusTime, "time is up")
		}
		if err != nil {
			return err
		}
		if r.Session == 0 && begun {
			a.change(name, &desk.Event{Kind: blaze.MapReset.String()})
		}
		begun, r.Session = true, reply.Session
		for i := range reply.Events {
			a.change(name, &reply.Events[i])
			if printed++; printed == count {
				_, _ = c.ask(ctx, c.at.ID, &desk.Request{Do: desk.DoEnd, Session: r.Session})
				return nil
			}
		}
	}
}

// change prints a change of a map.
func (a *app) change(name string, e *desk.Event) {
	now := time.Now()
	if a.common.json {
		a.out.object(mapChange{stamp(now), e.Kind, e.By, e.Old, entryOf(name, &e.Entry)})
		return
	}
	line := fmt.Sprintf("%s %s", clock(now), e.Kind)
	if e.Entry.Key != "" {
		line += " " + oneLine(e.Entry.Key)
	}
	if e.Entry.Version != 0 {
		line += " = " + oneLine(string(e.Entry.Value))
	}
	a.out.line(line)
}
