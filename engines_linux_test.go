package blaze_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

// flows checks what a member delivers: of each sender, on a topic of its own, every message once
// and in order.
type flows struct {
	t    *testing.T
	mu   sync.Mutex
	next map[string]int           // by topic
	want map[string]int           // messages
	done map[string]chan struct{} // closed when all have come
}

func newFlows(t *testing.T) *flows {
	return &flows{t: t, next: map[string]int{}, want: map[string]int{}, done: map[string]chan struct{}{}}
}

// expect begins to wait for count messages on a topic.
func (f *flows) expect(topic string, count int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want[topic], f.done[topic] = count, make(chan struct{})
	return f.done[topic]
}

// expectAll is expect for each of topics.
func (f *flows) expectAll(topics []string, count int) (done []<-chan struct{}) {
	for _, topic := range topics {
		done = append(done, f.expect(topic, count))
	}
	return done
}

func (f *flows) handle(d *blaze.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.next[d.Topic]
	if got, _, _ := bytes.Cut(d.Payload, []byte(" ")); string(got) != fmt.Sprint(n) {
		f.t.Errorf("%s: got %q, want %d", d.Topic, got, n)
	}
	if f.next[d.Topic] = n + 1; n+1 == f.want[d.Topic] {
		close(f.done[d.Topic])
	}
}

// long is message n, of some hundred bytes.
func long(n int) []byte { return append(fmt.Append(nil, n, " "), make([]byte, 300)...) }

func (f *flows) loss(l blaze.Loss) { f.t.Error(l) }

// senders starts members that send to r, each on a topic of its own, so that their datagrams arrive
// in all of its queues: a veth pair makes queue n of what was sent through queue n, or n-1, as the
// kernel is, and what comes in a queue that there is no engine for takes the kernel's way. The last
// one sends over udp.
func senders(t *testing.T, hub *testnet.Hub, cfg blaze.Config, queues int) (all []*blaze.Channel, topics []string) {
	t.Helper()
	uri := strings.Split(cfg.BroadcastURI, "&")[0]
	for i := range queues + 3 {
		cfg.BroadcastURI = fmt.Sprintf("%s&queue=%d", uri, i)
		if i == queues+2 {
			cfg.BroadcastURI = "udp" + strings.TrimPrefix(uri, "xdp")
		}
		all = append(all, startedIn(t, hub.MemberWith(queues+2), cfg))
		topics = append(topics, fmt.Sprint("from.", i))
	}
	return all, topics
}

// publishers are those of senders, each on its topic, once all the others and the receiver hear it.
func publishers(t *testing.T, from []*blaze.Channel, topics []string) (pubs []*blaze.Publisher) {
	t.Helper()
	for i, s := range from {
		pubs = append(pubs, publisher(t, s, topics[i], len(from)))
	}
	return pubs
}

// receiver starts a member with several engines on a hub.
func receiver(t *testing.T, hub *testnet.Hub, cfg blaze.Config, queues int) (*blaze.Channel, *testnet.Namespace) {
	t.Helper()
	n := hub.MemberWith(queues + 2)
	cfg.BroadcastURI += fmt.Sprintf("&queues=%d", queues)
	return startedIn(t, n, cfg), n
}

// quiet is over for members that share few cores.
func quiet(t *testing.T) blaze.Config {
	cfg := over(t, "xdp", "v0", "")
	cfg.Idle = blaze.Block
	cfg.Window, cfg.MaxMessageSize = 1<<20, 1<<16
	return cfg
}

