package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/cluster"
)

// specimen makes a directory with every kind of record, and returns what it holds.
func specimen(t *testing.T) (dir string, l *load) {
	t.Helper()
	dir = t.TempDir()
	s := mustOpen(t, dir)
	w := newWaiter()
	s.Start(w.notify)
	l = newLoad(9, state{}, s)
	for range 150 {
		l.step()
	}
	w.until(t, "all written", func(e Event) bool { return e.Ticket == l.ticket })
	done := make(chan bool)
	kv, i := l.state.kv, 0
	for !s.Snapshot(cluster.Snapshot{Index: l.state.at.index, Hash: l.state.at.hash, Done: func() { close(done) }, Next: func() []byte {
		if i++; i > len(kv) {
			return nil
		}
		return append([]byte{byte(i - 1)}, kv[i-1]...)
	}}) {
		w.until(t, "no snapshot under way", func(Event) bool { return true })
	}
	s.Flush(true)
	<-done
	for n := range 20 {
		l.state.apply(byte(n), []byte{byte(n), 7})
		s.Append(l.state.at.index, l.state.at.hash, []byte{byte(n), byte(n), 7})
		if n == 10 {
			l.state.quorum, l.state.tail = []byte("quorum"), [][]byte{[]byte("one"), []byte("two"), []byte("three")}
			s.Quorum(l.state.quorum)
			s.Tail(l.state.tail)
			s.Committed(l.state.at.index)
		}
		s.Flush(true)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, l
}

// values calls f with the place in the file of every record's value that counts.
func values(t *testing.T, path string, f func(bucket, key []byte, at, n int)) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWalker(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := w.bucketRoots()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range buckets {
		if err := w.bucket(roots[string(b)], func(k, v []byte) error {
			if at := bytes.Index(file, v[:min(len(v), 28)]); at >= 0 {
				f(b, bytes.Clone(k), at, len(v))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// A flipped bit in a record of any kind refuses the start, and names the record and the remedy.
func TestDamagedRecords(t *testing.T) {
	dir, _ := specimen(t)
	path := filepath.Join(dir, fileName)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	kinds := map[string]int{}
	c, err := check(dir, lockWait)
	if err != nil {
		t.Fatal(err)
	}
	values(t, path, func(bucket, key []byte, at, n int) {
		kind := string(bucket)
		switch {
		case kind == "meta" || kind == "quorum":
			kind += " " + string(key)
		case kind == "log":
			if g, i := splitLogKey(key); g != c.generation || i <= c.base.index {
				return
			}
		case kind == "snap":
			if s, _ := splitSnapKey(key); s != c.snap {
				return
			}
		}
		if kinds[kind]++; kinds[kind] > 3 {
			return
		}
		b := bytes.Clone(file)
		// A copy of an older transaction may lie earlier in the file: flip every one of them.
		bit, record := rng.IntN(8*n), file[at:at+n]
		for from := 0; ; {
			i := bytes.Index(file[from:], record)
			if i < 0 {
				break
			}
			b[from+i+bit/8] ^= 1 << (bit % 8)
			from += i + 1
		}
		refused(t, b, dir, name(bucket, key))
	})
	for _, k := range []string{"meta seat", "meta head", "quorum last", "quorum committed", "tail", "log", "snap"} {
		if kinds[k] == 0 {
			t.Errorf("no record of the kind %q was damaged: %v", k, kinds)
		}
	}
}

// refused opens a directory with the file b, and expects an error that has part in it.
func refused(t *testing.T, b []byte, dir, part string) {
	t.Helper()
	d := t.TempDir()
	if err := os.WriteFile(filepath.Join(d, fileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(dir, toldName), filepath.Join(d, toldName))
	s, err := Open(Options{Dir: d, Cluster: 7})
	if err == nil {
		s.Close()
		t.Errorf("%s: it was damaged, and opens", part)
		return
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), part) ||
		!strings.Contains(err.Error(), d) || !strings.Contains(err.Error(), "move the directory away") {
		t.Errorf("%s: %v", part, err)
	}
	if after, err := os.ReadFile(filepath.Join(d, fileName)); err != nil || !bytes.Equal(after, b) {
		t.Errorf("%s: the file was changed: %v", part, err)
	}
	if _, err := Inspect(d, nil); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat) {
		t.Errorf("%s: Inspect: %v", part, err)
	}
}

// One flipped bit anywhere: the start is refused, or nothing is missing.
func TestDamagedAnywhere(t *testing.T) {
	dir, l := specimen(t)
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	told, err := os.ReadFile(filepath.Join(dir, toldName))
	if err != nil {
		t.Fatal(err)
	}
	flips := 60
	if !testing.Short() {
		flips = 3000
	}
	used := usedBytes(t, file)
	rng := rand.New(rand.NewPCG(5, 5))
	d := t.TempDir()
	path := filepath.Join(d, fileName)
	refusals := 0
	for n := range flips {
		b, w := bytes.Clone(file), bytes.Clone(told)
		at := rng.IntN(used)
		switch n % 4 {
		case 0: // the two meta pages
			at = rng.IntN(2*os.Getpagesize()) &^ 0xf80 // their first 128 bytes
		case 1: // a page's header or its elements
			at = at&^(os.Getpagesize()-1) + rng.IntN(128)
		}
		if n%50 == 7 {
			w[rng.IntN(len(w))] ^= 1 << rng.IntN(8)
		} else {
			b[at] ^= 1 << rng.IntN(8)
		}
		if err := errors.Join(os.WriteFile(path, b, 0o600), os.WriteFile(filepath.Join(d, toldName), w, 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Options{Dir: d, Cluster: 7})
		if err != nil {
			if refusals++; !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		got, err := recoverState(s)
		if err != nil {
			t.Errorf("byte %d: opened, then %v", at, err)
		} else if !same(&got, &l.state) {
			t.Errorf("byte %d: %v is there, and %v was", at, got.at, l.state.at)
		}
		if err := s.Close(); err != nil {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if refusals < flips/10 {
		t.Errorf("%d of %d refused: too few bytes that count were flipped", refusals, flips)
	}
	t.Logf("%d of %d refused", refusals, flips)
}

// usedBytes is how much of the file was ever written.
func usedBytes(t *testing.T, file []byte) int {
	w, err := newWalker(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return int(w.high) * int(w.page)
}

// A file that is shorter than it was: refused, without a signal.
func TestDamagedTruncated(t *testing.T) {
	dir, _ := specimen(t)
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	used := usedBytes(t, file)
	for _, n := range []int{0, 1, 100, 4096, 8191, 8192, 12288, 16384, used / 2, used - 4096, used - 1} {
		refused(t, file[:n], dir, "")
	}
	refused(t, make([]byte, 65536), dir, "") // all zeros
	if err := os.Remove(filepath.Join(dir, toldName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Cluster: 7}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), toldName) {
		t.Errorf("without %s: %v", toldName, err)
	}
}

// A format of a later build is no damage.
func TestOpenRefusesFormat(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := identity{format, 7, s.identity.seat}
	later := identity{format + 1, 7, s.identity.seat}
	file = bytes.ReplaceAll(file, seal(bucketMeta, keySeat, old.append(make([]byte, crcBytes))), seal(bucketMeta, keySeat, later.append(make([]byte, crcBytes))))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: dir, Cluster: 7}); !errors.Is(err, ErrFormat) {
		t.Errorf("opened: %v", err)
	}
}
