package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// lossRow is one object of loss: all losses of one stream at one member that have one reason.
type lossRow struct {
	Member   string `json:"member"` // who lost it
	Name     string `json:"name"`
	From     string `json:"from"` // the sender
	FromName string `json:"from_name"`
	Stream   uint32 `json:"stream"`
	Reason   string `json:"reason"`
	Reports  int    `json:"reports"`
	Messages uint64 `json:"messages"`
	First    string `json:"first"`
	Last     string `json:"last"`

	first, last time.Time
}

func (a *app) loss() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "loss [PID|MEMBER]",
		Short: "Show what channels have lost: of whom, why, how much, and when",
		Long: `Prints a row for each stream of which something was lost, and each reason: how
many messages, and the first and the last time. It knows the last 256 reports
of each engine. Nothing is printed where nothing was lost.

` + inspectHelp,
		Example: "  BLAZE_INSPECT=local blaze sub --timeout 2s prices.acme &\n  sleep 1; blaze loss",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []lossRow
			if err := a.inspections(cmd, &o, args, func(v *blaze.Inspection, _ []byte, _ time.Duration) { all = append(all, lossesOf(v)...) }); err != nil {
				return err
			}
			a.losses(all)
			return nil
		},
	}
	o.register(cmd)
	return cmd
}

// lossesOf sums up one channel's losses.
func lossesOf(v *blaze.Inspection) (all []lossRow) {
	at := map[lossRow]int{}
	for _, l := range v.Losses {
		key := lossRow{Member: v.Channel.ID.String(), Name: v.Channel.Name, From: l.From.Member.String(), FromName: l.From.Name, Stream: l.Stream, Reason: l.Reason}
		i, there := at[key]
		if !there {
			i = len(all)
			at[key] = i
			row := key
			row.first, row.last = l.At, l.At
			all = append(all, row)
		}
		r := &all[i]
		r.Reports++
		r.Messages += l.Last - l.First + 1
		if l.At.Before(r.first) {
			r.first = l.At
		}
		if l.At.After(r.last) {
			r.last = l.At
		}
	}
	return all
}

func (a *app) losses(all []lossRow) {
	if a.common.json {
		for _, r := range all {
			r.First, r.Last = stamp(r.first), stamp(r.last)
			a.out.object(r)
		}
		return
	}
	if len(all) == 0 {
		a.remark("nothing was lost")
		return
	}
	rows := [][]string{{"MEMBER", "OF", "STREAM", "MESSAGES", "REPORTS", "FIRST", "LAST", "REASON"}}
	for _, r := range all {
		rows = append(rows, []string{nameOr(r.Name, r.Member), nameOr(r.FromName, r.From), fmt.Sprintf("%#x", r.Stream), fmt.Sprint(r.Messages), fmt.Sprint(r.Reports),
			clock(r.first.Local()), clock(r.last.Local()), r.Reason})
	}
	for _, line := range columns(rows, a.out.width()) {
		a.out.line(line)
	}
}
