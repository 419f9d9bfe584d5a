package abi

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/activeblaze/blaze"
)

// Join and Leave change the groups that the member is in.
func Join(h uint64, group string) error {
	c, err := groupOf(h)
	if err != nil {
		return err
	}
	return c.group.Join(group)
}

// Leave undoes Join.
func Leave(h uint64, group string) error {
	c, err := groupOf(h)
	if err != nil {
		return err
	}
	return c.group.Leave(group)
}

// Local is this member.
func Local(h uint64) (m blaze.Member, err error) {
	c, err := groupOf(h)
	if err != nil {
		return m, err
	}
	return c.group.Local(), nil
}

// Members are the members of a group; of the cluster where group is nil.
func Members(h uint64, group *string) ([]blaze.Member, error) {
	c, err := groupOf(h)
	if err != nil {
		return nil, err
	}
	if group == nil {
		return c.group.Members(), nil
	}
	return c.group.MembersOf(*group), nil
}

// MemberByID looks up a member.
func MemberByID(h uint64, id blaze.MemberID) (m blaze.Member, err error) {
	c, err := groupOf(h)
	if err != nil {
		return m, err
	}
	m, ok := c.group.Member(id)
	if !ok {
		return m, fmt.Errorf("%w: no member %v is here", ErrNotFound, id)
	}
	return m, nil
}

// MemberNamed looks up a member by its name.
func MemberNamed(h uint64, name string) (m blaze.Member, err error) {
	c, err := groupOf(h)
	if err != nil {
		return m, err
	}
	m, ok := c.group.MemberNamed(name)
	if !ok {
		return m, fmt.Errorf("%w: no member is named %q", ErrNotFound, name)
	}
	return m, nil
}

// WaitMembers waits for n members.
func WaitMembers(h uint64, n uint64, timeout int64) error {
	c, err := groupOf(h)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return c.group.WaitMembers(ctx, int(min(n, math.MaxInt32)))
}

// Send sends a message to an in-box of one member.
func Send(h uint64, to blaze.MemberID, inbox string, message uint64, timeout int64) error {
	c, m, err := groupAnd(h, message)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return c.group.SendInbox(ctx, to, inbox, m)
}

// groupAnd is a group channel, and a copy of a message that a call sends.
func groupAnd(h, message uint64) (*channel, *blaze.Message, error) {
	c, err := groupOf(h)
	if err != nil {
		return nil, nil, err
	}
	m, err := copyOf(message)
	return c, m, err
}

// SendGroup sends a message to the members of a group.
func SendGroup(h uint64, group string, message uint64, timeout int64) error {
	c, m, err := groupAnd(h, message)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return c.group.SendGroup(ctx, group, m)
}

