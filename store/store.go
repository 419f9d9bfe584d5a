package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/activeblaze/blaze/cluster"
)

var _ cluster.Store = (*Store)(nil)

// Options say which directory, and when it writes.
type Options struct {
	Dir     string // made if it is not there
	Cluster uint64 // hash of the cluster's name: a directory belongs to one
	// Interval is the longest time that a whole waits for others to share its transaction, unless it is in a hurry. Zero: none.
	Interval time.Duration
}

// Event tells what became of what was handed over.
type Event struct {
	Ticket uint64        // every whole up to it is on the disk
	Index  uint64        // the disk's replica reaches this index; 0 while a snapshot replaces it
	Took   time.Duration // the transaction's syncs and all
	Err    error         // an *Error: nothing more is written, and no event follows
}

// Store is an open directory. Load, Start and Close are called by its owner, the methods of cluster.Store by the engine's
// thread, between Start and Close.
type Store struct {
	dir      string
	interval time.Duration
	b        *boltFile
	told     *os.File
	notify   func(Event)
	hook     func(phase string) error // a test's: called in every phase of a commit
	identity identity

	// The engine's side.
	open       batch  // the whole that no Flush has ended
	ticket     uint64 // the last one
	generation uint32 // of the log that Append adds to
	next       uint32

	// Between both.
	mu      sync.Mutex
	wake    chan struct{} // of capacity 1
	ready   batch         // whole ones, for the next transaction
	hurry   bool
	last    *snapshot // the one that was begun last; nil when it is complete
	closing bool
	failed  error

	// The writer's side.
	w    writer
	done chan struct{} // closed when the writer has ended; nil before Start
}

// batch is what waits for a transaction.
type batch struct {
	ticket    uint64
	log       []logEntry
	data      []byte // the log's records
	quorum    []byte // nil: as it is
	tail      [][]byte
	setTail   bool
	committed uint64
	snapshot  *snapshot // begun in this batch; a later one takes the place of an earlier one
}

type logEntry struct {
	generation  uint32
	index, hash uint64
	from, to    int // in data
}

// snapshot is one that is being written.
type snapshot struct {
	cluster.Snapshot
	generation uint32 // of the log that follows on it: a new one with Replace
	number     uint64 // in the file
	pieces     uint32
	part       []byte // what is left of the present part
	begun      bool   // part is from Next
}

func (b *batch) empty() bool {
	return len(b.log) == 0 && b.quorum == nil && !b.setTail && b.committed == 0 && b.snapshot == nil
}

func (b *batch) reset() {
	*b = batch{log: b.log[:0], data: b.data[:0]}
	if cap(b.data) > 4<<20 { // after a burst
		b.data, b.log = nil, nil
	}
}

// merge adds the later batch o.
func (b *batch) merge(o *batch) {
	shift := len(b.data)
	b.data = append(b.data, o.data...)
	for _, e := range o.log {
		e.from, e.to = e.from+shift, e.to+shift
		b.log = append(b.log, e)
	}
	if o.quorum != nil {
		b.quorum = o.quorum
	}
	if o.setTail {
		b.setTail, b.tail = true, o.tail
	}
	if o.committed != 0 {
		b.committed = o.committed
	}
	if o.snapshot != nil {
		b.snapshot.drop()
		b.snapshot = o.snapshot
	}
	b.ticket = o.ticket
}

// drop tells a snapshot's owner that Next is not called any more.
func (s *snapshot) drop() {
	if s != nil && s.Done != nil {
		s.Done()
	}
}

// Open locks the directory, reads and checks all of it, and writes a first transaction, which shows whether it can be
// written. It makes a directory that is not there, with a new seat. Errors are *Error.
func Open(o Options) (*Store, error) { return openHooked(o, nil) }

func openHooked(o Options, hook func(phase string) error) (*Store, error) {
	s, err := openDir(o, hook)
	if err != nil {
		return nil, explain(o.Dir, err)
	}
	return s, nil
}

func openDir(o Options, hook func(phase string) error) (*Store, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Dir, fileName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		removeLeft(o.Dir)
		if err := create(o.Dir, o.Cluster); err != nil {
			return nil, err
		}
	}
	c, err := check(o.Dir, lockWait)
	if err != nil {
		return nil, err
	}
	if c.identity.cluster != o.Cluster {
		return nil, &Error{Dir: o.Dir, Kind: ErrCluster, Remedy: remedyCluster}
	}
	b, err := openBolt(path, false, lockWait)
	if err != nil {
		return nil, err
	}
	told, err := os.OpenFile(filepath.Join(o.Dir, toldName), os.O_RDWR, 0)
	if err != nil {
		b.close()
		return nil, err
	}
	s := &Store{
		dir: o.Dir, interval: o.Interval, b: b, told: told, hook: hook, identity: c.identity,
		generation: c.generation, next: c.next, wake: make(chan struct{}, 1),
	}
	s.w = writer{s: s, head: c.head, clean: c.stale > 0}
	s.w.lives++
	if err := s.w.commit(func(*bolt.Tx) error { return nil }); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// Dir is the directory.
func (s *Store) Dir() string { return s.dir }

