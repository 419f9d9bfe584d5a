package nack

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/script"
	"github.com/activeblaze/blaze/wire"
)

var update = flag.Bool("update", false, "write what the scripts in testdata give as what they should give")

// TestScripts runs the scripts in testdata. Messages have the numbers of their datagrams: each has one.
//
// Commands to a receiver: start; data n…; heartbeat first= last= receivers= rtt= want=;
// leave last=; hear n..m, another receiver's NAK; pause; resume; forget.
// Commands to a sender: open; offer count; nak from= gaps= again=; status from= next= highest= limit= room= rtt=.
// To both: advance duration.
func TestScripts(t *testing.T) {
	script.Run(t, *update, func(t *testing.T) script.Player { return newPlayer(t) })
}

// player is a Protocol that a script drives.
type player struct {
	t      *testing.T
	p      *Protocol
	now    clock.Time
	sender *Sender
	refuse bool
	out    []string
	run    []uint64 // messages delivered in a row
	beat   uint64   // when the last heartbeat was sent, which statuses echo; 0: none was
}

var scriptPeer = wire.MemberID{9} // the sender that a scripted receiver hears

func newPlayer(t *testing.T) *player {
	s := &player{t: t, now: clock.Time(time.Second)}
	s.p = New(Config{
		Self: wire.MemberID{1}, Incarnation: 1, Datagram: 1472, Window: 32 * 1472, Room: 1 << 20,
		Pool: buf.NewPool(200, 1472+Headroom), Rand: rand.New(rand.NewPCG(1, 1)), Sink: s,
		Events: func(e Event) { s.say("%v", e.Kind) },
	})
	s.p.Tick(1)
	return s
}

func (s *player) say(format string, args ...any) {
	if len(s.run) > 0 {
		r := "deliver"
		for _, n := range s.run {
			r += " " + strconv.FormatUint(n, 10)
		}
		s.run, s.out = nil, append(s.out, r)
	}
	if format != "" {
		s.out = append(s.out, fmt.Sprintf(format, args...))
	}
}

func (s *player) Deliver(m *core.Delivery) bool {
	if !s.refuse {
		s.run = append(s.run, m.Sequence)
	}
	return !s.refuse
}

func (s *player) Lost(l *core.Loss) {
	s.say("lost %d..%d %s", l.First, l.Last, [...]string{"", "unrepaired", "sender gone", "retention", "reset", "slow consumer", "malformed"}[l.Reason])
}

// Output implements script.Player.
func (s *player) Output() string {
	out := strings.Join(s.out, "\n")
	s.out = nil
	return out
}

// End implements script.Player: every buffer is back.
func (s *player) End() {
	s.p.Release()
	if s.p.cfg.Pool.Free() != s.p.cfg.Pool.Count() {
		s.t.Error("buffers are missing")
	}
}

