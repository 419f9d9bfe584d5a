package jms

import (
	"fmt"
	"sync"

	"github.com/activeblaze/blaze/internal/gid"
)

// guard lets one goroutine at a time use a context. That goroutine may enter again: a listener that calls its context.
type guard struct {
	mu       sync.Mutex
	free     sync.Cond // of mu
	owner    uint64    // goroutine; 0: none
	depth    int
	handling bool // the owner is the session's own goroutine, which calls listeners
}

var errTwoGoroutines = fmt.Errorf("%w: another goroutine uses the context", ErrIllegalState)

// enter begins a use by the calling goroutine, or is refused.
func (g *guard) enter() error { return g.begin(gid.Current(), false, false) }

// enterBesideListener is enter for calls that set up consumers: they wait while a listener runs.
func (g *guard) enterBesideListener() error { return g.begin(gid.Current(), true, false) }

// take begins a use as soon as no other goroutine has one; listener: by the session's own goroutine.
func (g *guard) take(listener bool) {
	g.mu.Lock()
	self := gid.Current()
	for g.owner != 0 && g.owner != self {
		g.wait()
	}
	g.own(self, listener)
	g.mu.Unlock()
}

func (g *guard) begin(self uint64, besideListener, listener bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.owner != 0 && g.owner != self {
		if !besideListener || !g.handling {
			return errTwoGoroutines
		}
		g.wait()
	}
	g.own(self, listener)
	return nil
}

func (g *guard) own(self uint64, listener bool) {
	if g.depth == 0 {
		g.owner, g.handling = self, listener
	}
	g.depth++
}

func (g *guard) wait() {
	if g.free.L == nil {
		g.free.L = &g.mu
	}
	g.free.Wait()
}

// leave ends a use.
func (g *guard) leave() {
	g.mu.Lock()
	if g.depth--; g.depth == 0 {
		g.owner, g.handling = 0, false
		if g.free.L != nil {
			g.free.Broadcast()
		}
	}
	g.mu.Unlock()
}

// mine reports whether the calling goroutine is using the context.
func (g *guard) mine() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.owner == gid.Current()
}
