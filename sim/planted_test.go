package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// saboteur stands between a member and its application.
type saboteur struct {
	nack.Sink
	n       int
	deliver func(s *saboteur, m *core.Delivery) bool
}

func (s *saboteur) Deliver(m *core.Delivery) bool {
	s.n++
	return s.deliver(s, m)
}

// atNode sabotages the application of one node.
func atNode(node int, deliver func(s *saboteur, m *core.Delivery) bool) func(c *Cluster) {
	return func(c *Cluster) {
		c.Sabotage = func(_ *Cluster, i int, s nack.Sink) nack.Sink {
			if i != node {
				return s
			}
			return &saboteur{Sink: s, deliver: deliver}
		}
	}
}

// atEvents sabotages what all members report of streams and receivers.
func atEvents(f func(report func(nack.Event), e nack.Event)) func(c *Cluster) {
	return func(c *Cluster) {
		c.Make = func(nc NodeConfig) Node {
			report := nc.Events
			nc.Events = func(e nack.Event) { f(report, e) }
			return NewCoreNode(nc)
		}
	}
}

// keep copies a message, so that it can be delivered later.
func keep(m *core.Delivery) *core.Delivery {
	c := *m
	c.Topic, c.Payload = slices.Clone(m.Topic), slices.Clone(m.Payload)
	return &c
}

// rewrite changes datagrams of node 0 on their way; it returns nil to drop one.
func rewrite(c *Cluster, f func(d *wire.Datagram, b []byte) []byte) {
	var d wire.Datagram
	c.Net.SetTap(func(fl *Flight) bool {
		if wire.Decode(fl.Bytes, &d) != nil {
			return true
		}
		b := f(&d, fl.Bytes)
		if b == nil {
			return false
		}
		fl.Bytes = b
		return true
	})
}

