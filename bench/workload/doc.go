// Package workload is what blazebench does: it runs one sender and a number of receivers, each a
// process and a member of its own, and measures what happens between them.
//
// The process that calls Run is the sender. It generates the load in its engine's own thread
// (Config.Invoker), and starts the receivers, which run Serve. So there are never more busy
// threads than members, and what is measured is the library and not the scheduler.
//
//	sender                          receiver
//	start process, config line  →
//	                            ←   ready: subscribed, started
//	wait until all are known
//	warm-up, measured load     (over the channel)
//	finish: how many were sent  →
//	turn, so that repairs go on ←   report, when all has come or after Settle
//	close its input             →   leaves the cluster and ends
//
// The members of a ring (Order) all send and all receive, so each is a process that runs Serve, and the
// process that calls Run only watches.
//
//	this process                    member
//	start process, config line  →
//	                            ←   ready: in one ring with all others
//	when to begin               →   warm-up, measured load
//	kill one, midway            ←   marks of its sequence, until then
//	                            ←   load over: how many were sent
//	how many each one sent      →
//	                            ←   report, when all has come or after Settle
//	close its input             →   leaves the ring and ends
package workload