// Do implements script.Player.
func (s *player) Do(line string) {
	name, rest, _ := strings.Cut(line, " ")
	arg := map[string]uint64{}
	gaps := map[string][]wire.Gap{}
	var numbers []uint64
	for _, f := range strings.Fields(rest) {
		k, v, named := strings.Cut(f, "=")
		if !named {
			v = k
		}
		if d, err := time.ParseDuration(v); err == nil && v != "0" {
			arg[k], arg["duration"] = uint64(d), uint64(d)
			continue
		}
		if lo, hi, ok := strings.Cut(v, ".."); ok {
			a, _ := strconv.ParseUint(lo, 10, 64)
			b, _ := strconv.ParseUint(hi, 10, 64)
			gaps[k] = append(gaps[k], wire.Gap{First: a, Count: uint32(b - a + 1)})
			gaps[""] = gaps[k]
			continue
		}
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			s.t.Fatalf("%q: %v", line, err)
		}
		arg[k] = n
		numbers = append(numbers, n)
	}
	peer := wire.Header{Transmitter: scriptPeer, Incarnation: 1, Stream: testStream}
	other := wire.Header{Transmitter: wire.MemberID{byte(max(arg["from"], 2))}, Incarnation: 1, Stream: testStream}
	switch name {
	case "start":
		s.step(forge(peer, func(b []byte) []byte { return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Lanes: 1}) }), 9)
	case "data":
		for _, n := range numbers {
			s.step(forgeData(peer, n, n, 20), 9)
		}
	case "heartbeat":
		s.step(forge(peer, func(b []byte) []byte {
			return wire.AppendHeartbeat(b, wire.Heartbeat{
				First: max(arg["first"], 1), Last: arg["last"], FirstMessage: max(arg["first"], 1), NextMessage: arg["last"] + 1,
				SentAt: uint64(s.now), Receivers: uint32(arg["receivers"]), RoundTrip: uint32(arg["rtt"]), WantStatus: arg["want"] != 0,
			})
		}), 9)
	case "leave":
		s.step(forge(peer, func(b []byte) []byte {
			return wire.AppendLeave(b, wire.Leave{HasLast: true, Last: arg["last"], NextMessage: arg["last"] + 1})
		}), 9)
	case "hear":
		s.step(forge(other, func(b []byte) []byte { return wire.AppendNak(b, scriptPeer, 1, gaps[""], nil) }), 2)
	case "forget":
		s.p.Forget(s.now, scriptPeer, false)
	case "pause", "resume":
		s.refuse = name == "pause"
	case "open":
		s.sender = s.p.Open(s.now, testStream)
	case "offer":
		for range numbers[0] { // each fills a datagram
			if err := s.sender.Offer(s.now, "prices.eu", 0, make([]byte, 1300)); err != nil {
				s.say("%v", err)
			}
		}
	case "nak":
		s.step(forge(other, func(b []byte) []byte {
			return wire.AppendNak(b, wire.MemberID{1}, 1, gaps["gaps"], gaps["again"])
		}), buf.Endpoint(arg["from"]))
	case "status":
		s.step(forge(other, func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{
				Origin: wire.MemberID{1}, OriginIncarnation: 1,
				Next: arg["next"], Highest: max(arg["highest"], arg["next"]), Limit: max(arg["limit"], arg["next"]), Room: uint32(arg["room"]),
				Echo: s.beat, Held: uint32(uint64(s.now) - s.beat - min(arg["rtt"], uint64(s.now)-s.beat)),
			})
		}), buf.Endpoint(arg["from"]))
	case "advance":
		s.advance(clock.Time(arg["duration"]))
	default:
		s.t.Fatalf("unknown command %q", line)
	}
	s.turn()
	s.say("")
}

func (s *player) step(data []byte, from buf.Endpoint) {
	var d wire.Datagram
	var b buf.Buf
	b.Lend(data)
	if err := wire.Decode(data, &d); err != nil {
		s.t.Fatal(err)
	}
	if err := s.p.Step(s.now, &d, buf.Received{Buf: &b, From: from}); err != nil {
		s.say("%v", err)
	}
}

// advance passes time, from deadline to deadline.
func (s *player) advance(d clock.Time) {
	end := s.now + d
	for {
		at, ok := s.p.Deadline()
		if !ok || at > end {
			break
		}
		s.now = max(s.now, at)
		s.p.Tick(s.now)
		s.turn()
	}
	s.now = end
}

func (s *player) turn() {
	if at, ok := s.p.Deadline(); ok && at <= s.now {
		s.p.Tick(s.now)
	}
	s.p.Flush(s.now)
	for {
		x, ok := s.p.PollSend(s.now)
		if !ok {
			break
		}
		var d wire.Datagram
		if err := wire.Decode(x.Buf.Bytes(), &d); err != nil {
			s.t.Fatal(err)
		}
		to := ""
		if x.To != buf.Group {
			to = fmt.Sprintf(" to %d", x.To)
		}
		for _, f := range d.Frames() {
			if f.Kind == wire.FrameHeartbeat {
				s.beat = f.Heartbeat().SentAt
			}
			if text := describe(&f); text != "" {
				s.say("send %s%s", text, to)
			}
		}
		x.Buf.Release()
	}
	s.p.Deliver(s.now)
}

// describe says what matters of a frame. Starts are left out.
func describe(f *wire.Frame) string {
	switch f.Kind {
	case wire.FrameData:
		return fmt.Sprintf("DATA %d", f.Data().Number)
	case wire.FrameNak:
		n := f.Nak()
		out := "NAK"
		for i, it := range []wire.GapIter{n.Gaps(), n.Again()} {
			for g, ok := it.Next(); ok; g, ok = it.Next() {
				out += fmt.Sprintf(" %s%d..%d", [...]string{"", "again="}[i], g.First, g.First+uint64(g.Count)-1)
			}
		}
		return out
	case wire.FrameHeartbeat:
		h := f.Heartbeat()
		return fmt.Sprintf("HEARTBEAT first=%d last=%d want=%v", h.First, h.Last, h.WantStatus)
	case wire.FrameStatus:
		st := f.Status()
		return fmt.Sprintf("STATUS next=%d highest=%d limit=%d", st.Next, st.Highest, st.Limit)
	case wire.FrameLeave:
		return fmt.Sprintf("LEAVE last=%d", f.Leave().Last)
	}
	return ""
}
