package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/ring"
	"github.com/activeblaze/blaze/wire"
)

// Batch is the largest number of datagrams that one turn receives, and that it sends: enough
// to pay for the system call, few enough that timers and commands get their turn.
const Batch = 64

// slowTurn is from which time between two turns on a driver looks at all the places that it receives from.
const slowTurn = time.Microsecond

// Config is what an engine is made of.
type Config struct {
	Driver    Driver
	Source    Source // may be nil
	Self      wire.MemberID
	Cluster   uint64 // wire.ClusterHash of the cluster's name
	Protocols map[wire.Protocol]Protocol
	Idle      Idle
	CPU       int    // the loop's thread is pinned to it; negative: not pinned
	Name      string // of the loop's thread, of which the system keeps 15 bytes; empty: it keeps the one that it has

	// Stalled is called first of all in a turn that comes StallLimit or more too late: before anything
	// is received that waited meanwhile. gap is by how much, see stall. It may be nil.
	Stalled    func(now clock.Time, gap time.Duration)
	StallLimit time.Duration // more than 0 with Stalled
}

// Engine runs protocols over a driver. Make it with New; Turn or Run it from one goroutine.
type Engine struct {
	cfg       Config
	driver    Driver
	source    Source
	route     [256]Protocol // by wire.Protocol; nil: not spoken here
	protocols []Protocol    // each once, in order of their numbers
	turn      int           // with several protocols: the one whose data is polled first
	sentAt    []clock.Time  // with several protocols: when each had something to send last
	follower  Follower      // the driver, if it is one
	looker    Looker        // the same
	way       buf.Way       // as the protocols know it
	predictor Predictor     // the first of them that is one; nil: none

	batch   [Batch]buf.Received
	sends   [Batch]buf.Send
	pending int // sends[:pending] wait for the driver to have room again
	frame   wire.Datagram
	wagon   buf.Buf // a view of one datagram of a train

	now       clock.Time // of the turn that runs, or ran last
	looping   bool       // in Run: turns come one after the other, unless slept
	owing     bool       // it has worked since scheduled: goroutines may wait for its processor
	slept     bool       // the loop has slept since the last turn
	scheduled clock.Time // when the runtime last had the choice to run something else here
	stats     Stats

	signal   ring.Signal
	stopping atomic.Bool
	thread   atomic.Int64 // of the loop, as the system numbers it; 0: it has no thread of its own, or the number is not known
	control  control
}

// New makes an engine. It starts nothing.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, driver: cfg.Driver, source: cfg.Source}
	for n := range e.route {
		p := cfg.Protocols[wire.Protocol(n)]
		e.route[n] = p
		if p != nil && !e.runs(p) {
			e.protocols = append(e.protocols, p)
			if q, ok := p.(Predictor); ok && e.predictor == nil {
				e.predictor = q
			}
		}
	}
	e.follower, _ = cfg.Driver.(Follower)
	e.looker, _ = cfg.Driver.(Looker)
	e.way = buf.Way{Pack: cfg.Driver.Datagram(), Longest: cfg.Driver.Datagram()}
	e.sentAt = make([]clock.Time, len(e.protocols))
	return e
}

func (e *Engine) runs(p Protocol) bool {
	for _, q := range e.protocols {
		if p == q {
			return true
		}
	}
	return false
}

