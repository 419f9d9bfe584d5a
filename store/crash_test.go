package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// childEnv names the directory and the seed of a child that is to be killed.
const childEnv = "BLAZE_STORE_CHILD"

func TestMain(m *testing.M) {
	lockWait = 100 * time.Millisecond
	if dir := os.Getenv(childEnv); dir != "" {
		do := child
		if os.Getenv(childEnv+"_DISK") != "" {
			do = diskChild
		}
		if err := do(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// hookWrites has f called in the place of each write to s's file. bbolt keeps the function for its own tests.
func hookWrites(s *Store, f func(b []byte, off int64) (int, error)) (old func(b []byte, off int64) (int, error)) {
	v := reflect.ValueOf(s.b.db).Elem().FieldByName("ops").FieldByName("writeAt")
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	old = v.Interface().(func(b []byte, off int64) (int, error))
	v.Set(reflect.ValueOf(f))
	return old
}

// lossyDisk keeps what a disk is sure to hold of a file, and what was written since it was synced last. bbolt syncs before
// and after each write of a meta page, and after making the file longer.
type lossyDisk struct {
	t       *testing.T
	rng     *rand.Rand
	s       *Store
	write   func(b []byte, off int64) (int, error)
	sure    []byte
	pending []written
	told    [2][]byte     // the file told: as it was, as it is
	acked   atomic.Uint64 // the last ticket that was told
	every   int           // one write in so many is the last before a power failure
	images  []image
}

type written struct {
	off int64
	b   []byte
}

// image is what a power failure left behind, and what had been told before it.
type image struct {
	dir   string
	acked uint64
}

func newLossyDisk(t *testing.T, seed uint64, s *Store, every int) *lossyDisk {
	t.Helper()
	d := &lossyDisk{t: t, rng: rand.New(rand.NewPCG(seed, 2)), s: s, every: every}
	var err error
	if d.sure, err = os.ReadFile(filepath.Join(s.dir, fileName)); err != nil {
		t.Fatal(err)
	}
	d.readTold()
	d.told[0] = d.told[1]
	d.write = hookWrites(s, d.writeAt)
	return d
}

func (d *lossyDisk) readTold() {
	b, err := os.ReadFile(filepath.Join(d.s.dir, toldName))
	if err != nil {
		d.t.Error(err)
	}
	if d.told[1] != nil && d.rng.IntN(20) == 0 {
		d.told[0] = d.told[1] // the system has written it by itself
	}
	d.told[1] = b
}

func (d *lossyDisk) sync() {
	for _, w := range d.pending {
		if n := w.off + int64(len(w.b)); int64(len(d.sure)) < n {
			d.sure = append(d.sure, make([]byte, n-int64(len(d.sure)))...)
		}
		copy(d.sure[w.off:], w.b)
	}
	d.pending = d.pending[:0]
}

func (d *lossyDisk) writeAt(b []byte, off int64) (int, error) {
	d.readTold()
	meta := off < int64(2*os.Getpagesize())
	if meta {
		d.sync()
	}
	d.pending = append(d.pending, written{off, append([]byte{}, b...)})
	if d.rng.IntN(d.every) == 0 {
		d.fail()
	}
	if meta {
		d.sync()
		if d.rng.IntN(d.every) == 0 {
			d.fail()
		}
	}
	return d.write(b, off)
}

// fail makes an image: everything that was synced, and any part of what was not, in any order, by sectors.
func (d *lossyDisk) fail() {
	b := append([]byte{}, d.sure...)
	if info, err := os.Stat(filepath.Join(d.s.dir, fileName)); err == nil && int(info.Size()) > len(b) {
		b = append(b, make([]byte, int(info.Size())-len(b))...)
	}
	for _, w := range d.pending {
		mode := d.rng.IntN(3) // nothing, all, some sectors
		for at := 0; at < len(w.b); at += 512 {
			if mode == 1 || mode == 2 && d.rng.IntN(2) == 0 {
				copy(b[w.off+int64(at):], w.b[at:min(at+512, len(w.b))])
			}
		}
	}
	i := image{d.t.TempDir(), d.acked.Load()}
	d.images = append(d.images, i)
	if err := errors.Join(os.WriteFile(filepath.Join(i.dir, fileName), b, 0o600),
		os.WriteFile(filepath.Join(i.dir, toldName), d.told[d.rng.IntN(2)], 0o600)); err != nil {
		d.t.Error(err)
	}
}

// A power failure at any write loses what was not synced, wholly or in part: everything that was told is back, nothing is
// torn, and no start is refused.
func TestCrashPower(t *testing.T) {
	lives, seen := 6, 0
	if !testing.Short() {
		lives = 120
	}
	dir := t.TempDir()
	for seed := range lives {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			s := mustOpen(t, dir)
			got, err := recoverState(s)
			if err != nil {
				t.Fatal(err)
			}
			d := newLossyDisk(t, uint64(seed), s, 40)
			w := newWaiter()
			s.Start(func(e Event) {
				d.acked.Store(e.Ticket)
				w.notify(e)
			})
			l := newLoad(uint64(seed), got, s)
			for range 120 {
				l.step()
				// A step that noted only what is committed has no ticket of its own, and perhaps no event.
				if l.rng.IntN(8) == 0 && w.last.Ticket < l.ticket {
					w.until(t, "written", func(e Event) bool { return e.Ticket >= l.ticket })
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, i := range d.images {
				verify(t, l, i)
			}
			seen += len(d.images)
		})
	}
	if seen < lives {
		t.Errorf("only %d power failures in %d lives", seen, lives)
	}
	t.Logf("%d power failures", seen)
}

// verify opens i and compares it with what l did.
func verify(t *testing.T, l *load, i image) {
	t.Helper()
	s, err := Open(Options{Dir: i.dir, Cluster: 7})
	if err != nil {
		t.Errorf("after ticket %d: %v", i.acked, err)
		return
	}
	got, err := recoverState(s)
	if err != nil {
		t.Errorf("after ticket %d: %v", i.acked, err)
	} else if l.find(&got, i.acked) < 0 {
		t.Errorf("ticket %d was told, and the disk has a state that is none since: %v, told for %v", i.acked, got.at, l.states[i.acked].at)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// phases are all places of a commit that can fail or be the last; page and meta are those within bbolt.
var phases = []string{"begin", "log", "tail", "commit", "page", "meta", "synced", "told", "piece", "swap", "remove"}

// In every phase of a commit: the process ends there (a copy of the files is what it left), and the disk fails there. A
// failure ends the store for good, by a named error, and what had been told is back after the next start.
func TestCrashFailpoints(t *testing.T) {
	for _, p := range phases {
		t.Run(p, func(t *testing.T) {
			for _, count := range []int{1, 3} {
				failpoint(t, p, count)
			}
		})
	}
}

var errPlanted = errors.New("planted")

func failpoint(t *testing.T, phase string, count int) {
	dir := t.TempDir()
	var armed atomic.Bool
	var acked, hits atomic.Uint64
	var killed image
	after := 0
	at := func(p string) error {
		switch {
		case !armed.Load():
		case hits.Load() > 0:
			after++
		case p == phase:
			if count--; count > 0 {
				return nil
			}
			hits.Add(1)
			killed = image{t.TempDir(), acked.Load()}
			for _, f := range []string{fileName, toldName} {
				copyFile(t, filepath.Join(dir, f), filepath.Join(killed.dir, f))
			}
			return errPlanted
		}
		return nil
	}
	s, err := openHooked(Options{Dir: dir, Cluster: 7}, at)
	if err != nil {
		t.Fatal(err)
	}
	var write func([]byte, int64) (int, error)
	write = hookWrites(s, func(b []byte, off int64) (int, error) {
		p := "page"
		if off < int64(2*os.Getpagesize()) {
			p = "meta"
		}
		if err := at(p); err != nil {
			write(b[:len(b)/2], off) // and a part of it is there
			return 0, err
		}
		return write(b, off)
	})
	w := newWaiter()
	s.Start(func(e Event) {
		if e.Err == nil {
			acked.Store(e.Ticket)
		}
		w.notify(e)
	})
	armed.Store(true)
	l := newLoad(uint64(count), state{}, s)
	for range 4000 {
		if hits.Load() > 0 {
			break
		}
		l.step()
		if l.rng.IntN(8) == 0 {
			for e := range w.events {
				if e.Err != nil || e.Ticket >= l.ticket {
					w.events <- e
					break
				}
			}
		}
	}
	e := w.until(t, "the failure", func(e Event) bool { return e.Err != nil })
	if !errors.Is(e.Err, ErrFailed) || !errors.Is(e.Err, errPlanted) {
		t.Errorf("told %v", e.Err)
	}
	ticket := acked.Load()
	l.step() // without effect
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("Close: %v", err)
	}
	if after > 0 || len(w.events) > 0 {
		t.Errorf("%d writes and %d events after the failure", after, len(w.events))
	}
	verify(t, l, killed)
	verify(t, l, image{dir, ticket})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// A process under load is killed again and again: everything that it told is back, and it starts every time.
func TestCrashKill(t *testing.T) {
	kills := 20
	if !testing.Short() {
		kills = 1000
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	rng := rand.New(rand.NewPCG(1, 3))
	var begins state
	told, lives := uint64(0), 0
	for n := range kills {
		seed := uint64(n)
		c := exec.Command(exe)
		c.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_SEED="+strconv.FormatUint(seed, 10))
		c.Stderr = os.Stderr
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		// Killed a while after it has started, or after its first ticket.
		first := make(chan struct{})
		go func(at time.Duration, works bool) {
			if works {
				<-first
			}
			time.Sleep(at)
			c.Process.Kill()
		}(time.Duration(rng.IntN(60))*time.Millisecond, n%2 == 0)
		acked, started := uint64(0), false
		var b [8]byte
		for {
			if _, err := io.ReadFull(out, b[:]); err != nil {
				break
			}
			if acked = binary.LittleEndian.Uint64(b[:]); !started {
				started = true
				close(first)
			}
		}
		if !started {
			close(first) // it ended before
		}
		if err := c.Wait(); err == nil || c.ProcessState.ExitCode() == 1 {
			t.Fatalf("life %d ended by itself: %v", n, err)
		}
		if !started {
			continue
		}
		lives++
		told += acked
		l := newLoad(seed, begins, new(nowhere))
		s := mustOpen(t, dir)
		got, err := recoverState(s)
		if err != nil {
			t.Fatalf("life %d: %v", n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for l.ticket < acked+childAhead+1 {
			l.step()
		}
		if l.find(&got, acked) < 0 {
			t.Fatalf("life %d: ticket %d was told, and the disk has a state that is none since: %v, told for %v", n, acked, got.at, l.states[acked].at)
		}
		begins = got
	}
	if lives < kills/4 || told < uint64(kills) {
		t.Errorf("of %d lives %d wrote, %d tickets: too little load", kills, lives, told)
	}
	t.Logf("%d kills, %d of them under load, %d tickets", kills, lives, told)
}

// childAhead bounds how many wholes of a child wait for the disk.
const childAhead = 32

// child loads the directory until it is killed, and writes each ticket that it is told, 0 first, to its output.
func child(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(childEnv+"_SEED"), 10, 64)
	if err != nil {
		return err
	}
	s, err := Open(Options{Dir: dir, Cluster: 7})
	if err != nil {
		return err
	}
	begins, err := recoverState(s)
	if err != nil {
		return err
	}
	tell := func(ticket uint64) error {
		_, err := os.Stdout.Write(binary.LittleEndian.AppendUint64(nil, ticket))
		return err
	}
	if err := tell(0); err != nil {
		return err
	}
	told := make(chan uint64, 1<<16)
	failed := make(chan error, 1)
	s.Start(func(e Event) {
		if e.Err != nil {
			failed <- e.Err
			return
		}
		if err := tell(e.Ticket); err == nil {
			told <- e.Ticket
		}
	})
	l := newLoad(seed, begins, s)
	for last := uint64(0); ; {
		l.step()
		for l.ticket-last >= childAhead {
			select {
			case last = <-told:
			case err := <-failed:
				return err
			}
		}
		for len(told) > 0 {
			last = <-told
		}
	}
}
