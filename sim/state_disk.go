package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/cluster"
)

// Disk is the DataDir of a node. It outlives the node's processes. What was not synced when a process crashed is lost,
// but for as many transactions as chance lets through; each is there as a whole or not at all.
type Disk struct {
	net *Network
	rng *rand.Rand
	// Sync is the longest that a transaction takes; zero means 300 µs.
	Sync time.Duration
	// NoSync loses a whole after its ticket was given back as durable: a defect.
	NoSync bool

	durable diskState
	open    *diskStore // of the process that has it open
	Stats   DiskStats
}

// DiskStats counts what a disk went through.
type DiskStats struct {
	Transactions, Wholes, Lost, Snapshots, Replaced int
}

// diskState is what one transaction leaves behind. Slices in it are never changed, only replaced or appended to.
type diskState struct {
	seat      [16]byte
	quorum    []byte
	tail      [][]byte
	log       []diskRecord
	committed uint64

	base, baseHash uint64
	parts          [][]byte
}

type diskRecord struct {
	index, hash uint64
	bytes       []byte
}

// diskWhole is what was handed over between two Flushes.
type diskWhole struct {
	ticket    uint64
	log       []diskRecord
	quorum    []byte
	tail      [][]byte
	hasQuorum bool
	hasTail   bool
	replace   *diskSnapshot // begun before what follows in this whole's log
}

// diskSnapshot is a state that is being written.
type diskSnapshot struct {
	s     cluster.Snapshot
	parts [][]byte
	after []diskRecord // of a Replace: what was appended since
	done  bool
}

// diskStore implements cluster.Store for one process.
type diskStore struct {
	d       *Disk
	wake    func(ticket, index uint64)
	whole   diskWhole
	waiting []diskWhole // handed over, in no transaction yet
	busy    []diskWhole // of the transaction that is being written
	ticket  uint64
	snap    *diskSnapshot
	ended   bool

	committed uint64
	interval  bool
}

// NewDisk makes an empty DataDir.
func NewDisk(net *Network, seed uint64) *Disk {
	d := &Disk{net: net, rng: rand.New(rand.NewPCG(seed, 0x6469736b))}
	for i := range d.durable.seat {
		d.durable.seat[i] = byte(d.rng.Uint32())
	}
	return d
}

// Open opens the disk for a process. wake is called as a ticket becomes durable.
func (d *Disk) Open(interval bool, wake func(ticket, index uint64)) (*diskStore, *cluster.Recovered) {
	if d.open != nil {
		panic("sim: a disk is opened by two processes")
	}
	s := &diskStore{d: d, wake: wake, interval: interval}
	d.open = s
	now := d.durable
	r := &cluster.Recovered{Seat: now.seat, Quorum: now.quorum, Tail: now.tail, Committed: now.committed,
		Base: now.base, BaseHash: now.baseHash, End: now.base, EndHash: now.baseHash}
	if n := len(now.log); n > 0 {
		r.End, r.EndHash = now.log[n-1].index, now.log[n-1].hash
	}
	r.Parts = func(f func([]byte) error) error {
		for _, p := range now.parts {
			if err := f(p); err != nil {
				return err
			}
		}
		return nil
	}
	r.Log = func(f func(index, hash uint64, record []byte) error) error {
		for _, r := range now.log {
			if err := f(r.index, r.hash, r.bytes); err != nil {
				return err
			}
		}
		return nil
	}
	return s, r
}

// Close ends a process: in order, with all of it on the disk, or in a crash.
func (s *diskStore) Close(crash bool) {
	if s.ended {
		return
	}
	if !crash {
		s.commit(s.busy)
		s.commit(s.waiting)
	} else {
		keep := 0 // a transaction that is being written may be there or not
		if len(s.busy) > 0 && s.d.rng.IntN(2) == 0 {
			s.commit(s.busy)
			keep = len(s.busy)
		}
		s.d.Stats.Lost += len(s.busy) - keep + len(s.waiting)
	}
	s.ended, s.d.open = true, nil
}

// Append implements cluster.Store.
func (s *diskStore) Append(index, hash uint64, record []byte) {
	s.whole.log = append(s.whole.log, diskRecord{index, hash, slices.Clone(record)})
}

// Quorum implements cluster.Store.
func (s *diskStore) Quorum(record []byte) {
	s.whole.quorum, s.whole.hasQuorum = slices.Clone(record), true
}

// Tail implements cluster.Store.
func (s *diskStore) Tail(records [][]byte) {
	s.whole.tail, s.whole.hasTail = nil, true
	for _, r := range records {
		s.whole.tail = append(s.whole.tail, slices.Clone(r))
	}
}

