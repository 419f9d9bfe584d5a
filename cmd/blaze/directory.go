package main

import (
	"sync"
	"time"

	"github.com/activeblaze/blaze"
)

// directory has the names of members for as long as messages of theirs may be handled. The list of members is sooner: a
// member that leaves is off it while what it sent waits for a handler. OnMember is given the end only after that.
type directory struct {
	g     *blaze.GroupChannel
	mu    sync.Mutex
	names map[blaze.MemberID]string
}

// directoryOf begins to keep the names of a channel's members. It is called before Start.
func directoryOf(g *blaze.GroupChannel) *directory {
	d := &directory{g: g, names: map[blaze.MemberID]string{}}
	g.OnMember(func(e blaze.MemberEvent) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch {
		case e.Kind == blaze.MemberStopped, e.Kind == blaze.MemberFailed:
			delete(d.names, e.Member.ID)
		case e.Member.Name != "":
			d.names[e.Member.ID] = e.Member.Name
		}
	})
	return d
}

// name is the name of a member; empty where it is not known. A message may be handled a moment before its sender's
// start is told.
func (d *directory) name(id blaze.MemberID) string {
	for range 50 {
		if m, ok := d.g.Member(id); ok && m.Name != "" {
			return m.Name
		}
		d.mu.Lock()
		name := d.names[id]
		d.mu.Unlock()
		if name != "" {
			return name
		}
		time.Sleep(time.Millisecond)
	}
	return ""
}
