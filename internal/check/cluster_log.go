package check

import (
	"fmt"
	"strings"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// ClusterLog is the record of a run of cluster members, in the order in which it happened. The harness writes it
// at the members' public edge, and where a replica changes.
type ClusterLog struct {
	processes
	Records []ClusterRecord
	Healed  clock.Time // when the last fault had been undone; 0: never

	// Expected is ExpectedMembers of all members. Disk: they have a DataDir.
	Expected int
	Disk     bool
	// Excused: an exception of docs/cluster.md that this run met (E2, E3, or Force), so that what was acknowledged may be
	// lost. What members do to each other's order is judged all the same.
	Excused string
	// Drift is the largest error of a clock's rate; zero means 0.5 %.
	Drift float64

	online []Violation
}

// Place is a position in the history of a chain of primaries. Two replicas at one place have counted the same.
type Place struct {
	Chain uint64 // names the founding; 0: no replica
	Index uint64
	Hash  uint64 // of the history up to here
}

// IsZero reports whether it is no place.
func (p Place) IsZero() bool { return p == Place{} }

// ClusterKind is what a ClusterRecord is about.
type ClusterKind uint8

// The kinds.
const (
	ClusterCalled      ClusterKind = iota + 1 // Proc called Op; Call is its number
	ClusterReturned                           // call Call ended with Code; Version is what it returned, Place that of the operation, or where a linear read was answered
	ClusterApplied                            // Proc's replica went from Before to Place by Op of By; Code and Version are its result, Call that of Proc where it is its own
	ClusterEstablished                        // Proc's replica went from Before to Place by an establishment
	ClusterFollowed                           // a primary was established, and Proc's replica is not current in it
	ClusterRestored                           // Proc's replica was replaced by a state at Place, from another member or from disk
	ClusterServes                             // Primary() of Proc, until Until; Until 0: no more
	ClusterMasters                            // IsMaster() of Proc, until Until; Until 0: no more
	ClusterNames                              // Proc names Subject as the master, at Place
	ClusterHolds                              // Proc holds Op.Key with Version, its token, until Until; Until 0: no more
	ClusterGives                              // Proc gives the lock up by itself: Unlock is called, or the process ends
	ClusterTold                               // Lost was closed
	ClusterGot                                // Get of Op.Map, Op.Key at Place found Version and Op.Value
	ClusterWatched                            // a watcher (Call) of Proc was given an event: Op.Kind, Op.Map, Op.Key, Version; Before is the place that the replica had come to
	ClusterHas                                // at the end the replica of Proc, at Place, has the entry Op.Key: Op.Value, Version, Subject
	ClusterFinal                              // and that is all of it; Digest is that of the state
	ClusterPaused                             // Proc's turns stopped
	ClusterResumed                            // and went on
	ClusterEnded                              // Proc crashed, or left and closed
)

var clusterKinds = [...]string{"?", "calls", "returns", "applies", "establishes", "follows", "is restored", "is primary", "is master", "names the master",
	"holds", "gives up", "is told of the loss of", "gets", "is shown", "has at the end", "ends up", "pauses", "resumes", "ends"}

// ClusterCode is how an operation or a call ended.
type ClusterCode uint8

// The codes. The first ones are decided by the order.
const (
	ClusterOK ClusterCode = iota
	ClusterLocked
	ClusterNotOwner
	ClusterVersion
	ClusterRefused  // a limit, or what does not parse
	ClusterQueued   // of an applied Lock: it waits in line. Its grant is a result of a later operation
	ClusterNoQuorum // it did not happen and never will
	ClusterUnknown  // it may have happened
	ClusterClosed   // the channel was stopped before it was proposed
)

var clusterCodes = [...]string{"ok", "locked", "not owner", "version", "refused", "waits", "no quorum", "unknown outcome", "closed"}

// ClusterOpKind is what an operation does.
type ClusterOpKind uint8

// The operations. ClusterLinear is a call alone, and no operation.
const (
	ClusterPut ClusterOpKind = iota + 1
	ClusterDelete
	ClusterLock
	ClusterUnlock
	ClusterExtend
	ClusterCancel
	ClusterExpire
	ClusterExpireEntry
	ClusterRelease
	ClusterReady
	ClusterExit
	ClusterSweep
	ClusterWeight
	ClusterRules
	ClusterService // an operation of a service of the application
	ClusterLinear
	ClusterReset // of an event: the replica was replaced
)

var clusterOps = [...]string{"?", "put", "delete", "lock", "unlock", "extend", "cancel", "expire", "expire entry", "release", "ready", "exit", "sweep", "weight", "rules", "service", "linear read", "reset"}

// ClusterOp is one operation. A value is named by its hash, and no two writes of a run have the same.
type ClusterOp struct {
	Kind     ClusterOpKind
	Map, Key string
	Compare  bool   // Version is the version that the entry must have; 0: none
	HasToken bool   // Token is that of the key's lock
	Value    uint64 // hash of the value
	Version  uint64 // of expire entry: the entry's; of expire: the index of the last renewal
	Token    uint64
	Request  uint64        // of lock and cancel
	Lease    time.Duration // of lock, extend
	TTL      time.Duration // of a write; 0: none
	Owned    bool          // of a write: RemoveOnExit
	Try      bool          // of lock
	Keep     bool          // of lock: KeepOnExit
	Weight   int64
	Member   Proc // of sweep: who is gone
}

func (o *ClusterOp) String() string {
	var b strings.Builder
	b.WriteString(clusterOps[o.Kind])
	if o.Map != "" || o.Key != "" {
		fmt.Fprintf(&b, " %s/%s", o.Map, o.Key)
	}
	if o.Value != 0 {
		fmt.Fprintf(&b, " value %x", o.Value)
	}
	if o.Version != 0 {
		fmt.Fprintf(&b, " version %d", o.Version)
	}
	if o.Token != 0 {
		fmt.Fprintf(&b, " token %d", o.Token)
	}
	if o.Request != 0 {
		fmt.Fprintf(&b, " request %d", o.Request)
	}
	return b.String()
}

// ClusterPrimary is what an establishment decided.
type ClusterPrimary struct {
	Epoch    uint64
	Ring     uint64          // names the ring
	Members  []ClusterMember // of the ring, ascending by MemberID
	Before   []uint64        // the voters of the replica before it; none at a founding
	Seats    []uint64        // that are here or were taken over
	Founding bool
	Forced   bool
}

// ClusterMember is one member of a primary's ring.
type ClusterMember struct {
	Proc     Proc
	Started  uint64
	Weight   int64
	Current  bool // its replica is one that the primary begins with
	Observer bool
}

// ClusterRecord is one line of a ClusterLog.
type ClusterRecord struct {
	At      clock.Time
	Kind    ClusterKind
	Code    ClusterCode
	Proc    Proc
	By      Proc // who proposed; Nobody: its process is not known
	Subject Proc
	Call    uint64
	Before  Place
	Place   Place
	Epoch   uint64 // of the primary
	Op      *ClusterOp
	Version uint64
	Digest  uint64 // of the state at Place; 0: not recorded
	Answer  uint64 // of Applied and Returned: hash of what a service has answered; 0: not recorded
	Until   clock.Time
	Primary *ClusterPrimary
	Grants  []ClusterGrant // of Applied and Established: locks that changed hands by it
}

// ClusterGrant is a lock that was granted by an operation.
type ClusterGrant struct {
	Map, Key string // both empty: the master's lock
	To       Proc
	Request  uint64
	Token    uint64
}

// NewClusterLog makes an empty log.
func NewClusterLog() *ClusterLog { return &ClusterLog{processes: newProcesses(), Drift: 0.005} }

// Add appends a record.
func (l *ClusterLog) Add(r ClusterRecord) { l.Records = append(l.Records, r) }

// Ended records that p crashed, or left and closed.
func (l *ClusterLog) Ended(at clock.Time, p Proc, crashed bool) {
	l.Procs[p].Ended, l.Procs[p].Crashed = at, crashed
	l.Add(ClusterRecord{At: at, Kind: ClusterEnded, Proc: p})
}

// Found notes a violation that the harness saw while the run went on.
func (l *ClusterLog) Found(id, format string, args ...any) {
	if len(l.online) < plenty {
		l.online = append(l.online, Violation{ID: id, At: -1, Text: fmt.Sprintf(format, args...)})
	}
}

func placeName(p Place) string {
	if p.IsZero() {
		return "nothing"
	}
	return fmt.Sprintf("%x:%d:%x", p.Chain&0xffff, p.Index, p.Hash&0xffffff)
}

// String shows a record as one line for people.
func (l *ClusterLog) String(i int) string {
	r := &l.Records[i]
	var b strings.Builder
	fmt.Fprintf(&b, "#%d t=%v %s %s", i, r.At.Sub(0), l.procName(r.Proc), clusterKinds[r.Kind])
	if r.Call != 0 {
		fmt.Fprintf(&b, " call %d", r.Call)
	}
	if r.Op != nil {
		b.WriteString(" " + r.Op.String())
	}
	switch r.Kind {
	case ClusterReturned, ClusterApplied:
		fmt.Fprintf(&b, ": %s %d", clusterCodes[r.Code], r.Version)
	case ClusterGot, ClusterWatched, ClusterHas:
		fmt.Fprintf(&b, ": version %d", r.Version)
	case ClusterHolds:
		fmt.Fprintf(&b, " token %d until %v", r.Version, r.Until.Sub(0))
	case ClusterServes, ClusterMasters:
		fmt.Fprintf(&b, " until %v", r.Until.Sub(0))
	case ClusterNames:
		b.WriteString(" " + l.procName(r.Subject))
	}
	if r.Kind == ClusterApplied {
		fmt.Fprintf(&b, " of %s", l.procName(r.By))
	}
	if !r.Before.IsZero() {
		fmt.Fprintf(&b, " from %s", placeName(r.Before))
	}
	if !r.Place.IsZero() {
		fmt.Fprintf(&b, " at %s", placeName(r.Place))
	}
	for _, g := range r.Grants {
		fmt.Fprintf(&b, ", grants %s/%s to %s as %d", g.Map, g.Key, l.procName(g.To), g.Token)
	}
	if p := r.Primary; p != nil {
		fmt.Fprintf(&b, " epoch %d of", p.Epoch)
		for _, m := range p.Members {
			b.WriteString(" " + l.procName(m.Proc))
			if !m.Current {
				b.WriteString(" (learns)")
			}
		}
	}
	return b.String()
}
