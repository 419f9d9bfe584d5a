package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The files of a directory.
const (
	fileName = "blaze.db"
	newName  = "blaze.new-" // being made; with a random end
)

// lockWait is how long Open waits for whoever has the directory. Tests make it shorter.
var lockWait = time.Second

// errFormat is a format that this build does not have.
type errFormat uint32

func (e errFormat) Error() string {
	return fmt.Sprintf("format %d, and this build has format %d", uint32(e), format)
}

// boltFile is a bbolt database, and the file beneath it. After a panic in bbolt its locks may be held for ever: then only
// the file is closed, which gives up the directory's lock, and the mapping stays until the process ends.
type boltFile struct {
	db       *bolt.DB
	file     *os.File
	log      *boltLog
	panicked bool
}

// openBolt opens path. bbolt locks the file: alone to write, with other readers to read.
func openBolt(path string, readOnly bool, wait time.Duration) (*boltFile, error) {
	b := &boltFile{log: new(boltLog)}
	options := &bolt.Options{
		Timeout: wait, ReadOnly: readOnly,
		NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoStatistics: true,
		Logger: b.log,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag, mode)
			b.file = f
			return f, err
		},
	}
	if !readOnly && runtime.GOOS != "windows" { // there a mapping makes the file as long as it is
		options.InitialMmapSize = 256 << 20
	}
	err := b.guard(func() (err error) {
		b.db, err = bolt.Open(path, 0o600, options)
		return err
	})
	if err != nil {
		if b.panicked {
			b.close()
		}
		return nil, err
	}
	b.log.armed = true
	return b, nil
}

// guard calls f and makes a panic an error, also one of a page that the file does not have any more.
func (b *boltFile) guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case boltError:
			b.panicked, err = true, p.err
		default:
			b.panicked, err = true, fmt.Errorf("bbolt: %v", p)
		}
	}()
	return f()
}

// close gives up the file and its lock.
func (b *boltFile) close() error {
	if b.panicked {
		unlock(b.file) // the mapping would keep the lock
		return b.file.Close()
	}
	return b.guard(b.db.Close)
}

// boltLog ends a transaction at its first error. bbolt logs it before it rolls back, and to roll back it reads the whole
// file in another goroutine: on a disk that fails that would end the process.
type boltLog struct{ armed bool }

type boltError struct{ err error }

func (l *boltLog) fail(args ...any) {
	if !l.armed {
		return
	}
	for i := len(args) - 1; i >= 0; i-- {
		if err, ok := args[i].(error); ok {
			panic(boltError{err})
		}
	}
	panic(boltError{errors.New(fmt.Sprint(args...))})
}

func (l *boltLog) Debug(...any)            {}
func (l *boltLog) Debugf(string, ...any)   {}
func (l *boltLog) Info(...any)             {}
func (l *boltLog) Infof(string, ...any)    {}
func (l *boltLog) Warning(...any)          {}
func (l *boltLog) Warningf(string, ...any) {}
func (l *boltLog) Error(v ...any)          { l.fail(v...) }
func (l *boltLog) Errorf(_ string, v ...any) {
	l.fail(v...)
}
func (l *boltLog) Fatal(v ...any)            { l.fail(v...) }
func (l *boltLog) Fatalf(_ string, v ...any) { l.fail(v...) }
func (l *boltLog) Panic(v ...any)            { l.fail(v...) }
func (l *boltLog) Panicf(_ string, v ...any) { l.fail(v...) }

// create makes the file of an empty directory, with a new seat. It appears under its name complete, or not at all, so a
// crash leaves nothing that looks like damage; of two processes one makes it.
func create(dir string, cluster uint64) error {
	id := identity{format: format, cluster: cluster}
	var end [8]byte
	rand.Read(id.seat[:])
	rand.Read(end[:])
	made := filepath.Join(dir, newName+hex.EncodeToString(end[:]))
	defer os.Remove(made)
	b, err := openBolt(made, false, lockWait)
	if err != nil {
		return err
	}
	err = b.guard(func() error {
		return b.db.Update(func(tx *bolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			m := tx.Bucket(bucketMeta)
			if err := m.Put(keySeat, seal(bucketMeta, keySeat, id.append(make([]byte, crcBytes)))); err != nil {
				return err
			}
			return putHead(tx, &head{generation: 1, next: 2, nextSnap: 1})
		})
	})
	if err = errors.Join(err, b.close()); err != nil {
		return err
	}
	if err := writeTold(dir, 0); err != nil {
		return err
	}
	if err := os.Link(made, filepath.Join(dir, fileName)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(dir)
}

func putHead(tx *bolt.Tx, h *head) error {
	return tx.Bucket(bucketMeta).Put(keyHead, seal(bucketMeta, keyHead, h.append(make([]byte, crcBytes))))
}

// syncDir makes the names in dir durable. Windows has nothing of the kind and needs nothing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeLeft removes what a crash in create left behind.
func removeLeft(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, newName+"*"))
	for _, f := range left {
		os.Remove(f)
	}
}

// check locks the directory's file for reading and reads all of it.
func check(dir string, wait time.Duration) (*contents, error) {
	path := filepath.Join(dir, fileName)
	if info, err := os.Stat(path); err == nil && info.Size() == 0 { // bbolt would make a new one of it
		return nil, damaged("the file %s is empty", fileName)
	}
	b, err := openBolt(path, true, wait)
	if err != nil {
		var system *fs.PathError
		var number syscall.Errno
		if !errors.Is(err, berrors.ErrTimeout) && !errors.As(err, &system) && !errors.As(err, &number) {
			err = damaged("the file is no database: %v", err)
		}
		return nil, err
	}
	defer b.close()
	c, err := scan(path)
	if err != nil {
		return nil, err
	}
	told, err := readTold(dir)
	if err != nil {
		return nil, err
	}
	if told > c.txid {
		return nil, damaged("the newest transaction is %d, and %d was there", c.txid, told)
	}
	return c, nil
}

// explain makes err an *Error.
func explain(dir string, err error) error {
	e := &Error{Dir: dir, Cause: err}
	var d *damage
	var f errFormat
	var is *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &is):
		return err
	case errors.As(err, &d):
		e.Kind, e.What, e.Cause, e.Remedy = ErrDamaged, d.what, nil, remedyDamaged
	case errors.As(err, &f):
		e.Kind, e.What, e.Cause, e.Remedy = ErrFormat, f.Error(), nil, remedyFormat
	case errors.Is(err, berrors.ErrTimeout):
		e.Kind, e.Cause, e.Remedy = ErrInUse, nil, remedyInUse
	case noRoom(err):
		e.Kind, e.Remedy = ErrFull, remedyFull
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || readOnlyDisk(err) || errors.Is(err, fs.ErrExist):
		e.Kind, e.Remedy = ErrAccess, remedyAccess
	default:
		e.Kind, e.Remedy = ErrFailed, remedyFailed
	}
	return e
}
