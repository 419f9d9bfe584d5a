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
	const want = `trader: started
trader: joined group
done: buy 100 acme
trader: stopped
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
