package sim

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
)

// talker sends a numbered datagram every period and remembers what it hears. It is the
// smallest thing that a network can drive.
type talker struct {
	d      *Driver
	pool   *buf.Pool
	period time.Duration // 0: only listens
	size   int
	left   int
	next   clock.Time
	heard  []uint32
	from   []buf.Endpoint
	at     []clock.Time
	batch  [8]buf.Received
	onRecv func(b *buf.Buf)
}

func (k *talker) Turn(now clock.Time) (work int) {
	n := k.d.Recv(k.batch[:])
	for i := range n {
		b := k.batch[i].Buf
		k.heard = append(k.heard, binary.LittleEndian.Uint32(b.Bytes()))
		k.from = append(k.from, k.batch[i].From)
		k.at = append(k.at, now)
		if k.onRecv != nil {
			k.onRecv(b)
		}
	}
	for k.left > 0 && k.period > 0 && k.next <= now {
		b := k.pool.Get()
		b.Set(0, k.size)
		k.left--
		binary.LittleEndian.PutUint32(b.Bytes(), uint32(k.left))
		m, err := k.d.Send([]buf.Send{{Buf: b}})
		b.Release()
		if err != nil || m == 0 {
			k.left++
			break
		}
		k.next = k.next.Add(k.period)
		n++
	}
	return n
}

func (k *talker) Deadline() (clock.Time, bool) { return k.next, k.period > 0 && k.left > 0 }

// talk makes a network of n talkers; the first count of them send.
func talk(cfg Config, n, senders, datagrams int) (*Network, []*talker) {
	net := New(cfg)
	var ks []*talker
	for i := range n {
		k := &talker{d: net.Attach(i), pool: buf.NewPool(64, 2048), size: 100}
		if i < senders {
			k.period, k.left, k.next = 10*time.Microsecond, datagrams, 1
		}
		ks = append(ks, k)
		k.d.Drive(k)
	}
	return net, ks
}

func TestPerfectNetworkCarriesEverythingInOrder(t *testing.T) {
	net, ks := talk(Config{Guard: true, Link: Link{Delay: 5 * time.Microsecond, Jitter: 40 * time.Microsecond}}, 3, 1, 1000)
	net.Run(clock.Time(time.Second))
	if len(ks[0].heard) != 0 {
		t.Errorf("the sender heard itself %d times", len(ks[0].heard))
	}
	for _, k := range ks[1:] {
		if len(k.heard) != 1000 {
			t.Fatalf("node %d heard %d of 1000", k.d.node, len(k.heard))
		}
		for i, n := range k.heard {
			if n != uint32(999-i) {
				t.Fatalf("node %d heard %d as number %d: jitter must not reorder", k.d.node, n, i)
			}
		}
	}
	if err := net.Conserved(); err != nil {
		t.Error(err)
	}
	for _, k := range ks {
		if k.pool.Free() != k.pool.Count() {
			t.Errorf("node %d: %d of %d buffers are free", k.d.node, k.pool.Free(), k.pool.Count())
		}
	}
}

// TestSameSeedSameTrace is RS-5 for the network alone.
func TestSameSeedSameTrace(t *testing.T) {
	run := func(seed uint64) uint64 {
		net, _ := talk(Config{Seed: seed, Link: hostile()}, 5, 3, 500)
		net.Run(clock.Time(100 * time.Millisecond))
		if err := net.Conserved(); err != nil {
			t.Error(err)
		}
		return net.Hash()
	}
	seen := map[uint64]uint64{}
	for seed := range uint64(20) {
		h := run(seed)
		if again := run(seed); again != h {
			t.Fatalf("seed %d: traces %016x and %016x", seed, h, again)
		}
		if other, ok := seen[h]; ok {
			t.Fatalf("seeds %d and %d have the same trace", seed, other)
		}
		seen[h] = seed
	}
}

// hostile is a link that does everything that it can.
func hostile() Link {
	return Link{Loss: 0.05, Burst: Burst{Enter: 0.005, Leave: 0.2, Loss: 0.8}, Duplicate: 0.02, Reorder: 0.05,
		ReorderBy: 300 * time.Microsecond, Delay: 5 * time.Microsecond, Jitter: 20 * time.Microsecond}
}

