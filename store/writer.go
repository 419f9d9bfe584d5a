package store

import (
	"encoding/binary"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"
)

// writer is the goroutine that writes. It takes everything that was flushed since its last transaction, writes it in one,
// and says so. Between such transactions it writes a piece of a snapshot, or removes a piece of what does not count any
// more, each in a transaction of its own, so that nothing waits for more than one piece.
type writer struct {
	s *Store
	head
	taking   batch     // in the present transaction
	snapshot *snapshot // being written
	end2     point     // the end of the log that follows on a snapshot with Replace
	clean    bool      // something may be there that does not count
	data     []byte    // a value on its way to bbolt, which keeps it until the commit
	written  uint64    // the last ticket

	wholes uint64        // in the last transaction of wholes
	took   time.Duration // smoothed: such a transaction
}

func (w *writer) run() {
	defer close(w.s.done)
	for {
		closing := w.wait()
		w.gather()
		began := time.Now()
		before := w.written
		wrote, err := w.take()
		if err == nil && wrote {
			took := time.Since(began)
			w.wholes, w.took = w.written-before, w.took+(took-w.took)/8
			w.tell(Event{Took: took})
		}
		if err == nil && closing {
			w.snapshot.drop()
			return
		}
		if err == nil {
			err = w.piece()
		}
		if err != nil {
			w.fail(err)
			return
		}
	}
}

// tell sends e, with how far the disk is.
func (w *writer) tell(e Event) {
	e.Ticket, e.Index = w.written, w.head.end.index
	if w.snapshot != nil && w.snapshot.Replace {
		e.Index = 0
	}
	w.s.notify(e)
}

// fail ends the store: the first error counts, and the file is not touched again (docs/cluster.md, 17).
func (w *writer) fail(err error) {
	s := w.s
	e := &Error{Dir: s.dir, Kind: ErrFailed, Cause: err, Remedy: remedyFailed}
	switch {
	case errors.Is(err, ErrBehind):
		e.Kind, e.Cause = ErrBehind, nil
	case noRoom(err):
		e.Kind, e.Remedy = ErrFull, remedyFull
	}
	s.b.panicked = true // whatever state bbolt is in: only the file is closed
	s.mu.Lock()
	s.failed = e
	s.ready.snapshot.drop()
	s.ready.reset()
	closing := s.closing
	s.mu.Unlock()
	w.taking.snapshot.drop()
	w.snapshot.drop()
	if !closing {
		s.notify(Event{Err: e})
	}
}

// wait returns when there is something to write, and reports whether that is the last.
func (w *writer) wait() (closing bool) {
	s := w.s
	var since *time.Timer // runs while something waits for its interval
	for {
		s.mu.Lock()
		closing = s.closing
		some, hurry := !s.ready.empty(), s.hurry
		s.mu.Unlock()
		if closing || w.snapshot != nil || w.clean || some && (hurry || s.interval == 0) {
			if since != nil {
				since.Stop()
			}
			return closing
		}
		if some && since == nil {
			since = time.NewTimer(s.interval)
		}
		if since == nil {
			<-s.wake
			continue
		}
		select {
		case <-s.wake:
		case <-since.C:
			return false
		}
	}
}

// gather waits a little for as many wholes as the last transaction had: callers that got their answers together come
// again together, and what comes just after a transaction has begun waits for two of them. A lone caller waits for nothing.
func (w *writer) gather() {
	s := w.s
	if w.wholes < 2 || s.interval > 0 {
		return
	}
	limit := time.NewTimer(min(w.took/2, gatherMax))
	defer limit.Stop()
	for {
		s.mu.Lock()
		enough := s.ready.empty() || s.closing || s.hurry || s.ready.ticket-w.written >= w.wholes
		s.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-s.wake:
		case <-limit.C:
			return
		}
	}
}

// gatherMax bounds what a slow disk makes callers wait for each other.
const gatherMax = 2 * time.Millisecond

