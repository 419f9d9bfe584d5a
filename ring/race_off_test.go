//go:build !race

package ring

// raceEnabled says that the race detector runs: everything takes ten times as long.
const raceEnabled = false
