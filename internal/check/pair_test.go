package check

import (
	"slices"
	"testing"

	"github.com/activeblaze/blaze/wire"
)

// TestPairCheckers has each checker of pairs and queues accept a good record, and notice what is wrong in a bad
// one.
func TestPairCheckers(t *testing.T) {
	const a, b, c = 0, 1, 2
	send := PairRecord{Kind: PairSend, Proc: a, Peer: b, Number: 1, Hash: 7}
	request := PairRecord{Kind: PairRequest, Proc: a, Peer: b, Number: 1, Hash: 7}
	begun := PairRecord{Kind: PairBegun, Proc: b, Peer: a, Number: 1, Hash: 7}
	replied := PairRecord{Kind: PairReplied, Proc: b, Peer: a, Number: 1, Hash: 9}
	answered := PairRecord{Kind: PairAnswered, Proc: a, Number: 1}
	enqueued := PairRecord{Kind: PairEnqueued, Proc: a, Peer: a, Number: 1, Hash: 7}
	work := PairRecord{Kind: PairWorkBegun, Proc: b, Peer: a, Number: 1, Hash: 7}
	done := PairRecord{Kind: PairWorkDone, Proc: b, Peer: a, Number: 1}
	failed := PairRecord{Kind: PairWorkFailed, Proc: b, Peer: a, Number: 1}
	removed := PairRecord{Kind: PairRemoved, Proc: a, Peer: b}
	ends := PairRecord{Kind: PairEnded, Proc: b, At: 1}
	with := func(r PairRecord, change func(r *PairRecord)) PairRecord {
		change(&r)
		return r
	}
	second := func(r *PairRecord) { r.Number = 2 }
	marked := func(r *PairRecord) { r.Marked = true }
	atC := func(r *PairRecord) { r.Proc = c }
	alone := func(r *PairRecord) { r.Alone = true }
	tests := []struct {
		name    string
		records []PairRecord
		want    []string
	}{
		{"a Send", []PairRecord{send, begun, answered}, nil},
		{"a Request", []PairRecord{request, begun, replied, with(answered, func(r *PairRecord) { r.Hash = 9 })}, nil},
		{"begun twice", []PairRecord{send, begun, begun, answered}, []string{"PP-1"}},
		{"begun, and nobody sent it", []PairRecord{begun}, []string{"PP-1"}},
		{"begun at another member", []PairRecord{send, with(begun, atC), answered}, []string{"PP-1"}},
		{"out of order", []PairRecord{send, with(send, second), with(begun, second), begun, answered, with(answered, second)}, []string{"PP-2"}},
		{"ended well, and not taken", []PairRecord{send, answered}, []string{"PP-3"}},
		{"refused, and begun", []PairRecord{send, begun, {Kind: PairRefused, Proc: a, Number: 1}}, []string{"PP-3"}},
		{"another reply", []PairRecord{request, begun, replied, with(answered, func(r *PairRecord) { r.Hash = 8 })}, []string{"PP-3"}},
		{"a call that does not end", []PairRecord{send, begun}, []string{"PP-4"}},
		{"a call that ends twice", []PairRecord{send, begun, answered, answered}, []string{"PP-4"}},
		{"a call of a process that ended", []PairRecord{send, {Kind: PairEnded, Proc: a, At: 1}}, nil},

		{"an item", []PairRecord{enqueued, work, done, answered}, nil},
		{"ended well, and not handled", []PairRecord{enqueued, work, answered}, []string{"QU-1"}},
		{"an item that nobody enqueued", []PairRecord{work, done}, []string{"QU-1"}},
		{"a reply that nobody gave", []PairRecord{with(enqueued, func(r *PairRecord) { r.Kind = PairQueueRequest }), work, done, answered}, []string{"QU-1"}},
		{"twice without a mark, after a removal", []PairRecord{enqueued, work, removed, with(work, atC), done, answered}, []string{"QU-2"}},
		{"twice without a reason", []PairRecord{enqueued, work, with(with(work, atC), marked), done, answered}, []string{"QU-3"}},
		{"twice after an error", []PairRecord{enqueued, work, failed, with(with(work, atC), marked), done, answered}, nil},
		// 13.3: the consumer that was removed begins late, without a mark.
		{"the first attempt is late", []PairRecord{enqueued, removed, with(with(work, atC), marked), work, done, answered}, nil},
		{"twice after a crash", []PairRecord{enqueued, work, done, ends, removed, with(with(work, atC), marked), done, answered}, nil},
		{"twice after a crash, though it had an outcome", []PairRecord{enqueued, work, done, answered, ends, removed, with(with(work, atC), marked)}, []string{"QU-6"}},
		{"twice after a removal, though it had an outcome", []PairRecord{enqueued, work, removed, answered, ends, with(with(work, atC), marked)}, []string{"QU-1"}},
		{"an item that does not end", []PairRecord{enqueued, work, done}, []string{"QU-4"}},

		{"one at a time", []PairRecord{enqueued, with(work, alone), done, with(enqueued, second), with(with(with(work, alone), second), atC), with(with(done, second), atC), answered, with(answered, second)}, nil},
		{"two at a time", []PairRecord{enqueued, with(enqueued, second), with(work, alone), with(with(with(work, alone), second), atC), done, with(with(done, second), atC), answered, with(answered, second)}, []string{"QU-8"}},
		{"two at a time, after a false removal", []PairRecord{removed, enqueued, with(enqueued, second), with(work, alone), with(with(with(work, alone), second), atC), done, with(with(done, second), atC), answered, with(answered, second)}, nil},
	}
	for _, test := range tests {
		l := NewPairLog()
		for i := range 3 {
			l.Start(0, i, wire.MemberID{byte(i + 1)})
		}
		for _, r := range test.records {
			l.Add(r)
		}
		if got := IDs(append(append(Pairs(l), Queues(l)...), Exclusive(l)...)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
