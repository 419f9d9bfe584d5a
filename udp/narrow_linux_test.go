package udp

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/testnet"
)

// The interface's MTU is lowered while a driver is open, and raised again: what is too long is dropped, counted and
// logged with the MTU, shorter datagrams leave, and segmentation stays.
func TestMTULowered(t *testing.T) {
	na, nb := testnet.Pair(t)
	cfg := groupConfig(t)
	var log lockedBuffer
	open := func(n *testnet.Namespace, name string, c Config) (d *Driver) {
		c.Interface = name
		n.Do(func() {
			var err error
			if d, err = Open(c); err != nil {
				t.Fatal(err)
			}
		})
		t.Cleanup(func() { d.Close() })
		return d
	}
	b := open(nb, "v1", cfg)
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	a := open(na, "v0", cfg)
	segments := a.segments
	sendAll(t, a, outgoing(buf.Group, 1, 1472, 1472, 1472))
	check(t, receive(t, b, 3), a.Local(), true, 1, 1472, 1472, 1472)

	na.IP(t, "link set v0 mtu 1400")
	sendAll(t, a, outgoing(buf.Group, 2, 1472, 1472, 1472))
	sendAll(t, a, outgoing(buf.Group, 3, 1300, 1300))
	check(t, receive(t, b, 2), a.Local(), true, 3, 1300, 1300)
	if n := a.Stats().SendDropped; n != 3 {
		t.Errorf("%d datagrams were counted as dropped, want 3", n)
	}
	if n := strings.Count(log.String(), "longer datagrams cannot leave"); n != 1 || !strings.Contains(log.String(), "mtu=1400 datagram=1500") {
		t.Errorf("want one line that names the MTU and the datagram:\n%s", log.String())
	}

	na.IP(t, "link set v0 mtu 1500")
	for tries := 0; ; tries++ { // the MTU is read again after a moment
		sendAll(t, a, outgoing(buf.Group, 4, 1472, 1472))
		if got := receive(t, b, 2); len(got) == 2 {
			check(t, got, a.Local(), true, 4, 1472, 1472)
			break
		} else if tries == 5 {
			t.Fatal("full-sized datagrams do not leave again")
		}
	}
	if a.segments != segments {
		t.Error("segmentation was given up")
	}
}

// lockedBuffer is what several goroutines log to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
