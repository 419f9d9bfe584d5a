package group

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// pairs is the traffic from this member to single others.
type pairs struct{}

// pair is that to one of them.
type pair struct{}

func newPairs(*Protocol) *pairs { return &pairs{} }

func (x *pairs) step(clock.Time, *wire.Datagram, *wire.Frame, buf.Received, *entry) error { return nil }
func (x *pairs) stranger(clock.Time, *wire.Datagram, *wire.Frame, buf.Received)           {}
func (x *pairs) gone(clock.Time, *entry, gone)                                            {}
func (x *pairs) returned(clock.Time, *entry)                                              {}
func (x *pairs) removedThere(e *entry, incarnation uint32)                                { e.floor = max(e.floor, incarnation+1) }
func (x *pairs) tick(clock.Time)                                                          {}
func (x *pairs) deadline() clock.Time                                                     { return 0 }
func (x *pairs) pollControl(clock.Time) (s buf.Send, ok bool)                             { return s, false }
func (x *pairs) poll(clock.Time) (s buf.Send, ok bool)                                    { return s, false }
func (x *pairs) flush(clock.Time)                                                         {}
func (x *pairs) deliver(clock.Time) int                                                   { return 0 }
func (x *pairs) quiet() bool                                                              { return true }
func (x *pairs) release()                                                                 {}
