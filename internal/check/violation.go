package check

import (
	"fmt"
	"strings"
)

// Violation is one breach of one property.
type Violation struct {
	ID   string // of the property, as in docs/invariants.md
	At   int    // position in the log's Records; -1: it concerns the run as a whole
	Text string
}

func (v Violation) Error() string { return v.ID + ": " + v.Text }

// lines shows a record of a log as one line for people.
type lines interface{ String(i int) string }

// report collects violations of one property, and stops writing when there are plenty.
type report struct {
	log   lines // nil: no violation has a place in a log
	id    string
	found []Violation
	more  int
}

// plenty is how many violations of one property are worth reading.
const plenty = 20

func (r *report) add(at int, format string, args ...any) {
	if len(r.found) == plenty {
		r.more++
		return
	}
	text := fmt.Sprintf(format, args...)
	if at >= 0 {
		text += " [" + r.log.String(at) + "]"
	}
	r.found = append(r.found, Violation{ID: r.id, At: at, Text: text})
}

func (r *report) done() []Violation {
	if r.more > 0 {
		r.found = append(r.found, Violation{ID: r.id, At: -1, Text: fmt.Sprintf("and %d more", r.more)})
	}
	return r.found
}

// reports collects violations of several properties.
type reports struct {
	log lines
	all []*report // by property, in the order of their first violations
}

func (r *reports) add(id string, at int, format string, args ...any) {
	for _, one := range r.all {
		if one.id == id {
			one.add(at, format, args...)
			return
		}
	}
	one := &report{log: r.log, id: id}
	one.add(at, format, args...)
	r.all = append(r.all, one)
}

func (r *reports) done() (all []Violation) {
	for _, one := range r.all {
		all = append(all, one.done()...)
	}
	return all
}

// Text joins violations into lines.
func Text(vs []Violation) string {
	var b strings.Builder
	for _, v := range vs {
		b.WriteString(v.Error())
		b.WriteByte('\n')
	}
	return b.String()
}

// IDs returns the properties that vs breach, each once, in order of appearance.
func IDs(vs []Violation) []string {
	var ids []string
	seen := map[string]bool{}
	for _, v := range vs {
		if !seen[v.ID] {
			seen[v.ID] = true
			ids = append(ids, v.ID)
		}
	}
	return ids
}
