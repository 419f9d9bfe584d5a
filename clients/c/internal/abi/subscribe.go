package abi

import (
	"errors"
	"fmt"

	"github.com/activeblaze/blaze"
)

type subscription struct {
	part
	*blaze.Subscription
	poll *poller // nil: it has a callback
}

func (s *subscription) close() error {
	if s.poll != nil {
		s.poll.end()
	}
	err := s.Subscription.Close()
	if s.poll != nil {
		s.poll.free()
	}
	return err
}

// Subscribe has onMessage called with what comes on the topics that match; onLoss may be nil.
func Subscribe(channel uint64, pattern string, inline bool, onMessage func(*blaze.Delivery), onLoss func(*blaze.Loss)) (uint64, error) {
	c, err := channelOf(channel)
	if err != nil {
		return 0, err
	}
	var opts []blaze.SubscribeOption
	if inline {
		opts = append(opts, blaze.Inline())
	}
	if onLoss != nil {
		opts = append(opts, blaze.OnLoss(func(l blaze.Loss) { onLoss(&l) }))
	}
	s, err := c.SubscribePayload(pattern, onMessage, opts...)
	if err != nil {
		return 0, err
	}
	return adopt(KindSubscription, &subscription{part{c}, s, nil})
}

// SubscribePoll is Subscribe for Poll.
func SubscribePoll(channel uint64, pattern string) (uint64, error) {
	c, err := channelOf(channel)
	if err != nil {
		return 0, err
	}
	p := newPoller()
	s, err := c.SubscribePayload(pattern, p.message, blaze.OnLoss(p.loss))
	if err != nil {
		p.free()
		return 0, err
	}
	return adopt(KindSubscription, &subscription{part{c}, s, p})
}

// Poll hands out what has come, up to max events, and waits for the first. What it hands out is lent until the next Poll.
func Poll(h uint64, max int, timeout int64, out func(i int, e *Event)) (int, error) {
	s, err := look[*subscription](h, KindSubscription)
	switch {
	case err != nil:
		return 0, err
	case s.poll == nil:
		return 0, fmt.Errorf("%w: poll of a subscription that has a callback", blaze.ErrArgument)
	case max <= 0:
		return 0, fmt.Errorf("%w: poll of no events", blaze.ErrArgument)
	}
	n, err := s.poll.take(max, timeout, s.Done(), out)
	if err == errEnded {
		if err = s.Err(); err == nil {
			err = fmt.Errorf("%w: the subscription was closed while it was polled", blaze.ErrClosed)
		}
	}
	return n, err
}

// SubscriptionError is nil while a subscription lives, else why it ended.
func SubscriptionError(h uint64) error {
	s, err := look[*subscription](h, KindSubscription)
	if err != nil {
		return err
	}
	return s.Err()
}

var errEnded = errors.New("ended")
