package blaze

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"reflect"
	"strings"
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

// What a member says of itself is read with care, and cut to any length.
func TestInspectionOfOthers(t *testing.T) {
	id := MemberID{7}
	v := &Inspection{Schema: InspectionSchema, Channel: ChannelInfo{ID: id}, Counters: map[string]float64{"nack.missed": 1}}
	for i := range 300 {
		s := SendingInfo{Lane: i}
		for k := range 50 {
			s.Receivers = append(s.Receivers, ReceiverInfo{Behind: uint64(1000*i + 50 - k)})
		}
		v.Sending = append(v.Sending, s)
		v.Subscriptions = append(v.Subscriptions, SubscriptionInfo{Pattern: "p", Full: float64(i), Times: []TimeClass{{1, 1}}})
		v.Losses = append(v.Losses, LossInfo{At: time.Unix(int64(i), 0), First: uint64(i)})
	}
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10, 16 << 20} {
		b, err := v.within(size)
		if err != nil || len(b) > size {
			t.Fatalf("%d bytes in %d: %v", len(b), size, err)
		}
		got, err := parseInspection(b, id)
		if err != nil {
			t.Fatal(err)
		}
		o, n := got.LeftOut, len(got.Sending)
		if n+o.Sending != 300 || len(got.Losses)+o.Losses != 300 || n > 0 && len(got.Sending[0].Receivers)+o.Receivers/n != 50 {
			t.Errorf("in %d bytes: %d streams of which the first has %d receivers; left out %+v", size, n, len(got.Sending[0].Receivers), o)
		}
		if n > 0 && n < 300 && (got.Sending[0].Lane != 299 || got.Subscriptions[0].Full != 299 || got.Losses[0].First != 299) {
			t.Errorf("in %d bytes: lane %d first", size, got.Sending[0].Lane)
		}
	}
	if _, err := v.within(10); err == nil {
		t.Error("an Inspection in 10 bytes")
	}
	if len(v.Sending) != 300 || v.Sending[0].Lane != 0 || len(v.Sending[299].Receivers) != 50 || v.Subscriptions[0].Times == nil || v.LeftOut != (LeftOutInfo{}) {
		t.Error("what was cut is not the copy alone")
	}
	whole, _ := v.within(16 << 20)
	for _, b := range [][]byte{nil, []byte("{}"), []byte("null"), whole[:len(whole)-1], []byte(`{"schema":1}`), []byte("\x00"),
		[]byte(strings.Repeat("[", 100_000)), []byte(strings.Replace(string(whole), `"lane":0`, `"lane":NaN`, 1)),
		[]byte(strings.Replace(string(whole), `"behind":50`, `"behind":-1`, 1))} {
		if got, err := parseInspection(b, id); err == nil {
			t.Errorf("%.40q was read as %+v", b, got.Channel)
		}
	}
	if _, err := parseInspection(whole, MemberID{8}); err == nil {
		t.Error("that of another member was read")
	}
}
