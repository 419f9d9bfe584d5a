package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// output is standard output. Lines are written as they come; under load many go out with one system call.
// Any goroutine may write.
type output struct {
	file  io.Writer
	fail  context.CancelCauseFunc // the run ends with the first error
	dirty chan struct{}           // holds a token while there is something to flush
	ended chan struct{}

	mu     sync.Mutex
	w      *bufio.Writer
	err    error
	closed bool
}

func newOutput(file io.Writer, fail context.CancelCauseFunc) *output {
	o := &output{file: file, fail: fail, w: bufio.NewWriterSize(file, 64<<10), dirty: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		for range o.dirty {
			o.flush()
		}
	}()
	return o
}

// Write takes all of b, or drops it after an earlier error.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil || o.closed {
		return len(b), nil
	}
	_, err := o.w.Write(b)
	o.failed(err)
	select {
	case o.dirty <- struct{}{}:
	default:
	}
	return len(b), nil
}

func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed(o.w.Flush())
}

// failed keeps the first error. The lock is held.
func (o *output) failed(err error) {
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("standard output: %w", err)
		o.fail(o.err)
	}
}

// close writes what is left and returns the first error.
func (o *output) close() error {
	o.mu.Lock()
	o.closed = true
	close(o.dirty)
	o.mu.Unlock()
	<-o.ended
	o.flush()
	return o.err
}

// line prints one line.
func (o *output) line(s string) { _, _ = io.WriteString(o, s+"\n") }

// object prints one JSON object as a line.
func (o *output) object(v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("blaze: an object that is no JSON: " + err.Error()) // the objects are this package's own
	}
	_, _ = o.Write(b.Bytes())
}

// width is the number of columns of the terminal that output is; 0 where it is none.
func (o *output) width() int {
	f, ok := o.file.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return 80
}

// text is s as it is, but on a terminal with its control characters escaped.
func (o *output) text(s string) string {
	if o.width() > 0 {
		return oneLine(s)
	}
	return s
}

// stamp is a time in JSON: RFC 3339, in UTC, with all nine digits of nanoseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000000Z07:00") }

// clock is a time for people.
func clock(t time.Time) string { return t.Format("15:04:05.000") }

// oneLine has the control characters of s escaped: what comes from the network may not move a terminal's
// cursor, and a message is a line.
func oneLine(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || !printable(r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case printable(r):
			b.WriteString(s[:n])
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// printable reports whether r stands for itself on a terminal. The marks that turn the direction of writing do not.
func printable(r rune) bool { return r == ' ' || unicode.IsPrint(r) }

// shortDuration prints a duration for people, with three digits.
func shortDuration(d time.Duration) string {
	for _, u := range []struct {
		unit  string
		scale time.Duration
	}{{"s", time.Second}, {"ms", time.Millisecond}, {"µs", time.Microsecond}} {
		if d >= u.scale {
			return strconv.FormatFloat(float64(d)/float64(u.scale), 'g', 3, 64) + " " + u.unit
		}
	}
	return strconv.FormatInt(int64(d), 10) + " ns"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
