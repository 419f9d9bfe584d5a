package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/activeblaze/blaze"
)

// locked is the object that lock prints with --json when it has the lock.
type locked struct {
	Time  string `json:"time"`
	Map   string `json:"map"`
	Key   string `json:"key"`
	Token uint64 `json:"token"` // higher at every grant of this key
}

type lockOptions struct {
	lease time.Duration
	try   bool
}

func (a *app) lock() *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:   "lock MAP KEY [-- COMMAND ARG...]",
		Short: "Hold the lock of a key while a command runs",
		Long: `Waits in line for the lock of a key, holds it while a command runs, and ends
with the command's status. BLAZE_TOKEN in the command's environment is higher at
every grant: what the lock protects is to refuse one that is lower than it has
seen. When the lock is lost, the command gets SIGTERM. Without a command it
holds the lock until Ctrl-C.

It waits for the lock for --timeout, else without end; with --try not at all:
then status 5 says that another has it. Status 1 says that the lock was lost,
and that the command ended well all the same.`,
		Example: "  blaze lock jobs nightly --try -- sh -c 'echo nightly run, token $BLAZE_TOKEN'",
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				if at != 2 || len(args) == 2 {
					return usagef("blaze lock: want MAP KEY -- COMMAND; blaze lock --help has more")
				}
				return nil
			}
			return needArgs(2, false, "MAP", "KEY")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.holdLock(cmd, &o, args[0], args[1], args[2:]) },
	}
	f := cmd.Flags()
	f.DurationVar(&o.lease, "lease", 0, "the lock is free `D` after this process stands still, 1ms to 24h; default 10s")
	f.BoolVar(&o.try, "try", false, "do not wait in line")
	cmd.ValidArgsFunction = a.completeMaps
	return cmd
}

// observer is a started ClusterChannel that is in the cluster's ring and never votes; it has the state.
func (a *app) observer(cmd *cobra.Command) (*blaze.ClusterChannel, error) {
	cfg, err := a.channelConfig(cmd)
	if err != nil {
		return nil, err
	}
	cfg.Observer, cfg.ExpectedMembers, cfg.DataDir = true, 0, ""
	c, err := blaze.NewClusterChannel("", cfg)
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		_ = c.Shutdown()
		return nil, err
	}
	within, cancel := a.within(cmd.Context(), cmd, patience)
	defer cancel()
	if err := c.WaitReady(within); err != nil {
		s := c.Status()
		_ = c.Shutdown()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, failf(statusNobody, "%s has no primary component, and time is up: %s", where(c.Channel), s.Why)
		}
		return nil, err
	}
	return c, nil
}

func (a *app) holdLock(cmd *cobra.Command, o *lockOptions, name, key string, command []string) error {
	if err := termOption(cmd, "lease", o.lease); err != nil {
		return err
	}
	c, err := a.observer(cmd)
	if err != nil {
		return err
	}
	defer c.Shutdown()
	if o.lease == 0 {
		o.lease = c.Config().LockLease
	}
	l, err := a.getLock(cmd, c, o, name, key)
	if err != nil {
		return err
	}
	if a.common.json {
		a.out.object(locked{stamp(time.Now()), name, key, l.Token()})
	} else {
		a.remark("locked, token %d", l.Token())
	}
	ctx, stop := context.WithCancel(cmd.Context())
	extended := make(chan struct{})
	go func() {
		defer close(extended)
		extend(ctx, l, o.lease)
	}()
	err = a.underLock(cmd, l, command)
	stop()
	<-extended
	lost := !l.Held()
	if !lost {
		within, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if gone := l.Unlock(within); gone != nil && err == nil {
			err = gone
		}
	}
	if stopped := c.Stop(); err == nil {
		err = stopped
	}
	switch {
	case lost && (err == nil || errors.Is(err, errLockLost)):
		return failf(statusFailed, "the lock of %q was lost", abridged(key))
	case err == nil:
		return cmd.Context().Err()
	}
	return err
}

var errLockLost = errors.New("the lock was lost")

func (a *app) getLock(cmd *cobra.Command, c *blaze.ClusterChannel, o *lockOptions, name, key string) (*blaze.Lock, error) {
	m := c.Map(name)
	if o.try {
		within, cancel := a.within(cmd.Context(), cmd, patience)
		defer cancel()
		return m.TryLock(within, key, blaze.Lease(o.lease))
	}
	within, cancel := a.within(cmd.Context(), cmd, 0)
	defer cancel()
	l, err := m.Lock(within, key, blaze.Lease(o.lease))
	if errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil {
		return nil, failf(statusTime, "another holds the lock of %q, and time is up", abridged(key)) // the wait is given up, whatever became of it
	}
	return l, err
}

// extend keeps a lock until ctx ends or the lock is lost.
func extend(ctx context.Context, l *blaze.Lock, lease time.Duration) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.Lost():
			return
		case <-time.After(lease / 3):
			within, cancel := context.WithTimeout(ctx, lease)
			_ = l.Extend(within, lease) // what does not come through is tried again, until the lease is over
			cancel()
		}
	}
}

// underLock runs the command, or waits, until it ends or the lock is lost.
func (a *app) underLock(cmd *cobra.Command, l *blaze.Lock, command []string) error {
	ctx := cmd.Context()
	if len(command) == 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Lost():
			return errLockLost
		}
	}
	run := exec.Command(command[0], command[1:]...)
	run.Stdin, run.Stdout, run.Stderr = a.stdin, a.out, a.stderr
	run.Env = append(os.Environ(), fmt.Sprint("BLAZE_TOKEN=", l.Token()))
	if err := run.Start(); err != nil {
		return failf(statusFailed, "%q: %w", abridged(command[0]), err)
	}
	done := make(chan struct{})
	go func() {
		select {
		case <-l.Lost():
			a.remark("the lock was lost: the command gets SIGTERM")
			terminate(run.Process)
		case <-ctx.Done():
			terminate(run.Process)
		case <-done:
		}
	}()
	err := run.Wait()
	close(done)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.ExitCode()
		if status < 0 {
			status = 128 + signalOf(exit)
		}
		return failf(status, "%q: %w", abridged(command[0]), err)
	}
	return err
}
