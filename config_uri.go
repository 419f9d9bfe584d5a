package blaze

import (
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/activeblaze/blaze/internal/uri"
	"github.com/activeblaze/blaze/internal/words"
)

// URI is a Config.BroadcastURI in its parts. ParseURI makes it, with the defaults filled in:
//
//	udp://239.255.66.76:6676?interface=eth0&ttl=1&mtu=1500&dscp=46&busypoll=50us&gso=auto&loop=auto
//	xdp://239.255.66.76:6676?interface=eth0&queue=0&queues=4&mode=native&zerocopy=auto&socket=own&lanes=all&tap=FILE
//	auto://239.255.66.76:6676?interface=eth0
//	pointcast://10.0.0.1:6676,10.0.0.2:6676?bind=10.0.0.1:6676
//
// auto takes the options of udp and of xdp. An option may stand once.
type URI struct {
	Scheme string           // "udp", "xdp", "auto" or "pointcast": the driver
	Group  netip.AddrPort   // the IPv4 multicast address; all but pointcast
	Peers  []netip.AddrPort // the members' IPv4 addresses, at most 256; pointcast only

	Interface string        // name of the network interface; empty: loopback, and nothing leaves the host
	TTL       int           // routers that multicast may pass, plus one: 1..255; default 1. Not for pointcast
	MTU       int           // bytes of an IP packet, 576..9000, over xdp 576..3498; 0: the interface's, at most 1500
	DSCP      int           // mark of what is sent (RFC 2474), 0..63; default 0
	BusyPoll  time.Duration // the kernel polls the card this long, 0..1s, whole microseconds; default 0: as the host is set
	GSO       string        // segmentation offload: "auto" (default), "on" or "off"
	// Loop, over udp with multicast, says whether what is sent to the group goes to other sockets of this host: "auto"
	// (default), "on" or "off". With auto the member finds out who else is on the interface, and saves the kernel the
	// copies while nobody is. Off is for a host on which nobody else wants them: members of the host do not hear this
	// one. On the loopback interface it has no effect, and outside Linux auto is on. docs/operations.md has more.
	Loop string
	Bind netip.AddrPort // pointcast: which of Peers is this member; zero: the first that is local and free

	Queue    int    // xdp: the card's queue, 0..4095; default 0
	Queues   int    // xdp: how many queues from Queue on are received from, 1..64, each by an engine on a thread of its own; 0: one. What comes in others takes the way through the kernel
	Mode     string // xdp: "auto" (default), "native" or "generic"
	ZeroCopy string // xdp: "auto" (default), "on" or "off"
	Socket   string // xdp: "own" (default), or "asavie": the AF_XDP socket of github.com/asavie/xdp, in programs that import _ "github.com/activeblaze/blaze/xdp/asavie"
	// Lanes, over xdp, picks the lanes of the group that this member receives: "all" (default), or
	// "subscribed". By the latter the operator states that all members of the cluster have the same
	// Config.Lanes. Then the member receives the lanes of the topics that it subscribes to (all of
	// them with a wildcard), those that it sends on, lane 0 where it takes part in a ring, and
	// every lane from its own Config.Lanes on. The host keeps the rest away from it. Until the next
	// Start lanes are only added: the lane of a closed subscription stays. A member with another
	// number of lanes is logged when it is noticed, and all lanes are received from then on.
	// docs/operations.md describes the two cases in which it is not noticed.
	Lanes string

	Tap string // xdp: a file that sent and received packets are written to, as pcapng; empty: none
}

// ParseURI reads a Config.BroadcastURI. Its errors match ErrConfig and name the part, its value
// and what is allowed. IPv6 addresses are for a later version; their error matches
// ErrUnsupported too.
func ParseURI(s string) (URI, error) {
	u, err := uri.Parse(s)
	var e *uri.Error
	if !errors.As(err, &e) {
		return URI(u), err
	}
	c := &configError{field: "BroadcastURI", value: strconv.Quote(words.Abridged(e.Value)), want: e.Want}
	if e.Part != "" {
		c.field += ": " + e.Part
	}
	if e.Unsupported {
		c.cause = ErrUnsupported
	}
	return URI{}, c
}

// String is u as ParseURI reads it. Options that have their default are left out.
func (u URI) String() string { return uri.URI(u).String() }
