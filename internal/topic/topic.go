// Package topic judges and matches topics: dotted paths such as prices.eu.bund. A message is
// published on a path; a subscription names a pattern, in which the element * stands for any
// one element, and a last element > for the path before it and all below it, as in ActiveMQ.
package topic

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxLen is the longest topic or pattern, in bytes. It is the wire's bound too.
const MaxLen = 255

// ErrInvalid is what every error of Validate and ValidatePattern wraps.
var ErrInvalid = errors.New("invalid topic")

// fault is an ErrInvalid that says why, for a caller that says of what.
type fault string

func (f fault) Error() string        { return string(f) }
func (f fault) Is(target error) bool { return target == ErrInvalid }

func invalid(format string, a ...any) error { return fault(fmt.Sprintf(format, a...)) }

// Validate reports whether a message can be published on path: 1 to MaxLen bytes of UTF-8 without control
// characters, one or more non-empty elements between dots, no * and no >. It allocates nothing when all is well.
func Validate(path string) error {
	if strings.ContainsAny(path, "*>") {
		return invalid("%q: * and > are for subscriptions", path)
	}
	return ValidatePattern(path)
}

// ValidatePattern reports whether pattern can be subscribed to: as Validate, and * may stand as
// an element anywhere, > as the last one.
func ValidatePattern(pattern string) error {
	switch {
	case pattern == "":
		return invalid("it is empty")
	case len(pattern) > MaxLen:
		return invalid("%.32q…: %d bytes, at most %d allowed", pattern, len(pattern), MaxLen)
	case !utf8.ValidString(pattern):
		return invalid("%q: not UTF-8", pattern)
	case strings.ContainsFunc(pattern, unicode.IsControl):
		return invalid("%q: it has a control character", pattern)
	}
	for rest, more := pattern, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, ".")
		switch {
		case element == "":
			return invalid("%q: an element is empty", pattern)
		case element == ">" && more:
			return invalid("%q: > must be the last element", pattern)
		case element != "*" && element != ">" && strings.ContainsAny(element, "*>"):
			return invalid("%q: * and > must be whole elements", pattern)
		}
	}
	return nil
}

// Match reports whether topic matches pattern:
//
//	prices.eu     only prices.eu
//	prices.*      prices.eu, prices.us; not prices, not prices.eu.bund
//	*.eu.*        prices.eu.bund
//	prices.>      prices, prices.eu, prices.eu.bund
//	>             everything
//
// The pattern must be valid. The topic comes from the network and may be anything: a topic
// that Validate refuses matches or not, and harms nobody. Match allocates nothing.
func Match(pattern string, topic []byte) bool {
	j := 0 // topic[:j] has been matched by pattern[:i]
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '>':
			return true
		case c == '*':
			for j < len(topic) && topic[j] != '.' {
				j++
			}
		case j < len(topic) && topic[j] == c:
			j++
		default:
			return j == len(topic) && pattern[i:] == ".>" // the path itself
		}
	}
	return j == len(topic)
}
