package blaze_test

import (
	"testing"

	"github.com/activeblaze/blaze"
)

// A member that stops as soon as it has a message has acknowledged it before.
func TestStopAcknowledgesWhatItHas(t *testing.T) {
	cfg := testConfig(t)
	a := inGroup(t, "a", cfg)
	rounds := 50
	if testing.Short() {
		rounds = 15
	}
	for i := range rounds {
		b := inGroup(t, "b", cfg)
		stopped := make(chan struct{})
		var box *blaze.Subscription
		ready := make(chan struct{})
		box, err := b.HandleInbox("", func(*blaze.Message) {
			<-ready
			_ = box.Close()
			go func() { _ = b.Shutdown(); close(stopped) }()
		})
		if err != nil {
			t.Fatal(err)
		}
		close(ready)
		waitMembers(t, 2, a)
		if err := a.Send(soon(t), b.ID(), blaze.NewTextMessage("x")); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		<-stopped
	}
}
