package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/activeblaze/blaze/buf"
)

// Datagrams of the schedules begin with their length and their number.
const leastOfSchedule = 6

func scheduled(b []byte, number uint32) {
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	binary.LittleEndian.PutUint32(b[2:], number)
	for i := range b[leastOfSchedule:] {
		b[leastOfSchedule+i] = byte(int(number)*7 + i)
	}
}

// firstOfSchedule is a Config.First.
func firstOfSchedule(packet []byte) int {
	if len(packet) < 2 {
		return len(packet)
	}
	return int(binary.LittleEndian.Uint16(packet))
}

// recipient is a driver with one way of receiving, and what is still to come to it.
type recipient struct {
	name           string
	driver         driver
	ordered        bool // data sent before a unicast datagram is handed out before it
	group, unicast []sentDatagram
	tooLong        uint64
}

type sentDatagram struct {
	number uint32
	size   int
}

// All ways of receiving hand out the same: one packet a call or many, packets that are coalesced or not, with the length of
// segments from the kernel or from Config.First; for bursts of all shapes and looks at all times. Datagrams that are
// longer than the receiver takes are dropped and counted, and what came through the group is handed out before later unicast.
func TestAllWaysReceiveTheSame(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 12
	}
	for seed := range seeds {
		receiveSchedule(t, uint64(seed))
	}
}

func receiveSchedule(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	cfg := groupConfig(t)
	a := openLinux(t, cfg)
	if seed%2 == 1 {
		cfg.MTU = 1480 // the sender's datagrams can be 20 bytes too long
	}
	off, told := cfg, cfg
	off.GSO, told.First = "off", firstOfSchedule
	portable, err := OpenPortable(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { portable.Close() })
	ways := []*recipient{
		{name: "lengths from the kernel", driver: openLinux(t, cfg), ordered: true},
		{name: "lengths from Config.First", driver: openLinux(t, told), ordered: true},
		{name: "not coalesced", driver: openLinux(t, off), ordered: true},
		{name: "portable", driver: portable},
	}
	waiting := func() (group, unicast int) {
		for _, w := range ways {
			group, unicast = max(group, len(w.group)), max(unicast, len(w.unicast))
		}
		return group, unicast
	}
	number := uint32(0)
	for range 150 {
		group, unicast := waiting()
		switch kind := r.IntN(5); {
		case kind == 0 && group < 40: // so that the smallest sockets hold it
			batch, sent := burst(r, &number, 100)
			sendAll(t, a, batch)
			for _, w := range ways {
				w.group = append(w.group, w.fit(sent)...)
			}
		case kind == 1 && unicast < 16: // so that one read empties the socket
			for _, w := range ways {
				batch, sent := burst(r, &number, 8)
				for i := range batch {
					batch[i].To = w.driver.Local()
				}
				sendAll(t, a, batch)
				w.unicast = append(w.unicast, w.fit(sent)...)
			}
		default:
			for _, w := range ways {
				if d, ok := w.driver.(*Driver); ok && r.IntN(4) == 0 {
					d.LookAtAll()
				}
				for n := r.IntN(12); n > 0; n-- {
					if err := w.take(make([]buf.Received, 1+r.IntN(64))); err != nil {
						t.Fatalf("seed %d, %s: %v", seed, w.name, err)
					}
				}
			}
		}
	}
	for _, w := range ways {
		in, deadline := make([]buf.Received, 64), time.Now().Add(5*time.Second)
		for left := 4 * otherEvery; left > 0 && time.Now().Before(deadline); left-- { // nothing comes behind it
			if len(w.group)+len(w.unicast) > 0 {
				left = 4 * otherEvery
			}
			if err := w.take(in); err != nil {
				t.Fatalf("seed %d, %s: %v", seed, w.name, err)
			}
		}
		if s := w.driver.Stats(); len(w.group)+len(w.unicast) > 0 || s.RecvTruncated != w.tooLong || s.KernelDrops > 0 {
			t.Fatalf("seed %d, %s: %d and %d did not come, %d too long: %+v", seed, w.name, len(w.group), len(w.unicast), w.tooLong, s)
		}
	}
}

// burst makes datagrams of a random shape: as many of one length as most, with a last one that is shorter, or any.
func burst(r *rand.Rand, number *uint32, most int) (batch []buf.Send, sent []sentDatagram) {
	size := func() int {
		if r.IntN(3) == 0 {
			return leastOfSchedule + r.IntN(60)
		}
		return leastOfSchedule + r.IntN(1472-leastOfSchedule+1)
	}
	count, each, mixed := 1, size(), r.IntN(4) == 0
	if r.IntN(2) == 0 {
		count += r.IntN(most)
	}
	var sizes []int
	for i := range count {
		switch {
		case mixed:
			each = size()
		case i == count-1 && r.IntN(2) == 0:
			each = leastOfSchedule + r.IntN(each-leastOfSchedule+1)
		}
		sizes = append(sizes, each)
	}
	batch = outgoing(buf.Group, 0, sizes...)
	for i, b := range batch {
		*number++
		scheduled(b.Buf.Bytes(), *number)
		sent = append(sent, sentDatagram{*number, sizes[i]})
	}
	return batch, sent
}

