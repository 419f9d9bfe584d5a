package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
)

// payload is a kind of what is published.
type payload struct {
	name           string
	topic, pattern string
	size           int // bytes
	count          int // messages
	rate           float64
	typed          bool
}

var payloads = []payload{
	{name: "64B", topic: "interop.small", pattern: "interop.small", size: 64, count: 600, rate: 1500},
	{name: "1300B", topic: "interop.full", pattern: "interop.full", size: 1300, count: 300, rate: 750},
	{name: "100KB", topic: "interop.large", pattern: "interop.large", size: 100_000, count: 16, rate: 40},
	{name: "typed", topic: "interop.typed", pattern: "interop.typed", size: 200, count: 300, rate: 750, typed: true},
	{name: "wildcards", topic: "interop.eu.bund.last", pattern: "interop.*.bund.>", size: 100, count: 300, rate: 750},
}

// condition is what a cell's members go through.
type condition struct {
	name     string
	loss     float64 // of the members
	relay    faults  // between them; zero: nothing is between them
	late     bool    // the subscriber comes when a part has been published
	restarts bool    // the publisher is killed in the middle, and another one takes over
}

// faults are what a relay does, shares of the datagrams of each direction.
type faults struct {
	loss, double, delay float64
}

var conditions = []condition{
	{name: "clean"},
	{name: "loss", loss: 0.05},
	{name: "disorder", relay: faults{loss: 0.05, double: 0.05, delay: 0.05}},
	{name: "late", late: true},
	{name: "restart", restarts: true},
}

// cell is one field of the matrix.
type cell struct {
	Pub, Sub string
	payload  payload
	when     condition
}

func (c *cell) String() string {
	return fmt.Sprintf("%s→%s %s %s", c.Pub, c.Sub, c.payload.name, c.when.name)
}

// cellsOf lists the matrix of these languages.
func cellsOf(languages []string) (list []cell) {
	for _, pub := range languages {
		for _, sub := range languages {
			for _, p := range payloads {
				for _, c := range conditions {
					list = append(list, cell{Pub: pub, Sub: sub, payload: p, when: c})
				}
			}
		}
	}
	return list
}

// sample draws one of so many parts of the cells, by a text: each part has as many cells, and over different texts
// each cell comes equally often.
func sample(list []cell, parts int, text string) []cell {
	if parts <= 1 {
		return list
	}
	rank := func(c cell) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(text + " " + c.String()))
		x := h.Sum64() // FNV's upper bits hardly depend on the last characters: mixed as in splitmix64
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return x ^ x>>31
	}
	slices.SortStableFunc(list, func(a, b cell) int { return cmp.Compare(rank(a), rank(b)) })
	return list[:(len(list)+parts-1)/parts]
}
