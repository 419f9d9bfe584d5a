package main

import (
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is what a publisher and a subscriber write when all is well.
func good(c *cell) *history {
	h := &history{}
	var j journal
	for n := 1; n <= c.payload.count; n++ {
		j.records = append(j.records, rawRecord(c.payload.topic, payloadOf(uint64(n), c.payload.size)))
	}
	h.published = []journal{j}
	h.received = slices.Clone(j.records)
	return h
}

// TestPlantedDefects plants one defect in what members write, and looks whether it is found.
func TestPlantedDefects(t *testing.T) {
	base := cell{Pub: "go", Sub: "go", payload: payload{name: "p", topic: "t", pattern: "t", size: 64, count: 20}, when: conditions[0]}
	restart, late := base, base
	restart.when = condition{name: "restart", restarts: true}
	late.when = condition{name: "late", late: true}
	second := func(h *history, c *cell) {
		h.published[0].killed = true
		var j journal
		for n := 1; n <= c.payload.count; n++ {
			j.records = append(j.records, rawRecord(c.payload.topic, payloadOf(uint64(n), c.payload.size+1)))
		}
		h.published = append(h.published, j)
		h.received = append(h.received[:10:10], j.records...)
	}
	for _, test := range []struct {
		name  string
		cell  cell
		plant func(h *history)
		want  string // in the findings; empty: there is none
	}{
		{"nothing", base, func(*history) {}, ""},
		{"one is missing", base, func(h *history) { h.received = slices.Delete(h.received, 4, 5) }, "RM-4"},
		{"the last is missing", base, func(h *history) { h.received = h.received[:19] }, "RM-12"},
		{"the first is missing", base, func(h *history) { h.received = h.received[1:] }, "RM-7"},
		{"nothing came", base, func(h *history) { h.received = nil }, "is 0 of 20"},
		{"one came twice", base, func(h *history) { h.received = slices.Insert(h.received, 5, h.received[4]) }, "RM-2"},
		{"two are swapped", base, func(h *history) { h.received[3], h.received[4] = h.received[4], h.received[3] }, "RM-3"},
		{"another payload", base, func(h *history) { h.received[3].SHA = "00000000" }, "RM-1"},
		{"another length", base, func(h *history) { h.received[3].Size++ }, "RM-1"},
		{"another topic", base, func(h *history) { h.received[3].Topic = "u" }, "nobody published"},
		{"one that nobody sent", base, func(h *history) { h.received = append(h.received, rawRecord("t", payloadOf(21, 64))) }, "RM-1"},
		{"a loss without a reason", base, func(h *history) { h.received[3] = record{Lost: &lost{Count: 1}} }, "RM-6"},
		{"a loss that is not one", base, func(h *history) { h.received = slices.Insert(h.received, 3, record{Lost: &lost{Count: 1}}) }, "RM-5"},
		{"a refused stream", base, func(h *history) { h.received = []record{{Lost: &lost{}}} }, "refused"},
		{"the publisher counts wrongly", base, func(h *history) { h.published[0].records[3].N = 9 }, "in place 4"},
		{"late: nothing", late, func(h *history) { h.received = h.received[7:] }, ""},
		{"late: all of it", late, func(*history) {}, "first message"},
		{"late: a hole", late, func(h *history) { h.received = slices.Delete(h.received[7:], 2, 3) }, "RM-4"},
		{"restart: nothing", restart, func(h *history) { second(h, &restart) }, ""},
		{"restart: a loss of the one that died", restart, func(h *history) {
			second(h, &restart)
			h.received = slices.Insert(h.received, 10, record{Lost: &lost{Count: 3}})
		}, ""},
		{"restart: a hole in the first", restart, func(h *history) { second(h, &restart); h.received = slices.Delete(h.received, 3, 4) }, "RM-4"},
		{"restart: the second is not complete", restart, func(h *history) { second(h, &restart); h.received = h.received[:25] }, "RM-1"},
	} {
		h := good(&test.cell)
		test.plant(h)
		wrong := strings.Join(judge(&test.cell, h), "\n")
		if test.want == "" && wrong != "" || !strings.Contains(wrong, test.want) {
			t.Errorf("%s: %q, want %q", test.name, wrong, test.want)
		}
	}
}

// Parts of the matrix have the same size, and over many commits each cell comes.
func TestSample(t *testing.T) {
	names := []string{"go", "python", "node", "c"}
	seen := map[string]int{}
	for i := range 40 {
		part := sample(cellsOf(names), 4, strings.Repeat("x", i))
		if len(part) != 100 {
			t.Fatalf("%d cells", len(part))
		}
		for _, c := range part {
			seen[c.String()]++
		}
	}
	if len(seen) != 400 {
		t.Errorf("%d of 400 cells came in 40 draws", len(seen))
	}
	again := sample(cellsOf(names), 4, "a")
	if !slices.Equal(again, sample(cellsOf(names), 4, "a")) {
		t.Error("a draw cannot be repeated")
	}
}

// One cell runs, over loopback, with Go members in this process's place.
func TestMembers(t *testing.T) {
	c := cell{Pub: "go", Sub: "go", payload: payload{name: "p", topic: "t.a", pattern: "t.>", size: 64, count: 50, rate: 500}, when: conditions[0]}
	if testing.Short() {
		t.Skip("it builds the command")
	}
	command := build(t)
	r := &runner{root: t.TempDir(), commands: map[string][]string{"go": {command, "member"}}, seed: 1}
	for i, when := range conditions {
		c.when = when
		if res := r.run(context.Background(), &c, i, place{number: 77, port: 31000 + 2*i, network: loopback{}}); res.Verdict != passed {
			t.Errorf("%s: %s", when.name, res.Text)
		}
	}
}

func TestRelayStops(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a := side{group: netip.MustParseAddrPort("239.255.251.7:31901"), iface: "lo"}
	b := side{group: netip.MustParseAddrPort("239.255.251.8:31902"), iface: "lo"}
	done := make(chan error, 1)
	go func() { done <- relayReady(ctx, a, b, faults{}, 1, stop) }()
	select {
	case err := <-done:
		if err != nil {
			t.Skip(err) // not on this system
		}
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}

// build builds the command.
func build(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "interop")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
