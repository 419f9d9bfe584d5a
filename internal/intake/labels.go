package intake

import (
	"context"
	"runtime/pprof"
)

// Labels are what profiles show a handler's goroutine by.
type Labels struct{ Channel, Subscription string }

// set labels the calling goroutine, and those that it starts.
func (l *Labels) set() {
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels(
		"blaze_channel", l.Channel, "blaze_part", "handler", "blaze_subscription", l.Subscription)))
}
