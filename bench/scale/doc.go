// Package scale measures whether the cost of a message grows with what there is (topics, subscriptions, lanes, senders,
// receivers) or only with what happens.
//
// Whole members run over a wire in memory, in virtual time and on one thread: no system call and no other thread is in
// the figures. What a sender and what a receiver spend is measured apart, while the other one rests. All cases of a
// dimension exist at the same time and are measured in slices of some milliseconds, in shuffled rounds: a host that
// changes its speed does so for all of them. Ratios are taken within a round, and the median counts.
package scale
