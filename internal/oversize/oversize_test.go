package oversize

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneLineAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		var l Log
		from := netip.MustParseAddrPort("10.0.0.1:1234")
		for i := range uint64(180) { // one a second
			l.Dropped(log, from, 1472, true, 1452, i+1)
			time.Sleep(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines in three minutes:\n%s", len(lines), out.String())
		}
		for i, count := range []string{"dropped=1 ", "dropped=61 ", "dropped=121 "} {
			for _, want := range []string{"10.0.0.1:1234", "bytes=1472", "largest=1452", count} {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d has no %q: %s", i, want, lines[i])
				}
			}
		}
	})
}