// Request sends a request to one member and returns the reply's handle.
func Request(h uint64, to blaze.MemberID, message uint64, timeout int64) (uint64, error) {
	c, m, err := groupAnd(h, message)
	if err != nil {
		return 0, err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	reply, err := c.group.Request(ctx, to, m)
	if err != nil {
		return 0, err
	}
	return adoptMessage(reply)
}

// Reply answers a request. The request's message itself is needed, since a copy of it is answered but once all the same.
func Reply(h uint64, request, reply uint64, timeout int64) error {
	c, m, err := groupAnd(h, reply)
	if err != nil {
		return err
	}
	asked, err := copyOf(request)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return c.group.Reply(ctx, asked, m)
}

// Enqueue hands a message to one consumer of a queue.
func Enqueue(h uint64, queue string, message uint64, timeout int64) error {
	c, m, err := groupAnd(h, message)
	if err != nil {
		return err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	return c.group.Enqueue(ctx, queue, m)
}

// RequestQueue is Enqueue of a request.
func RequestQueue(h uint64, queue string, message uint64, timeout int64) (uint64, error) {
	c, m, err := groupAnd(h, message)
	if err != nil {
		return 0, err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	reply, err := c.group.RequestQueue(ctx, queue, m)
	if err != nil {
		return 0, err
	}
	return adoptMessage(reply)
}

// Queues are the names of the queues that members consume from, as a JSON array.
func Queues(h uint64) ([]byte, error) {
	c, err := groupOf(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(append([]string{}, c.group.Queues()...))
}

// HandleInbox has f called with the messages to an in-box. A message is closed when f has returned, unless it was kept.
func HandleInbox(h uint64, inbox string, f func(message uint64)) (uint64, error) {
	c, err := groupOf(h)
	if err != nil {
		return 0, err
	}
	s, err := c.group.HandleInbox(inbox, func(m *blaze.Message) {
		if mh, err := adoptMessage(m); err == nil {
			f(mh)
			handled(mh)
		}
	})
	if err != nil {
		return 0, err
	}
	return adopt(KindSubscription, &subscription{part{c}, s, nil})
}

// Consume takes part in consuming a queue. f returns 0 for a message that is done with.
func Consume(h uint64, queue string, exclusive bool, f func(message uint64) int) (uint64, error) {
	c, err := groupOf(h)
	if err != nil {
		return 0, err
	}
	var opts []blaze.ConsumeOption
	if exclusive {
		opts = append(opts, blaze.Exclusive())
	}
	s, err := c.group.Consume(queue, func(m *blaze.Message) error {
		mh, err := adoptMessage(m)
		if err != nil {
			return err
		}
		defer handled(mh)
		if code := f(mh); code != 0 {
			return fmt.Errorf("the handler returned %d", code)
		}
		return nil
	}, opts...)
	if err != nil {
		return 0, err
	}
	return adopt(KindSubscription, &subscription{part{c}, s, nil})
}

// call is a call while its handler runs.
type call struct {
	mu sync.Mutex
	c  *blaze.Call // nil: the handler has returned
}

func (c *call) close() error { return nil }

// HandleCalls has f called with the calls to an in-box; handle is for CallReply while f runs, 0 where it is no request.
func HandleCalls(h uint64, inbox string, inline bool, f func(handle uint64, c *blaze.Call)) (uint64, error) {
	c, err := groupOf(h)
	if err != nil {
		return 0, err
	}
	var opts []blaze.SubscribeOption
	if inline {
		opts = append(opts, blaze.Inline())
	}
	s, err := c.group.HandleCalls(inbox, func(b *blaze.Call) {
		if !b.Wanted {
			f(0, b)
			return
		}
		lent := &call{c: b}
		ch, err := handles.add(KindCall, lent)
		if err != nil {
			return
		}
		f(ch, b)
		lent.mu.Lock()
		lent.c = nil
		lent.mu.Unlock()
		handles.remove(ch)
	}, opts...)
	if err != nil {
		return 0, err
	}
	return adopt(KindSubscription, &subscription{part{c}, s, nil})
}

// CallReply answers a call while its handler runs.
func CallReply(h uint64, payload []byte) error {
	c, err := look[*call](h, KindCall)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.c == nil {
		return badHandle(h, KindCall)
	}
	return c.c.Reply(payload)
}

// RequestPayload sends a request without Messages, and writes the reply into room. n is the reply's length, also where
// that is more than there is room for, which is ErrTooLarge.
func RequestPayload(h uint64, to blaze.MemberID, inbox string, payload, room []byte, timeout int64) (n int, err error) {
	c, err := groupOf(h)
	if err != nil {
		return 0, err
	}
	ctx, cancel := within(timeout)
	defer cancel()
	reply, err := c.group.RequestPayload(ctx, to, inbox, payload, room[:0])
	switch {
	case err != nil:
		return 0, err
	case len(reply) > len(room):
		return len(reply), fmt.Errorf("%w: a reply of %d bytes, with room for %d", blaze.ErrTooLarge, len(reply), len(room))
	}
	return len(reply), nil
}
