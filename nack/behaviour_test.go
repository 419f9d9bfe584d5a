package nack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/internal/core"
	"github.com/activeblaze/blaze/internal/vectors"
	"github.com/activeblaze/blaze/wire"
	"github.com/activeblaze/blaze/wire/wirepb"
)

// A script is a scenario with one member, in bytes, for members in any language: what comes in and when, what the member
// must deliver, report as lost and send, at the soonest and at the latest, and what it must not send.
// wire/testdata/README.md explains the fields; docs/protocol.md names the scripts that hold each rule.
type behaviour struct {
	Name   string          `json:"name"`
	About  string          `json:"about"`
	Member behaviourMember `json:"member"`
	Events []*happening    `json:"events"`
	End    int64           `json:"end"` // ns
	Output []*output       `json:"output"`
	Sends  []*sending      `json:"sends"`
	Never  []*sending      `json:"never"`
}

type behaviourMember struct {
	ID       string `json:"id"`
	Cluster  string `json:"cluster"`
	Datagram int    `json:"datagram"` // bytes
	Window   int    `json:"window"`   // datagrams
	Room     int    `json:"room"`     // bytes
	Lanes    int    `json:"lanes"`
	Protocol int    `json:"protocol"`
}

// happening is one thing that happens to the member. Of its fields one is there besides at, and those of in.
type happening struct {
	At    int64  `json:"at"` // ns since the member began to listen
	In    string `json:"in,omitempty"`
	From  string `json:"from,omitempty"`
	Group bool   `json:"group,omitempty"` // it came through the group's socket

	// The datagram in In has a Status. Before it comes, the time in the last heartbeat that the member sent is put at EchoAt,
	// and the time since then, less RoundTrip, at HeldAt; then the CRC is put right.
	EchoAt    int   `json:"echo_at,omitempty"`
	HeldAt    int   `json:"held_at,omitempty"`
	RoundTrip int64 `json:"round_trip,omitempty"` // ns

	Topic   string `json:"topic,omitempty"` // publish
	Payload string `json:"payload,omitempty"`
	Count   int    `json:"count,omitempty"`

	Open   bool `json:"open,omitempty"` // begin to send
	Pause  bool `json:"pause,omitempty"`
	Resume bool `json:"resume,omitempty"`
	Close  bool `json:"close,omitempty"`
}

// output is a message that is delivered, or messages that are reported as lost.
type output struct {
	After   int64        `json:"after"`
	Before  int64        `json:"before"`
	Deliver *deliverance `json:"deliver,omitempty"`
	Lost    *losing      `json:"lost,omitempty"`
}

type deliverance struct {
	From     string `json:"from"`
	Sequence string `json:"sequence"`
	Topic    string `json:"topic"`
	Kind     int    `json:"kind"`
	Payload  string `json:"payload"`
}

type losing struct {
	From   string `json:"from"`
	First  string `json:"first"`
	Last   string `json:"last"`
	Reason string `json:"reason"`
}

// sending is a datagram with a frame like this one. To is "group", an address, or empty: anywhere.
type sending struct {
	After  int64          `json:"after"`
	Before int64          `json:"before"`
	To     string         `json:"to,omitempty"`
	Lane   *int           `json:"lane,omitempty"`
	Frame  map[string]any `json:"frame"`
	Times  int            `json:"times,omitempty"` // at least; 0: once
}

const (
	behaveBase = clock.Time(time.Second) // when the member begins to listen
	us         = int64(time.Microsecond)
	ms         = int64(time.Millisecond)
)

var behaveID = wire.MemberID{1}

func endpointName(e buf.Endpoint) string {
	if e == buf.Group {
		return "group"
	}
	return fmt.Sprintf("10.0.0.%d:6676", e)
}

func endpointOf(t *testing.T, name string) buf.Endpoint {
	rest, ok := strings.CutPrefix(name, "10.0.0.")
	n, err := strconv.Atoi(strings.TrimSuffix(rest, ":6676"))
	if !ok || err != nil {
		t.Fatalf("address %q", name)
	}
	return buf.Endpoint(n)
}

// The writing of scripts.

// peerOf is the header of what member n sends on a stream; it has address n.
func peerOf(n byte, id wire.StreamID) wire.Header {
	return wire.Header{Cluster: testCluster, Transmitter: wire.MemberID{n}, Stream: id}
}

func newBehaviour(name, about string) *behaviour {
	return &behaviour{Name: name, About: about, Output: []*output{}, Sends: []*sending{}, Never: []*sending{}, Member: behaviourMember{
		ID: hex.EncodeToString(behaveID[:]), Cluster: strconv.Itoa(testCluster), Datagram: 1472, Window: 32, Room: 1 << 20, Lanes: 1, Protocol: int(wire.NACK)}}
}

func (b *behaviour) in(at int64, h wire.Header, frame func([]byte) []byte) *happening {
	return b.bytesIn(at, h, forge(h, frame))
}

func (b *behaviour) bytesIn(at int64, h wire.Header, datagram []byte) *happening {
	e := &happening{At: at, In: hex.EncodeToString(datagram), From: endpointName(buf.Endpoint(h.Transmitter[0])), Group: true}
	b.Events = append(b.Events, e)
	return e
}

func (b *behaviour) start(at int64, h wire.Header, first uint64, age time.Duration) {
	b.in(at, h, func(d []byte) []byte {
		return wire.AppendStart(d, wire.Start{First: first, FirstMessage: first, Age: uint64(age), Lanes: 1})
	})
}

// scriptPayload is the payload of message n.
func scriptPayload(n uint64) []byte { return fmt.Appendf(nil, "message %d", n) }

// data has datagrams come with one message each, of the same number.
func (b *behaviour) data(at int64, h wire.Header, numbers ...uint64) {
	for _, n := range numbers {
		b.bytesIn(at, h, dataOf(h, n, n, wire.KindRaw, scriptPayload(n)))
	}
}

