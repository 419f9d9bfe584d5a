package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
	"github.com/activeblaze/blaze/jms"
)

// Each part of the example prints what its comment says, in a cluster of its own.
func TestParts(t *testing.T) {
	for _, row := range []struct {
		name string
		part func(*jms.ConnectionFactory, io.Writer) error
		want string
	}{
		{"queue", queue, "queue: cancel all, priority 9\nqueue: buy 100 acme, priority 4\nqueue: sell 50 acme, priority 4\n"},
		{"topic", topic, "topic: prices.acme, ACME at 101.25\ntopic: prices.acme, ACME at 102\n"},
		{"request and reply", requestReply, "request: ACME is at 101.25\n"},
		{"transaction", transaction, "transaction: rolled back\ntransaction: booked pay 10\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			uri, cluster := testnet.Loopback(t)
			f, err := jms.NewConnectionFactory(blaze.Config{BroadcastURI: uri, Cluster: cluster, FailureTimeout: time.Second}, jms.WithRole(jms.Holder))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			if err := row.part(f, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != row.want {
				t.Errorf("printed\n%swant\n%s", &out, row.want)
			}
		})
	}
}
