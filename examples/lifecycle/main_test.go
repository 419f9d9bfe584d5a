package main

import (
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

func TestRun(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	var out strings.Builder
	if err := run(blaze.Config{BroadcastURI: uri, Cluster: cluster}, &out); err != nil {
		t.Fatal(err)
	}
	const want = `after NewChannel: constructed
after Init: initialized
after Start: started
after Stop: stopped
after Start: started
after Shutdown: constructed
SetConfig while started: ErrState
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
