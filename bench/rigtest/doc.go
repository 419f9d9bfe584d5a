// Package rigtest holds the tests that need a network of their own (package rig) and AF_XDP: root,
// on Linux. They are what `make rig-test` runs; `make test` runs short forms of them where it can.
//
//   - Members over udp and xdp in one conversation, on a switch that loses packets.
//   - A member of an older commit and one of this one, under NACK, Hybrid and Totem.
//   - Networks that are not clean: a bottleneck at a receiver and at a sender, for one sender and for two, that stays and
//     that goes; full-sized datagrams that do not pass; unicast that is blocked; reordering and doubling; one receiver
//     that loses most.
//   - An interface that goes and comes back, gets another address, another name, another MTU, under load.
//   - An idle ring rests.
//   - A ring settles where two members do not receive each other, where a path is narrow, and where a member starves.
//   - Two members of a host start, stop and are killed in random order, and miss nothing; one that remains alone does not
//     receive what it sends; a member of an older commit beside it is heard, and hears.
//   - A member that is killed leaves a clean interface, and the next one starts.
//   - The host is not harmed: TCP and ping go on beside the group's traffic.
//   - Thousands of starts and stops leave nothing behind.
//   - A foreign XDP program stays where it is.
package rigtest
