package cluster

// entries is how many entries there are.
func (s *State) entries() int { return s.Size().Entries }

// epoch is the epoch of the last primary.
func (s *Status) epoch() uint64 { return s.Last.Epoch }
