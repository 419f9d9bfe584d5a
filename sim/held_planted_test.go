package sim

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
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

// leaveOut has a machine, or a link, leave out a rule. Their switch is for tests, and nobody's outside of their packages.
func leaveOut(core any, defect int) {
	f := reflect.ValueOf(core).Elem().FieldByName("leave")
	reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().SetUint(uint64(defect))
}

// heldDefects are planted between the parts, or in them, one at a time.
func heldDefects(t *testing.T) (list []heldDefect) {
	for number, name := range defectNames(t, "../jms/held/defect.go") {
		list = append(list, heldDefect{"held " + name, func(h *HeldCluster) { h.Machine = func(m *held.Machine) { leaveOut(m, number) } }})
	}
	for number, name := range defectNames(t, "../jms/link/defect.go") {
		list = append(list, heldDefect{"link " + name, func(h *HeldCluster) { h.Link = func(l *link.Link) { leaveOut(l, number) } }})
	}
	list = slices.DeleteFunc(list, func(d heldDefect) bool { return strings.HasSuffix(d.name, " none") || strings.HasSuffix(d.name, " defects") })
	return append(list,
		heldDefect{"a holder answers a put before it has been decided", func(h *HeldCluster) { h.Early = true }},
		heldDefect{"a machine answers by map order", func(h *HeldCluster) { h.ByMap = 1 }},
	)
}

type heldDefect struct {
	name  string
	plant func(h *HeldCluster)
}

func TestExplore(t *testing.T) {
	if os.Getenv("EXPLORE") == "" {
		t.Skip()
	}
	for _, d := range heldDefects(t) {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(24) {
				h := NewHeldCluster(nil, seed)
				d.plant(h)
				h.Start(h.Swarm())
				h.Until(2 * time.Second)
				h.Shatter()
				h.Heal()
				var ids []string
				var text string
				func() {
					defer func() {
						if r := recover(); r != nil {
							ids = append(ids, "panic")
						}
					}()
					vs := h.SettleFor(3 * time.Second)
					ids = check.IDs(vs)
					if len(vs) > 0 {
						text = vs[0].Error()
					}
				}()
				if len(ids) > 0 {
					t.Logf("FOUND %s: seed %d: %v %.300s", d.name, seed, ids, text)
					return
				}
			}
			t.Logf("MISSED %s", d.name)
		})
	}
}
