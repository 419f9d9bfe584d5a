package blaze

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/activeblaze/blaze/wire"
)

// String is for people: what runs, and the counters that are not zero, a paragraph for each group.
func (s Stats) String() string {
	var b strings.Builder
	var own []string
	var groups []statNode
	for _, n := range s.tree() {
		switch {
		case n.zero():
		case n.group && n.name != "buffers":
			groups = append(groups, n)
		default:
			own = n.items("", own)
		}
	}
	fill(&b, "channel", own)
	for _, g := range groups {
		var items []string
		for _, n := range g.nodes {
			items = n.items("", items)
		}
		fill(&b, g.name, items)
	}
	for _, l := range s.Limits {
		fill(&b, "limit", []string{l.String()})
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// MarshalJSON has the numbers under the names of Metrics, each dot of a name being an object in an object: reasons by
// name, durations in nanoseconds. Groups in which all is zero are left out, and Engines where there is one.
func (s Stats) MarshalJSON() ([]byte, error) {
	dst := appendObject(nil, s.tree())
	dst = dst[:len(dst)-1]
	if len(s.Engines) > 1 {
		dst = append(dst, `,"engines":[`...)
		for i := range s.Engines {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendObject(dst, statNodes(reflect.ValueOf(s.Engines[i])))
		}
		dst = append(dst, ']')
	}
	if len(s.Limits) > 0 {
		limits, err := json.Marshal(s.Limits)
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, `,"limits":`...), limits...)
	}
	return append(dst, '}'), nil
}

// LogValue is what String shows, as a group of groups.
func (s Stats) LogValue() slog.Value { return slog.GroupValue(attrs(s.tree())...) }

// MarshalJSON names what limits the stream, and for how long each has.
func (l StreamLimit) MarshalJSON() ([]byte, error) {
	out := struct {
		Stream   uint32           `json:"stream"`
		Protocol Protocol         `json:"protocol"`
		By       string           `json:"by"`
		Receiver *MemberID        `json:"receiver,omitempty"`
		Address  string           `json:"address,omitempty"`
		Pace     int64            `json:"pace_bits_per_second,omitempty"`
		For      map[string]int64 `json:"for_ns"`
	}{Stream: l.Stream, Protocol: l.Protocol, By: l.By.String(), Pace: l.Pace, For: map[string]int64{}}
	if !l.Receiver.IsZero() {
		out.Receiver, out.Address = &l.Receiver, l.Addr.String()
	}
	for by, d := range l.For {
		out.For[LimitedBy(by).String()] = int64(d)
	}
	return json.Marshal(out)
}

// statNode is a word or number of Stats, or a group of such.
type statNode struct {
	name  string
	value any // string, bool, uint64, int64 or time.Duration
	group bool
	nodes []statNode // of a group
}

// tree is all of Stats but Engines and Limits.
func (s Stats) tree() []statNode { return statNodes(reflect.ValueOf(s)) }

func statNodes(v reflect.Value) (nodes []statNode) {
	t := v.Type()
	for i := range t.NumField() {
		f, x := t.Field(i), v.Field(i)
		n := statNode{name: fieldName(f)}
		switch y := x.Interface().(type) {
		case State:
			n.value = y.String()
		case string:
			n.value = y
		case time.Duration:
			n.value = y
		case wire.Chain:
			if n.value = ""; y != (wire.Chain{}) {
				n.value = viewID(y.Ring).String()
			}
		default:
			switch f.Type.Kind() {
			case reflect.Bool:
				n.value = x.Bool()
			case reflect.Uint64:
				if n.value = x.Uint(); f.Tag.Get("kind") == "id" {
					n.value = fmt.Sprintf("%016x", x.Uint())
				}
			case reflect.Int, reflect.Int64:
				n.value = x.Int()
			case reflect.Array:
				n.group = true
				for r := range x.Len() {
					n.nodes = append(n.nodes, statNode{name: reasonName(t, f, r), value: x.Index(r).Uint()})
				}
			case reflect.Struct:
				n.group, n.nodes = true, statNodes(x)
				if f.Anonymous {
					nodes = append(nodes, n.nodes...)
					continue
				}
			default: // Engines, Limits
				continue
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// zero reports whether the node shows nothing.
func (n *statNode) zero() bool {
	for i := range n.nodes {
		if !n.nodes[i].zero() {
			return false
		}
	}
	return n.group || reflect.ValueOf(n.value).IsZero() || n.value == "0000000000000000"
}

// items appends what is not zero, as words: "drops.stale 4".
func (n *statNode) items(prefix string, to []string) []string {
	if n.zero() {
		return to
	}
	for i := range n.nodes {
		to = n.nodes[i].items(prefix+n.name+".", to)
	}
	switch v := n.value.(type) {
	case nil:
	case bool:
		to = append(to, prefix+n.name)
	case time.Duration:
		to = append(to, fmt.Sprint(prefix, strings.TrimSuffix(n.name, "_ns"), " ", v))
	default:
		to = append(to, fmt.Sprint(prefix, n.name, " ", v))
	}
	return to
}

// fill writes the items of one group, as many in a line as fit.
func fill(b *strings.Builder, group string, items []string) {
	const width, indent = 100, len("channel") + 2
	column := 0
	for i, item := range items {
		switch {
		case i == 0:
			fmt.Fprintf(b, "%-*s", indent, group)
			column = indent
		case column+len(", ")+len(item) > width:
			b.WriteString(",\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(", ")
			column += len(", ")
		}
		b.WriteString(item)
		column += len(item)
	}
	if len(items) > 0 {
		b.WriteByte('\n')
	}
}

func appendObject(dst []byte, nodes []statNode) []byte {
	open := len(dst)
	for i := range nodes {
		n := &nodes[i]
		if n.group && n.zero() {
			continue
		}
		dst = append(dst, ',')
		dst = append(append(append(dst, '"'), n.name...), '"', ':')
		if n.group {
			dst = appendObject(dst, n.nodes)
			continue
		}
		value := n.value
		if d, ok := value.(time.Duration); ok {
			value = int64(d)
		}
		text, _ := json.Marshal(value) // of a string or number: no error
		dst = append(dst, text...)
	}
	if len(dst) == open {
		return append(dst, "{}"...)
	}
	dst[open] = '{'
	return append(dst, '}')
}

func attrs(nodes []statNode) (all []slog.Attr) {
	for i := range nodes {
		switch n := &nodes[i]; {
		case n.zero():
		case n.group:
			all = append(all, slog.Attr{Key: n.name, Value: slog.GroupValue(attrs(n.nodes)...)})
		default:
			all = append(all, slog.Any(n.name, n.value))
		}
	}
	return all
}
