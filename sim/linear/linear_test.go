package linear

import (
	"testing"
	"time"

	"github.com/activeblaze/blaze/internal/check"
	"github.com/anishathalye/porcupine"
)

// script is a log of calls on one key.
type script struct {
	l     *check.ClusterLog
	calls uint64
}

func (s *script) call(op check.ClusterOp) uint64 {
	s.calls++
	op.Map, op.Key = "m", "k"
	s.l.Add(check.ClusterRecord{Kind: check.ClusterCalled, Call: s.calls, Op: &op})
	return s.calls
}

func (s *script) end(call uint64, code check.ClusterCode, version, value uint64) {
	s.l.Add(check.ClusterRecord{Kind: check.ClusterReturned, Call: call, Code: code, Version: version, Digest: value, Place: check.Place{Chain: 1, Index: 1, Hash: 1}})
}

func (s *script) counted(call uint64, op check.ClusterOp, version uint64) {
	op.Map, op.Key = "m", "k"
	s.l.Add(check.ClusterRecord{Kind: check.ClusterApplied, Call: call, Op: &op, Version: version, Epoch: 1,
		Before: check.Place{Chain: 1, Index: 1, Hash: 1}, Place: check.Place{Chain: 1, Index: version, Hash: version}})
}

// A history that is not linearizable is found to be none, and one that is passes.
func TestCheckDecides(t *testing.T) {
	put := func(v uint64) check.ClusterOp { return check.ClusterOp{Kind: check.ClusterPut, Value: v} }
	read := check.ClusterOp{Kind: check.ClusterLinear}
	lock := check.ClusterOp{Kind: check.ClusterLock}
	held := func(v, token uint64) check.ClusterOp {
		return check.ClusterOp{Kind: check.ClusterPut, Value: v, HasToken: true, Token: token}
	}
	tests := []struct {
		name  string
		legal bool
		run   func(s *script)
	}{
		{"one after the other", true, func(s *script) {
			s.end(s.call(put(1)), check.ClusterOK, 5, 0)
			s.end(s.call(read), check.ClusterOK, 5, 1)
		}},
		{"a read of an old value", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterOK, 5, 0)
			s.end(s.call(put(2)), check.ClusterOK, 6, 0)
			s.end(s.call(read), check.ClusterOK, 5, 1)
		}},
		{"two reads of a write that overlaps them, in the wrong order", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterOK, 5, 0)
			w := s.call(put(2))
			s.end(s.call(read), check.ClusterOK, 6, 2)
			s.end(s.call(read), check.ClusterOK, 5, 1)
			s.end(w, check.ClusterOK, 6, 0)
		}},
		{"versions go back", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterOK, 5, 0)
			s.end(s.call(put(2)), check.ClusterOK, 4, 0)
		}},
		{"an unknown outcome that is read later", true, func(s *script) {
			w := s.call(put(1))
			s.end(w, check.ClusterUnknown, 0, 0)
			s.end(s.call(read), check.ClusterOK, 0, 0)
			s.counted(w, put(1), 5)
			s.end(s.call(read), check.ClusterOK, 5, 1)
		}},
		{"an unknown outcome that comes and goes", false, func(s *script) {
			w := s.call(put(1))
			s.end(w, check.ClusterUnknown, 0, 0)
			s.counted(w, put(1), 5)
			s.end(s.call(read), check.ClusterOK, 5, 1)
			s.end(s.call(read), check.ClusterOK, 0, 0)
		}},
		{"no quorum, and read later", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterNoQuorum, 0, 0)
			s.end(s.call(read), check.ClusterOK, 5, 1)
		}},
		{"a compare that two win", false, func(s *script) {
			op := put(1)
			op.Compare = true
			s.end(s.call(op), check.ClusterOK, 5, 0)
			op.Value = 2
			s.end(s.call(op), check.ClusterOK, 6, 0)
		}},
		{"a compare refused with the right version", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterOK, 5, 0)
			op := put(2)
			op.Compare, op.Version = true, 5
			s.end(s.call(op), check.ClusterVersion, 0, 0)
		}},
		{"written by the holder", true, func(s *script) {
			s.end(s.call(lock), check.ClusterOK, 5, 0)
			s.end(s.call(put(1)), check.ClusterLocked, 0, 0)
			s.end(s.call(held(2, 5)), check.ClusterOK, 6, 0)
			s.end(s.call(lock), check.ClusterOK, 7, 0)
			s.end(s.call(held(3, 5)), check.ClusterNotOwner, 0, 0)
		}},
		{"written with an old token", false, func(s *script) {
			s.end(s.call(lock), check.ClusterOK, 5, 0)
			s.end(s.call(lock), check.ClusterOK, 7, 0)
			s.end(s.call(held(3, 5)), check.ClusterOK, 8, 0)
		}},
		{"locked without a holder", false, func(s *script) {
			s.end(s.call(put(1)), check.ClusterLocked, 0, 0)
		}},
		{"unlocked twice", false, func(s *script) {
			s.end(s.call(lock), check.ClusterOK, 5, 0)
			unlock := check.ClusterOp{Kind: check.ClusterUnlock, Token: 5}
			s.end(s.call(unlock), check.ClusterOK, 0, 0)
			s.end(s.call(unlock), check.ClusterOK, 0, 0)
		}},
		{"an entry that goes between two reads", true, func(s *script) {
			op := put(1)
			op.TTL = time.Second
			s.end(s.call(op), check.ClusterOK, 5, 0)
			late := s.call(read)
			s.end(s.call(read), check.ClusterOK, 5, 1)
			s.end(late, check.ClusterOK, 0, 0)
			s.end(s.call(put(2)), check.ClusterOK, 6, 0)
		}},
		{"an entry that goes and is there again", false, func(s *script) {
			op := put(1)
			op.TTL = time.Second
			s.end(s.call(op), check.ClusterOK, 5, 0)
			s.end(s.call(read), check.ClusterOK, 0, 0)
			s.end(s.call(read), check.ClusterOK, 5, 1)
		}},
		{"an entry that goes, and is compared with later", false, func(s *script) {
			op := put(1)
			op.TTL = time.Second
			s.end(s.call(op), check.ClusterOK, 5, 0)
			s.end(s.call(read), check.ClusterOK, 0, 0)
			op = put(2)
			op.Compare, op.Version = true, 5
			s.end(s.call(op), check.ClusterOK, 6, 0)
		}},
		{"an entry that expires, and one that does not", false, func(s *script) {
			op := put(1)
			op.TTL = time.Second
			s.end(s.call(op), check.ClusterOK, 5, 0)
			s.end(s.call(read), check.ClusterOK, 0, 0)
			s.end(s.call(put(2)), check.ClusterOK, 6, 0)
			s.end(s.call(read), check.ClusterOK, 0, 0)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{l: check.NewClusterLog()}
			s.l.Start(1, 0, [16]byte{1})
			s.l.Add(check.ClusterRecord{Kind: check.ClusterEstablished, Epoch: 1, Primary: &check.ClusterPrimary{Epoch: 1, Founding: true},
				Place: check.Place{Chain: 1, Index: 1, Hash: 1}})
			tt.run(s)
			r := Check(s.l, time.Minute)
			if len(r.Undecided) > 0 || (len(r.Illegal) == 0) != tt.legal {
				t.Errorf("%+v", r)
			}
			// The calls of these logs have one place, so that the order of two refusals is not known.
			if found := allWitnessed(s.l); found && !tt.legal || !found && tt.legal && tt.name != "written by the holder" {
				t.Errorf("an order that proves it was found: %v", found)
			}
		})
	}
}