func TestLinkModels(t *testing.T) {
	const sent = 20_000
	count := func(l Link) (heard, disorder int, s Stats) {
		net, ks := talk(Config{Seed: 42, Link: l}, 2, 1, sent)
		net.Run(clock.Time(time.Second))
		for i, n := range ks[1].heard {
			if i > 0 && n > ks[1].heard[i-1] {
				disorder++
			}
		}
		if err := net.Conserved(); err != nil {
			t.Error(err)
		}
		return len(ks[1].heard), disorder, net.Stats()
	}
	near := func(what string, got, want, tolerance int) {
		t.Helper()
		if got < want-tolerance || got > want+tolerance {
			t.Errorf("%s: %d, want about %d", what, got, want)
		}
	}
	heard, _, _ := count(Link{Loss: 0.1})
	near("10 % loss", heard, sent*9/10, sent/100)
	heard, _, _ = count(Link{Duplicate: 0.1})
	near("10 % duplicates", heard, sent*11/10, sent/100)
	// The chain is bad for Enter/(Enter+Leave) of the time: 1/21.
	heard, _, _ = count(Link{Burst: Burst{Enter: 0.01, Leave: 0.2, Loss: 1}})
	near("bursts", heard, sent*20/21, sent/80)
	heard, disorder, _ := count(Link{Reorder: 0.1, ReorderBy: 200 * time.Microsecond})
	near("reordered, yet none lost", heard, sent, 0)
	if disorder < sent/20 {
		t.Errorf("only %d of %d datagrams came out of order", disorder, sent)
	}
}

// TestBurstsAreBursts: with the same share of loss, a bursty link loses runs of datagrams.
func TestBurstsAreBursts(t *testing.T) {
	runs := func(l Link) int {
		net, ks := talk(Config{Seed: 1, Link: l}, 2, 1, 20_000)
		net.Run(clock.Time(time.Second))
		runs := 0
		for i, n := range ks[1].heard {
			if i > 0 && ks[1].heard[i-1]-n > 1 {
				runs++
			}
		}
		return runs
	}
	single, burst := runs(Link{Loss: 1. / 21}), runs(Link{Burst: Burst{Enter: 0.01, Leave: 0.2, Loss: 1}})
	if burst*3 > single {
		t.Errorf("%d runs of loss in bursts, %d without", burst, single)
	}
}

func TestPartitions(t *testing.T) {
	heard := func(cut func(n *Network)) (counts [3]int) {
		net, ks := talk(Config{}, 3, 3, 100)
		cut(net)
		net.Run(clock.Time(time.Second))
		for i, k := range ks {
			counts[i] = len(k.heard)
		}
		if err := net.Conserved(); err != nil {
			t.Error(err)
		}
		return counts
	}
	for _, test := range []struct {
		name string
		cut  func(*Network)
		want [3]int
	}{
		{"none", func(n *Network) {}, [3]int{200, 200, 200}},
		{"full: 0 alone", func(n *Network) { n.Partition(3, 0) }, [3]int{0, 100, 100}},
		{"one way: 0 to 1", func(n *Network) { n.Cut(0, 1) }, [3]int{200, 100, 200}},
		{"partial: 0 and 1 hear 2 only", func(n *Network) { n.Cut(0, 1); n.Cut(1, 0) }, [3]int{100, 100, 200}},
		{"mended", func(n *Network) { n.Partition(3, 0); n.MendAll() }, [3]int{200, 200, 200}},
	} {
		if got := heard(test.cut); got != test.want {
			t.Errorf("%s: heard %v, want %v", test.name, got, test.want)
		}
	}
}

func TestPausedMemberOverrunsItsBuffer(t *testing.T) {
	net, ks := talk(Config{Room: 768 * 50}, 2, 1, 100) // 100 bytes take 768 of the buffer
	ks[1].d.Pause()
	net.Run(clock.Time(10 * time.Millisecond))
	if len(ks[1].heard) != 0 {
		t.Fatal("a paused member had a turn")
	}
	ks[1].d.Resume()
	net.Run(clock.Time(20 * time.Millisecond))
	if len(ks[1].heard) != 50 || net.Stats().Overrun != 50 {
		t.Errorf("heard %d, overrun %d; want 50 and 50", len(ks[1].heard), net.Stats().Overrun)
	}
}

