package totem

import (
	"bytes"

	"github.com/activeblaze/blaze/wire"
)

// idSet is a set of MemberIDs, ascending, that fits a Join. Its zero value is empty.
type idSet struct {
	n   int
	ids [wire.MaxSet]wire.MemberID
}

func less(a, b wire.MemberID) bool { return bytes.Compare(a[:], b[:]) < 0 }

// index finds id, or where it would be.
func (s *idSet) index(id wire.MemberID) (i int, ok bool) {
	for i < s.n && less(s.ids[i], id) {
		i++
	}
	return i, i < s.n && s.ids[i] == id
}

func (s *idSet) has(id wire.MemberID) bool {
	for i := range s.n {
		if s.ids[i] == id {
			return true
		}
	}
	return false
}

// add is false when there is no room.
func (s *idSet) add(id wire.MemberID) bool {
	i, ok := s.index(id)
	if ok {
		return true
	}
	if s.n == len(s.ids) {
		return false
	}
	copy(s.ids[i+1:s.n+1], s.ids[i:s.n])
	s.ids[i] = id
	s.n++
	return true
}

func (s *idSet) remove(id wire.MemberID) {
	if i, ok := s.index(id); ok {
		copy(s.ids[i:s.n], s.ids[i+1:s.n])
		s.n--
		s.ids[s.n] = wire.MemberID{}
	}
}

// list lends the members, ascending.
func (s *idSet) list() []wire.MemberID { return s.ids[:s.n] }

// minus is the members of s that are not in t.
func (s *idSet) minus(t *idSet) (d idSet) {
	for _, id := range s.list() {
		if !t.has(id) {
			d.ids[d.n] = id
			d.n++
		}
	}
	return d
}

func (s *idSet) equals(m wire.Members) bool {
	if m.Len() != s.n {
		return false
	}
	for i := range s.n {
		if m.At(i) != s.ids[i] {
			return false
		}
	}
	return true
}

// contains reports whether all of m are in s.
func (s *idSet) contains(m wire.Members) bool {
	for i := range m.Len() {
		if !s.has(m.At(i)) {
			return false
		}
	}
	return true
}

// append appends the set as it lies on the wire.
func (s *idSet) append(dst wire.Members) wire.Members {
	for i := range s.n {
		dst = append(dst, s.ids[i][:]...)
	}
	return dst
}

func setOf(id wire.MemberID) (s idSet) {
	s.add(id)
	return s
}

// membersHave reports whether id is in m.
func membersHave(m wire.Members, id wire.MemberID) bool {
	for i := range m.Len() {
		if m.At(i) == id {
			return true
		}
	}
	return false
}
