package main

import (
	"strings"
	"unicode/utf8"
)

// columns lays rows out: each column as wide as its widest cell. On a terminal, which has a width, the first column may
// take a third of it, and the last one what is left; what is longer is cut.
func columns(rows [][]string, width int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if width > 0 {
		widths[0] = min(widths[0], max(width/4, 8))
	}
	var all []string
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(row)-1 {
				cell = cut(cell, widths[i])
				b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
			} else {
				b.WriteString(cell)
			}
		}
		line := strings.TrimRight(b.String(), " ")
		if width > 0 {
			line = cut(line, width)
		}
		all = append(all, line)
	}
	return all
}

// cut is s in at most n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
