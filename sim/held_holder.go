package sim

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/pb"
	"github.com/activeblaze/blaze/jms/held"
	"github.com/activeblaze/blaze/wire"
)

// What holders and clients agree on, as in package jms.
const (
	heldGroup       = "blaze.jms"
	heldInbox       = "blaze.jms"
	heldClientInbox = "blaze.jms.client"
	heldService     = "jms"
)

// groupCalls are the calls of one process between members of the group.
type groupCalls struct {
	soon func(f func())
	free []uint64 // numbers of slots
	made uint64
	open map[uint64]func(e *group.End)
}

func newGroupCalls(soon func(f func())) groupCalls {
	return groupCalls{soon: soon, open: map[uint64]func(*group.End){}}
}

// call makes a call, whose end is told a little later.
func (g *groupCalls) call(to wire.MemberID, inbox string, payload []byte, then func(e *group.End)) *group.Call {
	number := g.made
	if n := len(g.free); n > 0 {
		number, g.free = g.free[n-1]+1<<16, g.free[:n-1]
	} else {
		g.made++
	}
	g.open[number] = then
	return &group.Call{Number: number, To: to, Inbox: inbox, Payload: payload}
}

// Ended implements group.CallSink.
func (g *groupCalls) Ended(_ clock.Time, e *group.End) {
	then, end := g.open[e.Call], *e
	end.Payload = slices.Clone(e.Payload)
	delete(g.open, e.Call)
	g.free = append(g.free, e.Call)
	g.soon(func() { then(&end) })
}

// heldHolder is the holder in one process: package jms's holder.go without its goroutines. What a goroutine of that
// does comes a little later here.
type heldHolder struct {
	h       *HeldCluster
	m       *StateMember
	machine *held.Machine
	calls   groupCalls

	requests []heldRequest // in the in-box's queue
	taking   bool
	outs     map[held.Member]*heldOutbox
	again    [][]byte // operations of a state that was dropped
	carrying bool
	looking  bool
	joined   bool
}

// heldRequest is an operation of a client.
type heldRequest struct {
	from held.Member
	call uint64
	op   []byte
}

// heldOutbox is the notices for one client that have not left. The first under of them are on their way.
type heldOutbox struct {
	notices []held.Notice
	under   int
	since   clock.Time // when the first of them was tried
}

func newHeldHolder(h *HeldCluster, m *StateMember) *heldHolder {
	x := &heldHolder{h: h, m: m, outs: map[held.Member]*heldOutbox{}}
	proc := m.Proc
	x.calls = newGroupCalls(func(f func()) {
		h.Net.After(between(m.rng, 30*time.Microsecond), func() { m.whenRuns(proc, f) })
	})
	x.empty()
	return x
}

func (x *heldHolder) empty() {
	x.machine = held.New(held.Member(x.m.id))
	if x.h.Machine != nil {
		x.h.Machine(x.machine)
	}
}

func (x *heldHolder) now() clock.Time { return x.m.local(x.h.Net.Now()) }

// grouped implements stateHost.
func (x *heldHolder) grouped(g *member.Group) {
	g.Calls = &x.calls
	tell := g.Tell
	g.Tell = func(now clock.Time, ch *group.Change) {
		tell(now, ch)
		if ch.Kind == group.Stopped || ch.Kind == group.Failed {
			x.look()
		}
	}
}

// began implements stateHost. The holder takes operations from when its replica is complete.
func (x *heldHolder) began() {
	x.m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallReady}, then: func(code cluster.Code, _ []byte) {
		if code != cluster.CodeOK {
			return
		}
		x.calls.soon(func() {
			if x.m.leaving {
				return
			}
			x.joined = true
			g := x.m.Member.Group()
			_ = g.HandleInbox(heldInbox, x)
			_ = g.Join(x.now(), heldGroup)
			x.keep()
		})
	}})
}

// leaves implements stateHost.
func (x *heldHolder) leaves() {
	if x.joined {
		g := x.m.Member.Group()
		g.Leave(x.now(), heldGroup)
		g.CloseInbox(heldInbox)
	}
}

// Take implements group.InboxHandler.
func (x *heldHolder) Take(_ clock.Time, i *group.Item) (group.Verdict, wire.RefusalReason) {
	if len(x.requests) > 200 {
		return group.Wait, 0
	}
	if !i.Wanted {
		return group.Take, 0
	}
	x.requests = append(x.requests, heldRequest{held.Member(i.From), i.Call, slices.Clone(i.Payload)})
	if !x.taking {
		x.taking = true
		x.calls.soon(x.take)
	}
	return group.Take, 0
}

// take proposes what clients have asked for, in order.
func (x *heldHolder) take() {
	x.taking = false
	all := x.requests
	x.requests = nil
	for _, r := range all {
		if x.h.Early && x.m.rng.IntN(8) == 0 {
			x.early(r)
		}
		if x.h.InParts {
			x.part(&r)
		}
		x.propose(held.Sign(r.op, r.from), func(code cluster.Code, answer []byte) { x.reply(r, code, slices.Clone(answer)) })
	}
}

