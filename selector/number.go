package selector

import (
	"errors"
	"strconv"
	"strings"
)

// number is a numeric literal without its sign.
type number struct {
	inexact bool
	decimal bool    // of an exact one: it was written in decimal, and bits is what it is worth
	bits    uint64  // of an exact one
	float   float64 // of an approximate one
}

// parseNumber reads s, which begins like a number, as a literal of Java. On an error why says what is wrong with it.
func parseNumber(s string) (n number, why string) {
	body, ok := withoutUnderscores(s)
	if !ok {
		return n, "an underscore stands between two digits of a number"
	}
	base, digits := 10, body
	if len(body) > 1 && body[0] == '0' {
		switch body[1] | 0x20 {
		case 'x':
			base, digits = 16, body[2:]
		case 'b':
			base, digits = 2, body[2:]
		default:
			base, digits = 8, body[1:]
		}
	}
	if isInexact(base, digits) {
		return parseFloat(base, body)
	}
	if last := len(digits) - 1; last >= 0 && digits[last]|0x20 == 'l' {
		digits = digits[:last]
		if digits == "" && base == 8 { // 0L
			digits = "0"
		}
	}
	n.decimal = base == 10
	bits, err := strconv.ParseUint(digits, base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return n, "a number is beyond the range of a long"
	}
	if err != nil && base == 8 {
		return n, "a number that begins with 0 is octal"
	}
	if err != nil {
		return n, "a number is not well formed"
	}
	n.bits = bits
	return n, ""
}

// isInexact reports whether digits, what follows the prefix of base, are those of an approximate number.
func isInexact(base int, digits string) bool {
	switch base {
	case 16:
		return strings.ContainsAny(digits, ".pP")
	case 2:
		return false
	}
	return strings.ContainsAny(digits, ".eEfFdD")
}

func parseFloat(base int, body string) (n number, why string) {
	n.inexact = true
	size := 64
	switch body[len(body)-1] | 0x20 {
	case 'f':
		body, size = body[:len(body)-1], 32
	case 'd':
		body = body[:len(body)-1]
	}
	mantissa, exponents := body, "eE"
	if base == 16 {
		mantissa, exponents = body[2:], "pP"
	}
	f, err := strconv.ParseFloat(body, size)
	if errors.Is(err, strconv.ErrRange) {
		return n, "a number is beyond the range of a double"
	}
	if err != nil {
		return n, "a number is not well formed"
	}
	if i := strings.IndexAny(mantissa, exponents); i >= 0 {
		mantissa = mantissa[:i]
	}
	if f == 0 && strings.Trim(mantissa, "0.") != "" {
		return n, "a number is too small for a double"
	}
	n.float = f
	return n, ""
}

// withoutUnderscores drops those between two digits; ok is false if one stands elsewhere.
func withoutUnderscores(s string) (body string, ok bool) {
	if strings.IndexByte(s, '_') < 0 {
		return s, true
	}
	hex := len(s) > 1 && s[0] == '0' && s[1]|0x20 == 'x'
	digit := func(i int) bool {
		return i >= 0 && i < len(s) && ('0' <= s[i] && s[i] <= '9' || hex && 'a' <= s[i]|0x20 && s[i]|0x20 <= 'f')
	}
	for i := range len(s) {
		if s[i] != '_' {
			continue
		}
		before, after := i-1, i+1
		for before >= 0 && s[before] == '_' {
			before--
		}
		for after < len(s) && s[after] == '_' {
			after++
		}
		if !digit(before) || !digit(after) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}