// Turn is one duty cycle at the time now. It returns how much there was to do: datagrams
// received and sent, commands and deliveries; 0 means that the caller may idle until Deadline.
func (e *Engine) Turn(now clock.Time) (work int) {
	if e.cfg.Stalled != nil {
		if gap := e.stall(now); gap >= e.cfg.StallLimit {
			e.cfg.Stalled(now, gap)
		}
		e.slept = false
	}
	if e.looker != nil && now.Sub(e.now) >= slowTurn {
		e.looker.LookAtAll()
	}
	e.now = now
	n := e.driver.Recv(e.batch[:])
	if e.follower != nil {
		if w := e.follower.Way(); w != e.way {
			e.fit(now, w)
		}
	}
	for i := range n {
		e.take(now, e.batch[i], true)
	}
	work = n
	if e.control.pending.Load() {
		work += e.control.run()
	}
	if e.source != nil {
		work += e.source.Drain(now)
	}
	for _, p := range e.protocols {
		if at, ok := p.Deadline(); ok && at <= now {
			p.Tick(now)
		}
		p.Flush(now)
	}
	work += e.flush(now)
	for _, p := range e.protocols {
		work += p.Deliver(now)
	}
	e.stats.Turns++
	if work > 0 {
		e.stats.BusyTurns++
	}
	return work
}

// fit tells the protocols that the way has changed.
func (e *Engine) fit(now clock.Time, w buf.Way) {
	e.way = w
	for _, p := range e.protocols {
		if f, ok := p.(Fitter); ok {
			f.Fit(now, w)
		}
	}
}

// take routes one datagram to the protocol that its stream belongs to. A whole packet may turn out
// to be several datagrams.
func (e *Engine) take(now clock.Time, r buf.Received, packet bool) {
	b := r.Buf.Bytes()
	e.stats.Received++
	e.stats.ReceivedBytes += uint64(len(b))
	if e.predictor != nil && e.predictor.Predicted(now, r) {
		e.stats.Predicted++
		return
	}
	// The two commonest kinds to ignore are recognised before the checksum is spent on them.
	if h, ok := wire.Peek(b); ok {
		if h.Cluster != e.cfg.Cluster {
			e.stats.Drops[DropCluster]++
			return
		}
		if h.Transmitter == e.cfg.Self {
			e.stats.Drops[DropOwn]++
			return
		}
	}
	d := &e.frame
	if err := wire.Decode(b, d); err != nil {
		if packet && err == wire.ErrChecksum && e.takeTrain(now, r, b) {
			return
		}
		e.stats.Drops[dropOf(err)]++
		return
	}
	if !d.Canonical {
		e.stats.General++
		if d.Cluster != e.cfg.Cluster {
			e.stats.Drops[DropCluster]++
			return
		}
		if d.Transmitter == e.cfg.Self {
			e.stats.Drops[DropOwn]++
			return
		}
	}
	p := e.route[d.Stream.Protocol()]
	if p == nil {
		e.stats.Drops[DropProtocol]++
		return
	}
	if err := p.Step(now, d, r); err != nil {
		e.stats.Drops[DropRefused]++
	}
}

// flush sends what the protocols have to send, at most one batch.
func (e *Engine) flush(now clock.Time) int {
	n := e.pending
	if len(e.protocols) > 1 {
		n = e.share(now, n)
	} else {
		for _, p := range e.protocols {
			n = e.poll(now, p, n, len(e.sends))
		}
	}
	if n == 0 {
		return 0
	}
	sent, err := e.driver.Send(e.sends[:n])
	if err != nil {
		e.stats.SendErrors++
	}
	for i := range sent {
		b := e.sends[i].Buf
		e.stats.SentBytes += uint64(b.Len())
		b.Release()
	}
	e.stats.Sent += uint64(sent)
	e.pending = copy(e.sends[:], e.sends[sent:n])
	clear(e.sends[e.pending:n])
	return sent
}

// poll fills e.sends[n:end] with what p has to send, and returns how far it came.
func (e *Engine) poll(now clock.Time, p Protocol, n, end int) int {
	for n < end {
		s, ok := p.PollSend(now)
		if !ok {
			break
		}
		e.sends[n] = s
		n++
	}
	return n
}

// Several protocols share the batch. Neither what one sends nor how fast its turns come may hold up
// another's tokens and reports.
const (
	// controlShare is how many control datagrams one protocol puts into a batch before the next
	// one's turn.
	controlShare = 8
	// dataShare is the same for data, while another protocol is active. It also bounds how long a
	// token waits for the turn that sends it, and so it is shorter than the system call alone would like.
	dataShare = 16
	// activeFor is how long a protocol is active after it had something to send.
	activeFor = time.Millisecond
)

