package group

// defect is a rule that is left out on purpose, so that the checkers can show that they notice.
// Only tests set one.
type defect uint8

const (
	none            defect = iota
	noShift                // no shift of clocks and no distrust after a stall
	noGate                 // nothing is held back after a stall
	noGateAlone            // nor where the table is empty
	silenceAlone           // removal by silence alone, without doubts
	noVouches              // vouches are ignored
	dropVouch              // a vouch is dropped because the member was received of meanwhile
	believeVerdicts        // a verdict is believed of a member that is received of
	believeSoon            // a verdict is believed after 3/4 S of silence, which is one lost beat
	doubtOnce              // a doubt is said once only, and stands for a quarter of T also after a hold
	sameIncarnation        // return with the same incarnation
	noTombstones           // tombstones are forgotten at once
	endAtOnce              // the end of a member is told while something of it is held up by a full queue
	startedAgain           // a member that was not removed here is given as started when its incarnation rises
	borrowedDoubt          // of a member that only others receive of, the doubts of others count as one's own
	softVouch              // a vouch is dropped after another one, also if the doubt is repeated after that
	ringVerdict            // what the detector finds about a member of the ring counts
	startBeforeView        // a member of the ring starts with its record, before a view has it
)
