package abi

import (
	"context"
	"errors"

	"github.com/activeblaze/blaze"
)

// Errors that the Go API does not have.
var (
	// ErrHandle means that a handle was closed, is 0, or names something of another kind.
	ErrHandle = errors.New("blaze: bad handle")

	// ErrNotFound means that there is no such key, member or master.
	ErrNotFound = errors.New("blaze: not found")

	// ErrTimeout means that a timeout ended a wait.
	ErrTimeout = errors.New("blaze: timeout")
)

// Codes of blaze.h that are no error's of the Go API. blaze.c alone returns CodeForked.
const (
	OK           = 0
	CodeHandle   = -20
	CodeTimeout  = -21
	CodeForked   = -22
	CodeNotFound = -23
	CodeFailed   = -24 // all that is none of the others
)

// codes are the errors and their codes, as in blaze.h. Of an error that matches several the first one here is its code.
var codes = []struct {
	err  error
	code int
}{
	{blaze.ErrUnknownOutcome, -12},
	{ErrHandle, CodeHandle},
	{blaze.ErrNoSuchMember, -5},
	{blaze.ErrNoConsumer, -6},
	{blaze.ErrState, -1},
	{blaze.ErrClosed, -2},
	{blaze.ErrBackPressure, -3},
	{blaze.ErrTooLarge, -4},
	{blaze.ErrNoReply, -7},
	{blaze.ErrExists, -8},
	{blaze.ErrConfig, -17},
	{blaze.ErrTopic, -9},
	{blaze.ErrKind, -10},
	{blaze.ErrNoQuorum, -11},
	{blaze.ErrLocked, -13},
	{blaze.ErrNotOwner, -14},
	{blaze.ErrVersion, -15},
	{blaze.ErrArgument, -16},
	{blaze.ErrUnsupported, -18},
	{blaze.ErrMalformed, -19},
	{ErrNotFound, CodeNotFound},
	{ErrTimeout, CodeTimeout},
	{context.DeadlineExceeded, CodeTimeout},
	{context.Canceled, CodeTimeout},
}

// Code returns an error's code, 0 for nil, and a bit for each code that it matches: bit n is code −n.
func Code(err error) (code int, matches uint64) {
	if err == nil {
		return OK, 0
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			if code == OK {
				code = c.code
			}
			matches |= 1 << -c.code
		}
	}
	if code == OK {
		return CodeFailed, 1 << -CodeFailed
	}
	return code, matches
}
