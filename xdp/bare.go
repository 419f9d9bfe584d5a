package xdp

// BareConfig is what a Bare socket is made of.
type BareConfig struct {
	Interface string // its name, in the namespace of the calling thread
	Queue     int
	ZeroCopy  bool
	Socket    string // "own" or "asavie"
	Buffers   int    // of BareBuffer bytes
	FillRing  int    // entries of the fill and RX rings, a power of two
	TxRing    int    // entries of the TX and completion rings, a power of two
}

const (
	// BareBuffer is the size of a Bare's buffers in bytes.
	BareBuffer = smallChunk
	// FrameStart is where the kernel puts a packet into a buffer, unless its program moved it.
	FrameStart = frameStart
)

// Look is what can be known of an interface without doing anything to it.
type Look struct {
	Name     string
	Index    int
	Kind     string // such as "veth" or "vlan"; empty for cards and loopback
	Loopback bool
	Virtual  bool // not a card
	Up       bool // with a carrier
	MTU      int
	Queues   int // receive queues that it was made with

	Rungs []string // the ways in which Open would try to connect, in order
	Why   string   // why in this order
	Err   error    // why Open would not even try; nil: it would
}
