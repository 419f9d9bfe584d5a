package totem

// defect is a rule that is left out on purpose, so that the checkers can show that they notice
// (docs/totem.md, section 14). Only tests set one.
type defect uint8

const (
	none             defect = iota
	stableAtOnce            // stable from one visit
	anyoneRaisesAru         // any process raises aru
	forgetRecovered         // recovered messages are not merged into the old store
	recoveryTooShort        // recovery ends one rotation after the flag clears
	forgetOldRing           // the old ring is forgotten when a recovery fails
	noDeliverSet            // no filter by deliver_set after a hole
	ownBound                // the cut at one's own bound instead of the agreed one
	forgetReceived          // the obligation is not kept across attempts
	sharedToken             // a duplicated datagram finds the token as the first copy left it
	crossingParts           // parts of a message cross from ring to ring
	confirmedEarly          // Config.Visit confirms the present
	againAlways             // what the token asks for is sent again in each rotation
	againFree               // and as much of it as it asks for
)
