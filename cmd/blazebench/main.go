// Command blazebench measures reliable multicast between real processes: round trip,
// throughput, and repair under loss, beside bare sockets on the same host.
//
//	blazebench                 a tour of all of them on loopback, in less than a minute
//	blazebench latency         round trips; with --rate open loop, counted from the scheduled time
//	blazebench throughput      one way, as fast as flow control allows, or at --rate
//	blazebench loss            throughput while every member loses datagrams; --protocol fec or hybrid
//	blazebench loss --sweep    latency and cost of repair over many losses, as a table and a plot
//	blazebench order           total order: every member of a ring sends, all receive the same
//	blazebench group           a group: requests, sends, queues, and how soon a failure is reported
//	blazebench cluster         members that share maps: puts, reads, locks, fail-over, a member that joins
//	blazebench jms             a queue that is held: producers, consumers, transactions, fail-over; topics
//	blazebench scale           what a message costs against the number of topics, lanes, senders and the like
//	blazebench raw             the yardstick: bare sockets, without the library
//	blazebench compare         sockets and AF_XDP, bare and with the protocol, in turn on one rig (root)
//	blazebench compare --with before=PATH  this program and another blazebench, in turn: nothing may be worse
//	blazebench compare --with sockperf     round trips beside other systems' programs, in turn on one rig
//	blazebench figures         all figures of bench/RESULTS.md, and whether each bar is reached
//	blazebench check           the same bars in three short rounds with twice the slack, for CI
//	blazebench doctor          what this host offers to AF_XDP, what auto:// would take, and what to change
//	blazebench dump FILE       the datagrams of a capture (pcap or pcapng: tcpdump, ?tap=FILE of an xdp:// URI) in words
//	blazebench version         what this program is built of
//
// It needs no privileges, except where the list has (root). `blazebench <command> -h` lists the options of a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/activeblaze/blaze/bench/workload"
	_ "github.com/activeblaze/blaze/xdp/asavie" // for socket=asavie
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1 // the run failed, or what had to hold did not
	exitUsage       = 2
	exitInterrupted = 130 // as a shell reports SIGINT
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main, for tests. receiverArgs starts a receiver.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == receiverArg {
		if workload.Serve(stdin, stdout) != nil {
			return exitFailed // the sender has the reason
		}
		return exitOK
	}
	if len(args) == 1 && args[0] == workload.HolderArg {
		if err := workload.Hold(stdin, stdout); err != nil {
			fmt.Fprintf(stderr, "blazebench: a holder: %v\n", err)
			return exitFailed
		}
		return exitOK
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	err := dispatch(ctx, args, stdout, stderr)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "blazebench: interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "blazebench: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "blazebench: %v\n", err)
	return exitFailed
}

// dispatch runs the command that args name.
func dispatch(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	out := &output{stdout: stdout, stderr: stderr}
	name := "tour"
	if len(args) > 0 && (args[0] == "" || args[0][0] != '-') {
		name, args = args[0], args[1:]
	}
	switch name {
	case "tour":
		return tour(ctx, args, out)
	case "latency", "throughput", "loss", "order", "group", "cluster", "jms", "raw":
		return one(ctx, append([]string{name}, args...), out)
	case "figures", "check":
		return takeFigures(ctx, name == "check", args, out)
	case "scale":
		return scaleCommand(ctx, args, out)
	case "compare":
		return compare(ctx, args, out)
	case "doctor":
		return examine(args, out)
	case "dump":
		return dumpFile(args, out)
	case "version":
		return printVersion(args, out)
	case "help":
		if len(args) > 0 && args[0] != "help" {
			return dispatch(ctx, append(args[:1:1], "-h"), stdout, stderr)
		}
		fmt.Fprint(stdout, overview)
		return nil
	}
	if guess := closest(name, commands); guess != "" {
		return usagef("unknown command %q: did you mean %s?", name, guess)
	}
	return usagef("unknown command %q: want %s, or none for the tour", name, strings.Join(commands, ", "))
}

// commands are those that can be named.
var commands = []string{"latency", "throughput", "loss", "order", "group", "cluster", "jms", "scale", "raw", "compare", "figures", "check", "doctor", "dump", "version", "help"}

const overview = `blazebench measures reliable multicast between real processes.

  blazebench                 round trip, throughput and repair on loopback, in less than a minute
  blazebench latency         round trips; with --rate open loop, counted from the scheduled time
  blazebench throughput      one way, as fast as flow control allows, or at --rate
  blazebench loss            throughput while every member loses datagrams; --protocol fec or hybrid
  blazebench loss --sweep    latency and cost of repair over many losses, as a table and a plot
  blazebench order           total order: every member of a ring sends, all receive the same
  blazebench group           a group: requests, sends, queues, and how soon a failure is reported
  blazebench cluster         members that share maps: puts, reads, locks, fail-over, a member that joins
  blazebench jms             a queue that is held: producers, consumers, transactions, fail-over; topics
  blazebench scale           what a message costs against the number of topics, lanes, senders and the like
  blazebench raw             bare sockets, without the library: the yardstick
  blazebench compare         sockets and AF_XDP, bare and with the protocol, in turn on one rig (root)
  blazebench compare --with before=PATH  this program and another blazebench, in turn: nothing may be worse
  blazebench compare --with sockperf     round trips beside other systems' programs, in turn on one rig
  blazebench figures         all figures of bench/RESULTS.md, and whether each bar is reached
  blazebench check           the same bars in three short rounds with twice the slack
  blazebench doctor          what this host offers to AF_XDP, what auto:// would take, and what to change
  blazebench dump FILE       the datagrams of a capture (pcap or pcapng: tcpdump, ?tap=FILE of an xdp:// URI) in words
  blazebench version         what this program is built of

blazebench <command> -h lists a command's options.
`

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// receiverArg makes this program a receiver process. It is for blazebench itself.
const receiverArg = "-receiver-process"

// receiverArgs is the command line of a receiver process: this program again.
func receiverArgs() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program to start receivers: %w", err)
	}
	return []string{self, receiverArg}, nil
}
