package cluster

// entries is how many entries there are.
func (s *State) entries() int { return s.Size().Entries }

// epoch is the epoch of the last primary.
func (s *Status) epoch() uint64 { return s.Last.Epoch }

// Defects are the rules that can be left out, by name.
var Defects = map[string]defect{
	"oneRound":               oneRound,
	"openIsEstablished":      openIsEstablished,
	"openForgotten":          openForgotten,
	"openingNotInTail":       openingNotInTail,
	"nothingFails":           nothingFails,
	"lastVotersOnly":         lastVotersOnly,
	"bothHalves":             bothHalves,
	"tailDropped":            tailDropped,
	"tailNotCounted":         tailNotCounted,
	"answersInTransition":    answersInTransition,
	"tailProposedAgain":      tailProposedAgain,
	"earlyCounts":            earlyCounts,
	"presentSnapshot":        presentSnapshot,
	"oneVisit":               oneVisit,
	"lostFreeAtOnce":         lostFreeAtOnce,
	"releaseAtOnce":          releaseAtOnce,
	"lostIgnoresConfirmed":   lostIgnoresConfirmed,
	"leaseFromDelivery":      leaseFromDelivery,
	"lockInStop":             lockInStop,
	"locksNotCompared":       locksNotCompared,
	"waitsStay":              waitsStay,
	"noClockInIndex":         noClockInIndex,
	"stampsAtEstablishments": stampsAtEstablishments,
	"claimBeforeDisk":        claimBeforeDisk,
	"answerBeforeQuorum":     answerBeforeQuorum,
	"linearBeforeDisk":       linearBeforeDisk,
	"lockBeforeCommit":       lockBeforeCommit,
}

// Plant leaves out a rule.
func Plant(c *Config, name string) {
	d, ok := Defects[name]
	if !ok {
		panic("no such defect: " + name)
	}
	c.defect = d
}
