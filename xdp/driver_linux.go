package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/activeblaze/blaze/bpf"
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/iface"
	"github.com/activeblaze/blaze/internal/iflock"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/sleep"
	"golang.org/x/sys/unix"
)

const (
	burst = 32 // packets that the kernel sends for one kick

	// roomEach is what Room counts for each buffer that waits for packets. Senders count the
	// length of a datagram and roomOverhead bytes; a buffer holds one datagram however short it is,
	// so this is about what the shortest one counts for.
	roomEach     = 320
	roomOverhead = 256
)

// Driver is one member's AF_XDP socket. It belongs to the goroutine of its engine; only Wake may
// be called from others.
type Driver struct {
	receiver
	attachment *attachment             // nil while the interface is gone
	queues     []*Queue                // Config.Split: the further queues, each on a thread of its own
	way        atomic.Pointer[buf.Way] // with queues: Way, as it last was, for their threads

	state  State
	pack   int  // MTU that new datagrams should fit, bytes
	eager  int  // calls of Recv that read the ordinary sockets, asked or not
	unsent bool // the kernel has not taken all of the TX ring

	out    [burst]unix.XDPDesc // packets on their way to the TX ring
	queued int

	name ip4.Sockaddr

	mac       mac
	toGroup   template
	templates uint32 // counts changes of templates
	peers     *peers
	last      *peer // of the last packet, in either direction

	kernel  kernelSockets
	control control
	logged  []unix.Errno // errors of sending that were logged
	passed  bool         // it was logged that datagrams come through the kernel
	before  Stats        // kernel's and filter's counters of earlier attachments

	sleeper sleep.Sleeper
	poll    [4]unix.PollFd
}

// Open opens a driver as cfg describes. Its errors say what was tried and what helps; each is
// one of ErrConfig, ErrUnsupported, ErrPrivilege, ErrInUse, or the kernel's.
func Open(cfg Config) (*Driver, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{kernel: kernelSockets{own: -1, group: -1}, peers: new(peers), last: new(peer), state: Closed}
	d.cfg, d.log = cfg, cfg.Logger
	d.supply.plenty(cfg.posts())
	if err := d.open(); err != nil {
		d.release()
		return nil, err
	}
	return d, nil
}

func (d *Driver) open() (err error) {
	cfg := &d.cfg
	nl, err := iface.OpenNetlink(0)
	if err != nil {
		return err
	}
	defer nl.Close()
	l, ip, err := findLink(nl, cfg)
	if err != nil {
		return err
	}
	d.mtu, d.mac = cfg.MTU, l.MAC
	if d.mtu == 0 {
		d.mtu = min(l.MTU, defaultMTU)
	}
	d.pack, d.control.mtu = d.mtu, l.MTU
	lock, err := d.claim(&l)
	if err != nil {
		return err
	}
	defer func() {
		if d.attachment == nil {
			lock.Release()
		}
	}()
	if d.kernel, d.local, err = openKernel(&l, ip, cfg); err != nil {
		return err
	}
	d.group = ip4.Endpoint(cfg.Group.Addr().As4(), cfg.Group.Port())

	chunkSize := chunkFor(d.mtu)
	total := cfg.buffers()
	if cfg.Socket == "own" {
		if d.memory, err = newUMEM(total, chunkSize); err != nil {
			return err
		}
	} else {
		d.memory = umem{chunk: chunkSize, shift: shiftOf(chunkSize), count: total}
	}
	if err := d.makeQueues(); err != nil {
		return err
	}
	if d.attachment, err = connect(cfg, &l, d.filterConfig(), d.memories()...); err != nil {
		return err
	}
	d.attachment.lock = lock
	d.memory.mem = d.attachment.socket.Memory()
	d.furnish(cfg.TxRing)
	d.setTemplates()
	if cfg.Tap != "" {
		if d.tap, err = openTap(cfg.Tap, cfg.TapBytes, l.Name); err != nil {
			return err
		}
		for _, q := range d.queues {
			q.tap = d.tap
		}
	}
	if err := d.sleeper.Open(); err != nil {
		return fmt.Errorf("xdp: %w", err)
	}
	c := &d.control
	c.follower, c.mac, c.kernel, c.wake, c.log = iface.Follower{Name: l.Name, Index: l.Index}, l.MAC, &d.kernel, d.Wake, d.log
	c.rejoin = func(index int) error { return d.kernel.join(index, &d.cfg) }
	c.build, c.local = d.rebuild, ip4.Addr(d.local).Addr()
	state := Up
	if !l.Up() {
		state = Down
	}
	c.state = state
	if err := startControl(c); err != nil {
		return err
	}
	if err := d.start(); err != nil {
		c.close()
		return err
	}
	for _, q := range d.queues { // nobody receives yet
		q.install()
	}
	d.state = state
	d.show()
	zeroCopy, napi := d.attachment.socket.Options()
	d.log.Debug("xdp: open", "interface", l.Name, "queue", cfg.Queue, "local", ip4.Addr(d.local), "mode", d.Mode(), "reason", d.Reason(),
		"socket", cfg.Socket, "mtu", d.mtu, "zerocopy", zeroCopy, "napi", napi, "queues", l.Queues,
		"buffers", len(d.chunks), "huge", d.memory.huge, "state", state.String())
	return nil
}

