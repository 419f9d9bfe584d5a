// Package plain takes the names of packages out of error texts that pass through several of them,
// so that the user reads one prefix and one statement.
package plain

import "strings"

// Error returns err without the first of prefixes that its text begins with, and ": " behind it.
// errors.Is and errors.As find in it what they find in err. A nil err stays nil.
func Error(err error, prefixes ...string) error {
	if err == nil {
		return nil
	}
	for _, p := range prefixes {
		if text, ok := strings.CutPrefix(err.Error(), p+": "); ok {
			return &plain{text, err}
		}
	}
	return err
}

type plain struct {
	text string
	err  error
}

func (e *plain) Error() string { return e.text }
func (e *plain) Unwrap() error { return e.err }
