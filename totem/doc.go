// Package totem gives every member of a ring the same messages in the same order, tells it who
// is in the ring, and keeps both promises while members crash, pause and come back and while
// networks split and merge.
//
// It is the Totem single-ring protocol with extended virtual synchrony and, as an option, the
// accelerated ring. docs/totem.md describes it section by section; comments here cite those
// sections. The sources are
//
//   - Amir, Moser, Melliar-Smith, Agarwal, Ciarfella: The Totem Single-Ring Ordering and
//     Membership Protocol. ACM TOCS 13(4), 1995.
//   - Moser, Amir, Melliar-Smith, Agarwal: Extended Virtual Synchrony. ICDCS 1994.
//   - Babay, Amir: Fast Total Ordering for Modern Data Centers. ICDCS 2016.
//
// A Protocol is a state machine without I/O. It is in one of four states, which carry the names
// of the papers: Gather, Commit, Recovery and Operational.
//
// Where we differ from the papers (docs/totem.md, section 17, has the reasons):
//   - Members are named by the id of their start, also in the ring's identifier; so no two
//     rings have the same name, and nothing has to be stored.
//   - The fair share of a member is reckoned from the larger of its backlogs at this visit and
//     at the last one. With the last one alone a burst after silence leaves one datagram a rotation.
//   - The token-loss time is a floor: the measured rotation, its mean and its longest, and the longest gap
//     of the loop raise it.
//   - A token that may be held is held before its visit and not after it, so that a message that
//     ends the hold goes out in that very visit.
package totem
