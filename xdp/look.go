package xdp

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
