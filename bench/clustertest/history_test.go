package clustertest

import (
	"testing"
	"time"
)

// What the checker of histories must notice, and what it must not.
func TestHistory(t *testing.T) {
	type event struct {
		process int
		line    Line
	}
	n := uint64(0)
	var at int64
	begin := func(kind, value string, compared uint64) Line {
		n++
		at++
		return Line{Begun: &Call{N: n, Kind: kind, Key: "k", Value: value, Version: compared, At: at}}
	}
	end := func(b Line, value string, version uint64, code string) Line {
		at++
		return Line{Ended: &Call{N: b.Begun.N, Kind: b.Begun.Kind, Key: "k", Value: value, Version: version, Code: code, At: at}}
	}
	held := func(token uint64, from, to int64) event {
		return event{int(token), Line{Held: &Hold{Key: "l", Token: token, From: from, To: to}}}
	}
	whole := func(kind, value string, compared, version uint64, code string) []event {
		b := begin(kind, value, compared)
		return []event{{1, b}, {1, end(b, value, version, code)}}
	}
	join := func(all ...[]event) (list []event) {
		for _, l := range all {
			list = append(list, l...)
		}
		return list
	}
	lost := begin("put", "lost", 0)
	for _, c := range []struct {
		name   string
		events []event
		wrong  int
	}{
		{"a put and its read", join(whole("put", "a", 0, 5, "ok"), whole("read", "a", 0, 5, "ok")), 0},
		{"an older value", join(whole("put", "a", 0, 5, "ok"), whole("put", "b", 0, 6, "ok"), whole("read", "a", 0, 5, "ok")), 1},
		{"an acknowledged put that is not there", join(whole("put", "a", 0, 5, "ok"), whole("read", "", 0, 0, "ok")), 1},
		{"a put without quorum that is there", join(whole("put", "a", 0, 5, "none"), whole("read", "a", 0, 5, "ok")), 1},
		{"a put of unknown outcome that is there", join(whole("put", "a", 0, 0, "unknown"), whole("read", "a", 0, 5, "ok")), 0},
		{"and one that is not", join(whole("put", "a", 0, 0, "unknown"), whole("read", "", 0, 0, "ok")), 0},
		{"a put whose process was killed, that is there", join([]event{{2, lost}}, whole("read", "lost", 0, 5, "ok")), 0},
		{"a compare-and-put on another version", join(whole("put", "a", 0, 5, "ok"), whole("cas", "b", 4, 6, "ok")), 1},
		{"one on the right one", join(whole("put", "a", 0, 5, "ok"), whole("cas", "b", 5, 6, "ok"), whole("read", "b", 0, 6, "ok")), 0},
		{"one of unknown outcome that is there", join(whole("put", "a", 0, 5, "ok"), whole("cas", "b", 5, 5, "unknown"), whole("read", "b", 0, 6, "ok")), 0},
		{"one of unknown outcome on another version", join(whole("put", "a", 0, 5, "ok"), whole("cas", "b", 4, 4, "unknown"), whole("read", "b", 0, 6, "ok")), 1},
		{"one that was refused for nothing", join(whole("put", "a", 0, 5, "ok"), whole("cas", "b", 5, 5, "version")), 1},
		{"versions that fall", join(whole("put", "a", 0, 5, "ok"), whole("put", "b", 0, 4, "ok")), 1},
		{"a delete", join(whole("put", "a", 0, 5, "ok"), whole("delete", "", 0, 0, "ok"), whole("read", "", 0, 0, "ok")), 0},
		{"a value after its delete", join(whole("put", "a", 0, 5, "ok"), whole("delete", "", 0, 0, "ok"), whole("read", "a", 0, 5, "ok")), 1},
		{"one after the other", []event{held(1, 10, 20), held(2, 21, 30)}, 0},
		{"two holders", []event{held(1, 10, 20), held(2, 19, 30)}, 1},
		{"a token that goes back", []event{held(2, 10, 20), held(1, 21, 30)}, 1},
	} {
		h := newHistory()
		for i := range c.events {
			h.take(c.events[i].process, &c.events[i].line)
		}
		if _, wrong := h.check(time.Second); len(wrong) != c.wrong {
			t.Errorf("%s: %q", c.name, wrong)
		}
	}
}
