package sim

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sum identifies the bytes of a datagram in the trace and guards them against changes.
func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// trace is a running hash over every event of a run (FNV-1a over 64-bit words, with a shift
// that carries high bits down). Two runs that differ in one event differ in the hash.
type trace struct {
	hash  uint64
	words uint64
}

const (
	fnvOffset = 0xcbf29ce484222325
	fnvPrime  = 0x100000001b3
)

func (t *trace) mix(words ...uint64) {
	h := t.hash
	if t.words == 0 {
		h = fnvOffset
	}
	for _, w := range words {
		h = (h ^ w) * fnvPrime
		h ^= h >> 29
	}
	t.hash = h
	t.words += uint64(len(words))
}
