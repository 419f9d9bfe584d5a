package nack

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// A late joiner of a quick stream loses nothing, and is soon waited for, whether unicast gets through to it or not.
func TestLateJoiners(t *testing.T) {
	for _, c := range []struct {
		name    string
		delay   time.Duration
		loss    float64
		count   int           // datagrams
		each    time.Duration // in this time
		blocked bool
		within  time.Duration
	}{
		{"near", 5 * time.Microsecond, 0, 80, time.Millisecond, false, 3 * time.Millisecond},
		{"far", 500 * time.Microsecond, 0, 80, time.Millisecond, false, 20 * time.Millisecond}, // the heartbeats of a stream that waits for its window have used up their budget,
		{"lossy", 50 * time.Microsecond, 0.05, 40, time.Millisecond, false, 150 * time.Millisecond},
		{"no unicast", 5 * time.Microsecond, 0, 1, 20 * time.Microsecond, true, 120 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			lost, longest := 0, time.Duration(0)
			seeds := uint64(6)
			if testing.Short() {
				seeds = 2 // make sim has all of them
			}
			for seed := range seeds {
				net := newNetwork(t, seed)
				net.faults.delay, net.faults.loss = c.delay, c.loss
				sender := net.add()
				net.add()
				s := net.open(sender, testStream)
				load := func(d time.Duration) {
					for end := net.now.Add(d); net.now < end; net.run(c.each) {
						net.offer(sender, s, c.count, 1000)
					}
				}
				load(30 * time.Millisecond)
				net.run(time.Duration(seed) * 100 * time.Microsecond)
				late := net.add()
				if c.blocked {
					net.filter = func(from, to *node, d *wire.Datagram) bool { return to != late || from != sender || net.group }
				}
				began := net.now
				for s.findReceiver(late.id) == nil || !s.findReceiver(late.id).waits() {
					load(c.each)
					if net.now.Sub(began) > time.Second {
						t.Fatalf("seed %d: it is not waited for", seed)
					}
				}
				longest = max(longest, net.now.Sub(began))
				load(60 * time.Millisecond)
				for _, l := range late.stream(sender.id, testStream).lost {
					lost += int(l.Last - l.First + 1)
				}
				net.done()
			}
			t.Logf("found within %v, %d messages lost", longest, lost)
			if lost > 0 || longest > c.within {
				t.Errorf("a late joiner was found within %v, and %d messages were lost", longest, lost)
			}
		})
	}
}

// A thousand receivers that report in one moment, and have heard no heartbeat yet, cost a few: all count when their next
// reports have come.
func TestThousandNewcomers(t *testing.T) {
	const many = 1000
	net, sender, s := pairOf(t, 2, wire.NACK)
	beats, direct := 0, 0
	net.onSend = func(n *node, x buf.Send, d *wire.Datagram) {
		if n == sender && d.Frames()[0].Kind == wire.FrameHeartbeat {
			if beats++; x.To != buf.Group {
				direct++
			}
		}
	}
	load := func(d time.Duration) int {
		beats, direct = 0, 0
		for end := net.now.Add(d); net.now < end; net.run(20 * time.Microsecond) {
			net.offer(sender, s, 1, 1000)
		}
		return beats
	}
	report := func(echo uint64) {
		h := net.nodes[1].p.header(testStream)
		for i := range many {
			h.Transmitter = wire.MemberID{15: byte(i), 14: byte(i >> 8), 13: 1}
			b := forge(h, func(b []byte) []byte {
				return wire.AppendStatus(b, wire.Status{Origin: sender.id, OriginIncarnation: 1, Next: s.sent, Highest: s.sent, Limit: s.sent + 1000, Echo: echo})
			})
			if err := net.inject(sender, 99, b); err != nil && err != ErrReceivers {
				t.Fatal(err)
			}
		}
		net.turn(sender)
	}
	usual := load(200 * time.Millisecond)
	report(0)
	if n := load(200 * time.Millisecond); n > usual+10 || direct > 5 {
		t.Errorf("%d heartbeats, %d of them by unicast; %d are usual", n, direct, usual)
	}
	if n := s.Receivers(); n != 1 {
		t.Errorf("%d receivers", n)
	}
	report(lastBeat(s))
	if n := s.Receivers(); n != many+1 {
		t.Errorf("%d receivers", n)
	}
	net.done()
}

// A heartbeat that came by unicast and that data has overtaken is echoed all the same: of a quick stream each may be.
func TestOvertakenHeartbeatIsEchoed(t *testing.T) {
	net, sender, s := pair(t, 1, 1)
	r := net.nodes[1]
	net.offer(sender, s, 3, 100)
	probe := forge(sender.p.header(testStream), func(b []byte) []byte {
		return wire.AppendHeartbeat(b, wire.Heartbeat{
			First: 1, Last: s.sent - 1, FirstMessage: 1, NextMessage: s.message, SentAt: uint64(net.now), Receivers: 1, WantStatus: true,
		})
	})
	sentAt := uint64(net.now)
	net.run(100 * time.Microsecond)
	net.offer(sender, s, 3, 100)
	net.run(20 * time.Microsecond)
	echo := func() uint64 { return r.p.known[streamKey{sender.id, testStream}].status.echo }
	r.p.known[streamKey{sender.id, testStream}].status.echo = 0
	if err := net.step(r, sender.endpoint, probe, true); err != ErrStale || echo() != 0 {
		t.Errorf("through the group: %v, echo %d", err, echo())
	}
	if err := net.step(r, sender.endpoint, probe, false); err != nil || echo() != sentAt {
		t.Errorf("by unicast: %v, echo %d", err, echo())
	}
	if err := net.step(r, sender.endpoint, probe, false); err != ErrStale {
		t.Errorf("again: %v", err)
	}
	net.done()
}