// Senders whose datagrams arrive in different queues, 1 % of everything lost: of each sender every
// message once and in order, whichever engine has it, and every engine has some.
func TestEachQueueHasAnEngine(t *testing.T) {
	fastPath(t)
	count := 10_000
	if testing.Short() {
		count = 1000
	}
	for _, queues := range []int{2, 4} {
		for _, kind := range []string{"inline", "queued", "pausing"} {
			t.Run(fmt.Sprintf("%d %s", queues, kind), func(t *testing.T) {
				hub, cfg := testnet.NewHub(t), quiet(t)
				lossy(&cfg, 0.01)
				var opts []blaze.SubscribeOption
				switch kind {
				case "inline":
					opts = append(opts, blaze.Inline())
				case "pausing":
					cfg.SubscriptionQueue = 8
				}
				r, _ := receiver(t, hub, cfg, queues)
				f := newFlows(t)
				if _, err := r.SubscribePayload("from.>", f.handle, append(opts, blaze.OnLoss(f.loss))...); err != nil {
					t.Fatal(err)
				}
				from, topics := senders(t, hub, cfg, queues)
				done, pubs := f.expectAll(topics, count), publishers(t, from, topics)
				// And back: what this member sends is for its first engine, in whichever queue it is asked for.
				fb := newFlows(t)
				if _, err := from[0].SubscribePayload("back", fb.handle, blaze.OnLoss(fb.loss)); err != nil {
					t.Fatal(err)
				}
				done = append(done, fb.expect("back", count))
				pubs = append(pubs, publisher(t, r, "back", len(from)))
				for n := range count {
					for _, p := range pubs {
						offer(t, p, long(n))
					}
				}
				for i, d := range done {
					next(t, d, fmt.Sprint("last message of flow ", i))
				}
				s := r.Stats()
				if len(s.Engines) != queues {
					t.Fatalf("%d engines", len(s.Engines))
				}
				delivered, forwarded := uint64(0), uint64(0)
				for i, e := range s.Engines {
					mine := e.Nack.Delivered - e.Nack.OwnDelivered
					t.Logf("engine %d: received %d, delivered %d, streams %d, %+v", i, e.Engine.Received, mine, e.Nack.Streams, e.Shard)
					if mine < uint64(count) {
						t.Errorf("engine %d delivered %d", i, mine)
					}
					delivered += mine
					forwarded += e.Shard.Forwarded
				}
				if want := uint64(count * len(from)); s.Nack.Delivered-s.Nack.OwnDelivered != want || delivered != want {
					t.Errorf("%d delivered, %d by all engines, want %d", s.Nack.Delivered-s.Nack.OwnDelivered, delivered, want)
				}
				if s.Nack.Repaired == 0 || s.InjectedLoss == 0 || forwarded == 0 {
					t.Errorf("%d lost, %d repaired, %d forwarded", s.InjectedLoss, s.Nack.Repaired, forwarded)
				}
				if kind == "pausing" && s.Pauses == 0 {
					t.Error("no pause")
				}
			})
		}
	}
}

// The streams of all engines are reported in one order, one call at a time; a handler that comes late
// gets those that are there.
func TestOnStreamOfSeveralEngines(t *testing.T) {
	fastPath(t)
	const queues = 2
	hub, cfg := testnet.NewHub(t), quiet(t)
	r, _ := receiver(t, hub, cfg, queues)
	log := onStream(t, r)
	from, topics := senders(t, hub, cfg, queues)
	publishers(t, from, topics)
	publisher(t, r, "back", len(from))
	const started, joined, left = blaze.StreamStarted, blaze.ReceiverJoined, blaze.StreamLeft
	for _, s := range from {
		log.until(t, s.ID(), started, joined)
	}
	for i, e := range r.Stats().Engines {
		if e.Nack.Streams == 0 {
			t.Errorf("engine %d receives no stream", i)
		}
	}
	late := onStream(t, r)
	for i, s := range from {
		id := s.ID()
		late.until(t, id, started, joined)
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprint("sender ", i, " has left"), func() bool { return len(log.of(id)) == 4 && len(late.of(id)) == 4 })
		for _, l := range []*streamLog{log, late} {
			all := l.kinds(id) // both ends come in one datagram or two, at two engines
			if all[0] != started || all[1] != joined || !slices.Contains(all[2:], left) || !slices.Contains(all[2:], blaze.ReceiverLeft) {
				t.Errorf("told %v of sender %d", all, i)
			}
		}
	}
}

