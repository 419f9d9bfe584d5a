package blaze_test

import (
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
)

// Options of a measurement belong to the Config that they were set in, and to its copies; a channel
// beside them has none.
func TestHooksBelongToAConfig(t *testing.T) {
	socketsOnly(t)
	plain := testConfig(t)
	losing := plain
	hook.Set(&losing, hook.Options{Drop: 1, Seed: 1})
	first, err := blaze.NewChannel(losing)
	if err != nil {
		t.Fatal(err)
	}
	second, err := blaze.NewChannel(plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.SetConfig(first.Config()); err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err != nil {
		t.Fatal(err)
	}
	defer second.Shutdown()
	beside, sender := started(t, plain), started(t, plain)
	p := publisher(t, sender, "a", 1) // beside; second receives nothing, so it is not there
	offer(t, p, []byte("x"))
	eventually(t, "both have received", func() bool {
		return beside.Stats().Nack.DataReceived > 0 && second.Stats().InjectedLoss > 0
	})
	if n := beside.Stats().InjectedLoss; n > 0 {
		t.Errorf("the channel beside it lost %d datagrams", n)
	}
	if n := second.Stats().Nack.DataReceived; n > 0 {
		t.Errorf("a channel that loses everything received %d datagrams", n)
	}
}
