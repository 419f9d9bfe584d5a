package sim

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// stateCall is a call that has not ended.
type stateCall struct {
	call cluster.Call
	op   check.ClusterOp
	at   clock.Time
	lock *stateLock                             // of Extend and Unlock
	then func(code cluster.Code, answer []byte) // told of its end; answer is lent; nil: nobody is
}

// stateLock is a lock that an application holds.
type stateLock struct {
	number    uint64 // of its call
	name, key string
	token     uint64
	deadline  clock.Time // by the member's clock
	span      span
	gone      bool // lost, or given up
}

// The maps: the first one is written freely; keys of the second one are locked, too.
var stateMaps = []string{"free", "locked"}

// begin makes a call, unless the process is gone.
func (m *StateMember) begin(a *stateCall) bool {
	c := m.c
	m.calls++
	a.call.Number = m.calls
	a.at = c.Net.Now()
	logged := a.call.Kind != cluster.CallReady && a.call.Kind != cluster.CallForce
	if logged {
		switch a.call.Kind {
		case cluster.CallLinear:
			a.op = check.ClusterOp{Kind: check.ClusterLinear, Map: string(a.call.Op.Map), Key: string(a.call.Op.Key)}
		case cluster.CallLock:
			a.call.Op.Kind = wire.OpLock
			a.op = c.operation(&a.call.Op)
		case cluster.CallUnlock, cluster.CallExtend:
			kind := wire.OpUnlock
			if a.call.Kind == cluster.CallExtend {
				kind = wire.OpExtend
			}
			a.op = check.ClusterOp{Kind: stateOps[kind], Map: a.lock.name, Key: a.lock.key, Token: a.lock.token, Lease: time.Duration(a.call.Op.Lease)}
		default:
			a.op = c.operation(&a.call.Op)
			if a.lock != nil {
				a.op.HasToken, a.op.Token = true, a.lock.token
			}
		}
		c.Log.Add(check.ClusterRecord{At: a.at, Kind: check.ClusterCalled, Proc: m.Proc, Call: a.call.Number, Op: &a.op})
	}
	m.open[a.call.Number] = a
	if !m.core().Call(m.local(c.Net.Now()), &a.call) {
		delete(m.open, a.call.Number)
		if logged {
			m.returned(a, check.ClusterClosed)
		}
		return false
	}
	m.Driver.Wake()
	return true
}

// returned notes the end of a call.
func (m *StateMember) returned(a *stateCall, code check.ClusterCode) {
	r := check.ClusterRecord{At: m.c.Net.Now(), Kind: check.ClusterReturned, Proc: m.Proc, Call: a.call.Number, Code: code}
	if code <= check.ClusterQueued {
		r.Place = m.at[a.call.Number]
		switch a.call.Kind {
		case cluster.CallLinear:
			r.Place = m.place
			if a.call.Entry != nil {
				r.Version, r.Digest = a.call.Entry.Version(), check.Hash(a.call.Entry.Value())
			}
		case cluster.CallLock:
			r.Version = a.call.Token
		case cluster.CallOp:
			if a.op.Kind == check.ClusterPut && code == check.ClusterOK {
				r.Version = a.call.Version
			}
			if a.op.Kind == check.ClusterService && code == check.ClusterOK {
				r.Answer = check.Hash(a.call.Answer)
			}
		}
	}
	m.c.Log.Add(r)
	m.c.Tally.call(&a.op, code)
}

// done takes the end of a call.
func (m *StateMember) done(call *cluster.Call) {
	a := m.open[call.Number]
	if a == nil {
		m.c.Log.Found("MP-6", "node %d: the end of call %d, which is not open", m.Node, call.Number)
		return
	}
	delete(m.open, call.Number)
	if a.then != nil {
		defer a.then(call.Code, call.Answer)
	}
	if call.Kind == cluster.CallReady || call.Kind == cluster.CallForce {
		return
	}
	code := stateCode(call.Code)
	if call.Code == cluster.CodeClosed && call.Proposed {
		code = check.ClusterUnknown
	}
	m.returned(a, code)
	if code != check.ClusterOK {
		return
	}
	switch call.Kind {
	case cluster.CallLock:
		if m.leaving {
			m.c.Log.Found("LK-4", "node %d: a lock is handed out after Stop has begun", m.Node)
		}
		l := &stateLock{number: call.Number, name: a.op.Map, key: a.op.Key, token: call.Token, deadline: call.Deadline}
		m.locks = append(m.locks, l)
		m.believe(l)
		m.c.Tally.Locks++
		m.use(l)
	case cluster.CallExtend:
		if !a.lock.gone {
			a.lock.deadline = call.Deadline
			a.lock.span.open = false // a record of its own
			m.believe(a.lock)
		}
	}
}

