package blaze

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// StreamEvent is one change of a stream that this member receives, or of the receivers of one that
// it sends.
type StreamEvent struct {
	Kind     StreamEventKind
	From     MemberID       // the stream's sender; of receivers' events: the receiver
	Addr     netip.AddrPort // its own unicast address
	Protocol Protocol       // that the stream is sent under
	Stream   uint32         // protocol and lane, as datagrams name them: tells apart the streams of one sender
}

// String is for logs: "silent: stream 0x2000000 (nack) of 3f2a… at 10.0.0.1:45122".
func (e StreamEvent) String() string {
	return fmt.Sprintf("%v: stream %#x (%v) of %v at %v", e.Kind, e.Stream, e.Protocol, e.From, e.Addr)
}

// StreamEventKind says what changed.
type StreamEventKind uint8

// The changes. Those of one stream come in order and each once: StreamStarted, then StreamSilent and
// StreamResumed in turn, then StreamLeft. So do those of one receiver.
const (
	StreamStarted   StreamEventKind = iota + 1 // the first datagram of a stream has come
	StreamSilent                               // nothing comes from its sender, which does not answer either
	StreamResumed                              // something came after that
	StreamLeft                                 // its sender stopped or began anew, or it was silent and gave way to another
	StreamRefused                              // Config.MaxStreams are received already: this one is not
	ReceiverJoined                             // a member receives a stream that this one sends
	ReceiverLeft                               // it stopped
	ReceiverEvicted                            // it was silent for too long (Config.FailureTimeout), or held the stream up (Config.SlowestFor): the stream does not wait for it any more
)

// String names the change: "silent".
func (k StreamEventKind) String() string {
	return nameOf("StreamEventKind", []string{"unknown", "started", "silent", "resumed", "left", "refused", "receiver joined", "receiver left", "receiver evicted"}, k)
}

// OnStream has h called with what happens to the streams that this member receives, and to the
// receivers of those that it sends: first with what is there, then with what changes. A publisher
// that dies is reported as StreamSilent within a second at the defaults.
//
// A stream begins with its sender's first message or Publisher, or when this member starts. It is
// reported whether or not a subscription matches its topics. The ring of Totem has no streams of
// this kind: OnView reports its members. Each start of the channel begins anew; its end is reported
// by nothing.
//
// h runs on the engine's thread, as an Inline handler does, one call at a time, and must not block.
// With Config.Invoker it runs in Turn. It may call everything that an Inline handler may.
// OnStream may be called in every state of the channel. cancel ends it; h may still be running when
// cancel returns.
func (c *Channel) OnStream(h func(StreamEvent)) (cancel func()) {
	if h == nil {
		return func() {}
	}
	entry := &streamHandler{h: h}
	c.streams.change(func(all []*streamHandler) []*streamHandler { return append(slices.Clone(all), entry) })
	if st := c.run.Load(); st != nil {
		st.Engine(0).Post(st.streams.tell)
	}
	return func() {
		c.streams.change(func(all []*streamHandler) []*streamHandler {
			return slices.DeleteFunc(slices.Clone(all), func(e *streamHandler) bool { return e == entry })
		})
	}
}

// streamHandlers are a channel's handlers of StreamEvents.
type streamHandlers struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*streamHandler] // replaced, never changed
}

func (s *streamHandlers) change(f func([]*streamHandler) []*streamHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := f(s.list())
	s.all.Store(&all)
}

func (s *streamHandlers) list() []*streamHandler {
	if all := s.all.Load(); all != nil {
		return *all
	}
	return nil
}

type streamHandler struct {
	h  func(StreamEvent)
	of *streamWatch // the start that it has been told of so far; it belongs to the engine's thread
}

// streamWatch turns the events of one start into StreamEvents. It belongs to the first engine's
// thread.
type streamWatch struct {
	c       *Channel
	present member.Streams
	refused [2]refusalLog // streams, receivers
	failing [9]refusalLog // streams that timed out, receivers that are stuck, paces that are bound, unicast that fails either way, evictions for slowness at either end, multicast that fails either way
	ended   atomic.Bool   // the engines are about to end: no handler is called any more
}

