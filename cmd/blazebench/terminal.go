package main

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// width is how many columns the terminal has that w is; 0: it is none.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		return 80
	}
	return columns
}

// lively reports whether w is a terminal that a line may be overwritten on.
func lively(w io.Writer) bool {
	t := os.Getenv("TERM")
	return width(w) > 0 && t != "" && t != "dumb" && os.Getenv("NO_COLOR") == ""
}

// cut is text in at most so many columns.
func cut(text string, columns int) string {
	if utf8.RuneCountInString(text) <= columns {
		return text
	}
	return string([]rune(text)[:max(columns-1, 0)]) + "…"
}

// wrap breaks text between words, so that no line is longer than columns where that is possible; all but the first line
// begin with so many spaces. Without columns it leaves text as it is.
func wrap(text string, columns, indent int) string {
	if columns <= 0 || utf8.RuneCountInString(text) <= columns {
		return text
	}
	indent = min(indent, columns/2)
	var b strings.Builder
	at := 0
	for i, word := range splitWords(text) {
		n := utf8.RuneCountInString(strings.TrimRight(word, " "))
		if i > 0 && at+n > columns {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at, word = indent, strings.TrimLeft(word, " ")
		}
		b.WriteString(word)
		at += utf8.RuneCountInString(word)
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// splitWords cuts text behind each run of spaces, but for those that it begins with.
func splitWords(text string) (words []string) {
	from, spaces := 0, false
	for i, c := range text {
		if c == ' ' {
			spaces = strings.TrimLeft(text[:i], " ") != ""
		} else if spaces {
			words, from, spaces = append(words, text[from:i]), i, false
		}
	}
	return append(words, text[from:])
}