// allWitnessed reports whether witness finds an order of each history.
func allWitnessed(l *check.ClusterLog) bool {
	for _, ops := range Histories(l) {
		if !witness(ops) {
			return false
		}
	}
	return true
}

// An order is admitted that the specification admits, in which nothing comes before what had returned when it was called.
func TestAdmits(t *testing.T) {
	put := func(value, version uint64, call, end int64) *porcupine.Operation {
		return &porcupine.Operation{Input: &operation{op: check.ClusterOp{Kind: check.ClusterPut, Value: value}, version: version}, Call: call, Return: end}
	}
	read := func(value, version uint64, call, end int64) *porcupine.Operation {
		return &porcupine.Operation{Input: &operation{op: check.ClusterOp{Kind: check.ClusterLinear}, version: version, value: value}, Call: call, Return: end}
	}
	for _, c := range []struct {
		name  string
		order []*porcupine.Operation
		want  bool
	}{
		{"one after the other", []*porcupine.Operation{put(1, 5, 0, 1), read(1, 5, 2, 3)}, true},
		{"side by side", []*porcupine.Operation{put(1, 5, 0, 3), read(1, 5, 1, 2)}, true},
		{"against time", []*porcupine.Operation{put(1, 5, 2, 3), read(1, 5, 0, 1)}, false},
		{"another value", []*porcupine.Operation{put(1, 5, 0, 1), read(2, 6, 2, 3)}, false},
	} {
		if admits(c.order) != c.want {
			t.Errorf("%s: want %v", c.name, c.want)
		}
	}
}
