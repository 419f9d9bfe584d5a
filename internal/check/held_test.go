package check

import (
	"slices"
	"testing"
)

// Held accepts good records, and notices what is wrong in bad ones.
func TestHeldChecker(t *testing.T) {
	// Messages 0 and 1 are one sender's, in queue A; 2 to 4 are batch 0's, which acknowledges message 0 as delivery 1.
	const a, b, first, second, third = 0, 1, 2, 3, 4
	accepted := func(m int) HeldRecord { return HeldRecord{Kind: HeldAccepted, Message: m} }
	received := func(m int, delivery uint64, count uint32) HeldRecord {
		return HeldRecord{Kind: HeldReceived, Message: m, Delivery: delivery, Count: count, Reader: 7}
	}
	settled := func(m int, delivery uint64) HeldRecord {
		return HeldRecord{Kind: HeldSettled, Message: m, Delivery: delivery}
	}
	open := func(m int) HeldRecord { return HeldRecord{Kind: HeldOpen, Message: m} }
	took := func(queue string, began int) HeldRecord {
		return HeldRecord{Kind: HeldTook, Queue: queue, Reader: 7, Whole: true, Began: began}
	}
	batch := func(k HeldKind) HeldRecord { return HeldRecord{Kind: k} }
	repeated := HeldRecord{Kind: HeldRepeated, Message: a}
	whole := []HeldRecord{received(first, 3, 1), received(second, 4, 1), received(third, 5, 1), settled(first, 3), settled(second, 4), settled(third, 5)}
	join := func(parts ...[]HeldRecord) []HeldRecord { return slices.Concat(parts...) }
	list := func(r ...HeldRecord) []HeldRecord { return r }
	for _, test := range []struct {
		name    string
		records []HeldRecord
		want    []string
	}{
		{"put, received, settled", list(accepted(a), received(a, 1, 1), settled(a, 1)), nil},
		{"nobody knows whether it was settled", list(accepted(a), received(a, 1, 1), open(a)), nil},
		{"accepted and lost", list(accepted(a)), []string{"HQ-1"}},
		{"accepted and never settled", list(accepted(a), received(a, 1, 1)), []string{"HQ-1"}},
		{"not accepted and lost", nil, nil},
		{"twice, marked", list(accepted(a), received(a, 1, 1), received(a, 2, 2), settled(a, 2)), nil},
		{"twice, not marked", list(received(a, 1, 1), received(a, 2, 1)), []string{"HQ-2"}},
		{"one delivery twice", list(received(a, 1, 1), received(a, 1, 2)), []string{"HQ-2"}},
		{"in order", list(received(a, 1, 1), received(b, 2, 1)), nil},
		{"told late, and handed out in order", list(received(b, 2, 1), received(a, 1, 1)), nil},
		{"out of order", list(received(b, 1, 1), received(a, 2, 1)), []string{"HQ-3"}},
		{"out of order, and redelivered", list(received(b, 1, 1), received(a, 2, 2)), nil},
		{"after it was settled", list(received(a, 1, 1), settled(a, 1), received(a, 2, 2)), []string{"HQ-6"}},
		{"after it was settled, and put again", list(received(a, 1, 1), settled(a, 1), repeated, received(a, 2, 2)), nil},

		{"committed and whole", join(list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted)), whole), nil},
		{"committed and not seen", list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted)), []string{"HQ-1", "HQ-4"}},
		{"committed and seen in part", join(list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted)), whole[:2]), []string{"HQ-1", "HQ-4"}},
		{"committed, and its acknowledgement is not", join(list(received(a, 1, 1), batch(HeldCommitted), received(a, 2, 2), settled(a, 2)), whole), []string{"HQ-4"}},
		{"in doubt and whole", join(list(received(a, 1, 1), open(a), batch(HeldInDoubt)), whole), nil},
		{"in doubt and not applied", list(received(a, 1, 1), open(a), batch(HeldInDoubt), received(a, 2, 2)), nil},
		{"in doubt, not put, and acknowledged", list(received(a, 1, 1), open(a), batch(HeldInDoubt)), []string{"HQ-4"}},
		{"in doubt, put, and not acknowledged", join(list(received(a, 1, 1), open(a), batch(HeldInDoubt), received(a, 2, 2)), whole), []string{"HQ-4"}},
		{"in doubt and seen in part", join(list(received(a, 1, 1), open(a), batch(HeldInDoubt)), whole[:1]), []string{"HQ-4"}},
		{"rolled back", list(received(a, 1, 1), batch(HeldRolledBack), received(a, 2, 2)), nil},
		{"rolled back, and seen", join(list(batch(HeldRolledBack)), whole), []string{"HQ-5"}},
		{"never committed, and seen", whole, []string{"HQ-5"}},

		{"queue by queue", join(list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted), received(first, 3, 1), took("T1", 3), received(second, 4, 1), took("T2", 5), received(third, 5, 1), took("T3", 7)), whole[3:]), nil},
		{"a taking that began before", join(list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted), took("T2", 3), received(first, 3, 1), took("T2", 3)), whole[1:], list(settled(first, 3))), nil},
		{"a part comes later than another one", join(list(received(a, 1, 1), settled(a, 1), batch(HeldCommitted), received(first, 3, 1), took("T1", 3), took("T2", 5)), whole[1:]), []string{"HQ-4"}},
	} {
		l := NewHeldLog()
		for _, queue := range []string{"A", "A", "T1", "T2", "T3"} {
			m := HeldMessage{Queue: queue, Sender: 1, Priority: 4, Batch: -1}
			if queue != "A" {
				m.Batch = 0
			}
			l.Put(m)
		}
		l.Batches = []HeldBatch{{Puts: []int{first, second, third}, Acks: []HeldDelivery{{a, 1}}}}
		for _, r := range test.records {
			l.Add(r)
		}
		if got := IDs(Held(l)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
