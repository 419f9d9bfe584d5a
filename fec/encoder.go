package fec

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Scheme is the number of this code on the wire.
const Scheme = 1

// Bounds and defaults of an Encoder.
const (
	MaxInterleave  = 16
	DefaultSource  = 20
	DefaultMaxOpen = 10 * time.Millisecond
	shortestPause  = 50 * time.Microsecond // below it, threads and not streams are measured
	recentBlocks   = 512                   // blocks that more repair symbols can be made for
	waitingGroups  = 4                     // groups of blocks whose repair symbols may wait in PollSend
)

// EncoderConfig is what an Encoder is made of.
type EncoderConfig struct {
	Header   wire.Header // of the stream: repair datagrams carry it
	Datagram int         // largest UDP payload, bytes

	// Source is the number of source symbols of a full block, 1..MaxSource. Zero means 20.
	Source int
	// Interleave spreads datagrams that follow each other over so many blocks: a burst of losses
	// hits each of them with its share. It makes the time until a loss is mended longer by the
	// same factor. 1..MaxInterleave; zero means 1.
	Interleave int
	// MaxOpen bounds how long a block waits for its last source symbol. It is what a receiver
	// waits at most for a repair symbol on a slow stream, and what bounds the repair symbols of
	// such a stream: one short group of blocks in this time. Zero means 10ms.
	MaxOpen time.Duration

	Control *Controller // decides how many repair symbols a block gets
	Pool    *buf.Pool   // repair datagrams come from here
	Held    Held        // source datagrams that are still there, for More; may be nil

	// Room is how many bytes of repair datagrams may leave now. A block that closes has as many symbols as fit, and one at
	// least. nil means that nothing bounds them.
	Room func() int
}

// Held is the sender's retransmit window.
type Held interface {
	// Datagram is the source datagram with this number, nil when it is not held any more. The
	// bytes are lent until the next call.
	Datagram(number uint64) []byte
}

// EncoderStats counts what an Encoder did. All counters only grow.
type EncoderStats struct {
	Sources     uint64 // source datagrams
	SourceBytes uint64 // of UDP payload
	Blocks      uint64 // closed, with source symbols
	Short       uint64 // of Blocks: closed by a pause, by MaxOpen or by a gap in the numbers
	Repairs     uint64 // repair datagrams made without being asked for
	Asked       uint64 // repair datagrams made for More
	HeldOff     uint64 // symbols that More did not make again within its hold-off
	RepairBytes uint64 // of UDP payload, of Repairs and Asked
	Unprotected uint64 // source datagrams that no block takes: too long, or without Data
	NoBuffer    uint64 // repair datagrams that the pool had no buffer for
	Dropped     uint64 // repair datagrams that PollSend did not fetch in time
}

// Encoder makes the repair symbols of one stream. Source datagrams leave by themselves, unchanged
// and at once; the Encoder is told of each and works on it then, so that the repair symbols are
// ready when a block's last datagram is. It is single-threaded, does no I/O and reads no clock.
type Encoder struct {
	cfg     EncoderConfig
	longest int    // longest source symbol
	stage   []byte // one source symbol, padded
	row     []byte // one repair symbol that was asked for
	scratch wire.Datagram

	// A group is Interleave blocks that are filled in turn. It begins at datagram base.
	open       bool
	base, next uint64
	repairs    int         // of each full block of the group
	blocks     []openBlock // of the group
	began      clock.Time  // when its first datagram left
	at         clock.Time  // when it is closed, full or not
	rhythm     rhythm
	budget     budget

	recent [recentBlocks]closedBlock // ring, in order of first
	closed uint64                    // blocks ever put into recent

	queue  []*buf.Buf // ring of repair datagrams
	head   int
	queued int
	stats  EncoderStats
}

type openBlock struct {
	count  int
	size   int      // of the longest symbol so far
	repair [][]byte // accumulators, zeros beyond padded(size)
}

type closedBlock struct {
	first   uint64
	size    int
	sources uint8
	repairs uint8
	next    uint8 // index of the next repair symbol that is made when asked
	burst   uint8 // how many were made last,
	at      clock.Time
}

