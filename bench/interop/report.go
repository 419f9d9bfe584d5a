package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"strings"
)

// table prints publishers × subscribers, a row for each pair and payload, a column for each condition.
func table(w io.Writer, names []string, results []result) {
	by := map[string]result{}
	for _, r := range results {
		by[r.Cell] = r
	}
	fmt.Fprintf(w, "%-8s %-8s %-10s", "pub", "sub", "payload")
	for _, c := range conditions {
		fmt.Fprintf(w, " %-12s", c.name)
	}
	fmt.Fprintln(w)
	for _, pub := range names {
		for _, sub := range names {
			for _, p := range payloads {
				line, some := fmt.Sprintf("%-8s %-8s %-10s", pub, sub, p.name), false
				for _, c := range conditions {
					r, ok := by[(&cell{Pub: pub, Sub: sub, payload: p, when: c}).String()]
					text := "-"
					if ok {
						some, text = true, r.Verdict
						if r.Verdict == passed && r.Lost > 0 {
							text = fmt.Sprintf("ok %d lost", r.Lost)
						}
					}
					line += fmt.Sprintf(" %-12s", text)
				}
				if some {
					fmt.Fprintln(w, strings.TrimRight(line, " "))
				}
			}
		}
	}
}

// writeJSON writes all results.
func writeJSON(path string, results []result) error {
	b, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Failure *junitText `xml:"failure"`
	Skipped *junitText `xml:"skipped"`
}

type junitText struct {
	Message string `xml:"message,attr"`
}

// writeJUnit writes all results for what reads JUnit's reports.
func writeJUnit(path string, results []result) error {
	s := junitSuite{Name: "interop", Tests: len(results)}
	for _, r := range results {
		c := junitCase{Class: r.Pub + "." + r.Sub, Name: r.Payload + " " + r.When, Time: fmt.Sprintf("%.3f", r.Seconds)}
		switch r.Verdict {
		case failed:
			s.Failures++
			c.Failure = &junitText{r.Text}
		case unsupported, notRun:
			s.Skipped++
			c.Skipped = &junitText{r.Text}
		}
		s.Cases = append(s.Cases, c)
	}
	b, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(b, '\n')...), 0o644)
}
