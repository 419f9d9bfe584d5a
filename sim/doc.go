// Package sim runs whole members in one goroutine, on a network and a clock that it makes up.
//
// Everything that chance decides comes from one seed: which datagram is lost, doubled, late
// or out of order, which member is paused, cut off or killed, and what each member draws. The same
// seed and the same build give the same run, event by event; Network.Hash proves it (RS-5).
//
//	sim.Run(t, 500, func(t *testing.T, s *sim.Cluster) { // 500 seeds; -seed=N replays one
//		s.Start(5, sim.Faults{Loss: 0.02, Duplicate: 0.01, Partition: 0.001})
//		s.Until(20 * time.Second) // virtual; every delivery and every loss is recorded
//		s.Heal()
//		s.Settle(5 * time.Second) // everything has arrived, and the checkers agree
//	})
//
// From the bottom: Network carries datagrams between Drivers, after the models in Link and
// the cuts between nodes; a Driver is what a member is given instead of a socket; a Cluster
// holds nodes, their load and the log that package check judges.
//
// docs/simulation.md has what is modelled and what is not.
package sim
