//go:build linux || darwin

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// shortDir is a directory whose sockets have names that are short enough.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "blaze")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "d")
}

func serve(t *testing.T, dir string, answer func(context.Context) ([]byte, error)) *Server {
	t.Helper()
	s, err := Start(Config{Dir: dir, Answer: answer, Failed: func(what string, err error) { t.Error(what, err) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 10 s: ", what)
		}
	}
}

func TestAskAndLast(t *testing.T) {
	dir := shortDir(t)
	n := 0
	var broken error
	s := serve(t, dir, func(context.Context) ([]byte, error) { n++; return fmt.Appendf(nil, `{"n":%d}`, min(n, 1)), broken })
	all, err := List(dir)
	if err != nil || len(all) != 1 || !all[0].Alive || all[0].Process != os.Getpid() {
		t.Fatalf("%+v, %v", all, err)
	}
	c := &all[0]
	if b, err := c.Ask(context.Background()); err != nil || string(b) != `{"n":1}` {
		t.Errorf("%s, %v", b, err)
	}
	eventually(t, "the last answer lies there", func() bool { _, _, err := c.Last(); return err == nil })
	if b, at, err := c.Last(); err != nil || string(b) != `{"n":1}` || time.Since(at) > time.Minute {
		t.Errorf("%s of %v, %v", b, at, err)
	}
	if i, err := os.Stat(dir); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", i.Mode(), err)
	}
	broken = errors.New("no turn")
	if b, err := c.Ask(context.Background()); err == nil || err.Error() != "no turn" {
		t.Errorf("%s, %v", b, err)
	}
	if n := s.Refused(); n != 0 {
		t.Errorf("%d refused", n)
	}
	s.Close()
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

// What a killed process has left: its last answer can be read, its socket goes.
func TestKilledProcess(t *testing.T) {
	if dir := os.Getenv("LOCAL_TEST_DIR"); dir != "" {
		serve(t, dir, func(context.Context) ([]byte, error) { return []byte(`{"last":true}`), nil })
		time.Sleep(time.Hour)
	}
	dir := shortDir(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledProcess$")
	cmd.Env = append(os.Environ(), "LOCAL_TEST_DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all []Channel
	eventually(t, "the process has written", func() bool {
		all, _ = List(dir)
		if len(all) != 1 {
			return false
		}
		_, _, err := all[0].Last()
		return err == nil && all[0].Alive
	})
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	all, err := List(dir)
	if err != nil || len(all) != 1 || all[0].Alive || all[0].Process != cmd.Process.Pid {
		t.Fatalf("%+v, %v", all, err)
	}
	if b, _, err := all[0].Last(); err != nil || string(b) != `{"last":true}` {
		t.Errorf("%s, %v", b, err)
	}
	if _, err := all[0].Ask(context.Background()); err == nil {
		t.Error("a dead process answers")
	}
	if _, err := os.Stat(all[0].name + socketSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is there: %v", err)
	}
	if err := os.WriteFile(all[0].name+lastSuffix, []byte(`{"last":tr`), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, _, err := all[0].Last(); err == nil || !strings.Contains(err.Error(), "whole") {
		t.Errorf("cut short: %s, %v", b, err)
	}
	old := time.Now().Add(-2 * lastFor)
	_ = os.Chtimes(all[0].name+lastSuffix, old, old)
	if all, err := List(dir); err != nil || len(all) != 0 {
		t.Errorf("after days: %+v, %v", all, err)
	}
}

// Directories that are not the user's alone are not used.
func TestForeignDirectory(t *testing.T) {
	wide := shortDir(t)
	if err := os.Mkdir(wide, 0o777); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(wide, 0o777)
	link := wide + "-link"
	if err := os.Symlink(filepath.Dir(wide), link); err != nil {
		t.Fatal(err)
	}
	file := wide + "-file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{wide, link, file} {
		if s, err := Start(Config{Dir: dir}); err == nil {
			s.Close()
			t.Errorf("%s was used", dir)
		}
		if all, err := List(dir); err == nil {
			t.Errorf("%s was read: %v", dir, all)
		}
	}
	if os.Getuid() == 0 { // only root can make one of somebody else
		foreign := wide + "-foreign"
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(Config{Dir: foreign}); err == nil {
			t.Error("another user's directory was used")
		}
	}
	if all, err := List(wide + "-none"); err != nil || all != nil {
		t.Errorf("a directory that is not there: %v, %v", all, err)
	}
}

// Garbage, silence, clients that do not read and clients by the thousand are cut off; one that asks is answered.
func TestBadClients(t *testing.T) {
	dir := shortDir(t)
	s := serve(t, dir, func(context.Context) ([]byte, error) {
		return []byte(`{"x":"` + strings.Repeat("x", 4<<20) + `"}`), nil
	})
	defer s.Close()
	dial := func() *net.UnixConn {
		c, err := net.Dial("unix", s.name+socketSuffix)
		if err != nil {
			t.Fatal(err)
		}
		return c.(*net.UnixConn)
	}
	garbage := dial()
	defer garbage.Close()
	_, _ = garbage.Write([]byte(strings.Repeat("\x00garbage", 100)))
	if b, err := io.ReadAll(garbage); len(b) != 0 {
		t.Errorf("garbage was answered with %d bytes, %v", len(b), err)
	}
	eventually(t, "garbage is counted", func() bool { return s.Refused() >= 1 })
	for range 100 {
		c := dial()
		defer c.Close()
		_, _ = io.WriteString(c, request) // and never reads
	}
	eventually(t, "those above the limit are cut off", func() bool { return s.Refused() >= 1+100-mostClients })
	eventually(t, "those that do not read are cut off too", func() bool { return s.clients.Load() == 0 })
	all, err := List(dir)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if b, err := all[0].Ask(context.Background()); err != nil || len(b) < 4<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := all[0].Ask(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("asked with a ctx that has ended: %v", err)
	}
}

// Close waits for nobody: neither for a client nor for an engine that hangs.
func TestCloseWaitsForNobody(t *testing.T) {
	s := serve(t, shortDir(t), func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() })
	c, err := net.Dial("unix", s.name+socketSuffix)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, request)
	eventually(t, "the client is served", func() bool { return s.clients.Load() == 1 })
	began := time.Now()
	s.Close()
	if took := time.Since(began); took > answerTime/2 {
		t.Errorf("Close took %v", took)
	}
}

// Who looks while a Server starts finds it a moment later.
func TestListBesideStart(t *testing.T) {
	dir := shortDir(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = List(dir)
			}
		}
	}()
	for range 300 {
		s := serve(t, dir, func(context.Context) ([]byte, error) { return []byte(`{}`), nil })
		if _, err := os.Stat(s.name + socketSuffix); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if left, err := filepath.Glob(s.name + "*"); err != nil || len(left) != 0 {
			t.Fatalf("%v is left behind, %v", left, err)
		}
	}
	close(stop)
	<-stopped
}
