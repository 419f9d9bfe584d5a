package link

// defect names a rule that a Link leaves out: tests see to it that the simulation finds each of them.
type defect uint8

const (
	none        defect = iota
	leaveHad           // a delivery is handed on whenever it comes
	leaveAttach        // a new holder is not asked for what is in flight
	leaveForget        // deliveries are forgotten while what is in flight is asked for
	leaveVoid          // what a rollback has given back is handed on
	leaveDoubt         // a commit whose outcome is open counts as not applied
	leavePeriod        // turning to a holder is not counted
	leaveRetry         // nothing is sent again
	leaveLook          // deliveries are forgotten while a Look is under way
	leaveFloor         // a Look does not say which deliveries are known
	defects
)