// believe notes until when the application may count on a lock.
func (m *StateMember) believe(l *stateLock) {
	m.renew(&l.span, check.ClusterRecord{Kind: check.ClusterHolds, Proc: m.Proc, Version: l.token, Place: check.Place{Chain: m.place.Chain},
		Op: &check.ClusterOp{Map: l.name, Key: l.key}}, min(l.deadline, m.until))
}

// give notes that the application gives a lock up.
func (m *StateMember) give(l *stateLock) {
	m.locks = slices.DeleteFunc(m.locks, func(o *stateLock) bool { return o == l })
	m.given[l.number] = true
	if !l.gone {
		l.gone = true
		m.c.Log.Add(check.ClusterRecord{At: m.c.Net.Now(), Kind: check.ClusterGives, Proc: m.Proc, Version: l.token, Op: &check.ClusterOp{Map: l.name, Key: l.key}})
	}
}

// stop is what Stop does first.
func (m *StateMember) stop() {
	for _, l := range slices.Clone(m.locks) {
		m.give(l)
	}
}

// use writes under a lock, may extend it, and gives it back, or forgets to.
func (m *StateMember) use(l *stateLock) {
	c, proc := m.c, m.Proc
	steps := m.rng.IntN(4)
	var next func()
	wait := func() {
		c.Net.After(between(m.rng, 30*time.Millisecond), func() { m.whenRuns(proc, next) })
	}
	next = func() {
		if l.gone || m.leaving {
			return
		}
		switch {
		case steps > 0 && !c.finished:
			steps--
			if m.rng.IntN(3) == 0 {
				m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallExtend, Lock: l.number, Op: wire.ClusterOp{Lease: m.lease()}}, lock: l})
			} else {
				op := m.put(l.name, l.key)
				m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallOp, Lock: l.number, Op: op}, lock: l})
			}
			wait()
		case m.rng.IntN(8) == 0 && !c.finished: // its lease ends
		default:
			m.unlock(l)
		}
	}
	wait()
}

func (m *StateMember) unlock(l *stateLock) {
	m.give(l)
	m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallUnlock, Lock: l.number}, lock: l})
}

func (m *StateMember) lease() int64 {
	return int64(20*time.Millisecond + between(m.rng, m.c.Load.Lease-20*time.Millisecond))
}

// put is a write of a value that no other write has.
func (m *StateMember) put(name, key string) wire.ClusterOp {
	l := &m.c.Load
	size := 16 + m.rng.IntN(185)
	if chance(m.rng, l.Large) {
		size = 16 + m.rng.IntN(l.LargeTo)
	}
	m.c.values++
	value := make([]byte, size)
	check.Payload(value, m.c.Seed<<20, m.c.values)
	return wire.ClusterOp{Kind: wire.OpPut, Map: []byte(name), Key: []byte(key), Value: value}
}

func (m *StateMember) key(name string) string {
	return name[:1] + strconv.Itoa(m.rng.IntN(m.c.Load.Keys))
}

// load calls from time to time.
func (m *StateMember) load() {
	c, proc := m.c, m.Proc
	if c.Load.Every < 0 {
		return
	}
	var next func()
	wait := func() { c.Net.After(time.Duration(m.rng.ExpFloat64()*float64(c.Load.Every)), next) }
	next = func() {
		if !m.Alive() || m.Proc != proc || m.leaving || c.finished {
			return
		}
		if !m.paused && len(m.open) < 40 {
			m.act()
		}
		wait()
	}
	wait()
	if c.Load.Fill > 0 && m.Node == 0 && c.values == 0 {
		for i := range c.Load.Fill {
			m.begin(&stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: m.put(stateMaps[0], "fill "+strconv.Itoa(i))}})
		}
	}
}