// A sender dies without a farewell, and the next one comes from its place: with another name, so
// that any engine may have it.
func TestEnginesOutliveSenders(t *testing.T) {
	fastPath(t)
	const queues, count = 2, 500
	hub, cfg := testnet.NewHub(t), quiet(t)
	lossy(&cfg, 0.01)
	r, _ := receiver(t, hub, cfg, queues)
	f := newFlows(t)
	if _, err := r.SubscribePayload("from.>", f.handle, blaze.Inline(), blaze.OnLoss(f.loss)); err != nil {
		t.Fatal(err)
	}
	place := hub.MemberWith(queues + 2)
	for i := range 6 {
		s := cfg
		s.BroadcastURI += fmt.Sprintf("&queue=%d", i%(queues+2))
		s.Linger = time.Millisecond
		c, err := tryIn(place, s)
		if err != nil {
			t.Fatal(err)
		}
		topic := fmt.Sprint("from.", i)
		done := f.expect(topic, count)
		p := publisher(t, c, topic, 1)
		for n := range count {
			offer(t, p, fmt.Append(nil, n))
		}
		next(t, done, "last message of "+topic)
		if i%2 == 0 {
			place.IP(t, "link set v0 down") // nobody hears its farewell
		}
		_ = c.Shutdown()
		place.IP(t, "link set v0 up")
	}
}

// The receiver's interface goes down for a moment, and is even removed, under traffic: what was
// missed meanwhile is repaired.
func TestEnginesInterfaceDownAndUp(t *testing.T) {
	fastPath(t)
	const queues, count = 2, 3000
	hub, cfg := testnet.NewHub(t), quiet(t)
	cfg.FailureTimeout = 30 * time.Second // nobody is evicted over it
	r, n := receiver(t, hub, cfg, queues)
	f := newFlows(t)
	if _, err := r.SubscribePayload("from.>", f.handle, blaze.OnLoss(f.loss)); err != nil {
		t.Fatal(err)
	}
	from, topics := senders(t, hub, cfg, queues)
	done, pubs := f.expectAll(topics, count), publishers(t, from, topics)
	for m := range count {
		for _, p := range pubs {
			offer(t, p, fmt.Append(nil, m))
		}
		switch m {
		case count / 4:
			n.IP(t, "link set v0 down")
		case count/4 + 1:
			n.IP(t, "link set v0 up")
		case count / 2:
			hub.Unplug(0)
		case count/2 + 1:
			hub.Plug(0)
		}
	}
	for i, d := range done {
		select {
		case <-d:
		case <-time.After(4 * patience): // neighbours find each other again, and pauses have grown
			t.Fatalf("flow %d does not go on", i)
		}
	}
	busy := 0
	s := r.Stats()
	for _, e := range s.Engines {
		if e.Nack.Streams > 0 {
			busy++
		}
	}
	if busy != queues || s.XDP.Downs == 0 {
		t.Errorf("%d engines have streams; the link was down %d times", busy, s.XDP.Downs)
	}
}

// Inline handlers on several engines at once call what they like, while others do from outside, and
// nobody waits for anybody for ever. At last all of them stop the channel.
func TestHandlersOfSeveralEnginesMayCallAnything(t *testing.T) {
	fastPath(t)
	const queues, count = 2, 300
	hub, cfg := testnet.NewHub(t), quiet(t)
	r, _ := receiver(t, hub, cfg, queues)
	var mu sync.Mutex
	calls := map[string]int{}
	stop := make(chan struct{})
	everything := func() {
		if s := r.Stats(); s.State == blaze.Started && len(s.Engines) != queues {
			t.Errorf("%d engines", len(s.Engines))
		}
		s, err := r.SubscribePayload("from.>", func(*blaze.Delivery) {}, blaze.Inline())
		if err != nil {
			t.Error(err)
			return
		}
		s.Close()
	}
	if _, err := r.SubscribePayload("from.>", func(d *blaze.Delivery) {
		everything()
		if err := r.Broadcast(context.Background(), "own", blaze.NewMessage()); err != nil && !errors.Is(err, blaze.ErrBackPressure) && !errors.Is(err, blaze.ErrClosed) && !errors.Is(err, blaze.ErrState) {
			t.Error(err)
		}
		mu.Lock()
		calls[d.Topic]++
		mu.Unlock()
		select {
		case <-stop:
			if err := r.Stop(); err != nil {
				t.Error(err)
			}
		default:
		}
	}, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	from, topics := senders(t, hub, cfg, queues)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for r.State() == blaze.Started {
			everything()
		}
	}()
	pubs := publishers(t, from, topics)
	for range count {
		for _, p := range pubs {
			offer(t, p, nil)
		}
	}
	eventually(t, "every handler has run", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range calls {
			if n != count {
				return false
			}
		}
		return len(calls) == len(pubs)
	})
	close(stop)
	for _, p := range pubs {
		offer(t, p, nil)
	}
	eventually(t, "stopped", func() bool { return r.State() == blaze.Stopped })
	next(t, ended, "end of who asks from outside")
	eventually(t, "what was counted", func() bool {
		s := r.Stats()
		return len(s.Engines) == queues && s.Nack.Delivered >= uint64(count*len(pubs))
	})
}

