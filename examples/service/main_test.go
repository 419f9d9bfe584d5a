package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/internal/testnet"
)

func TestRun(t *testing.T) {
	uri, cluster := testnet.Loopback(t)
	var out strings.Builder
	if err := run(blaze.Config{BroadcastURI: uri, Cluster: cluster, Totem: blaze.TotemConfig{Profile: blaze.Shared}}, &out); err != nil {
		t.Fatalf("%v, after\n%s", err, &out)
	}
	const want = `north: reserve: done; 4 are free
south: reserve: not so many seats are free; 4 are free
south: buy: done; 4 are free
south: reserve: done; 0 are free
a reservation is over: 4 are free
west: reserve: done; 1 are free
west has gone: 4 are free
`
	if out.String() != want {
		t.Errorf("printed\n%swant\n%s", &out, want)
	}
}

// The state machine alone: no cluster is needed to test it.
func TestHall(t *testing.T) {
	a, b := blaze.MemberID{1}, blaze.MemberID{2}
	start := time.Unix(1_700_000_000, 0).UTC()
	h := &hall{}
	index := uint64(0)
	do := func(by blaze.MemberID, op string, want reply) uint64 {
		t.Helper()
		index++
		var got reply
		if err := json.Unmarshal(h.Apply(blaze.Operation{Data: []byte(op), By: by, Index: index}), &got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", op, got, want)
		}
		return index
	}
	reserve := func(n int, ends time.Time) string {
		b, _ := json.Marshal(request{Do: "reserve", Seats: n, EndsAt: ends})
		return string(b)
	}
	do(a, reserve(6, start.Add(time.Minute)), reply{ID: 1, Free: 4})
	do(b, reserve(5, start), reply{Free: 4, Why: "not so many seats are free"})
	do(b, reserve(0, start), reply{Free: 4, Why: "not so many seats are free"})
	do(b, reserve(-3, start), reply{Free: 4, Why: "not so many seats are free"})
	do(b, reserve(3, start.Add(time.Second)), reply{ID: 5, Free: 1})
	do(b, `{"Do":"buy","ID":1}`, reply{Free: 1})
	do(b, `{"Do":"buy","ID":1}`, reply{Free: 1, Why: "there is no such reservation"})
	do(b, `{"Do":"give","ID":5}`, reply{Free: 1, Why: "not a request"})
	do(b, `{`, reply{Free: 1, Why: "not a request"})
	if at, ok := h.Next(); !ok || !at.Equal(start.Add(time.Second)) {
		t.Errorf("Next = %v, %v", at, ok)
	}
	h.Tick(start.Add(time.Second - 1))
	do(a, `{"Do":"cancel","ID":77}`, reply{Free: 1, Why: "there is no such reservation"})

	// A member that is given the state does the same from here on.
	copied := &hall{}
	s, err := h.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	do(a, reserve(1, start), reply{ID: 11, Free: 0}) // the snapshot does not see it
	var bytesOf bytes.Buffer
	if n, err := s.WriteTo(&bytesOf); err != nil || n != int64(bytesOf.Len()) {
		t.Errorf("WriteTo = %d, %v", n, err)
	}
	if _, err := copied.Restore(&bytesOf, false); err != nil {
		t.Fatal(err)
	}
	if copied.free() != 1 {
		t.Errorf("%d are free in the copy", copied.free())
	}
	copied.Apply(blaze.Operation{Data: []byte(reserve(1, start)), By: a, Index: 11})
	if !reflect.DeepEqual(copied.state, h.state) {
		t.Errorf("the copy has %+v, the original %+v", copied.state, h.state)
	}

	h.Tick(start.Add(time.Second)) // both of them are over
	do(a, reserve(2, start.Add(time.Minute)), reply{ID: 12, Free: 2})
	h.Gone(b)
	h.Gone(a)
	if n := h.free(); n != 4 {
		t.Errorf("%d are free", n)
	}
	if _, ok := h.Next(); ok {
		t.Error("a Tick is wanted for nothing")
	}
	if _, err := h.Restore(strings.NewReader("not a state"), false); err == nil || h.free() != 4 {
		t.Errorf("a damaged state: %v, %d are free", err, h.free())
	}
	if _, err := h.Restore(nil, false); err != nil || h.free() != seats {
		t.Errorf("empty: %v, %d are free", err, h.free())
	}
}
