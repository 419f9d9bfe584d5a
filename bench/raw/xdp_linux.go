package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/activeblaze/blaze/xdp"
)

// Rings and memory are as large as the library's driver has them. For a ping-pong the kernel gets
// as few buffers to receive into as the driver gives it when it keeps up: they stay in the caches.
const (
	fillRing = 4096
	few      = 512
	txRing   = 2048

	// sendBatch is how many packets the kernel sends for one call.
	sendBatch = 32

	headers  = 14 + 20 + 8 // Ethernet, IPv4 without options, UDP
	etherUDP = 17
)

// bare is an end over an AF_XDP socket. Buffers 0..fillRing-1 receive, the txRing behind them
// send: their headers are written once.
type bare struct {
	s       *xdp.Bare
	memory  []byte
	program *ebpf.Program
	sockets *ebpf.Map
	link    link.Link
	member  int // a kernel socket that holds the own port and the membership
	local   uint16
	size    int
	rung    string

	free    []uint64 // buffers that nothing is sent from
	sending int
	descs   [batch]unix.XDPDesc
	out     [sendBatch]unix.XDPDesc
	back    [batch]uint64 // what complete takes

	// What receive gives back. It is not back: receive's f may send, and so complete. owed of it the
	// fill ring had no room for yet: the kernel shows a packet before it reports that it has taken
	// the buffer (xsk_flush in net/xdp/xsk.c).
	refill [2 * batch]uint64
	owed   int
}

// openXDP opens an AF_XDP socket on the first of the driver's rungs that holds.
func openXDP(cfg Config) (end, error) {
	x := *cfg.XDP
	at, err := xdp.LookAt(xdp.Config{
		Group: cfg.Group, Interface: cfg.Interface, Queue: x.Queue, Mode: x.Mode, ZeroCopy: x.ZeroCopy, Socket: x.Socket,
	})
	if err = errors.Join(err, at.Err); err != nil {
		return nil, err
	}
	var failed error
	for _, rung := range at.Rungs {
		e := &bare{member: -1, size: cfg.Size, rung: rung}
		err := e.open(cfg)
		if err == nil {
			return e, nil
		}
		e.close()
		failed = errors.Join(failed, fmt.Errorf("raw: %s on interface %s: %w", rung, cfg.Interface, err))
	}
	if errors.Is(failed, xdp.ErrUnsupported) {
		failed = fmt.Errorf("%w: %w", ErrUnsupported, failed)
	}
	return nil, failed
}

func (e *bare) open(cfg Config) (err error) {
	ifi, ip, err := findInterface(cfg.Interface)
	if err != nil {
		return err
	}
	if err := e.join(cfg.Group.Addr().As4(), ifi, ip); err != nil {
		return err
	}
	if err := e.attach(cfg, ifi.Index); err != nil {
		return err
	}
	socket := cfg.XDP.Socket
	if socket == "" {
		socket = "own"
	}
	if e.s, err = xdp.OpenBare(xdp.BareConfig{
		Interface: cfg.Interface, Queue: cfg.XDP.Queue, ZeroCopy: strings.Contains(e.rung, "zero-copy"), Socket: socket,
		Buffers: fillRing + txRing, FillRing: fillRing, TxRing: txRing,
	}); err != nil {
		return err
	}
	e.memory = e.s.Memory()
	posted := uint64(fillRing)
	if cfg.pingPong {
		posted = few
	}
	e.prepare(cfg.Group, ifi.HardwareAddr, ip, posted)
	if err := e.sockets.Update(uint32(cfg.XDP.Queue), uint32(e.s.FD()), ebpf.UpdateAny); err != nil {
		return fmt.Errorf("register the socket: %w", err)
	}
	return nil
}