// findLink finds the interface and its address, and checks that they can be used.
func findLink(nl *iface.Netlink, cfg *Config) (l iface.Link, ip [4]byte, err error) {
	bad := func(format string, a ...any) (iface.Link, [4]byte, error) {
		return l, ip, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, a...)...)
	}
	l, err = nl.Link(cfg.Interface, 0)
	switch {
	case errors.Is(err, unix.ENODEV):
		return bad("there is no interface %q (ip link shows them)", cfg.Interface)
	case err != nil:
		return l, ip, fmt.Errorf("xdp: cannot look at interface %s: %w", cfg.Interface, err)
	case l.Kind == "vlan" || l.Kind == "macvlan" || l.Kind == "ipvlan" || l.Kind == "bond" || l.Kind == "team":
		return bad("interface %s is a %s, which AF_XDP would lose packets on; use udp://, or name a card or veth without one", l.Name, l.Kind)
	case l.Flags&unix.IFF_UP == 0:
		return bad("interface %s is down; bring it up with: ip link set dev %s up", l.Name, l.Name)
	case !l.Ether:
		return bad("interface %s is no Ethernet", l.Name)
	case l.MTU < minMTU:
		return bad("interface %s has an MTU of %d bytes, at least %d are needed", l.Name, l.MTU, minMTU)
	case cfg.MTU > l.MTU:
		return bad("mtu %d is more than interface %s carries; at most %d", cfg.MTU, l.Name, l.MTU)
	case l.Queues > 0 && cfg.Queue+cfg.Queues > l.Queues:
		return bad("interface %s has no receive queue %d; it has %d, counted from 0", l.Name, cfg.Queue+cfg.Queues-1, l.Queues)
	}
	list, err := nl.Addresses(l.Index)
	if err != nil {
		return l, ip, fmt.Errorf("xdp: cannot look at the addresses of %s: %w", l.Name, err)
	}
	if len(list) == 0 {
		return bad("interface %s has no IPv4 address; give it one with: ip address add ADDRESS/BITS dev %s", l.Name, l.Name)
	}
	return l, list[0], nil
}

// claim makes sure that no other member is on the interface.
func (d *Driver) claim(l *iface.Link) (*iflock.Lock, error) {
	lock, err := iflock.Exclusive(l.Index, d.cfg.Group)
	switch {
	case errors.Is(err, iflock.ErrHeld):
		return nil, fmt.Errorf("%w: %s: %w", ErrInUse, l.Name, err)
	case err != nil:
		return nil, fmt.Errorf("xdp: cannot claim interface %s: %w", l.Name, err)
	}
	return lock, nil
}

func (d *Driver) filterConfig() bpf.Config {
	d.control.mu.Lock() // for Lanes
	defer d.control.mu.Unlock()
	return bpf.Config{
		Group: d.cfg.Group, Unicast: ip4.Addr(d.local), Cluster: d.cfg.Cluster, Lanes: d.cfg.Lanes, Queues: d.cfg.Queue + d.cfg.Queues,
		VLAN:       []uint16{}, // packets with another network's tag are for the host's VLAN interfaces
		FrameBytes: d.memory.chunk - frameStart, Breakdown: d.cfg.Breakdown, Loss: d.cfg.Loss, Seed: d.cfg.Seed,
	}
}

// setTemplates makes the headers from the own addresses.
func (d *Driver) setTemplates() {
	ip, _ := ip4.Split(d.group)
	d.toGroup.set(d.mac, groupMAC(ip), d.local, d.group, d.cfg.TTL, d.cfg.DSCP)
	for i := range d.peers.slots {
		if p := &d.peers.slots[i]; p.known != nobody {
			p.head.set(d.mac, p.mac, d.local, p.at, unicastTTL, d.cfg.DSCP)
		}
	}
	d.templates++
}

