package sim

import (
	"testing"
	"time"
)

// Held queues over the whole stack, with the whole fault list: nothing acknowledged is lost, transactions are whole.
func TestHeldQueues(t *testing.T) {
	length := 3 * time.Second
	RunHeld(t, 500, func(t *testing.T, h *HeldCluster) { h.Everything(length) })
}

// Without a fault nothing comes twice, and nothing is given back but what programs give back.
func TestHeldQueuesClean(t *testing.T) {
	RunHeld(t, 20, func(t *testing.T, h *HeldCluster) {
		h.Disks = h.Seed%2 == 1
		h.Start(Faults{Delay: 50 * time.Microsecond})
		h.Until(time.Second)
		h.Heal()
		h.Settle(time.Second)
	})
}
