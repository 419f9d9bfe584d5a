package blaze

import (
	"context"

	"github.com/activeblaze/blaze/cluster"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/wire"
)

// Master is the member that is master now. It is in the primary component, its replica is complete, and it is no observer.
// Of these it is the one with the highest weight, and of several the longest-serving. ok is false outside of the primary
// component, and for a moment when the master has failed.
func (c *ClusterChannel) Master() (m Member, ok bool) {
	st := c.run.Load()
	if st == nil {
		return Member{}, false
	}
	id := st.Cluster().Master()
	if id == (wire.MemberID{}) {
		return Member{}, false
	}
	if m, ok = c.Member(MemberID(id)); ok {
		return m, true
	}
	return Member{ID: MemberID(id)}, true // its record is on the way
}

// IsMaster reports whether this member is master. At any instant it is true at one member at most, also while a member is
// cut off or stands still.
func (c *ClusterChannel) IsMaster() bool {
	st := c.run.Load()
	return st != nil && st.Cluster().Master() == wire.MemberID(st.id)
}

// OnMaster has h called with the present master, and then with each one that follows, this member included, in order.
// Each handler runs on a goroutine of its own, one call at a time; it may call anything. OnMaster works in every state,
// and outlives Stop and Shutdown. cancel ends it. It returns when h does not run, unless h calls it.
func (c *ClusterChannel) OnMaster(h func(master Member)) (cancel func()) {
	if h == nil {
		return func() {}
	}
	return c.cluster.replica.WatchMaster(func(of *run.Cluster, id wire.MemberID) { h(memberOf(of.Info(id))) }).Cancel
}

// SetMasterWeight changes this member's weight, see Config.MasterWeight, until the next Start. It returns when the weight
// counts. Another member may be master a moment later. Its errors are those of writes.
func (c *ClusterChannel) SetMasterWeight(ctx context.Context, weight int) error {
	return errOf(c.carry(ctx, task{call: "SetMasterWeight"}, func(s *member.ClusterCall) {
		s.Call.Kind = cluster.CallOp
		s.Call.Op.Kind, s.Call.Op.Weight = wire.OpWeight, int64(weight)
	}))
}
