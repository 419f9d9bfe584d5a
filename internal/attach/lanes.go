package attach

// laneFilter is a driver that can keep lanes of the group away from a member; nil: none. It
// belongs to the engine's thread.
type laneFilter interface{ SetLanes(lanes []uint32) error }

// LaneFilter returns what changes which lanes come, for the first engine's thread; nil lanes: all
// of them. It returns nil where the URI does not ask for lanes=subscribed, or the driver cannot.
func (a *Attachment) LaneFilter() func(lanes []uint32) error {
	f, ok := a.Ports[0].below.(laneFilter)
	if !ok || !a.subscribed {
		return nil
	}
	return func(lanes []uint32) error {
		err := f.SetLanes(lanes)
		if err == nil {
			return nil
		}
		a.log.Warn("blaze: the driver cannot be told which lanes are wanted, so it is to take them all", "error", err)
		if err = f.SetLanes(nil); err != nil {
			a.log.Error("blaze: messages in some lanes may not be heard", "error", err)
		}
		return err
	}
}