// start fills the fill ring and lets the filter send packets here.
func (d *Driver) start() error {
	d.refill(d.attachment.socket)
	if err := d.attachment.register(d.cfg.Queue); err != nil {
		return err
	}
	d.handOver()
	return nil
}

// rebuild connects again, to an interface that has returned. The control's thread calls it, while
// the engine's has no attachment.
func (d *Driver) rebuild(l *iface.Link) (*attachment, error) {
	if d.cfg.Socket != "own" {
		return nil, fmt.Errorf("%w: a socket of asavie/xdp owns its packet memory, so it cannot be replaced while it runs; restart the member", ErrUnsupported)
	}
	lock, err := d.claim(l)
	if err != nil {
		return nil, err
	}
	n, err := connect(&d.cfg, l, d.filterConfig(), d.memories()...)
	if err != nil {
		lock.Release()
		return nil, err
	}
	n.lock = lock
	if err := d.kernel.join(l.Index, &d.cfg); err != nil {
		d.log.Warn("xdp: cannot join the group again", "interface", l.Name, "error", err)
	}
	return n, nil
}

// heed takes in what the control has found out.
func (d *Driver) heed() {
	defer d.show()
	d.lastHeader.size = 0
	n := d.control.take()
	d.stats.Addresses += n.addresses
	for _, a := range n.answers {
		d.stats.Neighbours++
		d.peers.answer(a, d)
	}
	if n.newMAC && n.mac != d.mac {
		d.mac = n.mac
		d.setTemplates()
	}
	if n.mtu > 0 {
		d.pack = min(max(n.mtu, minMTU), d.mtu)
	}
	if !n.changed {
		return
	}
	if n.fresh != nil {
		d.install(n.fresh)
	}
	switch {
	case n.state == Gone:
		d.enter(Gone)
		if d.attachment != nil {
			d.drop()
			d.control.want()
		}
	case d.attachment != nil:
		d.enter(n.state)
	}
}

// enter changes the state.
func (d *Driver) enter(s State) {
	if s == d.state {
		return
	}
	if d.state == Up {
		d.stats.Downs++
	}
	d.state = s
	if s == Up {
		d.unsent = d.sending > 0
	}
}

// failed takes note of an error of sending or receiving.
func (d *Driver) failed(e unix.Errno) {
	switch e {
	case unix.ENETDOWN, unix.ENXIO, unix.ENODEV, unix.EBADF:
		if d.state == Up {
			d.enter(Down)
			d.show()
			d.control.look()
		}
		d.unsent = false
	default:
		d.logOnce(e, "the kernel refuses to send")
	}
}

// drop closes the attachment to an interface that was removed, and takes all buffers back.
func (d *Driver) drop() {
	d.countKernel()
	d.before = d.stats
	if err := d.attachment.close(); err != nil {
		d.log.Warn("xdp: closing the socket of a removed interface", "error", err)
	}
	d.attachment = nil
	d.unsent = false
	d.reclaim()
}

// install begins to use an attachment that the control has made.
func (d *Driver) install(n *attachment) {
	if d.attachment != nil { // cannot be: one is made only when there is none
		n.close()
		return
	}
	d.attachment = n
	if err := d.start(); err != nil {
		d.log.Warn("xdp: the new socket cannot be used", "error", err)
		d.drop()
		d.control.want()
	}
}

// answer applies what the kernel reports of a neighbour to all peers at that address.
func (p *peers) answer(a answer, d *Driver) {
	for i := range p.slots {
		s := &p.slots[i]
		if ip, _ := ip4.Split(s.at); s.at == 0 || ip != a.ip {
			continue
		}
		switch {
		case a.valid:
			s.known, s.far = kernel, a.far
			d.reach(s, a.mac)
		case s.known == kernel:
			s.known = nobody // the kernel's socket sends, and asks again by that
		}
	}
}

// Addr is the address that e names; for buf.Group it is 0.0.0.0:0.
func (d *Driver) Addr(e buf.Endpoint) netip.AddrPort { return ip4.Addr(e) }

// State reports whether packets flow.
func (d *Driver) State() State { return d.state }

// Way says how datagrams can leave at the moment. After the interface's MTU was lowered new datagrams should be shorter
// than Datagram; what was packed before goes to the card as it is, and most send it.
func (d *Driver) Way() buf.Way {
	down := d.state != Up || d.attachment == nil
	return buf.Way{Pack: d.pack - ipSize - udpSize, Longest: d.Datagram(), Shut: down, Down: down}
}

