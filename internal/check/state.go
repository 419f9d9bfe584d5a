package check

import (
	"cmp"
	"math"
	"reflect"
	"slices"
)

// StateHash identifies the state that v points to: every value that can be reached from it,
// exported or not, except functions, channels and what is in skip: types, as reflect.Type, and
// fields, as "Type.field" (caches, which are no state). Two
// calls give the same hash as long as nothing has changed; pointers count by what they point
// to and by which of them are equal, maps without regard to order (keys must not be pointers).
// It is slow.
func StateHash(v any, skip ...any) uint64 {
	w := walker{seen: map[visit]uint64{}}
	for _, s := range skip {
		switch s := s.(type) {
		case reflect.Type:
			w.types = append(w.types, s)
		case string:
			w.fields = append(w.fields, s)
		default:
			panic("check: skip takes types and names of fields")
		}
	}
	return w.hash(reflect.ValueOf(v))
}

type visit struct {
	at  uintptr
	len int
	typ reflect.Type
}

type walker struct {
	types  []reflect.Type
	fields []string
	seen   map[visit]uint64 // things that were met before, and in which order
}

func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// met reports whether something was met before, and returns which one it was.
func (w *walker) met(at uintptr, n int, t reflect.Type) (nth uint64, again bool) {
	key := visit{at, n, t}
	if nth, again = w.seen[key]; !again {
		w.seen[key] = uint64(len(w.seen)) + 1
	}
	return nth, again
}

func (w *walker) hash(v reflect.Value) uint64 {
	if !v.IsValid() || slices.Contains(w.types, v.Type()) {
		return 0
	}
	h := mix(0, uint64(v.Kind()))
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			h = mix(h, 1)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		h = mix(h, uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		h = mix(h, v.Uint())
	case reflect.Float32, reflect.Float64:
		h = mix(h, math.Float64bits(v.Float()))
	case reflect.String:
		for _, b := range []byte(v.String()) {
			h = mix(h, uint64(b))
		}
	case reflect.Pointer:
		if v.IsNil() {
			return h
		}
		if nth, again := w.met(v.Pointer(), 0, v.Type()); again {
			return mix(h, nth)
		}
		h = mix(h, w.hash(v.Elem()))
	case reflect.Interface:
		if !v.IsNil() {
			h = mix(h, w.hash(v.Elem()))
		}
	case reflect.Slice:
		h = mix(h, uint64(v.Len()))
		if v.Len() == 0 {
			return h
		}
		if nth, again := w.met(v.Pointer(), v.Len(), v.Type()); again {
			return mix(h, nth)
		}
		for i := range v.Len() {
			h = mix(h, w.hash(v.Index(i)))
		}
	case reflect.Array:
		for i := range v.Len() {
			h = mix(h, w.hash(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !slices.Contains(w.fields, v.Type().Name()+"."+v.Type().Field(i).Name) {
				h = mix(h, w.hash(v.Field(i)))
			}
		}
	case reflect.Map:
		// In the order of the keys' hashes, since Go's order changes from call to call.
		type entry struct {
			key   uint64
			value reflect.Value
		}
		var entries []entry
		for it := v.MapRange(); it.Next(); {
			entries = append(entries, entry{w.hash(it.Key()), it.Value()})
		}
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
		for _, e := range entries {
			h = mix(mix(h, e.key), w.hash(e.value))
		}
	}
	return h
}
