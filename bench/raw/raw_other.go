//go:build !linux

package raw

import (
	"context"
	"fmt"
)

var errLinux = fmt.Errorf("%w: bare sockets are measured on Linux only", ErrUnsupported)

// Latency needs Linux.
func Latency(context.Context, Config, func(ns int64)) (Pings, error) { return Pings{}, errLinux }

// Responder needs Linux.
func Responder(context.Context, Config) error { return errLinux }

// Sender needs Linux.
func Sender(context.Context, Config) (Sent, error) { return Sent{}, errLinux }

// Receiver needs Linux.
func Receiver(context.Context, Config) (Received, error) { return Received{}, errLinux }