// take writes everything that was flushed, in one transaction.
func (w *writer) take() (wrote bool, err error) {
	s := w.s
	s.mu.Lock()
	if s.ready.empty() {
		s.mu.Unlock()
		return false, nil
	}
	w.taking.reset()
	w.taking, s.ready = s.ready, w.taking
	s.hurry = false
	s.mu.Unlock()
	t := &w.taking
	if len(t.data) > pendingMax {
		return false, ErrBehind
	}
	if t.snapshot != nil {
		w.begin(t.snapshot)
		t.snapshot = nil
	}
	if err := w.commit(func(tx *bolt.Tx) error { return w.put(tx, t) }); err != nil {
		return false, err
	}
	w.written = t.ticket
	if cap(w.data) > 16<<20 { // after a burst
		w.data = nil
	}
	return true, nil
}

// begin makes n the snapshot that is written, in the place of one that is not complete.
func (w *writer) begin(n *snapshot) {
	if w.snapshot != nil {
		w.clean = true
	}
	w.snapshot.drop()
	w.snapshot = n
	n.number = w.nextSnap
	w.nextSnap++
	if n.Replace {
		w.head.next = n.generation + 1
		w.end2 = point{n.Index, n.Hash}
	}
}

// put puts t into tx.
func (w *writer) put(tx *bolt.Tx, t *batch) error {
	w.data = w.data[:0]
	need := 0
	for _, e := range t.log {
		need += logHeader + e.to - e.from
	}
	w.data = grow(w.data, max(need, 1))[:0]
	log := tx.Bucket(bucketLog)
	log.FillPercent = 0.9 // it grows at its end
	for _, e := range t.log {
		end := &w.head.end
		if e.generation != w.generation {
			if w.snapshot == nil || e.generation != w.snapshot.generation {
				continue // of a history that was replaced in the same transaction, before it began
			}
			end = &w.end2
		}
		if e.index <= end.index {
			return damaged("log %d comes after %d", e.index, end.index)
		}
		from := len(w.data)
		le := binary.LittleEndian
		v := append(w.data, 0, 0, 0, 0)
		v = le.AppendUint64(v, end.index)
		v = le.AppendUint64(v, end.hash)
		v = le.AppendUint64(v, e.hash)
		v = append(v, t.data[e.from:e.to]...)
		w.data = v
		k := logKey(e.generation, e.index)
		if err := log.Put(k, seal(bucketLog, k, v[from:])); err != nil {
			return err
		}
		*end = point{e.index, e.hash}
	}
	if err := w.s.phase("log"); err != nil {
		return err
	}
	quorum := tx.Bucket(bucketQuorum)
	if t.quorum != nil {
		if err := quorum.Put(keyLast, seal(bucketQuorum, keyLast, append(make([]byte, crcBytes), t.quorum...))); err != nil {
			return err
		}
		w.head.quorum = true
	}
	if t.committed != 0 {
		v := binary.LittleEndian.AppendUint64(make([]byte, crcBytes), t.committed)
		if err := quorum.Put(keyCommitted, seal(bucketQuorum, keyCommitted, v)); err != nil {
			return err
		}
		w.head.committed = true
	}
	if !t.setTail {
		return nil
	}
	tail := tx.Bucket(bucketTail)
	for i, r := range t.tail {
		k := tailKey(i)
		if err := tail.Put(k, seal(bucketTail, k, append(make([]byte, crcBytes), r...))); err != nil {
			return err
		}
	}
	for i := len(t.tail); i < int(w.head.tail); i++ {
		if err := tail.Delete(tailKey(i)); err != nil {
			return err
		}
	}
	w.head.tail = uint32(len(t.tail))
	return w.s.phase("tail")
}