// NewEncoder makes an Encoder. It panics when Control or Pool is missing, and on settings
// outside their ranges.
func NewEncoder(cfg EncoderConfig) *Encoder {
	if cfg.Source == 0 {
		cfg.Source = DefaultSource
	}
	if cfg.Interleave == 0 {
		cfg.Interleave = 1
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = DefaultMaxOpen
	}
	if cfg.Control == nil || cfg.Pool == nil || cfg.Source < 1 || cfg.Source > MaxSource ||
		cfg.Interleave < 1 || cfg.Interleave > MaxInterleave || cfg.Source+cfg.Control.Max() > MaxSymbol {
		panic("fec: EncoderConfig")
	}
	e := &Encoder{
		cfg: cfg, longest: max(wire.SymbolRoom(cfg.Datagram), 0),
		budget: newBudget(cfg.Control.cfg.Budget, cfg.Source, cfg.Interleave),
	}
	most := cfg.Control.Max()
	size := padded(e.longest)
	mem := make([]byte, (2+cfg.Interleave*most)*size)
	slice := func() (s []byte) {
		s, mem = mem[:size:size], mem[size:]
		return s
	}
	e.stage, e.row = slice(), slice()
	e.blocks = make([]openBlock, cfg.Interleave)
	for i := range e.blocks {
		for range most {
			e.blocks[i].repair = append(e.blocks[i].repair, slice())
		}
	}
	e.queue = make([]*buf.Buf, waitingGroups*cfg.Interleave*most+MaxSymbol)
	return e
}

// SourceMax is the longest source datagram, in bytes, that can be protected where no datagram is
// longer than datagram bytes.
func SourceMax(datagram int) int { return datagram - wire.RepairOverhead }

// Stats returns a copy of the counters.
func (e *Encoder) Stats() EncoderStats { return e.stats }

// Sent notes that source datagram number has left for the first time. The bytes are lent for the
// call. A number that does not follow the one before closes the open blocks.
func (e *Encoder) Sent(now clock.Time, number uint64, datagram []byte) {
	e.stats.Sources++
	e.stats.SourceBytes += uint64(len(datagram))
	e.rhythm.beat(now, 1, e.cfg.MaxOpen)
	if e.open && number != e.next {
		e.close(now)
	}
	if !e.open {
		e.begin(now, number)
	}
	at := int(number - e.base)
	b := &e.blocks[at%len(e.blocks)]
	if e.repairs > 0 {
		n := e.fill(datagram, number)
		if n == 0 {
			e.stats.Unprotected++
			e.close(now)
			return
		}
		Accumulate(b.repair[:e.repairs], b.count, e.stage[:padded(n)])
		b.size = max(b.size, n)
	}
	b.count++
	e.next = number + 1
	if b.count == e.cfg.Source {
		e.finish(now, b, number)
		if at == len(e.blocks)*e.cfg.Source-1 {
			e.open = false
			return
		}
	}
	e.at = min(e.began.Add(e.cfg.MaxOpen), now.Add(e.rhythm.pause(shortestPause, e.cfg.MaxOpen)))
}

// begin opens a group of blocks at number.
func (e *Encoder) begin(now clock.Time, number uint64) {
	e.open, e.base, e.next, e.began = true, number, number, now
	e.repairs = e.cfg.Control.Repairs(e.cfg.Source)
}

// fill puts the source symbol of a datagram into stage, padded with zeros, and returns its
// length; 0 when there is none.
func (e *Encoder) fill(datagram []byte, number uint64) int {
	crc, body, ok := wire.SourceOf(datagram)
	if !ok {
		if crc, body, ok = sourceIn(&e.scratch, datagram, number); !ok {
			return 0
		}
	}
	n := wire.SourceLen(len(body))
	if n > e.longest {
		return 0
	}
	wire.AppendSource(e.stage[:0], crc, body)
	clear(e.stage[n:padded(n)])
	return n
}