// share fills e.sends[n:] from several protocols: the control of all of them first, and then a share
// of data for each. The protocol that came first last time comes last. It returns the new n.
func (e *Engine) share(now clock.Time, n int) int {
	for i := range e.protocols {
		k := (e.turn + i) % len(e.protocols)
		for end := min(n+controlShare, len(e.sends)); n < end; n++ {
			s, ok := e.protocols[k].PollControl(now)
			if !ok {
				break
			}
			e.sends[n], e.sentAt[k] = s, now
		}
	}
	first, before := e.turn, n
	for i := range e.protocols {
		k := (first + i) % len(e.protocols)
		end := len(e.sends)
		if !e.alone(now, k) {
			end = min(n+dataShare, end)
		}
		was := n
		if n = e.poll(now, e.protocols[k], n, end); n > was {
			e.sentAt[k] = now
		}
		if n > before && e.turn == first {
			e.turn = (k + 1) % len(e.protocols)
		}
	}
	return n
}

// alone reports whether no protocol but number k is active.
func (e *Engine) alone(now clock.Time, k int) bool {
	for i, at := range e.sentAt {
		if i != k && at != 0 && now.Sub(at) < activeFor {
			return false
		}
	}
	return true
}

// Deadline returns when the next turn is needed even if nothing comes; ok is false when none is.
func (e *Engine) Deadline() (at clock.Time, ok bool) {
	for _, p := range e.protocols {
		pat, pok := p.Deadline()
		at, ok = clock.Earlier(at, ok, pat, pok)
	}
	if e.pending > 0 {
		// The driver's send buffer is full. It drains by itself; look again soon.
		at, ok = clock.Earlier(at, ok, e.now.Add(20*time.Microsecond), true)
	}
	return at, ok
}

// Pending is the number of datagrams that the driver has not taken yet.
func (e *Engine) Pending() int { return e.pending }

// Flushed reports whether the driver has taken all that it was offered.
func (e *Engine) Flushed() bool { return e.pending == 0 }

// Now is the time of the turn that is running, for handlers that run inside it.
func (e *Engine) Now() clock.Time { return e.now }

// Run calls Turn until Stop, on a thread of its own that it locks and, if so configured, pins;
// with Block and no CPU to pin to any thread will do. It returns an error only if the thread could
// not be pinned.
func (e *Engine) Run() error {
	if e.cfg.Idle != Block || e.cfg.CPU >= 0 {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		e.thread.Store(int64(nameThread(e.cfg.Name)))
	}
	if e.cfg.CPU >= 0 {
		if err := pin(e.cfg.CPU); err != nil {
			return err
		}
	}
	e.looping = true
	running.Add(1)
	defer func() {
		running.Add(-1)
		e.looping = false
	}()
	var w Waiter
	busy := true // the last turn did work
	last := Now()
	for !e.stopping.Load() {
		now := Now()
		if busy {
			e.stats.noteTurn(now.Sub(last))
		}
		last = now
		if busy = e.Turn(now) > 0; busy {
			w.Worked()
			e.owing = true
			e.give(now, giveBusy)
			continue
		}
		e.give(now, giveIdle)
		if e.cfg.Idle == Block || e.cfg.Idle == Backoff && w.Wait(now) {
			if e.owing && e.give(now, 0) {
				continue // something may have come meanwhile
			}
			e.sleep(now)
		}
	}
	return nil
}

// running is how many engines of this process run in a loop of their own.
var running atomic.Int32

// How long an engine may go without give, while it works and without work. Before it sleeps it gives whatever it has made
// ready since.
const (
	giveBusy = time.Millisecond
	giveIdle = 100 * time.Microsecond
)

