package attach

// laneFilter is a driver that can keep lanes of the group away from a member; nil: none. It
// belongs to the engine's thread.
type laneFilter interface {
	SetLanes(ranges [][2]uint32) error
}

// LaneFilter returns the function that changes which lanes come, for the first engine's thread. It
// takes ranges of a first and a last lane; nil: all. It returns nil where the URI does not ask for
// lanes=subscribed, or the driver cannot.
func (a *Attachment) LaneFilter() func(ranges [][2]uint32) error {
	f, ok := a.Ports[0].below.(laneFilter)
	if !ok || !a.subscribed {
		return nil
	}
	return func(ranges [][2]uint32) error {
		err := f.SetLanes(ranges)
		if err == nil {
			return nil
		}
		a.log.Warn("blaze: the driver refused the lanes that are wanted, so it takes them all", "error", err)
		if err = f.SetLanes(nil); err != nil {
			a.log.Error("blaze: messages in some lanes may not be heard", "error", err)
		}
		return err
	}
}
