// Package uri reads and writes Config.BroadcastURI: the driver, the address and the driver's options.
package uri

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/xdp"
)

// URI is a Config.BroadcastURI in its parts: blaze.URI, which documents the fields, has the same ones.
type URI struct {
	Scheme string
	Group  netip.AddrPort
	Peers  []netip.AddrPort

	Interface string
	TTL       int
	MTU       int
	DSCP      int
	BusyPoll  time.Duration
	GSO       string
	Loop      string
	Bind      netip.AddrPort

	Queue    int
	Queues   int
	Mode     string
	ZeroCopy string
	Socket   string
	Lanes    string

	Tap string
}

// Default is where the default Config sends.
const Default = "udp://239.255.66.76:6676"

const (
	maxPeers    = 256
	maxIfName   = 255
	maxPath     = 4095
	maxQueue    = 4095
	maxQueues   = 64
	minMTU      = 576 // RFC 791: what every host must take
	maxMTU      = 9000
	maxBusyPoll = time.Second
)

// A uriOption is one option of a URI. set returns what is allowed where v is not, and "" where
// it is. text is empty for a value that needs not be said.
type uriOption struct {
	name    string
	schemes []string
	set     func(u *URI, v string) (want string)
	text    func(u *URI) string
}

var (
	overUDP      = []string{"udp", "auto", "pointcast"}
	overSockets  = []string{"udp", "auto"} // with multicast
	overXDP      = []string{"xdp", "auto"}
	overAnything = []string{"udp", "xdp", "auto", "pointcast"}
	multicast    = []string{"udp", "xdp", "auto"}
)

// uriOptions are all options, in the order in which String writes them.
var uriOptions = []uriOption{
	{"interface", multicast,
		func(u *URI, v string) string {
			u.Interface = v
			return unless(len(v) <= maxIfName, "must be the name of a network interface, at most %d bytes", maxIfName)
		},
		func(u *URI) string { return u.Interface }},
	{"bind", []string{"pointcast"},
		func(u *URI, v string) (want string) {
			if v == "" {
				return ""
			}
			u.Bind, want = parseIPv4Port(v)
			return want
		},
		func(u *URI) string {
			if !u.Bind.IsValid() {
				return ""
			}
			return u.Bind.String()
		}},
	intOption("ttl", multicast, 1, 255, func(u *URI) *int { return &u.TTL }),
	intOption("mtu", []string{"xdp"}, minMTU, xdp.MaxMTU, func(u *URI) *int { return &u.MTU }),
	intOption("mtu", overUDP, minMTU, maxMTU, func(u *URI) *int { return &u.MTU }),
	intOption("dscp", overAnything, 0, 63, func(u *URI) *int { return &u.DSCP }),
	{"busypoll", overAnything,
		func(u *URI, v string) string {
			d, err := time.ParseDuration(v)
			u.BusyPoll = d
			return unless(err == nil && d >= 0 && d <= maxBusyPoll && d%time.Microsecond == 0,
				"must be a duration from 0s to %v in whole microseconds, such as 50us", maxBusyPoll)
		},
		func(u *URI) string { return strconv.FormatInt(u.BusyPoll.Microseconds(), 10) + "us" }},
	wordOption("gso", overUDP, func(u *URI) *string { return &u.GSO }, "auto", "on", "off"),
	wordOption("loop", overSockets, func(u *URI) *string { return &u.Loop }, "auto", "on", "off"),
	intOption("queue", overXDP, 0, maxQueue, func(u *URI) *int { return &u.Queue }),
	intOption("queues", overXDP, 1, maxQueues, func(u *URI) *int { return &u.Queues }),
	wordOption("mode", overXDP, func(u *URI) *string { return &u.Mode }, "auto", "native", "generic"),
	wordOption("zerocopy", overXDP, func(u *URI) *string { return &u.ZeroCopy }, "auto", "on", "off"),
	wordOption("socket", overXDP, func(u *URI) *string { return &u.Socket }, "own", "asavie"),
	wordOption("lanes", overXDP, func(u *URI) *string { return &u.Lanes }, "all", "subscribed"),
	{"tap", overXDP,
		func(u *URI, v string) string {
			u.Tap = v
			return unless(v != "" && len(v) <= maxPath, "must be the name of a file to write, at most %d bytes", maxPath)
		},
		func(u *URI) string { return u.Tap }},
}

