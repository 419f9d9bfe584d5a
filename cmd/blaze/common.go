package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// common are the options that all commands have.
type common struct {
	uri, cluster, name, protocol, idle, config, logLevel string
	timeout                                              time.Duration
	quiet, json                                          bool
}

var (
	protocols = []string{"nack", "besteffort", "fec", "hybrid", "totem"}
	idles     = []string{"backoff", "busyspin", "block"}
	levels    = []string{"debug", "info", "warn", "error"}
)

func (c *common) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&c.uri, "uri", "", "driver and address, `URI` (environment BLAZE_URI), for example udp://239.255.66.76:6676?interface=eth0")
	f.StringVar(&c.cluster, "cluster", "", "`NAME` of the cluster (environment BLAZE_CLUSTER)")
	f.StringVar(&c.name, "name", "", "this member's `NAME`, for people and logs")
	f.StringVar(&c.protocol, "protocol", "", "what is sent is sent under `P`: nack, besteffort, fec, hybrid or totem")
	f.StringVar(&c.idle, "idle", "", "without work the engine's thread does `I`: backoff, busyspin or block")
	f.StringVar(&c.config, "config", "", "JSON `FILE` with fields of blaze.Config; an option or the environment goes before it")
	f.StringVar(&c.logLevel, "log-level", "warn", "lines of the log on standard error from `LEVEL` on: debug, info, warn or error")
	f.DurationVar(&c.timeout, "timeout", 0, "wait for others, or go on, for `D` at most: 500ms, 1m")
	f.BoolVar(&c.json, "json", false, "print JSON, one object a line (docs/commands.md)")
	f.BoolVarP(&c.quiet, "quiet", "q", false, "no remarks on standard error; errors remain")
	f.BoolP("help", "h", false, "this page")
	for name, words := range map[string][]string{"protocol": protocols, "idle": idles, "log-level": levels} {
		_ = root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
	for _, name := range []string{"uri", "cluster", "name", "timeout"} {
		_ = root.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// channelConfig is the configuration that the options, the environment and the file ask for.
func (a *app) channelConfig(cmd *cobra.Command) (blaze.Config, error) {
	c := &a.common
	var cfg blaze.Config
	if c.config != "" {
		if err := readConfig(c.config, &cfg); err != nil {
			return cfg, err
		}
	}
	set := func(option, env string, to *string) {
		switch value, there := os.LookupEnv(env); {
		case cmd.Flags().Changed(option):
			*to = cmd.Flag(option).Value.String()
		case env != "" && there && value != "":
			*to = value
		}
	}
	set("uri", "BLAZE_URI", &cfg.BroadcastURI)
	set("cluster", "BLAZE_CLUSTER", &cfg.Cluster)
	set("name", "", &cfg.Name)
	if cfg.Name == "" {
		cfg.Name = defaultName(cmd)
	}
	var err error
	if c.protocol != "" {
		if cfg.Protocol, err = blaze.ParseProtocol(c.protocol); err != nil {
			return cfg, usagef("--protocol %q: want nack, besteffort, fec, hybrid or totem%s", c.protocol, guess(c.protocol, protocols, "see --help"))
		}
	}
	if c.idle != "" {
		if cfg.Idle, err = blaze.ParseIdle(c.idle); err != nil {
			return cfg, usagef("--idle %q: want backoff, busyspin or block%s", c.idle, guess(c.idle, idles, "see --help"))
		}
	}
	var level slog.Level
	if !slices.Contains(levels, c.logLevel) || level.UnmarshalText([]byte(c.logLevel)) != nil {
		return cfg, usagef("--log-level %q: want debug, info, warn or error%s", c.logLevel, guess(c.logLevel, levels, "see --help"))
	}
	if c.timeout < 0 {
		return cfg, usagef("--timeout %v: want more than 0, or 0 for no limit", c.timeout)
	}
	cfg.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	adjust(&cfg)
	if err := cfg.Validate(); err != nil {
		return cfg, &usageError{err}
	}
	return cfg, nil
}

// defaultName is the name of a member that was given none.
func defaultName(cmd *cobra.Command) string {
	return fmt.Sprintf("%s-%d", strings.ReplaceAll(cmd.CommandPath(), " ", "-"), os.Getpid())
}

// adjust is for tests: it changes every configuration.
var adjust = func(*blaze.Config) {}

// channel is a started channel.
func (a *app) channel(cfg blaze.Config) (*blaze.Channel, error) {
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		_ = c.Shutdown()
		return nil, err
	}
	return c, nil
}

// within is ctx with an end after --timeout; after otherwise where that was not given.
func (a *app) within(ctx context.Context, cmd *cobra.Command, otherwise time.Duration) (context.Context, context.CancelFunc) {
	d := otherwise
	if cmd.Flags().Changed("timeout") {
		d = a.common.timeout
	}
	if d == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// remark prints a line for people on standard error, unless --quiet.
func (a *app) remark(format string, args ...any) {
	if !a.common.quiet {
		fmt.Fprintln(a.stderr, "blaze: "+oneLine(fmt.Sprintf(format, args...)))
	}
}

// where says in which cluster a channel is, for remarks and errors.
func where(c *blaze.Channel) string {
	cfg := c.Config()
	return fmt.Sprintf("cluster %q at %s", cfg.Cluster, cfg.BroadcastURI)
}
