package rival

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestNATS runs where nats-server is installed.
func TestNATS(t *testing.T) {
	p, err := NATS(context.Background(), 8, 100, 100, 500*time.Millisecond)
	if errors.Is(err, ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %.0f puts/s, median %v", p.Version, p.PerSecond, time.Duration(p.Put.P50))
	if p.PerSecond < 1 || p.Put.P50 <= 0 {
		t.Errorf("%+v", p)
	}
}