// join makes the interface a member of the group, for cards and switches, and takes a port.
func (e *bare) join(group [4]byte, ifi *net.Interface, ip [4]byte) (err error) {
	if e.member, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := errors.Join(
		unix.Bind(e.member, &unix.SockaddrInet4{Addr: ip}),
		unix.SetsockoptIPMreqn(e.member, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Ifindex: int32(ifi.Index), Multiaddr: group}),
	); err != nil {
		return fmt.Errorf("join the group: %w", err)
	}
	name, err := unix.Getsockname(e.member)
	if err != nil {
		return fmt.Errorf("own address: %w", err)
	}
	e.local = uint16(name.(*unix.SockaddrInet4).Port)
	return nil
}

// attach puts the program on the interface. A program that is there already is left alone: the
// kernel refuses a second one.
func (e *bare) attach(cfg Config, index int) (err error) {
	if e.sockets, err = ebpf.NewMap(&ebpf.MapSpec{
		Name: "raw_sockets", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(cfg.XDP.Queue) + 1,
	}); err != nil {
		return fmt.Errorf("make the socket map: %w", err)
	}
	if e.program, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "raw_redirect", Type: ebpf.XDP, License: "Apache-2.0", Instructions: redirect(cfg.Group, e.sockets.FD()),
	}); err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	flags := link.XDPGenericMode
	if strings.HasPrefix(e.rung, "native") {
		flags = link.XDPDriverMode
	}
	if e.link, err = link.AttachXDP(link.XDPOptions{Program: e.program, Interface: index, Flags: flags}); err != nil {
		return fmt.Errorf("attach the program: %w", err)
	}
	return nil
}

// redirect is the shortest program that leaves an interface usable: what is sent to the group's
// address and port goes to the queue's socket, all else to the kernel.
func redirect(group netip.AddrPort, sockets int) asm.Instructions {
	ip := group.Addr().As4()
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], group.Port())
	i := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // xdp_md.data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // xdp_md.data_end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, headers),
		asm.JGT.Reg(asm.R4, asm.R3, "pass"),
	}
	for _, f := range [...]struct {
		at   int16
		size asm.Size
		want uint32 // as it lies in memory
	}{
		{12, asm.Half, uint32(binary.NativeEndian.Uint16([]byte{0x08, 0x00}))},
		{14, asm.Byte, 0x45},
		{23, asm.Byte, etherUDP},
		{30, asm.Word, binary.NativeEndian.Uint32(ip[:])},
		{36, asm.Half, uint32(binary.NativeEndian.Uint16(port[:]))},
	} {
		i = append(i, asm.LoadMem(asm.R4, asm.R2, f.at, f.size),
			asm.LoadImm(asm.R5, int64(f.want), asm.DWord),
			asm.JNE.Reg(asm.R4, asm.R5, "pass"))
	}
	const pass = 2 // XDP_PASS
	return append(i,
		asm.LoadMem(asm.R2, asm.R1, 16, asm.Word), // xdp_md.rx_queue_index
		asm.LoadMapPtr(asm.R1, sockets),
		asm.Mov.Imm(asm.R3, pass), // where there is no socket
		asm.FnRedirectMap.Call(),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"),
		asm.Return(),
	)
}

// prepare writes the headers and gives the kernel buffers to receive into.
func (e *bare) prepare(group netip.AddrPort, from net.HardwareAddr, ip [4]byte, posted uint64) {
	to := group.Addr().As4()
	var h [headers]byte
	copy(h[:], []byte{0x01, 0x00, 0x5e, to[1] & 0x7f, to[2], to[3]}) // RFC 1112, 6.4
	copy(h[6:], from)
	copy(h[12:], []byte{0x08, 0x00, 0x45, 0})
	binary.BigEndian.PutUint16(h[16:], uint16(28+e.size))
	h[20] = 0x40 // do not fragment
	h[22], h[23] = 1, etherUDP
	copy(h[26:], ip[:])
	copy(h[30:], to[:])
	binary.BigEndian.PutUint16(h[24:], checksum(h[14:34]))
	binary.BigEndian.PutUint16(h[34:], e.local)
	binary.BigEndian.PutUint16(h[36:], group.Port())
	binary.BigEndian.PutUint16(h[38:], uint16(8+e.size))

	var fill []uint64
	for id := range uint64(fillRing + txRing) {
		at := id * xdp.BareBuffer
		if id < fillRing {
			if id < posted {
				fill = append(fill, at)
			}
			continue
		}
		at += xdp.FrameStart
		copy(e.memory[at:], h[:])
		e.free = append(e.free, at)
	}
	e.s.Fill(fill)
}