// Load gives what the disk holds. It may be called until Start.
func (s *Store) Load() (*cluster.Recovered, error) {
	h := s.w.head
	r := &cluster.Recovered{
		Seat: s.identity.seat,
		Base: h.base.index, BaseHash: h.base.hash, End: h.end.index, EndHash: h.end.hash,
		Parts: s.parts, Log: s.log,
	}
	err := s.view(func(tx *bolt.Tx) error {
		quorum := tx.Bucket(bucketQuorum)
		if h.quorum {
			b, err := open(bucketQuorum, keyLast, quorum.Get(keyLast), 0)
			if err != nil {
				return err
			}
			r.Quorum = append([]byte{}, b...)
		}
		if h.committed {
			b, err := open(bucketQuorum, keyCommitted, quorum.Get(keyCommitted), 8)
			if err != nil {
				return err
			}
			r.Committed = binary.LittleEndian.Uint64(b)
		}
		for i := range h.tail {
			k := tailKey(int(i))
			b, err := open(bucketTail, k, tx.Bucket(bucketTail).Get(k), 0)
			if err != nil {
				return err
			}
			r.Tail = append(r.Tail, append([]byte{}, b...))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// view runs f in a transaction that only reads, and explains its error.
func (s *Store) view(f func(tx *bolt.Tx) error) error {
	return explain(s.dir, s.b.guard(func() error { return s.b.db.View(f) }))
}

// parts is Recovered.Parts.
func (s *Store) parts(f func(part []byte) error) error {
	var own error
	err := s.view(func(tx *bolt.Tx) error {
		if s.w.snap == 0 {
			return nil
		}
		b := tx.Bucket(bucketSnap)
		var part []byte
		for p := range s.w.pieces {
			k := snapKey(s.w.snap, p)
			v, err := open(bucketSnap, k, b.Get(k), 1)
			if err != nil {
				return err
			}
			part = append(part, v[1:]...)
			if v[0] != 0 {
				continue
			}
			if own = f(part); own != nil {
				return nil
			}
			part = part[:0]
		}
		return nil
	})
	return errors.Join(own, err)
}

// log is Recovered.Log.
func (s *Store) log(f func(index, hash uint64, record []byte) error) error {
	var own error
	err := s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
		at := s.w.base
		for k, v := c.Seek(logKey(s.w.generation, at.index+1)); k != nil; k, v = c.Next() {
			if g, _ := splitLogKey(k); g != s.w.generation {
				break
			}
			next, record, err := openLog(k, v, at)
			if err != nil {
				return err
			}
			at = next
			if own = f(at.index, at.hash, record); own != nil {
				return nil
			}
		}
		if at != s.w.end {
			return damaged("the log ends at %d, and ended at %d", at.index, s.w.end.index)
		}
		return nil
	})
	return errors.Join(own, err)
}

// Start begins to write. notify is called on the store's goroutine.
func (s *Store) Start(notify func(Event)) {
	s.notify = notify
	s.done = make(chan struct{})
	go s.w.run()
}

// Close writes what was flushed, ends a snapshot that is being written, and gives up the directory.
func (s *Store) Close() error {
	if s.done == nil {
		return s.release()
	}
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	s.signal()
	<-s.done
	if again {
		return nil
	}
	err := s.failed
	if e := s.release(); err == nil {
		err = e
	}
	return err
}

func (s *Store) release() error {
	return explain(s.dir, errors.Join(s.b.close(), s.told.Close()))
}

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Append is cluster.Store's.
func (s *Store) Append(index, hash uint64, record []byte) {
	from := len(s.open.data)
	s.open.data = append(s.open.data, record...)
	s.open.log = append(s.open.log, logEntry{s.generation, index, hash, from, len(s.open.data)})
}

// Quorum is cluster.Store's.
func (s *Store) Quorum(record []byte) { s.open.quorum = append([]byte{}, record...) }

// Tail is cluster.Store's.
func (s *Store) Tail(records [][]byte) {
	n := 0
	for _, r := range records {
		n += len(r)
	}
	all := make([]byte, 0, n)
	s.open.setTail, s.open.tail = true, make([][]byte, 0, len(records))
	for _, r := range records {
		from := len(all)
		all = append(all, r...)
		s.open.tail = append(s.open.tail, all[from:len(all):len(all)])
	}
}

// Committed is cluster.Store's.
func (s *Store) Committed(index uint64) { s.open.committed = index }

// pendingMax bounds what waits for the disk. It is reached where the disk stands still for seconds.
const pendingMax = 1 << 30

// Flush is cluster.Store's.
func (s *Store) Flush(hurry bool) uint64 {
	if s.open.empty() {
		if hurry && s.interval > 0 {
			s.mu.Lock()
			waits := !s.ready.empty()
			s.hurry = s.hurry || waits
			s.mu.Unlock()
			if waits {
				s.signal()
			}
		}
		return s.ticket
	}
	if len(s.open.log) > 0 || s.open.quorum != nil || s.open.setTail || s.open.snapshot != nil {
		s.ticket++
	} else if !hurry {
		return s.ticket // only Committed: with the next whole
	}
	s.open.ticket = s.ticket
	s.mu.Lock()
	if s.failed != nil || s.closing {
		s.open.snapshot.drop()
		s.open.reset()
		s.mu.Unlock()
		return s.ticket
	}
	if s.ready.empty() {
		s.open, s.ready = s.ready, s.open
	} else {
		s.ready.merge(&s.open)
	}
	s.open.reset()
	s.hurry = s.hurry || hurry
	s.mu.Unlock()
	s.signal()
	return s.ticket
}

// Snapshot is cluster.Store's.
func (s *Store) Snapshot(n cluster.Snapshot) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil || s.closing || s.last != nil && !n.Replace {
		return false
	}
	if n.Replace {
		s.generation = s.next
		s.next++
	}
	s.open.snapshot.drop()
	s.open.snapshot = &snapshot{Snapshot: n, generation: s.generation}
	s.last = s.open.snapshot
	return true
}

// Failed gives the error that ended the store; nil while it works.
func (s *Store) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *Store) phase(p string) error {
	if s.hook == nil {
		return nil
	}
	if err := s.hook(p); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}
