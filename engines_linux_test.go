package blaze_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/hook"
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

func (f *flows) handle(d *blaze.Delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.next[d.Topic]
	if string(d.Payload) != fmt.Sprint(n) {
		f.t.Errorf("%s: got %q, want %d", d.Topic, d.Payload, n)
	}
	if f.next[d.Topic] = n + 1; n+1 == f.want[d.Topic] {
		close(f.done[d.Topic])
	}
}

func (f *flows) loss(l blaze.Loss) { f.t.Error(l) }

// Senders whose datagrams arrive in different queues, 1 % of everything lost: of each sender every
// message once and in order, whichever engine has it, and every engine has some.
func TestEachQueueHasAnEngine(t *testing.T) {
	testnet.NeedAFXDP(t)
	hook.Drop.P, hook.Drop.Seed = 0.01, 11
	defer func() { hook.Drop.P = 0 }()
	count := 10_000
	if testing.Short() {
		count = 3000
	}
	for _, queues := range []int{2, 4} {
		for name, opts := range map[string][]blaze.SubscribeOption{"inline": {blaze.Inline()}, "queued": nil} {
			t.Run(fmt.Sprintf("%d %s", queues, name), func(t *testing.T) {
				hub := testnet.NewHub(t)
				cfg := over(t, "xdp", "v0", "")
				cfg.Idle = blaze.Block // there are fewer cores than engines
				uri := cfg.BroadcastURI
				cfg.BroadcastURI = fmt.Sprintf("%s&queues=%d", uri, queues)
				r := startedIn(t, hub.MemberWith(queues+2), cfg)
				f := newFlows(t)
				if _, err := r.SubscribePayload("from.>", f.handle, append(opts, blaze.OnLoss(f.loss))...); err != nil {
					t.Fatal(err)
				}
				var done []<-chan struct{}
				var pubs []*blaze.Publisher
				// A veth pair makes queue n of what was sent through queue n, or n-1, as the kernel
				// is; and what comes in others takes the kernel's way. One sends over udp.
				for i := range queues + 3 {
					topic := fmt.Sprint("from.", i)
					cfg.BroadcastURI = fmt.Sprintf("%s&queue=%d", uri, i)
					if i == queues+2 {
						cfg.BroadcastURI = "udp" + strings.TrimPrefix(uri, "xdp")
					}
					s := startedIn(t, hub.MemberWith(queues+2), cfg)
					done = append(done, f.expect(topic, count))
					pubs = append(pubs, publisher(t, s, topic, 1))
				}
				for n := range count {
					for _, p := range pubs {
						offer(t, p, fmt.Append(nil, n))
					}
				}
				for i, d := range done {
					next(t, d, fmt.Sprint("last message of sender ", i))
				}
				s := r.Stats()
				if len(s.Engines) != queues {
					t.Fatalf("%d engines", len(s.Engines))
				}
				delivered := uint64(0)
				for i, e := range s.Engines {
					t.Logf("engine %d: received %d, delivered %d, streams %d, %+v", i, e.Engine.Received, e.Nack.Delivered, e.Nack.Streams, e.Shard)
					if e.Nack.Delivered < uint64(count) {
						t.Errorf("engine %d delivered %d", i, e.Nack.Delivered)
					}
					delivered += e.Nack.Delivered
				}
				if want := uint64(count * len(pubs)); s.Nack.Delivered != want || delivered != want {
					t.Errorf("%d delivered, %d by all engines, want %d", s.Nack.Delivered, delivered, want)
				}
				if s.Nack.Repaired == 0 || s.InjectedLoss == 0 {
					t.Errorf("nothing was lost: %+v", s.Nack)
				}
			})
		}
	}
}
