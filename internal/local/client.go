package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	socketSuffix = ".sock"
	newSuffix    = ".new" // of a socket that does not take connections yet
	lastSuffix   = ".json"
	// longest is what an answer may have at most, bytes.
	longest = 256 << 20
	// lastFor is how long the last answer of a process that is gone is kept.
	lastFor = 24 * time.Hour
)

// Channel is one channel of a process of this user.
type Channel struct {
	Process int
	Number  int  // in the process, from 1
	Alive   bool // its socket takes connections

	name string
}

// List finds the channels that have files in dir, those of one process together, and removes what dead ones have left
// behind, but for their last answers of a day.
func List(dir string) (all []Channel, err error) {
	if err := check(dir); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		base, suffix, _ := strings.Cut(f.Name(), ".")
		pid, number, _ := strings.Cut(base, "-")
		c := Channel{name: filepath.Join(dir, base)}
		var perr, nerr error
		c.Process, perr = strconv.Atoi(pid)
		c.Number, nerr = strconv.Atoi(number)
		if perr != nil || nerr != nil || c.Process <= 0 || c.Number <= 0 || "."+suffix != socketSuffix && "."+suffix != lastSuffix {
			continue
		}
		if slices.ContainsFunc(all, func(o Channel) bool { return o.name == c.name }) {
			continue
		}
		if c.Alive = c.answers(); !c.Alive {
			_ = os.Remove(c.name + socketSuffix)
			if i, err := os.Stat(c.name + lastSuffix); err != nil {
				continue // nothing is left
			} else if time.Since(i.ModTime()) > lastFor {
				_ = os.Remove(c.name + lastSuffix)
				continue
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Channel) int {
		if a.Process != b.Process {
			return a.Process - b.Process
		}
		return a.Number - b.Number
	})
	return all, nil
}

// answers reports whether somebody listens at the socket, be it that others are before us.
func (c *Channel) answers() bool {
	conn, err := net.Dial("unix", c.name+socketSuffix)
	if err != nil {
		return errors.Is(err, syscall.EAGAIN)
	}
	_ = conn.Close()
	return true
}

// Ask asks the channel.
func (c *Channel) Ask(ctx context.Context) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.name+socketSuffix)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(conn, request); err != nil {
		return nil, firstOf(ctx.Err(), err)
	}
	b, err := readAll(conn)
	if err != nil {
		return nil, firstOf(ctx.Err(), err)
	}
	return whole(b)
}

// Last is the last answer of the channel, and when it was written.
func (c *Channel) Last() (answer []byte, at time.Time, err error) {
	f, err := os.Open(c.name + lastSuffix)
	if err != nil {
		return nil, at, err
	}
	defer f.Close()
	if i, err := f.Stat(); err == nil {
		at = i.ModTime()
	}
	b, err := readAll(f)
	if err == nil {
		b, err = whole(b)
	}
	return b, at, err
}

func readAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, longest+1))
	if err == nil && len(b) > longest {
		err = fmt.Errorf("an answer of more than %d bytes", longest)
	}
	return b, err
}

// whole judges an answer.
func whole(b []byte) ([]byte, error) {
	var failed struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(b, &failed); err != nil {
		return nil, fmt.Errorf("not a whole answer: %w", err)
	}
	if failed.Error != "" {
		return nil, errors.New(failed.Error)
	}
	return b, nil
}

// Failure is the answer that says why there is none.
func Failure(err error) []byte {
	b, _ := json.Marshal(map[string]string{"error": err.Error()}) // of texts: no error
	return b
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
