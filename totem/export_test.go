package totem

// RaceEnabled tells that the race detector makes everything slow.
const RaceEnabled = raceEnabled

// Defects are the rules that can be left out, by name. Only tests see them.
var Defects = map[string]defect{
	"stable from one visit":                      stableAtOnce,
	"any process raises aru":                     anyoneRaisesAru,
	"recovered messages not merged":              forgetRecovered,
	"recovery ended one rotation after the flag": recoveryTooShort,
	"old ring forgotten when a recovery fails":   forgetOldRing,
	"no deliver_set filter after a hole":         noDeliverSet,
	"cut at own bound instead of the agreed one": ownBound,
	"obligation not kept across attempts":        forgetReceived,
	"duplicate frame mutates shared token":       sharedToken,
	"parts of a message cross a ring":            crossingParts,
	"a visit confirms the present":               confirmedEarly,
	"sent again in each rotation":                againAlways,
	"sent again without a bound":                 againFree,
}

// Plant leaves out a rule.
func Plant(c *Config, name string) {
	d, ok := Defects[name]
	if !ok {
		panic("no such defect: " + name)
	}
	c.defect = d
}
