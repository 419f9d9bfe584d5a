package totem

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// outbox is what waits for PollSend, in order: data that was put in before a token leaves before it.
type outbox struct {
	p    *Protocol
	list []buf.Send
	next int // list[next:] are left
	pace pacer
}

func (o *outbox) init(p *Protocol) {
	o.p, o.list = p, make([]buf.Send, 0, 256)
	o.pace = newPacer(p.cfg.MaxRate, p.cfg.Datagram)
}

func (o *outbox) empty() bool { return o.next == len(o.list) }

// put takes over one reference to b.
func (o *outbox) put(b *buf.Buf, to buf.Endpoint, wait bool) {
	if o.next == len(o.list) {
		o.list, o.next = o.list[:0], 0
	} else if o.next > 64 && o.next > len(o.list)/2 {
		n := copy(o.list, o.list[o.next:])
		clear(o.list[n:])
		o.list, o.next = o.list[:n], 0
	}
	o.list = append(o.list, buf.Send{Buf: b, To: to, Wait: wait})
}

func (o *outbox) poll(now clock.Time) (buf.Send, bool) {
	if o.next == len(o.list) {
		return buf.Send{}, false
	}
	if !o.pace.ready(now) {
		o.p.arm(paceReady, o.pace.at())
		return buf.Send{}, false
	}
	s := o.list[o.next]
	o.list[o.next] = buf.Send{}
	o.next++
	o.pace.spend(now, s.Buf.Len())
	return s, true
}

// clear gives up what waits.
func (o *outbox) clear() {
	for _, s := range o.list[o.next:] {
		s.Buf.Release()
	}
	clear(o.list)
	o.list, o.next = o.list[:0], 0
}

// frame begins a control datagram; mem is its header. It is nil when the pool is empty.
func (p *Protocol) frame() (b *buf.Buf, mem []byte) {
	if b = p.cfg.Pool.Get(); b == nil {
		p.stats.Drops[DropNoBuffer]++
		return nil, nil
	}
	return b, wire.AppendHeader(b.Mem()[:0:min(p.cfg.Datagram, len(b.Mem()))], p.header())
}

// finish seals what frame began.
func finish(b *buf.Buf, mem []byte) {
	wire.Seal(mem)
	b.Set(0, len(mem))
}

// sayNotice queues a word about the ring.
func (p *Protocol) sayNotice(kind wire.NoticeKind, to buf.Endpoint) {
	if b, mem := p.frame(); b != nil {
		finish(b, wire.AppendNotice(mem, wire.Notice{Ring: p.cur.id, Kind: kind}))
		p.out.put(b, to, false)
	}
}

// pacer bounds a rate by virtual scheduling (the GCRA of ITU-T I.371): it keeps the instant at
// which all that was sent would have been sent at the exact rate.
type pacer struct {
	perByte float64 // ns of one byte; 0: no bound
	burst   time.Duration
	due     clock.Time
}

const (
	paceBurst    = 500 * time.Microsecond // how far ahead of the exact rate a burst runs
	wireOverhead = 42                     // bytes of Ethernet, IPv4 and UDP headers
)

func newPacer(bitsPerSecond int64, datagram int) pacer {
	if bitsPerSecond <= 0 {
		return pacer{}
	}
	perByte := 8e9 / float64(bitsPerSecond)
	return pacer{perByte: perByte, burst: max(paceBurst, time.Duration(2*perByte*float64(datagram+wireOverhead)))}
}

func (c *pacer) ready(now clock.Time) bool { return c.perByte == 0 || c.due.Sub(now) <= c.burst }

// spend counts one datagram of n bytes of UDP payload.
func (c *pacer) spend(now clock.Time, n int) {
	if c.perByte != 0 {
		c.due = max(c.due, now) + clock.Time(c.perByte*float64(n+wireOverhead))
	}
}

// at is when ready becomes true.
func (c *pacer) at() clock.Time { return c.due.Add(-c.burst) }
