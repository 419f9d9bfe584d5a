// Command interop runs the interop matrix: each language as publisher against each as subscriber, with several kinds of
// payload, under several conditions, as vendors of DDS test their implementations against each other. Each member is a
// process of its own. It writes a record for each message, and the checkers of internal/check judge the records.
//
//	interop run [flags]       the matrix: a table, JSON, JUnit, one exit code
//	interop member pub|sub …  the Go member; members of all languages have this command line
//	interop beside [flags]    repair times of Go receivers, beside Go members and beside members of other languages
//
// # The command line of a member
//
//	pub|sub --uri URI --topic T --count N --size S --rate R --loss P --seed S [--typed]
//
// A member writes lines of JSON: {"t":topic,"n":number,"sha":first 8 hexadecimal digits of SHA-256,"size":bytes} for each
// message that it has published or received, {"lost":{"count":N}} for messages that it is told are lost, and
// {"ready":true} when it is there. The first 8 bytes of a payload are the number, big-endian; with --typed messages are
// typed ones, with a text that begins with the number in 16 hexadecimal digits. A publisher that has published all waits
// until it is received, and leaves; a subscriber stays until a signal ends it, or count messages have come.
package main
