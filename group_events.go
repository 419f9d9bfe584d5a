package blaze

import (
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/run"
)

// OnMember has h called with what happens to members, this one included: first with what is there, the
// longest-serving member first (MemberStarted, and MemberJoinedGroup for each of its groups), then with what
// changes. The events of one member come in order and each once: MemberStarted, then MemberJoinedGroup and
// MemberLeftGroup, then MemberStopped or MemberFailed; after that only MemberStarted with a higher incarnation.
// Events of different members have no order among them.
//
// Nothing that a member has sent before its end reaches a handler of this channel after h was given that end.
// So the end waits until the handlers of all subscriptions have begun what is queued for them. If one of them
// hangs, Members and calls do not wait for it, and after 100 ms the log names it.
//
// Handlers of OnMember run on one goroutine, one call at a time. They may call anything. What is in an event is
// shared with other handlers: Groups must not be changed. OnMember works in every state and outlives Stop; each
// start of the channel begins anew, and its end is reported by nothing.
//
// cancel ends it. It returns when h does not run, unless a handler of OnMember calls it.
func (g *GroupChannel) OnMember(h func(MemberEvent)) (cancel func()) {
	if h == nil {
		return func() {}
	}
	return g.group.listeners.Add(func(e run.Event) {
		h(MemberEvent{Kind: memberEventKind(e.Kind), Member: memberOf(e.Of), Group: e.Group})
	})
}

func memberEventKind(k group.ChangeKind) MemberEventKind {
	switch k {
	case group.Started:
		return MemberStarted
	case group.Stopped:
		return MemberStopped
	case group.Failed:
		return MemberFailed
	case group.JoinedGroup:
		return MemberJoinedGroup
	}
	return MemberLeftGroup
}

// marks returns where the queues of all subscriptions are to have come before handlers are given an end.
func (c *Channel) marks() (all []run.Mark) {
	for _, s := range c.queued() {
		if m, ok := s.queue.Mark(); ok {
			all = append(all, run.Mark{Queue: s.label(), Begun: m.Begun})
		}
	}
	return all
}

// warnOfTimeout logs what shows that FailureTimeout is short. It is called once for each, on the engine's thread.
func (c *Channel) warnOfTimeout(w group.Warning) {
	text := "blaze: a member was silent for 70 % of the time after which it is removed, and was there"
	if w == group.LongStall {
		text = "blaze: this member stood still for half of FailureTimeout or longer: others may take it for failed"
	}
	timeout := c.cfg.Load().FailureTimeout
	go c.logger().Warn(text, "FailureTimeout", timeout, "remedy", "raise Config.FailureTimeout, or give this host's processes cores of their own (Stats.Group has ClosestCall and LongestStall)")
}

// eventHeld logs that an end waits for a handler that does not return.
func (c *Channel) eventHeld(queue string, e run.Event) {
	c.logger().Warn("blaze: a handler that does not return holds up the news of a member's end", "subscription", queue,
		"event", memberEventKind(e.Kind), "member", MemberID(e.Of.ID), "name", e.Of.Name)
}
