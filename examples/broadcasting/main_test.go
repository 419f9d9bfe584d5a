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
	const want = `prices.europe.acme: 101.25
news.markets.close: the market closes at 17:30
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
