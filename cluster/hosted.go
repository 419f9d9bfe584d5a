package cluster

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/trie"
	"github.com/activeblaze/blaze/wire"
)

// The states of services on their way: out of a replica, for learners and for the disk, and into one.

// serviceName reports whether a service can have this name.
func serviceName(name string) bool {
	return len(name) >= 1 && len(name) <= wire.MaxName && utf8.ValidString(name)
}

// sumBlock is how many bytes of a service's part are hashed at a time.
const sumBlock = 64 << 10

// partSum is the hash of a service's part, as a ClusterChunk has it.
func partSum(b []byte) (sum uint64) {
	for len(b) > sumBlock {
		sum, b = trie.Digest(sum, b[:sumBlock]), b[sumBlock:]
	}
	return trie.Digest(sum, b)
}

// hostedCut is a service at the index of a Cut. Its bytes are made when they are needed first, on another goroutine.
type hostedCut struct {
	name    string
	snap    MachineSnapshot // nil: it is closed, or there was none
	err     error           // why there are no bytes
	writing bool
	written bool
	unused  bool // the Cut was dropped
	said    bool // the log has err
	bytes   []byte
	sum     uint64
}

// cut is all services in force as they are now.
func (v *services) cut() (list []*hostedCut) {
	for _, h := range v.list {
		c := &hostedCut{name: h.name, written: h.machine == nil}
		if h.machine != nil {
			if c.snap, c.err = h.machine.Snapshot(); c.err != nil {
				c.snap = nil
			} else if c.snap == nil {
				c.err = fmt.Errorf("there is no snapshot")
			}
		}
		list = append(list, c)
	}
	return list
}

// cutWith is Cut of a state whose services have what parts says: nobody has changed it since.
func (s *State) cutWith(now clock.Time, parts [][]byte) *Cut {
	hosted := make([]*hostedCut, len(s.services.list))
	for i, h := range s.services.list {
		hosted[i] = &hostedCut{name: h.name, written: true, bytes: parts[i]}
	}
	c := s.first.cut(now, &s.position)
	return &Cut{Index: s.index, Hash: s.hash, Primary: s.primary, Entries: c.entries(), Digest: c.digest(), service: c, hosted: hosted}
}

// written is what a snapshot has come to.
type written struct {
	bytes []byte
	sum   uint64
	err   error
}

// writeSnapshot makes the bytes of a snapshot, and closes it. It runs on another goroutine.
func writeSnapshot(snap MachineSnapshot) (w written) {
	var b bytes.Buffer
	_, w.err = snap.WriteTo(&b)
	if err := snap.Close(); w.err == nil {
		w.err = err
	}
	if w.err == nil {
		w.bytes, w.sum = b.Bytes(), partSum(b.Bytes())
	}
	return w
}

// ready reports whether the bytes are there, or will never be (err). If not it has them made.
func (c *Core) ready(h *hostedCut) bool {
	if h.written || h.err != nil {
		return true
	}
	c.writeOut(h, nil)
	return false
}

// sayFailed names a snapshot that has failed in the log, once.
func (c *Core) sayFailed(now clock.Time, h *hostedCut) {
	if h.err != nil && !h.said {
		h.said = true
		c.warn(now, Error, c.cfg.Self, "the snapshot of service %q has failed: %v", h.name, h.err)
	}
}

// writeOut has the bytes of a service made, and calls then.
func (c *Core) writeOut(h *hostedCut, then func(now clock.Time)) {
	if h.writing || h.snap == nil {
		return
	}
	h.writing = true
	snap, w := h.snap, written{}
	c.cfg.Background(func(func() bool) { w = writeSnapshot(snap) }, func(now clock.Time) {
		h.writing, h.written, h.snap, h.err = false, true, nil, w.err
		if !h.unused {
			h.bytes, h.sum = w.bytes, w.sum
		}
		c.sayFailed(now, h)
		if then != nil {
			then(now)
		}
	})
}

// drop gives back what a Cut holds of services.
func (c *Cut) drop() {
	for _, h := range c.hosted {
		h.unused = true
		if h.snap != nil && !h.writing {
			_ = h.snap.Close()
			h.snap = nil
		}
	}
}

// restoreAgain is how long a learner waits after a Restore that has failed.
const restoreAgain = time.Second

// restoring is a state on its way into the machines of a member, on another goroutine.
type restoring struct {
	state  *State
	parts  [][]byte // of each service in force
	chain  bool     // what goes is of another chain
	cancel func()   // nobody wants it any more
	err    error
}

// run restores those that the member has. It runs on another goroutine.
func (r *restoring) run(here []Service, over func() bool) {
	r.state.services.attach(here)
	for i, h := range r.state.services.list {
		if h.machine == nil {
			continue
		}
		if err := h.machine.Restore(bytes.NewReader(r.parts[i]), r.chain, over); err != nil {
			r.err = fmt.Errorf("service %q: %w", h.name, err)
			return
		}
	}
}

// emptyMachines empties the machines of a member that are not in force in s; nil: all.
func (c *Core) emptyMachines(now clock.Time, s *State, chain bool) {
	for _, m := range c.cfg.Services {
		if s != nil && s.services.find([]byte(m.Name)) != nil {
			continue
		}
		if err := m.Machine.Restore(nil, chain, nil); err != nil {
			c.warn(now, Error, c.cfg.Self, "service %q did not begin empty: %v", m.Name, err)
		}
	}
}

// otherChain reports whether the machines hold a state of another chain than this one.
func (c *Core) otherChain(chain wire.Chain) bool {
	return c.machines != (wire.Chain{}) && c.machines != chain
}

// beginRestore has the machines take the state that was fetched. Until they have it, readers of both have the old one.
func (c *Core) beginRestore(now clock.Time, s *State, parts [][]byte) {
	if len(c.cfg.Services) == 0 {
		c.restored(now, s, parts)
		return
	}
	r := &restoring{state: s, parts: parts, chain: c.otherChain(s.primary.Chain)}
	c.taking, c.learn.partial = r, true
	r.cancel = c.cfg.Background(func(over func() bool) { r.run(c.cfg.Services, over) }, func(now clock.Time) { c.endRestore(now, r) })
}

// endRestore goes on with the state that the machines have taken.
func (c *Core) endRestore(now clock.Time, r *restoring) {
	c.begin(now)
	if c.taking != r {
		return // another one began, with a founding
	}
	c.taking = nil
	if r.err != nil {
		c.warn(now, Error, c.cfg.Self, "the state that was fetched cannot be taken: %v: it is fetched again", r.err)
		c.replace(now, nil)
		c.learn.fresh = false
		if f := &c.fetch; f.on {
			f.forget()
			f.anew, f.asking, f.unsent, f.due = true, true, false, now.Add(restoreAgain)
		}
		return
	}
	c.emptyMachines(now, r.state, r.chain)
	c.restored(now, r.state, r.parts)
}
