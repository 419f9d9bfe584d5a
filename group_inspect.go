package blaze

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/intake"
	"github.com/activeblaze/blaze/wire"
)

// inspectInbox is the in-box at which each member of a group shows what Inspect finds, unless Config.NoInspect.
const inspectInbox = "blaze.inspect"

const (
	// inspectEvery is the least time between two Inspections for other members, and between two answers to one of them. One
	// that asks sooner gets inspectBusy, and may ask again after inspectAgain.
	inspectEvery = 100 * time.Millisecond
	inspectAgain = 120 * time.Millisecond
	inspectBusy  = `{"error":"busy"}`
	// inspectRows is how many rows of each part an answer has at first. When it is too long it has a quarter of them, and
	// so on.
	inspectRows = 4096
	// inspectMargin is what a message takes besides its payload.
	inspectMargin = 1024
	// inspectAtOnce is how many members InspectAll asks at a time.
	inspectAtOnce = 32
)

// InspectAll inspects every member of the cluster that this one knows, itself included, and returns each as it answers.
// A member that has not answered when ctx ends, that does not show itself (Config.NoInspect, or an older version), or
// whose answer makes no sense comes with nil: at the end, or as soon as that is known. What a member says of itself is
// its own statement, cut to what a message holds: see Inspection.LeftOut.
func (g *GroupChannel) InspectAll(ctx context.Context) iter.Seq2[MemberID, *Inspection] {
	return func(yield func(MemberID, *Inspection) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type answer struct {
			of    MemberID
			found *Inspection
		}
		members := g.Members()
		answers, places := make(chan answer, len(members)), make(chan struct{}, inspectAtOnce)
		var all sync.WaitGroup
		for _, m := range members {
			all.Go(func() {
				select {
				case places <- struct{}{}:
					defer func() { <-places }()
				case <-ctx.Done():
					answers <- answer{m.ID, nil}
					return
				}
				answers <- answer{m.ID, g.inspectMember(ctx, m.ID)}
			})
		}
		for range members {
			if a := <-answers; !yield(a.of, a.found) {
				break
			}
		}
		cancel()
		all.Wait()
	}
}

// inspectMember asks one member, again while that is busy; nil: it has not answered.
func (g *GroupChannel) inspectMember(ctx context.Context, id MemberID) *Inspection {
	if id == g.ID() {
		v, err := g.Inspect(ctx)
		if err != nil {
			return nil
		}
		return v
	}
	for {
		b, err := g.RequestPayload(ctx, id, inspectInbox, nil, nil)
		if err != nil {
			return nil
		}
		if string(b) != inspectBusy {
			v, err := parseInspection(b, id)
			if err != nil {
				return nil
			}
			return v
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(inspectAgain):
		}
	}
}

// parseInspection reads what a member says of itself. Its length is bounded by Config.MaxMessageSize.
func parseInspection(b []byte, of MemberID) (*Inspection, error) {
	v := new(Inspection)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, err
	}
	if v.Schema < 1 || v.Channel.ID != of {
		return nil, errors.New("blaze: not an Inspection of that member")
	}
	return v, nil
}

// showInGroup begins to serve the in-box, or ends that where Config.NoInspect says so. Init calls it.
func (c *Channel) showInGroup() {
	s := c.group
	if s == nil {
		return
	}
	if c.cfg.Load().NoInspect {
		if s.inspecting != nil {
			_ = s.inspecting.Close()
			s.inspecting = nil
		}
		return
	}
	if s.inspecting != nil {
		return
	}
	g := &GroupChannel{c}
	in := &inspectServer{g: g}
	sub := &Subscription{c: c, pattern: inspectInbox, done: make(chan struct{})}
	var err error
	if s.inspecting, err = g.openInbox(sub, false, in.handle, nil); err != nil {
		panic("blaze: " + err.Error()) // no other handler can have a reserved in-box
	}
}

// inspectServer answers at the in-box: each member ten times a second, with what is made ten times a second. It belongs to
// the goroutine of its subscription.
type inspectServer struct {
	g      *GroupChannel
	answer []byte
	made   clock.Time                   // answer; 0: there is none
	given  map[wire.MemberID]clock.Time // when each was last given one
}

