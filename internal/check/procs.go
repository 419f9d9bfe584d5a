package check

import (
	"fmt"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Proc is one started process: a node may have several, one after the other. It is an index
// into the log's Procs.
type Proc int32

// Nobody is the Proc of a member that the log has no start of.
const Nobody Proc = -1

// ProcInfo describes a Proc.
type ProcInfo struct {
	Node        int
	Incarnation int // counts the starts of the node, from 0
	Member      wire.MemberID
	Started     clock.Time
	Ended       clock.Time // when it stopped or crashed; 0: it still runs
	Crashed     bool
}

// processes is the part of a log that lists the processes.
type processes struct {
	Procs    []ProcInfo
	byMember map[wire.MemberID]Proc
}

func newProcesses() processes { return processes{byMember: map[wire.MemberID]Proc{}} }

// Start registers a process that begins at time at.
func (l *processes) Start(at clock.Time, node int, member wire.MemberID) Proc {
	p := Proc(len(l.Procs))
	incarnation := 0
	for i := range l.Procs {
		if l.Procs[i].Node == node {
			incarnation++
		}
	}
	l.Procs = append(l.Procs, ProcInfo{Node: node, Incarnation: incarnation, Member: member, Started: at})
	l.byMember[member] = p
	return p
}

// ProcOf returns the process that has a member's id, or Nobody.
func (l *processes) ProcOf(member wire.MemberID) Proc {
	if p, ok := l.byMember[member]; ok {
		return p
	}
	return Nobody
}

func (l *processes) procName(p Proc) string {
	if p < 0 || int(p) >= len(l.Procs) {
		return "nobody"
	}
	return fmt.Sprintf("%d.%d", l.Procs[p].Node, l.Procs[p].Incarnation)
}
