package selector

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names says which identifiers a selector may use.
type Names struct {
	// Dots allows names of several identifiers: order.price. Reserved words may follow a dot.
	Dots bool

	// Check returns why there is no such name, or nil; Parse adds the place to the error. It is called once for each
	// name of a text. Nil allows all names.
	Check func(name string) error
}

// JMS is the names of Jakarta Messaging: six header fields, properties of the specification (JMSX…) and of providers
// (JMS_…), and whatever does not begin with JMS.
func JMS() Names { return Names{Check: checkJMS} }

var errHeader = errors.New("names with JMS are JMSDeliveryMode, JMSPriority, JMSMessageID, JMSTimestamp, " +
	"JMSCorrelationID, JMSType, JMSX… and JMS_…")

func checkJMS(name string) error {
	rest, reserved := strings.CutPrefix(name, "JMS")
	if !reserved {
		return nil
	}
	switch rest {
	case "DeliveryMode", "Priority", "MessageID", "Timestamp", "CorrelationID", "Type":
		return nil
	}
	if strings.HasPrefix(rest, "X") || strings.HasPrefix(rest, "_") {
		return nil
	}
	return errHeader
}

// Identifier reports whether name can be one in a selector: it consists of the right characters and is not reserved.
// Names with dots are not identifiers.
func Identifier(name string) bool {
	end := identifierEnd(name, 0)
	return end > 0 && end == len(name) && keyword(name) == wordToken
}

// identifierEnd returns where the identifier that begins at text[at] ends; at when none does.
func identifierEnd(text string, at int) int {
	end := at
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !identifierPart(r) || end == at && !identifierStart(r) {
			break // what is not UTF-8 is U+FFFD here, and no part
		}
		end += size
	}
	return end
}

// identifierStart is Java's Character.isJavaIdentifierStart.
func identifierStart(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || r == '$'
	}
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Sc, unicode.Pc)
}

// identifierPart is Java's Character.isJavaIdentifierPart without what isIdentifierIgnorable names.
func identifierPart(r rune) bool {
	if r < utf8.RuneSelf {
		return identifierStart(r) || '0' <= r && r <= '9'
	}
	return identifierStart(r) || unicode.In(r, unicode.Nd, unicode.Mc, unicode.Mn)
}

// keyword is the token of a reserved word in any case, and wordToken for any other text. Only ASCII letters have two
// cases here: the long s of ıſ is not that of IS.
func keyword(word string) token {
	var upper [len("BETWEEN")]byte
	if len(word) > len(upper) {
		return wordToken
	}
	for i := range len(word) {
		c := word[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	switch string(upper[:len(word)]) {
	case "NULL":
		return nullToken
	case "TRUE":
		return trueToken
	case "FALSE":
		return falseToken
	case "NOT":
		return notToken
	case "AND":
		return andToken
	case "OR":
		return orToken
	case "BETWEEN":
		return betweenToken
	case "LIKE":
		return likeToken
	case "IN":
		return inToken
	case "IS":
		return isToken
	case "ESCAPE":
		return escapeToken
	}
	return wordToken
}
