package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// side is one of the two networks that a relay lies between: the group's address there, and the interface.
type side struct {
	group netip.AddrPort
	iface string
}

// relaySide is a side with its sockets.
type relaySide struct {
	side
	heard *net.UDPConn   // what goes to the group
	own   *net.UDPConn   // what comes to the relay, and all that leaves
	self  netip.AddrPort // of own
	mu    sync.Mutex
	peer  netip.AddrPort // the member that was heard last
}

// maxDelay is the longest time that a relay keeps a datagram back.
const maxDelay = 3 * time.Millisecond

// relayReady passes on between two groups what members say, to the group and to the address from which they hear each other, and
// loses, doubles and delays some of it. There is one member on each side. It calls ready when it does, and returns when ctx ends.
func relayReady(ctx context.Context, a, b side, f faults, seed uint64, ready func()) error {
	var sides [2]*relaySide
	for i, s := range []side{a, b} {
		r, err := openSide(s)
		if err != nil {
			return err
		}
		defer r.heard.Close()
		defer r.own.Close()
		sides[i] = r
	}
	var all sync.WaitGroup
	for i, from := range sides {
		to := sides[1-i]
		for k, c := range []*net.UDPConn{from.heard, from.own} {
			random := rand.New(rand.NewPCG(seed, uint64(2*i+k)))
			all.Go(func() { from.pass(c, c == from.heard, to, f, random) })
		}
	}
	ready()
	<-ctx.Done()
	for _, s := range sides {
		_ = s.heard.Close()
		_ = s.own.Close()
	}
	all.Wait()
	return nil
}

func openSide(s side) (*relaySide, error) {
	ifi, err := net.InterfaceByName(s.iface)
	if err != nil {
		return nil, fmt.Errorf("relay: interface %s: %w", s.iface, err)
	}
	r := &relaySide{side: s}
	if r.heard, err = net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(s.group)); err != nil {
		return nil, err
	}
	local := netip.AddrPort{}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, err
	}
	for _, x := range addrs {
		if n, ok := x.(*net.IPNet); ok && n.IP.To4() != nil {
			ip, _ := netip.AddrFromSlice(n.IP.To4())
			local = netip.AddrPortFrom(ip, 0)
			break
		}
	}
	if r.own, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(local)); err != nil {
		return nil, err
	}
	r.self = r.own.LocalAddr().(*net.UDPAddr).AddrPort()
	raw, err := r.own.SyscallConn()
	if err != nil {
		return nil, err
	}
	_ = r.own.SetReadBuffer(4 << 20)
	_ = r.heard.SetReadBuffer(4 << 20)
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptIPMreqn(int(fd), syscall.IPPROTO_IP, syscall.IP_MULTICAST_IF, &syscall.IPMreqn{Ifindex: int32(ifi.Index)})
	})
	if err == nil {
		err = failed
	}
	return r, err
}

// pass passes on what comes through one socket.
func (s *relaySide) pass(c *net.UDPConn, group bool, to *relaySide, f faults, random *rand.Rand) {
	b := make([]byte, 65536)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from == s.self {
			continue // what it has sent itself
		}
		s.mu.Lock()
		s.peer = from
		s.mu.Unlock()
		target := to.group
		if !group {
			to.mu.Lock()
			target = to.peer
			to.mu.Unlock()
			if !target.IsValid() {
				continue
			}
		}
		if random.Float64() < f.loss {
			continue
		}
		copies := 1
		if random.Float64() < f.double {
			copies = 2
		}
		for range copies {
			if random.Float64() < f.delay {
				late := append([]byte(nil), b[:n]...)
				time.AfterFunc(time.Duration(random.Int64N(int64(maxDelay))), func() { _, _ = to.own.WriteToUDPAddrPort(late, target) })
			} else {
				_, _ = to.own.WriteToUDPAddrPort(b[:n], target)
			}
		}
	}
}
