package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// errHelp means that help was asked for, and printed.
var errHelp = errors.New("help")

// parse reads the options of a command. Asked for help it prints about and the options on standard output, and returns
// errHelp. A mistake is one line that names the option.
func parse(fs *flag.FlagSet, args []string, out *output, about string) error {
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		if about == "" {
			about = fs.Name() + " [options]\n"
		}
		fmt.Fprint(out.stdout, about, "\n")
		printOptions(out.stdout, fs)
		return errHelp
	case err != nil:
		return usagef("%s", mistake(fs, err))
	}
	return nil
}

// printOptions lists the options as GNU programs do.
func printOptions(w io.Writer, fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		line := "  --" + f.Name
		if value != "" {
			line += " " + strings.ToUpper(value)
		}
		fmt.Fprintf(w, "%s\n", line)
		for _, l := range strings.Split(text, "\n") {
			fmt.Fprintf(w, "        %s\n", l)
		}
		if d := f.DefValue; d != "" && d != "0" && d != "0s" && d != "false" && !strings.Contains(text, "(default") {
			fmt.Fprintf(w, "        (default %s)\n", d)
		}
	})
}

var (
	notDefined = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	noValue    = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
	badValue   = regexp.MustCompile(`(?s)^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^:]*): (.*)$`)
)

// mistake is what the package flag says of a command line, as this program does.
func mistake(fs *flag.FlagSet, err error) string {
	text := err.Error()
	if m := notDefined.FindStringSubmatch(text); m != nil {
		var names []string
		fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		if guess := closest(m[1], names); guess != "" {
			return fmt.Sprintf("--%s: no such option: did you mean --%s?", m[1], guess)
		}
		return fmt.Sprintf("--%s: no such option (%s -h lists them)", m[1], fs.Name())
	}
	if m := noValue.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("--%s: want a value", m[1])
	}
	m := badValue.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	value, name, why := m[1], m[2], m[3]
	if v, err := strconv.Unquote(value); err == nil && v != "" && !strings.ContainsAny(v, " \t\n\"'\\") {
		value = v
	}
	if f := fs.Lookup(name); f != nil && (why == "parse error" || why == "value out of range") {
		why = wanted(f, value)
	}
	return fmt.Sprintf("--%s %s: %s", name, value, why)
}

// wanted says what an option's value must be.
func wanted(f *flag.Flag, value string) string {
	switch f.Value.(flag.Getter).Get().(type) {
	case int, int64:
		return "want a whole number"
	case uint, uint64:
		return "want a whole number, 0 or more"
	case float64:
		return "want a number"
	case bool:
		return "want true or false"
	}
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return fmt.Sprintf("want a unit, as in %ss", value)
	}
	return "want a duration, as in 1.5s or 200ms"
}

// closest is the name that a mistyped one is most like; empty: none is alike.
func closest(typed string, names []string) (best string) {
	least := 1 + len(typed)/3
	for _, name := range names {
		if d := distance(typed, name); d <= least && (best == "" || d < distance(typed, best)) {
			best = name
		}
	}
	return best
}

// distance is how many letters are to be put in, taken out, replaced or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// share is an option's share, as 0.01 or 1%.
type share float64

func (s *share) String() string { return strconv.FormatFloat(float64(*s), 'g', -1, 64) }

// Set implements flag.Value.
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil {
		return errors.New("want a share, as in 0.01 or 1%")
	}
	if percent {
		v /= 100
	}
	*s = share(v)
	return nil
}

// Get implements flag.Getter.
func (s *share) Get() any { return float64(*s) }
