package group

// Defects are the rules that can be left out, by name. Only tests see them.
var Defects = map[string]defect{
	"no shift of clocks and no distrust after a stall": noShift,
	"no gate":                                                noGate,
	"no gate where the table is empty":                       noGateAlone,
	"removal by silence alone":                               silenceAlone,
	"vouches ignored":                                        noVouches,
	"a vouch dropped because it is heard":                    dropVouch,
	"a verdict believed of one that is heard":                believeVerdicts,
	"a verdict believed after one lost beat":                 believeSoon,
	"a doubt said once only":                                 doubtOnce,
	"return with the same incarnation":                       sameIncarnation,
	"tombstones forgotten at once":                           noTombstones,
	"events not held for what a full queue holds up":         endAtOnce,
	"started again when it was not removed":                  startedAgain,
	"a new exclusive consumer takes at once":                 claimAtOnce,
	"an exclusive consumer accepts though another is active": acceptInactive,
	"others' doubts taken for one's own":                     borrowedDoubt,
	"a vouch dropped for one that does not arrive":           softVouch,

	"a verdict about a member of the ring counts":      ringVerdict,
	"a member of the ring starts before a view has it": startBeforeView,
}

// Plant leaves out a rule.
func Plant(c *Config, name string) {
	d, ok := Defects[name]
	if !ok {
		panic("no such defect: " + name)
	}
	c.defect = d
}
