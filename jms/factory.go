package jms

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/reach"
	"github.com/activeblaze/blaze/jms/held"
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

// CreateContext makes a connection and its first session. With role Holder it returns once the queues are held. With
// RequireStore it is blaze.ErrUnsupported where the holders have no DataDir. The other errors are those of the channel's
// Start, and ErrNotHeld.
func (f *ConnectionFactory) CreateContext(mode AckMode) (*Context, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.o.wait+becomeWait)
	defer cancel()
	return f.open(ctx, mode)
}

// open is CreateContext, which waits no longer than ctx for this process to become a holder.
func (f *ConnectionFactory) open(ctx context.Context, mode AckMode) (*Context, error) {
	if err := mode.check(); err != nil {
		return nil, err
	}
	ch, err := f.acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := &connection{f: f, ch: ch, clientID: f.o.clientID, contexts: map[*Context]struct{}{}, linking: make(chan struct{}, 1)}
	_, _ = crand.Read(conn.id[:]) // it does not fail
	c := conn.newContext(mode)
	if f.o.role == Holder || f.o.requireStore { // its options of queues count from now on; and who stores shows now
		ctx, cancel := context.WithTimeout(context.Background(), f.o.wait+becomeWait)
		defer cancel()
		if _, err := conn.holders(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// channel is what the contexts of a factory share.
type channel struct {
	f       *ConnectionFactory
	g       *blaze.GroupChannel
	users   int           // connections, under ConnectionFactory.mu
	ids     atomic.Uint64 // of messages
	temps   atomic.Uint64 // of temporary destinations
	numbers atomic.Uint64 // of connections at the holders
	bad     atomic.Uint64 // messages that could not be read
	started chan struct{} // closed once err and g are there
	began   time.Time     // when g was
	// A connection that begins has the token from before it has its number until the holders have it: to them a lower
	// number than their last one is of a connection that has ended.
	beginning chan struct{}
	err       error

	holding sync.Mutex // held while this process becomes a holder
	own     atomic.Pointer[holder]
	traffic traffic

	mu    sync.Mutex
	inbox *blaze.Subscription // of notices; nil: nobody needed it
	links map[uint64]*link    // by number
}

// acquire returns the channel for one connection more, and starts it if need be.
func (f *ConnectionFactory) acquire(ctx context.Context) (*channel, error) {
	f.mu.Lock()
	ch := f.shared
	first := ch == nil
	if first {
		ch = &channel{f: f, started: make(chan struct{}), beginning: make(chan struct{}, 1), links: map[uint64]*link{}}
		ch.traffic.ch = ch
		f.shared = ch
	}
	ch.users++
	f.mu.Unlock()
	if first {
		ch.err = ch.start(ctx)
		ch.began = time.Now()
		close(ch.started)
	}
	<-ch.started
	if ch.err != nil {
		_ = ch.release()
		return nil, ch.err
	}
	return ch, nil
}

// becomeWait is how long a process that becomes a holder waits for the others.
const becomeWait = 30 * time.Second

func (ch *channel) start(ctx context.Context) error {
	f := ch.f
	if f.o.role == Holder { // one channel for both
		h, err := hold(ctx, f.cfg, blaze.MemberID{}, ch.traffic.notice)
		if err != nil {
			return err
		}
		ch.g = h.c.GroupChannel
		ch.own.Store(h)
		return nil
	}
	g, err := blaze.NewGroupChannel("", f.cfg)
	if err != nil {
		return err
	}
	if err := g.Start(); err != nil {
		_ = g.Shutdown()
		return err
	}
	ch.g = g
	return nil
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
	ch.holding.Lock()
	own := ch.own.Swap(nil)
	ch.holding.Unlock()
	var errs []error
	if own != nil {
		errs = append(errs, own.close())
	}
	if own == nil || own.c.GroupChannel != ch.g {
		errs = append(errs, ch.g.Shutdown())
	}
	return errors.Join(errs...)
}

// listen has notices of l come here.
func (ch *channel) listen(l *link) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.inbox == nil {
		s, err := reach.Blaze.Serve(ch.g, clientInbox, ch.traffic.notices)
		if err != nil {
			return err
		}
		ch.g.OnMember(func(e blaze.MemberEvent) {
			if e.Kind == blaze.MemberStopped || e.Kind == blaze.MemberFailed {
				ch.refresh() // it may be a holder of which a connection waits for notices only
			}
		})
		ch.inbox = s.(*blaze.Subscription)
	}
	ch.links[l.number] = l
	return nil
}

// holds reports whether a member is a holder, as far as this one knows. Others have nothing to report.
func (ch *channel) holds(id blaze.MemberID) bool {
	m, ok := ch.g.Member(id)
	return ok && slices.Contains(m.Groups, holderGroup)
}

func (ch *channel) forget(l *link) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.links, l.number)
}

// notice hands what a holder reports to the connection that it is for.
func (ch *channel) notice(n *held.Notice) {
	ch.mu.Lock()
	l := ch.links[n.Conn]
	ch.mu.Unlock()
	if l != nil {
		l.notice(n)
	}
}

// refresh has the connections look which holders there are.
func (ch *channel) refresh() {
	ch.mu.Lock()
	all := slices.Collect(maps.Values(ch.links))
	ch.mu.Unlock()
	for _, l := range all {
		l.refresh()
	}
}

// holders are those that connections can use, in the order of this member's host: hosts spread over them. Members of one
// host use the same one, where what they send reaches the ring together.
func (ch *channel) holders() (all []held.Member) {
	if own := ch.own.Load(); own != nil {
		return []held.Member{held.Member(own.c.ID())}
	}
	for _, m := range ch.g.MembersOf(holderGroup) {
		all = append(all, held.Member(m.ID))
	}
	self, _ := ch.g.Member(ch.g.ID())
	host := self.Addr.Addr().As16()
	slices.SortFunc(all, func(a, b held.Member) int { return cmp.Compare(rank(host, a), rank(host, b)) })
	return all
}

// rank is the same in all programs of a host.
func rank(host [16]byte, m held.Member) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(host[:])
	_, _ = h.Write(m[:])
	return h.Sum64()
}

// ownHolder is the holder of this process if it is m; else nil.
func (ch *channel) ownHolder(m held.Member) *holder {
	if own := ch.own.Load(); own != nil && held.Member(own.c.ID()) == m {
		return own
	}
	return nil
}

// findHolder returns when there is a holder. Where there is none, this process becomes one or waits, as the role has it.
func (ch *channel) findHolder(ctx context.Context) error {
	o := &ch.f.o
	began := time.Now()
	for len(ch.holders()) == 0 {
		if o.role != Client && time.Since(began) >= o.wait {
			_, err := ch.become(ctx)
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNotHeld, ended(ctx, "looking for a holder"))
		case <-time.After(min(10*time.Millisecond, o.wait)):
		}
	}
	return nil
}

// become makes this process a holder.
func (ch *channel) become(ctx context.Context) (*holder, error) {
	ch.holding.Lock()
	defer ch.holding.Unlock()
	if own := ch.own.Load(); own != nil {
		return own, nil
	}
	own, err := hold(ctx, ch.f.cfg, ch.g.ID(), ch.traffic.notice)
	if err != nil {
		return nil, err
	}
	ch.own.Store(own)
	return own, nil
}
