package abi

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/activeblaze/blaze"
)

// The kinds of channels, as blaze.h has them.
const (
	PlainChannel   = 1
	GroupChannel   = 2
	ClusterChannel = 3
)

// channel is an open channel. group and cluster are nil where the kind does not have them.
type channel struct {
	*blaze.Channel
	group   *blaze.GroupChannel
	cluster *blaze.ClusterChannel
	closed  atomic.Bool
}

// NewChannel makes a channel from settings; handle 0 stands for the defaults.
func NewChannel(settings uint64, kind int) (uint64, error) {
	cfg, err := config(settings)
	if err != nil {
		return 0, err
	}
	c := new(channel)
	switch kind {
	case PlainChannel:
		c.Channel, err = blaze.NewChannel(cfg)
	case GroupChannel:
		if c.group, err = blaze.NewGroupChannel("", cfg); err == nil {
			c.Channel = c.group.Channel
		}
	case ClusterChannel:
		if c.cluster, err = blaze.NewClusterChannel("", cfg); err == nil {
			c.group = c.cluster.GroupChannel
			c.Channel = c.group.Channel
		}
	default:
		err = fmt.Errorf("%w: there is no kind %d of channel: BLAZE_CHANNEL, BLAZE_GROUP and BLAZE_CLUSTER are 1 to 3", blaze.ErrArgument, kind)
	}
	if err != nil {
		return 0, err
	}
	return handles.add(KindChannel, c)
}

// owned is what was made from a channel, and closed with it.
type owned interface {
	closer
	owner() *channel
}

// part is embedded by what is owned.
type part struct{ of *channel }

func (p part) owner() *channel { return p.of }

// adopt gives what was made from a channel a handle. Where the channel was closed meanwhile it is closed too.
func adopt(k Kind, v owned) (uint64, error) {
	h, err := handles.add(k, v)
	if err != nil {
		return 0, errors.Join(err, v.close())
	}
	if v.owner().closed.Load() && handles.remove(h) != nil { // else the sweep of close has found it
		_ = v.close()
	}
	if v.owner().closed.Load() {
		return 0, fmt.Errorf("%w: the channel was closed meanwhile", blaze.ErrClosed)
	}
	return h, nil
}

// ownedBy takes out of the table all that belongs to a channel.
func (t *table) ownedBy(c *channel) (all []owned) {
	t.mu.Lock()
	used := t.used
	t.mu.Unlock()
	for at := range used {
		e := t.slot(at).now.Load()
		if e == nil {
			continue
		}
		if o, ok := e.value.(owned); ok && o.owner() == c && t.remove(e.handle) != nil {
			all = append(all, o)
		}
	}
	return all
}

// close ends the channel and all that was made from it. By a handler it returns before the end: Shutdown does.
func (c *channel) close() error {
	c.closed.Store(true)
	parts := handles.ownedBy(c)
	for _, p := range parts {
		if s, ok := p.(*subscription); ok && s.poll != nil {
			s.poll.end() // nobody polls any more, and Shutdown would wait for it
		}
	}
	err := c.Shutdown()
	end := func() {
		for _, p := range append(parts, handles.ownedBy(c)...) {
			_ = p.close()
		}
	}
	if c.State() != blaze.Constructed { // an Inline handler calls: the engine's thread waits for nobody
		go end()
	} else {
		end()
	}
	return err
}

func channelOf(h uint64) (*channel, error) { return look[*channel](h, KindChannel) }

// groupOf is a channel that is a GroupChannel.
func groupOf(h uint64) (*channel, error) {
	c, err := channelOf(h)
	if err == nil && c.group == nil {
		return nil, fmt.Errorf("%w: the channel is no group channel: open it with BLAZE_GROUP or BLAZE_CLUSTER", blaze.ErrUnsupported)
	}
	return c, err
}

// clusterOf is a channel that is a ClusterChannel.
func clusterOf(h uint64) (*channel, error) {
	c, err := channelOf(h)
	if err == nil && c.cluster == nil {
		return nil, fmt.Errorf("%w: the channel is no cluster channel: open it with BLAZE_CLUSTER", blaze.ErrUnsupported)
	}
	return c, err
}

// Init, Start and Stop are the channel's.
func Init(h uint64) error  { return transition(h, (*blaze.Channel).Init) }
func Start(h uint64) error { return transition(h, (*blaze.Channel).Start) }
func Stop(h uint64) error  { return transition(h, (*blaze.Channel).Stop) }

func transition(h uint64, f func(*blaze.Channel) error) error {
	c, err := channelOf(h)
	if err != nil {
		return err
	}
	if err = f(c.Channel); err == nil && c.closed.Load() {
		return c.Shutdown() // close has come between, and would not see what was opened
	}
	return err
}

// State is the channel's state.
func State(h uint64) (blaze.State, error) {
	c, err := channelOf(h)
	if err != nil {
		return 0, err
	}
	return c.State(), nil
}

// ID is the name of the channel's present or last start.
func ID(h uint64) (id blaze.MemberID, err error) {
	c, err := channelOf(h)
	if err != nil {
		return id, err
	}
	return c.ID(), nil
}

// Turn is one turn of an Invoker's engine.
func Turn(h uint64) (int, error) {
	c, err := channelOf(h)
	if err != nil {
		return 0, err
	}
	return c.Turn(), nil
}

// Stats is a block with the counters as JSON.
func Stats(h uint64) ([]byte, error) {
	c, err := channelOf(h)
	if err != nil {
		return nil, err
	}
	return json.Marshal(c.Stats())
}

// Engines is the number of engines that a channel's URI asks for; 1 where it is not known.
func Engines(h uint64) int {
	c, err := channelOf(h)
	if err != nil {
		return 1
	}
	u, err := blaze.ParseURI(c.Config().BroadcastURI)
	if err != nil {
		return 1
	}
	return max(u.Queues, 1)
}

// ParseID reads a MemberID.
func ParseID(text string) (blaze.MemberID, error) {
	id, err := blaze.ParseMemberID(text)
	if err != nil {
		err = fmt.Errorf("%w: %w", blaze.ErrArgument, err)
	}
	return id, err
}

// Flags refuses flags that a call does not have.
func Flags(flags, all uint32) error {
	if flags&^all != 0 {
		return fmt.Errorf("%w: flags %#x: this call has %#x", blaze.ErrArgument, flags, all)
	}
	return nil
}
