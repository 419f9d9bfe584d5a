package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// outbox is what waits for PollSend, in order: data that was put in before a token leaves before it.
type outbox struct {
	p    *Protocol
	list []buf.Send
	next int // list[next:] are left
	data int // how many of them are data
}

func (o *outbox) init(p *Protocol) {
	o.p, o.list = p, make([]buf.Send, 0, 256)
}

func (o *outbox) empty() bool { return o.next == len(o.list) }

// put takes over one reference to b. Data waits for the rate, and for the batch that the driver
// sends; control datagrams do not.
func (o *outbox) put(b *buf.Buf, to buf.Endpoint, data bool) {
	if o.next == len(o.list) {
		o.list, o.next = o.list[:0], 0
	} else if o.next > 64 && o.next > len(o.list)/2 {
		n := copy(o.list, o.list[o.next:])
		clear(o.list[n:])
		o.list, o.next = o.list[:n], 0
	}
	o.list = append(o.list, buf.Send{Buf: b, To: to, Wait: data})
	if data {
		o.data++
	}
}

func (o *outbox) poll(now clock.Time) (buf.Send, bool) {
	if o.next == len(o.list) {
		return buf.Send{}, false
	}
	pace, s := o.p.cfg.Pacer, o.list[o.next]
	if s.Wait {
		if !pace.Ready(now) {
			o.p.arm(paceReady, pace.At())
			return buf.Send{}, false
		}
		o.data--
	}
	o.list[o.next] = buf.Send{}
	o.next++
	pace.Spend(now, s.Buf.Len())
	return s, true
}

// clear gives up what waits.
func (o *outbox) clear() {
	for _, s := range o.list[o.next:] {
		s.Buf.Release()
	}
	clear(o.list)
	o.list, o.next, o.data = o.list[:0], 0, 0
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