// early answers puts before anybody has them: a defect.
func (x *heldHolder) early(r heldRequest) {
	var op held.Op
	if !op.Parse(r.op) {
		return
	}
	a := held.Answer{Counter: op.Counter}
	for _, b := range op.Batch {
		var item held.Op
		if item.Parse(b) && item.Kind == held.KindPut {
			one := held.Answer{Counter: item.Counter}
			a.Answers = append(a.Answers, one.Append(nil))
		}
	}
	if op.Kind == held.KindPut || len(op.Batch) > 0 && len(a.Answers) == len(op.Batch) {
		x.reply(r, cluster.CodeOK, a.Append(nil))
	}
}

// part has a message that is staged for the last of three queues put on its own, 30 ms later: a defect.
func (x *heldHolder) part(r *heldRequest) {
	var op held.Op
	if !op.Parse(r.op) {
		return
	}
	if op.Kind != held.KindBatch {
		r.op = x.partOf(r.op)
		return
	}
	var batch []byte
	for _, b := range op.Batch {
		batch = held.AppendBatch(batch, x.partOf(b))
	}
	r.op = batch
}

// partOf is part of one operation. It returns what is proposed in its place.
func (x *heldHolder) partOf(b []byte) []byte {
	var op held.Op
	if !op.Parse(b) || op.Kind != held.KindStage || string(op.Queue) != heldTarget[2] {
		return b
	}
	put := op
	put.Kind, put.Session, put.Numbers = held.KindMerge, 0, nil
	proc, late := x.m.Proc, put.Append(nil)
	x.h.Net.After(30*time.Millisecond, func() {
		x.m.whenRuns(proc, func() { x.propose(late, func(cluster.Code, []byte) {}) })
	})
	empty := held.Op{Kind: held.KindStop, Conn: op.Conn, Counter: op.Counter, Low: op.Low, Session: op.Session, Consumer: 1}
	return empty.Append(nil)
}

// propose makes an operation of the service. It adds a field that nobody knows, so that no two operations of a run are
// equal: the checkers tell them apart by that.
func (x *heldHolder) propose(op []byte, then func(code cluster.Code, answer []byte)) {
	x.h.unique++
	op = pb.AppendVarint(op, 1000, x.h.unique)
	a := &stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: wire.ClusterOp{Kind: wire.OpService, Key: []byte(heldService), Value: op}}, then: then}
	if !x.m.begin(a) {
		x.calls.soon(func() { then(cluster.CodeClosed, nil) })
	}
}

// reply answers a client: a byte that says whether there is an answer, and the answer.
func (x *heldHolder) reply(r heldRequest, code cluster.Code, answer []byte) {
	payload := []byte{1}
	if code == cluster.CodeOK {
		x.h.answered++
		payload = append([]byte{0}, answer...)
	}
	x.calls.soon(func() {
		g := x.m.Member.Group()
		if g.Reply(x.now(), wire.MemberID(r.from), r.call, 0, payload) != nil {
			g.ReplyCall(x.now(), x.calls.call(wire.MemberID(r.from), "", payload, func(*group.End) {}), r.call)
		}
	})
}

// send hands a notice to its client, behind those before it.
func (x *heldHolder) send(n *held.Notice) {
	o := x.outs[n.To]
	if o == nil {
		o = &heldOutbox{}
		x.outs[n.To] = o
	}
	o.notices = append(o.notices, *n)
	if len(o.notices) == 1 {
		x.calls.soon(func() { x.post(n.To, o) })
	}
}

// post sends what lies in an outbox together, again after a pause where that fails: for tellFor.
func (x *heldHolder) post(to held.Member, o *heldOutbox) {
	const tellFor, pause = 5 * time.Second, 20 * time.Millisecond
	if o.under == 0 {
		o.since = x.now()
		o.under = min(len(o.notices), 1+x.m.rng.IntN(8))
	}
	var b []byte
	for i := range o.notices[:o.under] {
		b = held.AppendNotice(b, &o.notices[i])
	}
	x.m.Member.Group().Send(x.now(), x.calls.call(wire.MemberID(to), heldClientInbox, b, func(e *group.End) {
		if e.Why != group.Answered && x.now().Sub(o.since) < tellFor {
			proc := x.m.Proc
			x.h.Net.After(pause, func() { x.m.whenRuns(proc, func() { x.post(to, o) }) })
			return
		}
		o.notices, o.under = o.notices[o.under:], 0
		if len(o.notices) > 0 {
			x.post(to, o)
		} else {
			delete(x.outs, to)
		}
	}))
}

// keep looks once a second at what the master has to do.
func (x *heldHolder) keep() {
	proc := x.m.Proc
	x.h.Net.After(time.Second, func() {
		x.m.whenRuns(proc, func() {
			x.look()
			x.keep()
		})
	})
}

// look has the master end the connections of members that are gone.
func (x *heldHolder) look() {
	if x.looking {
		return
	}
	x.looking = true
	x.calls.soon(func() {
		x.looking = false
		if m := x.m; m.master == m.id && m.primary && m.until > x.now() && !m.leaving {
			x.endGone()
		}
	})
}

