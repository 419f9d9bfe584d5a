package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

// lines is what listen prints. It ends the listener at the last price.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	last string
	end  func()
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(b, []byte(l.last)) {
		l.end()
	}
	return l.buf.Write(b)
}

// Both halves on one host, on a port of their own: every price comes, in order.
func TestPrices(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	cfg := blaze.Config{
		BroadcastURI: fmt.Sprintf("udp://239.255.66.76:%d", c.LocalAddr().(*net.UDPAddr).Port),
		Cluster:      fmt.Sprintf("test-%x", rand.Uint64()),
	}
	c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out := &lines{last: "109.25", end: cancel}
	ended := make(chan error, 1)
	go func() { ended <- listen(ctx, cfg, out) }()
	if err := send(t.Context(), cfg, 10); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i := range 10 {
		fmt.Fprintf(&want, "%d prices.acme = %d.25\n", i+1, 100+i)
	}
	if got := out.buf.String(); got != want.String() {
		t.Errorf("printed\n%s\nwant\n%s", got, want.String())
	}
}