// event takes in an event of the cores.
func (w *streamWatch) event(e nack.Event) {
	if w.ended.Load() {
		return
	}
	switch e.Kind {
	case nack.StreamRefused:
		w.refused[0].warn(w.c, "blaze: more streams than Config.MaxStreams, so messages are not received",
			"Config.MaxStreams, or fewer Lanes at the senders", w.c.cfg.Load().MaxStreams, e.Member, attrsOf(e)...)
	case nack.ReceiverRefused:
		w.refused[1].warn(w.c, "blaze: a stream has more receivers than it can wait for; the others may lose messages",
			"fewer receivers for each stream", nack.MaxReceivers, e.Member, attrsOf(e)...)
	case nack.StreamTimedOut:
		w.failing[0].fails(w.c, "blaze: what was asked for again and again did not come: it is lost", e,
			"the network drops datagrams, or fragments none; where longer ones never come, give all members mtu=N in their URI, of the narrowest link",
			"datagram", e.Number, "longest that came", e.Longest+ipHeaders, "mtu", w.c.datagram()+ipHeaders)
	case nack.ReceiverStuck:
		w.failing[1].fails(w.c, "blaze: a receiver asks again and again for what was sent to it: it is not waited for any more", e,
			"where longer datagrams never arrive, a link on the way has a smaller MTU: give all members mtu=N in their URI",
			"datagram", e.Number, "length", e.Length+ipHeaders, "longest that arrived", e.Longest+ipHeaders, "mtu", w.c.datagram()+ipHeaders)
	case nack.ReceiverFreed:
		w.c.logger().Info("blaze: a receiver that was not waited for goes on, and is waited for again", append([]any{"member", MemberID(e.Member)}, attrsOf(e)...)...)
	case nack.ReceiverMute:
		w.failing[3].fails(w.c, "blaze: unicast from a receiver does not get through, multicast does: it is not waited for", e,
			"let UDP pass between the members' own addresses and ports, both ways")
	case nack.StreamOneWay:
		w.failing[4].fails(w.c, "blaze: unicast to a sender does not get through, multicast does: requests go to the group", e,
			"let UDP pass between the members' own addresses and ports, both ways")
	case nack.StreamNoGroup:
		w.failing[7].fails(w.c, "blaze: multicast from a sender does not get through, unicast does: all of its stream is asked for by unicast", e,
			"let the group's datagrams pass from that member to this one: IGMP snooping without a querier, and firewalls, stop them")
	case nack.ReceiverNoGroup:
		w.failing[8].fails(w.c, "blaze: multicast to a receiver does not get through, unicast does: all is sent to it once more by unicast", e,
			"let the group's datagrams pass from this member to that one: IGMP snooping without a querier, and firewalls, stop them")
	case nack.ReceiverSlow:
		w.failing[5].fails(w.c, "blaze: a receiver held a stream up for Config.SlowestFor: it is evicted, and the others go on", e,
			"look at that receiver's log for its slow subscription", "limit", w.c.cfg.Load().SlowestFor)
	case nack.StreamEvicted:
		w.failing[6].fails(w.c, "blaze: this member held a stream up for its sender's Config.SlowestFor: it is evicted, and may lose messages", e,
			"look for its slow subscription; or use SlowConsumer Drop")
	case nack.PaceBound:
		w.failing[2].fails(w.c, "blaze: much of what was sent does not arrive at a receiver: the pace follows what arrives there", e,
			"a slower link or a short queue on the way; MaxRate below the slowest link avoids it, CongestionOff ignores it")
	}
	w.tell()
	w.present.Note(e)
	kind := streamEventKind(e.Kind)
	if kind == 0 {
		return
	}
	for _, s := range w.c.streams.list() {
		s.h(streamEvent(kind, e))
	}
}

// tell gives each handler that is new what is there.
func (w *streamWatch) tell() {
	for _, s := range w.c.streams.list() {
		if s.of == w || w.ended.Load() {
			continue
		}
		s.of = w
		w.present.Each(func(e nack.Event) { s.h(streamEvent(streamEventKind(e.Kind), e)) })
	}
}

func streamEvent(kind StreamEventKind, e nack.Event) StreamEvent {
	return StreamEvent{
		Kind: kind, From: MemberID(e.Member), Addr: addrOf(e.Endpoint),
		Protocol: protocolOf(e.Stream.Protocol()), Stream: uint32(e.Stream),
	}
}

// streamEventKind is 0 for what applications are not told.
func streamEventKind(k nack.EventKind) StreamEventKind {
	switch k {
	case nack.StreamStarted:
		return StreamStarted
	case nack.StreamSilent:
		return StreamSilent
	case nack.StreamResumed:
		return StreamResumed
	case nack.StreamLeft:
		return StreamLeft
	case nack.StreamRefused:
		return StreamRefused
	case nack.ReceiverJoined:
		return ReceiverJoined
	case nack.ReceiverLeft:
		return ReceiverLeft
	case nack.ReceiverEvicted, nack.ReceiverSlow:
		return ReceiverEvicted
	}
	return 0
}

// attrsOf names an event's stream and address in the log.
func attrsOf(e nack.Event) []any {
	return []any{"address", addrOf(e.Endpoint), "stream", fmt.Sprintf("%#x", uint32(e.Stream))}
}

// refusalEvery is the time between two lines about what was refused.
const refusalEvery = 10 * time.Second

// refusalLog writes one line for many refusals.
type refusalLog struct {
	last  clock.Time
	count uint64 // since then
}

// warn logs what was refused to a member, or could not be done for it, the bound where there is one, and the remedy,
// besides more.
func (r *refusalLog) warn(c *Channel, what, remedy string, limit int, member wire.MemberID, more ...any) {
	r.count++
	now := engine.Now()
	if r.last != 0 && now.Sub(r.last) < refusalEvery {
		return
	}
	all := []any{"member", MemberID(member), "times", r.count, "remedy", remedy}
	if limit > 0 {
		all = []any{"member", MemberID(member), "limit", limit, "refused", r.count, "remedy", remedy}
	}
	c.logger().Warn(what, append(all, more...)...)
	r.last, r.count = now, 0
}

// datagram is the longest UDP payload that this member sends.
func (c *Channel) datagram() int { return c.res.Ports[0].Driver.Datagram() }

// fails logs what does not get through to a member or from it, and the remedy, besides more.
func (r *refusalLog) fails(c *Channel, what string, e nack.Event, remedy string, more ...any) {
	r.count++
	now := engine.Now()
	if r.last != 0 && now.Sub(r.last) < refusalEvery {
		return
	}
	all := append([]any{"member", MemberID(e.Member), "times", r.count}, attrsOf(e)...)
	c.logger().Warn(what, append(append(all, more...), "remedy", remedy)...)
	r.last, r.count = now, 0
}

// addrOf is an endpoint as drivers name it: address<<16 | port.
func addrOf(e buf.Endpoint) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(e >> 40), byte(e >> 32), byte(e >> 24), byte(e >> 16)}), uint16(e))
}

// protocolOf undoes Protocol.wire.
func protocolOf(p wire.Protocol) Protocol {
	for _, q := range []Protocol{NACK, BestEffort, FEC, Hybrid, Totem} {
		if q.wire() == p {
			return q
		}
	}
	return NACK
}