// show lets the further queues know how datagrams can leave.
func (d *Driver) show() {
	if len(d.queues) == 0 {
		return
	}
	if w, shown := d.Way(), d.way.Load(); shown == nil || *shown != w {
		d.way.Store(&w)
	}
}

// NoWay says why there is no way out. It is empty where there is one.
func (d *Driver) NoWay() string {
	switch {
	case d.state == Down:
		return "the link is down"
	case d.state != Up || d.attachment == nil:
		return "the interface is gone"
	}
	return ""
}

// Mode says how packets travel: such as "generic copy" or "native zero-copy"; "none" while the
// interface is gone.
func (d *Driver) Mode() string {
	if d.attachment == nil {
		return "none"
	}
	z, _ := d.attachment.socket.Options()
	return rung{d.attachment.mode, z}.String()
}

// Reason says why Mode is what it is, and what else the driver found on this interface.
func (d *Driver) Reason() string {
	if d.attachment == nil {
		return "the interface is gone"
	}
	s := []string{d.attachment.reason}
	if _, napi := d.attachment.socket.Options(); d.cfg.BusyPoll > 0 && napi == 0 {
		s = append(s, "no busy polling, since the interface's driver names no NAPI for the queue")
	}
	return strings.Join(s, "; ")
}

// SetLanes changes Config.Lanes: which lanes are wanted from the group. Nil means all. It belongs
// to the driver's goroutine.
func (d *Driver) SetLanes(ranges [][2]uint32) error {
	d.control.mu.Lock()
	d.cfg.Lanes = slices.Clone(ranges) // for a socket that is made later
	d.control.mu.Unlock()
	if d.attachment != nil {
		if err := d.attachment.filter.SetLanes(ranges); err != nil {
			return err
		}
	}
	return d.kernel.want(d.cfg.Cluster, ranges)
}

// Stats returns a copy of the counters. It belongs to the driver's goroutine.
func (d *Driver) Stats() Stats {
	d.countKernel()
	return d.stats
}

// countKernel refreshes the counters that the kernel keeps.
func (d *Driver) countKernel() {
	d.stats.PeersPurged = d.peers.purged
	if d.attachment == nil {
		return
	}
	d.stats.countSocket(d.attachment.socket, &d.before)
	f, b := d.attachment.filter.Counters(), &d.before.Filter
	unwanted, unmatched := f.Lane, f.Cluster+f.Version+f.Layout+f.Length
	d.stats.Filter = FilterStats{
		Group: b.Group + f.Group, Unicast: b.Unicast + f.Unicast, Lost: b.Lost + f.Dropped,
		NoSocket: b.NoSocket + f.NoSocket, Unwanted: b.Unwanted + unwanted, Unmatched: b.Unmatched + unmatched, Oversize: b.Oversize + f.Oversize,
		Others: b.Others + f.Passed() - unwanted - unmatched - f.Oversize - f.NoSocket,
	}
}

// Close takes the filter off the interface, closes the sockets and gives the packet memory back.
// It must not be called while another method than Wake runs; calling it again does nothing. When
// somebody still holds buffers the error is ErrLeak, and the memory stays, so that what they do
// to it harms nobody.
func (d *Driver) Close() error {
	if d.state == Closed {
		return nil
	}
	d.control.close()
	if n := d.control.take(); n.fresh != nil {
		n.fresh.close()
	}
	if d.state == Up && d.attachment != nil && d.unsent {
		d.kick() // what was taken should leave, if it can
	}
	d.countKernel()
	d.endLoan()
	d.state = Closed
	return d.release()
}

// release frees whatever is there.
func (d *Driver) release() error {
	var errs []error
	if d.attachment != nil {
		errs = append(errs, d.attachment.close())
		d.attachment = nil
	}
	if d.pool != nil {
		d.reclaim()
	}
	for _, q := range d.queues {
		errs = append(errs, q.release())
	}
	if d.tap != nil {
		errs = append(errs, d.tap.close())
	}
	d.kernel.close()
	errs = append(errs, d.sleeper.Close())
	if d.pool != nil && d.pool.Out() > 0 {
		errs = append(errs, leak(d.pool, len(d.chunks)))
	} else {
		errs = append(errs, d.memory.unmap())
	}
	return errors.Join(errs...)
}

// logOnce logs an error the first time that it happens.
func (d *Driver) logOnce(e unix.Errno, what string) {
	if len(d.logged) < 16 && !slices.Contains(d.logged, e) {
		d.logged = append(d.logged, e)
		d.log.Warn("xdp: "+what, "error", e)
	}
}
