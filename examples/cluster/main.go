// Cluster shares a map among three processes. Each of them holds all of it, so killing one loses nothing: the others
// go on, and the one that is started again is given the state.
//
//	go run ./examples/cluster
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	// With ExpectedMembers at least two of the three have to be there for a write: if the network splits, only one side
	// goes on.
	cfg := blaze.Config{Cluster: "example-cluster", ExpectedMembers: 3}
	if len(os.Args) > 1 {
		cfg.Name = os.Args[1]
		if err := member(cfg, os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	self, err := os.Executable()
	if err == nil {
		err = run(func(name string) *exec.Cmd { return exec.Command(self, name) }, os.Stdout)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// member is one of the three processes. It does what it reads, a line at a time.
func member(cfg blaze.Config, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// The name stays over restarts, so that the process is known again: see ExpectedMembers.
	c, err := blaze.NewClusterChannel(cfg.Name, cfg)
	if err != nil {
		return err
	}
	defer c.Shutdown()
	if err = c.Start(); err != nil {
		return err
	}
	if err = c.WaitReady(ctx); err != nil {
		return err
	}
	orders := c.Map("orders")
	fmt.Fprintln(out, "ready with", orders.Len(), "orders")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		do, rest, _ := strings.Cut(lines.Text(), " ")
		key, value, _ := strings.Cut(rest, " ")
		switch do {
		case "put":
			// Put returns when the order counts, whoever fails from now on.
			if _, err := orders.Put(ctx, key, []byte(value)); err != nil {
				return err
			}
			fmt.Fprintln(out, "done")
		case "get":
			// GetLinear sees every Put that has returned anywhere. Get would be at once, from this process's memory.
			e, _, err := orders.GetLinear(ctx, key)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n", e.Value)
		}
	}
	return nil
}

// process is a member, seen from outside.
type process struct {
	*exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

func start(cmd *exec.Cmd) (*process, error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd, in, bufio.NewScanner(out)}, cmd.Start()
}

// line is the next line that the process prints.
func (p *process) line() (string, error) {
	if !p.out.Scan() {
		return "", errors.Join(errors.New("a member has ended"), p.out.Err())
	}
	return p.out.Text(), nil
}

func (p *process) ask(format string, a ...any) (string, error) {
	fmt.Fprintf(p.in, format+"\n", a...)
	return p.line()
}

func run(command func(name string) *exec.Cmd, out io.Writer) (err error) {
	members := map[string]*process{}
	defer func() {
		for _, p := range members {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	}()
	for _, name := range []string{"a", "b", "c"} {
		if members[name], err = start(command(name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		line, err := members[name].line()
		if err != nil {
			return err
		}
		fmt.Fprintln(out, name, "is", line)
	}
	say := func(name, format string, a ...any) error {
		answer, err := members[name].ask(format, a...)
		fmt.Fprintf(out, "%s: %s: %s\n", name, fmt.Sprintf(format, a...), answer)
		return err
	}
	if err = say("a", "put 17 buy 100 acme"); err != nil {
		return err
	}
	if err = say("b", "get 17"); err != nil {
		return err
	}

	// kill -9: nothing is said to the others. They go on within a fraction of a second.
	_ = members["a"].Process.Kill()
	_ = members["a"].Wait()
	fmt.Fprintln(out, "a is killed")
	if err = say("b", "put 18 sell 50 acme"); err != nil {
		return err
	}
	if err = say("c", "get 17"); err != nil {
		return err
	}

	if members["a"], err = start(command("a")); err != nil {
		return err
	}
	line, err := members["a"].line()
	fmt.Fprintln(out, "a is", line)
	if err != nil {
		return err
	}
	return say("a", "get 18")
}
