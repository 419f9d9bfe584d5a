//go:build race

package totem

const raceEnabled = true
