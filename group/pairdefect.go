package group

// Rules of pairs that tests leave out on purpose, so that the checkers can show that they notice.
const (
	sendRepeated     defect = 100 + iota // a Send goes again after a dead session
	noQuestion                           // nothing is asked while an item is acknowledged and not taken
	refusalsByOldest                     // refusals are forgotten by the acknowledged datagram
	refusalOnce                          // a refusal is sent once
	resultsDie                           // replies and results die with their session
	sessionForgotten                     // the highest session is not remembered beyond the removal
	noFloor                              // no floor for to_incarnation
	noNothing                            // no item that is nothing: after the incarnation rose, and while items are outstanding
	noMark                               // redelivery without a mark, after a failure
	noMarkError                          // redelivery without a mark, after an error
	assignedAgain                        // an item is handed out anew after silence
	keepUnbegun                          // unbegun items are kept when their sender is gone, or has removed this member
	acceptInactive                       // an exclusive consumer accepts without looking at its own table
	oldestIgnored                        // what was acknowledged and is not known here is waited for
	claimAtOnce                          // a new exclusive consumer does not wait until the tables are equal
)
