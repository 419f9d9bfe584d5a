package blaze

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/words"
	"github.com/activeblaze/blaze/wire"
)

// Service is a deterministic state machine that all members of a cluster run alike, as they do with maps: an order book,
// say. Every operation that a member proposes is applied by every member, in one order, once. ClusterChannel.Service adds
// one, ClusterChannel.Propose proposes an operation.
//
// What Apply, Gone and Tick do depends on their arguments and on what came before, and on nothing else: not on a clock, a
// random number, the order of a Go map, a goroutine, or a setting of this member. The replicas' answers are compared. A
// member whose service has answered otherwise than the others', or has panicked alone, is named in the log, and is given
// the state of another member.
//
// All methods but Restore with a reader, and WriteTo and Close of a snapshot, run on the engine's thread, one at a time.
// The cluster stands still meanwhile: a call should take 100 µs at most. What is longer is spread over several operations,
// or ticks. They call nothing of the channel that waits.
//
// What Apply does for an operation does not change under one name while some member runs the older program. New behaviour
// comes into force by an operation of the service's own.
//
// What a service holds is in the application's memory, and not in what Config.StateLimit counts.
type Service interface {
	// Apply does the next operation, and returns the answer for its proposer. The answer is copied before the next call, and
	// may be nil.
	Apply(op Operation) []byte

	// Gone says that a member of the cluster left or failed. A member that comes back has another MemberID, unless it was
	// only cut off.
	Gone(m MemberID)

	// Tick brings the wall clock of the member that leads, when Next has asked for it. It is an operation like others, and
	// never earlier than the one before: a leader whose clock is ahead makes time run ahead for good.
	Tick(now time.Time)

	// Next is when a Tick is wanted; ok is false while none is. It depends on the state alone, and is asked after operations. A
	// time that is over brings a Tick as soon as the ring turns.
	Next() (at time.Time, ok bool)

	// Certain says that what was decided up to an Operation's Index may be told to others: this member does not lose it
	// unless the cluster does. In memory that is at once, with DataDir when a majority's disks have it. What a member tells
	// its clients because of the operation of another member, it tells at Certain and not before.
	Certain(index uint64)

	// Snapshot is the state as it is now, for a member that joins and for the disk. It is quick: a view that later operations
	// do not change.
	Snapshot() (ServiceSnapshot, error)

	// Restore replaces the state by that which a ServiceSnapshot has written. It reads on a goroutine of its own, while no
	// other method is called. What the service shows to its readers may be the old state until it returns nil. With an error
	// the state is asked for again. With r nil, on the thread of Start or of the engine, the service begins empty, as with
	// each Start.
	//
	// chain says that the state that goes is not continued: two clusters that were founded apart have met, and the older one
	// goes on. again may then yield operations that carry over what the other one lacks. This member proposes them in order
	// once it is ready. All members of the dropped cluster do so: such operations must bear repetition.
	Restore(r io.Reader, chain bool) (again iter.Seq[[]byte], err error)
}

// ServiceSnapshot is the state of a Service at one index. It is written at most once, on another goroutine, while operations
// go on. Equal states write equal bytes. The bytes are in memory at both members until a transfer is over.
type ServiceSnapshot interface {
	WriteTo(w io.Writer) (n int64, err error)
	Close() error
}

// Operation is what a Service applies.
type Operation struct {
	Data  []byte   // as it was proposed; lent while Apply runs
	By    MemberID // who proposed it
	Index uint64   // its place in the order: higher than that of each one before
}

// registered is a service of a channel. It outlives starts.
type registered struct {
	name    string
	service Service
	mu      sync.Mutex // held while Restore runs
	again   sync.Mutex // held while operations of a dropped state are proposed
}