func TestOversizeIsDroppedWhole(t *testing.T) {
	net, ks := talk(Config{MTU: 1000}, 2, 1, 10)
	ks[0].size = 973
	net.Run(clock.Time(time.Second))
	if len(ks[1].heard) != 0 || net.Stats().Oversize != 10 {
		t.Errorf("heard %d, oversize %d", len(ks[1].heard), net.Stats().Oversize)
	}
}

func TestBandwidthStopsTheSender(t *testing.T) {
	net, ks := talk(Config{Bandwidth: 10_000_000}, 2, 1, 1000) // 142 bytes at 10 Mbit/s: 113.6 µs each
	net.Run(clock.Time(100 * time.Millisecond))
	if got := len(ks[1].heard); got < 870 || got > 885 {
		t.Errorf("%d datagrams in 100 ms, the line carries 880", got)
	}
}

func TestClosedDriverHearsNothing(t *testing.T) {
	net, ks := talk(Config{}, 3, 1, 100)
	net.At(clock.Time(500*time.Microsecond), func() { ks[1].d.Close() })
	net.Run(clock.Time(time.Second))
	if n := len(ks[1].heard); n < 40 || n > 60 {
		t.Errorf("heard %d of 100, closed after half", n)
	}
	if err := net.Conserved(); err != nil {
		t.Error(err)
	}
}

// TestGuard: whoever changes what is not theirs is found.
func TestGuard(t *testing.T) {
	net, ks := talk(Config{Guard: true}, 2, 1, 2)
	ks[1].onRecv = func(b *buf.Buf) { b.Bytes()[5]++ }
	defer func() {
		if recover() == nil {
			t.Error("a change to a lent datagram went unnoticed")
		}
	}()
	net.Run(clock.Time(time.Second))
}

func TestTapSeesEveryCopyAndMayChangeIt(t *testing.T) {
	net, ks := talk(Config{}, 3, 1, 10)
	ids := map[uint64]int{}
	net.SetTap(func(f *Flight) bool {
		ids[f.ID]++
		if f.To == 2 {
			f.Bytes = append([]byte(nil), f.Bytes...)
			binary.LittleEndian.PutUint32(f.Bytes, 77)
		}
		return f.To != 1 || ids[f.ID] > 5
	})
	net.Run(clock.Time(time.Second))
	if len(ids) != 10 || len(ks[1].heard) != 0 || len(ks[2].heard) != 10 || ks[2].heard[0] != 77 {
		t.Errorf("ids %v, heard %v and %v", ids, ks[1].heard, ks[2].heard)
	}
	if err := net.Conserved(); err != nil {
		t.Error(err)
	}
}

// Without multicast, what goes to the group goes to the listed endpoints and to those of SetPeers, each once
// and as unicast, also where a driver has closed.
func TestPointcast(t *testing.T) {
	net, ks := talk(Config{Guard: true, Link: Link{Delay: 5 * time.Microsecond}}, 4, 0, 0)
	groups := 0
	net.SetTap(func(f *Flight) bool {
		if f.Group {
			groups++
		}
		return true
	})
	a := ks[0].d
	a.Pointcast(a.Local(), ks[1].d.Local())
	said := 0
	say := func(want ...int) {
		t.Helper()
		b := ks[0].pool.Get()
		b.Set(0, 100)
		said++
		binary.LittleEndian.PutUint32(b.Bytes(), uint32(said))
		if _, err := a.Send([]buf.Send{{Buf: b}}); err != nil {
			t.Fatal(err)
		}
		net.Run(net.Now().Add(time.Millisecond))
		b.Release()
		for i, k := range ks {
			n := 0
			for _, h := range k.heard {
				if h == uint32(said) {
					n++
				}
			}
			if n != want[i] {
				t.Errorf("datagram %d came %d times to %d, want %d", said, n, i, want[i])
			}
		}
	}
	say(0, 1, 0, 0)
	a.SetPeers([]buf.Endpoint{ks[2].d.Local(), ks[1].d.Local(), a.Local()})
	say(0, 1, 1, 0)
	ks[1].d.Close()
	say(0, 0, 1, 0)
	a.SetPeers([]buf.Endpoint{ks[3].d.Local()})
	say(0, 0, 0, 1)
	if groups != 0 {
		t.Errorf("%d copies came as multicast", groups)
	}
	if s := net.Stats(); s.NoListener != 2 || net.Conserved() != nil {
		t.Errorf("%+v %v", s, net.Conserved())
	}
}
