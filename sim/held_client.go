package sim

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/jms/held"
	"github.com/activeblaze/blaze/jms/link"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// heldClient is a node with a program that uses held queues, as a member of the group that holds nothing: package jms's
// link.go without its goroutines.
type heldClient struct {
	Node   int
	Member *member.Member // nil when no process runs
	Driver *Driver

	h       *HeldCluster
	id      wire.MemberID
	started int // processes of the node
	pool    *buf.Pool
	rng     *rand.Rand
	paused  bool
	leaving bool
	calls   groupCalls
	app     heldApp
	before  []held.Member // earlier processes of the node

	link    *link.Link
	conn    uint64
	out     link.Outbound[*link.Link]
	leaves  bool              // what is in out leaves soon
	tries   map[uint64]uint64 // requests that have left, and the visit in which
	failed  clock.Time        // when the last failure was taken in
	seeking bool
	woken   clock.Time // when the next Tick is; 0: none is to come
	looks   map[uint64]bool
	looked  int // how often states of holders had been replaced at the last look
}

// heldApp is what a program does.
type heldApp interface {
	again() heldApp      // the same program in a new process
	begin(x *heldClient) // a connection begins
	event(e *link.Event) // something came
	crashed()            // its process has ended without a word
	ends(x *heldClient)  // its process is about to end in order
	idle() bool          // it has nothing that it has not acknowledged
	String() string
}

// Alive reports whether a process runs on the node.
func (x *heldClient) Alive() bool { return x.Member != nil }

func (x *heldClient) now() clock.Time { return x.h.Net.Now() }

// soon calls f a little later, unless the process has ended.
func (x *heldClient) soon(f func()) {
	x.after(between(x.rng, 30*time.Microsecond), f)
}

func (x *heldClient) after(d time.Duration, f func()) {
	process := x.started
	x.h.Net.After(d, func() { x.whenRuns(process, f) })
}

func (x *heldClient) whenRuns(process int, f func()) {
	switch {
	case x.started != process || !x.Alive():
	case x.paused:
		x.h.Net.After(time.Millisecond, func() { x.whenRuns(process, f) })
	default:
		f()
		if x.Alive() {
			x.Driver.Wake()
		}
	}
}

func (x *heldClient) start() {
	h := x.h
	if x.started > 0 {
		x.before = append(x.before, held.Member(x.id))
	}
	x.started++
	binary.LittleEndian.PutUint64(x.id[:], h.rng.Uint64())
	binary.LittleEndian.PutUint64(x.id[8:], h.rng.Uint64())
	x.Driver = h.Net.Attach(x.Node)
	x.rng = h.newRand(x.Node, x.started, 1)
	x.paused, x.leaving, x.failed, x.woken = false, false, 0, 0
	x.link, x.conn, x.out, x.leaves = nil, 0, link.Outbound[*link.Link]{}, false
	x.calls = newGroupCalls(x.soon)
	datagram := x.Driver.Datagram()
	const window = 64 << 10
	x.pool = buf.NewPool(nack.Buffers(window, datagram, 1, 2)+stateGroupBuffers+2*engine.Batch, datagram+nack.Headroom)
	x.Member = member.New(member.Config{
		ID: x.id, Cluster: wire.ClusterHash("sim"), Driver: x.Driver, Pool: x.pool, Table: member.NewTable(),
		Rand: h.newRand(x.Node, x.started, 2), Protocol: wire.BestEffort, Lanes: 1, Window: window,
		MaxMessageSize: 1 << 20, CPU: -1, Eviction: time.Second,
		Group: &member.Group{
			Name: "client", Started: 1_700_000_000_000_000_000 + uint64(h.Net.Now()), HeartbeatInterval: groupInterval, FailureTimeout: groupTimeout,
			Queue: 64 << 10, Buffers: stateGroupBuffers,
			Mirror: func(clock.Time, *group.Change) {},
			Tell: func(_ clock.Time, ch *group.Change) {
				switch {
				case ch.ID == x.id && ch.Kind == group.Failed:
					x.after(between(x.rng, 100*time.Microsecond), func() { x.Member.Group().SelfTold(x.now()) })
				case ch.ID != x.id:
					x.soon(x.refresh)
				}
			},
			Calls: &x.calls,
		},
	})
	_ = x.Member.Group().HandleInbox(heldClientInbox, x)
	x.Driver.Drive(x)
	x.after(0, x.connect)
}