// sourceIn is wire.SourceOf for datagrams that have more in them than one Data: the first ones
// of a stream, which say where it begins, and those of other encoders.
func sourceIn(d *wire.Datagram, datagram []byte, number uint64) (crc uint32, body []byte, ok bool) {
	if wire.Decode(datagram, d) != nil {
		return 0, nil, false
	}
	frames := d.Frames()
	for i := range frames {
		if frames[i].Kind == wire.FrameData {
			if m := frames[i].Data(); m.Number == number {
				crc, body = wire.SourceIn(&d.Header, &frames[i])
				return crc, body, true
			}
		}
	}
	return 0, nil, false
}

// close ends the group: what it has is protected as it is.
func (e *Encoder) close(now clock.Time) {
	e.open = false
	for i := range e.blocks {
		if b := &e.blocks[i]; b.count > 0 {
			e.stats.Short++
			e.finish(now, b, e.base+uint64(i+(b.count-1)*len(e.blocks)))
		}
	}
}

// finish ends one block, whose last source datagram is last: its repair symbols leave.
func (e *Encoder) finish(now clock.Time, b *openBlock, last uint64) {
	e.stats.Blocks++
	repairs := e.repairs
	if b.count < e.cfg.Source {
		repairs = min(repairs, e.cfg.Control.Repairs(b.count))
	}
	repairs = e.budget.spend(b.count, repairs)
	if e.cfg.Room != nil && repairs > 1 {
		repairs = min(repairs, max(e.cfg.Room()/(b.size+wire.RepairOverhead), 1))
	}
	if e.repairs > 0 {
		c := closedBlock{
			first: last - uint64((b.count-1)*len(e.blocks)), size: b.size,
			sources: uint8(b.count), repairs: uint8(repairs), next: uint8(repairs), at: now,
		}
		for r := range repairs {
			if e.send(&c, r, b.repair[r][:b.size]) {
				e.stats.Repairs++
			}
		}
		for r := range e.repairs {
			clear(b.repair[r][:padded(b.size)])
		}
		e.recent[e.closed%recentBlocks] = c
		e.closed++
	}
	b.count, b.size = 0, 0
}

// send puts one repair datagram in line.
func (e *Encoder) send(c *closedBlock, index int, symbol []byte) bool {
	if e.queued == len(e.queue) {
		e.stats.Dropped++
		return false
	}
	b := e.cfg.Pool.Get()
	if b == nil {
		e.stats.NoBuffer++
		return false
	}
	mem := wire.AppendRepair(wire.AppendHeader(b.Mem()[:0], e.cfg.Header), &wire.Repair{
		Block: c.first, Scheme: Scheme, Stride: uint8(len(e.blocks)),
		Sources: c.sources, Repairs: c.repairs, Index: uint8(index), Symbol: symbol,
	})
	wire.Seal(mem)
	b.Set(0, len(mem))
	e.stats.RepairBytes += uint64(len(mem))
	e.queue[(e.head+e.queued)%len(e.queue)] = b
	e.queued++
	return true
}

// PollSend hands out the next repair datagram, with one reference that passes to the caller.
func (e *Encoder) PollSend() (s buf.Send, ok bool) {
	if e.queued == 0 {
		return s, false
	}
	b := e.queue[e.head]
	e.queue[e.head] = nil
	e.head = (e.head + 1) % len(e.queue)
	e.queued--
	return buf.Send{Buf: b, To: buf.Group, Wait: true}, true
}

// Waiting is the number of repair datagrams that PollSend has.
func (e *Encoder) Waiting() int { return e.queued }

// Deadline returns when Tick is next needed: when the open blocks are closed, full or not.
func (e *Encoder) Deadline() (at clock.Time, ok bool) { return e.at, e.open }

// Tick closes the open blocks when the stream pauses, or they are too old. Calling it early is
// harmless.
func (e *Encoder) Tick(now clock.Time) {
	if e.open && now >= e.at {
		e.close(now)
	}
}

// Flush closes the open blocks now: nothing more will be sent.
func (e *Encoder) Flush(now clock.Time) {
	if e.open {
		e.close(now)
	}
}

// Release gives every buffer back to the pool.
func (e *Encoder) Release() {
	for {
		s, ok := e.PollSend()
		if !ok {
			return
		}
		s.Buf.Release()
	}
}
