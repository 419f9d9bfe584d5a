package jms

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/words"
)

// Role says whether a process holds queues.
type Role uint8

// The roles.
const (
	Auto   Role = iota // uses holders that are there, and becomes one when there is none for Wait
	Holder             // holds queues
	Client             // waits for a holder
)

var roleNames = []string{"auto", "holder", "client"}

// String is the name as jms.role has it.
func (r Role) String() string { return roleNames[min(int(r), len(roleNames)-1)] }

// Defaults and ranges of options.
const (
	DefaultWait         = 2 * time.Second
	DefaultPrefetch     = 64
	DefaultAsyncWindow  = 1024
	DefaultDirectBuffer = 1024

	maxWait   = time.Hour
	maxWindow = 65_536
)

// options are what a factory has besides its Config.
type options struct {
	clientID     string
	role         Role
	wait         time.Duration
	requireStore bool
	noAutoCreate bool
	queues       []string
	depth        uint64
	depthOf      map[string]uint64
	bytesOf      map[string]uint64

	maxRedeliveries   int64
	redeliveryDelay   time.Duration
	backoff           bool
	deadLetterExpired bool

	prefetch     int
	asyncWindow  int
	directBuffer int
}

// Option is an option of NewConnectionFactory. Its counterpart in a URL is in its comment.
type Option func(*options) error

// WithRole is jms.role: auto (the default), holder or client.
func WithRole(r Role) Option {
	return func(o *options) error {
		if r > Client {
			return fmt.Errorf("%w: role %d", blaze.ErrConfig, r)
		}
		o.role = r
		return nil
	}
}

// ClientID is jms.clientID: the name that durable subscriptions of the factory's connections belong to. It is 1 to 255
// bytes of UTF-8.
func ClientID(id string) Option {
	return func(o *options) error {
		if err := checkClientID(id); err != nil {
			return err
		}
		o.clientID = id
		return nil
	}
}

// Wait is jms.wait: how long a holder is looked for, 1 ms to 1 h; zero: DefaultWait. With role Auto the process then
// becomes one. With Client it is how long calls wait that are given no deadline.
func Wait(d time.Duration) Option {
	return func(o *options) error { return inRange("wait", d, time.Millisecond, maxWait, &o.wait) }
}

// RequireStore is jms.requireStore: CreateContext fails where the holders have no DataDir.
func RequireStore() Option {
	return func(o *options) error { o.requireStore = true; return nil }
}

// Queues are jms.queues, and jms.autoCreate=false: queues of other names are not made by naming them.
func Queues(names ...string) Option {
	return func(o *options) error {
		for _, name := range names {
			if err := checkQueueName(name); err != nil {
				return err
			}
		}
		o.noAutoCreate, o.queues = true, append(o.queues, names...)
		return nil
	}
}

// Depth is jms.depth: how many messages a queue may have, 1 to 2^40-1; the default is 100,000.
func Depth(messages int64) Option {
	return func(o *options) error { return inRange("depth", uint64(messages), 1, 1<<40-1, &o.depth) }
}

// QueueDepth is jms.depth.NAME: Depth of one queue.
func QueueDepth(queue string, messages int64) Option {
	return func(o *options) error { return ofQueue("depth", queue, uint64(messages), 1<<40-1, &o.depthOf) }
}

// QueueBytes is jms.bytes.NAME: how many bytes a queue may have, 1 to 2^60-1; the default is 256 MiB.
func QueueBytes(queue string, bytes int64) Option {
	return func(o *options) error { return ofQueue("bytes", queue, uint64(bytes), 1<<60-1, &o.bytesOf) }
}

// MaxRedeliveries is jms.maxRedeliveries: how often a message is delivered again before it goes to the dead-letter
// queue, 1 to 1,000,000; -1: any number of times. The default is 6.
func MaxRedeliveries(n int) Option {
	return func(o *options) error {
		if n == -1 {
			o.maxRedeliveries = -1
			return nil
		}
		return inRange("maxRedeliveries", int64(n), 1, 1_000_000, &o.maxRedeliveries)
	}
}

