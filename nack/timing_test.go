package nack

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/activeblaze/blaze/wire"
	"time"

	"github.com/activeblaze/blaze/clock"
)

// RFC 5401, section 5.2: the back-off lies in 0..K*GRTT, and the larger the group, the fewer of
// its members are early.
func TestBackoff(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	const rtt = time.Millisecond
	early := map[int]float64{}
	for _, n := range []int{1, 3, 4, 64, 1000, 1 << 16} {
		var sum time.Duration
		const draws = 20000
		for range draws {
			d := backoff(rnd, rtt, n)
			if n <= FewReceivers {
				if d != 0 {
					t.Fatalf("%d receivers wait %v", n, d)
				}
				continue
			}
			if d < 0 || d > backoffFactor*rtt {
				t.Fatalf("%d receivers: %v", n, d)
			}
			sum += d
			if d < rtt/2 { // before the first NAK can be heard
				early[n]++
			}
		}
		early[n] = early[n] / draws * float64(n)
	}
	for _, n := range []int{64, 1000, 1 << 16} {
		// The RFC's estimate of the number of NAKs: exp(1.2 * lambda / (2K)), lambda = ln(n)+1.
		want := math.Exp(1.2 * (math.Log(float64(n)) + 1) / (2 * backoffFactor))
		if early[n] > 2*want {
			t.Errorf("%d receivers: %.1f are early, about %.1f expected", n, early[n], want)
		}
	}
}

func TestBucketAndMeter(t *testing.T) {
	b := bucket{tokens: 3}
	for range 3 {
		if _, ok := b.take(0, 10, 3); !ok {
			t.Fatal("the bucket was full")
		}
	}
	at, ok := b.take(0, 10, 3)
	if ok || at < clock.Time(100*time.Millisecond) || at > clock.Time(101*time.Millisecond) {
		t.Errorf("next token at %v", at)
	}
	if _, ok = b.take(at, 10, 3); !ok {
		t.Error("no token when it was due")
	}
	var m meter
	now := clock.Time(0)
	for range 3000 {
		m.add(now, 1)
		now += clock.Time(time.Millisecond)
	}
	if n := m.perSecond(now); n < 900 || n > 1000 {
		t.Errorf("%v a second", n)
	}
	m.add(now, 1000)
	if n := m.rising(now); n < 5000 || n > 6000 {
		t.Errorf("%v a second in the last 200 ms", n)
	}
	if n := m.perSecond(now.Add(5 * time.Second)); n != 0 {
		t.Errorf("%v after 5 s of silence", n)
	}
}

// However many heartbeats go to the group, one for a single receiver may leave: in a stream of single messages one follows
// each of them, and a receiver that multicast did not reach was taken for gone.
func TestHeartbeatsForOneHaveRoom(t *testing.T) {
	net, _, s := pairOf(t, 2, wire.NACK)
	for sent := true; sent; {
		s.beat.since = 0
		_, sent = s.beat.send(s, net.now, false)
	}
	s.beat.since = 0
	if _, ok := s.beat.probe(s, net.now, net.nodes[1].endpoint); !ok {
		t.Error("a heartbeat for one receiver has no room beside those to the group")
	}
	net.done()
}