// act makes one call of any kind.
func (m *StateMember) act() {
	c := m.c
	name := stateMaps[m.rng.IntN(2)]
	key := m.key(name)
	op := wire.ClusterOp{Map: []byte(name), Key: []byte(key)}
	var a *stateCall
	if m.service != nil && m.rng.IntN(5) == 0 {
		m.propose()
		return
	}
	switch draw := m.rng.IntN(100); {
	case draw < 40:
		op = m.put(name, key)
		switch m.rng.IntN(6) {
		case 0, 1:
			op.Compare = true
			if e := m.get(name, key); e != nil {
				op.Version = e.Version()
			}
		case 2:
			op.TTL = int64(time.Millisecond + between(m.rng, 400*time.Millisecond))
		case 3:
			op.RemoveOnExit = true
		}
		a = &stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: op}}
	case draw < 48:
		op.Kind = wire.OpDelete
		a = &stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: op}}
	case draw < 68:
		a = &stateCall{call: cluster.Call{Kind: cluster.CallLinear, Op: op}}
	case draw < 83:
		if c.Load.NoLocks {
			return
		}
		op.Map, op.Key = []byte(stateMaps[1]), []byte(m.key(stateMaps[1]))
		op.Try, op.Keep, op.Lease = m.rng.IntN(3) == 0, m.rng.IntN(5) == 0, m.lease()
		a = &stateCall{call: cluster.Call{Kind: cluster.CallLock, Op: op}}
	case draw < 97:
		m.read(name, key)
		return
	default:
		a = &stateCall{call: cluster.Call{Kind: cluster.CallOp, Op: wire.ClusterOp{Kind: wire.OpWeight, Weight: int64(m.rng.IntN(3))}}}
	}
	if m.begin(a) {
		m.limit(a)
	}
}

// limit ends a call with its ctx, if it has not ended before.
func (m *StateMember) limit(a *stateCall) {
	c := m.c
	limit := 5 * time.Second
	switch {
	case a.call.Kind == cluster.CallLock:
		limit = between(m.rng, 2*time.Second)
	case m.rng.IntN(20) == 0:
		limit = between(m.rng, 20*time.Millisecond)
	}
	proc, number := m.Proc, a.call.Number
	c.Net.After(limit, func() { m.whenRuns(proc, func() { m.cancel(number) }) })
}

// cancel is a ctx that ends.
func (m *StateMember) cancel(number uint64) {
	a := m.open[number]
	if a == nil {
		return
	}
	proposed, ok := m.core().Cancel(m.local(m.c.Net.Now()), number)
	if !ok {
		m.c.Log.Found("MP-6", "node %d: call %d is not under way", m.Node, number)
		return
	}
	delete(m.open, number)
	code := check.ClusterClosed
	if proposed {
		code = check.ClusterUnknown
	}
	m.c.Tally.Cancelled++
	m.returned(a, code)
}

// get is Get.
func (m *StateMember) get(name, key string) *cluster.Entry {
	s := m.core().State()
	if s == nil {
		return nil
	}
	return s.Get([]byte(name), []byte(key))
}

// read notes what Get finds.
func (m *StateMember) read(name, key string) {
	if !m.shown {
		return
	}
	r := check.ClusterRecord{At: m.c.Net.Now(), Kind: check.ClusterGot, Proc: m.Proc, Place: m.place, Op: &check.ClusterOp{Map: name, Key: key}}
	if e := m.get(name, key); e != nil {
		r.Version, r.Op.Value = e.Version(), check.Hash(e.Value())
	}
	m.c.Log.Add(r)
	m.c.Tally.Reads++
}

// stir gives back what the application holds, at the end of the load.
func (m *StateMember) stir() {
	if !m.Alive() || m.leaving {
		return
	}
	m.whenRuns(m.Proc, func() {
		for _, l := range slices.Clone(m.locks) {
			m.unlock(l)
		}
	})
}

// final notes what the replica has at the end.
func (m *StateMember) final() {
	if !m.Alive() || m.leaving || !m.primary {
		return
	}
	c, s := m.c, m.core().State()
	if m.service == nil && c.Service {
		return // it passes over the service: it has another state
	}
	for _, root := range s.Maps() {
		var list []*cluster.Entry
		for e := range root.Root.All() {
			list = append(list, e)
		}
		slices.SortFunc(list, func(a, b *cluster.Entry) int { return bytes.Compare([]byte(a.Key()), []byte(b.Key())) })
		for _, e := range list {
			c.Log.Add(check.ClusterRecord{At: c.Net.Now(), Kind: check.ClusterHas, Proc: m.Proc, Place: m.place, Version: e.Version(),
				Op: &check.ClusterOp{Map: root.Name, Key: e.Key(), Value: check.Hash(e.Value())}})
		}
	}
	c.Log.Add(check.ClusterRecord{At: c.Net.Now(), Kind: check.ClusterFinal, Proc: m.Proc, Place: m.place, Digest: m.digest(s)})
}