// Service adds a state machine to those that this member runs. It is called before Start; the service is there in every
// start. A service is in force in the cluster from when all its members have it, Observers aside, and then for good: a member
// that lacks it gets no state from then on, and its WaitReady and calls fail with ErrUnsupported. An Observer passes over
// services that it lacks.
//
// A name has 1 to 255 bytes of UTF-8, and a service is not nil: else the error is ErrArgument. There are at most 16
// (ErrTooLarge), each name once (ErrExists). After Start the error is ErrState.
func (c *ClusterChannel) Service(name string, s Service) error {
	if name == "" || len(name) > wire.MaxName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: service %s: must be valid UTF-8 of 1 to %d bytes", ErrArgument, strconv.Quote(words.Abridged(name)), wire.MaxName)
	}
	if s == nil {
		return fmt.Errorf("%w: service %q is nil", ErrArgument, name)
	}
	if err := c.lock("Service"); err != nil {
		return err
	}
	defer c.mu.Unlock()
	list := *c.cluster.services.Load()
	i, there := slices.BinarySearchFunc(list, name, func(r *registered, n string) int { return cmp.Compare(r.name, n) })
	switch {
	case c.State() == Started:
		return fmt.Errorf("%w: Service %q in state %v: add it before Start", ErrState, name, c.State())
	case there:
		return fmt.Errorf("%w: service %q", ErrExists, name)
	case len(list) == wire.MaxServices:
		return fmt.Errorf("%w: service %q: a channel has at most %d", ErrTooLarge, name, wire.MaxServices)
	}
	list = slices.Insert(slices.Clone(list), i, &registered{name: name, service: s})
	c.cluster.services.Store(&list)
	return nil
}

// ProposeOption is an option of Propose.
type ProposeOption func(*proposeOptions)

type proposeOptions struct{ unsynced bool }

// Unsynced has Propose return as soon as the operation was applied here, before a majority's disks have it. If all members
// crash then, it may be lost. Without DataDir it changes nothing.
func Unsynced() ProposeOption { return func(o *proposeOptions) { o.unsynced = true } }

// propose is the call of a task that is about a service.
const propose = "Propose"

// Propose has all members apply an operation of a service, in its place in the order, and returns what this member's Apply
// has answered. The errors are those of ClusterChannel; with ErrNoQuorum, the operation was not and will never be applied. It is
// ErrArgument where this channel has no service of this name, ErrUnsupported while the service is not in force in the cluster,
// since some member lacks it, and ErrTooLarge for more bytes than a map's value may have, the service's name being its key.
// An Apply that panics is an error too.
func (c *ClusterChannel) Propose(ctx context.Context, service string, op []byte, opts ...ProposeOption) (result []byte, err error) {
	finish, err := c.propose(ctx, service, op, opts...)
	if err != nil {
		return nil, err
	}
	return finish(ctx)
}

// propose is Propose in two steps: what one goroutine begins so is applied in that order, unless some of it is never
// applied. finish, which must be called once, waits for the answer.
func (c *ClusterChannel) propose(ctx context.Context, service string, op []byte, opts ...ProposeOption) (finish func(context.Context) ([]byte, error), err error) {
	w := task{propose, service, ""}
	if err := c.mayPropose(w, len(op)); err != nil {
		return nil, err
	}
	var o proposeOptions
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: %v: an option is nil", ErrArgument, w)
		}
		opt(&o)
	}
	st, err := c.begun(ctx, w)
	if err != nil {
		return nil, err
	}
	of := st.Cluster()
	s, err := of.Slot(ctx)
	if err != nil {
		return nil, c.callFailed(w, false, err)
	}
	fillProposal(s, service, op, o.unsynced)
	if err := of.Begin(ctx, s); err != nil {
		return nil, c.callFailed(w, false, err)
	}
	return func(ctx context.Context) ([]byte, error) {
		a, err := c.finishCall(ctx, of, w, s)
		if err != nil {
			return nil, err
		}
		defer a.free()
		return a.Call.Answer, nil
	}, nil
}

// mayPropose judges an operation of so many bytes.
func (c *ClusterChannel) mayPropose(w task, size int) error {
	if !c.hasService(w.name) {
		return fmt.Errorf("%w: %v: this channel has no such service", ErrArgument, w)
	}
	if most := min(c.cfg.Load().MaxMessageSize, wire.MaxClusterValue) - cluster.ValueReserve - len(w.name); size > most {
		return fmt.Errorf("%w: %v: an operation of %d bytes; at most %d, by Config.MaxMessageSize", ErrTooLarge, w, size, max(0, most))
	}
	return nil
}