// Turn is the engine's.
func (x *heldClient) Turn(now clock.Time) int { return x.Member.Turn(now) }

// Deadline is the engine's.
func (x *heldClient) Deadline() (at clock.Time, ok bool) { return x.Member.Engine().Deadline() }

// Take implements group.InboxHandler: notices, which are taken in order.
func (x *heldClient) Take(_ clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	of, b := x.link, slices.Clone(i.Payload)
	x.after(0, func() {
		if x.link == of && of != nil {
			held.ParseNotices(b, of.Notice)
			x.turn()
		}
	})
	return group.Take, 0
}

// connect begins the next connection, once those of the processes before are over: what they had taken has been given
// back then, and a program finds all of it.
func (x *heldClient) connect() {
	if x.leaving {
		return
	}
	for _, old := range x.before {
		if !x.h.over(old) {
			x.after(time.Millisecond, x.connect)
			return
		}
	}
	x.conn++
	x.link = link.New(link.Config{Conn: x.conn, Name: "c", RetryAfter: 200 * time.Millisecond})
	if x.h.Link != nil {
		x.h.Link(x.link)
	}
	x.tries, x.looks = map[uint64]uint64{}, map[uint64]bool{}
	x.refresh()
	x.app.begin(x)
	x.look(x.link)
	x.turn()
}

// look asks now and then for notices that were lost, as consumers of package jms that wait do. In a third of the runs
// it does so only where the state of a holder was replaced, which loses them: what a look finds hides what else is
// wrong.
func (x *heldClient) look(of *link.Link) {
	x.after(50*time.Millisecond+between(x.rng, 200*time.Millisecond), func() {
		if x.link != of || of.Ended() || x.leaving || x.h.closing {
			return
		}
		replaced := x.h.StateCluster.Tally.ServiceRestores
		if len(x.looks) == 0 && (x.h.Seed%3 != 1 || x.looked != replaced) {
			x.looked = replaced
			if ticket, err := of.Look(); err == nil {
				x.looks[ticket] = true
			}
		}
		x.look(of)
		x.turn()
	})
}

// refresh tells the link which holders there are.
func (x *heldClient) refresh() {
	if x.link == nil {
		return
	}
	var all []held.Member
	for _, i := range x.Member.Group().Members(nil) {
		if r, err := wire.ParseRecord(i.Record); err == nil {
			groups := r.Groups()
			for g, ok := groups.Next(); ok; g, ok = groups.Next() {
				if string(g) == heldGroup {
					all = append(all, held.Member(i.ID))
				}
			}
		}
	}
	x.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if len(all) == 0 && !x.seeking {
		x.seeking = true
		x.after(10*time.Millisecond, func() {
			x.seeking = false
			x.refresh()
		})
	}
	x.link.Holders(all)
	x.turn()
}

// turn hands out what the link has.
func (x *heldClient) turn() {
	of := x.link
	for of != nil && x.link == of {
		if e, ok := of.PollEvent(); ok {
			x.event(&e)
			continue
		}
		s, ok := of.PollSend(x.now())
		if !ok {
			break
		}
		if visit, under := x.tries[s.Request]; !under || visit != s.Visit { // else it is on its way still
			x.tries[s.Request] = s.Visit
			x.out.Add(of, s)
			x.sendSoon()
		}
	}
	if of == nil || x.link != of {
		return
	}
	if at, ok := of.Deadline(); ok && x.woken == 0 {
		x.woken = at
		x.after(max(0, at.Sub(x.now())), func() {
			if x.woken = 0; x.link != nil {
				x.link.Tick(x.now())
				x.turn()
			}
		})
	}
}

func (x *heldClient) event(e *link.Event) {
	if e.Kind == link.EventAnswer && x.looks[e.Ticket] {
		delete(x.looks, e.Ticket)
		return
	}
	x.app.event(e)
	if e.Kind == link.EventEnded {
		x.h.Counts.Ended++
		x.link = nil
		x.after(between(x.rng, 5*time.Millisecond), x.connect)
	}
}

// sendSoon has what the link has handed out leave soon, together.
func (x *heldClient) sendSoon() {
	if x.leaves || !x.out.Ready() {
		return
	}
	x.leaves = true
	x.soon(func() {
		x.leaves = false
		for b, ok := x.out.Poll(); ok; b, ok = x.out.Poll() {
			x.send(b)
		}
	})
}

