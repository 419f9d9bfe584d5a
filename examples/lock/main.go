// Lock has several members write one file, one at a time, under a lock of the cluster. The file refuses a writer whose
// token is lower than one that it has had: so a writer that stood still, and believes in a lock that another one has by
// now, does no harm.
//
//	go run ./examples/lock
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/activeblaze/blaze"
)

func main() {
	dir, err := os.MkdirTemp("", "blaze-lock")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := run(blaze.Config{}, filepath.Join(dir, "ledger"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// ledger is the resource: a file that keeps the highest token that it has had.
type ledger struct {
	mu      sync.Mutex
	path    string
	highest uint64
}

var errOldToken = errors.New("the token is older than that of another writer")

// write appends a line for whoever holds token.
func (l *ledger) write(token uint64, line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token < l.highest {
		return errOldToken
	}
	l.highest = token
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

func run(cfg blaze.Config, path string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cfg.ExpectedMembers = 3 // of which two have to be there
	var members []*blaze.ClusterChannel
	for _, name := range []string{"anna", "ben", "cora"} {
		c, err := blaze.NewClusterChannel(name, cfg)
		if err != nil {
			return err
		}
		defer c.Shutdown()
		if err = c.Start(); err != nil {
			return err
		}
		members = append(members, c)
	}
	for _, c := range members {
		if err := c.WaitReady(ctx); err != nil {
			return err
		}
	}

	// Each writes ten lines. Lock waits in line; the lease is longer than the work.
	file := &ledger{path: path}
	var work sync.WaitGroup
	failed := make(chan error, len(members))
	for _, c := range members {
		work.Go(func() {
			for n := range 10 {
				lock, err := c.Map("locks").Lock(ctx, "ledger", blaze.Lease(5*time.Second))
				if err == nil {
					err = file.write(lock.Token(), fmt.Sprintf("%s %d", c.Local().Name, n))
					err = errors.Join(err, lock.Unlock(ctx))
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	work.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := 0
	for _, b := range text {
		if b == '\n' {
			lines++
		}
	}
	fmt.Fprintln(out, lines, "lines, each by one writer")

	// Anna gets the lock, and then does nothing for longer than its lease.
	late, err := members[0].Map("locks").Lock(ctx, "ledger", blaze.Lease(100*time.Millisecond))
	if err != nil {
		return err
	}
	next, err := members[1].Map("locks").Lock(ctx, "ledger")
	if err != nil {
		return err
	}
	if err := file.write(next.Token(), "ben again"); err != nil {
		return err
	}
	<-late.Lost() // what a program should look at, beside Held
	fmt.Fprintln(out, "anna has lost the lock, held:", late.Held())
	fmt.Fprintln(out, "anna writes nevertheless:", file.write(late.Token(), "anna, late"))
	return next.Unlock(ctx)
}
