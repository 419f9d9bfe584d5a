package xdp

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"golang.org/x/sys/unix"
)

// fakeSocket is a kernel that does what the test says.
type fakeSocket struct {
	memory  []byte
	filled  []uint64
	rx      []unix.XDPDesc
	tx      []unix.XDPDesc
	done    []uint64
	kicks   []unix.Errno // what Kick answers; then 0
	batch   int          // packets that a Kick sends
	kicked  int
	refuses int // Fill and Send take so many fewer than they are given
}

func (s *fakeSocket) Memory() []byte { return s.memory }
func (s *fakeSocket) Fill(a []uint64) int {
	n := max(0, len(a)-s.refuses)
	s.filled = append(s.filled, a[:n]...)
	return n
}
func (s *fakeSocket) Recv(p []unix.XDPDesc) int {
	n := copy(p, s.rx)
	s.rx = s.rx[n:]
	return n
}
func (s *fakeSocket) Waiting() int { return len(s.rx) }
func (s *fakeSocket) Send(p []unix.XDPDesc) int {
	n := max(0, len(p)-s.refuses)
	s.tx = append(s.tx, p[:n]...)
	return n
}
func (s *fakeSocket) Unsent() int { return len(s.tx) }
func (s *fakeSocket) Complete(a []uint64) int {
	n := copy(a, s.done)
	s.done = s.done[n:]
	return n
}
func (s *fakeSocket) NeedKick() bool { return true }
func (s *fakeSocket) Kick() (e unix.Errno) {
	s.kicked++
	if len(s.kicks) > 0 {
		e, s.kicks = s.kicks[0], s.kicks[1:]
	}
	if e == unix.EAGAIN || e == unix.EBUSY || e == 0 {
		n := min(s.batch, len(s.tx))
		if e == unix.EBUSY {
			n = min(1, len(s.tx))
		}
		for _, p := range s.tx[:n] {
			s.done = append(s.done, p.Addr)
		}
		s.tx = s.tx[n:]
	}
	return e
}
func (s *fakeSocket) NeedPoll() bool                     { return false }
func (s *fakeSocket) Poll() unix.Errno                   { return 0 }
func (s *fakeSocket) FD() int                            { return -1 }
func (s *fakeSocket) Options() (bool, int)               { return false, 0 }
func (s *fakeSocket) Stats() (unix.XDPStatistics, error) { return unix.XDPStatistics{}, nil }
func (s *fakeSocket) Close() error                       { return nil }

// fakeDriver is a driver over a fakeSocket, with no interface.
func fakeDriver(t *testing.T) (*Driver, *fakeSocket) {
	cfg, err := Config{
		Group: netip.MustParseAddrPort("239.1.2.3:4567"), Interface: "none", Buffers: 64, FillRing: 64, TxRing: 64,
		Logger: slog.New(slog.DiscardHandler),
	}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeSocket{memory: make([]byte, cfg.buffers()*smallChunk), batch: 32}
	d := &Driver{kernel: kernelSockets{own: -1, group: -1}, peers: new(peers), last: new(peer), attachment: &attachment{socket: s}, mac: mac{2, 1}}
	d.cfg, d.log, d.mtu = cfg, cfg.Logger, 1500
	d.memory = umem{mem: s.memory, chunk: smallChunk, shift: shiftOf(smallChunk)}
	d.local, d.group, d.supply = ep("10.0.0.1:1000"), EndpointOf(cfg.Group), supply{goal: cfg.posts(), enough: cfg.posts()}
	d.control.event = -1
	d.furnish(cfg.TxRing)
	d.setTemplates()
	d.refill(s)
	t.Cleanup(func() { account(t, d) })
	return d, s
}

// arrive makes the kernel receive a packet into the oldest buffer of the fill ring.
func (s *fakeSocket) arrive(from, to buf.Endpoint, n int) uint64 {
	a := s.filled[0] + frameStart
	s.filled = s.filled[1:]
	var head template
	head.set(mac{2, 2}, mac{2, 1}, from, to, 1, 0)
	head.put((*[packet]byte)(s.memory[a:]), n)
	s.rx = append(s.rx, unix.XDPDesc{Addr: a, Len: uint32(packet + n)})
	return a
}

