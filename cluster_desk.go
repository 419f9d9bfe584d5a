package blaze

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/activeblaze/blaze/internal/desk"
)

// openDesk begins to serve the in-box desk.Inbox: calls for programs that are no members of the cluster.
func (c *ClusterChannel) openDesk() {
	s := desk.NewServer(clerk{c})
	_, err := c.handleInbox(desk.Inbox, func(m *Message) {
		if !m.Wanted() {
			return
		}
		request, _ := m.Bytes()
		s.Handle(request, func(r *desk.Reply) {
			out := desk.Encode(r)
			if limit := c.cfg.Load().MaxMessageSize; len(out) > limit-desk.Overhead {
				out = desk.Encode(&desk.Reply{Error: desk.TooLarge, Text: fmt.Sprintf("the reply has %d bytes, and MaxMessageSize is %d", len(out), limit)})
			}
			_ = c.Reply(context.Background(), m, NewBytesMessage(out))
		})
	})
	if err != nil {
		panic("blaze: " + err.Error()) // a channel opens its desk once
	}
}

// clerk is a ClusterChannel as the desk needs it.
type clerk struct{ c *ClusterChannel }

// named is a map that stays unknown if it is: who asks may ask for any number of names.
func (k clerk) named(name string) *Map {
	m := &Map{c: k.c, name: name}
	if checkMapName(name) == nil {
		m.of = k.c.cluster.replica.Look(name)
	}
	return m
}

// Who implements desk.Cluster.
func (k clerk) Who() (primary, ready bool, load uint64) {
	_, master := k.c.Master()
	primary = k.c.Primary()
	if st := k.c.run.Load(); st != nil {
		_ = st.Do(func() { load = uint64(st.ClusterStats().Calls) }) // on the first engine alone; Stats would ask them all
	}
	return primary, primary && master, load
}

// Status implements desk.Cluster.
func (k clerk) Status() any { return k.c.Status() }

// Names implements desk.Cluster.
func (k clerk) Names() []string { return k.c.cluster.replica.Names() }

// Force implements desk.Cluster.
func (k clerk) Force(ctx context.Context) error { return k.c.Force(ctx) }

// Get implements desk.Cluster.
func (k clerk) Get(name, key string) (desk.Entry, bool, error) {
	m := k.named(name)
	if err := m.check("Get", key); err != nil {
		return desk.Entry{}, false, err
	}
	e, ok := m.Get(key)
	return deskEntry(&e), ok, nil
}

// GetLinear implements desk.Cluster.
func (k clerk) GetLinear(ctx context.Context, name, key string) (desk.Entry, bool, error) {
	e, ok, err := k.named(name).GetLinear(ctx, key)
	return deskEntry(&e), ok, err
}

// Put implements desk.Cluster.
func (k clerk) Put(ctx context.Context, r *desk.Request) (uint64, error) {
	var opts []PutOption
	if r.TTL != 0 {
		opts = append(opts, TTL(r.TTL))
	}
	m := k.named(r.Map)
	if r.Do == desk.DoCAS {
		return m.CompareAndPut(ctx, r.Key, r.Value, r.Version, opts...)
	}
	return m.Put(ctx, r.Key, r.Value, opts...)
}

// Delete implements desk.Cluster.
func (k clerk) Delete(ctx context.Context, name, key string) error {
	return k.named(name).Delete(ctx, key)
}

// Keys implements desk.Cluster.
func (k clerk) Keys(name string) (iter.Seq[string], error) {
	return func(yield func(string) bool) {
		for key := range k.named(name).All() {
			if !yield(key) {
				return
			}
		}
	}, checkMapName(name)
}

// Watch implements desk.Cluster.
func (k clerk) Watch(name, prefix string, h func(desk.Event)) (cancel func(), err error) {
	if err := checkMapName(name); err != nil {
		return nil, err
	}
	of, release := k.c.cluster.replica.Borrow(name)
	m := &Map{c: k.c, name: name, of: of}
	end := m.Watch(prefix, func(e MapEvent) {
		out := desk.Event{Kind: e.Kind.String(), Entry: deskEntry(&e.New), Old: e.Old.Version}
		if out.Entry.Key = e.Key; !e.By.IsZero() {
			out.By = e.By.String()
		}
		h(out)
	})
	return func() { end(); release() }, nil
}

func deskEntry(e *Entry) desk.Entry {
	out := desk.Entry{Key: e.Key, Value: e.Value, Version: e.Version, Expires: e.Expires}
	if !e.Owner.IsZero() {
		out.Owner = e.Owner.String()
	}
	return out
}

// Word implements desk.Cluster.
func (k clerk) Word(err error) string {
	for _, row := range []struct {
		is   error
		word string
	}{
		{ErrUnknownOutcome, desk.Unknown}, // first: it stands beside others
		{ErrNoQuorum, desk.NoQuorum}, {ErrLocked, desk.Locked}, {ErrNotOwner, desk.NotOwner}, {ErrVersion, desk.Version},
		{ErrTooLarge, desk.TooLarge}, {ErrArgument, desk.Argument}, {ErrUnsupported, desk.Unsupported},
		{ErrClosed, desk.Stopped}, {ErrState, desk.Stopped}, {context.DeadlineExceeded, desk.TimeUp},
	} {
		if errors.Is(err, row.is) {
			return row.word
		}
	}
	return desk.Failed
}
