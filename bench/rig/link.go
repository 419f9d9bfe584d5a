package rig

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Way is a direction of a host's cable.
type Way int

// The ways.
const (
	ToHost   Way = iota // from the switch to the host
	FromHost            // from the host to the switch, behind the switch's port: AF_XDP passes there too
	OnHost              // out of the host, at its own interface; a socket notices that it is full. AF_XDP passes it by
)

func (w Way) String() string {
	return [...]string{"to", "from", "on"}[w]
}

// Link is what a cable carries one way. The zero value carries everything, at once and in order.
type Link struct {
	Rate        int64         // bits/s, with the headers of Ethernet, IP and UDP; 0: no limit. At least MinRate
	Queue       int           // bytes that wait for Rate, with their headers; what finds no room is lost. 0: DefaultQueue
	MTU         int           // bytes of an IP packet: a longer one is lost without a word. 0: no limit
	Loss        float64       // the part of the packets that is lost at random, 0 to less than 1
	Reorder     time.Duration // each packet is held back by up to this, evenly drawn, so that later ones overtake it
	Double      float64       // the part of the packets that arrives twice, 0 to 1
	NoMulticast bool          // UDP to groups is lost
	NoUnicast   bool          // UDP to hosts is lost; other packets, such as ARP, pass
}

// Bounds and defaults of a Link.
const (
	MinRate      = 64_000 // bits/s
	MaxRate      = 100_000_000_000
	DefaultQueue = 64 << 10 // bytes
	MinQueue     = 2 * maxFrame
	MaxQueue     = 64 << 20
	MinMTU       = 576
	MaxReorder   = time.Second

	maxFrame = 1514 // bytes: an MTU of 1500 with its Ethernet header
)

// Check refuses what no link can be, and what a kind of network has not. Each error begins with what is wrong.
func (l Link) Check(kind Kind, way Way) error {
	switch {
	case l.Rate != 0 && (l.Rate < MinRate || l.Rate > MaxRate):
		return fmt.Errorf("rate=%d: want 0 (no limit), or %d to %d bits a second", l.Rate, MinRate, int64(MaxRate))
	case l.Queue != 0 && (l.Queue < MinQueue || l.Queue > MaxQueue):
		return fmt.Errorf("queue=%d: want %d to %d bytes", l.Queue, MinQueue, MaxQueue)
	case l.Queue != 0 && l.Rate == 0:
		return errors.New("queue without a rate: nothing waits where everything passes at once")
	case l.MTU != 0 && (l.MTU < MinMTU || l.MTU > 1500):
		return fmt.Errorf("mtu=%d: want %d to 1500 bytes", l.MTU, MinMTU)
	case !(l.Loss >= 0 && l.Loss < 1):
		return fmt.Errorf("loss=%v: want 0 or more and less than 1", l.Loss)
	case l.Reorder < 0 || l.Reorder > MaxReorder:
		return fmt.Errorf("reorder=%v: want 0 to %v", l.Reorder, MaxReorder)
	case !(l.Double >= 0 && l.Double <= 1):
		return fmt.Errorf("double=%v: want 0 to 1", l.Double)
	case kind == Veth && way != OnHost:
		return errors.New("rig veth has no switch: take bridge or tap")
	case (kind == Bridge || way == OnHost) && (l.Loss > 0 || l.Reorder > 0 || l.Double > 0 || l.NoMulticast || l.NoUnicast):
		return errors.New("only the switch of rig tap has loss, reorder, double, multicast=off and unicast=off for one way of one cable")
	case kind == Bridge && way == FromHost && l.MTU != 0:
		return errors.New("mtu at a port of rig bridge is for both ways: set it to the host, or take tap")
	}
	return nil
}

// ParseLink reads a link from text, such as rate=100mbit,queue=64k,mtu=1400: names and values with commas
// between them.
//
//	rate=100mbit    bits a second: k, m or g before bit
//	queue=64k       bytes that wait for rate: k or m
//	mtu=1400        bytes of an IP packet
//	loss=0.01       part of the packets
//	reorder=5ms     the longest that a packet is held back
//	double=0.5      part of the packets
//	multicast=off
//	unicast=off
func ParseLink(text string) (l Link, err error) {
	var seen []string
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return Link{}, fmt.Errorf("%q: want name=value", part)
		}
		if slices.Contains(seen, name) {
			return Link{}, fmt.Errorf("%s is there twice", name)
		}
		seen = append(seen, name)
		if err := l.set(name, value); err != nil {
			return Link{}, err
		}
	}
	return l, nil
}

func (l *Link) set(name, value string) error {
	switch name {
	case "rate":
		n, err := number(strings.TrimSuffix(value, "bit"), 1000)
		if err != nil || !strings.HasSuffix(value, "bit") {
			return fmt.Errorf("rate=%s: want bits a second, as 100mbit", value)
		}
		l.Rate = n
	case "queue":
		n, err := number(value, 1024)
		if err != nil || n > math.MaxInt32 {
			return fmt.Errorf("queue=%s: want bytes, as 64k", value)
		}
		l.Queue = int(n)
	case "mtu":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("mtu=%s: want bytes, as 1400", value)
		}
		l.MTU = n
	case "loss", "double":
		p, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%s=%s: want a part of the packets, as 0.01", name, value)
		}
		if name == "loss" {
			l.Loss = p
		} else {
			l.Double = p
		}
	case "reorder":
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("reorder=%s: want a time, as 5ms", value)
		}
		l.Reorder = d
	case "multicast", "unicast":
		if value != "off" {
			return fmt.Errorf("%s=%s: want off", name, value)
		}
		if name == "multicast" {
			l.NoMulticast = true
		} else {
			l.NoUnicast = true
		}
	default:
		return fmt.Errorf("%q: want rate, queue, mtu, loss, reorder, double, multicast or unicast", name)
	}
	return nil
}

// number reads a whole number with a k, m or g behind it, each base times the one before.
func number(s string, base int64) (int64, error) {
	by := int64(1)
	if i := strings.IndexAny(s, "kmg"); i >= 0 && i == len(s)-1 {
		for range 1 + strings.IndexByte("kmg", s[i]) {
			by *= base
		}
		s = s[:i]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/by {
		return 0, errors.New("no such number")
	}
	return n * by, nil
}

// String is the text that ParseLink reads; empty for a link that carries everything.
func (l Link) String() string {
	var parts []string
	add := func(there bool, format string, v ...any) {
		if there {
			parts = append(parts, fmt.Sprintf(format, v...))
		}
	}
	add(l.Rate > 0, "rate=%s", shortest(l.Rate, 1000)+"bit")
	add(l.Queue > 0, "queue=%s", shortest(int64(l.Queue), 1024))
	add(l.MTU > 0, "mtu=%d", l.MTU)
	add(l.Loss > 0, "loss=%v", l.Loss)
	add(l.Reorder > 0, "reorder=%v", l.Reorder)
	add(l.Double > 0, "double=%v", l.Double)
	add(l.NoMulticast, "multicast=off")
	add(l.NoUnicast, "unicast=off")
	return strings.Join(parts, ",")
}

// shortest writes a number that number reads.
func shortest(n, base int64) string {
	unit := ""
	for _, u := range []string{"k", "m", "g"} {
		if n == 0 || n%base != 0 {
			break
		}
		n, unit = n/base, u
	}
	return strconv.FormatInt(n, 10) + unit
}
