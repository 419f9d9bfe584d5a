package clustertest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// history is what the clients of all members saw, and the outside resource that their locks protect.
type history struct {
	mu    sync.Mutex
	calls map[callID]*call
	holds map[holdID]Hold

	// The resource takes a write with the highest token that it has seen, or a higher one.
	highest map[string]uint64
	refused int
}

type callID struct {
	process int
	n       uint64
}

type holdID struct {
	process int
	token   uint64
	key     string
}

// call is a call with its end, if it was seen.
type call struct {
	Call        // as it ended
	begun int64 // ns
	ended bool
	wrote uint64 // of a compare-and-put that succeeded: the version that it wrote; Version is the one compared
}

func newHistory() *history {
	return &history{calls: map[callID]*call{}, holds: map[holdID]Hold{}, highest: map[string]uint64{}}
}

// take notes what a process says of its clients.
func (h *history) take(process int, l *Line) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := l.Begun; c != nil {
		h.calls[callID{process, c.N}] = &call{Call: *c, begun: c.At}
	}
	if c := l.Ended; c != nil {
		if b := h.calls[callID{process, c.N}]; b != nil {
			compared := b.Version
			b.Call, b.ended = *c, true
			if c.Kind == "cas" {
				b.Version, b.wrote = compared, c.Version
			}
		}
	}
	if o := l.Held; o != nil {
		h.holds[holdID{process, o.Token, o.Key}] = *o
		if o.Token < h.highest[o.Key] {
			h.refused++
		}
		h.highest[o.Key] = max(h.highest[o.Key], o.Token)
	}
}

// op is one operation of the sequential specification.
type op struct {
	kind, value string
	compared    uint64 // of cas
	version     uint64 // of what it wrote or read; 0: not known, or not there
	code        string // ok, version, unknown
}

// entry is the value of one key.
type entry struct {
	version, floor uint64 // 0: it is not there; no later version is this one or lower
	value          string
	vague          bool // the version is not known: its writer got no answer
}

var model = porcupine.Model{
	Init: func() any { return entry{} },
	Step: func(state, in, _ any) (bool, any) {
		ok, next := state.(entry).step(in.(*op))
		return ok, next
	},
	DescribeOperation: func(in, _ any) string {
		o := in.(*op)
		return fmt.Sprintf("%s %q compared %d, version %d: %s", o.kind, o.value, o.compared, o.version, o.code)
	},
}

// step applies one operation to a key, and reports whether it may have had that result.
func (e entry) step(o *op) (bool, entry) {
	switch o.kind {
	case "read":
		switch {
		case o.version == 0:
			return e.value == "", e
		case e.value != o.value || !e.vague && e.version != o.version || e.vague && o.version <= e.floor:
			return false, e
		}
		e.version, e.floor, e.vague = o.version, max(e.floor, o.version), false
		return true, e
	case "delete":
		return true, entry{floor: e.floor}
	case "cas":
		same := e.version == o.compared && (o.compared != 0 || e.value == "")
		if e.vague {
			same = o.compared > e.floor // it may be
		}
		if o.code == "version" {
			return !same || e.vague, e
		}
		if !same {
			// An unknown one may have been refused.
			return o.code == "unknown", e
		}
	}
	if o.version == 0 {
		return true, entry{floor: e.floor, value: o.value, vague: true}
	}
	return o.version > e.floor, entry{version: o.version, floor: o.version, value: o.value}
}

// check decides all histories. It returns what is wrong, and how many operations there were.
func (h *history) check(patience time.Duration) (operations int, wrong []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := map[string][]porcupine.Operation{}
	for _, c := range h.calls {
		o := &op{kind: c.Kind, value: c.Value, code: c.Code, version: c.Version}
		end := c.At
		switch {
		case !c.ended || c.Code == "unknown":
			if c.Kind == "read" {
				continue
			}
			end, o.code, o.version = math.MaxInt64, "unknown", 0
		case c.Code != "ok" && c.Code != "version":
			continue // it did not happen
		}
		if c.Kind == "cas" {
			if o.compared, o.version = c.Version, 0; o.code == "ok" {
				o.version = c.wrote
			}
		}
		if c.Kind == "delete" {
			o.version = 0
		}
		keys[c.Key] = append(keys[c.Key], porcupine.Operation{ClientId: len(keys[c.Key]), Input: o, Call: c.begun, Return: end})
		operations++
	}
	for key, ops := range keys {
		switch porcupine.CheckOperationsTimeout(model, ops, patience) {
		case porcupine.Illegal:
			slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
			text := fmt.Sprintf("key %s: its %d operations are not linearizable:", key, len(ops))
			for _, o := range ops {
				text += fmt.Sprintf("\n  %d..%d %s", o.Call, o.Return, model.DescribeOperation(o.Input, nil))
			}
			wrong = append(wrong, text)
		case porcupine.Unknown:
			wrong = append(wrong, fmt.Sprintf("key %s: %d operations were not decided in %v", key, len(ops), patience))
		}
	}
	return operations, append(wrong, h.overlaps()...)
}

// overlaps finds two members that held one lock at a time, and tokens that went back.
func (h *history) overlaps() (wrong []string) {
	type hold struct {
		Hold
		process int
	}
	var all []hold
	for id, o := range h.holds {
		all = append(all, hold{o, id.process})
	}
	slices.SortFunc(all, func(a, b hold) int { return cmp.Compare(a.From, b.From) })
	for i := range all {
		if i == 0 {
			continue
		}
		a, b := &all[i-1], &all[i]
		if b.From <= a.To {
			wrong = append(wrong, fmt.Sprintf("processes %d and %d hold one lock: token %d until %d, token %d from %d", a.process, b.process, a.Token, a.To, b.Token, b.From))
		}
		if b.Token <= a.Token {
			wrong = append(wrong, fmt.Sprintf("token %d of process %d after token %d of process %d", b.Token, b.process, a.Token, a.process))
		}
	}
	return wrong
}
