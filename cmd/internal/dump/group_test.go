package dump

import (
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// Every frame of groups has words of its own.
func TestGroupFrames(t *testing.T) {
	r := &wire.Record{ID: them, Incarnation: 2, Version: 9, Address: 10<<40 | 1<<16 | 6676, Interval: 20000, Name: []byte("pricer")}
	lists := wire.RecordLists(nil).AppendGroup("prices").AppendQueue("work", 4, 0)
	partial := *r
	partial.Partial = true
	mem := make([]byte, 1500)
	var w wire.PairWriter
	w.Begin(mem, 1400)
	w.Add(&wire.Item{Kind: wire.ItemSend, Call: 5, Payload: []byte("abc")})
	w.Add(&wire.Item{Kind: wire.ItemQueue, Call: 6, Name: []byte("work"), Redelivered: true, Fragment: true, Offset: 1, Size: 2, Payload: []byte("x")})
	w.Add(&wire.Item{Kind: 15, Call: 7})
	off, n := w.Finish(wire.Header{}, &wire.Pair{To: them, Session: 3, ToIncarnation: 2, Channel: wire.ChannelInboxes, AckAtOnce: true, Number: 12, Oldest: 11, Known: 1, FirstItem: 30})
	pairs := mem[off+wire.HeaderLen : off+n]
	for want, b := range map[string][]byte{
		`pair 12 to 05060708#2: session 3, in-boxes, oldest 11, known 1, 3 items from 30, acknowledge at once; send "" of call 5, 3 bytes; ` +
			`queue item "work" of call 6, 1 byte, redelivered at 1 of 2; kind 15 of call 7, 0 bytes`: pairs,
		"pair ack to 05060708: session 3, queues: next 4, held 0x5, items taken below 9, limit 100, kept back 800µs, item 7 refused (2)": wire.AppendPairAck(nil,
			&wire.PairAck{To: them, Session: 3, Channel: wire.ChannelQueues, Next: 4, Held: 5, Taken: 9, Limit: 100, Delay: 800,
				Refused: wire.Refusals(nil).Append(wire.Refusal{Item: 7, Reason: wire.RefusedNoRoom})}),
		"pair ack to 05060708: session 3 is dead, answers": wire.AppendPairAck(nil, &wire.PairAck{To: them, Session: 3, Dead: true, Next: 1, Taken: 1, Limit: 1}),
		"beat: record version 2, next within 20ms, 3 members, digest 00000000000000ab, longest stall 350µs": wire.AppendBeat(nil,
			wire.Beat{Version: 2, Interval: 20000, Members: 3, Digest: 0xab, Stall: 350}),
		`hello, who is there? attempt 1, nonce 000000000000004d: 05060708#2 "pricer" at 10.0.0.1:6676, version 9, groups ["prices"], queues ["work"]`: wire.AppendHello(nil,
			&wire.Hello{Ask: true, Attempt: 1, Nonce: 77, Record: *r}, lists),
		`hello, nonce 000000000000004d: 05060708#2 "pricer" at 10.0.0.1:6676, version 9, without lists`: wire.AppendHello(nil, &wire.Hello{Nonce: 77, Record: partial}, nil),
		`members to compare: 1 record; 05060708#2 "pricer" at 10.0.0.1:6676, version 9, without lists; more follow`: wire.AppendMembers(nil,
			&wire.Table{Compare: true, More: true}, wire.AppendTableRecord(nil, &partial, nil)),
		"probe to 05060708: you are removed, incarnation 2, nonce 000000000000004d": wire.AppendProbe(nil, wire.Probe{To: them, Kind: wire.ProbeRemoved, Incarnation: 2, Nonce: 77}),
		"word: vouch of 05060708#2 (12ms ago) kind 9 of 01020304#1": wire.AppendWord(nil,
			[]wire.About{{ID: them, Incarnation: 2, Kind: wire.AboutVouch, Age: 12000}, {ID: us, Incarnation: 1, Kind: 9}}),
	} {
		var d wire.Datagram
		if err := wire.Decode(datagramOf(wire.Group, b), &d); err != nil || len(d.Frames()) != 1 {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := frame(&d.Frames()[0]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := Protocol(wire.Group); got != "group" {
		t.Error(got)
	}
}
