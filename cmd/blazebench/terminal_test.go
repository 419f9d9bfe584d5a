package main

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWrap(t *testing.T) {
	const text = "  round trip      min 8.1 µs  p50 9.9 µs  p99 120 µs"
	if got := wrap(text, 0, 18); got != text {
		t.Errorf("without columns: %q", got)
	}
	want := "  round trip      min 8.1 µs  p50 9.9 µs\n                  p99 120 µs"
	if got := wrap(text, 40, 18); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for columns := 10; columns < 60; columns++ {
		got := wrap(text, columns, 18)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(text), " ") {
			t.Errorf("%d columns: words are lost: %q", columns, got)
		}
		for _, line := range strings.Split(got, "\n") {
			if utf8.RuneCountInString(line) > max(columns, 18) {
				t.Errorf("%d columns: a line of %d: %q", columns, utf8.RuneCountInString(line), line)
			}
		}
	}
	if got := cut("abcdef…gh", 4); got != "abc…" {
		t.Errorf("%q", got)
	}
	if width(io.Discard) != 0 || lively(io.Discard) {
		t.Error("nothing is a terminal")
	}
}

// Rows stand in columns where there is room, else each below its title: never a line that is too long.
func TestRowsOnATerminal(t *testing.T) {
	rows := [][3]string{{"round trip, 64 bytes", "p50 15.5 µs", "p99 68.8 µs, p99.9 245 µs, max 5.17 ms"}, {"throughput, 64 bytes", "10,952,852 messages/s", "701.0 MB/s, 547,935 datagrams/s"}}
	for _, columns := range []int{0, 40, 60, 80, 120, 200} {
		var b strings.Builder
		writeRows(&b, columns, rows)
		lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
		if wide := columns == 0 || columns >= 100; wide != (len(lines) == len(rows)) {
			t.Errorf("%d columns: %d lines\n%s", columns, len(lines), b.String())
		}
		for _, l := range lines {
			if columns > 0 && utf8.RuneCountInString(l) > columns {
				t.Errorf("%d columns: %q", columns, l)
			}
		}
	}
}

// Tables are Markdown only where that is asked for; elsewhere they are columns, which fit.
func TestTables(t *testing.T) {
	const md = "Medians:\n\n| run | p50 |\n| --- | ---: |\n| `blazebench latency --uri xdp://239.255.66.76` | 3.1 µs |\n| raw | 2 µs |\n\nthe end\n"
	write := func(w io.Writer) { io.WriteString(w, md) }
	var b strings.Builder
	if tables(&b, "md", write); b.String() != md {
		t.Errorf("Markdown: %q", b.String())
	}
	b.Reset()
	tables(&b, "text", write)
	want := "Medians:\n\nrun                                           p50\nblazebench latency --uri xdp://239.255.66.76  3.1 µs\nraw                                           2 µs\n\nthe end\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
	for columns := 26; columns < 60; columns++ {
		b.Reset()
		writeTable(&b, columns, [][]string{{"blazebench latency --rounds 5 --size 64", "3.1 µs"}, {"raw", "2 µs"}})
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > columns {
				t.Errorf("%d columns: a line of %d: %s", columns, n, line)
			}
		}
	}
	if code, _, stderr := bench(t, "compare", "--format", "html"); code != exitUsage || !strings.Contains(stderr, `--format "html": want text or md`) {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
