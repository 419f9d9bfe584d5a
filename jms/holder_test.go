package jms

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// A holder that starts again has what its disk has, and its clients of that start are served.
func TestHolderFromDisk(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.ExpectedMembers, cfg.DataDir, cfg.Name = 1, t.TempDir(), "holder"
	for i := range 3 {
		c := connect(t, factory(t, cfg, WithRole(Holder)), AutoAcknowledge)
		q := queue(t, c, "stored")
		k := consume(t, c, q)
		if i > 0 {
			receiveText(t, k, fmt.Sprint(i-1))
		}
		nothing(t, k)
		waited := make(chan error, 1)
		other := another(t, c, AutoAcknowledge)
		w := consume(t, other, queue(t, other, "notices"))
		go func() { // what is for a consumer that waits comes as a notice
			_, err := w.Receive(within(t, time.Second))
			waited <- err
		}()
		eventually(t, "a consumer that waits", func() bool {
			all, err := c.QueueStats(within(t, patience))
			return err == nil && len(all) > 0 && all[0].Waiting == 1
		})
		send(t, c.Producer(), queue(t, c, "notices"), "x")
		if err := <-waited; err != nil {
			t.Errorf("start %d: %v", i, err)
		}
		if err := errors.Join(k.Close(), other.Close()); err != nil {
			t.Fatal(err)
		}
		send(t, c.Producer(), q, fmt.Sprint(i))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Connections of one factory that begin at once, at different holders, all begin.
func TestConnectTogether(t *testing.T) {
	t.Parallel()
	cfg, _ := holders(t, 2)
	f := factory(t, cfg, WithRole(Client))
	const n = 40
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		c := connect(t, f, AutoAcknowledge)
		all.Go(func() { errs[i] = c.ConnectHolders(within(t, patience)) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
