package proc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain plays the child, and the parent that gets killed, when the test runs itself.
func TestMain(m *testing.M) {
	switch os.Getenv("PROC_TEST_ROLE") {
	case "echo": // answers each line until its input ends
		for dec, enc := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout); ; {
			var v any
			if dec.Decode(&v) != nil {
				os.Exit(0)
			}
			_ = enc.Encode(v)
		}
	case "last": // writes something and ends
		fmt.Println("{}")
		os.Exit(0)
	case "deaf": // does not mind that its input ends
		fmt.Println("{}")
		time.Sleep(time.Minute)
	case "parent": // starts a deaf child, prints its id and waits to be killed
		os.Setenv("PROC_TEST_ROLE", "deaf")
		c, err := Start([]string{os.Args[0]}, os.Stderr)
		if err != nil {
			panic(err)
		}
		fmt.Println(c.PID())
		time.Sleep(time.Minute)
	case "poll": // never waits, on one thread
		runtime.LockOSThread()
		fmt.Println("{}")
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		}
	case "pollers": // does not wait either, and starts one that does not
		os.Setenv("PROC_TEST_ROLE", "poll")
		if _, err := Start([]string{os.Args[0]}, os.Stderr); err != nil {
			panic(err)
		}
		runtime.LockOSThread()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		}
	default:
		os.Exit(m.Run())
	}
}

func start(t *testing.T, role string) *Child {
	t.Helper()
	t.Setenv("PROC_TEST_ROLE", role)
	c, err := Start([]string{os.Args[0]}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(0) })
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestTalk(t *testing.T) {
	c := start(t, "echo")
	for i := range 3 {
		if err := c.Send(map[string]int{"n": i}); err != nil {
			t.Fatal(err)
		}
		var got map[string]int
		if err := c.Receive(within(t, 10*time.Second), &got); err != nil || got["n"] != i {
			t.Fatalf("got %v, %v; want n=%d", got, err, i)
		}
	}
	c.Close(10 * time.Second)
	if s := c.cmd.ProcessState; !s.Success() {
		t.Errorf("a child whose input ended did not end by itself: %v", s)
	}
	if err := c.Receive(t.Context(), nil); !errors.Is(err, ErrGone) {
		t.Errorf("Receive from a child that ended: %v, want ErrGone", err)
	}
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	c := start(t, "echo")
	if err := c.Receive(within(t, 10*time.Millisecond), new(any)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCloseKillsTheDeaf(t *testing.T) {
	c := start(t, "deaf")
	if err := c.Receive(within(t, 10*time.Second), new(any)); err != nil {
		t.Fatal(err)
	}
	c.Close(10 * time.Millisecond)
	if alive(c.PID()) {
		t.Error("the child is still there after Close")
	}
}

func TestStartSaysWhatFailed(t *testing.T) {
	_, err := Start([]string{"/nowhere/at/all"}, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "start a receiver process: ") {
		t.Errorf("got %v", err)
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux kills the children of a process that was killed")
	}
	t.Setenv("PROC_TEST_ROLE", "parent")
	parent := exec.Command(os.Args[0])
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !alive(pid) {
		t.Fatalf("no child %q: %v", line, err)
	}
	_ = parent.Process.Kill()
	_ = parent.Wait()
	for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			_ = kill(pid)
			t.Fatal("the child outlives its parent")
		}
	}
}

// alive reports whether a process runs; one that is not reaped yet does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestCPU(t *testing.T) {
	before := SelfCPU()
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
	}
	if SelfCPU() <= before {
		t.Error("20 ms of work used no processor time")
	}
}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// What a child writes last is received, although it has ended.
func TestLastWords(t *testing.T) {
	for range 20 {
		c := start(t, "last")
		<-c.done
		var v any
		if err := c.Receive(within(t, 5*time.Second), &v); err != nil {
			t.Fatal(err)
		}
	}
}
