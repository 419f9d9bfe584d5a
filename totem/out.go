package totem

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// outbox is what waits for PollSend, in order: data that was put in before a token leaves before it.
//
// It is bounded. A visit adds data only while a token is here, and the token waits behind the data. Of
// the other datagrams only the latest of each kind waits: it holds all that an earlier one would.
type outbox struct {
	p    *Protocol
	list []buf.Send
	next int // list[next:] are left
	data int // how many of them are data
	cut  int // bytes of list[next] that have left, where that leaves in parts

	// at[k]-1 is where in list the last datagram of kind k lies. It waits if that is next or later.
	at    [latestKinds]int
	asked clock.Time // when the last Join was put in
	joins int        // how many wait
}

// maxJoins is how many Joins wait. One turn may change the sets several times, and each of these Joins
// may be the one that another member agrees with; a Join of an earlier turn is no longer of use.
const maxJoins = 4

// latest is a kind of datagram of which only the latest waits.
type latest uint8

const (
	theToken latest = iota
	theCommit
	theJoin
	theMergeDetect
	theHoldCancel
	latestKinds
)

func (o *outbox) init(p *Protocol) {
	o.p, o.list = p, make([]buf.Send, 0, 256)
}

func (o *outbox) empty() bool { return o.next == len(o.list) }

// putData takes over one reference to b, which goes to the group. Data waits for the rate, and for the
// batch that the driver sends.
func (o *outbox) putData(b *buf.Buf) {
	o.append(buf.Send{Buf: b, To: buf.Group, Wait: true})
	o.data++
}

// put takes over one reference to b, a control datagram. It takes the place of one of the same kind that
// still waits; a token moves to the end, behind the data of its visit.
func (o *outbox) put(k latest, b *buf.Buf, to buf.Endpoint) {
	if k == theJoin {
		if !o.waits(k) {
			o.joins = 0
		}
		again := o.joins > 0 && o.asked == o.p.last && o.joins < maxJoins
		if o.asked = o.p.last; again || o.joins == 0 {
			o.joins++
			o.append(buf.Send{Buf: b, To: to})
			o.at[k] = len(o.list)
			return
		}
	}
	if o.waits(k) {
		s := &o.list[o.at[k]-1]
		s.Buf.Release()
		if k != theToken {
			*s = buf.Send{Buf: b, To: to}
			return
		}
		*s = buf.Send{}
		o.skip()
	}
	o.append(buf.Send{Buf: b, To: to})
	o.at[k] = len(o.list)
}

// waits reports whether a datagram of kind k has not left yet.
func (o *outbox) waits(k latest) bool { return o.at[k] > o.next }

func (o *outbox) append(s buf.Send) {
	if o.next == len(o.list) {
		o.list, o.next, o.at = o.list[:0], 0, [latestKinds]int{}
	} else if o.next > 64 && o.next > len(o.list)/2 {
		n := copy(o.list, o.list[o.next:])
		clear(o.list[n:])
		for k := range o.at {
			o.at[k] = max(o.at[k]-o.next, 0)
		}
		o.list, o.next = o.list[:n], 0
	}
	o.list = append(o.list, s)
}

// skip passes places from which a token has moved away.
func (o *outbox) skip() {
	for o.next < len(o.list) && o.list[o.next].Buf == nil {
		o.next++
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
		if s.Buf.Len() > o.p.whole {
			return o.part(now, s.Buf)
		}
	}
	o.taken()
	pace.Spend(now, s.Buf.Len())
	return s, true
}

// taken passes list[next].
func (o *outbox) taken() {
	if o.list[o.next].Wait {
		o.data--
	}
	o.list[o.next] = buf.Send{}
	o.next++
	o.cut = 0
	o.skip()
}

// clear gives up what waits.
func (o *outbox) clear() {
	for _, s := range o.list[o.next:] {
		if s.Buf != nil {
			s.Buf.Release()
		}
	}
	clear(o.list)
	o.list, o.next, o.data, o.cut, o.at = o.list[:0], 0, 0, 0, [latestKinds]int{}
}

// frame begins a control datagram; mem is its header. It is nil when the pool is empty.
// While the MTU is lowered it may become longer than what leaves, in a large ring: then the driver drops it.
func (p *Protocol) frame() (b *buf.Buf, mem []byte) {
	if b = p.cfg.Pool.Get(); b == nil {
		p.stats.Drops[DropNoBuffer]++
		return nil, nil
	}
	return b, wire.AppendHeader(b.Mem()[:0:min(p.cfg.Datagram, len(b.Mem()))], p.header())
}

// finish seals what frame began. A frame that does not fit the buffer has been appended to other memory;
// to send the buffer then would put garbage on the wire.
func finish(b *buf.Buf, mem []byte) {
	if &mem[0] != &b.Mem()[0] {
		panic("totem: a datagram that does not fit its buffer")
	}
	wire.Seal(mem)
	b.Set(0, len(mem))
}

// sendNotice queues a word about the ring.
func (p *Protocol) sendNotice(kind wire.NoticeKind, to buf.Endpoint) {
	k := theMergeDetect
	if kind == wire.HoldCancel {
		k = theHoldCancel
	}
	if b, mem := p.frame(); b != nil {
		n := wire.Notice{Ring: p.cur.id, Kind: kind}
		if kind == wire.MergeDetect {
			var hears [16 * wire.MaxHears]byte
			n.Standing = p.standing(p.holds.hears(p, p.last, hears[:0]))
			n.Standing.Padding = pad(wire.HeaderLen+wire.NoticeLen+1+wire.StandingOverhead+len(n.Standing.Hears), p.longest)
		}
		finish(b, wire.AppendNotice(mem, n))
		p.out.put(k, b, to)
	}
}
