package blaze

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/xdp"
)

// Every counter of every engine is in the sums, of whatever kind it is.
func TestStatsAddUp(t *testing.T) {
	var e EngineStats
	n := uint64(0)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Uint64:
			n++
			v.SetUint(n)
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		}
	}
	fill(reflect.ValueOf(&e).Elem())
	e.Engine.LongestTurn = time.Second
	e.Buffers = BufferStats{Count: 10, Free: 7, Size: 2048}
	var s Stats
	s.add(&e)
	if s.Engine != e.Engine || s.Nack != e.Nack || s.XDP != e.XDP || s.Shard != e.Shard || s.Buffers != e.Buffers || s.InjectedLoss != e.InjectedLoss {
		t.Errorf("of one engine:\n%+v\n%+v", s, e)
	}
	s.add(&e)
	s.add(nil) // one that was never asked
	if len(s.Engines) != 3 || s.Engines[1] != e || s.Engines[2] != (EngineStats{}) {
		t.Errorf("%d engines", len(s.Engines))
	}
	var double func(a, b reflect.Value, name string)
	double = func(a, b reflect.Value, name string) {
		switch a.Kind() {
		case reflect.Uint64:
			if a.Uint() != 2*b.Uint() {
				t.Errorf("%s is %d, twice %d is wanted", name, a.Uint(), b.Uint())
			}
		case reflect.Struct:
			for i := range a.NumField() {
				double(a.Field(i), b.Field(i), name+"."+a.Type().Field(i).Name)
			}
		case reflect.Array:
			for i := range a.Len() {
				double(a.Index(i), b.Index(i), name)
			}
		}
	}
	double(reflect.ValueOf(s.Engine), reflect.ValueOf(e.Engine), "Engine")
	double(reflect.ValueOf(s.Nack), reflect.ValueOf(e.Nack), "Nack")
	double(reflect.ValueOf(s.Shard), reflect.ValueOf(e.Shard), "Shard")
	double(reflect.ValueOf(s.XDP), reflect.ValueOf(e.XDP), "XDP")
	if s.Engine.LongestTurn != time.Second || s.Buffers != (BufferStats{Count: 20, Free: 14, Size: 2048}) {
		t.Errorf("%v, %+v", s.Engine.LongestTurn, s.Buffers)
	}
	// A counter of a kind that sum does not know would panic at the first Stats.
	sum(new(engine.Stats), new(engine.Stats))
	sum(new(nack.Stats), new(nack.Stats))
	sum(new(xdp.Stats), new(xdp.Stats))
}

// What Stats shows is public: go doc leads to each type, and none lies in a package that applications
// cannot name.
func TestStatsShowsNothingInternal(t *testing.T) {
	var look func(typ reflect.Type, path string)
	look = func(typ reflect.Type, path string) {
		if strings.Contains(typ.PkgPath(), "/internal") {
			t.Errorf("%s is a %v of %s", path, typ, typ.PkgPath())
		}
		switch typ.Kind() {
		case reflect.Struct:
			if typ.PkgPath() != "time" {
				for i := range typ.NumField() {
					look(typ.Field(i).Type, path+"."+typ.Field(i).Name)
				}
			}
		case reflect.Slice, reflect.Array, reflect.Pointer:
			look(typ.Elem(), path)
		}
	}
	look(reflect.TypeFor[Stats](), "Stats")
}
