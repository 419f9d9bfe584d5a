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
	if err := run(blaze.Config{BroadcastURI: uri, Cluster: cluster, Totem: blaze.TotemConfig{Profile: blaze.Shared}}, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	const want = `master: first
number 1
number 2
number 3
standby: second is not master
master: second
number 4
number 5
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
