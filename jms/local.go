package jms

import (
	"context"
	"slices"
	"sync"
)

// local are messages that have arrived and that nobody has received: those of one consumer of a topic or direct queue,
// or those of a temporary queue, which its consumers share. It is safe for concurrent use.
type local struct {
	picky  bool // not every consumer takes every message
	mu     sync.Mutex
	items  []*Message
	limit  int
	closed bool
	waits  int           // calls of put that wait for room
	room   chan struct{} // has a token when there may be room; closed with local
	wakes  []*waker
}

// waker wakes a consumer.
type waker struct {
	c       chan struct{} // one token: there may be something
	session *session      // whose goroutine calls the consumer's listener; nil: there is none
}

func (w *waker) wake() {
	select {
	case w.c <- struct{}{}:
	default:
	}
	if w.session != nil {
		w.session.wake()
	}
}

func newLocal(limit int, picky bool) *local {
	return &local{limit: limit, picky: picky, room: make(chan struct{}, 1)}
}

// attach has w woken when a message comes.
func (l *local) attach(w *waker) {
	l.mu.Lock()
	l.wakes = append(l.wakes, w)
	l.mu.Unlock()
	w.wake()
}

// detach undoes attach. Another consumer may have to look.
func (l *local) detach(w *waker) {
	l.mu.Lock()
	l.wakes = slices.DeleteFunc(l.wakes, func(o *waker) bool { return o == w })
	l.wakeAll()
	l.mu.Unlock()
}

func (l *local) wakeAll() {
	for _, w := range l.wakes {
		w.wake()
	}
}

// put adds a message at the end. It waits while there is no room, and returns false once l is closed.
func (l *local) put(ctx context.Context, m *Message) bool {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return false
		}
		if len(l.items) < l.limit {
			l.items = append(l.items, m)
			if l.picky || len(l.items) == 1 { // else who takes the one before looks again
				l.wakeAll()
			}
			if len(l.items) < l.limit {
				l.signal() // another one that waits
			}
			l.mu.Unlock()
			return true
		}
		l.waits++
		l.mu.Unlock()
		select {
		case <-l.room:
		case <-ctx.Done():
		}
		l.mu.Lock()
		l.waits--
		if ctx.Err() != nil {
			l.signal() // the token was perhaps another one's
			l.mu.Unlock()
			return false
		}
		l.mu.Unlock()
	}
}

// signal wakes one of those that wait for room. mu is held.
func (l *local) signal() {
	if l.waits == 0 || l.closed {
		return
	}
	select {
	case l.room <- struct{}{}:
	default:
	}
}

// back puts messages at the front, in their order: they were given back. There is always room for them.
// It returns false once l is closed.
func (l *local) back(ms []*Message) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.items = slices.Concat(ms, l.items)
	l.wakeAll()
	return true
}

// take removes the first message that match is true for; nil: there is none.
func (l *local) take(match func(*Message) bool) *Message {
	l.mu.Lock()
	for i, m := range l.items {
		if match != nil && !match(m) {
			continue
		}
		if i == 0 {
			l.items[0] = nil
			l.items = l.items[1:]
		} else {
			l.items = slices.Delete(l.items, i, i+1)
		}
		if len(l.items) <= l.limit/2 { // not for each place: who waits is woken for many
			l.signal()
		}
		l.mu.Unlock()
		return m
	}
	l.mu.Unlock()
	return nil
}

// close makes put fail, and returns what is left.
func (l *local) close() []*Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.room)
	left := l.items
	l.items = nil
	l.wakeAll()
	return left
}
