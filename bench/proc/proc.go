// Package proc starts the processes that take part in a benchmark, exchanges JSON with them over
// their standard streams, and sees to it that none outlives the process that started it.
//
// Three nets catch a child, one below the other: Close kills and reaps it; a child ends when its
// standard input does, which happens whenever its parent is gone; and on Linux the kernel kills
// it in the moment in which its parent dies, even of SIGKILL.
package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// Child is one process that was started. Its methods may be called from any goroutine; Send and
// Receive each from one at a time.
type Child struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	enc     *json.Encoder
	replies chan json.RawMessage // closed at the end of its output
	done    chan struct{}        // closed when it was reaped
	once    sync.Once
}

// A Place is where a process can be started: Run calls f on the calling thread, which is there
// meanwhile. A host of a rig is one.
type Place interface{ Run(f func() error) error }

// Start runs argv. What the child writes to its standard error goes to stderr. The caller must
// Close it.
func Start(argv []string, stderr io.Writer) (*Child, error) { return StartIn(nil, argv, stderr) }

// StartIn is Start in a place; nil is here.
func StartIn(where Place, argv []string, stderr io.Writer) (*Child, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = stderr
	cmd.SysProcAttr = attributes()
	// A grandchild that inherited stderr must not keep Wait from returning.
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a receiver process: %w", err)
	}
	stdout, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a receiver process: %w", err)
	}
	cmd.Stdout = out
	err = fork(where, cmd)
	out.Close()
	if err != nil {
		stdout.Close()
		return nil, fmt.Errorf("start a receiver process: %w", err)
	}
	c := &Child{
		cmd: cmd, stdin: stdin, enc: json.NewEncoder(stdin),
		replies: make(chan json.RawMessage, 4), done: make(chan struct{}),
	}
	go c.read(stdout)
	go func() {
		_ = cmd.Wait() // its outcome is in ProcessState
		close(c.done)
	}()
	return c, nil
}

// read hands on what the child writes, until it ends or is reaped.
func (c *Child) read(stdout *os.File) {
	defer close(c.replies)
	defer stdout.Close()
	for dec := json.NewDecoder(stdout); ; {
		var m json.RawMessage
		if dec.Decode(&m) != nil {
			return
		}
		select { // what a child writes last counts, although it has ended
		case c.replies <- m:
			continue
		default:
		}
		select {
		case c.replies <- m:
		case <-c.done:
			return
		}
	}
}

// ErrGone means that the child has ended, or has closed its output, before it answered.
var ErrGone = errors.New("a receiver process ended early")

// Send writes v to the child's standard input as a line of JSON.
func (c *Child) Send(v any) error {
	if err := c.enc.Encode(v); err != nil {
		return fmt.Errorf("%w: %v", ErrGone, err)
	}
	return nil
}

// Receive waits for the child's next line of JSON and decodes it into v.
func (c *Child) Receive(ctx context.Context, v any) error {
	select {
	case m, ok := <-c.replies:
		if !ok {
			return ErrGone
		}
		return json.Unmarshal(m, v)
	case <-ctx.Done():
		return fmt.Errorf("waiting for a receiver process: %w", ctx.Err())
	}
}

// PID is the child's process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Close ends the child's input, gives it grace to finish, kills it if need be, and reaps it.
// It returns the processor time that the child used, user and system. Closing again is harmless.
func (c *Child) Close(grace time.Duration) (cpu time.Duration) {
	c.once.Do(func() { c.stdin.Close() })
	select {
	case <-c.done:
	case <-time.After(grace):
		_ = c.cmd.Process.Kill() // no error matters: it is gone, or it dies
		<-c.done
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// forks hands commands to the one thread that starts processes.
var forks = sync.OnceValue(func() chan<- func() {
	ch := make(chan func())
	go func() {
		// Linux takes the *thread* that forked for the parent whose death kills the child. This
		// thread lives as long as the process: it is locked to a goroutine that never ends.
		runtime.LockOSThread()
		for f := range ch {
			f()
		}
	}()
	return ch
})

func fork(where Place, cmd *exec.Cmd) error {
	start := cmd.Start
	if where != nil {
		start = func() error { return where.Run(cmd.Start) }
	}
	err := make(chan error)
	forks() <- func() { err <- start() }
	return <-err
}
