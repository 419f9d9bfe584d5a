package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// help prints the page of a command: on standard output, at most 80 columns wide.
func (a *app) help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n", text)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND [options]\n\nCommands:\n", cmd.CommandPath())
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
			}
		}
	} else {
		fmt.Fprintf(w, "  %s [options]\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExample:\n%s\n", cmd.Example)
	}
	if cmd.HasParent() {
		options(w, "Options", cmd.LocalNonPersistentFlags())
		options(w, "Common options", cmd.InheritedFlags())
	} else {
		options(w, "Options of all commands", cmd.PersistentFlags())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s COMMAND --help has the options of a command and an example.\n", cmd.CommandPath())
	}
	fmt.Fprint(w, "\nExit status:\n", statuses)
}

const statuses = `  0 done               1 failed                  2 wrong usage
  3 nobody is there    4 time is up              5 a condition is not met
  6 messages were lost 7 outcome unknown: it may have happened
  130 interrupted
`

func options(w io.Writer, title string, flags *pflag.FlagSet) {
	if usages := flags.FlagUsagesWrapped(80); strings.TrimSpace(usages) != "" {
		fmt.Fprintf(w, "\n%s:\n%s", title, usages)
	}
}