func dataOf(h wire.Header, number, message uint64, kind wire.Kind, payloads ...[]byte) []byte {
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, h, number, message)
	for _, p := range payloads {
		if !w.Add("prices.eu", kind, p) {
			panic("no room")
		}
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

func partOf(h wire.Header, number, message uint64, offset, size uint32, part []byte) []byte {
	var w wire.DataWriter
	mem := make([]byte, 2000)
	w.Begin(mem, 1472, h, number, message)
	if !w.AddFragment("prices.eu", wire.KindRaw, offset, size, part) {
		panic("no room")
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

func (b *behaviour) heartbeat(at int64, h wire.Header, beat wire.Heartbeat) {
	if beat.First == 0 {
		beat.First = 1
	}
	if beat.FirstMessage == 0 {
		beat.FirstMessage = beat.First
	}
	if beat.NextMessage == 0 {
		beat.NextMessage = beat.Last + 1
	}
	if beat.SentAt == 0 {
		beat.SentAt = uint64(at)
	}
	b.in(at, h, func(d []byte) []byte { return wire.AppendHeartbeat(d, beat) })
}

func (b *behaviour) status(at int64, n byte, id wire.StreamID, next, highest, limit uint64, echo bool) {
	h := peerOf(n, id)
	e := b.in(at, h, func(d []byte) []byte {
		return wire.AppendStatus(d, wire.Status{Origin: behaveID, Next: next, Highest: highest, Limit: limit, Room: 100000})
	})
	if e.Group = false; echo {
		e.EchoAt, e.HeldAt, e.RoundTrip = wire.HeaderLen+2+56, wire.HeaderLen+2+65, 100*us
	}
}

func (b *behaviour) nak(at int64, n byte, id wire.StreamID, incarnation uint32, gaps, again []wire.Gap) *happening {
	e := b.in(at, peerOf(n, id), func(d []byte) []byte { return wire.AppendNak(d, behaveID, incarnation, gaps, again) })
	e.Group = false
	return e
}

func (b *behaviour) offer(at int64, count, size int) {
	b.Events = append(b.Events, &happening{At: at, Topic: "prices.eu", Payload: strings.Repeat("78", size), Count: count})
}

func (b *behaviour) event(e happening) { b.Events = append(b.Events, &e) }

func (b *behaviour) delivers(after, before int64, from byte, numbers ...uint64) {
	for _, n := range numbers {
		b.deliversPayload(after, before, from, n, 0, scriptPayload(n))
	}
}

func (b *behaviour) deliversPayload(after, before int64, from byte, n uint64, kind int, payload []byte) {
	id := wire.MemberID{from}
	b.Output = append(b.Output, &output{After: after, Before: before, Deliver: &deliverance{hex.EncodeToString(id[:]),
		strconv.FormatUint(n, 10), "prices.eu", kind, hex.EncodeToString(payload)}})
}

func (b *behaviour) loses(after, before int64, from byte, first, last uint64, reason string) {
	id := wire.MemberID{from}
	b.Output = append(b.Output, &output{After: after, Before: before, Lost: &losing{hex.EncodeToString(id[:]),
		strconv.FormatUint(first, 10), strconv.FormatUint(last, 10), reason}})
}

func (b *behaviour) sends(after, before int64, to string, frame map[string]any) *sending {
	s := &sending{After: after, Before: before, To: to, Frame: frame}
	b.Sends = append(b.Sends, s)
	return s
}

func (b *behaviour) never(after, before int64, to string, frame map[string]any) {
	b.Never = append(b.Never, &sending{After: after, Before: before, To: to, Frame: frame})
}

type fields = map[string]any

func gapFields(gaps ...wire.Gap) []any {
	list := []any{}
	for _, g := range gaps {
		list = append(list, fields{"first": strconv.FormatUint(g.First, 10), "count": int(g.Count)})
	}
	return list
}

func nakFrame(origin byte, gaps, again any) fields {
	id := wire.MemberID{origin}
	f := fields{"origin": hex.EncodeToString(id[:]), "origin_incarnation": 0}
	if gaps != nil {
		f["gaps"] = gaps
	}
	if again != nil {
		f["again"] = again
	}
	return fields{"nak": f}
}

func gapsOf(first uint64, count uint32) []wire.Gap { return []wire.Gap{{First: first, Count: count}} }

// behaviours lists the scripts.
func behaviours() (list []*behaviour) {
	add := func(name, about string) *behaviour {
		b := newBehaviour(name, about)
		list = append(list, b)
		return b
	}
	nack := testStream
	p := peerOf(9, nack)
	to9 := "10.0.0.9:6676"
	anyNak, anyStatus := fields{"nak": fields{}}, fields{"status": fields{}}
	one := func(last uint64) wire.Heartbeat {
		return wire.Heartbeat{Last: last, Receivers: 1, RoundTrip: uint32(50 * us)}
	}

	b := add("receiver: order, and reports", "Datagrams in order are delivered at once, and the sender gets reports.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 2, 3)
	b.heartbeat(2*ms, p, one(3))
	b.delivers(1*ms, 1*ms, 9, 1, 2, 3)
	b.sends(0, 150*ms, to9, fields{"status": fields{"origin": hex.EncodeToString(p.Transmitter[:]), "origin_incarnation": 0}})
	b.sends(2*ms, 350*ms, to9, fields{"status": fields{"next": "4", "highest": "4", "echo": strconv.FormatInt(2*ms, 10), "room": 1 << 20}}).Times = 2
	b.never(0, 400*ms, "", anyNak)
	b.End = 400 * ms

	b = add("receiver: packed", "Messages of one datagram are numbered from its first_message on; a newer kind is delivered as it is.")
	b.start(0, p, 1, 0)
	b.bytesIn(1*ms, p, dataOf(p, 1, 1, 0, []byte("a"), nil, []byte("c")))
	b.bytesIn(1*ms, p, dataOf(p, 2, 4, 77, []byte("d")))
	b.deliversPayload(1*ms, 1*ms, 9, 1, 0, []byte("a"))
	b.deliversPayload(1*ms, 1*ms, 9, 2, 0, nil)
	b.deliversPayload(1*ms, 1*ms, 9, 3, 0, []byte("c"))
	b.deliversPayload(1*ms, 1*ms, 9, 4, 77, []byte("d"))
	b.End = 5 * ms

	b = add("receiver: gap", "With up to three receivers a gap is asked for soon, at the address that the stream comes from.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, one(0))
	b.data(1*ms, p, 1, 4, 7)
	b.data(3*ms, p, 2, 3)
	b.data(4*ms, p, 6, 5)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(3*ms, 3*ms, 9, 2, 3, 4)
	b.delivers(4*ms, 4*ms, 9, 5, 6, 7)
	b.sends(1*ms, 3*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 2, Count: 2}), nil))
	b.sends(1*ms, 3*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 5, Count: 2}), nil))
	b.never(0, 60*ms, "group", nakFrame(9, fields{"has": fields{}}, nil))
	b.never(4*ms+1, 60*ms, "", anyNak)
	b.End = 60 * ms
	// One NAK may have both gaps.
	b.Sends[0].Frame["nak"].(fields)["gaps"] = fields{"has": fields{"first": "2", "count": 2}}
	b.Sends[1].Frame["nak"].(fields)["gaps"] = fields{"has": fields{"first": "5", "count": 2}}

	b = add("receiver: asks again", "What does not come is asked for again, marked as such, until it comes; for one loss not more often than 64 times in 100 ms.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, one(0))
	b.data(1*ms, p, 1, 3)
	b.sends(1*ms, 3*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.sends(1*ms+40*us, 30*ms, to9, nakFrame(9, nil, gapFields(wire.Gap{First: 2, Count: 1})))
	b.sends(1*ms+40*us, 100*ms, "", nakFrame(9, nil, gapFields(wire.Gap{First: 2, Count: 1}))).Times = 3
	b.data(101*ms, p, 2)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(101*ms, 101*ms, 9, 2, 3)
	b.never(102*ms, 200*ms, "", anyNak)
	b.End = 200 * ms

	b = add("receiver: duplicates", "A datagram that came before is dropped, whether it was delivered or waits.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 1, 3, 3, 1)
	b.data(2*ms, p, 2, 2, 3, 1)
	b.data(3*ms, p, 4)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(2*ms, 2*ms, 9, 2, 3)
	b.delivers(3*ms, 3*ms, 9, 4)
	b.End = 5 * ms

	b = add("receiver: NAKs in a group", "With more than three receivers a gap is asked for after a back-off of at most four round trips, from the whole group.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, wire.Heartbeat{Last: 0, Receivers: 100, RoundTrip: uint32(1 * ms)})
	b.data(1*ms, p, 1, 3)
	b.sends(1*ms, 6*ms, "group", nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.never(0, 20*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.data(20*ms, p, 2)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(20*ms, 20*ms, 9, 2, 3)
	b.End = 30 * ms

	b = add("receiver: NAKs beside slow receivers", "Back-offs are counted in usual_trip where a heartbeat has it: the round trip that half of the group keep.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, wire.Heartbeat{Last: 0, Receivers: 100, RoundTrip: uint32(100 * ms), UsualTrip: uint32(1 * ms)})
	b.data(1*ms, p, 1, 3)
	b.sends(1*ms, 6*ms, "group", nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.data(20*ms, p, 2)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(20*ms, 20*ms, 9, 2, 3)
	b.End = 30 * ms

	b = add("receiver: NAKs of others", "What another receiver has asked for first is not asked for before six round trips are over; then it is.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, wire.Heartbeat{Last: 0, Receivers: 100, RoundTrip: uint32(1 * ms)})
	b.data(1*ms, p, 1, 3)
	b.in(1*ms, peerOf(2, nack), func(d []byte) []byte { return wire.AppendNak(d, p.Transmitter, 0, gapsOf(2, 1), nil) })
	b.never(1*ms, 7*ms-1, "", anyNak)
	b.sends(7*ms, 13*ms, "group", nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.End = 13 * ms

	b = add("receiver: NAKs of others about another incarnation", "They silence nobody.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, wire.Heartbeat{Last: 0, Receivers: 100, RoundTrip: uint32(1 * ms)})
	b.data(1*ms, p, 1, 3)
	b.in(1*ms, peerOf(2, nack), func(d []byte) []byte { return wire.AppendNak(d, p.Transmitter, 7, gapsOf(2, 1), nil) })
	b.sends(1*ms, 6*ms, "group", nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.End = 6 * ms

	b = add("receiver: comes later", "A stream that began before the member listened begins with the first Data; what was before is no loss.")
	b.start(10*ms, p, 1, time.Second)
	b.data(11*ms, p, 5, 6)
	b.delivers(11*ms, 11*ms, 9, 5, 6)
	b.never(0, 50*ms, "", anyNak)
	b.sends(11*ms, 150*ms, to9, fields{"status": fields{"next": "7"}})
	b.never(0, 200*ms, "", fields{"status": fields{"next": "1"}})
	b.End = 200 * ms

	b = add("receiver: was there from the beginning", "A stream that began while the member listened begins with Start.first, also when that comes with later data.")
	b.in(10*ms, p, func(d []byte) []byte {
		d = append(d, dataOf(p, 3, 3, 0, scriptPayload(3))[wire.HeaderLen:]...)
		return wire.AppendStart(d, wire.Start{First: 1, FirstMessage: 1, Age: uint64(9 * ms), Lanes: 1})
	})
	b.sends(10*ms, 13*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 1, Count: 2}), nil))
	b.data(14*ms, p, 1, 2)
	b.delivers(14*ms, 14*ms, 9, 1, 2, 3)
	b.End = 20 * ms

	b = add("receiver: joins with a heartbeat", "A stream that becomes known by a heartbeat begins behind Heartbeat.last.")
	b.heartbeat(10*ms, p, one(7))
	b.data(11*ms, p, 9)
	b.sends(11*ms, 14*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 8, Count: 1}), nil))
	b.data(15*ms, p, 8)
	b.delivers(15*ms, 15*ms, 9, 8, 9)
	b.never(0, 20*ms, "", nakFrame(9, fields{"has": fields{"first": "1"}}, nil))
	b.End = 20 * ms

	b = add("receiver: tail", "A heartbeat shows what was lost at the end.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.heartbeat(2*ms, p, one(3))
	b.sends(2*ms, 4*ms, to9, nakFrame(9, gapFields(wire.Gap{First: 2, Count: 2}), nil))
	b.data(5*ms, p, 2, 3)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(5*ms, 5*ms, 9, 2, 3)
	b.End = 8 * ms

	b = add("receiver: report that is asked for", "A heartbeat with want_status is answered at once, with its sent_at and where the receiver is.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 2, 3, 5)
	beat := one(5)
	beat.WantStatus = true
	b.heartbeat(200*ms, p, beat)
	b.delivers(1*ms, 1*ms, 9, 1, 2, 3)
	b.sends(200*ms, 202*ms, to9, fields{"status": fields{"next": "4", "highest": "6", "echo": strconv.FormatInt(200*ms, 10), "held": fields{"max": 2 * ms}, "limit": fields{"min": "6", "max": "36"}}})
	b.never(0, 210*ms, "", fields{"status": fields{"next": fields{"min": "5"}}})
	b.never(0, 210*ms, "", fields{"status": fields{"highest": fields{"min": "7"}}})
	b.End = 210 * ms

	b = add("receiver: retention", "What the sender no longer holds is reported as lost, in its place, by message numbers.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 2, 6)
	b.heartbeat(2*ms, p, wire.Heartbeat{First: 5, Last: 6, Receivers: 1, RoundTrip: uint32(50 * us)})
	b.data(3*ms, p, 5, 7)
	b.delivers(1*ms, 1*ms, 9, 1, 2)
	b.loses(2*ms, 2*ms, 9, 3, 4, "retention")
	b.delivers(3*ms, 3*ms, 9, 5, 6, 7)
	b.never(2*ms+1, 50*ms, "", nakFrame(9, fields{"has": fields{"first": "3"}}, nil))
	b.End = 50 * ms

	b = add("receiver: retention, packed", "A lost datagram with several messages is reported exactly: the next datagram has the number of its first message.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.bytesIn(1*ms, p, dataOf(p, 3, 12, 0, []byte("twelve")))
	b.heartbeat(2*ms, p, wire.Heartbeat{First: 3, Last: 3, FirstMessage: 12, NextMessage: 13, Receivers: 1, RoundTrip: uint32(50 * us)})
	b.delivers(1*ms, 1*ms, 9, 1)
	b.loses(2*ms, 2*ms, 9, 2, 11, "retention")
	b.deliversPayload(2*ms, 2*ms, 9, 12, 0, []byte("twelve"))
	b.End = 5 * ms

	b = add("receiver: a heartbeat far ahead", "One heartbeat that moves first beyond the window is not believed; a second one is.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.heartbeat(2*ms, p, wire.Heartbeat{First: 500, Last: 510, Receivers: 1, RoundTrip: uint32(50 * us)})
	b.data(3*ms, p, 2)
	b.heartbeat(4*ms, p, wire.Heartbeat{First: 500, Last: 510, Receivers: 1, RoundTrip: uint32(50 * us)})
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(3*ms, 3*ms, 9, 2)
	b.loses(4*ms, 4*ms, 9, 3, 499, "reset")
	b.End = 5 * ms

	b = add("receiver: an older incarnation", "A lower incarnation of a stream's sender is dropped.")
	newer := p
	newer.Incarnation = 2
	b.start(0, newer, 1, 0)
	b.data(1*ms, newer, 1)
	b.data(2*ms, p, 2)
	b.heartbeat(2*ms, p, wire.Heartbeat{First: 100, Last: 120})
	b.in(2*ms, p, func(d []byte) []byte { return wire.AppendLeave(d, wire.Leave{HasLast: true, Last: 1, NextMessage: 2}) })
	b.bytesIn(3*ms, newer, dataOf(newer, 2, 2, 0, []byte("newer")))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.deliversPayload(3*ms, 3*ms, 9, 2, 0, []byte("newer"))
	b.End = 50 * ms

	b = add("receiver: a newer incarnation", "A higher incarnation ends the stream before it, and begins anew.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 3)
	b.start(2*ms, newer, 1, 0)
	b.data(2*ms, newer, 1)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.loses(2*ms, 2*ms, 9, 2, 2, "sender gone")
	b.delivers(2*ms, 2*ms, 9, 3, 1)
	b.End = 50 * ms

	b = add("receiver: farewell", "After a Leave what is on its way has a moment; then what is missing is lost, and nothing more is sent.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, one(0))
	b.data(1*ms, p, 1, 2, 4)
	b.in(2*ms, p, func(d []byte) []byte { return wire.AppendLeave(d, wire.Leave{HasLast: true, Last: 6, NextMessage: 7}) })
	b.data(2*ms, p, 5)
	b.delivers(1*ms, 1*ms, 9, 1, 2)
	b.loses(4*ms, 100*ms, 9, 3, 3, "sender gone")
	b.delivers(4*ms, 100*ms, 9, 4, 5)
	b.loses(4*ms, 100*ms, 9, 6, 6, "sender gone")
	b.data(200*ms, p, 3)
	b.never(110*ms, 1000*ms, "", anyNak)
	b.never(110*ms, 1000*ms, "", anyStatus)
	b.End = 1000 * ms

	b = add("receiver: came within a large message", "A message whose first parts were before the first datagram is skipped, and is no loss.")
	b.bytesIn(10*ms, p, partOf(p, 7, 3, 1000, 2500, bytes.Repeat([]byte("b"), 1000)))
	b.bytesIn(10*ms, p, partOf(p, 8, 3, 2000, 2500, bytes.Repeat([]byte("c"), 500)))
	b.bytesIn(11*ms, p, dataOf(p, 9, 4, 0, []byte("whole")))
	b.deliversPayload(11*ms, 11*ms, 9, 4, 0, []byte("whole"))
	b.End = 15 * ms

	b = add("receiver: fragments", "The parts of a message are put together, also when they come out of order; one that is lost takes the message with it.")
	b.start(0, p, 1, 0)
	b.bytesIn(1*ms, p, partOf(p, 1, 1, 0, 2500, bytes.Repeat([]byte("a"), 1000)))
	b.bytesIn(1*ms, p, partOf(p, 3, 1, 2000, 2500, bytes.Repeat([]byte("c"), 500)))
	b.bytesIn(2*ms, p, partOf(p, 2, 1, 1000, 2500, bytes.Repeat([]byte("b"), 1000)))
	b.bytesIn(3*ms, p, partOf(p, 4, 2, 0, 1500, bytes.Repeat([]byte("d"), 1000)))
	b.bytesIn(3*ms, p, dataOf(p, 6, 3, 0, []byte("three")))
	b.heartbeat(4*ms, p, wire.Heartbeat{First: 6, FirstMessage: 3, Last: 6, NextMessage: 4, Receivers: 1, RoundTrip: uint32(50 * us)})
	b.deliversPayload(2*ms, 2*ms, 9, 1, 0, bytes.Join([][]byte{bytes.Repeat([]byte("a"), 1000), bytes.Repeat([]byte("b"), 1000), bytes.Repeat([]byte("c"), 500)}, nil))
	b.loses(4*ms, 4*ms, 9, 2, 2, "retention")
	b.deliversPayload(4*ms, 4*ms, 9, 3, 0, []byte("three"))
	b.End = 8 * ms

	b = add("receiver: contradiction", "A datagram whose messages do not follow those of the one before is dropped, and the right one is taken.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.bytesIn(2*ms, p, dataOf(p, 2, 3, 0, []byte("forged")))
	b.bytesIn(2*ms, p, dataOf(p, 2, 1, 0, []byte("forged")))
	b.data(3*ms, p, 2)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(3*ms, 3*ms, 9, 2)
	b.End = 8 * ms

	b = add("receiver: not for it", "What is of another cluster, its own, damaged, or of a protocol that it does not run changes nothing.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	other := p
	other.Cluster++
	b.bytesIn(2*ms, other, dataOf(other, 2, 2, 0, []byte("other cluster")))
	own := p
	own.Transmitter = behaveID
	b.bytesIn(2*ms, own, dataOf(own, 1, 1, 0, []byte("own")))
	bad := dataOf(p, 2, 2, 0, []byte("damaged"))
	bad[len(bad)-1] ^= 1
	b.bytesIn(2*ms, p, bad)
	wrong := dataOf(p, 2, 2, 0, []byte("CRC over everything"))
	copy(wrong[15:19], make([]byte, 4))
	crc := crcOf(wrong)
	copy(wrong[15:19], []byte{byte(crc), byte(crc >> 8), byte(crc >> 16), byte(crc >> 24)})
	b.bytesIn(2*ms, p, wrong)
	groups := p
	groups.Stream = wire.NewStreamID(wire.Group, 0)
	b.bytesIn(2*ms, groups, dataOf(groups, 1, 1, 0, []byte("groups")))
	cut := dataOf(p, 2, 2, 0, []byte("cut"))
	b.bytesIn(2*ms, p, cut[:len(cut)-1])
	b.data(3*ms, p, 2)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(3*ms, 3*ms, 9, 2)
	b.never(0, 50*ms, "", anyNak)
	b.never(0, 50*ms, "10.0.0.1:6676", anyStatus)
	b.End = 50 * ms

	b = add("receiver: slow application", "While the application takes nothing, limit stands still, and nothing is lost that lies below it.")
	b.start(0, p, 1, 0)
	b.event(happening{At: 1 * ms, Pause: true})
	for n := uint64(1); n <= 32; n++ {
		b.data(2*ms, p, n)
	}
	beat = one(32)
	beat.WantStatus = true
	b.heartbeat(50*ms, p, beat)
	b.event(happening{At: 100 * ms, Resume: true})
	beat.SentAt = uint64(101 * ms)
	b.heartbeat(101*ms, p, beat)
	for n := uint64(1); n <= 32; n++ {
		b.delivers(100*ms, 101*ms, 9, n)
	}
	b.never(0, 100*ms-1, "", fields{"status": fields{"limit": fields{"min": "34"}}})
	b.sends(50*ms, 52*ms, to9, fields{"status": fields{"next": "33", "limit": "33"}})
	b.sends(101*ms, 103*ms, to9, fields{"status": fields{"next": "33", "limit": fields{"min": "35", "max": "65"}}})
	b.End = 110 * ms

	b = add("receiver: BestEffort", "Nothing is asked for; what is missing is reported when what comes after it does, or soon after a heartbeat.")
	be := peerOf(9, wire.NewStreamID(wire.BestEffort, 0))
	b.start(0, be, 1, 0)
	b.data(1*ms, be, 1, 4)
	b.heartbeat(2*ms, be, one(6))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.loses(1*ms, 1*ms, 9, 2, 3, "unrepaired")
	b.delivers(1*ms, 1*ms, 9, 4)
	b.loses(4*ms, 100*ms, 9, 5, 6, "unrepaired")
	b.never(0, 200*ms, "", anyNak)
	b.End = 200 * ms

	b = add("receiver: the last numbers", "Numbers go up to 2^64-2.")
	const last = uint64(1<<64 - 2)
	b.bytesIn(1*ms, p, dataOf(p, last-3, last-3, 0, scriptPayload(last-3)))
	b.bytesIn(1*ms, p, dataOf(p, last-1, last-1, 0, scriptPayload(last-1)))
	b.sends(1*ms, 4*ms, "", nakFrame(9, gapFields(wire.Gap{First: last - 2, Count: 1}), nil))
	b.bytesIn(5*ms, p, dataOf(p, last-2, last-2, 0, scriptPayload(last-2)))
	b.bytesIn(6*ms, p, dataOf(p, last, last, 0, scriptPayload(last)))
	b.delivers(1*ms, 1*ms, 9, last-3)
	b.delivers(5*ms, 5*ms, 9, last-2, last-1)
	b.delivers(6*ms, 6*ms, 9, last)
	b.End = 10 * ms

	b = add("receiver: moves on", "Answers go to the address that the stream came from last.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, one(0))
	b.data(1*ms, p, 1)
	moved := b.bytesIn(2*ms, p, dataOf(p, 3, 3, 0, scriptPayload(3)))
	moved.From = "10.0.0.8:6676"
	b.data(10*ms, p, 2)
	b.sends(2*ms, 4*ms, "10.0.0.8:6676", nakFrame(9, gapFields(wire.Gap{First: 2, Count: 1}), nil))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.delivers(10*ms, 10*ms, 9, 2, 3)
	b.End = 12 * ms

	b = add("receiver: its own farewell", "A member that stops sends a Leave without last in each stream that it receives, and reports no more.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.delivers(1*ms, 1*ms, 9, 1)
	b.event(happening{At: 50 * ms, Close: true})
	b.sends(50*ms, 60*ms, "group", fields{"leave": fields{"last": nil, "next_message": nil}}).Times = 2
	b.never(51*ms, 500*ms, "", anyStatus)
	b.never(51*ms, 500*ms, "", anyNak)
	b.End = 500 * ms

	b = add("receiver: gives up", "What is asked for in vain for RepairTimeout, 5 s, although the sender is there, is lost.")
	b.start(0, p, 1, 0)
	b.heartbeat(0, p, one(0))
	b.data(1*ms, p, 1, 3)
	for at := 200 * ms; at < 15000*ms; at += 200 * ms {
		b.heartbeat(at, p, one(3))
	}
	b.delivers(1*ms, 1*ms, 9, 1)
	b.loses(5000*ms, 15000*ms, 9, 2, 2, "timeout")
	b.delivers(5000*ms, 15000*ms, 9, 3)
	b.End = 15000 * ms

	b = add("receiver: a heartbeat that data overtook", "It is dropped: nothing that came is taken back.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1, 2, 3)
	b.heartbeat(2*ms, p, one(1))
	b.data(3*ms, p, 4)
	b.delivers(1*ms, 1*ms, 9, 1, 2, 3)
	b.delivers(3*ms, 3*ms, 9, 4)
	b.never(0, 50*ms, "", anyNak)
	b.End = 50 * ms

	b = add("receiver: asks a silent sender", "When nothing came for 1.6 pauses, a report without an echo asks the sender whether it is there.")
	b.start(0, p, 1, 0)
	b.data(1*ms, p, 1)
	b.heartbeat(2*ms, p, one(1))
	b.delivers(1*ms, 1*ms, 9, 1)
	b.sends(2*ms, 300*ms, to9, fields{"status": fields{"echo": strconv.FormatInt(2*ms, 10)}})
	b.sends(400*ms, 900*ms, to9, fields{"status": fields{"echo": "0"}}).Times = 2
	b.End = 900 * ms

	// The sending half.
	dataNo := func(n uint64) fields {
		return fields{"data": fields{"number": strconv.FormatUint(n, 10), "first_message": strconv.FormatUint(n, 10)}}
	}
	fullData := func(n uint64, size int) fields {
		f := dataNo(n)
		f["data"].(fields)["messages"] = []any{fields{"topic": "prices.eu", "payload": strings.Repeat("78", size)}}
		return f
	}
	opened := func(b *behaviour) { b.event(happening{At: 0, Open: true}) }
	joined := func(b *behaviour, limit uint64) { // receiver 2 has reported and counts, from 2 ms on
		opened(b)
		b.status(1*ms, 2, nack, 1, 1, limit, false)
		b.status(2*ms, 2, nack, 1, 1, limit, true)
	}
	const size = 1300

	b = add("sender: the beginning", "A stream begins with a Start, alone; its first datagrams have one too; soon afterwards comes a heartbeat.")
	opened(b)
	b.offer(3*ms, 2, size)
	b.sends(0, 3*ms, "group", fields{"start": fields{"first": "1", "first_message": "1", "age": fields{"max": strconv.FormatInt(3*ms, 10)}, "lanes": 1}})
	f := fullData(1, size)
	f["start"] = fields{"first": "1", "first_message": "1", "age": fields{"min": strconv.FormatInt(3*ms, 10), "max": strconv.FormatInt(4*ms, 10)}}
	b.sends(3*ms, 4*ms, "group", f)
	b.sends(3*ms, 4*ms, "group", fullData(2, size))
	b.sends(3*ms, 9*ms, "group", fields{"heartbeat": fields{"first": "1", "last": "2", "first_message": "1", "next_message": "3"}})
	b.sends(10*ms, 1000*ms, "group", fields{"heartbeat": fields{"last": "2"}}).Times = 3
	b.never(0, 1000*ms, "", fields{"heartbeat": fields{"last": fields{"min": "3"}}})
	b.End = 1000 * ms

	b = add("sender: lanes", "A topic's lane is its FNV-1a of 32 bits, modulo the lanes.")
	b.Member.Lanes = 8
	h := fnv.New32a()
	_, _ = h.Write([]byte("prices.eu"))
	lane := int(h.Sum32() % 8)
	b.offer(1*ms, 1, 10)
	b.sends(1*ms, 2*ms, "group", fields{"data": fields{"number": "1", "first_message": "1"}, "start": fields{"lanes": 8}}).Lane = &lane
	b.End = 5 * ms

	b = add("sender: nobody is waited for who has not echoed", "A report without the sent_at of a heartbeat does not hold the stream up; it is answered with a heartbeat.")
	opened(b)
	b.status(100*ms, 2, nack, 1, 1, 2, false)
	b.offer(101*ms, 4, size)
	b.sends(100*ms, 110*ms, "", fields{"heartbeat": fields{}})
	for n := uint64(1); n <= 4; n++ {
		b.sends(101*ms, 103*ms, "group", fullData(n, size))
	}
	b.End = 110 * ms

	b = add("sender: limit", "Data leaves below the lowest limit of the receivers that count; while it waits, heartbeats ask for reports.")
	joined(b, 3)
	b.offer(3*ms, 4, size)
	b.sends(3*ms, 4*ms, "group", fullData(1, size))
	b.sends(3*ms, 4*ms, "group", fullData(2, size))
	b.never(0, 30*ms-1, "", dataNo(3))
	b.sends(3*ms, 30*ms, "", fields{"heartbeat": fields{"last": "2", "want_status": true}})
	b.status(30*ms, 2, nack, 3, 3, 9, true)
	b.sends(30*ms, 31*ms, "group", fullData(3, size))
	b.sends(30*ms, 31*ms, "group", fullData(4, size))
	b.End = 60 * ms

	b = add("sender: room", "In flight is no more than the smallest room, with 256 bytes counted for each datagram, but four datagrams always.")
	joined(b, 1000)
	b.Events[len(b.Events)-1].In = "" // replaced below: with less room
	b.Events = b.Events[:len(b.Events)-1]
	small := b.in(2*ms, peerOf(2, nack), func(d []byte) []byte {
		return wire.AppendStatus(d, wire.Status{Origin: behaveID, Next: 1, Highest: 1, Limit: 1000, Room: 10000})
	})
	small.Group, small.EchoAt, small.HeldAt, small.RoundTrip = false, wire.HeaderLen+2+56, wire.HeaderLen+2+65, 100*us
	b.offer(3*ms, 12, size)
	for n := uint64(1); n <= 5; n++ {
		b.sends(3*ms, 4*ms, "group", fullData(n, size))
	}
	b.never(0, 50*ms, "", dataNo(7)) // 6 x (1300 + 70 + 256) is 9,756; 7 are more than 10,000
	b.End = 50 * ms

	b = add("sender: little arrives", "Where a receiver reports twice that half of what was sent has arrived, what follows leaves at half of that rate first.")
	b.Member.Window = 256
	joined(b, 10_000)
	for _, r := range []struct {
		at               int64
		highest, arrived uint64
	}{{3 * ms, 1, 1000}, {40 * ms, 121, 81_000}, {52 * ms, 121, 81_000}} {
		b.in(r.at, peerOf(2, nack), func(d []byte) []byte {
			return wire.AppendStatus(d, wire.Status{Origin: behaveID, Next: 1, Highest: r.highest, Limit: 10_000, Room: 1 << 20,
				Arrived: r.arrived, Clock: uint64(time.Second) + uint64(r.at)})
		}).Group = false
		if r.highest == 1 {
			b.offer(10*ms, 120, size)
		}
	}
	b.sends(10*ms, 11*ms, "group", fullData(120, size))
	b.offer(60*ms, 100, size)
	b.sends(60*ms, 61*ms, "group", fullData(121, size))
	b.never(60*ms, 110*ms, "group", dataNo(190)) // 80 kB in 49 ms, half of that: 42 datagrams in 50 ms, with a burst before
	b.sends(110*ms, 600*ms, "group", fullData(220, size))
	b.End = 600 * ms

	b = add("sender: repairs", "What is asked for goes to all, as it was, once within a round trip; what is asked for again goes to the asker.")
	joined(b, 1000)
	b.status(2*ms, 3, nack, 1, 1, 1000, true)
	b.status(2*ms+500*us, 3, nack, 1, 1, 1000, true)
	b.offer(3*ms, 3, size)
	b.nak(5*ms, 2, nack, 0, gapsOf(2, 1), nil)
	b.nak(5*ms+10*us, 3, nack, 0, gapsOf(2, 1), nil)
	b.sends(3*ms, 4*ms, "group", fullData(2, size))
	b.sends(5*ms, 6*ms, "group", fullData(2, size))
	b.never(5*ms+1*ms, 20*ms-1, "", dataNo(2))
	b.nak(20*ms, 2, nack, 0, nil, gapsOf(2, 1))
	b.sends(20*ms, 21*ms, "10.0.0.2:6676", fullData(2, size))
	b.never(20*ms, 40*ms-1, "group", dataNo(2))
	b.End = 39 * ms

	b = add("sender: what it does not answer", "Requests for what was never sent, for another member and for another incarnation are not answered with data.")
	joined(b, 1000)
	b.offer(3*ms, 3, size)
	b.nak(10*ms, 2, nack, 0, gapsOf(9, 1), nil)
	b.nak(10*ms, 2, nack, 5, gapsOf(2, 1), nil)
	e := b.in(10*ms, peerOf(2, nack), func(d []byte) []byte { return wire.AppendNak(d, wire.MemberID{7}, 0, gapsOf(2, 1), nil) })
	e.Group = false
	b.never(5*ms, 40*ms, "", fields{"data": fields{}})
	b.End = 40 * ms

	b = add("sender: no longer held", "A request for what is no longer held is answered with a heartbeat, whose first says so.")
	opened(b)
	for i := range int64(6) {
		b.offer(1500*ms+i*ms, 10, size)
	}
	b.nak(1600*ms, 2, nack, 0, gapsOf(2, 1), nil)
	b.sends(1600*ms, 1605*ms, "10.0.0.2:6676", fields{"heartbeat": fields{"first": fields{"min": "3"}, "last": "60", "next_message": "61"}})
	b.never(1600*ms, 1650*ms, "", dataNo(2))
	b.End = 1650 * ms

	b = add("sender: retention", "What a receiver that counts has not reported is kept: then nothing more is accepted.")
	joined(b, 1000)
	big := b.in(2*ms+1, peerOf(2, nack), func(d []byte) []byte {
		return wire.AppendStatus(d, wire.Status{Origin: behaveID, Next: 1, Highest: 1, Limit: 1000, Room: 1 << 20})
	})
	big.Group = false
	for i := range int64(6) {
		b.offer(3*ms+i*100*us, 10, size)
	}
	b.sends(3*ms, 4*ms, "group", fullData(32, size))
	b.never(0, 50*ms, "", dataNo(33))
	b.nak(20*ms, 2, nack, 0, gapsOf(1, 1), nil)
	b.sends(20*ms, 30*ms, "", fullData(1, size))
	b.End = 50 * ms

	b = add("sender: fragments", "A message that is larger than a datagram leaves in parts that follow each other.")
	opened(b)
	b.offer(3*ms, 1, 3000)
	b.sends(3*ms, 4*ms, "group", fields{"data": fields{"number": "1", "first_message": "1", "fragment": fields{"offset": 0, "size": 3000}, "messages": []any{fields{"topic": "prices.eu"}}}})
	b.sends(3*ms, 4*ms, "group", fields{"data": fields{"number": "2", "first_message": "1", "fragment": fields{"offset": fields{"min": 1000}, "size": 3000}, "messages": []any{fields{"topic": "prices.eu"}}}})
	b.sends(3*ms, 4*ms, "group", fields{"data": fields{"number": "3", "first_message": "1", "fragment": fields{"offset": fields{"min": 2000}, "size": 3000}}})
	b.offer(5*ms, 1, 10)
	b.sends(5*ms, 6*ms, "group", fields{"data": fields{"number": "4", "first_message": "2"}})
	b.End = 10 * ms

	b = add("sender: a silent receiver", "A receiver that is silent for longer than a second is asked, and then is not waited for.")
	joined(b, 3)
	b.offer(3*ms, 4, size)
	b.sends(3*ms, 4*ms, "group", fullData(2, size))
	b.never(0, 1000*ms, "", dataNo(3))
	b.sends(1000*ms, 1300*ms, "group", fullData(3, size))
	b.sends(1000*ms, 1300*ms, "group", fullData(4, size))
	b.End = 1400 * ms

	b = add("sender: a receiver's farewell", "A receiver that leaves is not waited for.")
	joined(b, 3)
	b.offer(3*ms, 4, size)
	b.sends(3*ms, 4*ms, "group", fullData(2, size))
	b.never(0, 20*ms-1, "", dataNo(3))
	b.in(20*ms, peerOf(2, nack), func(d []byte) []byte { return wire.AppendLeave(d, wire.Leave{}) })
	b.sends(20*ms, 45*ms, "group", fullData(3, size))
	b.sends(20*ms, 45*ms, "group", fullData(4, size))
	b.End = 60 * ms

	b = add("sender: farewell", "A member that stops sends a Leave with where its stream ends, more than once, and nothing else afterwards.")
	joined(b, 1000)
	b.offer(3*ms, 2, size)
	b.status(5*ms, 2, nack, 3, 3, 1000, true)
	b.event(happening{At: 10 * ms, Close: true})
	b.sends(10*ms, 20*ms, "group", fields{"leave": fields{"last": "2", "next_message": "3"}}).Times = 2
	b.never(11*ms, 1000*ms, "", fields{"heartbeat": fields{}})
	b.never(11*ms, 1000*ms, "", fields{"data": fields{}})
	b.End = 1000 * ms
	return list
}

func crcOf(b []byte) uint32 {
	var mem [64 + 1472]byte
	// wire.Seal computes over what follows the CRC; this one is over everything.
	d := append(wire.AppendHeader(mem[:0], wire.Header{})[:19], b...)
	wire.Seal(d)
	return uint32(d[15]) | uint32(d[16])<<8 | uint32(d[17])<<16 | uint32(d[18])<<24
}

// The running of scripts.

// acting is a Protocol that a script drives.
type acting struct {
	t       *testing.T
	b       *behaviour
	p       *Protocol
	now     clock.Time
	refuse  bool
	beat    uint64 // SentAt of the last heartbeat
	senders map[wire.StreamID]*Sender
	output  []happened
	sent    []departure
}

type happened struct {
	at int64
	is any // *deliverance or *losing
}

type departure struct {
	at    int64
	to    string
	lane  int
	frame fields
	n     int // how often it has been matched
}

func act(t *testing.T, b *behaviour, seed uint64) *acting {
	a := &acting{t: t, b: b, now: behaveBase, senders: map[wire.StreamID]*Sender{}}
	a.p = New(Config{
		Self: behaveID, Cluster: testCluster, Datagram: b.Member.Datagram, Window: b.Member.Window * b.Member.Datagram, Room: b.Member.Room, Lanes: b.Member.Lanes,
		Pool: buf.NewPool(300+b.Member.Window, b.Member.Datagram+Headroom), Rand: rand.New(rand.NewPCG(seed, 1)), Sink: a,
	})
	a.p.Tick(a.now)
	for _, e := range b.Events {
		a.until(behaveBase + clock.Time(e.At))
		a.happen(e)
		a.turn()
	}
	a.until(behaveBase + clock.Time(b.End))
	return a
}

func (a *acting) at() int64 { return int64(a.now - behaveBase) }

func (a *acting) Deliver(m *core.Delivery) bool {
	if !a.refuse {
		a.output = append(a.output, happened{a.at(), &deliverance{hex.EncodeToString(m.From[:]), strconv.FormatUint(m.Sequence, 10), string(m.Topic), int(m.Kind), hex.EncodeToString(m.Payload)}})
	}
	return !a.refuse
}

func (a *acting) Lost(l *core.Loss) {
	reason := [...]string{"", "unrepaired", "sender gone", "retention", "reset", "slow consumer", "malformed", "refused", "timeout"}[l.Reason]
	a.output = append(a.output, happened{a.at(), &losing{hex.EncodeToString(l.From[:]), strconv.FormatUint(l.First, 10), strconv.FormatUint(l.Last, 10), reason}})
}

func (a *acting) until(end clock.Time) {
	for {
		at, ok := a.p.Deadline()
		if !ok || at > end {
			break
		}
		a.now = max(a.now, at)
		a.turn()
	}
	a.now = end
}

func (a *acting) turn() {
	if at, ok := a.p.Deadline(); ok && at <= a.now {
		a.p.Tick(a.now)
	}
	a.p.Deliver(a.now)
	a.p.Flush(a.now)
	for {
		x, ok := a.p.PollSend(a.now)
		if !ok {
			return
		}
		var d wirepb.Datagram
		if err := proto.Unmarshal(x.Buf.Bytes(), &d); err != nil {
			a.t.Fatal(err)
		}
		frame := fields{}
		m := d.ProtoReflect()
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if fd.IsList() && fd.Number() >= 12 {
				frame[string(fd.Name())] = plainFields(v.List().Get(0).Message())
			}
			return true
		})
		if d.Heartbeat != nil {
			a.beat = d.Heartbeat[0].GetSentAt()
		}
		a.sent = append(a.sent, departure{a.at(), endpointName(x.To), int(d.GetStream() & 0xFFFF), frame, 0})
		x.Buf.Release()
	}
}

// plainFields has a message as JSON: numbers of 64 bits as texts, bytes in hexadecimal.
func plainFields(m protoreflect.Message) fields {
	out := fields{}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		one := func(v protoreflect.Value) any {
			switch fd.Kind() {
			case protoreflect.MessageKind:
				return plainFields(v.Message())
			case protoreflect.BytesKind:
				return hex.EncodeToString(v.Bytes())
			case protoreflect.Fixed64Kind:
				return strconv.FormatUint(v.Uint(), 10)
			case protoreflect.EnumKind:
				return float64(v.Enum())
			case protoreflect.Fixed32Kind, protoreflect.Uint32Kind:
				return float64(v.Uint())
			}
			return v.Interface()
		}
		if !fd.IsList() {
			out[string(fd.Name())] = one(v)
			return true
		}
		list := []any{}
		for i := range v.List().Len() {
			list = append(list, one(v.List().Get(i)))
		}
		out[string(fd.Name())] = list
		return true
	})
	return out
}

func (a *acting) happen(e *happening) {
	switch {
	case e.In != "":
		b, err := hex.DecodeString(e.In)
		if err != nil {
			a.t.Fatal(err)
		}
		if e.EchoAt > 0 {
			for i := range 8 {
				b[e.EchoAt+i] = byte(a.beat >> (8 * i))
			}
			held := max(uint64(a.now)-a.beat, uint64(e.RoundTrip)) - uint64(e.RoundTrip)
			for i := range 4 {
				b[e.HeldAt+i] = byte(held >> (8 * i))
			}
			wire.Seal(b)
		}
		var d wire.Datagram
		// What the engine drops before a core is asked.
		if wire.Decode(b, &d) != nil || d.Cluster != testCluster || d.Transmitter == behaveID {
			return
		}
		var x buf.Buf
		x.Lend(b)
		_ = a.p.Step(a.now, &d, buf.Received{Buf: &x, From: endpointOf(a.t, e.From), Group: e.Group})
	case e.Topic != "", e.Open:
		h := fnv.New32a()
		_, _ = h.Write([]byte(e.Topic))
		id := wire.NewStreamID(wire.Protocol(a.b.Member.Protocol), uint16(h.Sum32()%uint32(a.b.Member.Lanes)))
		s := a.p.Open(a.now, id)
		payload, err := hex.DecodeString(e.Payload)
		if err != nil {
			a.t.Fatal(err)
		}
		for range e.Count {
			if s.Offer(a.now, e.Topic, wire.KindRaw, payload) != nil {
				break
			}
		}
	case e.Pause, e.Resume:
		a.refuse = e.Pause
	case e.Close:
		a.p.Close(a.now)
	}
}

// check compares what was done with what had to be done.
func (a *acting) check() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	text := func(v any) string { b, _ := json.Marshal(v); return string(b) }
	for i, want := range a.b.Output {
		is := any(want.Lost)
		if want.Deliver != nil {
			is = want.Deliver
		}
		if i >= len(a.output) {
			say("%s is missing", text(is))
			continue
		}
		got := a.output[i]
		if text(got.is) != text(is) {
			say("at %d: %.200s, not %.200s", got.at, text(got.is), text(is))
		} else if got.at < want.After || got.at > want.Before {
			say("%s at %d, not %d to %d", text(is), got.at, want.After, want.Before)
		}
	}
	for _, more := range a.output[min(len(a.output), len(a.b.Output)):] {
		say("at %d: %.200s, which nobody expects", more.at, text(more.is))
	}
	matches := func(s *departure, want *sending) bool {
		return s.at >= want.After && s.at <= want.Before && (want.To == "" || want.To == s.to) && (want.Lane == nil || *want.Lane == s.lane) && suits(want.Frame, s.frame)
	}
	for _, want := range a.b.Sends {
		n := 0
		for i := range a.sent {
			if matches(&a.sent[i], want) {
				n++
			}
		}
		if n < max(want.Times, 1) {
			say("sent %d times from %d to %d, to %q: %.300s", n, want.After, want.Before, want.To, text(want.Frame))
		}
	}
	for _, never := range a.b.Never {
		for i := range a.sent {
			if matches(&a.sent[i], never) {
				say("sent at %d to %s: %.300s", a.sent[i].at, a.sent[i].to, text(a.sent[i].frame))
			}
		}
	}
	return wrong
}

// suits reports whether got has all that want has. An object with min or max bounds a number, one with has is a list
// with such an element; null: the field is not there.
func suits(want, got any) bool {
	switch w := want.(type) {
	case nil:
		return got == nil
	case fields:
		if has, ok := w["has"]; ok {
			list, _ := got.([]any)
			return slices.ContainsFunc(list, func(x any) bool { return suits(has, x) })
		}
		lo, bounded := w["min"]
		hi, above := w["max"]
		if bounded || above {
			n, ok := numberOf(got)
			l, _ := numberOf(lo)
			h, _ := numberOf(hi)
			return ok && (!bounded || n >= l) && (!above || n <= h)
		}
		g, ok := got.(fields)
		if !ok {
			return false
		}
		for k, v := range w {
			if !suits(v, g[k]) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !suits(w[i], g[i]) {
				return false
			}
		}
		return true
	}
	if n, ok := numberOf(want); ok {
		m, ok := numberOf(got)
		return ok && n == m
	}
	return want == got
}

func numberOf(v any) (n uint64, ok bool) {
	switch v := v.(type) {
	case string:
		n, err := strconv.ParseUint(v, 10, 64)
		return n, err == nil && len(v) < 21 && strconv.FormatUint(n, 10) == v
	case int:
		return uint64(v), true
	case int64:
		return uint64(v), true
	case float64:
		return uint64(v), true
	}
	return 0, false
}

// The scripts hold for this member, and wire/testdata/behaviour.json has them for others.
func TestBehaviour(t *testing.T) {
	scripts := behaviours()
	for _, b := range scripts {
		t.Run(b.Name, func(t *testing.T) {
			slices.SortStableFunc(b.Events, func(x, y *happening) int { return int(x.At - y.At) })
			for seed := range uint64(5) { // whatever the back-offs are
				a := act(t, b, seed)
				for _, w := range a.check() {
					t.Errorf("seed %d: %s", seed, w)
				}
				a.p.Release()
			}
			if len(b.Output)+len(b.Sends)+len(b.Never) == 0 {
				t.Error("it expects nothing")
			}
		})
	}
	vectors.Compare(t, filepath.Join("..", "wire", "testdata", "behaviour.json"), "go test ./nack -run TestBehaviour -update", *update,
		vectors.ListOf(t, "scripts", scripts))
}
