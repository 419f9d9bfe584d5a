package selector

import (
	"strings"
	"unicode/utf8"
)

// A pattern is cut at its % into segments. The first one stands at the beginning of a text, the last one at its end,
// and those between are found from left to right, each as early as it can be: with wildcards of one length that is
// never worse than later. So nothing is tried twice but the places of one segment.
type segment []piece

// piece is a text, and then so many characters of any kind.
type piece struct {
	text string
	skip int
}

// compileLike cuts a pattern; escape is -1 where there is none. It fails if the escape character does not stand
// before _, % or itself.
func compileLike(pattern string, escape rune) (segments []segment, ok bool) {
	var text strings.Builder
	current := segment{}
	flush := func() {
		if text.Len() > 0 {
			current = append(current, piece{text: text.String()})
			text.Reset()
		}
	}
	for i := 0; i < len(pattern); {
		r, size := utf8.DecodeRuneInString(pattern[i:])
		i += size
		switch {
		case r == escape:
			next, size := utf8.DecodeRuneInString(pattern[i:])
			if size == 0 || next != '_' && next != '%' && next != escape {
				return nil, false
			}
			text.WriteRune(next)
			i += size
		case r == '%':
			flush()
			// %% is %.
			if len(segments) == 0 || len(current) > 0 {
				segments = append(segments, current)
				current = segment{}
			}
		case r == '_':
			flush()
			// %_ is _%, so that each segment but the first begins with a text, which can be searched for.
			to := &current
			if len(current) == 0 && len(segments) > 0 {
				to = &segments[len(segments)-1]
			}
			if n := len(*to); n > 0 {
				(*to)[n-1].skip++
			} else {
				*to = append(*to, piece{skip: 1})
			}
		default:
			text.WriteRune(r)
		}
	}
	flush()
	return append(segments, current), true
}

// like reports whether s matches.
func (e *evaluation) like(segments []segment, s string) bool {
	first, last := segments[0], len(segments)-1
	at := e.matchAt(first, s, 0)
	if at < 0 || last == 0 {
		return at == len(s)
	}
	for _, middle := range segments[1:last] {
		if at = e.find(middle, s, at); at < 0 {
			return false
		}
	}
	return e.matchEnd(segments[last], s, at)
}

// matchAt returns where seg ends if it stands at s[at:], and -1 otherwise.
func (e *evaluation) matchAt(seg segment, s string, at int) int {
	for _, p := range seg {
		if !e.take(len(p.text)) || !strings.HasPrefix(s[at:], p.text) {
			return -1
		}
		at += len(p.text)
		begin, skip := at, p.skip
		for ; skip > 0 && at < len(s); skip-- {
			at += width(s[at:])
		}
		if !e.take(at-begin) || skip > 0 {
			return -1
		}
	}
	return at
}

// width is the bytes of the first character of s, which is not empty: utf8.DecodeRuneInString, without the character
// and for most of them quicker.
func width(s string) int {
	switch c := s[0]; {
	case c < 0xc2: // ASCII, or a byte that begins no character
		return 1
	case c < 0xe0 && len(s) > 1 && s[1]&0xc0 == 0x80:
		return 2
	}
	_, size := utf8.DecodeRuneInString(s)
	return size
}

// matchEnd reports whether seg stands at the end of s, and not before at.
func (e *evaluation) matchEnd(seg segment, s string, at int) bool {
	s = s[at:]
	for i := len(seg) - 1; i >= 0; i-- {
		end, skip := len(s), seg[i].skip
		for ; skip > 0 && len(s) > 0; skip-- {
			_, size := utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-size]
		}
		if !e.take(end-len(s)) || skip > 0 || !e.take(len(seg[i].text)) || !strings.HasSuffix(s, seg[i].text) {
			return false
		}
		s = s[:len(s)-len(seg[i].text)]
	}
	return true
}

// find returns where seg, which begins with a text, ends at its first place in s[at:], and -1 if there is none.
func (e *evaluation) find(seg segment, s string, at int) int {
	for {
		begin := e.index(s[at:], seg[0].text)
		if begin < 0 {
			return -1
		}
		at += begin
		if end := e.matchAt(seg, s, at); end >= 0 || e.left < 0 {
			return end
		}
		at++ // a text begins with the first byte of a character, and so does any place where it is found
	}
}

// index is strings.Index, and looks no farther than the steps go that are left.
func (e *evaluation) index(s, text string) int {
	within := s
	if e.left < len(s)/stepBytes {
		within = s[:e.left*stepBytes+stepBytes]
	}
	i := strings.Index(within, text)
	if i < 0 {
		e.take(len(within)) // more than what is left, if that is not all of s
		return -1
	}
	if !e.take(i + len(text)) {
		return -1
	}
	return i
}