// RedeliveryDelay is jms.redeliveryDelay, to the millisecond: how long a message that was not acknowledged waits, at most
// 1 h. With backoff (jms.redeliveryBackoff) each redelivery waits twice as long as the one before it.
func RedeliveryDelay(d time.Duration, backoff bool) Option {
	return func(o *options) error {
		o.backoff = backoff
		return inRange("redeliveryDelay", d, 0, time.Hour, &o.redeliveryDelay)
	}
}

// DeadLetterExpired is jms.deadLetterExpired: what expires in a queue goes to its dead-letter queue.
func DeadLetterExpired() Option {
	return func(o *options) error { o.deadLetterExpired = true; return nil }
}

// Prefetch is jms.prefetch: how many messages of a queue a listener is sent ahead, 1 to 1,000; the default is 64.
func Prefetch(n int) Option {
	return func(o *options) error { return inRange("prefetch", n, 1, 1000, &o.prefetch) }
}

// AsyncWindow is jms.asyncWindow: how many SendAsync of a context may be under way, 1 to 65,536; the default is 1,024.
func AsyncWindow(n int) Option {
	return func(o *options) error { return inRange("asyncWindow", n, 1, maxWindow, &o.asyncWindow) }
}

// DirectBuffer is jms.directBuffer: how many messages of direct queues a connection keeps until their consumers are done
// with them, 1 to 65,536; the default is 1,024.
func DirectBuffer(n int) Option {
	return func(o *options) error { return inRange("directBuffer", n, 1, maxWindow, &o.directBuffer) }
}

func inRange[T int | int64 | uint64 | time.Duration](name string, v, low, high T, to *T) error {
	if v < low || v > high {
		return fmt.Errorf("%w: jms.%s = %v: must be %v to %v", blaze.ErrConfig, name, v, low, high)
	}
	*to = v
	return nil
}

func ofQueue(what, queue string, v, high uint64, to *map[string]uint64) error {
	if err := checkQueueName(queue); err != nil {
		return err
	}
	var x uint64
	if err := inRange(what+"."+queue, v, 1, high, &x); err != nil {
		return err
	}
	if *to == nil {
		*to = make(map[string]uint64)
	}
	(*to)[queue] = x
	return nil
}

func checkClientID(id string) error {
	if err := checkQueueName(id); err != nil {
		return fmt.Errorf("%w: the client id %q: 1 to 255 bytes of UTF-8 without control characters, not beginning with \"blaze.\"", blaze.ErrArgument, words.Abridged(id))
	}
	return nil
}

// setDefaults fills in what was not given.
func (o *options) setDefaults() {
	if o.wait == 0 {
		o.wait = DefaultWait
	}
	if o.prefetch == 0 {
		o.prefetch = DefaultPrefetch
	}
	if o.asyncWindow == 0 {
		o.asyncWindow = DefaultAsyncWindow
	}
	if o.directBuffer == 0 {
		o.directBuffer = DefaultDirectBuffer
	}
}

// setters are the options of a URL, but for those that name a queue.
var setters = map[string]func(cfg *blaze.Config, o *options, value string) error{
	"cluster":  func(cfg *blaze.Config, _ *options, v string) error { cfg.Cluster = v; return nil },
	"name":     func(cfg *blaze.Config, _ *options, v string) error { cfg.Name = v; return nil },
	"dataDir":  func(cfg *blaze.Config, _ *options, v string) error { cfg.DataDir = v; return nil },
	"clientID": func(_ *blaze.Config, o *options, v string) error { return ClientID(v)(o) },
	"role": func(_ *blaze.Config, o *options, v string) error {
		i := slices.Index(roleNames, v)
		if i < 0 {
			return fmt.Errorf("must be %s", words.Alternatives(roleNames))
		}
		o.role = Role(i)
		return nil
	},
	"holders": func(cfg *blaze.Config, _ *options, v string) (err error) {
		cfg.ExpectedMembers, err = strconv.Atoi(v)
		return err
	},
	"wait":         duration(func(o *options, d time.Duration) error { return Wait(d)(o) }),
	"requireStore": boolean(func(o *options, b bool) { o.requireStore = b }),
	"autoCreate":   boolean(func(o *options, b bool) { o.noAutoCreate = !b }),
	"queues": func(_ *blaze.Config, o *options, v string) error {
		auto := o.noAutoCreate
		err := Queues(strings.Split(v, ",")...)(o)
		o.noAutoCreate = auto // jms.autoCreate says so
		return err
	},
	"depth":             number(func(o *options, n int64) error { return Depth(n)(o) }),
	"maxRedeliveries":   number(func(o *options, n int64) error { return MaxRedeliveries(int(n))(o) }),
	"redeliveryDelay":   duration(func(o *options, d time.Duration) error { return RedeliveryDelay(d, o.backoff)(o) }),
	"redeliveryBackoff": boolean(func(o *options, b bool) { o.backoff = b }),
	"deadLetterExpired": boolean(func(o *options, b bool) { o.deadLetterExpired = b }),
	"prefetch":          number(func(o *options, n int64) error { return Prefetch(int(n))(o) }),
	"asyncWindow":       number(func(o *options, n int64) error { return AsyncWindow(int(n))(o) }),
	"directBuffer":      number(func(o *options, n int64) error { return DirectBuffer(int(n))(o) }),
}

