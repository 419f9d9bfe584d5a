package sim

import (
	"testing"
	"time"
)

var groupLink = Link{Delay: 20 * time.Microsecond}

// TestGroupQuiet: without loss, cuts and long pauses nobody is ever reported, and all tables are equal.
func TestGroupQuiet(t *testing.T) {
	RunGroups(t, 200, func(t *testing.T, s *GroupCluster) {
		s.Rules.Accurate = true
		s.Groups, s.Late = 100*time.Millisecond, 20*time.Millisecond
		link := groupLink
		link.Jitter = 2 * time.Millisecond
		s.Start(2+int(s.Seed%11), link)
		s.For(2 * time.Second)
		s.Heal()
		s.Settle()
	})
}
