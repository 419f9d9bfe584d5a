package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/store"
	"github.com/activeblaze/blaze/wire"
)

// checked is the object that cluster check prints with --json.
type checked struct {
	Time         string   `json:"time"`
	Dir          string   `json:"dir"`
	Seat         string   `json:"seat"`
	Mine         bool     `json:"of_cluster"` // of the cluster that the command line names
	Opened       uint64   `json:"opened"`
	Chain        string   `json:"chain,omitempty"`
	Founded      string   `json:"founded,omitempty"`
	Epoch        uint64   `json:"epoch"`
	Index        uint64   `json:"index"`
	Hash         string   `json:"hash"`
	Committed    uint64   `json:"committed"`
	Rules        uint32   `json:"rules"`
	Voters       []string `json:"voters"` // seats
	Tried        int      `json:"tried"`
	Maps         int      `json:"maps"`
	Entries      int      `json:"entries"`
	Locks        int      `json:"locks"`
	Bytes        int64    `json:"bytes"`
	Snapshot     uint64   `json:"snapshot"`
	SnapshotSize int64    `json:"snapshot_bytes"`
	LogRecords   int      `json:"log_records"`
	LogBytes     int64    `json:"log_bytes"`
	TailRecords  int      `json:"tail_records"`
	FileBytes    int64    `json:"file_bytes"`
}

func (a *app) clusterCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Read a member's Config.DataDir and print what it holds",
		Long: `Reads all of a directory that no member has open, checks every record, counts
the history again, and prints what a member would begin with. It writes
nothing and needs no network. With status 5 the directory is damaged, or its
history does not lead to where it says.`,
		Example: "  blaze cluster check /var/lib/blaze",
		Args:    needArgs(1, false, "DIR"),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.check(cmd, args[0]) },
	}
}

func (a *app) check(cmd *cobra.Command, dir string) error {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return err
	}
	var s *cluster.Status
	r, err := store.Inspect(dir, func(held *cluster.Recovered) (err error) {
		if s, err = cluster.Examine(held); err != nil {
			err = failf(statusCondition, "%s: its history is not sound: %w", dir, err)
		}
		return err
	})
	switch {
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrFormat):
		return failf(statusCondition, "%w", err)
	case err != nil:
		return err
	}
	name := cfg.Cluster
	if name == "" {
		name = "default"
	}
	c := checked{
		Time: stamp(time.Now()), Dir: dir, Seat: blaze.Seat(r.Seat).String(), Mine: r.Cluster == uint64(wire.ClusterHash(name)), Opened: r.Lives,
		Epoch: s.Last.Epoch, Index: s.Index, Hash: fmt.Sprintf("%016x", s.Hash), Committed: s.Committed, Rules: s.Rules, Voters: []string{}, Tried: len(s.Tried),
		Maps: s.Maps, Entries: s.Entries, Locks: s.Locks, Bytes: s.StateBytes,
		Snapshot: r.Base, SnapshotSize: r.SnapshotBytes, LogRecords: r.LogRecords, LogBytes: r.LogBytes, TailRecords: r.TailRecords, FileBytes: r.FileBytes,
	}
	if s.Last.Epoch != 0 {
		c.Founded = stamp(time.UnixMicro(int64(s.Last.Chain.Founded)))
		c.Chain = blaze.ViewID{Sequence: uint64(s.Last.Chain.Ring.Seq), Representative: blaze.MemberID(s.Last.Chain.Ring.Rep)}.String()
	}
	for _, v := range s.Voters {
		c.Voters = append(c.Voters, blaze.Seat(v.Seat).String())
	}
	a.printChecked(&c, name)
	return nil
}

func (a *app) printChecked(c *checked, name string) {
	if a.common.json {
		a.out.object(c)
		return
	}
	line := func(name, format string, args ...any) {
		a.out.line(a.out.fit(fmt.Sprintf("%-9s  %s", name, oneLine(fmt.Sprintf(format, args...)))))
	}
	line("directory", "%s: sound", c.Dir)
	line("seat", "%s, opened %s", c.Seat, plural(int(c.Opened), "time"))
	if c.Mine {
		line("cluster", "%s", name)
	} else {
		line("cluster", "another one than %s", name)
	}
	if c.Epoch == 0 {
		line("history", "none: it was never in a primary component")
	} else {
		line("founded", "%s, ring %s", c.Founded, c.Chain)
		line("epoch", "%d", c.Epoch)
		line("history", "to index %d, hash %s; a quorum had it up to %d at least", c.Index, c.Hash, c.Committed)
		voters := make([]string, len(c.Voters))
		for i, v := range c.Voters {
			if voters[i] = v; v == c.Seat {
				voters[i] += " (this one)"
			}
		}
		line("voters", "%s", strings.Join(voters, ", "))
		if c.Tried > 0 {
			line("tried", "%s of which it is not known whether they came to be", plural(c.Tried, "primary component"))
		}
		line("state", "%s in %s, %s, %s bytes", entries(c.Entries), plural(c.Maps, "map"), plural(c.Locks, "lock"), fmt.Sprint(c.Bytes))
	}
	line("file", "%d bytes: a snapshot of %d, %s of log with %d, %s in the tail", c.FileBytes, c.SnapshotSize, plural(c.LogRecords, "record"), c.LogBytes, plural(c.TailRecords, "record"))
}