// send is a request between members of the group, and its end.
func (x *heldClient) send(b *link.Batch[*link.Link]) {
	g := x.Member.Group()
	x.h.Counts.Requests += len(b.Items)
	call := x.calls.call(wire.MemberID(b.To), heldInbox, b.Data, func(e *group.End) {
		x.out.Done(b)
		x.sendSoon()
		var failed []link.Send
		landed := func(i *link.Item[*link.Link]) bool {
			visit, under := x.tries[i.Send.Request]
			if x.link != i.Owner || !under || visit != i.Send.Visit {
				return false // it was sent again, or the link is over
			}
			delete(x.tries, i.Send.Request)
			return true
		}
		if e.Why == group.Answered && len(e.Payload) > 0 && e.Payload[0] == 0 && b.Answers(e.Payload[1:], func(i *link.Item[*link.Link], answer []byte) {
			if landed(i) {
				i.Owner.Answer(b.To, answer)
			}
		}) {
			x.turn()
			return
		}
		for n := range b.Items {
			if i := &b.Items[n]; landed(i) {
				failed = append(failed, i.Send)
			}
		}
		if len(failed) > 0 {
			x.fail(x.link, failed)
		}
	})
	g.Request(x.now(), call)
	x.Driver.Wake()
}

// fail takes in that requests were not answered, with a pause between two failures.
func (x *heldClient) fail(of *link.Link, all []link.Send) {
	const gap = 20 * time.Millisecond
	pause := gap - x.now().Sub(x.failed)
	x.failed = x.now()
	x.h.Counts.Failed++
	x.after(max(0, pause), func() {
		if x.link != of {
			return
		}
		x.refresh()
		if x.link == of {
			for _, s := range all {
				of.Failed(s)
			}
			x.turn()
		}
	})
}

// submit gives the link an operation. ok is false where it cannot take it now.
func (x *heldClient) submit(op *held.Op) (ticket uint64, ok bool) {
	if x.link == nil {
		return 0, false
	}
	ticket, err := x.link.Submit(op)
	return ticket, err == nil
}

func (x *heldClient) pause() {
	if x.Alive() && !x.paused {
		x.paused = true
		x.Driver.Pause()
	}
}

func (x *heldClient) resume() {
	if x.Alive() && x.paused {
		x.paused = false
		x.Driver.Resume()
	}
}

// crash ends the process without a word.
func (x *heldClient) crash() {
	if !x.Alive() {
		return
	}
	x.h.Counts.Crashes++
	x.app.crashed()
	x.Driver.Close()
	x.Member, x.link = nil, nil
}

// leave ends the process in order: its connection ends first.
func (x *heldClient) leave() {
	if !x.Alive() || x.leaving {
		return
	}
	x.leaving = true
	x.h.Counts.Leaves++
	process, until := x.started, x.now().Add(300*time.Millisecond)
	x.whenRuns(process, func() {
		if x.link != nil {
			x.app.ends(x)
			_, _ = x.submit(&held.Op{Kind: held.KindEnd})
			x.turn()
		}
		closed := false
		var wait func()
		wait = func() {
			if !closed && (x.link == nil || x.link.Ended() || x.now() > until) {
				closed = true
				x.app.crashed()
				x.link = nil
				x.Member.Close(x.now())
			}
			if closed && x.Member.Silent() {
				x.close()
				return
			}
			x.after(100*time.Microsecond, wait)
		}
		x.after(100*time.Microsecond, wait)
	})
}

// close ends the process, and looks for what it forgot.
func (x *heldClient) close() {
	if !x.Alive() {
		return
	}
	x.Driver.Close()
	x.Member.Release()
	if x.pool.Free() != x.pool.Count() {
		x.h.Queues.Found("RS-2", "node %d: %d of %d buffers are free", x.Node, x.pool.Free(), x.pool.Count())
	}
	x.Member, x.link = nil, nil
}

// restart starts a new process, where the old one has ended.
func (x *heldClient) restart() {
	if !x.Alive() {
		x.app = x.app.again()
		x.start()
	}
}

// again starts the next process, as soon as the one before has ended.
func (x *heldClient) again() {
	switch {
	case x.h.closing:
	case x.Alive() && x.leaving:
		x.h.Net.After(time.Millisecond, x.again)
	case !x.Alive():
		x.restart()
	}
}
