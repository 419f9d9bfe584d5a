// Package words helps errors to be short and to name what is allowed.
package words

import "strings"

// Alternatives lists names as prose: "a", "a or b", "a, b or c".
func Alternatives(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Abridged cuts off what is longer than 80 bytes, so that errors stay short.
func Abridged(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
