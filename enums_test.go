package blaze

import (
	"encoding"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestZeroIsTheDefault(t *testing.T) {
	if NACK != 0 || Pause != 0 || Slowest != 0 || Backoff != 0 || LAN != 0 || Constructed != 0 || KindRaw != 0 {
		t.Error("the default of an enumeration must be its zero constant: Config is usable as zero")
	}
}

func TestEnumerationTexts(t *testing.T) {
	rows := []struct {
		names []string
		at    func(i uint8) fmt.Stringer
		back  func(text string) (fmt.Stringer, error)
	}{
		{[]string{"nack", "besteffort", "fec", "hybrid", "totem"}, func(i uint8) fmt.Stringer { return Protocol(i) },
			func(s string) (fmt.Stringer, error) { return ParseProtocol(s) }},
		{[]string{"backoff", "busyspin", "block"}, func(i uint8) fmt.Stringer { return Idle(i) },
			func(s string) (fmt.Stringer, error) { return ParseIdle(s) }},
		{[]string{"pause", "drop", "disconnect"}, func(i uint8) fmt.Stringer { return SlowConsumer(i) }, viaText[SlowConsumer]},
		{[]string{"slowest", "fastest"}, func(i uint8) fmt.Stringer { return FlowControl(i) }, viaText[FlowControl]},
		{syncNames, func(i uint8) fmt.Stringer { return Sync(i) }, viaText[Sync]},
		{[]string{"auto", "off"}, func(i uint8) fmt.Stringer { return CongestionControl(i) }, viaText[CongestionControl]},
		{[]string{"lan", "isolated", "shared"}, func(i uint8) fmt.Stringer { return TotemProfile(i) }, viaText[TotemProfile]},
		{[]string{"constructed", "initialized", "started", "stopped"}, func(i uint8) fmt.Stringer { return State(i) }, nil},
		{[]string{"raw", "message"}, func(i uint8) fmt.Stringer { return Kind(i) }, nil},
		{limitedByNames, func(i uint8) fmt.Stringer { return LimitedBy(i) }, nil},
		{lossReasonNames, func(i uint8) fmt.Stringer { return LossReason(i) }, nil},
		{valueKindNames, func(i uint8) fmt.Stringer { return ValueKind(i) }, nil},
		{[]string{"unknown", "transitional", "regular"}, func(i uint8) fmt.Stringer { return ViewKind(i) }, nil},
		{[]string{"unknown", "started", "stopped", "failed", "joined group", "left group"}, func(i uint8) fmt.Stringer { return MemberEventKind(i) }, nil},
		{[]string{"unknown", "present", "put", "deleted", "expired", "owner gone", "reset"}, func(i uint8) fmt.Stringer { return MapEventKind(i) }, nil},
	}
	for _, row := range rows {
		for i, name := range row.names {
			e := row.at(uint8(i))
			if e.String() != name {
				t.Errorf("%T(%d) = %q, want %q", e, i, e, name)
			}
			if m, ok := e.(encoding.TextMarshaler); ok {
				if text, err := m.MarshalText(); string(text) != name || err != nil {
					t.Errorf("%T(%d).MarshalText = %q, %v", e, i, text, err)
				}
			}
			if row.back == nil {
				continue
			}
			if got, err := row.back(strings.ToUpper(name)); got != e || err != nil {
				t.Errorf("%q is read as %v, %v; want %v", strings.ToUpper(name), got, err, e)
			}
		}
		beyond := row.at(uint8(len(row.names)))
		if want := fmt.Sprintf("(%d)", len(row.names)); !strings.HasSuffix(beyond.String(), want) {
			t.Errorf("one that does not exist is printed as %q", beyond)
		}
		if m, ok := beyond.(encoding.TextMarshaler); ok {
			if _, err := m.MarshalText(); !errors.Is(err, ErrConfig) {
				t.Errorf("%v was marshalled: %v", beyond, err)
			}
		}
		if row.back != nil {
			if _, err := row.back("sideways"); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), row.names[0]) {
				t.Errorf("%q was read: %v; the error must list what is allowed", "sideways", err)
			}
		}
	}
}

// viaText reads an enumeration that has no Parse function.
func viaText[E fmt.Stringer, P interface {
	*E
	encoding.TextUnmarshaler
}](s string) (fmt.Stringer, error) {
	var e E
	err := P(&e).UnmarshalText([]byte(s))
	return e, err
}

func TestProtocolsOnTheWire(t *testing.T) {
	// The constants differ: NACK is zero here and 2 on the wire.
	for p := range Protocol(len(protocolNames)) {
		if got := p.wire(); got == 0 || got > 5 {
			t.Errorf("%v is %d on the wire", p, got)
		}
		for q := range p {
			if p.wire() == q.wire() {
				t.Errorf("%v and %v are the same on the wire", p, q)
			}
		}
	}
}

func TestMemberID(t *testing.T) {
	var id MemberID
	if !id.IsZero() {
		t.Error("the zero id is not zero")
	}
	for i := range id {
		id[i] = byte(i*16 + i)
	}
	const text = "00112233-44556677-8899aabb-ccddeeff"
	if id.IsZero() || id.String() != text {
		t.Errorf("String = %q, want %q", id, text)
	}
	for _, s := range []string{text, strings.ToUpper(text), strings.ReplaceAll(text, "-", "")} {
		if got, err := ParseMemberID(s); got != id || err != nil {
			t.Errorf("ParseMemberID(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", text[:34], text + "0", strings.Replace(text, "-", ":", 1), strings.Replace(text, "f", "g", 1),
		strings.Replace(text, "-", "", 1), strings.Repeat("-", 35)} {
		if got, err := ParseMemberID(s); err == nil || !got.IsZero() {
			t.Errorf("ParseMemberID(%q) = %v, %v; want an error", s, got, err)
		}
	}
	b, _ := id.MarshalText()
	var back MemberID
	if err := back.UnmarshalText(b); back != id || err != nil {
		t.Errorf("%s is read as %v, %v", b, back, err)
	}
	if err := back.UnmarshalText([]byte("x")); err == nil || back != id {
		t.Errorf("a bad text was read: %v, or changed the id to %v", err, back)
	}
}
