package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// formatOption adds --format to a command that prints tables.
func formatOption(fs *flag.FlagSet) *string {
	return fs.String("format", "text", "how tables are printed: `text`, or md for Markdown")
}

func checkFormat(format string) error {
	if format != "text" && format != "md" {
		return usagef("--format %q: want text or md", format)
	}
	return nil
}

// tables prints what write writes, Markdown, to w: as it is, or with its tables as columns of text that fit the terminal.
func tables(w io.Writer, format string, write func(io.Writer)) {
	if format == "md" {
		write(w)
		return
	}
	var b bytes.Buffer
	write(&b)
	var rows [][]string
	flush := func() {
		writeTable(w, width(w), rows)
		rows = nil
	}
	for line := range strings.Lines(b.String()) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, "|") {
			flush()
			fmt.Fprintln(w, wrap(line, width(w), 0))
			continue
		}
		if strings.Trim(line, "|-: ") == "" {
			continue // the line below the head
		}
		var cells []string
		for _, c := range strings.Split(strings.Trim(line, "|"), " | ") {
			cells = append(cells, strings.Trim(strings.TrimSpace(c), "`"))
		}
		rows = append(rows, cells)
	}
	flush()
}

// gap is between two columns.
const gap = "  "

// writeTable prints rows as columns. Where they are wider than the terminal the texts of the widest column are broken.
func writeTable(w io.Writer, columns int, rows [][]string) {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	total := -len(gap)
	widest := 0
	for i, n := range widths {
		total += n + len(gap)
		if n > widths[widest] {
			widest = i
		}
	}
	if columns > 0 && total > columns {
		widths[widest] = max(16, widths[widest]-(total-columns))
	}
	for _, r := range rows {
		lines := [][]string{}
		for i, c := range r {
			for k, part := range strings.Split(wrap(c, widths[i], 2), "\n") {
				if k == len(lines) {
					lines = append(lines, make([]string, len(r)))
				}
				lines[k][i] = part
			}
		}
		for _, l := range lines {
			var b strings.Builder
			for i, c := range l {
				b.WriteString(c + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c))) + gap)
			}
			fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
		}
	}
}
