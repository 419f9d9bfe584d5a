package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/desk"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script of bash, zsh, fish or powershell",
		Long: `Prints a script that lets a shell complete commands, options and, by asking the
running group for at most 300 ms, topics that are in use.

  bash        source <(blaze completion bash)    in ~/.bashrc
  zsh         source <(blaze completion zsh)     in ~/.zshrc, after compinit
  fish        blaze completion fish | source     in config.fish
  powershell  blaze completion powershell | Out-String | Invoke-Expression`,
		Example:   "  blaze completion bash > blaze.bash",
		ValidArgs: shells,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 1:
				return usagef("blaze completion: which SHELL? Want bash, zsh, fish or powershell")
			case !slices.Contains(shells, args[0]):
				return usagef("unknown shell %q: want bash, zsh, fish or powershell", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			default:
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
		},
	}
}

// completionTime is how long the running group is asked while somebody waits for a completion.
const completionTime = 300 * time.Millisecond

type completer = func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeTopics completes the first n arguments, or all, with the topics that are seen in completionTime.
func (a *app) completeTopics(n int) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if n >= 0 && len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.topicsSeen(cmd), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMembers completes the first argument with the names of members.
func (a *app) completeMembers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []cobra.Completion
	if len(args) == 0 && !cmd.Flags().Changed("queue") {
		for _, m := range a.membersSeen(cmd) {
			all = append(all, cobra.CompletionWithDesc(m.Name, m.ID.String()[:8]+" at "+m.Addr.String()))
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// completeGroups completes the names of groups.
func (a *app) completeGroups(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	groups := map[string]bool{}
	for _, m := range a.membersSeen(cmd) {
		for _, group := range m.Groups {
			groups[group] = true
		}
	}
	return slices.Sorted(maps.Keys(groups)), cobra.ShellCompDirectiveNoFileComp
}

// completeQueues completes the first argument, or an option, with the queues that are consumed from.
func (a *app) completeQueues(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	g, err := a.quietGroup(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer g.Shutdown()
	if settle(cmd.Context(), g) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.Queues(), cobra.ShellCompDirectiveNoFileComp
}

// completeMaps completes the first argument with the maps that have entries.
func (a *app) completeMaps(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	g, err := a.quietGroup(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c := &client{a: a, cmd: cmd, g: g}
	defer c.close()
	within, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	if settle(within, g) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	at, _, found := c.survey(within)
	if !found {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	reply, err := c.ask(within, at.ID, &desk.Request{Do: desk.DoMaps})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return reply.Names, cobra.ShellCompDirectiveNoFileComp
}

// membersSeen are the members that are there. It takes less than completionTime.
func (a *app) membersSeen(cmd *cobra.Command) []blaze.Member {
	g, err := a.quietGroup(cmd)
	if err != nil {
		return nil
	}
	defer g.Shutdown()
	if settle(cmd.Context(), g) != nil {
		return nil
	}
	return others(g, "")
}

// quiet is the logger of what must not write into a line that somebody is typing.
var quiet = slog.New(slog.DiscardHandler)

// quietGroup is a started GroupChannel that logs nothing.
func (a *app) quietGroup(cmd *cobra.Command) (*blaze.GroupChannel, error) {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil, err
	}
	cfg.Logger = quiet
	g, err := blaze.NewGroupChannel("", cfg)
	if err != nil {
		return nil, err
	}
	if err := g.Start(); err != nil {
		_ = g.Shutdown()
		return nil, err
	}
	return g, nil
}

func (a *app) topicsSeen(cmd *cobra.Command) []string {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil
	}
	cfg.Logger = quiet
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		return nil
	}
	defer c.Shutdown()
	var mu sync.Mutex
	seen := map[string]bool{}
	if _, err := c.SubscribePayload(">", func(d *blaze.Delivery) {
		mu.Lock()
		defer mu.Unlock()
		if len(seen) < 1000 {
			seen[d.Topic] = true
		}
	}); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	if c.Start() != nil {
		return nil
	}
	<-ctx.Done()
	mu.Lock()
	defer mu.Unlock()
	return slices.Sorted(maps.Keys(seen))
}