// fit is what a recipient takes of what was sent.
func (w *recipient) fit(sent []sentDatagram) (fit []sentDatagram) {
	for _, s := range sent {
		if s.size <= w.driver.Datagram() {
			fit = append(fit, s)
		} else {
			w.tooLong++
		}
	}
	return fit
}

// take is one Recv, and compares.
func (w *recipient) take(in []buf.Received) error {
	for _, got := range in[:w.driver.Recv(in)] {
		list := &w.unicast
		if got.Group {
			list = &w.group
		}
		b := got.Buf.Bytes()
		if len(*list) == 0 {
			return fmt.Errorf("%d bytes came that nobody sent (group=%v)", len(b), got.Group)
		}
		want := (*list)[0]
		*list = (*list)[1:]
		data := make([]byte, want.size)
		scheduled(data, want.number)
		if string(b) != string(data) {
			return fmt.Errorf("%d bytes came, want datagram %d of %d bytes (group=%v)", len(b), want.number, want.size, got.Group)
		}
		if w.ordered && !got.Group && len(w.group) > 0 && w.group[0].number < want.number {
			return fmt.Errorf("unicast %d came before %d of the group", want.number, w.group[0].number)
		}
	}
	return nil
}

// While reads find nothing they ask for one packet; after two in a row that found something for many, until one finds nothing.
func TestReadsInBatches(t *testing.T) {
	for _, first := range []func([]byte) int{nil, firstOfSchedule} {
		cfg := groupConfig(t)
		cfg.First = first
		a, b := openLinux(t, cfg), openLinux(t, cfg)
		in := make([]buf.Received, 64)
		for range 3 {
			for b.Recv(in) > 0 || b.group.found > 0 {
			}
			number := uint32(0)
			for i := range 10 { // packets of one datagram
				batch := outgoing(buf.Group, 1, 100+i)
				number++
				scheduled(batch[0].Buf.Bytes(), number)
				sendAll(t, a, batch)
			}
			for i, want := range []int{1, 1, 8, 0} {
				if n := b.Recv(in); n != want {
					t.Errorf("Recv %d gives %d packets, want %d", i, n, want)
				}
			}
		}
	}
}

// A member whose packets Config.First does not tell apart: from the next one on the kernel tells, for a while.
func TestFirstThatDoesNotKnow(t *testing.T) {
	cfg := groupConfig(t)
	a := openLinux(t, cfg)
	if !a.segments {
		t.Skip("the kernel has no UDP_SEGMENT (Linux 4.18)")
	}
	cfg.First = func(packet []byte) int { return len(packet) }
	b := openLinux(t, cfg)
	sizes := repeat(20, 1000)
	sendAll(t, a, outgoing(buf.Group, 1, sizes...))
	nothing(t, b)
	if s := b.Stats(); s.RecvTruncated != 1 {
		t.Errorf("%+v", s)
	}
	sendAll(t, a, outgoing(buf.Group, 2, sizes...))
	check(t, receive(t, b, len(sizes)), a.Local(), true, 2, sizes...)
	in := make([]buf.Received, 1)
	for range asksAfter + 2 {
		b.LookAtAll()
		if n := b.Recv(in); n > 0 {
			t.Fatalf("%d datagrams came that nobody sent", n)
		}
	}
	if b.group.asks > 0 {
		t.Errorf("the kernel is asked for %d more reads", b.group.asks)
	}
}

// What the kernel refuses is dropped and counted, by whichever call it was to leave.
func TestRefusedByEachCall(t *testing.T) {
	for name, sizes := range map[string][]int{"sendto": {100}, "sendmsg": {100, 100}, "sendmmsg": {100, 101, 102}} {
		d := openLinux(t, groupConfig(t))
		if err := unix.Shutdown(standIn(t, d), unix.SHUT_RDWR); err != nil {
			t.Fatal(err)
		}
		n, err := d.Send(outgoing(buf.Group, 1, sizes...))
		if s := d.Stats(); n != len(sizes) || err != nil || s.SendDropped != uint64(len(sizes)) || s.SendDatagrams != 0 {
			t.Errorf("%s: took %d, %v; %+v", name, n, err, s)
		}
	}
}

// A socket that is full takes one packet later, by whichever call it is to leave.
func TestFullForEachCall(t *testing.T) {
	for name, sizes := range map[string][]int{"sendto": {1000}, "sendmsg": {1000, 1000}} {
		d := openLinux(t, groupConfig(t))
		if !d.segments && name == "sendmsg" {
			continue
		}
		far := standIn(t, d)
		sent, full := 0, false
		for !full {
			n, err := d.Send(outgoing(buf.Group, 1, sizes...))
			if full = errors.Is(err, ErrAgain); full && n != 0 || !full && (err != nil || n != len(sizes)) {
				t.Fatalf("%s: took %d, %v", name, n, err)
			}
			sent += n
		}
		came := 0
		for _, p := range drain(t, far) {
			came += len(p)
		}
		if n, err := d.Send(outgoing(buf.Group, 1, sizes...)); n != len(sizes) || err != nil {
			t.Errorf("%s: took %d, %v", name, n, err)
		}
		if s := d.Stats(); came != 1000*sent || s.SendAgain != 1 || s.SendDatagrams != uint64(sent+len(sizes)) {
			t.Errorf("%s: %d bytes of %d datagrams came; %+v", name, came, sent, s)
		}
	}
}
