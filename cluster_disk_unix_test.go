//go:build unix

package blaze_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// TestDataDirFullChild is no test: it is the member of TestDataDirFull whose files cannot grow.
func TestDataDirFullChild(t *testing.T) {
	if os.Getenv("BLAZE_TEST_ROLE") == "" {
		t.Skip("for the processes that other tests start")
	}
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 24 << 20, Max: 24 << 20}); err != nil {
		t.Fatal(err)
	}
	cfg := clusterConfig(t)
	cfg.BroadcastURI, cfg.Cluster = os.Getenv("BLAZE_TEST_URI"), os.Getenv("BLAZE_TEST_CLUSTER")
	c := inCluster(t, "", durable(t, cfg, os.Getenv("BLAZE_TEST_DIR"), "c"))
	ready(t, c)
	putIn(t, c, "mine", "1")
	fmt.Println("up")
	var err error
	for end := time.Now().Add(5 * patience); err == nil && time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err = c.Map("m").Put(ctx, "c", make([]byte, 1000))
		cancel()
	}
	fmt.Printf("put: %v\n", err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	fmt.Printf("ready: %v\n", c.WaitReady(ctx))
	e, ok := c.Map("m").Get("mine")
	fmt.Printf("get: %s %t primary %t\n", e.Value, ok, c.Primary())
	fmt.Printf("status: %s, %s\n", c.Status().Phase, c.Status().DiskError)
	fmt.Printf("stop: %v\n", c.Stop())
	fmt.Println("end")
}

// A member whose disk is full takes no part any more: its calls and WaitReady return the error, its Get goes on, and the
// others go on without it.
func TestDataDirFull(t *testing.T) {
	socketsOnly(t)
	cfg, dir := clusterConfig(t), t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDataDirFullChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "BLAZE_TEST_ROLE=c", "BLAZE_TEST_DIR="+dir, "BLAZE_TEST_URI="+cfg.BroadcastURI, "BLAZE_TEST_CLUSTER="+cfg.Cluster)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines, got := make(chan string, 100), []string(nil)
	const gone = "it is gone"
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		lines <- gone
	}()
	told := func() string {
		t.Helper()
		line := <-lines // -test.timeout ends a process that stands still
		if line == gone {
			t.Fatalf("the other process has ended: %q", got)
		}
		got = append(got, line)
		return line
	}
	var both []*blaze.ClusterChannel
	for _, name := range []string{"a", "b"} {
		both = append(both, inCluster(t, "", durable(t, cfg, dir, name)))
	}
	ready(t, both...)
	for told() != "up" {
	}
	// The log of its disk grows.
	value := strings.Repeat("x", 1_000_000)
	stop := make(chan bool)
	go func() {
		defer close(stop)
		for range 28 {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			if _, err := both[0].Map("m").Put(ctx, "k", []byte(value)); err != nil {
				t.Errorf("the others: %v", err)
			}
			cancel()
		}
	}()
	for told() != "end" {
	}
	<-stop // each put has a timeout
	all := strings.Join(got, "\n")
	for _, want := range []string{"ready: ", "get: 1 true primary false", "status: failed, DataDir " + filepath.Join(dir, "c") + " is disk full", "end"} {
		if !strings.Contains(all, want) {
			t.Errorf("it lacks %q:\n%s", want, all)
		}
	}
	for _, line := range got {
		if (strings.HasPrefix(line, "put: ") || strings.HasPrefix(line, "ready: ")) && !strings.Contains(line, "disk") {
			t.Errorf("no error of the disk: %s", line)
		}
	}
	putIn(t, both[1], "after", "1")
	t.Log(all)
}