// A kernel that hands out nonsense is not believed, and no buffer is lost over it.
func TestDescriptorsAreChecked(t *testing.T) {
	d, s := fakeDriver(t)
	peer := ep("10.0.0.2:1000")
	good := s.arrive(peer, d.group, 100)
	s.rx = append(s.rx,
		unix.XDPDesc{Addr: good, Len: packet},                           // the same buffer once more
		unix.XDPDesc{Addr: uint64(len(s.memory)) + frameStart, Len: 99}, // outside
		unix.XDPDesc{Addr: 1<<63 | frameStart, Len: 99},                 // far outside
		unix.XDPDesc{Addr: uint64(len(s.memory)) - smallChunk, Len: 99}, // never given to the kernel
	)
	for _, change := range []func(*unix.XDPDesc){
		func(p *unix.XDPDesc) { p.Addr -= frameStart },                // begins where no packet can
		func(p *unix.XDPDesc) { p.Len = smallChunk - frameStart + 1 }, // reaches into the next buffer
		func(p *unix.XDPDesc) { p.Len = 1<<32 - 1 },
		func(p *unix.XDPDesc) { p.Len = 0 },
		func(p *unix.XDPDesc) { s.memory[p.Addr+14] = 0x46 }, // no packet of ours
	} {
		s.arrive(peer, d.group, 100)
		change(&s.rx[len(s.rx)-1])
	}
	var batch [64]buf.Received
	if n := d.Recv(batch[:]); n != 1 || batch[0].Buf.Len() != 100 || batch[0].From != peer {
		t.Errorf("%d datagrams", n)
	}
	if d.stats.RecvInvalid != 9 {
		t.Errorf("%d of 9 were found invalid", d.stats.RecvInvalid)
	}
	s.done = []uint64{good, uint64(len(s.memory)), 1 << 63} // nothing was sent
	d.sending = 1
	d.Recv(nil)
	if d.stats.RecvInvalid != 12 || d.sending != 1 {
		t.Errorf("completions: %d, %d", d.stats.RecvInvalid, d.sending)
	}
	d.sending = 0
	if len(s.filled) != d.cfg.FillRing {
		t.Errorf("%d buffers wait for packets", len(s.filled))
	}
}

// Datagrams that a sender's segmentation left in one packet are handed out together, though they are
// longer than one may be; what is one datagram, or would be cut into such, is dropped.
func TestTrainsAreNotTooLong(t *testing.T) {
	d, s := fakeDriver(t)
	from := ep("10.0.0.2:1000")
	train := func(size int, parts int) (p []byte) {
		for i := range parts {
			p = append(p, datagram(7, uint64(i), size-47)...)
		}
		return p
	}
	var batch [64]buf.Received
	for _, c := range []struct {
		mtu     int
		payload []byte
		taken   bool
	}{
		{1500, train(800, 2), true},
		{1500, train(1472, 1), true},
		{1500, train(1473, 1), false},
		{700, train(336, 5), true},
		{700, train(672, 2), true},
		{700, train(673, 2), false},
	} {
		d.mtu = c.mtu
		before := d.stats.RecvLong
		a := s.arrive(from, d.group, len(c.payload))
		copy(s.memory[a+packet:], c.payload)
		n := d.Recv(batch[:])
		if taken := n == 1; taken != c.taken || taken == (d.stats.RecvLong > before) {
			t.Errorf("mtu %d: %d bytes: %d handed out, %d too long", c.mtu, len(c.payload), n, d.stats.RecvLong-before)
		}
	}
}

func TestWhatIsNotOursIsDropped(t *testing.T) {
	d, s := fakeDriver(t)
	s.arrive(d.local, d.group, 10)                      // our own
	s.arrive(ep("10.0.0.2:1000"), ep("10.0.0.9:1"), 10) // for somebody else
	a := s.arrive(ep("10.0.0.2:1000"), d.local, 10)
	copy(s.memory[a+16:], s.memory[a+12:a+packet+10])
	copy(s.memory[a+12:], []byte{0x81, 0, 0, 5}) // of VLAN 5
	s.rx[2].Len += 4
	var batch [64]buf.Received
	if n := d.Recv(batch[:]); n != 0 || d.stats.RecvOwn != 1 || d.stats.RecvForeign != 2 {
		t.Errorf("%d datagrams, %+v", n, d.stats)
	}
}

