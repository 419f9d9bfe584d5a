package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/jms"
)

// The exit statuses, for all commands. docs/commands.md has this table.
const (
	statusDone        = 0
	statusFailed      = 1
	statusUsage       = 2
	statusNobody      = 3   // no receiver, member, consumer or holder is there
	statusTime        = 4   // --timeout is over
	statusCondition   = 5   // a condition is not met: locked, another version, no primary component
	statusLost        = 6   // messages were lost, with --fail-on-loss
	statusUnknown     = 7   // the outcome is not known: it may have happened
	statusInterrupted = 130 // as a shell reports SIGINT
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// A usageError is a mistake on the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// A statusError is an error with an exit status of its own.
type statusError struct {
	error
	status int
}

func (e *statusError) Unwrap() error { return e.error }

func failf(status int, format string, args ...any) error {
	return &statusError{fmt.Errorf(format, args...), status}
}

// statusOf is the exit status for what a command returned.
func statusOf(err error) int {
	var status *statusError
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE): // whoever read our output has enough
		return statusDone
	case errors.Is(err, errInterrupted):
		return statusInterrupted
	case errors.As(err, &status):
		return status.status
	case errors.As(err, &usage), errors.Is(err, blaze.ErrTopic):
		return statusUsage
	case errors.Is(err, blaze.ErrUnknownOutcome):
		return statusUnknown
	case errors.Is(err, blaze.ErrNoSuchMember), errors.Is(err, blaze.ErrNoConsumer), errors.Is(err, blaze.ErrNoQuorum), errors.Is(err, jms.ErrNotHeld):
		return statusNobody
	case errors.Is(err, blaze.ErrLocked), errors.Is(err, blaze.ErrVersion), errors.Is(err, blaze.ErrNotOwner):
		return statusCondition
	case errors.Is(err, blaze.ErrArgument), errors.Is(err, jms.ErrInvalidSelector):
		return statusUsage
	case errors.Is(err, context.DeadlineExceeded):
		return statusTime
	}
	return statusFailed
}

// messageOf is the line on standard error for what a command returned. It is empty where the status alone
// says all: after an interrupt, and when nobody reads the output any more.
func messageOf(err error) string {
	if err == nil || errors.Is(err, errInterrupted) || errors.Is(err, syscall.EPIPE) {
		return ""
	}
	text := strings.ReplaceAll(strings.ReplaceAll(err.Error(), "blaze: ", ""), "jms: ", "")
	text = strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "time is up")
	if !strings.HasPrefix(text, "blaze ") { // the name of a command
		text = "blaze: " + text
	}
	return oneLine(text)
}