func fillProposal(s *member.ClusterCall, service string, op []byte, unsynced bool) {
	if op == nil {
		op = []byte{}
	}
	s.Name("", service, op)
	s.Call.Kind, s.Call.Op.Kind, s.Call.Unsynced = cluster.CallOp, wire.OpService, unsynced
}

// proposeThen is Propose that no goroutine waits for: see reach.
func (c *ClusterChannel) proposeThen(here bool, service string, op []byte, then func([]byte, error)) error {
	w := task{propose, service, ""}
	if err := c.mayPropose(w, len(op)); err != nil {
		return err
	}
	st, err := c.begun(context.Background(), w)
	if err != nil {
		return err
	}
	of := st.Cluster()
	s := of.TrySlot()
	if s == nil {
		return fmt.Errorf("%w: %v: too many are under way", ErrBackPressure, w)
	}
	fillProposal(s, service, op, false)
	s.Then = func(s *member.ClusterCall) {
		if err := c.refused(w, &s.Call); err != nil {
			then(nil, err)
		} else {
			then(s.Call.Answer, nil)
		}
	}
	if here {
		of.BeginHere(s)
	} else if !of.Leave(s) {
		return fmt.Errorf("%w: %v: the command ring is full", ErrBackPressure, w)
	}
	return nil
}

func (c *ClusterChannel) hasService(name string) bool {
	return slices.ContainsFunc(*c.cluster.services.Load(), func(r *registered) bool { return r.name == name })
}

// machines are the services as one start has them. They begin empty.
func (c *Channel) machines(life context.Context) (list []cluster.Service, err error) {
	for _, r := range *c.cluster.services.Load() {
		m := &machine{c: c, of: r, life: life}
		if err := m.Restore(nil, false, nil); err != nil {
			return nil, fmt.Errorf("blaze: Start: %w", err)
		}
		list = append(list, cluster.Service{Name: r.name, Machine: m})
	}
	return list, nil
}

// machine is a Service in one start. It implements cluster.Machine: it keeps panics from the engine, and measures.
type machine struct {
	c    *Channel
	of   *registered
	life context.Context // ends with the start
	slow clock.Time      // when the log was last told that it was slow; the engine's
}

// slowCall is how long a call may take without a word in the log.
const slowCall = 10 * time.Millisecond

// do makes one call on the engine's thread. It reports whether that has not panicked.
func (m *machine) do(method string, f func()) (ok bool) {
	began := engine.Now()
	defer func() {
		if took := engine.Now().Sub(began); took > slowCall && (m.slow == 0 || began.Sub(m.slow) > time.Second) {
			m.slow = began
			m.log(slog.LevelWarn, "blaze: a call of a service was slow: the whole cluster stood still", "method", method, "took", took)
		}
	}()
	return m.safely(method, f)
}

// safely calls f. It reports whether that has not panicked.
func (m *machine) safely(method string, f func()) (ok bool) {
	defer func() {
		if !ok {
			m.log(slog.LevelError, "blaze: a service has panicked", "method", method, "panic", fmt.Sprint(recover()), "stack", string(debug.Stack()))
		}
	}()
	f()
	return true
}

func (m *machine) log(level slog.Level, text string, args ...any) {
	go m.c.logger().Log(context.Background(), level, text, append([]any{"service", m.of.name}, args...)...)
}

// Apply implements cluster.Machine, as the rest.
func (m *machine) Apply(op *cluster.MachineOp) (answer []byte, ok bool) {
	ok = m.do("Apply", func() {
		answer = m.of.service.Apply(Operation{Data: op.Data, By: MemberID(op.By), Index: op.Index})
	})
	return answer, ok
}

func (m *machine) Gone(id wire.MemberID) bool {
	return m.do("Gone", func() { m.of.service.Gone(MemberID(id)) })
}

