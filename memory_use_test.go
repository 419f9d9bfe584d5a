package blaze_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/activeblaze/blaze"
)

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// MemoryBudget is what a channel really takes: never less than what is allocated at the start,
// and not much more.
func TestMemoryBudgetIsTrue(t *testing.T) {
	socketsOnly(t)
	for name, change := range map[string]func(*blaze.Config){
		"default":      func(*blaze.Config) {},
		"small window": func(c *blaze.Config) { c.Window = 1 << 20 },
		"four lanes":   func(c *blaze.Config) { c.Lanes, c.Window = 4, 32<<20 },
		"hybrid":       func(c *blaze.Config) { c.Protocol, c.Window = blaze.Hybrid, 1<<20 },
		"large window": func(c *blaze.Config) { c.Window = 64 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			change(&cfg)
			before := heap()
			c := started(t, cfg)
			for i := range 64 { // opens every lane
				if _, err := c.Publisher(fmt.Sprint("a", i)); err != nil {
					t.Fatal(err)
				}
			}
			c.Stats() // the engine has opened them by now
			used, budget := heap()-before, cfg.MemoryBudget()
			t.Logf("%d KiB used, %d KiB in the budget", used>>10, budget>>10)
			if used > budget {
				t.Errorf("%d bytes are used, the budget says %d", used, budget)
			}
			// What received streams, messages of more than a datagram and subscriptions take, they take
			// when they come.
			late := 4*int64(c.Config().MaxMessageSize) + int64(max(c.Config().Window, 2*c.Config().MaxMessageSize)) + 8<<20
			if used < (budget-late)*3/4 {
				t.Errorf("%d bytes are used, the budget says %d: too much", used, budget)
			}
		})
	}
}
