package abi

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/activeblaze/blaze"
)

type publisher struct {
	part
	*blaze.Publisher
}

func (p *publisher) close() error { return p.Publisher.Close() }

// NewPublisher makes a publisher of a topic.
func NewPublisher(channel uint64, topic string) (uint64, error) {
	c, err := channelOf(channel)
	if err != nil {
		return 0, err
	}
	p, err := c.Publisher(topic)
	if err != nil {
		return 0, err
	}
	return adopt(KindPublisher, &publisher{part{c}, p})
}

// Offer hands a payload over for sending.
func Offer(h uint64, payload []byte) error {
	p, ok := handles.get(h).(*publisher)
	if !ok {
		return badHandle(h, KindPublisher)
	}
	return p.Offer(payload)
}

// Receivers is the number of known receivers.
func Receivers(h uint64) (int, error) {
	p, err := look[*publisher](h, KindPublisher)
	if err != nil {
		return 0, err
	}
	return p.Receivers(), nil
}

// WaitReceivers waits for n receivers.
func WaitReceivers(h uint64, n uint64, timeout int64) error {
	p, err := look[*publisher](h, KindPublisher)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return p.WaitReceivers(ctx, int(min(n, math.MaxInt32)))
}

// claim is an open claim. Its lock keeps two callers apart that use one handle at a time.
type claim struct {
	part
	mu sync.Mutex
	c  blaze.Claim
}

func (c *claim) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.c.Abort()
	return nil
}

// NewClaim takes room for a payload. The bytes are the caller's until Commit, Abort or the channel's stop. They lie in
// packet memory or in a command ring, which Go's collector does not move.
func NewClaim(publisherHandle uint64, n uint64) (h uint64, room []byte, err error) {
	p, err := look[*publisher](publisherHandle, KindPublisher)
	if err != nil {
		return 0, nil, err
	}
	if n > math.MaxInt32 {
		return 0, nil, fmt.Errorf("%w: a claim of %d bytes", blaze.ErrTooLarge, n)
	}
	c := &claim{part: part{p.of}}
	if c.c, err = p.Claim(int(n)); err != nil {
		return 0, nil, err
	}
	room = c.c.Bytes()
	if h, err = adopt(KindClaim, c); err != nil {
		return 0, nil, err
	}
	return h, room, nil
}

// Commit sends what was filled in, and closes the handle; on ErrBackPressure the claim stays open.
func Commit(h uint64) error {
	c, err := look[*claim](h, KindClaim)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = c.c.Commit(); !errors.Is(err, blaze.ErrBackPressure) {
		handles.remove(h)
	}
	return err
}

// Abort gives the room back.
func Abort(h uint64) error {
	if _, err := look[*claim](h, KindClaim); err != nil {
		return err
	}
	return Close(h)
}

// Broadcast sends a Message to all that subscribe to the topic. A copy is sent: while the call waits, a handler may use the
// message.
func Broadcast(channel uint64, topic string, message uint64, timeout int64) error {
	c, err := channelOf(channel)
	if err != nil {
		return err
	}
	m, err := copyOf(message)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	if err = c.Broadcast(ctx, topic, m); timeout == 0 && errors.Is(err, ended.Err()) {
		return blaze.ErrBackPressure
	}
	return err
}
