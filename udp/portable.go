package udp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/oversize"
)

// Portable does a Driver's work with what every system has. One goroutine for each socket
// reads ahead into a bounded queue; when that is full the kernel's buffer fills up next.
// Differences to Driver on Linux:
//
//   - No batches and no segmentation; Send may sleep while the socket is full, and never
//     answers ErrAgain.
//   - What came through the group and what came by unicast are read by two goroutines. What
//     of the group has been read is handed out first, but a datagram can be overtaken by
//     unicast that came just after it. Totem then asks for it once.
//   - Where the kernel does not report changes of the interface, it is looked at every second.
//   - The group's socket receives whatever comes to its port (see net.ListenMulticastUDP).
//   - Config.Loop auto is on; off is not supported on Windows, where receivers decide.
//   - Config.BusyPoll is not supported; DSCP is not on Windows, where policy decides.
type Portable struct {
	own, group *reader // group is nil with peers
	bell       chan struct{}
	timer      *time.Timer
	lent       []*parcel // handed out by the last Recv
	peers      peers
	dests      []netip.AddrPort

	local  atomic.Uint64 // buf.Endpoint; readers look at it too
	link   link          // as it was when the driver was opened
	way    way           // how the interface is now
	room   int
	stats  Stats
	log    *slog.Logger
	long   oversize.Log
	closed bool

	following portableFollowing
}

// OpenPortable is Open with nothing but the standard library's sockets. Linux has it too, so
// that tests and comparisons can run there.
func OpenPortable(cfg Config) (*Portable, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.BusyPoll > 0 {
		return nil, fmt.Errorf("%w: busypoll %v: only Linux polls the network card", ErrUnsupported, cfg.BusyPoll)
	}
	if cfg.GSO == "on" {
		return nil, fmt.Errorf("%w: gso=on: only Linux segments datagrams", ErrUnsupported)
	}
	p := &Portable{log: cfg.Logger, bell: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), lent: make([]*parcel, 0, 2*queued)}
	own, group, err := p.open(cfg)
	if err != nil {
		return nil, err
	}
	p.own = p.start(own, false)
	if group != nil {
		p.group = p.start(group, true)
	}
	p.way.mtu = p.link.mtu
	p.follow(cfg)
	return p, nil
}

func (p *Portable) open(cfg Config) (own, group *net.UDPConn, err error) {
	defer func() {
		if err != nil && own != nil {
			own.Close()
		}
		if err != nil && group != nil {
			group.Close()
		}
	}()
	listen := func(a netip.AddrPort) (err error) {
		own, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(a))
		return err
	}
	if len(cfg.Peers) > 0 {
		p.link, err = bindFirst(cfg, listen)
	} else if p.link, err = findLink(cfg.Interface, cfg.MTU); err == nil {
		if err = listen(netip.AddrPortFrom(p.link.addr, 0)); err != nil {
			err = bindError(netip.AddrPortFrom(p.link.addr, 0), err)
		}
	}
	if err != nil {
		return own, group, err
	}
	p.local.Store(uint64(EndpointOf(own.LocalAddr().(*net.UDPAddr).AddrPort())))
	if err = setOptions(own, p.link.addr, cfg); err != nil {
		return own, group, err
	}
	if len(cfg.Peers) > 0 {
		p.peers = newPeers(cfg, p.Local())
		p.SetPeers(nil)
	} else {
		if group, err = listenGroup(p.link.Interface, cfg); err != nil {
			return own, nil, err
		}
		p.dests = []netip.AddrPort{cfg.Group}
		if cfg.Loop != "off" || p.link.addr.IsLoopback() {
			p.stats.Loop = 1
		}
	}
	hearing := own
	if group != nil {
		hearing = group
	}
	setBuffers(cfg, own, group)
	p.room, err = grantedRoom(hearing)
	return own, group, err
}

// listenGroup opens the group's socket.
func listenGroup(on *net.Interface, cfg Config) (*net.UDPConn, error) {
	group, err := net.ListenMulticastUDP("udp4", on, net.UDPAddrFromAddrPort(cfg.Group))
	if err != nil {
		return nil, bindError(cfg.Group, err)
	}
	if err = setGroupOptions(group); err != nil {
		group.Close()
		return nil, err
	}
	return group, nil
}

