package fec

import (
	"errors"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Reasons for which Repair refuses a repair symbol. They are bare sentinels, and each is counted
// in DecoderStats: a flood of bad symbols allocates nothing.
var (
	ErrScheme    = errors.New("fec: a scheme that is not known here")
	ErrShape     = errors.New("fec: numbers of symbols that no block has")
	ErrWindow    = errors.New("fec: a block too far ahead")
	ErrStale     = errors.New("fec: a block that is done or forgotten")
	ErrDuplicate = errors.New("fec: a repair symbol that is here")
	ErrNoBuffer  = errors.New("fec: no buffer to keep a symbol in")
)

// Bounds and defaults of a Decoder.
const (
	DefaultHistory = 256 // source datagrams
	leastKept      = 64  // source datagrams, before the length of blocks is known
	mostHistory    = 4096
	openBlocks     = 16 // that wait for symbols
)

// DecoderConfig is what a Decoder is made of.
type DecoderConfig struct {
	Datagram int       // largest UDP payload, bytes
	Pool     *buf.Pool // source datagrams are kept in it, and rebuilt ones come from it

	// History bounds the source datagrams that are kept, each in a buffer, until their repair
	// symbols come. The Decoder keeps 64, or twice as many as a block spans (its source symbols
	// times the interleaving) where that is more; blocks that span more than half of History are
	// refused. Up to 16 blocks with losses are kept beyond that. It is rounded up to a power of
	// two; zero means 256, and the largest is 4096.
	History int
	// MaxOpen is that of EncoderConfig. Zero means 10ms.
	MaxOpen time.Duration

	// Workspace is for Datagram or more, and is shared with other Decoders. Nil means one of its own.
	Workspace *Workspace
}

// DecoderStats counts what a Decoder did. All counters only grow.
type DecoderStats struct {
	Repairs    uint64 // repair symbols that came, good or bad
	Unneeded   uint64 // of them, for blocks that miss nothing
	Rebuilt    uint64 // source datagrams given back
	OnDemand   uint64 // of them, those that took repair symbols beyond what their block had at first
	Unfinished uint64 // blocks forgotten with losses that could not be mended
	Corrupt    uint64 // symbols that were rebuilt and failed their CRC, or did not fit each other
	NoBuffer   uint64 // datagrams or symbols that the pool had no buffer for

	Scheme, Shape, Window, Stale, Duplicate uint64 // repair symbols refused, by reason
}

// Decoder rebuilds the lost source datagrams of one stream. It is given every source datagram
// and every repair symbol that arrives, and hands out what it rebuilt, to be treated as if that
// had just arrived. While nothing is missing it does nothing but keep references. It is
// single-threaded, does no I/O and reads no clock.
type Decoder struct {
	cfg    DecoderConfig
	header wire.Header // of the stream

	slots     []slot // slots[n&mask] for source datagram n of [low, high)
	mask      uint64
	keep      uint64 // datagrams that are kept behind high
	low, high uint64
	heard     uint64 // highest source datagram that came; high may be above, by a repair symbol

	open    []*block // of cfg.Workspace, in no order
	rebuilt []rebuilt
	next    int // rebuilt[next:] are left

	held     int // buffers; see Held
	forecast forecast
	stats    DecoderStats
}

// slot is one source datagram.
type slot struct {
	came bool
	buf  *buf.Buf // nil although it came: there was no buffer
}

// shape is what all repair symbols of a block agree on.
type shape struct {
	first                    uint64
	stride, sources, repairs uint8
	size                     int
}

// block waits for symbols. It has references of its own to the source datagrams, so that it
// outlives the window: a repair symbol that was asked for comes a round trip later.
type block struct {
	shape
	came    uint64              // bit c: source symbol c is here, or was
	sources [MaxSource]*buf.Buf // nil: it did not come, or there was no buffer
	held    int
	symbols [MaxSource]symbol
	last    clock.Time // when its last repair symbol came
	highest uint8      // index of a repair symbol
}

// symbol is a repair symbol, inside the datagram that it came in.
type symbol struct {
	buf   *buf.Buf
	at    uint16 // where it lies in the datagram
	index uint8
}

type rebuilt struct {
	number uint64
	buf    *buf.Buf
}

// NewDecoder makes a Decoder for the stream that h names. Datagrams before number first are not
// wanted. It panics when Pool is missing and on settings outside their ranges.
func NewDecoder(cfg DecoderConfig, h wire.Header, first uint64) *Decoder {
	if cfg.History == 0 {
		cfg.History = DefaultHistory
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = DefaultMaxOpen
	}
	if cfg.Pool == nil || cfg.Datagram < 1 || cfg.Datagram > wire.MaxDatagram || cfg.History < 1 || cfg.History > mostHistory ||
		cfg.Workspace != nil && cfg.Workspace.size < cfg.Datagram {
		panic("fec: DecoderConfig")
	}
	if cfg.Workspace == nil {
		cfg.Workspace = NewWorkspace(cfg.Datagram, openBlocks, mostHistory)
	}
	cfg.History = slotCount(cfg.History)
	n := leastKept
	return &Decoder{
		cfg: cfg, header: h,
		slots: make([]slot, n), mask: uint64(n - 1), keep: leastKept, low: first, high: first, heard: first - min(first, 1),
		open:    make([]*block, 0, openBlocks),
		rebuilt: make([]rebuilt, 0, 2*MaxSource),
	}
}

// Stats returns a copy of the counters.
func (d *Decoder) Stats() DecoderStats { return d.stats }

// Source notes that source datagram number is here, however it came: at first, repaired, or
// rebuilt by this Decoder. b is lent; it is kept as long as its block may need it. It is nil where the
// caller has no buffer to spare for that: its block then counts it as lost, and does not hand it out.
// The caller has decoded it and judged that the number is plausible.
func (d *Decoder) Source(now clock.Time, number uint64, b *buf.Buf) {
	if number >= d.high {
		d.forecast.rhythm.beat(now, number-d.heard, d.cfg.MaxOpen)
		d.heard = number
		d.reach(number + 1)
	}
	if number >= d.low {
		s := &d.slots[number&d.mask]
		if s.came {
			return
		}
		s.came = true
		if s.buf = d.keepBuf(b); s.buf != nil {
			b = s.buf
			d.held++
		}
	}
	for i := len(d.open) - 1; i >= 0; i-- { // from the end: settle may remove block i
		if x := d.open[i]; x.has(number) {
			c := x.place(number)
			if x.came>>c&1 == 0 {
				x.came |= 1 << c
				if x.sources[c] = d.keepBuf(b); x.sources[c] != nil && !d.inWindow(number, x.sources[c]) {
					d.held++
				}
				d.settle(i)
			}
		}
	}
}

// keepBuf is Pool.Keep, counted where there is none.
func (d *Decoder) keepBuf(b *buf.Buf) (c *buf.Buf) {
	if b != nil {
		c = d.cfg.Pool.Keep(b)
	}
	if c == nil {
		d.stats.NoBuffer++
	}
	return c
}

// Held is how many buffers the Decoder keeps from the pool. A source datagram that the window has
// counts once, whatever open blocks have it too; behind the window it counts for each of them.
func (d *Decoder) Held() int { return d.held }

// inWindow reports whether the window has the buffer of source datagram n.
func (d *Decoder) inWindow(n uint64, b *buf.Buf) bool {
	return n >= d.low && d.slots[n&d.mask].buf == b
}

// Forget gives up the blocks that lie below number, with what they hold: the protocol above waits
// for nothing there any more.
func (d *Decoder) Forget(number uint64) {
	for i := len(d.open) - 1; i >= 0; i-- {
		if b := d.open[i]; b.number(int(b.shape.sources)-1) < number {
			d.stats.Unfinished++
			d.end(i)
		}
	}
}

// Repair takes in a repair symbol. r was read from the datagram in b, which is lent. On an error
// nothing has changed but a counter, and with ErrStale perhaps for how long datagrams are kept.
func (d *Decoder) Repair(now clock.Time, r *wire.Repair, b *buf.Buf) error {
	d.stats.Repairs++
	k, end := int(r.Sources), r.Block+uint64(r.Sources-1)*uint64(r.Stride)+1
	switch {
	case r.Scheme != Scheme:
		d.stats.Scheme++
		return ErrScheme
	case k > MaxSource || k+int(r.Repairs) > MaxSymbol || k+int(r.Index) >= MaxSymbol || r.Stride > MaxInterleave ||
		2*(end-r.Block) > uint64(d.cfg.History) || len(r.Symbol) < wire.SourceLen(1) || len(r.Symbol) > d.cfg.Datagram:
		d.stats.Shape++
		return ErrShape
	case r.Block > d.high+d.keep:
		d.stats.Window++
		return ErrWindow
	}
	ok := true
	x := shape{first: r.Block, stride: r.Stride, sources: r.Sources, repairs: r.Repairs, size: len(r.Symbol)}
	i := d.find(r.Block)
	if i < 0 {
		if r.Block < d.low {
			// A block that spans more than is kept has always fallen out when its symbols come: its
			// datagrams were kept too short a time, the next ones' will not be.
			if end > d.low {
				d.keepFor(&x)
			}
			d.stats.Stale++
			return ErrStale
		}
		if !d.lacks(&x) && end <= d.high {
			d.forecast.learn(&x)
			d.stats.Unneeded++
			return nil
		}
	} else if d.open[i].shape != x {
		d.stats.Shape++
		return ErrShape
	} else if d.open[i].holds(r.Index) {
		d.stats.Duplicate++
		return ErrDuplicate
	}
	at := offset(b.Bytes(), r.Symbol)
	if at < 0 {
		panic("fec: the symbol is not in the datagram")
	}
	if !d.keepFor(&x) {
		d.stats.NoBuffer++
		return ErrNoBuffer
	}
	c := d.keepBuf(b)
	if c == nil {
		return ErrNoBuffer
	}
	d.reach(end)
	d.forecast.learn(&x)
	if i < 0 {
		if i, ok = d.start(&x); !ok {
			c.Release()
			d.stats.NoBuffer++
			return ErrNoBuffer
		}
	}
	o := d.open[i]
	o.last, o.highest = now, max(o.highest, r.Index)
	if o.held == len(o.symbols) {
		c.Release() // cannot be: with as many as k the block is done
		return nil
	}
	o.symbols[o.held] = symbol{buf: c, at: uint16(at), index: r.Index}
	o.held++
	d.held++
	d.settle(i)
	return nil
}

// keepFor keeps datagrams for as long as blocks like x need, from now on. It is false when there is
// no memory for it.
func (d *Decoder) keepFor(x *shape) bool {
	need := 2 * (uint64(x.sources-1)*uint64(x.stride) + 1)
	if need <= d.keep {
		return true
	}
	if n := len(d.slots); need > uint64(n) {
		more := slotCount(int(need))
		if !d.cfg.Workspace.takeSlots(more - d.takenSlots()) {
			return false
		}
		old, mask := d.slots, d.mask
		d.slots, d.mask = make([]slot, more), uint64(more-1)
		for n := d.low; n < d.high; n++ {
			d.slots[n&d.mask] = old[n&mask]
		}
	}
	d.keep = need
	return true
}

// slotCount is the number of slots that can hold n datagrams: a power of two.
func slotCount(n int) int {
	c := leastKept
	for c < n {
		c *= 2
	}
	return c
}

// takenSlots is how many slots the Decoder has of the Workspace.
func (d *Decoder) takenSlots() int {
	if len(d.slots) == leastKept {
		return 0
	}
	return len(d.slots)
}

// offset is where part, which is a part of whole, begins in it; -1 when it is none. As this project
// writes datagrams it is the end of it.
func offset(whole, part []byte) int {
	for at := len(whole) - len(part); at >= 0; at-- {
		if &whole[at] == &part[0] {
			return at
		}
	}
	return -1
}

// PollRebuilt hands out the next datagram that was rebuilt, with its number and one reference that
// passes to the caller. The Decoder has taken it in already.
func (d *Decoder) PollRebuilt() (number uint64, b *buf.Buf, ok bool) {
	if d.next == len(d.rebuilt) {
		d.rebuilt, d.next = d.rebuilt[:0], 0
		return 0, nil, false
	}
	r := d.rebuilt[d.next]
	d.rebuilt[d.next] = rebuilt{}
	d.next++
	d.held--
	return r.number, r.buf, true
}

// High is one above the highest source datagram that is known to have been sent: a repair symbol
// announces all that its block has.
func (d *Decoder) High() uint64 { return d.high }

// reach makes room up to source datagram high-1. What falls out behind is forgotten, unless an
// open block has it.
func (d *Decoder) reach(high uint64) {
	if high <= d.high {
		return
	}
	d.high = high
	if high-d.low <= d.keep {
		return
	}
	low := high - d.keep
	for n := d.low; n < low && n < d.low+uint64(len(d.slots)); n++ {
		s := &d.slots[n&d.mask]
		if s.buf != nil {
			s.buf.Release()
			d.held--
			for i := range d.open {
				if b := d.open[i]; b.has(n) && b.sources[b.place(n)] != nil {
					d.held++ // the block keeps it
				}
			}
		}
		*s = slot{}
	}
	d.low = low
}

// has reports whether source datagram n is of this block.
func (x *shape) has(n uint64) bool {
	return n >= x.first && (n-x.first)%uint64(x.stride) == 0 && (n-x.first)/uint64(x.stride) < uint64(x.sources)
}

// place is which source symbol datagram n is, of those that the block has.
func (x *shape) place(n uint64) int { return int((n - x.first) / uint64(x.stride)) }

// number is that of source symbol c.
func (x *shape) number(c int) uint64 { return x.first + uint64(c)*uint64(x.stride) }

func (b *block) holds(index uint8) bool {
	for i := range b.held {
		if b.symbols[i].index == index {
			return true
		}
	}
	return false
}

// find is the place in open of the block that begins with datagram first; -1 if there is none.
func (d *Decoder) find(first uint64) int {
	for i := range d.open {
		if d.open[i].first == first {
			return i
		}
	}
	return -1
}

// lacks reports whether a source datagram is missing of a block that begins in the window.
func (d *Decoder) lacks(x *shape) bool {
	for c := range int(x.sources) {
		if n := x.number(c); n < d.high && !d.slots[n&d.mask].came {
			return true
		}
	}
	return false
}

// start opens a block. If there are too many, the one that began first goes. There is none when other
// Decoders have all blocks of the Workspace.
func (d *Decoder) start(x *shape) (n int, ok bool) {
	w := d.cfg.Workspace
	if len(d.open) == cap(d.open) || len(d.open) > 0 && w.scarce() {
		oldest := 0
		for i := range d.open {
			if d.open[i].first < d.open[oldest].first {
				oldest = i
			}
		}
		d.stats.Unfinished++
		d.end(oldest)
	}
	b := w.takeBlock()
	if b == nil {
		return 0, false
	}
	n = len(d.open)
	d.open = append(d.open, b)
	b.shape, b.came, b.held, b.highest = *x, 0, 0, 0
	for c := range int(b.shape.sources) {
		if s := &d.slots[b.number(c)&d.mask]; b.number(c) < d.high && s.came {
			b.came |= 1 << c
			if s.buf != nil {
				s.buf.Retain()
				b.sources[c] = s.buf
			}
		}
	}
	return n, true
}

// end forgets block i, which may be done or not.
func (d *Decoder) end(i int) {
	b := d.open[i]
	for j := range b.held {
		b.symbols[j].buf.Release()
		b.symbols[j].buf = nil
	}
	d.held -= b.held
	b.held = 0
	for c := range int(b.shape.sources) {
		if b.sources[c] != nil {
			if !d.inWindow(b.number(c), b.sources[c]) {
				d.held--
			}
			b.sources[c].Release()
			b.sources[c] = nil
		}
	}
	d.cfg.Workspace.giveBlock(b)
	n := len(d.open) - 1
	d.open[i], d.open[n] = d.open[n], nil
	d.open = d.open[:n]
}

// Release gives every buffer back to the pool.
func (d *Decoder) Release() {
	for len(d.open) > 0 {
		d.end(len(d.open) - 1)
	}
	for {
		_, b, ok := d.PollRebuilt()
		if !ok {
			break
		}
		b.Release()
	}
	for i := range d.slots {
		if b := d.slots[i].buf; b != nil {
			b.Release()
			d.held--
		}
		d.slots[i] = slot{}
	}
	d.cfg.Workspace.giveSlots(d.takenSlots())
	d.slots, d.mask, d.keep = d.slots[:leastKept:leastKept], leastKept-1, leastKept
	d.low = d.high
}

// DecoderBytes is how many bytes a Decoder takes besides buffers and what it has of its Workspace.
func DecoderBytes() int {
	return int(unsafe.Sizeof(Decoder{})) + leastKept*int(unsafe.Sizeof(slot{})) + openBlocks*int(unsafe.Sizeof(&block{})) +
		2*MaxSource*int(unsafe.Sizeof(rebuilt{}))
}

// DecoderBuffers is how many buffers a Decoder with this History holds at most, where blocks have
// up to span datagrams (source symbols times interleaving): the window, 16 blocks with losses,
// each with up to MaxSource source datagrams and as many repair symbols in all as it has source
// symbols, and what PollRebuilt has.
func DecoderBuffers(history, span int) int {
	if history == 0 {
		history = DefaultHistory
	}
	return min(max(leastKept, 2*span), history) + openBlocks*MaxSource + 2*MaxSource
}