// The policy of kicks: until the ring is empty, a bounded number of times.
func TestKicks(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []unix.Errno
		batch   int
		kicks   int
		left    int
		state   State
		change  func(Stats) uint64
		want    uint64
	}{
		{"at once", nil, 32, 1, 0, Up, func(s Stats) uint64 { return s.KickErrors + s.SendDropped }, 0},
		{"in two parts", []unix.Errno{unix.EAGAIN}, 5, 2, 0, Up, func(s Stats) uint64 { return s.KickAgain }, 1},
		{"interrupted", []unix.Errno{unix.EINTR}, 32, 2, 0, Up, func(s Stats) uint64 { return s.KickErrors }, 0},
		{"one is thrown away", []unix.Errno{unix.EBUSY}, 32, 2, 0, Up, func(s Stats) uint64 { return s.SendDropped }, 1},
		{"a device that is busy", slices.Repeat([]unix.Errno{unix.EAGAIN}, 99), 0, 2, 10, Up, func(s Stats) uint64 { return s.KickAgain }, 2},
		{"an error nobody knows", []unix.Errno{unix.EIO}, 32, 1, 10, Up, func(s Stats) uint64 { return s.KickErrors }, 1},
		{"link down", []unix.Errno{unix.ENETDOWN}, 32, 1, 10, Down, func(s Stats) uint64 { return s.Downs }, 1},
		{"interface gone", []unix.Errno{unix.ENXIO}, 32, 1, 10, Down, func(s Stats) uint64 { return s.Downs }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, s := fakeDriver(t)
			s.kicks, s.batch = c.answers, c.batch
			sends := make([]buf.Send, 10)
			for i := range sends {
				sends[i].Buf = fill(t, d, make([]byte, i))
			}
			if n, err := d.Send(sends); n != len(sends) || err != nil {
				t.Error(n, err)
			}
			for _, x := range sends {
				x.Buf.Release()
			}
			if s.kicked != c.kicks || len(s.tx) != c.left || d.State() != c.state || c.change(d.stats) != c.want {
				t.Errorf("%d kicks, %d packets left, %v, counted %d", s.kicked, len(s.tx), d.State(), c.change(d.stats))
			}
			if a, err := d.Accounting(); err != nil || a.Sending != d.sending {
				t.Errorf("%+v, %v", a, err)
			}
			// Later the rest leaves, and all buffers return.
			s.kicks, s.batch = nil, 64
			d.enter(Up)
			d.unsent = true
			d.Recv(nil)
			d.Recv(nil)
			if len(s.tx) != 0 || d.sending != 0 {
				t.Errorf("%d packets are left, %d on their way", len(s.tx), d.sending)
			}
		})
	}
}

