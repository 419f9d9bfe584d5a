package blaze

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// MemberID names one start of a channel: 16 random bytes, drawn at each Start and never reused.
// It is comparable; bytes.Compare of two of them is the order in which members are listed.
type MemberID [16]byte

// IsZero reports whether id is the zero MemberID, which is no member's.
func (id MemberID) IsZero() bool { return id == MemberID{} }

// String is id in lower-case hexadecimal, in four groups of eight digits:
// "3f2a91c4-00d1b7e8-5a6c0f12-9be4d370".
func (id MemberID) String() string {
	var text [35]byte
	return string(id.appendText(text[:0]))
}

// ParseMemberID reads what String writes. Upper-case digits, and the 32 digits without hyphens,
// are taken too.
func ParseMemberID(s string) (MemberID, error) {
	digits := s
	if len(s) == 35 && s[8] == '-' && s[17] == '-' && s[26] == '-' {
		digits = strings.ReplaceAll(s, "-", "")
	}
	var id MemberID
	if len(digits) != 2*len(id) {
		return MemberID{}, fmt.Errorf("blaze: member id %q: must be 32 hexadecimal digits, in four groups of eight", s)
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return MemberID{}, fmt.Errorf("blaze: member id %q: %w", s, err)
	}
	return id, nil
}

// MarshalText is String, so that a MemberID is readable in JSON and logs.
func (id MemberID) MarshalText() ([]byte, error) { return id.appendText(nil), nil }

// UnmarshalText is ParseMemberID.
func (id *MemberID) UnmarshalText(text []byte) error {
	parsed, err := ParseMemberID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

func (id MemberID) appendText(dst []byte) []byte {
	for i := 0; i < len(id); i += 4 {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[i:i+4])
	}
	return dst
}