func duration(set func(*options, time.Duration) error) func(*blaze.Config, *options, string) error {
	return func(_ *blaze.Config, o *options, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil {
			return fmt.Errorf("must be a duration, as 500ms")
		}
		return set(o, d)
	}
}

func number(set func(*options, int64) error) func(*blaze.Config, *options, string) error {
	return func(_ *blaze.Config, o *options, v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > math.MaxInt32 && strconv.IntSize == 32 {
			return fmt.Errorf("must be a number")
		}
		return set(o, n)
	}
}

func boolean(set func(*options, bool)) func(*blaze.Config, *options, string) error {
	return func(_ *blaze.Config, o *options, v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("must be true or false")
		}
		set(o, b)
		return nil
	}
}

// parseURL takes the options that begin with "jms." out of a URL. What is left is a Config.BroadcastURI.
func parseURL(text string, cfg *blaze.Config, o *options) error {
	scheme, rest, _ := strings.Cut(text, "://")
	authority, query, _ := strings.Cut(rest, "?")
	if strings.Contains(authority, "@") {
		return fmt.Errorf("%w: the URL has a user: nobody could check it", ErrNotAuthorized)
	}
	var kept []string
	type pair struct{ key, value string }
	var pairs []pair
	for option := range strings.SplitSeq(query, "&") {
		name, found := strings.CutPrefix(option, "jms.")
		if !found {
			if option != "" {
				kept = append(kept, option)
			}
			continue
		}
		key, value, _ := strings.Cut(name, "=")
		key, kerr := url.QueryUnescape(key)
		value, verr := url.QueryUnescape(value)
		if kerr != nil || verr != nil {
			return fmt.Errorf("%w: jms.%s: a bad escape in the URL", blaze.ErrConfig, words.Abridged(name))
		}
		pairs = append(pairs, pair{key, value})
	}
	for _, p := range pairs {
		if err := set(cfg, o, p.key, p.value); err != nil {
			return err
		}
	}
	cfg.BroadcastURI = scheme + "://" + authority
	if len(kept) > 0 {
		cfg.BroadcastURI += "?" + strings.Join(kept, "&")
	}
	return nil
}

func set(cfg *blaze.Config, o *options, key, value string) error {
	if key == "user" || key == "userName" || key == "password" {
		return fmt.Errorf("%w: jms.%s: nobody could check it", ErrNotAuthorized, key)
	}
	if queue, found := strings.CutPrefix(key, "depth."); found {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: jms.%s = %q: must be a number", blaze.ErrConfig, words.Abridged(key), words.Abridged(value))
		}
		return QueueDepth(queue, n)(o)
	}
	if queue, found := strings.CutPrefix(key, "bytes."); found {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: jms.%s = %q: must be a number", blaze.ErrConfig, words.Abridged(key), words.Abridged(value))
		}
		return QueueBytes(queue, n)(o)
	}
	setter := setters[key]
	if setter == nil {
		known := []string{"bytes.NAME", "depth.NAME"}
		for name := range setters {
			known = append(known, name)
		}
		slices.Sort(known)
		return fmt.Errorf("%w: jms.%s: no such option; there are jms.%s", blaze.ErrConfig, words.Abridged(key), strings.Join(known, ", jms."))
	}
	if err := setter(cfg, o, value); err != nil {
		return fmt.Errorf("%w: jms.%s = %q: %w", blaze.ErrConfig, key, words.Abridged(value), err)
	}
	return nil
}
