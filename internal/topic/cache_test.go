package topic

import (
	"fmt"
	"sync"
	"testing"
)

// What several goroutines ask for stays, whatever others put in meanwhile, and every value is its topic's.
func TestShared(t *testing.T) {
	const room = 8
	s := NewShared[string](room)
	s.Put("used", "used")
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 2000 {
				name := fmt.Sprint(g, i)
				if v, ok := s.Get("used"); !ok || v != "used" {
					t.Errorf("%q, %v of a topic that is in use", v, ok)
					return
				}
				s.Put(name, name)
			}
		})
	}
	all.Wait()
	n := 0
	s.all.Range(func(name, _ any) bool {
		n++
		if v, _ := s.Get(name.(string)); v != name {
			t.Errorf("%q of topic %q", v, name)
		}
		return true
	})
	if n != room {
		t.Errorf("%d topics, want %d", n, room)
	}
	s.Put("used", "another") // the first one stays
	if v, _ := s.Get("used"); v != "used" {
		t.Errorf("%q", v)
	}
	if n := testing.AllocsPerRun(100, func() { s.Get("used") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.Clear()
	if _, ok := s.Get("used"); ok {
		t.Error("a topic is there after Clear")
	}
}
