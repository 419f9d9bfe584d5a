// Package measure is what every benchmark needs: messages that can be judged, a schedule to send them
// by, histograms of what they took, and the result of a run.
//
// A message carries a number, a hash, and a body that follows from the number. So a receiving
// application finds what was lost, doubled, misordered or damaged, whatever the library under test
// reports (payload.go).
//
// A schedule states when the messages of an open-loop load are due. Latency is counted from that time,
// whenever the message really left: a sender that was held up shows its delay (schedule.go).
//
// A histogram counts durations from 1 ns to a minute with three significant digits, so one holds a
// spinning round trip and a repair of seconds. Record allocates nothing (histogram.go).
//
// A result is JSON with stable names (result.go).
package measure
