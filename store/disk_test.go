package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// Disks that are full, at each of many fills, and disks that cannot be written: named errors with the remedy, at the start
// and under load, and what had been told is back when there is room.
func TestDisk(t *testing.T) {
	for _, c := range []string{"full", "limit", "readonly", "small"} {
		t.Run(c, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), childEnv+"="+t.TempDir(), childEnv+"_DISK="+c)
			ownMounts(cmd)
			out, err := cmd.CombinedOutput()
			if s := string(out); err != nil && (strings.Contains(s, "SKIP") || errors.Is(err, os.ErrPermission)) {
				t.Skip(s, err)
			}
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// diskChild runs one case of TestDisk, in a process with mounts of its own.
func diskChild(dir string) error {
	kind := os.Getenv(childEnv + "_DISK")
	if kind != "limit" {
		size := "8m"
		if kind == "small" {
			size = "16k"
		}
		if err := mountTmpfs(dir, size); err != nil {
			return fmt.Errorf("SKIP: no tmpfs: %w", err)
		}
	}
	switch kind {
	case "small": // not even the first file has room
		_, err := Open(Options{Dir: dir, Cluster: 7})
		return want(err, ErrFull)
	case "readonly":
		s, err := Open(Options{Dir: dir, Cluster: 7})
		if err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		if err := remountReadOnly(dir); err != nil {
			return fmt.Errorf("SKIP: %w", err)
		}
		if _, err = Inspect(dir, nil); err != nil {
			return err
		}
		_, err = Open(Options{Dir: dir, Cluster: 7})
		return want(err, ErrAccess)
	case "limit":
		if err := limitFiles(24 << 20); err != nil {
			return fmt.Errorf("SKIP: %w", err)
		}
	}
	s, err := Open(Options{Dir: dir, Cluster: 7})
	if err != nil {
		return err
	}
	events := make(chan Event, 1<<16)
	s.Start(func(e Event) { events <- e })
	l := newLoad(3, state{}, s)
	l.grows = true
	acked := uint64(0)
	for err = nil; err == nil; {
		l.step()
		for err == nil && acked < l.ticket {
			e := <-events
			if err = e.Err; err == nil {
				acked = max(acked, e.Ticket)
			}
		}
		if l.ticket > 100_000 {
			return errors.New("the disk is never full")
		}
	}
	if err := want(err, ErrFull); err != nil {
		return err
	}
	if err := s.Close(); !errors.Is(err, ErrFull) {
		return fmt.Errorf("Close: %w", err)
	}
	if kind == "full" { // still full: the next start either works or says so
		if err := fill(dir + "/rest"); err != nil {
			return err
		}
		if s, err = Open(Options{Dir: dir, Cluster: 7}); err == nil {
			err = s.Close()
		} else {
			err = want(err, ErrFull)
		}
		if err != nil {
			return err
		}
		if err := os.Remove(dir + "/rest"); err != nil {
			return err
		}
	}
	if s, err = Open(Options{Dir: dir, Cluster: 7}); err != nil {
		return err
	}
	got, err := recoverState(s)
	if err != nil {
		return err
	}
	if l.find(&got, acked) < 0 {
		return fmt.Errorf("ticket %d was told, and the disk has %v", acked, got.at)
	}
	fmt.Println("full after ticket " + strconv.FormatUint(acked, 10))
	return s.Close()
}

// want is nil where err is of kind and gives a remedy.
func want(err, kind error) error {
	var e *Error
	if errors.Is(err, kind) && errors.As(err, &e) && e.Remedy != "" && e.Dir != "" {
		fmt.Println(err)
		return nil
	}
	return fmt.Errorf("want %v with its remedy, got: %w", kind, err)
}

// fill writes a file until there is no room.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for b := make([]byte, 4096); ; {
		if _, err := f.Write(b); err != nil {
			return f.Close()
		}
	}
}
