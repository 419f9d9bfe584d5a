package intake

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/wire"
)

// Inbox hands what is sent to one in-box to an Intake, on the first engine's thread. What it has taken is an
// Item to Config.Handle.
type Inbox struct {
	name     string
	in       *inlet
	delivery core.Delivery

	// What finds out that the handler hangs.
	hangs    func(waiting int)
	watching atomic.Bool // timer is set
	timer    *time.Timer
	seen     atomic.Uint64 // inlet.taken, when timer was set
	reported clock.Time    // the timer's own
}

// NewInbox makes an Inbox in front of q. hangs is called, on a goroutine of a timer, when the handler has not
// returned for long while items wait behind it.
func NewInbox(name string, q *Intake, hangs func(waiting int)) *Inbox {
	b := &Inbox{name: name, in: q.at(0), hangs: hangs}
	b.timer = time.AfterFunc(time.Hour, b.look)
	b.timer.Stop()
	return b
}

// itemBytes are what lies behind the payload of an item: the call, and whether a reply is wanted.
const itemBytes = 8 + 1

// Take implements group.InboxHandler. An Intake that is full has the sender wait, or refuses, as its Policy says.
func (b *Inbox) Take(now clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	in := b.in
	switch {
	case !in.Ready(now):
		return group.Wait, 0
	case in.q.ended.Load():
		return group.Refuse, wire.RefusedNoHandler
	case in.refused:
		in.refused = false
		in.q.drops()
		return group.Refuse, wire.RefusedNoRoom
	}
	var extra [itemBytes]byte
	binary.LittleEndian.PutUint64(extra[:], i.Call)
	if i.Wanted {
		extra[8] = 1
	}
	b.delivery = core.Delivery{From: i.From, Sequence: i.Sequence, Kind: i.Kind, Payload: i.Payload}
	in.add(now, b.name, &b.delivery, extra[:])
	b.delivery = core.Delivery{}
	if !b.watching.Load() {
		b.watch()
	}
	return group.Take, 0
}

const (
	hangAfter = 100 * time.Millisecond
	hangEvery = 10 * time.Second // between two reports
)

// watch has the handler looked at. While items come without end that is once in hangAfter.
func (b *Inbox) watch() {
	if b.watching.CompareAndSwap(false, true) {
		b.seen.Store(b.in.taken.Load())
		b.timer.Reset(hangAfter)
	}
}

// look judges the time since the timer was set. It runs alone: the timer is set again at its end.
func (b *Inbox) look() {
	in := b.in
	if !in.idle() && !in.q.ended.Load() {
		now := in.q.cfg.Watch.now()
		waiting := in.len() - 1
		if in.taken.Load() == b.seen.Load() && waiting > 0 && (b.reported == 0 || now.Sub(b.reported) >= hangEvery) {
			b.reported = now
			b.hangs(waiting)
		}
	}
	b.watching.Store(false)
	if !in.idle() && !in.q.ended.Load() { // else what comes from now on sets the timer
		b.watch()
	}
}

// Item is what came through an Inbox: the payload of m, and what else its sender said. wanted: it is a request.
func (m *Message) Item() (payload []byte, call uint64, wanted bool) {
	n := len(m.Payload) - itemBytes
	extra := m.Payload[n:]
	return m.Payload[:n:n], binary.LittleEndian.Uint64(extra), extra[8] != 0
}