// Stop and Shutdown while all queues are full of traffic: no error, no buffer lost (Shutdown panics
// over one), and the next start works.
func TestEnginesStopUnderLoad(t *testing.T) {
	fastPath(t)
	const queues = 2
	hub, cfg := testnet.NewHub(t), quiet(t)
	cfg.FlowControl, cfg.Linger = blaze.Fastest, 100*time.Millisecond
	n := hub.MemberWith(queues + 2)
	from, topics := senders(t, hub, cfg, queues)
	quit := make(chan struct{})
	var sending sync.WaitGroup
	for i, s := range from {
		p, err := s.Publisher(topics[i])
		if err != nil {
			t.Fatal(err)
		}
		sending.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				if p.Offer(make([]byte, 200)) != nil {
					runtime.Gosched()
				}
			}
		})
	}
	rc := cfg
	rc.BroadcastURI += fmt.Sprintf("&queues=%d", queues)
	c, err := blaze.NewChannel(rc)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan struct{}, 1)
	for _, opts := range [][]blaze.SubscribeOption{nil, {blaze.Inline()}} {
		c.SubscribePayload("from.>", func(*blaze.Delivery) {
			select {
			case got <- struct{}{}:
			default:
			}
		}, opts...)
	}
	for i := range 6 {
		n.Do(func() { err = c.Start() })
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			next(t, got, "message")
		}
		end := c.Stop
		if i%2 == 1 {
			end = c.Shutdown
		}
		if err := end(); err != nil && !errors.Is(err, blaze.ErrClosed) && !strings.Contains(err.Error(), "not taken by their handlers") {
			t.Error(err)
		}
	}
	close(quit)
	sending.Wait()
	if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
}

// Starting and stopping several engines leaves nothing behind.
func TestEnginesLeakNothing(t *testing.T) {
	fastPath(t)
	rounds := 50
	if testing.Short() {
		rounds = 15
	}
	hub, cfg := testnet.NewHub(t), quiet(t)
	n := hub.MemberWith(4)
	cfg.BroadcastURI += "&queues=4"
	c, err := blaze.NewChannel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Subscribe("a", func(*blaze.Message) {})
	round := func() {
		var err error
		for _, f := range []func() error{c.Start, c.Stop, c.Start, c.Shutdown} {
			if n.Do(func() { err = f() }); err != nil {
				t.Fatal(err)
			}
		}
	}
	leaveNothing(t, n, rounds, round)
}

// An engine that cannot be pinned ends the start of all.
func TestEnginesArePinned(t *testing.T) {
	fastPath(t)
	hub, cfg := testnet.NewHub(t), quiet(t)
	n := hub.MemberWith(2)
	cfg.BroadcastURI += "&queues=2"
	cfg.EngineCPUs = []int{0, 60_000}
	if c, err := tryIn(n, cfg); err == nil || !strings.Contains(err.Error(), "60000") {
		c.Shutdown()
		t.Fatal("an engine runs on a CPU that is not there:", err)
	} else if err := c.Shutdown(); err != nil {
		t.Error(err)
	}
	cfg.EngineCPUs = []int{0} // fewer: the others are not pinned
	startedIn(t, n, cfg)
}

