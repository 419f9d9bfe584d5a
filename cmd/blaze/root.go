package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one run of the tool.
type app struct {
	args   []string
	stdin  io.Reader
	stderr io.Writer
	out    *output
	end    context.CancelCauseFunc
	common common
}

const overview = `blaze is a member of a Blaze channel for operators and scripts: it publishes,
subscribes, lists members, sends to one of them, answers, works on queues, holds
queues that keep their messages, and reads and writes what a cluster shares.
Without --uri it stays on this host, on loopback.`

func (a *app) execute(ctx context.Context) error {
	root := a.root()
	root.SetArgs(a.args)
	root.SetIn(a.stdin)
	root.SetOut(a.out)
	root.SetErr(a.stderr)
	return root.ExecuteContext(ctx)
}

// root is the command line: its commands, common options, help and mistakes.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "blaze",
		Short:         "A member of a Blaze channel for operators and scripts",
		Long:          overview,
		Example:       "  blaze sub --count 1 prices.acme &\n  blaze pub prices.acme 101.25",
		SilenceErrors: true, // main prints them, once
		SilenceUsage:  true,
		Args:          isCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.common.register(root)
	queue, maps, cluster, held := a.queue(), a.mapCommand(), a.clusterCommand(), a.jmsCommand()
	root.AddCommand(
		a.pub(),
		a.sub(),
		a.members(),
		a.sendTo(),
		a.inbox(),
		queue,
		a.request(),
		maps,
		a.lock(),
		cluster,
		a.inspect(),
		a.loss(),
		held,
		a.chat(),
		a.completion(),
	)
	below := slices.Concat(root.Commands(), queue.Commands(), maps.Commands(), cluster.Commands(), held.Commands())
	for _, cmd := range held.Commands() {
		below = append(below, cmd.Commands()...)
	}
	for _, cmd := range below {
		cmd.DisableFlagsInUseLine = true // help has them
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "help", Hidden: true, RunE: func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		if err == nil {
			err = isCommand(cmd, rest)
		}
		if err != nil {
			return err
		}
		return cmd.Help()
	}})
	root.SetHelpFunc(a.help)
	root.SetFlagErrorFunc(a.flagError)
	return root
}

// isCommand are the Args of a command that has commands below it: what is left over is none of them.
func isCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef("%s: unknown command %q%s", cmd.CommandPath(), abridged(args[0]), guess(args[0], names, cmd.CommandPath()+" --help lists them"))
}

// flagError is the error for an option that cmd does not have, or whose value is none.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() { // a mistyped command with options is a mistyped command
		path := len(strings.Fields(cmd.CommandPath())) - 1
		for _, arg := range a.args {
			if strings.HasPrefix(arg, "-") {
				break
			}
			if path--; path < 0 {
				return isCommand(cmd, []string{arg})
			}
		}
	}
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &unknown):
		name, names := "--"+unknown.GetSpecifiedName(), []string(nil)
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name = "-" + unknown.GetSpecifiedName()
		} else {
			cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		}
		return usagef("%s: unknown option %s%s", cmd.CommandPath(), name, guess(name, names, cmd.CommandPath()+" --help lists them"))
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		return usagef("%s: --%s %q: want %s", cmd.CommandPath(), f.Name, abridged(invalid.GetValue()), wanted[f.Value.Type()])
	case errors.As(err, &missing):
		f := missing.GetFlag()
		return usagef("%s: --%s lacks its value: want %s", cmd.CommandPath(), f.Name, wanted[f.Value.Type()])
	}
	return usagef("%s: %w", cmd.CommandPath(), err)
}

// wanted is what an option of a type takes.
var wanted = map[string]string{
	"bool": "true or false", "duration": "a time such as 500ms or 1m", "float64": "a number", "int": "a whole number", "uint64": "a whole number, 0 or more", "string": "a text", "stringArray": "a text",
}

// guess is what a mistyped word probably was, as the end of a sentence; otherwise what helps.
func guess(word string, names []string, otherwise string) string {
	best, distance := "", max(1, len(word)/3)+1
	for _, name := range names {
		if d := edits(word, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		return "; " + otherwise
	}
	return ": did you mean " + best + "?"
}

// edits is how many letters must be put in, left out, replaced or swapped to make b of a.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
