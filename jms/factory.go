package jms

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/activeblaze/blaze"
)

// ConnectionFactory makes contexts. All of them share one channel, which starts with the first one and ends with the
// last. It is safe for concurrent use.
type ConnectionFactory struct {
	cfg blaze.Config
	o   options

	mu     sync.Mutex
	shared *channel // nil while there is no connection
}

// Open makes a factory from a URL: a Config.BroadcastURI whose options that begin with "jms." are options of the
// factory:
//
//	udp://239.255.66.76:6676?interface=eth0&jms.cluster=desk&jms.role=client&jms.clientID=blotter
//
// jms.cluster, jms.name, jms.dataDir and jms.holders are Config's Cluster, Name, DataDir and ExpectedMembers. The others
// are documented with the functions that return an Option. The errors: blaze.ErrConfig, with the option, what it was and
// what is allowed; ErrNotAuthorized, a user or a password.
func Open(url string) (*ConnectionFactory, error) {
	var cfg blaze.Config
	f := &ConnectionFactory{}
	if err := parseURL(url, &cfg, &f.o); err != nil {
		return nil, err
	}
	if err := f.prepare(cfg); err != nil {
		return nil, err
	}
	return f, nil
}

// NewConnectionFactory makes a factory. Its channel gets a copy of cfg. Config.Invoker is blaze.ErrUnsupported.
func NewConnectionFactory(cfg blaze.Config, opts ...Option) (*ConnectionFactory, error) {
	f := &ConnectionFactory{}
	for _, opt := range opts {
		if opt == nil {
			return nil, fmt.Errorf("%w: NewConnectionFactory: an option is nil", blaze.ErrArgument)
		}
		if err := opt(&f.o); err != nil {
			return nil, err
		}
	}
	if err := f.prepare(cfg); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *ConnectionFactory) prepare(cfg blaze.Config) error {
	if cfg.Invoker {
		return fmt.Errorf("%w: a ConnectionFactory with Config.Invoker: calls of this package wait for the engine", blaze.ErrUnsupported)
	}
	cfg.NoSelfDelivery = false // a consumer without NoLocal receives what its own connection publishes
	if err := cfg.Validate(); err != nil {
		return err
	}
	f.cfg = cfg
	f.o.setDefaults()
	return nil
}

// CreateContext makes a connection and its first session.
func (f *ConnectionFactory) CreateContext(mode AckMode) (*Context, error) {
	if err := mode.check(); err != nil {
		return nil, err
	}
	ch, err := f.acquire()
	if err != nil {
		return nil, err
	}
	conn := &connection{f: f, ch: ch, clientID: f.o.clientID, contexts: map[*Context]struct{}{}}
	_, _ = rand.Read(conn.id[:]) // it does not fail
	return conn.newContext(mode), nil
}

// channel is what the contexts of a factory share.
type channel struct {
	f       *ConnectionFactory
	g       *blaze.GroupChannel
	users   int           // connections, under ConnectionFactory.mu
	ids     atomic.Uint64 // of messages
	temps   atomic.Uint64 // of temporary destinations
	bad     atomic.Uint64 // messages that could not be read
	started chan struct{} // closed once err and g are there
	err     error
}

// acquire returns the channel for one connection more, and starts it if need be.
func (f *ConnectionFactory) acquire() (*channel, error) {
	f.mu.Lock()
	ch := f.shared
	first := ch == nil
	if first {
		ch = &channel{f: f, started: make(chan struct{})}
		f.shared = ch
	}
	ch.users++
	f.mu.Unlock()
	if first {
		ch.g, ch.err = f.start()
		close(ch.started)
	}
	<-ch.started
	if ch.err != nil {
		_ = ch.release()
		return nil, ch.err
	}
	return ch, nil
}

func (f *ConnectionFactory) start() (*blaze.GroupChannel, error) {
	g, err := blaze.NewGroupChannel("", f.cfg)
	if err != nil {
		return nil, err
	}
	if err := g.Start(); err != nil {
		_ = g.Shutdown()
		return nil, err
	}
	return g, nil
}

// release gives back what acquire returned. The last one stops the channel.
func (ch *channel) release() error {
	f := ch.f
	f.mu.Lock()
	ch.users--
	last := ch.users == 0
	if last && f.shared == ch {
		f.shared = nil
	}
	f.mu.Unlock()
	if !last || ch.g == nil {
		return nil
	}
	return ch.g.Shutdown()
}
