package abi

import (
	"github.com/activeblaze/blaze"
)

// listener is what cancel ends.
type listener struct {
	part
	cancel func()
}

func (l *listener) close() error {
	l.cancel()
	return nil
}

func listen(c *channel, cancel func()) (uint64, error) {
	return adopt(KindListener, &listener{part{c}, cancel})
}

// OnStream has f called with what happens to streams.
func OnStream(h uint64, f func(blaze.StreamEvent)) (uint64, error) {
	c, err := channelOf(h)
	if err != nil {
		return 0, err
	}
	return listen(c, c.OnStream(f))
}

// OnView has f called with the ring's views.
func OnView(h uint64, f func(blaze.View)) (uint64, error) {
	c, err := channelOf(h)
	if err != nil {
		return 0, err
	}
	return listen(c, c.OnView(f))
}

// OnMember has f called with what happens to members.
func OnMember(h uint64, f func(blaze.MemberEvent)) (uint64, error) {
	c, err := groupOf(h)
	if err != nil {
		return 0, err
	}
	return listen(c, c.group.OnMember(f))
}

// OnMaster has f called with each master.
func OnMaster(h uint64, f func(blaze.Member)) (uint64, error) {
	c, err := clusterOf(h)
	if err != nil {
		return 0, err
	}
	return listen(c, c.cluster.OnMaster(f))
}

// Watch has f called with what a map holds and what changes in it.
func Watch(h uint64, prefix string, f func(blaze.MapEvent)) (uint64, error) {
	m, err := mapOf(h)
	if err != nil {
		return 0, err
	}
	return listen(m.of, m.m.Watch(prefix, f))
}