func (x *heldHolder) endGone() {
	here := map[held.Member]bool{}
	for _, i := range x.m.Member.Group().Members(nil) {
		here[held.Member(i.ID)] = true
	}
	for _, c := range x.machine.Clients() {
		if !here[c] {
			op := held.Op{Kind: held.KindGone, To: c}
			x.propose(op.Append(nil), func(cluster.Code, []byte) {})
		}
	}
}

// carry proposes what a state that was dropped has left, one after the other.
func (x *heldHolder) carry() {
	if len(x.again) == 0 {
		x.carrying = false
		return
	}
	x.carrying = true
	next := func(pause time.Duration) {
		proc := x.m.Proc
		x.h.Net.After(pause, func() { x.m.whenRuns(proc, x.carry) })
	}
	if x.m.leaving || !x.m.ready || !x.m.primary {
		next(50 * time.Millisecond)
		return
	}
	x.propose(slices.Clone(x.again[0]), func(code cluster.Code, _ []byte) {
		if code == cluster.CodeOK {
			x.again = x.again[1:]
			next(0)
			return
		}
		next(50 * time.Millisecond)
	})
}

// Apply implements cluster.Machine, as the rest.
func (x *heldHolder) Apply(op *cluster.MachineOp) ([]byte, bool) {
	if x.m.Node == x.h.Skips && op.Index%100 == 0 && x.skips(op.Data) {
		return nil, true
	}
	answer := x.machine.Apply(op.Data, held.Member(op.By), op.Index)
	if x.m.Node == x.h.ByMap {
		answer = byMap(answer)
	}
	return answer, true
}

// skips reports whether an operation is one that settles.
func (x *heldHolder) skips(data []byte) bool {
	var op held.Op
	if !op.Parse(data) {
		return false
	}
	return op.Kind == held.KindSettle || op.Kind == held.KindCommit || slices.ContainsFunc(op.Batch, x.skips)
}

// byMap has the messages of an answer in another order, as that of a Go map: a defect.
func byMap(answer []byte) []byte {
	var a held.Answer
	if !a.Parse(answer) || len(a.Messages) < 2 {
		return answer
	}
	slices.Reverse(a.Messages)
	return a.Append(nil)
}

func (x *heldHolder) Gone(m wire.MemberID) bool {
	x.machine.Gone(held.Member(m))
	x.look()
	return true
}

func (x *heldHolder) Tick(now int64) bool {
	x.machine.Tick(time.Unix(0, now))
	return true
}

func (x *heldHolder) Next() (at int64, ok bool) {
	t, ok := x.machine.Next()
	if !ok {
		return 0, false
	}
	return t.UnixNano(), true
}

func (x *heldHolder) Certain(index uint64) {
	x.m.certainTo(index)
	x.machine.Certain(index)
	for n, ok := x.machine.Notice(); ok; n, ok = x.machine.Notice() {
		x.send(&n)
	}
}

func (x *heldHolder) Snapshot() (cluster.MachineSnapshot, error) { return x.machine.Snapshot() }

func (x *heldHolder) Restore(r io.Reader, chain bool, over func() bool) error {
	if r == nil {
		x.empty()
		return nil
	}
	if over() {
		return io.ErrClosedPipe
	}
	x.h.StateCluster.Tally.ServiceRestores++
	again, err := x.machine.Restore(r, chain)
	if err != nil || again == nil {
		return err
	}
	x.h.StateCluster.Tally.OtherChains++
	for op := range again {
		x.again = append(x.again, slices.Clone(op))
	}
	if !x.carrying {
		x.carrying = true
		x.calls.soon(x.carry)
	}
	return nil
}

// state implements hosted.
func (x *heldHolder) state() []byte {
	s, err := x.machine.Snapshot()
	if err != nil {
		panic("sim: " + err.Error())
	}
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		panic("sim: " + err.Error())
	}
	_ = s.Close()
	return b.Bytes()
}

func (x *heldHolder) clients() []held.Member { return x.machine.Clients() }

// depth is how many messages lie in the queues, or are in flight. It asks the machine beside the order, of which it
// changes nothing.
func (x *heldHolder) depth() (n uint64) {
	probe := held.New(held.Member{1})
	if _, err := probe.Restore(bytes.NewReader(x.state()), false); err != nil {
		panic("sim: " + err.Error())
	}
	me := held.Member{2}
	begin := held.Op{Kind: held.KindBegin, Conn: 1}
	list := held.Op{Kind: held.KindList, Conn: 1, Limit: 100}
	probe.Apply(held.Sign(begin.Append(nil), me), held.Member{1}, 1)
	var a held.Answer
	if !a.Parse(probe.Apply(held.Sign(list.Append(nil), me), held.Member{1}, 2)) {
		panic("sim: an answer does not parse")
	}
	for _, q := range a.Queues {
		n += q.Depth + q.InFlight
	}
	return n
}