// setBuffers asks for the buffers of sockets, of which any may be nil.
func setBuffers(cfg Config, conns ...*net.UDPConn) {
	for _, c := range conns {
		if c == nil {
			continue
		}
		// Some systems refuse a size above their limit instead of granting the limit.
		for n := cfg.RecvBuffer; c.SetReadBuffer(n) != nil && n > minBuffer; n /= 2 {
		}
		for n := cfg.SendBuffer; c.SetWriteBuffer(n) != nil && n > minBuffer; n /= 2 {
		}
	}
}

// parcel is one datagram between a reader and Recv.
type parcel struct {
	mem  []byte
	b    buf.Buf
	from buf.Endpoint
	home *reader
}

// queued is how many datagrams a reader reads ahead.
const queued = 1024

// reader reads one socket ahead.
type reader struct {
	conn  *net.UDPConn
	group bool
	free  chan *parcel
	ready chan *parcel
	done  chan struct{} // the goroutine has ended

	calls, truncated, invalid, own atomic.Uint64
}

func (p *Portable) start(conn *net.UDPConn, group bool) *reader {
	r := &reader{conn: conn, group: group, free: make(chan *parcel, queued), ready: make(chan *parcel, queued), done: make(chan struct{})}
	size := max(2048, p.Datagram()+1)
	mem := make([]byte, queued*size)
	for i := range queued {
		r.free <- &parcel{mem: mem[i*size : (i+1)*size : (i+1)*size], home: r}
	}
	go p.read(r)
	return r
}

// read runs until the socket is closed.
func (p *Portable) read(r *reader) {
	defer close(r.done)
	for d := range r.free {
		for {
			n, from, err := r.conn.ReadFromUDPAddrPort(d.mem)
			r.calls.Add(1)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil && !tooLong(err) {
				// Windows reports here that a peer's port was closed. Anything worse would
				// come back at once, and must not take a processor.
				time.Sleep(time.Millisecond)
				continue
			}
			d.from = EndpointOf(from)
			if err != nil || n > p.Datagram() {
				exact := err == nil && n < len(d.mem) // else it was cut off
				p.long.Dropped(p.log, from, n, exact, p.Datagram(), r.truncated.Add(1))
				continue
			}
			if d.from == buf.Group {
				r.invalid.Add(1)
				continue
			}
			if r.group && d.from == p.Local() {
				r.own.Add(1)
				continue
			}
			d.b.Lend(d.mem[:n:n])
			break
		}
		r.ready <- d
		p.Wake()
	}
}

// Recv fills batch with datagrams that have come and returns how many, without sleeping.
// They are lent until the next Recv.
func (p *Portable) Recv(batch []buf.Received) (n int) {
	if p.closed {
		return 0
	}
	for _, d := range p.lent {
		d.home.free <- d // never blocks: there is room for all
	}
	p.lent = p.lent[:0]
	if p.following.news.Load() {
		p.heed()
	}
	if p.group != nil {
		n = p.take(p.group, batch, 0)
	}
	return p.take(p.own, batch, n)
}

func (p *Portable) take(r *reader, batch []buf.Received, n int) int {
	for n < len(batch) {
		select {
		case d := <-r.ready:
			batch[n] = buf.Received{Buf: &d.b, From: d.from, Group: r.group}
			p.lent = append(p.lent, d)
			p.stats.RecvDatagrams++
			p.stats.RecvBytes += uint64(d.b.Len())
			n++
		default:
			return n
		}
	}
	return n
}

// Send hands batch[:n] to the kernel, which copies it. A datagram that the kernel refuses is
// dropped and counted. The error is ErrClosed or nil.
func (p *Portable) Send(batch []buf.Send) (n int, err error) {
	if p.closed {
		return 0, ErrClosed
	}
	if p.way.shut {
		p.stats.SendDown += uint64(len(batch))
		return len(batch), nil
	}
	for i := range batch {
		data := batch[i].Buf.Bytes()
		if to := batch[i].To; to != buf.Group {
			p.write(data, ip4.Addr(to))
			continue
		}
		for _, a := range p.dests {
			p.write(data, a)
		}
	}
	return len(batch), nil
}

