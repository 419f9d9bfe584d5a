package nack

import (
	"unsafe"

	"github.com/activeblaze/blaze/fec"
	"github.com/activeblaze/blaze/wire"
)

// FEC sets the block code of the streams that are sent under FEC and Hybrid. Its zero value
// works. Receivers need none of it: repair symbols say how they were made.
type FEC struct {
	Source     int // source symbols of a full block, 1..fec.MaxSource; zero means 20
	Interleave int // blocks that are filled in turn, 1..fec.MaxInterleave; zero means 1
	// Min and Max bound the repair symbols of a full block while the sender follows the loss that
	// receivers report. Min zero means 1, -1 none while the network is clean. Max zero means 6, or
	// Min where that is more.
	Min, Max int
	// Fixed gives every full block this many repair symbols, whatever is reported, if above zero.
	Fixed int
	// Budget bounds the repair symbols that are sent without a request, as a share of source symbols, 0.1 for
	// one in ten, also where a slow stream's blocks are short; it goes before Min. Zero means no
	// bound but Max.
	Budget float64
}

const (
	// maxDecoders bounds the streams whose blocks are decoded at one time. Beyond it a Hybrid stream
	// is repaired by NAKs alone, and of an FEC stream only what comes is delivered.
	maxDecoders = 64
	// fullDecoders is how many of them can hold as much as they may at one time.
	fullDecoders = 4
	// sharedBlocks is how many blocks all of them together can have waiting for symbols.
	sharedBlocks = 128
	// decoderHistory is the source datagrams that a decoder can hold: enough for the longest blocks
	// that are sent with the deepest interleaving. It holds few where blocks are short.
	decoderHistory = 2 * fec.MaxSource * fec.MaxInterleave
	// maxOpen is how long a block waits for its last source symbol, here and at every sender.
	maxOpen = fec.DefaultMaxOpen
)

// coded reports whether streams of a protocol have repair symbols.
func coded(p wire.Protocol) bool { return p == wire.FEC || p == wire.Hybrid }

// FECBuffers is how many buffers streams under FEC and Hybrid take besides those of Buffers:
// the repair symbols that wait to leave on each of senders streams, those that receivers ask for
// among them, and the blocks that are decoded.
func FECBuffers(f FEC, senders int) int {
	source, interleave, most := f.Source, f.Interleave, max(f.Max, f.Fixed, f.Min, fec.DefaultMaxRepair)
	if source == 0 {
		source = fec.DefaultSource
	}
	interleave = max(interleave, 1)
	return senders*(interleave*most*4+fec.MaxSymbol) + fullDecoders*fec.DecoderBuffers(decoderHistory, source*interleave)
}

// FECTables is how many bytes it takes to make the repair symbols of senders streams, and to decode
// the streams that are received, besides buffers. Any stream that is received may have repair
// symbols, so the second part is there with no senders as well.
func FECTables(f FEC, datagram, senders int) int64 {
	most := max(f.Max, f.Fixed, f.Min, fec.DefaultMaxRepair)
	encoder := (2+max(f.Interleave, 1)*most)*(datagram+64) + 32<<10
	decoder := fec.DecoderBytes() + int(unsafe.Sizeof(decoding{}))
	return int64(senders*encoder + maxDecoders*decoder + fec.WorkspaceBytes(datagram, sharedBlocks, fullDecoders*decoderHistory))
}

func (f *FEC) controller() fec.ControllerConfig {
	return fec.ControllerConfig{Source: f.Source, Min: f.Min, Max: f.Max, Budget: f.Budget, Fixed: f.Fixed}
}
