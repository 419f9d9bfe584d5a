package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/activeblaze/blaze"
)

// texts calls f with each message that the arguments of a command mean: each argument, or, for none and for
// "-", each line of standard input without its end. A line above limit bytes is an error. With again the arguments come
// again and again, until f returns an error.
func (a *app) texts(ctx context.Context, args []string, again bool, limit int, f func(string) error) error {
	if len(args) > 0 && !(len(args) == 1 && args[0] == "-") {
		for first := true; first || again; first = false {
			for _, text := range args {
				if err := f(text); err != nil {
					return err
				}
			}
		}
		return nil
	}
	r, n := bufio.NewReaderSize(a.stdin, 64<<10), 0
	return a.each(ctx, func() (string, error) {
		n++
		line, err := readLine(r, limit)
		if err != nil && err != io.EOF {
			err = fmt.Errorf("standard input, line %d: %w", n, err)
		}
		return line, err
	}, f)
}

// each calls f with what read returns until that is io.EOF, or ctx ends.
func (a *app) each(ctx context.Context, read func() (string, error), f func(string) error) error {
	type result struct {
		line string
		err  error
	}
	results := make(chan result)
	ended, end := context.WithCancel(ctx)
	defer end()
	go func() { // what reads from a terminal or pipe cannot be interrupted: this goroutine is left behind
		for {
			line, err := read()
			select {
			case results <- result{line, err}:
			case <-ended.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case r := <-results:
			switch {
			case r.err == io.EOF:
				return nil
			case r.err != nil:
				return r.err
			}
			if err := f(r.line); err != nil {
				return err
			}
		}
	}
}

// readLine reads a line without its end. The last one may lack it.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > limit+2 {
			return "", fmt.Errorf("%w: more than %d bytes (MaxMessageSize)", blaze.ErrTooLarge, limit)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
		line = line[:len(line)-1]
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		return string(line), nil
	}
}

// textMessage is a Message with a text from the command line.
func textMessage(text string) (*blaze.Message, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%q is not UTF-8, which the text of a message must be", abridged(text))
	}
	return blaze.NewTextMessage(text), nil
}

// abridged is the beginning of a text, for errors.
func abridged(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
