package abi

import (
	"context"
	"time"
)

// Forever is the timeout of a wait that has no end.
const Forever = -1

// maxTimeout is the longest timeout that is told from Forever, in milliseconds: some 290 years fit a Duration.
const maxTimeout = int64(1<<63-1) / int64(time.Millisecond)

// within makes the context of a wait of at most ms milliseconds; any negative number is Forever.
func within(ms int64) (context.Context, context.CancelFunc) {
	switch {
	case ms < 0 || ms > maxTimeout:
		return context.Background(), func() {}
	case ms == 0:
		return ended, func() {}
	}
	return context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
}

// ended is the context of a call that does not wait.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()
