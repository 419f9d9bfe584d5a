package held

// defect names a rule that a Machine leaves out: tests see to it that the model finds each of them.
type defect uint8

const (
	none            defect = iota
	leavePlace             // what is released goes to the end
	leaveCount             // a release does not count
	leaveOnce              // an operation that comes again is applied again
	leaveLower             // a consumer does not look again at what came before its position
	leaveGroup             // a group has no consumer
	leaveExclusive         // an exclusive consumer is none
	leaveHidden            // what is staged is seen at once
	leaveAtomic            // a commit whose settlements fail puts all the same
	leaveGone              // the end of a connection gives nothing back
	leaveExpiry            // a message does not expire
	leaveDelay             // nor waits for its time
	leaveDead              // nor becomes a dead letter
	leaveFull              // a queue has no bound
	leaveRotation          // a consumer in line stays first
	leaveSession           // a rollback gives back what other sessions took
	leaveUnseen            // what nobody has seen counts as delivered
	leaveGroupEnd          // a group that has ended keeps its consumer
	leaveRewind            // nobody looks again at what a consumer that ended kept from others
	leaveNoLocal           // a consumer gets what its own connection sent
	leaveDurable           // a durable subscription goes with its consumer
	leaveSubscribed        // a publication reaches one subscription only
	defects
)