func (s *inspectServer) handle(m *intake.Message) {
	_, call, wanted := m.Item()
	if !wanted {
		return
	}
	c := &Call{From: MemberID(m.From), Wanted: true, c: s.g.Channel, st: s.g.turning(), number: call, state: callLent}
	now := engine.Now()
	if at := s.given[m.From]; at != 0 && now.Sub(at) < inspectEvery {
		_ = c.Reply([]byte(inspectBusy)) // without room for it who asks waits in vain
		return
	}
	if s.made == 0 || now.Sub(s.made) >= inspectEvery {
		if !s.make() {
			return
		}
		s.made = now
	}
	if s.given == nil || len(s.given) > group.MaxMembers { // members come and go
		s.given = map[wire.MemberID]clock.Time{}
	}
	if s.given[m.From] = now; c.Reply(s.answer) != nil {
		delete(s.given, m.From)
	}
}

// make makes the answer anew.
func (s *inspectServer) make() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	v, err := s.g.Inspect(ctx)
	if err != nil {
		return false
	}
	s.answer, err = v.within(s.g.cfg.Load().MaxMessageSize - inspectMargin)
	return err == nil
}

// within is the JSON of v in at most so many bytes: where it is longer, those streams and receivers that are furthest
// behind stay, the subscriptions that are fullest, and the newest losses.
func (v *Inspection) within(bytes int) ([]byte, error) {
	for rows := inspectRows; ; rows /= 4 {
		b, err := json.Marshal(v.cut(rows))
		if err != nil || len(b) <= bytes {
			return b, err
		}
		if rows == 0 {
			return nil, ErrTooLarge
		}
	}
}

// cut is a copy of v with at most so many rows in each of its parts, and without classes of times where that is few.
func (v *Inspection) cut(rows int) *Inspection {
	c := *v
	o := &c.LeftOut
	behind := func(s *SendingInfo) (most uint64) {
		for i := range s.Receivers {
			most = max(most, s.Receivers[i].Behind)
		}
		return most
	}
	c.Sending = most(v.Sending, rows, &o.Sending, func(a, b *SendingInfo) int {
		return cmp.Or(cmp.Compare(b.Blocked, a.Blocked), cmp.Compare(behind(b), behind(a)))
	})
	for i := range c.Sending {
		c.Sending[i].Receivers = most(c.Sending[i].Receivers, rows, &o.Receivers, nil) // those furthest behind are first
	}
	c.Receiving = most(v.Receiving, rows, &o.Receiving, func(a, b *ReceivingInfo) int {
		return cmp.Compare(b.Highest-min(b.Next, b.Highest), a.Highest-min(a.Next, a.Highest))
	})
	c.Subscriptions = most(v.Subscriptions, rows, &o.Subscriptions, func(a, b *SubscriptionInfo) int {
		return cmp.Or(cmp.Compare(b.Full, a.Full), cmp.Compare(b.Oldest, a.Oldest))
	})
	c.Losses = most(v.Losses, rows, &o.Losses, func(a, b *LossInfo) int { return b.At.Compare(a.At) })
	c.Members = most(v.Members, rows, &o.Members, nil)
	c.Queues = most(v.Queues, rows, &o.Queues, func(a, b *QueueInfo) int { return cmp.Compare(b.Waiting, a.Waiting) })
	c.Maps = most(v.Maps, rows, &o.Maps, func(a, b *MapInfo) int { return cmp.Compare(b.Bytes, a.Bytes) })
	c.Locks = most(v.Locks, rows, &o.Locks, nil) // those that are waited for are first
	if rows >= inspectRows {
		return &c
	}
	for i := range c.Receiving {
		c.Receiving[i].RepairTimes = nil
	}
	for i := range c.Subscriptions {
		c.Subscriptions[i].Times = nil
	}
	if rows == 0 {
		o.Counters += len(c.Counters)
		c.Counters = map[string]float64{}
	}
	return &c
}

// most is a copy of the first rows of list, in the order of before where there are more, and counts the others.
func most[T any](list []T, rows int, left *int, before func(a, b *T) int) []T {
	list = slices.Clone(list)
	if len(list) <= rows {
		return list
	}
	if before != nil {
		slices.SortStableFunc(list, func(a, b T) int { return before(&a, &b) })
	}
	*left += len(list) - rows
	return list[:rows:rows]
}
