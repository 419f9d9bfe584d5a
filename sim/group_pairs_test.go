package sim

import (
	"testing"

	"github.com/activeblaze/blaze/internal/check"
)

// TestGroupPairs has whole members send to each other and through queues, over links that lose, repeat and
// reorder, while members crash, stand still, leave, are cut off, and come back (PP-1 to 5, QU-1 to 6, QU-8,
// RS-7).
func TestGroupPairs(t *testing.T) {
	RunGroups(t, 2000, func(t *testing.T, s *GroupCluster) {
		if found := s.Pairs(s.Seed%3 == 0); len(found) > 0 {
			t.Errorf("seed %d:\n%s", s.Seed, check.Text(found))
		}
		s.Settle()
	})
}
