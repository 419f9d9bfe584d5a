package sim

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/jms/held"
	"github.com/activeblaze/blaze/jms/link"
)

// defectNames are the rules that a package can leave out, by their numbers: the constants of its defect.go.
func defectNames(t *testing.T, file string) (names []string) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			names = append(names, v.Names[0].Name)
		}
		return true
	})
	return names
}

// leaveOut has a machine, or a link, leave out a rule. Their switch is for tests, and nobody's outside of their
// packages.
func leaveOut(core any, defect int) {
	f := reflect.ValueOf(core).Elem().FieldByName("leave")
	reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().SetUint(uint64(defect))
}

// A rule that a part leaves out is found, within a few seeds. Of held and link the simulations of those packages find
// the rest: what is about groups, times, bounds and subscriptions, which nobody uses here, and about requests that
// holders leave without an answer, or answers that come after their request was given up, neither of which groups do.
func TestHeldPlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("many runs")
	}
	inHeld, inLink := defectNames(t, "../jms/held/defect.go"), defectNames(t, "../jms/link/defect.go")
	for _, d := range []struct {
		name, catcher string
		plant         func(h *HeldCluster)
	}{
		{"leaveOnce", "HQ-2", nil},
		{"leaveCount", "HQ-2", nil},
		{"leaveLower", "HQ-8", nil},
		{"leaveHidden", "HQ-5", nil},
		{"leaveAtomic", "HQ-4", nil},
		{"leaveGone", "HQ-1", nil},
		{"leaveSession", "HQ-8", nil},
		{"leaveHad", "HQ-2", nil},
		{"leaveAttach", "HQ-8", nil},
		{"leaveVoid", "HQ-8", nil},
		{"leaveDoubt", "HQ-5", nil},
		{"leaveLook", "HQ-2", nil},
		{"leaveFloor", "HQ-2", nil},
		{"a holder answers a put before it has been decided", "HQ-1", func(h *HeldCluster) { h.Early = true }},
		{"a machine answers by map order", "MP-16", func(h *HeldCluster) { h.ByMap = 1 }},
		{"a machine has another state", "HQ-7", func(h *HeldCluster) { h.Skips = 1 }},
		{"a commit is put in parts", "HQ-4", func(h *HeldCluster) { h.InParts = true }},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			plant := d.plant
			if n := slices.Index(inHeld, d.name); n >= 0 {
				plant = func(h *HeldCluster) { h.Machine = func(m *held.Machine) { leaveOut(m, n) } }
			} else if n := slices.Index(inLink, d.name); n >= 0 {
				plant = func(h *HeldCluster) { h.Link = func(l *link.Link) { leaveOut(l, n) } }
			}
			const seeds = 100 // most are found with the first; a commit in doubt is rare
			var all []string
			for seed := range uint64(seeds) {
				h := NewHeldCluster(nil, seed)
				plant(h)
				h.Start(h.Swarm())
				h.Until(1500 * time.Millisecond)
				h.Shatter()
				h.Heal()
				found := h.SettleFor(2 * time.Second)
				for _, v := range found {
					if v.ID == d.catcher {
						t.Logf("seed %d: %.200v", seed, v)
						return
					}
				}
				all = append(all, check.IDs(found)...)
			}
			t.Errorf("%s has not found it in %d seeds; others: %v", d.catcher, seeds, all)
		})
	}
}

// A seed repeats what it has shown (RS-5).
func TestHeldSameSeedSameRun(t *testing.T) {
	RunHeld(t, 20, func(t *testing.T, h *HeldCluster) {
		run := func(h *HeldCluster) (uint64, int) {
			h.Start(h.Swarm())
			h.Until(700 * time.Millisecond)
			h.Shatter()
			h.Heal()
			h.For(300 * time.Millisecond)
			for _, x := range h.Clients {
				x.close()
			}
			h.StateCluster.close()
			return h.Net.Hash(), len(h.Queues.Records)
		}
		a, records := run(h)
		b, again := run(NewHeldCluster(nil, h.Seed))
		if a != b || records != again || records == 0 {
			t.Errorf("seed %d: run %x with %d records, and then %x with %d", h.Seed, a, records, b, again)
		}
	})
}