// Committed implements cluster.Store.
func (s *diskStore) Committed(index uint64) { s.committed = index }

// Flush implements cluster.Store.
func (s *diskStore) Flush(hurry bool) uint64 {
	w := s.whole
	if len(w.log) == 0 && !w.hasQuorum && !w.hasTail && w.replace == nil {
		return s.ticket
	}
	s.ticket++
	w.ticket = s.ticket
	s.whole = diskWhole{}
	s.waiting = append(s.waiting, w)
	s.d.Stats.Wholes++
	switch {
	case len(s.busy) > 0:
	case s.interval && !hurry:
		s.d.net.After(100*time.Millisecond, s.write)
	default:
		s.write()
	}
	return w.ticket
}

// write begins a transaction of all that waits.
func (s *diskStore) write() {
	if s.ended || len(s.busy) > 0 || len(s.waiting) == 0 {
		return
	}
	s.busy, s.waiting = s.waiting, nil
	most := s.d.Sync
	if most == 0 {
		most = 300 * time.Microsecond
	}
	takes := 50*time.Microsecond + between(s.d.rng, most)
	if s.d.rng.IntN(200) == 0 {
		takes += between(s.d.rng, 20*time.Millisecond)
	}
	s.d.net.After(takes, func() {
		if s.ended {
			return
		}
		done := s.busy
		s.busy = nil
		if !s.d.NoSync || s.d.rng.IntN(4) > 0 {
			s.commit(done)
		}
		s.tell(done[len(done)-1].ticket)
		s.write()
	})
}

// tell says what has become durable, and up to which index the replica goes: 0 while a snapshot replaces it.
func (s *diskStore) tell(ticket uint64) {
	d := &s.d.durable
	index := d.base
	if n := len(d.log); n > 0 {
		index = d.log[n-1].index
	}
	if s.snap != nil && s.snap.s.Replace && !s.snap.done {
		index = 0
	}
	s.wake(ticket, index)
}

// commit makes wholes durable, in one transaction.
func (s *diskStore) commit(wholes []diskWhole) {
	d := &s.d.durable
	if len(wholes) > 0 {
		s.d.Stats.Transactions++
	}
	for i := range wholes {
		w := &wholes[i]
		if w.hasQuorum {
			d.quorum = w.quorum
		}
		if w.hasTail {
			d.tail = w.tail
		}
		if s.snap != nil && s.snap.s.Replace && !s.snap.done {
			s.snap.after = append(s.snap.after, w.log...)
			continue
		}
		d.log = append(d.log[:len(d.log):len(d.log)], w.log...)
	}
	d.committed = s.committed
}

// Snapshot implements cluster.Store.
func (s *diskStore) Snapshot(snap cluster.Snapshot) bool {
	if s.snap != nil && !s.snap.done && !snap.Replace {
		return false
	}
	if s.snap != nil && !s.snap.done && s.snap.s.Done != nil {
		s.snap.s.Done()
	}
	w := &diskSnapshot{s: snap}
	if snap.Replace {
		// What was handed over before is of the history that ends.
		s.commit(s.busy)
		s.commit(s.waiting)
		for i := range s.busy {
			s.busy[i] = diskWhole{ticket: s.busy[i].ticket}
		}
		s.waiting = nil
		s.whole.log = nil
	}
	s.snap = w
	var next func()
	next = func() {
		if s.ended || s.snap != w {
			return
		}
		p := snap.Next()
		if p != nil {
			w.parts = append(w.parts, slices.Clone(p))
			s.d.net.After(between(s.d.rng, 200*time.Microsecond), next)
			return
		}
		w.done = true
		if snap.Done != nil {
			snap.Done()
		}
		d := &s.d.durable
		s.d.Stats.Snapshots++
		if snap.Replace {
			s.d.Stats.Replaced++
			d.log = w.after
		} else {
			at, _ := slices.BinarySearchFunc(d.log, snap.Index+1, func(r diskRecord, index uint64) int {
				if r.index < index {
					return -1
				}
				return 1
			})
			d.log = slices.Clone(d.log[at:])
		}
		d.base, d.baseHash, d.parts = snap.Index, snap.Hash, w.parts
		written := s.ticket
		if len(s.busy) > 0 {
			written = s.busy[0].ticket - 1
		} else if len(s.waiting) > 0 {
			written = s.waiting[0].ticket - 1
		}
		s.tell(written)
	}
	s.d.net.After(between(s.d.rng, 200*time.Microsecond), next)
	return true
}
