package blaze_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

// overXDP says that the tests of channels are to run over AF_XDP: BLAZE_TEST_DRIVER=xdp. Each
// member then has a namespace of its own, and each test a bridge that joins them.
var overXDP = os.Getenv("BLAZE_TEST_DRIVER") == "xdp"

var hubs sync.Map // of *testnet.Hub by the URI of the configuration that it was made for

// testURI is the address of a test's own group.
func testURI(t testing.TB, port int) string {
	t.Helper()
	if !overXDP {
		return fmt.Sprintf("udp://239.255.66.77:%d", port)
	}
	testnet.NeedAFXDP(t)
	uri := fmt.Sprintf("xdp://239.255.66.77:%d?interface=v0", port)
	hubs.Store(uri, testnet.NewHub(t))
	t.Cleanup(func() { hubs.Delete(uri) })
	return uri
}

// inNetwork runs start where a member with cfg belongs.
func inNetwork(t testing.TB, cfg blaze.Config, start func()) {
	t.Helper()
	if !overXDP || !strings.HasPrefix(cfg.BroadcastURI, "xdp://") {
		start()
		return
	}
	h, ok := hubs.Load(cfg.BroadcastURI)
	if !ok {
		t.Fatalf("no network was made for %s", cfg.BroadcastURI)
	}
	h.(*testnet.Hub).Member().Do(start)
}

// socketsOnly skips what cannot run over AF_XDP, since it starts members in its own namespace or in
// processes, or gives them URIs of its own.
func socketsOnly(t testing.TB) {
	t.Helper()
	if overXDP {
		t.Skip("starts members where there is no interface for them")
	}
}

// fastPath skips what needs AF_XDP, where there is none, and with -short what make test-xdp runs.
func fastPath(t testing.TB) {
	t.Helper()
	testnet.NeedAFXDP(t)
	if testing.Short() && !overXDP {
		t.Skip("make test-xdp does it")
	}
}
