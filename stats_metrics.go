package blaze

import (
	"cmp"
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/totem"
)

// Metric describes one number of Stats. Its texts stand once, in the tag of the field that counts it; what prints,
// exports or documents numbers takes them from here.
type Metric struct {
	Name string // lower snake case, its groups separated by dots: "nack.drops.stale". It is also its path in the JSON of Stats
	Kind string // "counter": it only grows within one start; or "gauge"
	Unit string // "datagrams", "bytes", "ns", …; "boolean": 0 or 1
	Help string // what it counts
	When string // when it grows, and what to make of that
}

// Metrics describes all numbers of Stats, sorted by Name. It needs no channel.
func Metrics() []Metric {
	all := make([]Metric, len(measured()))
	for i, f := range measured() {
		all[i] = f.Metric
	}
	return all
}

// All returns every number with its description, sorted by Name. Durations are in nanoseconds.
func (s Stats) All() iter.Seq2[Metric, float64] {
	return func(yield func(Metric, float64) bool) {
		v := reflect.ValueOf(s)
		for _, f := range measured() {
			if !yield(f.Metric, f.read(v)) {
				return
			}
		}
	}
}

// metricField is a number of Stats and the place where it lies.
type metricField struct {
	Metric
	index []int // of the field in Stats
	at    int   // in an array by reason; -1: it is no array
}

func (f *metricField) read(stats reflect.Value) float64 {
	v := stats.FieldByIndex(f.index)
	if f.at >= 0 {
		v = v.Index(f.at)
	}
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return 1
		}
		return 0
	case reflect.Uint64:
		return float64(v.Uint())
	}
	return float64(v.Int())
}

// measured is the numbers of Stats, sorted by name.
var measured = sync.OnceValue(func() (all []metricField) {
	addFields(&all, reflect.TypeFor[Stats](), "", nil)
	slices.SortFunc(all, func(a, b metricField) int { return cmp.Compare(a.Name, b.Name) })
	return all
})

func addFields(all *[]metricField, in reflect.Type, prefix string, index []int) {
	for i := range in.NumField() {
		f := in.Field(i)
		at := append(slices.Clone(index), i)
		if f.Tag.Get("help") == "" {
			if f.Type.Kind() == reflect.Struct {
				addFields(all, f.Type, prefix+groupName(f), at)
			}
			continue
		}
		m := Metric{Name: prefix + fieldName(f), Kind: f.Tag.Get("kind"), Unit: f.Tag.Get("unit"), Help: f.Tag.Get("help"), When: f.Tag.Get("when")}
		if m.Kind == "" {
			m.Kind = "counter"
		}
		switch {
		case m.Kind == "id": // nothing to compute with
		case f.Type.Kind() != reflect.Array:
			*all = append(*all, metricField{m, at, -1})
		default:
			for r := range f.Type.Len() {
				reason := m
				reason.Name += "." + reasonName(in, f, r)
				reason.Help += ": " + reasonText(in, f, r)
				*all = append(*all, metricField{reason, at, r})
			}
		}
	}
}

// groupName is what a struct of Stats puts before the names in it. An embedded one is not seen.
func groupName(f reflect.StructField) string {
	if f.Anonymous {
		return ""
	}
	return snake(f.Name) + "."
}

// fieldName is a number's name within its group. One that is a time ends in its unit.
func fieldName(f reflect.StructField) string {
	name := snake(f.Name)
	if f.Type == reflect.TypeFor[time.Duration]() || f.Tag.Get("unit") == "ns" {
		name = strings.TrimSuffix(name, "_ns") + "_ns"
	}
	return name
}

// reasonText names one element of an array that counts by reason, as the package that counts it does.
func reasonText(in reflect.Type, f reflect.StructField, i int) string {
	switch [2]string{in.PkgPath()[strings.LastIndexByte(in.PkgPath(), '/')+1:], f.Name} {
	case [2]string{"engine", "Drops"}:
		return engine.Drop(i).String()
	case [2]string{"nack", "Drops"}:
		return nack.DropReason(i).String()
	case [2]string{"totem", "Drops"}:
		return totem.DropReason(i).String()
	case [2]string{"totem", "Reasons"}:
		return totem.Reason(i).String()
	case [2]string{"totem", "Entered"}:
		return totem.State(i).String()
	case [2]string{"group", "Drops"}:
		return group.Drop(i).String()
	}
	panic("blaze: " + in.String() + "." + f.Name + " counts by reasons that have no names")
}

func reasonName(in reflect.Type, f reflect.StructField, i int) string {
	return strings.ReplaceAll(strings.ToLower(reasonText(in, f, i)), " ", "_")
}

// snake turns the name of a Go field into lower snake case: "RecvBytes" into "recv_bytes", "GateNS" into "gate_ns".
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