// give lets other goroutines run, where engines have all processors of the Go scheduler (GOMAXPROCS) and this has not
// been done for so long. It reports whether they may have run. The scheduler takes a processor away only after 10 ms, also
// from a thread that sleeps in the kernel, and a program that waits for an answer would get that one so late. It costs some
// 10 µs: the thread's way through the scheduler.
func (e *Engine) give(now clock.Time, after time.Duration) bool {
	if now.Sub(e.scheduled) < after {
		return false
	}
	e.scheduled, e.owing = now, false
	if int(running.Load()) < runtime.GOMAXPROCS(0) {
		return false
	}
	runtime.Gosched()
	return true
}

// sleep blocks in the kernel. A command that comes while it decides is not lost:
// a goroutine that queues one looks at the signal afterwards, and sleep looks at the queues after it
// has armed the signal.
func (e *Engine) sleep(now clock.Time) {
	e.signal.Arm()
	defer e.signal.Disarm()
	if e.stopping.Load() || e.control.pending.Load() || e.source != nil && e.source.Waiting() {
		return
	}
	d := time.Duration(-1)
	if at, ok := e.Deadline(); ok {
		if d = at.Sub(now); d <= 0 {
			return
		}
	}
	if e.cfg.Idle == Block && now.Sub(e.scheduled) > rescheduleAfter {
		e.scheduled = now
		runtime.Gosched()
	}
	e.stats.Sleeps++
	e.slept = true
	e.driver.Wait(d)
}

// rescheduleAfter is how old its last scheduling may be when a goroutine goes to sleep in the kernel.
// The runtime's monitor takes the processor of one that was scheduled 10 ms ago or longer as soon as
// it sees it in a system call, and then looks around every 20 µs for a while: in a quiet ring that
// was two thirds of the CPU that a member took.
const rescheduleAfter = 4 * time.Millisecond

// Thread is the loop's thread as the system numbers it; 0: it has none of its own, or the number is not known. Any
// goroutine may call it.
func (e *Engine) Thread() int { return int(e.thread.Load()) }

// CPU is the CPU that the loop's thread is pinned to; negative: none.
func (e *Engine) CPU() int { return e.cfg.CPU }

// Notify wakes the engine if it sleeps. A goroutine that has queued a command calls it; any may.
func (e *Engine) Notify() {
	if e.signal.Notify() {
		e.driver.Wake()
	}
}

// Stop ends Run after the turn that is running. Any goroutine may call it.
func (e *Engine) Stop() {
	e.stopping.Store(true)
	e.Notify()
}

// Post has f run on the engine's thread, inside one of its next turns. Any goroutine may call
// it. Once the engine has stopped, nothing runs any more; Close runs what is left.
func (e *Engine) Post(f func()) {
	e.control.post(f)
	e.Notify()
}

// RunPosted runs what was posted and has not run. The engine must not be turning.
func (e *Engine) RunPosted() { e.control.run() }

// Release gives back the buffers that the engine still wanted to send. The engine must not be
// turning.
func (e *Engine) Release() {
	for i := range e.pending {
		e.sends[i].Buf.Release()
	}
	clear(e.sends[:])
	e.pending = 0
	e.batch = [Batch]buf.Received{}
}

// Stats is a copy of the counters. Only the engine's thread may call it.
func (e *Engine) Stats() Stats { return e.stats }

// control is the queue of rare work for the engine's thread: subscribing, statistics, closing.
type control struct {
	pending atomic.Bool // queue is not empty; read without the lock
	mu      sync.Mutex
	queue   []func()
	spare   []func() // the memory of queue, while what was in it runs
}

func (c *control) post(f func()) {
	c.mu.Lock()
	c.queue = append(c.queue, f)
	c.pending.Store(true)
	c.mu.Unlock()
}

func (c *control) run() int {
	c.mu.Lock()
	q := c.queue
	c.queue, c.spare = c.spare, nil
	c.pending.Store(false)
	c.mu.Unlock()
	for _, f := range q {
		f()
	}
	clear(q)
	c.spare = q[:0]
	return len(q)
}
