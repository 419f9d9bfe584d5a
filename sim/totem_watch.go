package sim

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// ringWatcher records the data of rings that is on the wire: what is new, and what is sent again or recovered.
type ringWatcher struct {
	c         *RingCluster
	frame     wire.Datagram
	sequenced map[placed]bool
}

// placed is the place of a datagram in a ring.
type placed struct {
	ring   wire.RingKey
	number uint64
}

func (w *ringWatcher) sent(_ *Driver, b []byte, _ buf.Endpoint) {
	if wire.Decode(b, &w.frame) != nil {
		return
	}
	var at placed
	data, way := false, check.RingAgain // without a Ring it is a part of a datagram, which shows no place
	frames := w.frame.Frames()
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case wire.FrameData:
			data, at.number = true, f.Data().Number
		case wire.FrameRing:
			g := f.Ring()
			if at.ring = g.Key; g.Recovered {
				at.number = g.Number
			}
			switch {
			case w.sequenced[at]:
			case g.Recovered:
				way = check.RingRecovered
			default:
				way = check.RingFresh
			}
		}
	}
	if !data {
		return
	}
	w.sequenced[at] = true
	w.c.Log.Wire(w.c.Net.Now(), way, len(b))
}

func (w *ringWatcher) lost(*Driver) {}