// checksum is the IPv4 header's (RFC 791), whose own field is 0 in b.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum + sum>>16)
}

func (e *bare) say(kind, number uint64) error {
	if err := e.room(1); err != nil {
		return err
	}
	e.put(0, kind, number)
	return e.push(1)
}

func (e *bare) flood(first uint64) (n int, err error) {
	if err := e.room(sendBatch); err != nil {
		return 0, err
	}
	for i := range sendBatch {
		e.put(i, kindData, first+uint64(i))
	}
	return sendBatch, e.push(sendBatch)
}

// room makes sure that n buffers are free.
func (e *bare) room(n int) error {
	for e.complete(); len(e.free) < n; e.complete() {
		if err := e.kick(); err != nil {
			return err
		}
	}
	return nil
}

// put writes a datagram into a free buffer, the i-th of what push sends.
func (e *bare) put(i int, kind, number uint64) {
	at := e.free[len(e.free)-1]
	e.free = e.free[:len(e.free)-1]
	b := e.memory[at+headers:]
	binary.LittleEndian.PutUint64(b, kind)
	binary.LittleEndian.PutUint64(b[8:], number)
	e.out[i] = unix.XDPDesc{Addr: at, Len: uint32(headers + e.size)}
}

// push sends the first n of out. The TX ring has room for every buffer that there is.
func (e *bare) push(n int) error {
	e.s.Send(e.out[:n])
	e.sending += n
	return e.kick()
}

// kick makes the kernel send all of the TX ring.
func (e *bare) kick() error {
	if !e.s.NeedKick() {
		return nil
	}
	for {
		switch errno := e.s.Kick(); errno {
		case 0, unix.EBUSY: // EBUSY: the device threw one away, which the receiver counts
			return nil
		case unix.EAGAIN, unix.ENOBUFS, unix.EINTR:
			if e.complete(); e.s.Unsent() == 0 {
				return nil
			}
		default:
			return fmt.Errorf("raw: send: %w", errno)
		}
	}
}

// complete takes back the buffers of what was sent.
func (e *bare) complete() {
	for e.sending > 0 {
		n := e.s.Complete(e.back[:])
		e.free = append(e.free, e.back[:n]...)
		if e.sending -= n; n < len(e.back) {
			return
		}
	}
}

func (e *bare) receive(f func(kind, number uint64)) (int, error) {
	if e.s.NeedPoll() {
		if errno := e.s.Poll(); errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.EBUSY {
			return 0, fmt.Errorf("raw: receive: %w", errno)
		}
	}
	n := e.s.Recv(e.descs[:min(batch, len(e.refill)-e.owed)])
	for i := range n {
		d := &e.descs[i]
		// The program saw that the headers are those of a UDP datagram without IP options.
		if p := e.memory[d.Addr : d.Addr+uint64(d.Len)]; len(p) >= headers+e.size && binary.BigEndian.Uint16(p[34:]) != e.local {
			f(binary.LittleEndian.Uint64(p[headers:]), binary.LittleEndian.Uint64(p[headers+8:]))
		}
		e.refill[e.owed] = d.Addr &^ (xdp.BareBuffer - 1)
		e.owed++
	}
	if e.owed > 0 {
		took := e.s.Fill(e.refill[:e.owed])
		e.owed = copy(e.refill[:], e.refill[took:e.owed])
	}
	return n, nil
}

func (e *bare) mode() string { return e.rung }

func (e *bare) close() {
	if e.link != nil {
		e.link.Close()
	}
	if e.s != nil {
		e.s.Close()
	}
	if e.program != nil {
		e.program.Close()
	}
	if e.sockets != nil {
		e.sockets.Close()
	}
	if e.member >= 0 {
		unix.Close(e.member)
	}
}
