// Command blaze is the operator's and the script's tool.
//
//	blaze pub TOPIC [TEXT... | -]        one message for each argument or line
//	blaze sub TOPIC...                   prints what is received, and losses in their place
//	blaze members                        who is here; --watch: who comes and goes
//	blaze send MEMBER [TEXT... | -]      to an in-box of one member
//	blaze inbox [NAME]                   handles an in-box and prints; --reply answers requests
//	blaze queue put QUEUE [TEXT... | -]  returns when it was handled
//	blaze queue take QUEUE               handles: prints, or runs a command
//	blaze request MEMBER TEXT            prints the reply and the round trip; --queue
//	blaze map, lock, cluster             what a cluster shares
//	blaze jms                            queues that keep their messages: hold, status, queues, put, take and more
//	blaze chat                           join, say, hear
//	blaze completion SHELL               for bash, zsh, fish and powershell
//
// `blaze COMMAND --help` has options and an example. docs/commands.md has the fields of --json and the exit
// statuses. main.go runs a command and returns its status; root.go has the command line, common.go the options that all
// commands have, output.go what is printed, exit.go the statuses; each command has a file.
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
