package xdp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// counter expects messages 0, 1, 2, … and nothing else.
type counter struct {
	t    *testing.T
	next uint64
}

func (c *counter) Ready(clock.Time) bool { return true }
func (c *counter) Deliver(_ clock.Time, topic string, d *core.Delivery) {
	if n := binary.LittleEndian.Uint64(d.Payload); n != c.next || topic != "t" {
		c.t.Fatalf("message %d on %q instead of %d", n, topic, c.next)
	}
	c.next++
}
func (c *counter) Lost(l *core.Loss) { c.t.Fatalf("lost: %+v", l) }

// Whole members over this driver: every message, once, in order, although the filter of one side
// loses 1 % of what it should redirect; and every buffer is back at the end.
func TestMembers(t *testing.T) {
	na, nb := pair(t)
	testMembers(t, na, nb, [2]func(*Config){})
}

// The same where data comes in the third of four queues, one of three that the receiver has, and
// requests for repair in one that the sender has not, so that the kernel brings them.
func TestMembersOverSeveralQueues(t *testing.T) {
	na, nb := manyQueues(t, 4)
	testMembers(t, na, nb, [2]func(*Config){
		func(c *Config) { c.Mode, c.Queue, c.Queues = "native", 2, 2 },
		func(c *Config) { c.Mode, c.Queue, c.Queues = "native", 1, 3 },
	})
}

func testMembers(t *testing.T, na, nb *namespace, change [2]func(*Config)) {
	const window, count = 1 << 20, 20_000
	var members [2]*member.Member
	var drivers [2]*Driver
	heard := &counter{t: t}
	for i, n := range []*namespace{na, nb} {
		c := testConfig(i)
		c.Cluster = wire.ClusterHash("test")
		c.Buffers = nack.Buffers(window, 1472, 1, 4)
		if i == 1 {
			c.Loss, c.Seed = 0.01, 1
		}
		if change[i] != nil {
			change[i](&c)
		}
		d := n.open(t, c)
		drivers[i] = d
		table := member.NewTable()
		if i == 1 {
			table.Add("t", heard)
		}
		members[i] = member.New(member.Config{
			ID: wire.MemberID{15: byte(i + 1)}, Incarnation: 1, Cluster: c.Cluster, Driver: d, Pool: d.Pool(), Table: table,
			Rand: rand.New(rand.NewPCG(1, uint64(i))), Protocol: wire.NACK, Lanes: 1, Window: window, MaxMessageSize: 64 << 10,
			Eviction: 10 * time.Second, CPU: -1,
		})
	}
	now := engine.Now()
	lane, safe := members[0].Lane(now, "t")
	payload := make([]byte, 700)
	sent := uint64(0)
	end := time.Now().Add(20 * time.Second)
	for heard.next < count && time.Now().Before(end) {
		now = engine.Now()
		for range 64 {
			if sent == count || lane.Receivers() == 0 && sent > 0 {
				break
			}
			binary.LittleEndian.PutUint64(payload, sent)
			if lane.Offer(now, "t", 0, payload, safe) != nil {
				break
			}
			sent++
		}
		members[0].Turn(now)
		members[1].Turn(engine.Now())
	}
	if heard.next != count {
		t.Errorf("%d of %d messages: %+v", heard.next, count, members[1].Nack().Stats())
	}
	for i, m := range members {
		m.Release()
		d := drivers[i]
		drain(d)
		if p := d.Pool(); p.Free() != p.Count() {
			t.Errorf("member %d: %d of %d buffers are free", i, p.Free(), p.Count())
		}
	}
	a, b := drivers[0].Stats(), drivers[1].Stats()
	if b.Filter.Lost == 0 {
		t.Error("nothing was lost, so nothing was tested")
	}
	// Through the kernel goes what is for one member alone, until its hardware address is known.
	if a.SendCopied != 0 || a.SendKernel > a.SendDatagrams/100 {
		t.Errorf("%d datagrams were copied, %d went through the kernel", a.SendCopied, a.SendKernel)
	}
	t.Logf("%d datagrams, %d lost, %d copied", a.SendDatagrams, b.Filter.Lost, a.SendCopied)
}
