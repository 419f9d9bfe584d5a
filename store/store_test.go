package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/activeblaze/blaze/cluster"
)

func mustOpen(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir, Cluster: 7})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What was handed over is there again, over lives, with snapshots and other histories on the way.
func TestStoreOverLives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	var want state
	var seat [16]byte
	for life := range 6 {
		s := mustOpen(t, dir)
		got, err := recoverState(s)
		if err != nil {
			t.Fatal(err)
		}
		if !same(&got, &want) {
			t.Fatalf("life %d began at %v, want %v", life, got.at, want.at)
		}
		if life == 0 {
			seat = s.identity.seat
		}
		if s.identity.seat != seat || seat == [16]byte{} {
			t.Fatalf("the seat was %x and is %x", seat, s.identity.seat)
		}
		w := newWaiter()
		s.Start(w.notify)
		l := newLoad(uint64(life), got, s)
		for range 400 {
			l.step()
		}
		w.until(t, "all written", func(e Event) bool { return e.Ticket == l.ticket })
		if l.snaps == 0 {
			t.Error("no snapshot was begun")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		want = l.state
	}
}

// A whole waits for the interval, unless it is in a hurry.
func TestStoreInterval(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir(), Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w := newWaiter()
	s.Start(w.notify)
	for i := range 3 {
		s.Append(uint64(i+1), 1, []byte("x"))
		if ticket := s.Flush(false); ticket != uint64(i+1) {
			t.Fatalf("ticket %d", ticket)
		}
	}
	if len(w.events) != 0 {
		t.Errorf("written before the interval: %+v", <-w.events)
	}
	if ticket := s.Flush(true); ticket != 3 {
		t.Fatalf("ticket %d", ticket)
	}
	if e := w.until(t, "hurry", func(Event) bool { return true }); e.Ticket != 3 || e.Index != 3 {
		t.Errorf("%+v", e)
	}
	s.Append(4, 1, []byte("x"))
	s.Flush(false)
	if err := s.Close(); err != nil { // writes what waits
		t.Fatal(err)
	}
	s.Close()
}

// While a snapshot replaces the history, tickets are told with index 0, then the new one's.
func TestStoreReplace(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	w := newWaiter()
	s.Start(w.notify)
	s.Append(500, 5, []byte("old"))
	s.Flush(false)
	w.until(t, "the old history", func(e Event) bool { return e.Ticket == 1 && e.Index == 500 })
	goOn := make(chan bool)
	parts := 0
	if !s.Snapshot(cluster.Snapshot{Index: 40, Hash: 4, Replace: true, Next: func() []byte {
		<-goOn
		if parts++; parts == 3 {
			return nil
		}
		return make([]byte, pieceBytes)
	}}) {
		t.Fatal("refused")
	}
	if s.Snapshot(cluster.Snapshot{Index: 500, Hash: 5, Next: func() []byte { return nil }}) {
		t.Error("a second snapshot began")
	}
	s.Quorum([]byte("q"))
	s.Flush(true)
	w.until(t, "the claim", func(e Event) bool { return e.Ticket == 2 && e.Index == 0 })
	goOn <- true
	s.Append(41, 6, []byte("new"))
	s.Flush(true)
	goOn <- true
	w.until(t, "the record", func(e Event) bool { return e.Ticket == 3 && e.Index == 0 })
	goOn <- true
	w.until(t, "the snapshot", func(e Event) bool { return e.Ticket == 3 && e.Index == 41 })
	s.Append(42, 7, []byte("new"))
	s.Flush(true)
	w.until(t, "the next record", func(e Event) bool { return e.Ticket == 4 && e.Index == 42 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	r, err := s.Load()
	if err != nil || r.Base != 40 || r.End != 42 || r.EndHash != 7 || string(r.Quorum) != "q" {
		t.Errorf("%+v, %v", r, err)
	}
}

// A snapshot takes the log before it away, and the file's room is used again.
func TestStoreSnapshotsBoundTheFile(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	w := newWaiter()
	s.Start(w.notify)
	index := uint64(0)
	round := func() {
		for range 40 {
			index++
			s.Append(index, index, make([]byte, 100_000))
			s.Flush(false)
			w.until(t, "written", func(e Event) bool { return e.Index == index })
		}
		done := make(chan bool)
		if !s.Snapshot(cluster.Snapshot{Index: index, Hash: index, Next: func() []byte { return nil }, Done: func() { close(done) }}) {
			t.Fatal("refused")
		}
		s.Flush(false)
		<-done
	}
	for range 10 {
		round()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Size() > 32<<20 {
		t.Errorf("the file has %d bytes, and 40 MB were written: %v", info.Size(), err)
	}
	c, err := check(dir, lockWait)
	if err != nil || c.base.index != index || c.logRecords != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// One at a time, and one cluster's.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if _, err := Open(Options{Dir: dir, Cluster: 7}); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if _, err := Inspect(dir, nil); !errors.Is(err, ErrInUse) {
		t.Errorf("inspected in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Cluster: 8}); !errors.Is(err, ErrCluster) {
		t.Errorf("another cluster's: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); !errors.Is(err, ErrAccess) {
		t.Errorf("a file: %v", err)
	}
	if _, err := Inspect(filepath.Join(dir, "none"), nil); !errors.Is(err, ErrAccess) {
		t.Errorf("inspected nothing: %v", err)
	}
}
