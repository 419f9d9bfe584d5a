// Command blaze is the operator's and the script's tool: it sends and receives on a channel's topics.
//
//	blaze pub TOPIC [TEXT... | -]   one message for each argument or line
//	blaze sub TOPIC...              prints what is received, and losses in their place
//	blaze completion SHELL          completion for bash, zsh, fish and powershell
//
// `blaze COMMAND --help` has options and an example. docs/commands.md has the fields of --json and the exit
// statuses.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main, for tests. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, interrupt := context.WithCancelCause(context.Background())
	defer interrupt(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			interrupt(errInterrupted)
			signal.Stop(signals) // a second one ends the process at once
		case <-ctx.Done():
		}
	}()
	// With a handler, writing to a closed pipe is an error. Without one it would end the process, and the
	// other members would see this one fail.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)

	a := &app{args: args, stdin: stdin, stderr: stderr, end: interrupt}
	a.out = newOutput(stdout, interrupt)
	err := a.execute(ctx)
	if flushed := a.out.close(); err == nil {
		err = flushed
	}
	if cause := context.Cause(ctx); cause != nil && statusOf(err) != statusUsage && statusOf(err) != statusLost {
		err = cause // an interrupt, or standard output that failed: what followed from it matters less
	}
	status := statusOf(err)
	if text := messageOf(err); text != "" {
		fmt.Fprintln(stderr, text)
	}
	return status
}
