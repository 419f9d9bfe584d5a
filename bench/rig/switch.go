package rig

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// A fabric is a switch of our own: frames go in at a port and come out at others, as its ports' links have
// it. It does no I/O, starts no goroutine and reads no clock; now never goes backwards. Chance comes from its
// seed and the order of the frames alone.
//
// It learns where hosts are from what they send. Frames to groups, and to hosts that it has not learned, go
// to all ports but the one they came from.
type fabric struct {
	rng   *rand.Rand
	ports []fabricPort
	hosts map[mac]int // their ports
	held  frames      // on their way
	sent  uint64      // frames that were put into held, ever
	free  [][]byte
}

type mac [6]byte

// fabricPort is one port of a fabric.
type fabricPort struct {
	in, out  line
	isolated bool
}

// line is one way of a cable, with its bottleneck.
type line struct {
	Link
	free clock.Time // when all that waits has left

	came, lost, passed uint64 // bytes
}

// frame is a copy on its way.
type frame struct {
	at   clock.Time
	n    uint64 // keeps the order of those of one time
	to   int    // port
	data []byte
}

// maxHeld bounds the frames that are on their way in a fabric: a longer queue loses.
const maxHeld = 1 << 16

func newFabric(ports int, seed uint64) *fabric {
	return &fabric{rng: rand.New(rand.NewPCG(seed, 0x736465)), ports: make([]fabricPort, ports), hosts: map[mac]int{}}
}

// set gives one way of a port's cable a link. What waits there already stays on its way.
func (f *fabric) set(port int, way Way, l Link) {
	at := &f.ports[port].out
	if way == FromHost {
		at = &f.ports[port].in
	}
	at.Link, at.free = l, 0
}

// step takes in a frame that came to a port now. It keeps no reference to b.
func (f *fabric) step(now clock.Time, port int, b []byte) {
	if len(b) < 14 {
		return
	}
	from, to := mac(b[6:12]), mac(b[:6])
	if from[0]&1 == 0 {
		f.hosts[from] = port
	}
	at, ok := f.ports[port].in.pass(now, b, f.rng)
	if !ok {
		return
	}
	for range f.copies(f.ports[port].in.Link) {
		at := at.Add(f.late(f.ports[port].in.Link))
		if one, known := f.hosts[to]; known && to[0]&1 == 0 {
			if one != port {
				f.send(at, port, one, b)
			}
			continue
		}
		for i := range f.ports {
			if i != port {
				f.send(at, port, i, b)
			}
		}
	}
}

// send puts copies for one port on their way.
func (f *fabric) send(at clock.Time, from, to int, b []byte) {
	if f.ports[from].isolated && f.ports[to].isolated {
		return
	}
	out := &f.ports[to].out
	at, ok := out.pass(at, b, f.rng)
	if !ok {
		return
	}
	for range f.copies(out.Link) {
		if len(f.held) >= maxHeld {
			return
		}
		f.sent++
		heap.Push(&f.held, frame{at: at.Add(f.late(out.Link)), n: f.sent, to: to, data: append(f.spare(), b...)})
	}
}

// copies draws how often a frame arrives.
func (f *fabric) copies(l Link) int {
	if l.Double > 0 && f.rng.Float64() < l.Double {
		return 2
	}
	return 1
}

// late draws by how much a copy is held back.
func (f *fabric) late(l Link) time.Duration {
	if l.Reorder <= 0 {
		return 0
	}
	return time.Duration(f.rng.Int64N(int64(l.Reorder) + 1))
}

// next returns a frame that is due at or before now. The frame is lent until recycle.
func (f *fabric) next(now clock.Time) (to int, b []byte, ok bool) {
	if len(f.held) == 0 || f.held[0].at > now {
		return 0, nil, false
	}
	e := heap.Pop(&f.held).(frame)
	return e.to, e.data, true
}

// recycle takes back what next has lent.
func (f *fabric) recycle(b []byte) { f.free = append(f.free, b[:0]) }

// deadline returns when the next frame is due; ok is false when none is on its way.
func (f *fabric) deadline() (at clock.Time, ok bool) {
	if len(f.held) == 0 {
		return 0, false
	}
	return f.held[0].at, true
}

func (f *fabric) spare() []byte {
	if n := len(f.free); n > 0 {
		b := f.free[n-1]
		f.free = f.free[:n-1]
		return b
	}
	return make([]byte, 0, 2048)
}

// pass decides when a frame that comes at at has left; false: it is lost.
func (l *line) pass(at clock.Time, b []byte, rng *rand.Rand) (clock.Time, bool) {
	l.came += uint64(len(b))
	if l.loses(b, rng) || !l.fits(&at, len(b)) {
		l.lost += uint64(len(b))
		return 0, false
	}
	l.passed += uint64(len(b))
	return at, true
}

// loses reports whether the link does not carry a frame.
func (l *line) loses(b []byte, rng *rand.Rand) bool {
	const header, ip4, udp = 14, 0x0800, 17
	is4 := len(b) >= header+20 && int(b[12])<<8|int(b[13]) == ip4
	if is4 && b[header+9] == udp {
		group := b[0]&1 != 0
		if group && l.NoMulticast || !group && l.NoUnicast {
			return true
		}
	}
	return l.MTU > 0 && len(b)-header > l.MTU || l.Loss > 0 && rng.Float64() < l.Loss
}

// fits has a frame of n bytes wait for the link's rate, and moves at to when it has left; false: the queue has no
// room.
func (l *line) fits(at *clock.Time, n int) bool {
	if l.Rate == 0 {
		return true
	}
	queue := l.Queue
	if queue == 0 {
		queue = DefaultQueue
	}
	begin := max(*at, l.free)
	waiting := float64(begin.Sub(*at)) * float64(l.Rate) / float64(8*time.Second)
	if waiting+float64(n) > float64(queue) {
		return false
	}
	l.free = begin.Add(time.Duration(float64(n) * 8 * float64(time.Second) / float64(l.Rate)))
	*at = l.free
	return true
}

// frames is a heap by time.
type frames []frame

func (h frames) Len() int { return len(h) }
func (h frames) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h frames) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *frames) Push(x any)   { *h = append(*h, x.(frame)) }
func (h *frames) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
