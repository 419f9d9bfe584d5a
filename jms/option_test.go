package jms

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
)

func TestOpen(t *testing.T) {
	f, err := Open("udp://239.255.66.76:6676?interface=lo&jms.cluster=desk&jms.role=client&jms.clientID=blotter&ttl=2" +
		"&jms.holders=3&jms.wait=3s&jms.dataDir=%2Ftmp%2Fx&jms.requireStore=true&jms.autoCreate=false&jms.queues=A,B&jms.depth=10" +
		"&jms.depth.A=20&jms.bytes.A=4096&jms.maxRedeliveries=-1&jms.redeliveryDelay=1500ms&jms.redeliveryBackoff=true" +
		"&jms.deadLetterExpired=true&jms.prefetch=7&jms.asyncWindow=8&jms.directBuffer=9&jms.name=host1")
	if err != nil {
		t.Fatal(err)
	}
	c, o := f.cfg, f.o
	if c.BroadcastURI != "udp://239.255.66.76:6676?interface=lo&ttl=2" || c.Cluster != "desk" || c.ExpectedMembers != 3 || c.DataDir != "/tmp/x" || c.Name != "host1" {
		t.Errorf("the Config is %+v", c)
	}
	if o.role != Client || o.clientID != "blotter" || o.wait != 3*time.Second || !o.requireStore || !o.noAutoCreate || strings.Join(o.queues, " ") != "A B" ||
		o.depth != 10 || o.depthOf["A"] != 20 || o.bytesOf["A"] != 4096 || o.maxRedeliveries != -1 || o.redeliveryDelay != 1500*time.Millisecond ||
		!o.backoff || !o.deadLetterExpired || o.prefetch != 7 || o.asyncWindow != 8 || o.directBuffer != 9 {
		t.Errorf("the options are %+v", o)
	}
	f, err = Open("udp://239.255.66.76:6676")
	if err != nil || f.o.wait != DefaultWait || f.o.prefetch != DefaultPrefetch || f.o.role != Auto || f.o.noAutoCreate {
		t.Errorf("defaults: %+v, %v", f.o, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, row := range []struct {
		query string
		is    error
		names string
	}{
		{"jms.rôle=x", blaze.ErrConfig, "jms.asyncWindow"},
		{"jms.unknown=1", blaze.ErrConfig, "jms.requireStore"},
		{"jms.role=boss", blaze.ErrConfig, "auto, holder or client"},
		{"jms.wait=5", blaze.ErrConfig, "duration"},
		{"jms.wait=2h", blaze.ErrConfig, "1h0m0s"},
		{"jms.depth=0", blaze.ErrConfig, "jms.depth"},
		{"jms.depth=-1", blaze.ErrConfig, "jms.depth"},
		{"jms.depth.A=x", blaze.ErrConfig, "number"},
		{"jms.bytes.A=0", blaze.ErrConfig, "jms.bytes.A"},
		{"jms.bytes.=1", ErrInvalidDestination, "name"},
		{"jms.prefetch=1001", blaze.ErrConfig, "1000"},
		{"jms.requireStore=maybe", blaze.ErrConfig, "true or false"},
		{"jms.holders=17", blaze.ErrConfig, "ExpectedMembers"},
		{"jms.holders=x", blaze.ErrConfig, "jms.holders"},
		{"jms.clientID=", blaze.ErrArgument, "client id"},
		{"jms.user=me", ErrNotAuthorized, "jms.user"},
		{"jms.password=x", ErrNotAuthorized, "jms.password"},
		{"jms.wait=%zz", blaze.ErrConfig, "escape"},
		{"unknown=1", blaze.ErrConfig, "unknown"},
	} {
		_, err := Open("udp://239.255.66.76:6676?" + row.query)
		if !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.names) {
			t.Errorf("%s: %v; want %v, with %q", row.query, err, row.is, row.names)
		}
	}
	if _, err := Open("udp://me:secret@239.255.66.76:6676"); !errors.Is(err, ErrNotAuthorized) {
		t.Errorf("a user: %v", err)
	}
	if _, err := NewConnectionFactory(blaze.Config{Invoker: true}); !errors.Is(err, blaze.ErrUnsupported) {
		t.Errorf("Invoker: %v", err)
	}
	if _, err := NewConnectionFactory(blaze.Config{}, nil); !errors.Is(err, blaze.ErrArgument) {
		t.Errorf("a nil option: %v", err)
	}
}
