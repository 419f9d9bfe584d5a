package fec

import (
	"slices"

	"github.com/activeblaze/blaze/wire"
)

// settle rebuilds what block i lacks, if its symbols are enough, and ends it when it lacks
// nothing any more.
func (d *Decoder) settle(i int) {
	b, w := d.open[i], d.cfg.Workspace
	if b.came == 1<<b.shape.sources-1 {
		d.end(i)
		return
	}
	lost := w.lost[:0]
	for c := range int(b.shape.sources) {
		if b.sources[c] == nil { // what came and could not be kept is computed, but not handed out
			lost = append(lost, uint8(c))
		}
	}
	if len(lost) > b.held || cap(d.rebuilt)-len(d.rebuilt) < len(lost) {
		return
	}
	if !d.solve(b, lost) {
		d.stats.Corrupt++
	}
	d.end(i)
}

// solve computes the lost source symbols of a block and hands out their datagrams. It is false
// when the symbols do not belong together, or what comes out is not what was sent; those that
// are right are handed out all the same, since each has a CRC of its own.
func (d *Decoder) solve(b *block, lost []uint8) (good bool) {
	w := d.cfg.Workspace
	rows, repair, size := w.rows[:len(lost)], w.repair[:len(lost)], padded(b.size)
	for j := range repair {
		s := &b.symbols[j]
		rows[j] = s.index
		repair[j] = w.memory[j*w.size : j*w.size+size]
		n := copy(repair[j], s.buf.Bytes()[s.at:int(s.at)+b.size])
		clear(repair[j][n:])
	}
	onDemand := b.shape.repairs <= slices.Max(rows)
	w.solver.Begin(lost, rows)
	next, before := 0, d.stats.Rebuilt
	for c := range int(b.shape.sources) {
		if next < len(lost) && int(lost[next]) == c {
			next++
			continue
		}
		n := w.fill(b.number(c), b.sources[c].Bytes())
		if n == 0 || n > b.size {
			return false
		}
		w.solver.Subtract(repair, c, w.symbol[:padded(n)])
	}
	good = true
	for j, c := range lost {
		out := w.symbol[:size]
		clear(out)
		w.solver.Combine(out, j, repair)
		if b.came>>c&1 == 0 && !d.accept(b.number(int(c)), out) {
			good = false
		}
	}
	if onDemand {
		d.stats.OnDemand += d.stats.Rebuilt - before
	}
	return good
}

// fill puts the source symbol of a datagram into the workspace, padded with zeros, and returns
// its length; 0 when there is none.
func (w *Workspace) fill(number uint64, datagram []byte) int {
	crc, body, ok := wire.SourceOf(datagram)
	if !ok {
		if crc, body, ok = sourceIn(&w.datagram, datagram, number); !ok {
			return 0
		}
	}
	n := wire.SourceLen(len(body))
	if n > w.size {
		return 0
	}
	wire.AppendSource(w.symbol[:0], crc, body)
	clear(w.symbol[n:padded(n)])
	return n
}

// accept makes a datagram of a symbol that was rebuilt, if it is right: its CRC, every frame and
// the number.
func (d *Decoder) accept(number uint64, symbol []byte) bool {
	crc, body, ok := wire.ParseSource(symbol)
	if !ok || wire.RebuiltLen(len(body)) > d.cfg.Datagram {
		return false
	}
	b := d.cfg.Pool.Get()
	if b == nil {
		d.stats.NoBuffer++
		return true // nothing is wrong with it; it stays lost
	}
	mem := wire.Rebuild(b.Mem()[:0], &d.header, crc, body)
	b.Set(0, len(mem))
	w := &d.cfg.Workspace.datagram
	if wire.Decode(mem, w) != nil || len(w.Frames()) != 1 || w.Frames()[0].Kind != wire.FrameData {
		b.Release()
		return false
	}
	if m := w.Frames()[0].Data(); m.Number != number { // of another block, or the CRC was right by chance
		b.Release()
		return false
	}
	if number >= d.low {
		s := &d.slots[number&d.mask]
		b.Retain()
		d.held++
		s.came, s.buf = true, b
	}
	d.rebuilt = append(d.rebuilt, rebuilt{number, b})
	d.held++
	d.stats.Rebuilt++
	return true
}
