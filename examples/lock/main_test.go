package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

func TestRun(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	var out strings.Builder
	if err := run(blaze.Config{BroadcastURI: uri, Cluster: cluster, Totem: blaze.TotemConfig{Profile: blaze.Shared}}, filepath.Join(t.TempDir(), "ledger"), &out); err != nil {
		t.Fatal(err)
	}
	const want = `30 lines, each by one writer
anna has lost the lock, held: false
anna writes nevertheless: the token is older than that of another writer
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}