// commit runs f and writes the head in one transaction, syncs it, and notes that others may be told.
func (w *writer) commit(f func(tx *bolt.Tx) error) error {
	s := w.s
	if err := s.phase("begin"); err != nil {
		return err
	}
	var txid uint64
	err := s.b.guard(func() error {
		tx, err := s.b.db.Begin(true)
		if err != nil {
			return err
		}
		txid = uint64(tx.ID())
		if err := f(tx); err != nil {
			return err
		}
		if err := putHead(tx, &w.head); err != nil {
			return err
		}
		if err := s.phase("commit"); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err == nil {
		err = s.phase("synced")
	}
	if err == nil {
		_, err = s.told.WriteAt(toldRecord(txid), int64(txid%2)*toldSlot)
	}
	if err == nil {
		err = s.phase("told")
	}
	if err != nil {
		s.b.panicked = true // a transaction may still be open
	}
	return err
}

// piece writes one piece of the snapshot, or removes one piece of what does not count.
func (w *writer) piece() error {
	switch {
	case w.snapshot != nil:
		return w.snapshotPiece()
	case w.clean:
		return w.removePiece()
	}
	return nil
}

func (w *writer) snapshotPiece() error {
	n := w.snapshot
	complete := false
	err := w.commit(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketSnap)
		b.FillPercent = 1
		for room := pieceBytes; room > 0; {
			if len(n.part) == 0 && !n.begun {
				if n.part = n.Next(); n.part == nil {
					complete = true
					return w.swap(tx)
				}
				n.begun = true
			}
			take := min(room, len(n.part))
			v := make([]byte, snapHeader, snapHeader+take)
			if take < len(n.part) {
				v[crcBytes] = 1
			}
			v = append(v, n.part[:take]...)
			n.part = n.part[take:]
			n.begun = len(n.part) > 0
			k := snapKey(n.number, n.pieces)
			if err := b.Put(k, seal(bucketSnap, k, v)); err != nil {
				return err
			}
			n.pieces++
			room -= max(take, 64)
		}
		return w.s.phase("piece")
	})
	if err != nil || !complete {
		return err
	}
	w.snapshot = nil
	w.s.mu.Lock()
	if w.s.last == n {
		w.s.last = nil
	}
	w.s.mu.Unlock()
	n.drop()
	w.tell(Event{})
	return nil
}

// swap makes the snapshot, which is complete, the base.
func (w *writer) swap(tx *bolt.Tx) error {
	n := w.snapshot
	at := point{n.Index, n.Hash}
	switch {
	case n.Replace:
		w.head.end = w.end2
	case at != w.head.end && at != w.head.base:
		k := logKey(w.generation, at.index)
		v, err := open(bucketLog, k, tx.Bucket(bucketLog).Get(k), logHeader-crcBytes)
		if err != nil || binary.LittleEndian.Uint64(v[16:]) != at.hash {
			return damaged("the snapshot at %d lies between two records", at.index)
		}
	}
	w.head.snap, w.head.pieces = n.number, n.pieces
	w.head.base, w.head.generation = at, n.generation
	w.clean = true
	return w.s.phase("swap")
}

// removeMax is how many records one piece removes.
const removeMax = 1000

// removePiece removes records of snapshots and of logs that do not count any more.
func (w *writer) removePiece() error {
	return w.commit(func(tx *bolt.Tx) error {
		n, size := 0, 0
		full := func(v []byte) bool {
			n, size = n+1, size+len(v)
			return n > removeMax || size > 4*pieceBytes
		}
		remove := func(bucket []byte, stale func(k []byte) bool, skip []byte) (more bool, err error) {
			c := tx.Bucket(bucket).Cursor()
			var keys [][]byte
			collect := func(k, v []byte) {
				for ; k != nil && stale(k) && !more; k, v = c.Next() {
					if more = full(v); !more {
						keys = append(keys, k)
					}
				}
			}
			collect(c.First())
			if !more {
				collect(c.Seek(skip))
			}
			for _, k := range keys {
				if err := tx.Bucket(bucket).Delete(k); err != nil {
					return false, err
				}
			}
			return more, nil
		}
		more, err := remove(bucketSnap, func(k []byte) bool {
			s, _ := splitSnapKey(k)
			return s != w.snap
		}, snapKey(w.snap+1, 0))
		if err == nil && !more {
			more, err = remove(bucketLog, func(k []byte) bool {
				g, i := splitLogKey(k)
				return g != w.generation || i <= w.base.index
			}, logKey(w.generation+1, 0))
		}
		w.clean = more
		if err == nil {
			err = w.s.phase("remove")
		}
		return err
	})
}