func intOption(name string, schemes []string, low, high int, at func(*URI) *int) uriOption {
	return uriOption{name, schemes,
		func(u *URI, v string) string {
			n, err := strconv.Atoi(v)
			*at(u) = n
			return unless(err == nil && n >= low && n <= high, "must be a whole number from %d to %d", low, high)
		},
		func(u *URI) string {
			if *at(u) < low {
				return "" // 0, for "default", of an option that cannot be 0
			}
			return strconv.Itoa(*at(u))
		}}
}

func wordOption(name string, schemes []string, at func(*URI) *string, allowed ...string) uriOption {
	return uriOption{name, schemes,
		func(u *URI, v string) string {
			*at(u) = v
			return unless(slices.Contains(allowed, v), "must be %s", words.Alternatives(allowed))
		},
		func(u *URI) string { return *at(u) }}
}

func unless(ok bool, format string, a ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, a...)
}

// defaultURI is a URI of scheme before its options are read.
func defaultURI(scheme string) URI {
	u := URI{Scheme: scheme}
	if slices.Contains(multicast, scheme) {
		u.TTL = 1
	}
	if slices.Contains(overUDP, scheme) {
		u.GSO = "auto"
	}
	if slices.Contains(overSockets, scheme) {
		u.Loop = "auto"
	}
	if slices.Contains(overXDP, scheme) {
		u.Mode, u.ZeroCopy, u.Socket, u.Lanes = "auto", "auto", "own", "all"
	}
	return u
}

// Parse reads a Config.BroadcastURI. Its errors are of type *Error.
func Parse(s string) (URI, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return URI{}, bad("", s, "must begin with a scheme and ://, as in "+Default)
	}
	u := defaultURI(strings.ToLower(scheme))
	if !slices.Contains(overAnything, u.Scheme) {
		return URI{}, bad("scheme", scheme, "must be "+words.Alternatives(overAnything))
	}
	address, query, _ := strings.Cut(rest, "?")
	if err := u.parseAddress(address); err != nil {
		return URI{}, err
	}
	if err := u.parseOptions(query); err != nil {
		return URI{}, err
	}
	if err := u.checkTogether(); err != nil {
		return URI{}, err
	}
	return u, nil
}

// checkTogether judges options that exclude each other on every host.
func (u *URI) checkTogether() error {
	switch {
	case u.Bind.IsValid() && !slices.Contains(u.Peers, u.Bind):
		return bad("bind", u.Bind.String(), "must be one of the listed addresses: to another nobody would send")
	case u.Queue+max(u.Queues, 1) > maxQueue+1:
		return bad("queues", strconv.Itoa(u.Queues), fmt.Sprintf("with queue=%d must be at most %d, since no queue is above %d", u.Queue, maxQueue+1-u.Queue, maxQueue))
	case u.Queues > 1 && u.Socket == "asavie":
		return bad("queues", strconv.Itoa(u.Queues), "needs socket=own: sockets of asavie/xdp cannot share packet memory")
	case u.ZeroCopy == "on" && u.Mode == "generic":
		return bad("zerocopy", "on", "needs mode=native or mode=auto: generic mode always copies")
	}
	return nil
}

func (u *URI) parseAddress(s string) error {
	if u.Scheme == "pointcast" {
		return u.parsePeers(s)
	}
	group, want := parseIPv4Port(s)
	if want == "" && !group.Addr().IsMulticast() {
		want = "must be an IPv4 multicast address, 224.0.0.0 to 239.255.255.255 (239.x.y.z is for private use), " +
			"where the network has no multicast, use pointcast://"
	}
	if want != "" {
		return bad("address", s, want)
	}
	u.Group = group
	return nil
}

