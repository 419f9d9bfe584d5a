package run

import (
	"testing"

	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// A reader takes in what the core has handed up before, whether or not the mirror's goroutine has come to it.
func TestMirrorReadersCatchUp(t *testing.T) {
	m := newMirror(&Info{ID: wire.MemberID{1}, Name: "self"})
	for i := range 3 {
		id := wire.MemberID{2, byte(i)}
		record := wire.AppendRecord(nil, &wire.Record{ID: id, Name: []byte("ann"), Started: 1, Address: 1, Interval: 20000}, nil)
		m.in.put(mirrored{group.Started, &snapshot{id: id, record: record}})
		if i := m.Get(id); i == nil || i.Name != "ann" {
			t.Errorf("member %v is %v", id, i)
		}
	}
	if m.Len() != 4 || len(m.All(nil)) != 4 || m.Named("ann") == nil {
		t.Errorf("%d members, %d in the list", m.Len(), len(m.All(nil)))
	}
	m.in.put(mirrored{group.Stopped, &snapshot{id: wire.MemberID{2, 1}}})
	if m.Named("ann").ID != (wire.MemberID{2}) || m.Len() != 3 {
		t.Errorf("%d members after one has stopped", m.Len())
	}
}
