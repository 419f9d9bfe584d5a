package cluster

import (
	"io"
	"slices"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// service is one deterministic state machine of a replica: it is handed operations at their positions. The maps, with their
// locks and the member table, are the first one (tables). Those of the application are behind services.
//
// What a service does depends on its state and on the arguments, and on nothing else: no clock (pass.now is only noted), no
// order of a Go map, no setting of this member.
type service interface {
	// apply does one operation.
	apply(p *pass, op *wire.ClusterOp) Result
	// establish begins a primary: members leave and enter.
	establish(p *pass, o *wire.Opening)
	// cut returns the service as it is now, in parts. pos travels with it.
	cut(now clock.Time, pos *position) serviceCut
}

// serviceCut is a service at one index. It never changes.
type serviceCut interface {
	// digest is a hash of all that the service holds: equal for equal states, however they came there.
	digest() uint64
	// entries is how many entries all parts have together.
	entries() uint64
	// parts is one more than the number of the last part.
	parts() int
	// part is Cut.Part.
	part(dst []byte, now clock.Time, part uint32, from uint64, limit int) (b []byte, count int, next uint64, end bool)
}

// pass is what one operation, or one establishment, is done with.
type pass struct {
	now   clock.Time // only noted, for terms
	index uint64
	by    wire.MemberID
	pos   *position // rules and voters are a service's to change
	out   *[]Event
}

// vote puts voters in force.
func (p *pass) vote(voters []wire.Voter) {
	if !slices.Equal(p.pos.voters, voters) {
		p.pos.voters = voters
		p.event(Event{Kind: EventVoters})
	}
}

func (p *pass) event(e Event) {
	e.Index = p.index
	*p.out = append(*p.out, e)
}

// Service is a state machine of the application. Config has those of a member, in ascending order of their names.
type Service struct {
	Name    string // 1 to wire.MaxName bytes of UTF-8
	Machine Machine
}

// Machine is what a Service does. The Core calls its methods on the engine's thread, but for Restore with a reader, which
// runs by Config.Background. What Apply, Gone and Tick do depends on their arguments and on what came before, and on nothing
// else.
type Machine interface {
	// Apply does one operation. The answer is the machine's until its next call. ok is false where it has panicked, as of the
	// next two.
	Apply(op *MachineOp) (answer []byte, ok bool)
	// Gone takes in that a member has left the cluster, or was lost.
	Gone(m wire.MemberID) (ok bool)
	// Tick takes a time in nanoseconds since 1970, no earlier than the one before.
	Tick(now int64) (ok bool)
	// Next is when Tick is wanted; ok is false while it is not.
	Next() (at int64, ok bool)
	// Certain says that what was decided up to index may be told to others.
	Certain(index uint64)
	// Snapshot is the state as it is now. It is quick: what follows does not change it.
	Snapshot() (MachineSnapshot, error)
	// Restore replaces the state by that which a MachineSnapshot has written; r nil: by an empty one. chain: the state that
	// goes is of another chain. On an error the state is unspecified, and another Restore comes before any other call. over
	// reports whether nobody wants what r has any more: then Restore ends soon, and does nothing where it has not begun. Only
	// in that case one with nil may come meanwhile, and waits. over is nil where r is.
	Restore(r io.Reader, chain bool, over func() bool) error
}

// MachineOp is one operation. Its Data is lent.
type MachineOp struct {
	Data  []byte
	By    wire.MemberID
	Index uint64
}

// MachineSnapshot is a Machine's state at one index. Equal states write equal bytes.
type MachineSnapshot interface {
	io.WriterTo // on any goroutine, beside calls of the Machine
	Close() error
}
