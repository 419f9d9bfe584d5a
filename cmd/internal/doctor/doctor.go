// Package doctor looks at a host and reports what it offers to AF_XDP, what auto:// would take on each
// interface and why, and what would have to change for more. It only reads: it sends no packet,
// attaches nothing, opens no port and changes no setting.
package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Level is how a finding is to be taken.
type Level string

// The levels.
const (
	Good Level = "ok"   // as it should be
	Note Level = "note" // works; more is possible, or worth a look
	Lack Level = "LACK" // something does not work for want of this
)

// Finding is one thing that was looked at.
type Finding struct {
	Level  Level  `json:"level"`
	What   string `json:"what"`   // such as "locked memory"
	Found  string `json:"found"`  // how it is
	Remedy string `json:"remedy"` // what to do about it; empty: nothing
}

// Choice is what auto:// would take on an interface.
type Choice struct {
	Transport string `json:"transport"` // "xdp" or "udp"; empty: neither would work
	Mode      string `json:"mode"`      // of xdp: the first way that would be tried, such as "generic copy"
	Why       string `json:"why"`
}

// Interface is what was found out about one.
type Interface struct {
	Name     string    `json:"name"`
	Choice   Choice    `json:"auto"`
	Findings []Finding `json:"findings"`
	Better   []string  `json:"better"` // what would have to change for a better rung
}

// Report is everything.
type Report struct {
	Host       []Finding   `json:"host"`
	Interfaces []Interface `json:"interfaces"`
}

// Usable reports whether xdp:// would work on some interface.
func (r *Report) Usable() bool {
	for _, i := range r.Interfaces {
		if i.Choice.Transport == "xdp" {
			return true
		}
	}
	return false
}

// Write writes the report to be read.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("This host\n")
	findings(&b, r.Host)
	for _, i := range r.Interfaces {
		fmt.Fprintf(&b, "\nInterface %s\n", i.Name)
		findings(&b, i.Findings)
		took := i.Choice.Transport
		switch {
		case took == "":
			took = "neither xdp nor udp"
		case i.Choice.Mode != "":
			took += ", " + i.Choice.Mode
		}
		fmt.Fprintf(&b, "  auto:// takes %s: %s\n", took, i.Choice.Why)
		for _, s := range i.Better {
			fmt.Fprintf(&b, "        better: %s\n", s)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func findings(b *strings.Builder, fs []Finding) {
	for _, f := range fs {
		fmt.Fprintf(b, "  %-4s  %-16s %s\n", f.Level, f.What, f.Found)
		if f.Remedy != "" {
			fmt.Fprintf(b, "        %-16s → %s\n", "", f.Remedy)
		}
	}
}