func (u *URI) parsePeers(s string) error {
	if n := strings.Count(s, ",") + 1; n > maxPeers {
		return bad("addresses", strconv.Itoa(n), fmt.Sprintf("must be at most %d; more members need multicast", maxPeers))
	}
	for text := range strings.SplitSeq(s, ",") {
		peer, want := parseIPv4Port(text)
		switch a := peer.Addr(); {
		case want != "":
		case a.IsMulticast() || a.IsUnspecified() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			want = "must be one host's own IPv4 address; for multicast, use udp://"
		case slices.Contains(u.Peers, peer):
			want = "is listed twice"
		}
		if want != "" {
			return bad("address", text, want)
		}
		u.Peers = append(u.Peers, peer)
	}
	return nil
}

func (u *URI) parseOptions(query string) error {
	seen := make(map[string]bool)
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return bad("option", pair, "must be name=value")
		}
		option := u.option(name)
		if option == nil {
			return bad("option", name, u.Scheme+":// has "+strings.Join(u.optionNames(), ", "))
		}
		if seen[name] {
			return bad(name, value, "is given twice")
		}
		seen[name] = true
		plain, err := url.QueryUnescape(value)
		if err != nil {
			return bad(name, value, "has a bad escape: % must be followed by two hexadecimal digits")
		}
		if want := option.set(u, plain); want != "" {
			return bad(name, plain, want)
		}
	}
	return nil
}

func (u *URI) option(name string) *uriOption {
	for i := range uriOptions {
		if o := &uriOptions[i]; o.name == name && slices.Contains(o.schemes, u.Scheme) {
			return o
		}
	}
	return nil
}

func (u *URI) optionNames() (names []string) {
	for _, o := range uriOptions {
		if slices.Contains(o.schemes, u.Scheme) {
			names = append(names, o.name)
		}
	}
	return names
}

// String is u as Parse reads it. Options that have their default are left out.
func (u URI) String() string {
	var s strings.Builder
	s.WriteString(u.Scheme + "://")
	if u.Scheme == "pointcast" {
		for i, peer := range u.Peers {
			if i > 0 {
				s.WriteByte(',')
			}
			s.WriteString(peer.String())
		}
	} else {
		s.WriteString(u.Group.String())
	}
	defaults, before := defaultURI(u.Scheme), byte('?')
	for _, o := range uriOptions {
		text := o.text(&u)
		if text == "" || text == o.text(&defaults) || !slices.Contains(o.schemes, u.Scheme) {
			continue
		}
		s.WriteByte(before)
		s.WriteString(o.name + "=" + url.QueryEscape(text))
		before = '&'
	}
	return s.String()
}

// parseIPv4Port reads "a.b.c.d:port". Where it cannot, want is what is allowed.
func parseIPv4Port(s string) (ap netip.AddrPort, want string) {
	ap, err := netip.ParseAddrPort(s)
	host, port, hasPort := s, "", false
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port, hasPort = s[:i], s[i+1:], true
	}
	six, errSix := netip.ParseAddr(strings.Trim(s, "[]"))
	switch {
	case err == nil && !ap.Addr().Is4(), errSix == nil && six.Is6():
		return netip.AddrPort{}, wantIPv4
	case err == nil && ap.Port() != 0:
		return ap, ""
	case s == "":
		return netip.AddrPort{}, "must be an IPv4 address and a port, such as 239.255.66.76:6676"
	case !hasPort:
		return netip.AddrPort{}, "has no port; write " + words.Abridged(s) + ":6676"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return netip.AddrPort{}, "must end with a port from 1 to 65535"
	}
	return netip.AddrPort{}, unless(false, "%q must be an IPv4 address; names are not looked up, and options begin with ?", words.Abridged(host))
}

// wantIPv4 is how bad recognises an IPv6 address, which is right and yet not possible.
const wantIPv4 = "must be an IPv4 address; IPv6 is for a later version"

// Error is what is wrong with one part of a URI.
type Error struct {
	Part        string // "ttl"; empty: the whole
	Value       string
	Want        string // what is allowed
	Unsupported bool   // it would be right, and is for a later version
}

// Error has all of it.
func (e *Error) Error() string { return e.Part + " = " + strconv.Quote(e.Value) + ": " + e.Want }

func bad(part, value, want string) error {
	return &Error{Part: part, Value: value, Want: want, Unsupported: want == wantIPv4}
}
