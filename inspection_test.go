package blaze

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"
)

var updateInspection = flag.Bool("update-inspection", false, "write testdata/inspection.json anew")

// The names and forms of an Inspection's JSON are a contract with tools, which this file holds: it has every field once.
// What is read from it is what was written.
func TestInspectionJSON(t *testing.T) {
	var full Inspection
	n := int64(0)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		n++
		switch v.Interface().(type) {
		case time.Time:
			v.Set(reflect.ValueOf(time.Unix(1_780_000_000+n, n).UTC()))
			return
		case netip.AddrPort:
			v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), uint16(n))))
			return
		case MemberID:
			v.Set(reflect.ValueOf(MemberID{1: byte(n), 15: byte(n)}))
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0))
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]float64{"nack.missed": 131}))
		case reflect.String:
			v.SetString("text " + string(rune('a'+n%26)))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(n)
		case reflect.Uint8:
			v.SetUint(1)
		case reflect.Uint32, reflect.Uint64:
			v.SetUint(uint64(n))
		case reflect.Float64:
			v.SetFloat(float64(n) + 0.5)
		default:
			t.Fatalf("a field of kind %v", v.Kind())
		}
	}
	fill(reflect.ValueOf(&full).Elem())
	full.Subscriptions[0].Pattern = "a\"\x1b[31m\x00é>" // nothing of that reaches a terminal as it is
	text, err := json.MarshalIndent(full, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	const path = "testdata/inspection.json"
	if *updateInspection {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != string(want) {
		t.Errorf("the JSON is not that of %s: a new name? Then -update-inspection; a changed one breaks tools", path)
	}
	for _, b := range text {
		if b < ' ' && b != '\n' {
			t.Errorf("a control character: %#x", b)
		}
	}
	var again Inspection
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(full, again) {
		t.Errorf("read again it is\n%+v\n, was\n%+v", again, full)
	}
}