func (m *machine) Tick(now int64) bool {
	return m.do("Tick", func() { m.of.service.Tick(time.Unix(0, now).UTC()) })
}

func (m *machine) Next() (at int64, ok bool) {
	m.do("Next", func() {
		if t, wants := m.of.service.Next(); wants {
			at, ok = unixNano(t), true
		}
	})
	return at, ok
}

// unixNano is t in ns since 1970; the first or last instant that fits where it does not.
func unixNano(t time.Time) int64 {
	switch s := t.Unix(); {
	case s < 0:
		return 0
	case s > 9_000_000_000:
		return 9_000_000_000e9
	}
	return t.UnixNano()
}

func (m *machine) Certain(index uint64) {
	m.do("Certain", func() { m.of.service.Certain(index) })
}

func (m *machine) Snapshot() (s cluster.MachineSnapshot, err error) {
	var own ServiceSnapshot
	if !m.do("Snapshot", func() { own, err = m.of.service.Snapshot() }) {
		return nil, errPanicked
	}
	if err != nil || own == nil {
		return nil, err
	}
	return &snapshotOf{own, m}, nil
}

var errPanicked = errors.New("it has panicked")

// snapshotOf is a snapshot in one start.
type snapshotOf struct {
	ServiceSnapshot
	m *machine
}

func (s *snapshotOf) WriteTo(w io.Writer) (n int64, err error) {
	if !s.m.safely("WriteTo", func() { n, err = s.ServiceSnapshot.WriteTo(lifelong{s.m.life, w}) }) {
		err = errPanicked
	}
	return n, err
}

func (s *snapshotOf) Close() (err error) {
	if !s.m.safely("Close", func() { err = s.ServiceSnapshot.Close() }) {
		err = errPanicked
	}
	return err
}

// lifelong writes until a start ends.
type lifelong struct {
	life context.Context
	w    io.Writer
}

func (l lifelong) Write(b []byte) (int, error) {
	if l.life.Err() != nil {
		return 0, ErrClosed
	}
	return l.w.Write(b)
}

// reading is the reader of one Restore.
type reading struct {
	io.Reader
	over func() bool
}

func (r reading) Read(b []byte) (int, error) {
	if r.over() {
		return 0, ErrClosed
	}
	return r.Reader.Read(b)
}

func (m *machine) Restore(r io.Reader, chain bool, over func() bool) (err error) {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if r != nil {
		ends := func() bool { return m.life.Err() != nil || over() }
		if ends() {
			return ErrClosed
		}
		r = reading{r, ends}
	}
	var again iter.Seq[[]byte]
	if !m.safely("Restore", func() { again, err = m.of.service.Restore(r, chain) }) {
		return errPanicked
	}
	if err == nil && again != nil && chain {
		go m.proposeAgain(again)
	}
	return err
}

// proposeAgain proposes what a state that went has left, in order.
func (m *machine) proposeAgain(again iter.Seq[[]byte]) {
	m.of.again.Lock()
	defer m.of.again.Unlock()
	c := &ClusterChannel{&GroupChannel{m.c}}
	m.safely("again", func() {
		for op := range again {
			for !m.proposeOnce(c, op) {
				select {
				case <-m.life.Done():
					return
				case <-time.After(againPause):
				}
			}
		}
	})
}

// againPause is between two attempts of an operation.
const againPause = 50 * time.Millisecond

// proposeOnce reports whether an operation is dealt with.
func (m *machine) proposeOnce(c *ClusterChannel, op []byte) (done bool) {
	if c.WaitReady(m.life) != nil {
		return false
	}
	_, err := c.Propose(m.life, m.of.name, op)
	switch {
	case err == nil:
		return true
	case errors.Is(err, ErrNoQuorum), errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrUnsupported), errors.Is(err, ErrClosed), errors.Is(err, ErrState):
		return false
	}
	m.log(slog.LevelError, "blaze: an operation of the state that was dropped is lost", "error", err.Error())
	return true
}