// TestPlantedDefects plants one defect at a time, between the network and the members or
// between members and their applications, and demands that the right checker notices within
// a stated number of seeds. A checker that never fails proves nothing.
func TestPlantedDefects(t *testing.T) {
	tests := []struct {
		name    string
		catcher string
		seeds   uint64
		load    Load
		plant   func(c *Cluster) // before Start
		wire    func(c *Cluster) // after Start
		run     func(c *Cluster) // instead of the usual run
	}{
		{name: "wrong payload", catcher: "RM-1", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				if s.n == 50 {
					m = keep(m)
					m.Payload[len(m.Payload)/2] ^= 4
				}
				return s.Sink.Deliver(m)
			})},
		{name: "duplicate not filtered", catcher: "RM-2", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				if s.n == 50 {
					s.Sink.Deliver(m)
				}
				return s.Sink.Deliver(m)
			})},
		{name: "two messages change places", catcher: "RM-3", seeds: 1,
			plant: func(c *Cluster) {
				var held *core.Delivery
				atNode(2, func(s *saboteur, m *core.Delivery) bool {
					if s.n == 50 {
						held = keep(m)
						return true
					}
					ok := s.Sink.Deliver(m)
					if held != nil && ok {
						s.Sink.Deliver(held)
						held = nil
					}
					return ok
				})(c)
			}},
		{name: "gap skipped silently", catcher: "RM-4", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				return s.n == 50 || s.Sink.Deliver(m)
			})},
		{name: "best effort that tells no loss", catcher: "RM-4", seeds: 1,
			load: Load{Protocol: wire.BestEffort},
			plant: func(c *Cluster) {
				c.Sabotage = func(_ *Cluster, _ int, s nack.Sink) nack.Sink { return mute{s} }
			}},
		{name: "gap reported, then delivered", catcher: "RM-5", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				if s.n == 50 {
					s.Sink.Lost(&core.Loss{From: m.From, Stream: m.Stream, First: m.Sequence, Last: m.Sequence, Reason: core.LossRetention})
				}
				return s.Sink.Deliver(m)
			})},
		{name: "given up too early", catcher: "RM-6", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				if s.n == 50 {
					s.Sink.Lost(&core.Loss{From: m.From, Stream: m.Stream, First: m.Sequence, Last: m.Sequence, Reason: core.LossRetention})
					return true
				}
				return s.Sink.Deliver(m)
			})},
		{name: "late joiner gets history", catcher: "RM-7", seeds: 1,
			plant: func(c *Cluster) {
				var old *core.Delivery
				c.Watch = true
				c.Sabotage = func(_ *Cluster, node int, sink nack.Sink) nack.Sink {
					return &saboteur{Sink: sink, deliver: func(s *saboteur, m *core.Delivery) bool {
						if node == 2 && s.n == 10 {
							old = keep(m)
						}
						if node == 5 && s.n == 1 {
							s.Sink.Deliver(old)
						}
						return s.Sink.Deliver(m)
					}}
				}
			},
			run: func(c *Cluster) {
				c.Until(20 * time.Millisecond)
				c.Join()
				c.For(20 * time.Millisecond)
			}},
		{name: "NAK not repeated after a lost retransmission", catcher: "RM-11", seeds: 3,
			wire: func(c *Cluster) {
				rewrite(c, func(d *wire.Datagram, b []byte) []byte {
					for i := range d.Frames() {
						if f := &d.Frames()[i]; f.Kind == wire.FrameNak {
							nak := f.Nak()
							again := nak.Again()
							if _, any := again.Next(); any {
								return nil
							}
						}
					}
					return b
				})
			}},
		{name: "heartbeat without highest counter", catcher: "RM-12", seeds: 20,
			wire: func(c *Cluster) {
				rewrite(c, func(d *wire.Datagram, b []byte) []byte {
					for i := range d.Frames() {
						if f := &d.Frames()[i]; f.Kind == wire.FrameHeartbeat {
							h := f.Heartbeat()
							h.First, h.Last, h.FirstMessage, h.NextMessage = 1, 0, 1, 1
							out := wire.AppendHeartbeat(wire.AppendHeader(nil, d.Header), h)
							wire.Seal(out)
							return out
						}
					}
					return b
				})
			}},
		{name: "restart joined to the stream before", catcher: "RM-13", seeds: 1,
			plant: func(c *Cluster) {
				atNode(2, func(s *saboteur, m *core.Delivery) bool {
					m = keep(m)
					m.From = c.Log.Procs[0].Member // node 0's first process
					return s.Sink.Deliver(m)
				})(c)
			},
			run: func(c *Cluster) {
				// The first process gets further than the second one ever says it is.
				c.Until(10 * time.Millisecond)
				c.Crash(0)
				c.Restart(0)
				c.For(30 * time.Millisecond)
			}},
		{name: "silence reported twice", catcher: "RM-16", seeds: 1,
			plant: atEvents(func(report func(nack.Event), e nack.Event) {
				if report(e); e.Kind == nack.StreamSilent {
					report(e)
				}
			}),
			run: func(c *Cluster) {
				c.Until(10 * time.Millisecond)
				c.Crash(0)
				c.For(time.Second)
			}},
		{name: "a receiver's end not reported", catcher: "RM-16", seeds: 1,
			plant: func(c *Cluster) {
				c.Member.Eviction = 100 * time.Millisecond
				atEvents(func(report func(nack.Event), e nack.Event) {
					if e.Kind != nack.ReceiverEvicted {
						report(e)
					}
				})(c)
			},
			run: func(c *Cluster) {
				c.Until(10 * time.Millisecond)
				c.Pause(1)
				c.For(time.Second)
				c.Resume(1)
				c.For(100 * time.Millisecond)
			}},
		{name: "refused stream is no loss", catcher: "RM-16", seeds: 1,
			load: Load{Senders: 5},
			plant: func(c *Cluster) {
				c.Member.MaxStreams = 2
				c.Sabotage = func(_ *Cluster, _ int, s nack.Sink) nack.Sink { return mute{s} }
			}},
		{name: "idle senders send no heartbeats", catcher: "RM-17", seeds: 1,
			load: Load{Messages: 1},
			wire: func(c *Cluster) {
				c.Expect.Heavy = false // what is taken away here would be enough without the loss
				rewrite(c, func(d *wire.Datagram, b []byte) []byte {
					if c.Net.Now() > 100_000_000 && d.Frames()[0].Kind == wire.FrameHeartbeat {
						return nil
					}
					return b
				})
			},
			run: func(c *Cluster) { c.Until(2 * time.Second) }},
		{name: "silence not reported", catcher: "RM-18", seeds: 1,
			plant: atEvents(func(report func(nack.Event), e nack.Event) {
				if e.Kind != nack.StreamSilent {
					report(e)
				}
			}),
			run: func(c *Cluster) {
				c.Until(10 * time.Millisecond)
				c.Crash(0)
				c.For(time.Second)
			}},
		{name: "buffer not given back", catcher: "RS-2", seeds: 1,
			plant: func(c *Cluster) {
				c.Make = func(nc NodeConfig) Node {
					n := NewCoreNode(nc)
					n.(*CoreNode).pool.Get()
					return n
				}
			}},
		{name: "drop without a counter", catcher: "RS-7", seeds: 1,
			plant: func(c *Cluster) {
				c.Make = func(nc NodeConfig) Node { return forgetful{NewCoreNode(nc)} }
			}},
		{name: "delivery after close", catcher: "RS-8", seeds: 1,
			plant: atNode(2, func(s *saboteur, m *core.Delivery) bool {
				if s.n == 50 {
					m := keep(m)
					c := s.Sink.(*sink).m.c
					c.Net.At(30_000_000, func() { s.Sink.Deliver(m) })
				}
				return s.Sink.Deliver(m)
			}),
			run: func(c *Cluster) {
				c.Until(20 * time.Millisecond)
				c.Leave(2)
				c.Until(31 * time.Millisecond)
			}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var found []string
			for seed := range test.seeds {
				c := NewCluster(nil, seed)
				c.Load = test.load
				if test.plant != nil {
					test.plant(c)
				}
				c.Start(5, rough)
				if test.wire != nil {
					test.wire(c)
				}
				if test.run != nil {
					test.run(c)
				} else {
					c.Until(30 * time.Millisecond)
				}
				vs := c.SettleFor(500 * time.Millisecond)
				found = check.IDs(vs)
				if slices.Contains(found, test.catcher) {
					t.Logf("seed %d: %v", seed, found)
					return
				}
			}
			t.Errorf("%s did not notice within %d seeds; the last one showed %v", test.catcher, test.seeds, found)
		})
	}
}

// mute is an application that is not told of losses.
type mute struct{ nack.Sink }

func (mute) Lost(*core.Loss) {}

// forgetful is a member with a drop that it does not count.
type forgetful struct{ Node }

func (f forgetful) Stats() NodeStats {
	s := f.Node.Stats()
	s.Received++
	return s
}

// TestPlantedChance: RS-5 notices a member that draws from anything but its seed.
func TestPlantedChance(t *testing.T) {
	run := func() uint64 {
		c := NewCluster(nil, 1)
		c.Make = func(nc NodeConfig) Node {
			nc.Rand = rand.New(rand.NewPCG(rand.Uint64(), 0))
			return NewCoreNode(nc)
		}
		c.Start(9, rough)
		c.Until(100 * time.Millisecond)
		return c.Hash()
	}
	if check.RS5(1, run(), run()) == nil {
		t.Error("two runs with different draws have the same trace")
	}
}
