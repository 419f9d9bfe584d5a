package selector

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// token is the kind of a word or sign of a text.
type token uint8

const (
	endToken token = iota
	wordToken
	textToken
	numberToken

	nullToken
	trueToken
	falseToken
	notToken
	andToken
	orToken
	betweenToken
	likeToken
	inToken
	isToken
	escapeToken

	openToken
	closeToken
	commaToken
	plusToken
	minusToken
	timesToken
	overToken
	equalToken
	unequalToken
	lessToken
	lessEqualToken
	greaterToken
	greaterEqualToken
)

func (t token) reserved() bool { return t >= nullToken && t <= escapeToken }

// lexer divides a text, which is UTF-8, into tokens. It shows one of them.
type lexer struct {
	source string
	dots   bool
	err    *Error // the first one; then the token is endToken

	token token
	start int    // the token is source[start:end]
	end   int    //
	text  string // of textToken: what is between the quotes
	value number // of numberToken
}

// An Error says what is wrong with a text, and where.
type Error struct {
	Column int    // in characters, from 1
	Text   string // what is wrong
	Err    error  // from Names.Check, or nil
}

func (e *Error) Error() string { return fmt.Sprintf("selector:%d: %s", e.Column, e.Text) }

// Unwrap returns what Names.Check returned.
func (e *Error) Unwrap() error { return e.Err }

// fail notes what is wrong at source[at:], if nothing was before, and ends the text there.
func (l *lexer) fail(at int, format string, args ...any) {
	if l.err == nil {
		l.err = &Error{Column: 1 + utf8.RuneCountInString(l.source[:at]), Text: fmt.Sprintf(format, args...)}
	}
	l.token, l.start, l.end = endToken, len(l.source), len(l.source)
}

// next goes on to the next token.
func (l *lexer) next() {
	if l.err != nil {
		return
	}
	at := l.end
	for at < len(l.source) && strings.IndexByte(" \t\f\r\n", l.source[at]) >= 0 {
		at++
	}
	l.start, l.end = at, at
	if at == len(l.source) {
		l.token = endToken
		return
	}
	c := l.source[at]
	switch {
	case c == '\'':
		l.nextText()
	case isDigit(c) || c == '.' && at+1 < len(l.source) && isDigit(l.source[at+1]):
		l.nextNumber()
	case c < utf8.RuneSelf && !identifierStart(rune(c)):
		l.nextSign()
	default:
		l.nextWord()
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// nextText takes a string literal. Quotes in it are doubled.
func (l *lexer) nextText() {
	rest := l.source[l.start+1:]
	doubled := false
	for i := 0; ; i++ {
		more := strings.IndexByte(rest[i:], '\'')
		if more < 0 {
			l.fail(l.start, "a string is not closed")
			return
		}
		i += more
		if i+1 < len(rest) && rest[i+1] == '\'' {
			doubled = true
			i++
			continue
		}
		l.token, l.text, l.end = textToken, rest[:i], l.start+1+i+1
		break
	}
	if doubled {
		l.text = strings.ReplaceAll(l.text, "''", "'")
	}
}

// nextNumber takes a number with all letters that touch it, so that 10L is one and 10x none.
func (l *lexer) nextNumber() {
	end := l.start
	hex := strings.HasPrefix(l.source[end:], "0x") || strings.HasPrefix(l.source[end:], "0X")
	for end < len(l.source) {
		c := l.source[end]
		r, size := utf8.DecodeRuneInString(l.source[end:])
		if c == '+' || c == '-' {
			before := l.source[end-1] | 0x20
			if hex && before != 'p' || !hex && before != 'e' {
				break
			}
		} else if c != '.' && !identifierPart(r) {
			break
		}
		end += size
	}
	value, why := parseNumber(l.source[l.start:end])
	if why != "" {
		l.fail(l.start, "%s", why)
		return
	}
	l.token, l.value, l.end = numberToken, value, end
}

// nextSign takes what is neither a word nor a literal.
func (l *lexer) nextSign() {
	size := 1
	two := l.source[l.start:min(l.start+2, len(l.source))]
	switch two {
	case "<>":
		l.token, size = unequalToken, 2
	case "<=":
		l.token, size = lessEqualToken, 2
	case ">=":
		l.token, size = greaterEqualToken, 2
	default:
		switch two[0] {
		case '(':
			l.token = openToken
		case ')':
			l.token = closeToken
		case ',':
			l.token = commaToken
		case '+':
			l.token = plusToken
		case '-':
			l.token = minusToken
		case '*':
			l.token = timesToken
		case '/':
			l.token = overToken
		case '=':
			l.token = equalToken
		case '<':
			l.token = lessToken
		case '>':
			l.token = greaterToken
		default:
			l.fail(l.start, "%q has no meaning here", two[0])
			return
		}
	}
	l.end = l.start + size
}

// nextWord takes an identifier or a reserved word.
func (l *lexer) nextWord() {
	end := identifierEnd(l.source, l.start)
	if end == l.start {
		r, _ := utf8.DecodeRuneInString(l.source[l.start:])
		l.fail(l.start, "%q has no meaning here", r)
		return
	}
	l.token = keyword(l.source[l.start:end])
	for l.dots && l.token == wordToken && end < len(l.source) && l.source[end] == '.' {
		part := identifierEnd(l.source, end+1)
		if part == end+1 {
			break
		}
		end = part
	}
	l.end = end
}

// shown is the token for an error.
func (l *lexer) shown() string {
	if l.token == endToken {
		return "the end"
	}
	const most = 20 // characters
	s := l.source[l.start:l.end]
	n := 0
	for i := range s {
		if n++; n > most {
			s = s[:i] + "…"
			break
		}
	}
	if l.token.reserved() {
		return "the reserved word " + s
	}
	return s
}
