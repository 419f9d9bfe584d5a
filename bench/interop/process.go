package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a member that runs.
type process struct {
	name string
	cmd  *exec.Cmd

	mu      sync.Mutex
	records []record
	ready   bool
	noise   string        // a line that is no record
	changed chan struct{} // closed, and made anew, when something has changed

	stderr tail
	ended  chan struct{} // closed when it has ended and all its records are here
	err    error         // of Wait
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b = append(t.b, p...); len(t.b) > 4096 {
		t.b = t.b[len(t.b)-4096:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.b))
}

// start runs a member.
func start(ctx context.Context, name string, command, env []string, dir string) (*process, error) {
	p := &process{name: name, changed: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, append(os.Environ(), env...), &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err = p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	go func() {
		s := bufio.NewScanner(out)
		s.Buffer(make([]byte, 64<<10), 1<<20)
		for s.Scan() {
			p.line(s.Bytes())
		}
		p.err = p.cmd.Wait()
		close(p.ended)
		p.note()
	}()
	return p, nil
}

// line takes in one line of output.
func (p *process) line(b []byte) {
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return
	}
	var r record
	err := json.Unmarshal(b, &r)
	p.mu.Lock()
	switch {
	case err != nil:
		p.noise = string(b)
	case r.Ready:
		p.ready = true
	case r.Lost != nil || r.N > 0:
		p.records = append(p.records, r)
	}
	p.mu.Unlock()
	p.note()
}

func (p *process) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits until a condition holds of what the process has written, or it has ended, or ctx has. It reports whether the
// condition holds.
func (p *process) until(ctx context.Context, ok func(p *process) bool) bool {
	look := func() (holds bool, changed chan struct{}) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return ok(p), p.changed
	}
	for {
		holds, changed := look()
		if holds {
			return true
		}
		select {
		case <-p.ended:
			holds, _ = look()
			return holds
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

// within is until for so long.
func (p *process) within(d time.Duration, ok func(p *process) bool) bool {
	ctx, stop := context.WithTimeout(context.Background(), d)
	defer stop()
	return p.until(ctx, ok)
}

// list is what it has written.
func (p *process) list() []record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]record(nil), p.records...)
}

// stop asks the process to end, and ends it if it does not.
func (p *process) stop(within time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		return nil
	case <-time.After(within):
		p.kill()
		return fmt.Errorf("%s has not ended %v after SIGTERM", p.name, within)
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// failure says what went wrong with a process that has ended.
func (p *process) failure() string {
	if p.err == nil {
		return ""
	}
	text := fmt.Sprintf("%s: %v", p.name, p.err)
	if s := p.stderr.String(); s != "" {
		text += ": " + s
	}
	return text
}