// With an Invoker one thread turns all queues, as it does without.
func TestInvokerTurnsAllQueues(t *testing.T) {
	fastPath(t)
	const queues, count = 3, 200
	hub, cfg := testnet.NewHub(t), quiet(t)
	ic := cfg
	ic.Invoker = true
	r, _ := receiver(t, hub, ic, queues)
	got := 0
	if _, err := r.SubscribePayload("from.>", func(*blaze.Delivery) { got++ }, blaze.Inline()); err != nil {
		t.Fatal(err)
	}
	from, topics := senders(t, hub, cfg, queues)
	var pubs []*blaze.Publisher
	for i, s := range from {
		p, err := s.Publisher(topics[i])
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the receiver", func() bool { r.Turn(); return p.Receivers() == len(from) })
		pubs = append(pubs, p)
	}
	for range count {
		for _, p := range pubs {
			offer(t, p, nil)
			r.Turn()
		}
	}
	eventually(t, "all messages", func() bool {
		for r.Turn() > 0 {
		}
		return got == count*len(pubs)
	})
	if s := r.Stats(); len(s.Engines) != 1 || s.XDP.RecvDatagrams == s.XDP.RecvKernel {
		t.Errorf("%d engines, %d datagrams past the kernel", len(s.Engines), s.XDP.RecvDatagrams-s.XDP.RecvKernel)
	}
}

// In the steady state nothing is allocated for a message, on whichever engine.
func TestEnginesAllocateNothing(t *testing.T) {
	fastPath(t)
	const queues, each = 2, 500
	for name, opts := range map[string][]blaze.SubscribeOption{"inline": {blaze.Inline()}, "queued": nil} {
		t.Run(name, func(t *testing.T) {
			hub, cfg := testnet.NewHub(t), quiet(t)
			r, _ := receiver(t, hub, cfg, queues)
			var got atomic.Uint64
			if _, err := r.SubscribePayload("from.>", func(*blaze.Delivery) { got.Add(1) }, opts...); err != nil {
				t.Fatal(err)
			}
			from, topics := senders(t, hub, cfg, queues)
			pubs := publishers(t, from, topics)
			payload := make([]byte, 64)
			sent := uint64(0)
			round := func() {
				for range each {
					for _, p := range pubs {
						offer(t, p, payload)
						sent++
					}
				}
				for end := time.Now().Add(patience); got.Load() < sent; runtime.Gosched() {
					if time.Now().After(end) {
						t.Fatalf("%d of %d came", got.Load(), sent)
					}
				}
			}
			for range 20 {
				round()
			}
			most := 0.0
			if opts == nil { // the handler's goroutine sleeps and wakes, and the runtime makes threads for it now and then
				most = float64(each*len(pubs)) / 1000
			}
			n := testing.AllocsPerRun(20, round)
			t.Logf("%v allocations for %d messages", n, each*len(pubs))
			if n > most {
				t.Errorf("%v allocations for %d messages", n, each*len(pubs))
			}
		})
	}
}

// A ring in which one member has several engines: what comes of it in any queue is the first one's.
func TestTotemOverSeveralQueues(t *testing.T) {
	fastPath(t)
	const queues, count = 2, 500
	hub, cfg := testnet.NewHub(t), quiet(t)
	lossy(&cfg, 0.01)
	cfg.Protocol = blaze.Totem
	cfg.Totem.Profile = blaze.Shared
	r, _ := receiver(t, hub, cfg, queues)
	members, _ := senders(t, hub, cfg, queues)
	members = append(members, r)
	var mu sync.Mutex
	orders := make([][]string, len(members))
	for i, c := range members {
		if _, err := c.SubscribePayload("all", func(d *blaze.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			orders[i] = append(orders[i], string(d.Payload))
		}, blaze.OnLoss(func(l blaze.Loss) { t.Errorf("member %d: %v", i, l) })); err != nil {
			t.Fatal(err)
		}
	}
	var pubs []*blaze.Publisher
	for _, c := range members {
		pubs = append(pubs, publisher(t, c, "all", len(members)-1))
	}
	for n := range count {
		for i, p := range pubs {
			offer(t, p, fmt.Appendf(nil, "%d.%d", i, n))
		}
	}
	eventually(t, "all messages everywhere", func() bool {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range orders {
			if len(o) < count*len(pubs) {
				return false
			}
		}
		return true
	})
	for i, o := range orders {
		if !slices.Equal(o, orders[0]) {
			t.Errorf("member %d delivered in another order", i)
		}
	}
	forwarded := uint64(0)
	for _, e := range r.Stats().Engines {
		forwarded += e.Shard.Forwarded
	}
	if forwarded == 0 {
		t.Error("nothing of the ring came in another queue than the first")
	}
}
