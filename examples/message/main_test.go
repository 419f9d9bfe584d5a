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
	const want = `{account:{desk:7} limit:101.25 quantity:100 symbol:"ACME"} "as soon as possible"
account is a value of kind map: {desk:7}
limit is a value of kind float64: 101.25
quantity is a value of kind int32: 100
symbol is a value of kind string: ACME
quantity: 100
as a text: ErrKind
body: as soon as possible
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
