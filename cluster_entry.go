package blaze

import "time"

// Entry is one entry of a replicated Map, as one replica holds it.
type Entry struct {
	Key     string
	Value   []byte
	Version uint64    // rises with every change of the map
	Owner   MemberID  // with RemoveOnExit: the member that put it; else zero
	Expires time.Time // with TTL: by the writer's clock, and for information; zero: never
}

// Message decodes an entry that PutMessage wrote.
func (e Entry) Message() (*Message, error) {
	m := new(Message)
	if err := m.UnmarshalBinary(e.Value); err != nil {
		return nil, err
	}
	return m, nil
}

// MapEvent is one change of a Map.
type MapEvent struct {
	Kind     MapEventKind
	Key      string
	Old, New Entry    // zero where there was, or is, none
	By       MemberID // whose operation it was; zero where it was nobody's
}

// MapEventKind is the kind of a change.
type MapEventKind uint8

// The changes of a Map.
const (
	MapPresent MapEventKind = iota + 1 // was there when the watch began
	MapPut
	MapDeleted
	MapExpired
	MapOwnerGone // RemoveOnExit, and its owner left or failed
	MapReset     // this replica took over another component's state
)

// String names the change: "put".
func (k MapEventKind) String() string {
	return nameOf("MapEventKind", []string{"unknown", "present", "put", "deleted", "expired", "owner gone", "reset"}, k)
}