// Headers are whole whatever was in a buffer since it was last sent from. A datagram may begin some bytes into what cores
// write to, and then the end of its headers lies there: the checksum, without which a kernel drops the packet.
func TestHeadersAreWhole(t *testing.T) {
	d, s := fakeDriver(t)
	const off = 2
	send := func() []byte {
		b := d.Pool().Get()
		copy(b.Mem()[off:], "datagram")
		b.Set(off, 8)
		s.batch = 0
		if n, err := d.Send([]buf.Send{{Buf: b}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b.Release()
		p := s.tx[0]
		packet := slices.Clone(s.memory[p.Addr:][:p.Len])
		s.batch = 1
		d.kick()
		d.Recv(nil) // the buffer is free again
		return packet
	}
	want := send()
	b := d.Pool().Get()
	copy(b.Mem(), "something that was received or rebuilt")
	at := b.ID()
	b.Release()
	if got := send(); !slices.Equal(got, want) {
		t.Errorf("% x was sent, want % x", got, want)
	}
	if again := d.Pool().Get(); again.ID() != at {
		t.Error("the test has used different buffers")
	} else {
		again.Release()
	}
}

// When the TX ring is full Send stops short, and goes on when there is room.
func TestSendStopsShort(t *testing.T) {
	d, s := fakeDriver(t)
	s.batch = 0
	s.kicks = slices.Repeat([]unix.Errno{unix.EAGAIN}, 1000)
	o := fill(t, d, make([]byte, 100))
	sends := slices.Repeat([]buf.Send{{Buf: o}}, 100)
	n, err := d.Send(sends)
	if n != d.cfg.TxRing || err != ErrAgain || len(s.tx) != n {
		t.Fatalf("%d taken, %v, %d in the ring", n, err, len(s.tx))
	}
	if k, err := d.Send(sends[n:]); k != 0 || err != ErrAgain {
		t.Fatalf("%d taken, %v", k, err)
	}
	s.kicks, s.batch = nil, 64
	d.Recv(nil)
	if k, err := d.Send(sends[n:]); k != 100-n || err != nil {
		t.Fatalf("%d taken, %v", k, err)
	}
	o.Release()
	d.Recv(nil)
	d.Recv(nil)
	if d.stats.SendDatagrams != 100 || d.stats.SendAgain != 2 || d.stats.SendCopied != 0 {
		t.Errorf("%+v", d.stats)
	}
}

// Rings that refuse what they must have room for lose nothing.
func TestRingsThatRefuse(t *testing.T) {
	d, s := fakeDriver(t)
	s.arrive(ep("10.0.0.2:1000"), d.group, 10)
	var batch [64]buf.Received
	d.Recv(batch[:])
	s.refuses = 1
	d.Recv(batch[:])
	o := fill(t, d, nil)
	if n, err := d.Send([]buf.Send{{Buf: o}}); n != 1 || err != nil || d.stats.SendDropped != 1 {
		t.Errorf("%d, %v, %+v", n, err, d.stats)
	}
	o.Release()
	s.refuses = 0
	d.Recv(batch[:])
	if len(s.filled) != d.cfg.FillRing {
		t.Errorf("%d buffers wait for packets", len(s.filled))
	}
}

// The fill ring stays full, whatever the cores keep.
func TestCoresCannotStarveTheFillRing(t *testing.T) {
	d, s := fakeDriver(t)
	var kept []*buf.Buf
	var batch [64]buf.Received
	refused := 0
	for range 300 {
		s.arrive(ep("10.0.0.2:1000"), d.group, 10)
		for _, r := range batch[:d.Recv(batch[:])] {
			if k := d.Pool().Keep(r.Buf); k != nil {
				kept = append(kept, k)
			} else {
				refused++
			}
		}
	}
	if len(kept) < d.cfg.Buffers || len(kept) > d.cfg.Buffers+d.cfg.TxRing || refused == 0 {
		t.Errorf("%d of %d were kept, %d refused", len(kept), d.cfg.Buffers, refused)
	}
	d.Recv(batch[:])
	if len(s.filled) != d.cfg.FillRing || d.stats.RecvStarved != 0 {
		t.Errorf("%d buffers wait for packets", len(s.filled))
	}
	for _, k := range kept {
		k.Release()
	}
	if d.Pool().Free() != d.Pool().Count() {
		t.Errorf("%d of %d are free", d.Pool().Free(), d.Pool().Count())
	}
}

func TestAccountingFindsFaults(t *testing.T) {
	d, _ := fakeDriver(t)
	b := d.pool.Get()
	if a, err := d.Accounting(); err != nil || a.Held != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	d.chunks[b.ID()].filled = true // as if the kernel had it
	b.Retain()
	if _, err := d.Accounting(); err == nil {
		t.Error("a buffer that both the kernel and somebody else have goes unnoticed")
	}
	d.chunks[b.ID()].filled = false
	d.posted++
	if _, err := d.Accounting(); err == nil {
		t.Error("a count that is wrong goes unnoticed")
	}
	d.posted--
	d.lent[0], d.lent[1], d.lends = b.ID(), b.ID(), 2
	if _, err := d.Accounting(); err == nil || !strings.Contains(err.Error(), "in 2 places") {
		t.Errorf("a buffer that is lent twice: %v", err)
	}
	d.lends = 1
	d.empty[d.spares] = b.ID()
	d.spares++
	if _, err := d.Accounting(); err == nil || !strings.Contains(err.Error(), "in 2 places") {
		t.Errorf("a buffer that is lent and given to the kernel: %v", err)
	}
	d.spares--
	d.lends = 0
	b.Release()
	b.Release()
}

func BenchmarkEmptyRecv(b *testing.B) {
	na, _ := pair(b)
	d := na.open(b, testConfig(0))
	var batch [64]buf.Received
	drain(d)
	b.ReportAllocs()
	for b.Loop() {
		d.Recv(batch[:])
	}
}
