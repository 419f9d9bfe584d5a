package group

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// What goes on all the time allocates nothing: a beat that comes, the turns, a beat that leaves.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	r := newRig(t, 3)
	a, b := r.members[0], r.members[1]
	beat := wire.AppendHeader(nil, wire.Header{Cluster: 7, Transmitter: b.id(), Stream: Stream})
	beat = wire.AppendBeat(beat, wire.Beat{Interval: 20_000, Members: 3, Digest: a.Digest()})
	wire.Seal(beat)
	var d wire.Datagram
	var lent buf.Buf
	n := testing.AllocsPerRun(1000, func() {
		r.now += 1_000_000
		if err := wire.Decode(beat, &d); err != nil {
			t.Fatal(err)
		}
		lent.Lend(beat)
		if err := a.Step(r.now, &d, buf.Received{Buf: &lent, From: b.at, Group: true}); err != nil {
			t.Fatal(err)
		}
		a.find(r.members[2].id()).heard = r.now
		if at, ok := a.Deadline(); ok && at <= r.now {
			a.Tick(r.now)
		}
		a.Flush(r.now)
		for s, ok := a.PollSend(r.now); ok; s, ok = a.PollSend(r.now) {
			s.Buf.Release()
		}
		a.Deliver(r.now)
	})
	if n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
	if a.Stats().BeatsSent < 10 {
		t.Errorf("%d beats sent: nothing was measured", a.Stats().BeatsSent)
	}
}

// The table keeps to its bounds, and gives everything back.
func TestTableBounds(t *testing.T) {
	r := newRig(t, 1)
	a := r.members[0]
	digest := a.Digest()
	nonce := a.nonce
	for round := range 6 {
		for part := range 20 {
			var records []byte
			for i := range wire.MaxRecords {
				rec := wire.Record{ID: wire.MemberID{9, byte(round), byte(part), byte(i)}, Interval: 20_000, Address: 1000}
				records = wire.AppendTableRecord(records, &rec, wire.RecordLists(nil).AppendGroup("g"))
			}
			r.forge(a, wire.MemberID{8}, 0, 500, func(b []byte) []byte {
				table := wire.Table{Nonces: []byte{byte(nonce), byte(nonce >> 8), byte(nonce >> 16), byte(nonce >> 24), byte(nonce >> 32), byte(nonce >> 40), byte(nonce >> 48), byte(nonce >> 56)}}
				return wire.AppendMembers(b, &table, records)
			})
		}
		if s := a.Stats(); s.Members != MaxMembers || s.Drops[DropFull] == 0 {
			t.Fatalf("%d members, %d refused", s.Members, s.Drops[DropFull])
		}
		r.run(3 * time.Second) // so many are given long
		if s := a.Stats(); s.Members != 1 || s.Tombstones > MaxTombstones {
			t.Fatalf("%d members, %d tombstones", s.Members, s.Tombstones)
		}
	}
	if a.table.records != 0 || a.Digest() != digest || len(a.table.tombs) != len(a.table.graves) {
		t.Errorf("%d bytes of records, digest %x and before %x, %d tombstones and %d", a.table.records, a.Digest(), digest, len(a.table.tombs), len(a.table.graves))
	}
	if s := a.Stats(); s.Tombstones != MaxTombstones {
		t.Errorf("%d tombstones", s.Tombstones)
	}
}
