package rig

import (
	"strings"
	"testing"
	"time"
)

func TestParseLink(t *testing.T) {
	for text, want := range map[string]Link{
		"rate=100mbit,queue=64k,mtu=1400":                   {Rate: 100_000_000, Queue: 64 << 10, MTU: 1400},
		"rate=1gbit":                                        {Rate: 1_000_000_000},
		"rate=64001bit,queue=3029":                          {Rate: 64001, Queue: 3029},
		"loss=0.01,reorder=5ms,double=0.5":                  {Loss: 0.01, Reorder: 5 * time.Millisecond, Double: 0.5},
		"multicast=off":                                     {NoMulticast: true},
		"rate=10mbit,queue=1m,unicast=off":                  {Rate: 10_000_000, Queue: 1 << 20, NoUnicast: true},
		"mtu=576,loss=0.25,double=1,multicast=off":          {MTU: 576, Loss: 0.25, Double: 1, NoMulticast: true},
		"rate=100kbit,reorder=1.5ms,unicast=off,double=0.1": {Rate: 100_000, Reorder: 1500 * time.Microsecond, NoUnicast: true, Double: 0.1},
	} {
		l, err := ParseLink(text)
		if err != nil || l != want {
			t.Errorf("%s: %+v, %v; want %+v", text, l, err, want)
		}
		if again, err := ParseLink(l.String()); err != nil || again != l {
			t.Errorf("%s is written as %q, which reads as %+v, %v", text, l.String(), again, err)
		}
	}
	for text, want := range map[string]string{
		"":                       `"": want name=value`,
		"rate":                   `"rate": want name=value`,
		"rate=100":               "rate=100: want bits a second",
		"rate=100xbit":           "rate=100xbit: want bits a second",
		"rate=9999999999999gbit": "rate=9999999999999gbit: want bits a second",
		"rate=-1bit":             "rate=-1bit: want bits a second",
		"queue=many":             "queue=many: want bytes",
		"queue=8g":               "queue=8g: want bytes",
		"mtu=":                   "mtu=: want bytes",
		"loss=x":                 "loss=x: want a part",
		"double=x":               "double=x: want a part",
		"reorder=5":              "reorder=5: want a time",
		"unicast=on":             "unicast=on: want off",
		"speed=1":                `"speed": want rate`,
		"mtu=1400,mtu=1400":      "mtu is there twice",
	} {
		if l, err := ParseLink(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %s", text, l, err, want)
		}
	}
}

func TestCheckLink(t *testing.T) {
	for _, c := range []struct {
		link Link
		kind Kind
		way  Way
		want string
	}{
		{Link{Rate: 1}, Tap, ToHost, "rate=1: want"},
		{Link{Rate: 1 << 40}, Tap, ToHost, "rate=1099511627776: want"},
		{Link{Queue: 100_000}, Tap, ToHost, "queue without a rate"},
		{Link{Rate: 1e6, Queue: 1000}, Tap, ToHost, "queue=1000: want"},
		{Link{MTU: 500}, Tap, ToHost, "mtu=500: want"},
		{Link{MTU: 9000}, Tap, ToHost, "mtu=9000: want"},
		{Link{Loss: 1}, Tap, ToHost, "loss=1: want"},
		{Link{Double: 2}, Tap, ToHost, "double=2: want"},
		{Link{Reorder: time.Minute}, Tap, ToHost, "reorder=1m0s: want"},
		{Link{Rate: 1e8}, Veth, ToHost, "rig veth has no switch"},
		{Link{Double: 0.5}, Bridge, ToHost, "only the switch of rig tap"},
		{Link{NoUnicast: true}, Tap, OnHost, "only the switch of rig tap"},
		{Link{MTU: 1400}, Bridge, FromHost, "mtu at a port of rig bridge"},
		{Link{Rate: 1e8}, Veth, OnHost, ""},
		{Link{Rate: 1e8, MTU: 1400}, Bridge, ToHost, ""},
		{Link{Rate: 1e8, Queue: MinQueue}, Bridge, FromHost, ""},
		{Link{MTU: 1400, Double: 1, NoMulticast: true}, Tap, FromHost, ""},
	} {
		err := c.link.Check(c.kind, c.way)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%+v %v a host of %s: %v, want %q", c.link, c.way, c.kind, err, c.want)
		}
	}
}
