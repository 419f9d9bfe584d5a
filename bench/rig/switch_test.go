package rig

import (
	"encoding/binary"
	"hash/fnv"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// packet is a frame with an IPv4 packet of UDP of size bytes, from a host to a host or to a group (to < 0), with a number in it.
func packet(from, to, size int, n uint32) []byte {
	b := make([]byte, 14+size)
	at := func(host int) (m mac) { m[0], m[5] = 2, byte(host); return m }
	dst, src := at(to), at(from)
	if to < 0 {
		dst = mac{1, 0, 0x5e, 1, 2, 3}
	}
	copy(b, dst[:])
	copy(b[6:], src[:])
	b[12], b[14], b[23] = 8, 0x45, 17
	binary.BigEndian.PutUint32(b[len(b)-4:], n)
	return b
}

// out are the frames that a fabric hands over until end: for each port their numbers, in order, and when the last one came.
type out struct {
	got  map[int][]uint32
	last map[int]clock.Time
}

func drain(f *fabric, end clock.Time) out {
	o := out{map[int][]uint32{}, map[int]clock.Time{}}
	for {
		at, ok := f.deadline()
		if !ok || at > end {
			return o
		}
		to, b, ok := f.next(at)
		if !ok {
			panic("nothing at its deadline")
		}
		o.got[to] = append(o.got[to], binary.BigEndian.Uint32(b[len(b)-4:]))
		o.last[to] = at
		f.recycle(b)
	}
}

const second = clock.Time(time.Second)

// A group's frames go to all other ports, a known host's to its port alone, and those of a host that has sent
// nothing yet to all.
func TestFabricForwards(t *testing.T) {
	f := newFabric(3, 1)
	f.step(1, 0, packet(0, -1, 100, 1))
	f.step(1, 1, packet(1, 0, 100, 2))
	f.step(1, 0, packet(0, 2, 100, 3))
	f.step(1, 0, packet(0, 1, 100, 4))
	f.step(1, 0, packet(0, 0, 100, 5)) // to a host behind the port that it came from
	f.step(1, 0, []byte("short"))
	o := drain(f, second)
	for port, want := range [][]uint32{{2}, {1, 3, 4}, {1, 3}} {
		if got := o.got[port]; !equal(got, want) {
			t.Errorf("port %d got %v, want %v", port, got, want)
		}
	}
}

func equal(a, b []uint32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Isolated ports reach the others, and not each other.
func TestFabricIsolates(t *testing.T) {
	f := newFabric(3, 1)
	f.ports[1].isolated, f.ports[2].isolated = true, true
	f.step(1, 1, packet(1, -1, 100, 1))
	f.step(1, 2, packet(2, 1, 100, 2))
	f.step(1, 0, packet(0, -1, 100, 3))
	o := drain(f, second)
	if !equal(o.got[0], []uint32{1}) || !equal(o.got[1], []uint32{3}) || !equal(o.got[2], []uint32{3}) {
		t.Errorf("%v", o.got)
	}
}

// A bottleneck of 100 Mbit/s carries 100 Mbit/s, and what its queue does not hold is lost. What it
// carries comes in order.
func TestFabricBottleneck(t *testing.T) {
	for _, way := range []Way{ToHost, FromHost} {
		f := newFabric(2, 1)
		port := 1
		if way == FromHost {
			port = 0
		}
		f.set(port, way, Link{Rate: 100_000_000, Queue: 64 << 10})
		const size = 1000 - 14
		n := uint32(0)
		for now := clock.Time(1); now < second; now += 10_000 { // 800 Mbit/s
			f.step(now, 0, packet(0, -1, size, n))
			n++
		}
		o := drain(f, 2*second)
		got := o.got[1]
		// In a second 12,500 frames, and 65 more that wait in the end.
		if len(got) < 12_560 || len(got) > 12_566 {
			t.Errorf("%v: %d frames of %d passed", way, len(got), n)
		}
		for i := 1; i < len(got); i++ {
			if got[i] <= got[i-1] {
				t.Fatalf("%v: %d comes after %d", way, got[i], got[i-1])
			}
		}
		if late := o.last[1] - second; late > clock.Time(64<<10*8*10) {
			t.Errorf("%v: the last one comes %v after the last was sent", way, time.Duration(late))
		}
	}
}

// What a link does not carry is lost, and the rest passes.
func TestFabricLoses(t *testing.T) {
	arp := packet(0, 1, 100, 9)
	arp[13] = 6 // 0x0806
	for _, c := range []struct {
		name string
		link Link
		want [3]bool // a long packet to the group, a short one to the host, ARP to the host
	}{
		{"all passes", Link{}, [3]bool{true, true, true}},
		{"mtu", Link{MTU: 1400}, [3]bool{false, true, true}},
		{"its mtu", Link{MTU: 1401}, [3]bool{true, true, true}},
		{"multicast", Link{NoMulticast: true}, [3]bool{false, true, true}},
		{"unicast", Link{NoUnicast: true}, [3]bool{true, false, true}},
	} {
		for _, way := range []Way{ToHost, FromHost} {
			f := newFabric(2, 1)
			f.step(1, 1, packet(1, 0, 100, 0)) // learned
			drain(f, second)
			port := 1
			if way == FromHost {
				port = 0
			}
			f.set(port, way, c.link)
			for i, b := range [][]byte{packet(0, -1, 1401, 1), packet(0, 1, 100, 2), arp} {
				f.step(second, 0, b)
				if got := len(drain(f, 2*second).got[1]) == 1; got != c.want[i] {
					t.Errorf("%s, %v: packet %d passes: %v", c.name, way, i, got)
				}
			}
		}
	}
}

// Half of the frames arrive twice, a fifth is lost, all are held back by up to 5 ms, and the same seed does the
// same again.
func TestFabricChance(t *testing.T) {
	run := func(seed uint64) (sum uint64, copies, seen, swapped int) {
		f := newFabric(2, seed)
		f.set(1, ToHost, Link{Loss: 0.2, Double: 0.5, Reorder: 5 * time.Millisecond})
		h := fnv.New64a()
		const n = 10_000
		came := map[uint32]bool{}
		for i := range uint32(n) {
			f.step(clock.Time(1+i*100_000), 0, packet(0, -1, 100, i))
		}
		high := uint32(0)
		for {
			at, ok := f.deadline()
			if !ok {
				return h.Sum64(), copies, len(came), swapped
			}
			_, b, _ := f.next(at)
			i := binary.BigEndian.Uint32(b[len(b)-4:])
			if late := at - clock.Time(1+i*100_000); late < 0 || late > clock.Time(5*time.Millisecond) {
				t.Fatalf("%d comes %v after it was sent", i, time.Duration(late))
			}
			if i < high {
				swapped++
			}
			high = max(high, i)
			copies++
			came[i] = true
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], uint64(at)^uint64(i)<<32)
			_, _ = h.Write(word[:])
			f.recycle(b)
		}
	}
	sum, copies, seen, swapped := run(1)
	// Binomial: 8,000 ± 40, and 12,000 ± 75; seven of them.
	if seen < 7720 || seen > 8280 || copies < 11_475 || copies > 12_525 || swapped < seen/2 {
		t.Errorf("%d of 10,000 arrive, %d copies, %d overtaken", seen, copies, swapped)
	}
	if again, _, _, _ := run(1); again != sum {
		t.Error("the same seed does something else")
	}
	if other, _, _, _ := run(2); other == sum {
		t.Error("another seed does the same")
	}
}