// SetPeers has the group stand for these members from now on, besides the addresses of Config.Peers; at most
// MaxMembers of them. It keeps no reference to members. With multicast it does nothing.
func (p *Portable) SetPeers(members []buf.Endpoint) {
	if p.group != nil {
		return
	}
	p.dests = p.dests[:0]
	for _, e := range p.peers.with(members) {
		p.dests = append(p.dests, ip4.Addr(e))
	}
}

func (p *Portable) write(data []byte, to netip.AddrPort) {
	p.stats.SendCalls++
	if _, err := p.own.conn.WriteToUDPAddrPort(data, to); err != nil {
		if p.stats.SendDropped++; p.stats.SendDropped == 1 {
			p.log.Warn("udp: a datagram was refused and dropped", "to", to, "error", err)
		}
		return
	}
	p.stats.SendPackets++
	p.stats.SendDatagrams++
	p.stats.SendBytes += uint64(len(data))
	if p.way.down {
		p.stats.SendDown++
	}
}

// Wait sleeps until there is something to receive, Wake is called or limit has passed; a
// negative limit means for ever. It may return early.
func (p *Portable) Wait(limit time.Duration) {
	if p.closed || len(p.own.ready) > 0 || p.group != nil && len(p.group.ready) > 0 {
		return
	}
	p.stats.Waits++
	if limit < 0 {
		<-p.bell
		return
	}
	p.timer.Reset(limit)
	select {
	case <-p.bell:
		p.timer.Stop()
	case <-p.timer.C:
	}
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine, at any
// time.
func (p *Portable) Wake() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// Local is the member's own unicast address. It changes when the interface loses it and has another one.
func (p *Portable) Local() buf.Endpoint { return buf.Endpoint(p.local.Load()) }

// Addr is the address that e names; for buf.Group it is 0.0.0.0:0.
func (p *Portable) Addr(e buf.Endpoint) netip.AddrPort { return ip4.Addr(e) }

// Datagram is the largest UDP payload in bytes: the MTU less 28.
func (p *Portable) Datagram() int { return p.link.mtu - headers }

// Way says how datagrams can leave at the moment. Where the interface's MTU was lowered new ones should be shorter than
// Datagram; the others leave in fragments.
func (p *Portable) Way() buf.Way {
	w := p.way.out()
	w.Longest = p.Datagram()
	return w
}

// NoWay says why there is no way out, such as "the interface is gone". It is empty where there is one.
func (p *Portable) NoWay() string { return p.way.why }

// Room is the size in bytes of the receive buffer that the host granted to the socket that
// receives the group's datagrams, as the system counts it (on Linux: half of what it reads back).
func (p *Portable) Room() int { return p.room }

// Stats returns a copy of the counters. It belongs to the driver's goroutine.
func (p *Portable) Stats() Stats {
	s := p.stats
	for _, r := range []*reader{p.own, p.group} {
		if r == nil {
			continue
		}
		s.RecvCalls += r.calls.Load()
		s.RecvTruncated += r.truncated.Load()
		s.RecvInvalid += r.invalid.Load()
		s.RecvOwn += r.own.Load()
	}
	s.RecvPackets = s.RecvDatagrams + s.RecvTruncated + s.RecvInvalid + s.RecvOwn
	return s
}

// Close frees the sockets and ends the goroutines. It must not be called while another method
// than Wake runs; calling it again does nothing.
func (p *Portable) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	p.following.end()
	errs := []error{p.own.close()}
	if p.group != nil {
		errs = append(errs, p.group.close())
	}
	return errors.Join(errs...)
}

// close frees the socket and ends the goroutine.
func (r *reader) close() error {
	err := r.conn.Close()
	close(r.free)
	<-r.done
	return err
}

// control runs f with the connection's descriptor, and returns its error.
func control(c *net.UDPConn, f func(fd uintptr) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(fd) }); err != nil {
		return err
	}
	return inner
}
