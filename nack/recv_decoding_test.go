package nack

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// More streams under FEC than are decoded, whose blocks can never be mended: what decoders hold is
// bounded, the member's own window is never theirs, and an honest Hybrid stream completes. FE-8.
func TestDecodersAreBounded(t *testing.T) {
	net := newNetwork(t, 1)
	net.extra = FECBuffers(FEC{}, 2)
	net.hostile = true
	honest, victim := net.add(), net.add()
	own, hybrid := net.open(victim, testStream), net.open(honest, hybridStream)
	net.run(time.Millisecond)
	symbol := make([]byte, 500)
	least, decoders, sent := victim.pool.Free(), 0, 0
	for round := range 12 {
		for i := range 2 * maxDecoders {
			h := victim.p.header(fecStream)
			h.Transmitter = wire.MemberID{0xF0}
			binary.LittleEndian.PutUint16(h.Transmitter[1:], uint16(i))
			for n := uint64(round)*20 + 1; n <= uint64(round)*20+20; n++ {
				if n%20 < 16 {
					var w wire.DataWriter
					mem := make([]byte, 2000)
					w.Begin(mem, 1472, h, n, n)
					w.Add("prices.eu", 0, payload(h.Transmitter, n, 400))
					off, size := w.Finish()
					net.inject(victim, 99, mem[off:off+size])
				}
			}
			net.inject(victim, 99, forge(h, func(b []byte) []byte {
				return wire.AppendRepair(b, &wire.Repair{Block: uint64(round)*20 + 1, Scheme: 1, Stride: 1, Sources: 20, Repairs: 2, Symbol: symbol})
			}))
			decoders = max(decoders, victim.p.decoders)
			// Half of the own window is in use: the other half must be there.
			least = min(least, victim.pool.Free()-(own.p.window+1-int(own.next-own.first)))
		}
		net.offer(victim, own, 5, 1000)
		sent += net.offer(honest, hybrid, 20, 1000)
		net.run(100 * time.Microsecond)
	}
	if decoders != maxDecoders {
		t.Errorf("%d streams have decoders, of %d", decoders, maxDecoders)
	}
	if least < 0 {
		t.Errorf("the member's own window lacks %d buffers", -least)
	}
	st := victim.p.Stats()
	t.Logf("%d buffers beside the own window at the least; %d blocks given up, %d symbols refused", least, st.BlocksUnfinished, st.ParityRefused)
	if !net.until(time.Second, func() bool { return completeOn(net, hybridStream, sent) }) {
		t.Errorf("the honest stream is not complete")
	}
	net.done()
}
