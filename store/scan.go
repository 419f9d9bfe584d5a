package store

import (
	"encoding/binary"
	"os"
)

// contents is what a file holds, all of it checked.
type contents struct {
	identity
	head
	txid       uint64
	fileBytes  int64
	committedI uint64
	lastBytes  int
	logRecords int // after the base
	logBytes   int64
	snapBytes  int64
	stale      int // records that do not count any more, and are still to be removed
}

// scan reads and checks the file at path. Somebody must hold its lock. An error is a *damage, or the system's.
func scan(path string) (*contents, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	w, err := newWalker(f, info.Size())
	if err != nil {
		return nil, err
	}
	c := &contents{txid: w.txid, fileBytes: info.Size()}
	roots, err := w.bucketRoots()
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if roots[string(b)] == nil {
			return nil, damaged("bucket %s is not there", b)
		}
	}
	if len(roots) != len(buckets) {
		return nil, damaged("%d buckets, not %d", len(roots), len(buckets))
	}
	for _, part := range []struct {
		bucket []byte
		scan   func(*walker, []byte) error
	}{{bucketMeta, c.scanMeta}, {bucketQuorum, c.scanQuorum}, {bucketTail, c.scanTail}, {bucketSnap, c.scanSnap}, {bucketLog, c.scanLog}} {
		if err := part.scan(w, roots[string(part.bucket)]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *contents) scanMeta(w *walker, root []byte) error {
	var seat, head bool
	err := w.bucket(root, func(k, v []byte) error {
		switch string(k) {
		case string(keySeat):
			b, err := open(bucketMeta, k, v, 4)
			if err != nil {
				return err
			}
			if c.identity.format = binary.LittleEndian.Uint32(b); c.identity.format != format {
				return errFormat(c.identity.format)
			}
			if len(b) != identityBytes {
				return damaged("record %s has %d bytes", name(bucketMeta, k), len(v))
			}
			c.identity, seat = parseIdentity(b), true
		case string(keyHead):
			b, err := open(bucketMeta, k, v, headBytes)
			if err != nil {
				return err
			}
			c.head, head = parseHead(b), true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !seat || !head {
		return damaged("bucket meta lacks a record")
	}
	if c.generation >= c.next || c.snap >= c.nextSnap || c.end.index < c.base.index {
		return damaged("record meta \"head\" does not make sense")
	}
	return nil
}

func (c *contents) scanQuorum(w *walker, root []byte) error {
	var last, committed bool
	err := w.bucket(root, func(k, v []byte) error {
		b, err := open(bucketQuorum, k, v, 0)
		if err != nil {
			return err
		}
		switch string(k) {
		case string(keyLast):
			last, c.lastBytes = true, len(b)
		case string(keyCommitted):
			if len(b) != 8 {
				return damaged("record %s has %d bytes", name(bucketQuorum, k), len(v))
			}
			committed, c.committedI = true, binary.LittleEndian.Uint64(b)
		}
		return nil
	})
	if err == nil && (last != c.head.quorum || committed != c.head.committed) {
		return damaged("bucket quorum lacks a record")
	}
	return err
}

func (c *contents) scanTail(w *walker, root []byte) error {
	n := 0
	err := w.bucket(root, func(k, v []byte) error {
		if string(k) != string(tailKey(n)) {
			return damaged("record tail %d is not there", n)
		}
		n++
		_, err := open(bucketTail, k, v, 0)
		return err
	})
	if err == nil && n != int(c.tail) {
		return damaged("the tail has %d records, and had %d", n, c.tail)
	}
	return err
}

func (c *contents) scanSnap(w *walker, root []byte) error {
	var pieces uint32
	goesOn := false
	err := w.bucket(root, func(k, v []byte) error {
		if len(k) != snapKeyBytes {
			return damaged("record %s", name(bucketSnap, k))
		}
		s, p := splitSnapKey(k)
		if s != c.snap {
			c.stale++ // an older one that goes, or a newer one that was not complete
			return nil
		}
		b, err := open(bucketSnap, k, v, 1)
		if err != nil {
			return err
		}
		if p != pieces {
			return damaged("record %s is not there", name(bucketSnap, snapKey(s, pieces)))
		}
		pieces++
		c.snapBytes += int64(len(b) - 1)
		goesOn = b[0] != 0
		return nil
	})
	if err == nil && (pieces != c.pieces || goesOn) {
		return damaged("snapshot %d has %d pieces, and had %d", c.snap, pieces, c.pieces)
	}
	return err
}

func (c *contents) scanLog(w *walker, root []byte) error {
	at := c.base
	err := w.bucket(root, func(k, v []byte) error {
		if len(k) != logKeyBytes {
			return damaged("record %s", name(bucketLog, k))
		}
		g, i := splitLogKey(k)
		if g != c.generation || i <= c.base.index {
			c.stale++
			return nil
		}
		next, b, err := openLog(k, v, at)
		if err != nil {
			return err
		}
		at = next
		c.logRecords++
		c.logBytes += int64(len(b))
		return nil
	})
	if err == nil && at != c.end {
		return damaged("the log ends at %d, and ended at %d", at.index, c.end.index)
	}
	return err
}

// openLog checks the log's record v, which must follow on at, and returns the point after it and its bytes.
func openLog(k, v []byte, at point) (point, []byte, error) {
	b, err := open(bucketLog, k, v, logHeader-crcBytes)
	if err != nil {
		return at, nil, err
	}
	le := binary.LittleEndian
	_, i := splitLogKey(k)
	before, after := point{le.Uint64(b), le.Uint64(b[8:])}, point{i, le.Uint64(b[16:])}
	if before != at || after.index <= at.index {
		return at, nil, damaged("record %s does not follow on %d: one between is not there", name(bucketLog, k), at.index)
	}
	return after, b[logHeader-crcBytes:], nil
}
