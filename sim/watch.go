package sim

import (
	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/check"
	"github.com/activeblaze/blaze/wire"
)

// watcher records what is on the wire, for the checkers of traffic: first transmissions,
// repairs, NAKs, heartbeats and lost copies. It decodes each datagram once.
type watcher struct {
	c        *Cluster
	frame    wire.Datagram
	stream   check.Stream // of the Data in the datagram that is being sent; Unknown: none
	number   uint64
	repair   bool
	statuses uint64
	naks     uint64
}

func (w *watcher) sent(d *Driver, b []byte, to buf.Endpoint) {
	if w.c.print != nil {
		w.printSent(d, b, to)
	}
	w.stream = check.Unknown
	if wire.Decode(b, &w.frame) != nil {
		return
	}
	log, at := w.c.Log, w.c.Net.Now()
	p := log.ProcOf(w.frame.Transmitter)
	if p == check.Nobody {
		return
	}
	s := log.Find(w.frame.Transmitter, w.frame.Stream)
	frames := w.frame.Frames()
	for i := range frames {
		switch f := &frames[i]; f.Kind {
		case wire.FrameData:
			data := f.Data()
			if s == check.Unknown {
				continue
			}
			w.stream, w.number = s, data.Number
			if w.repair = data.Number <= log.Streams[s].Emitted; w.repair {
				log.Wire(at, check.RepairSent, p, s, data.Number, len(b))
			} else {
				log.Emitted(at, s, data.Number, data.FirstMessage+uint64(data.Count)-1, len(b))
			}
		case wire.FrameRepair:
			if s != check.Unknown {
				log.Wire(at, check.ParitySent, p, s, 0, len(b))
			}
		case wire.FrameNak:
			w.naks++
			nak := f.Nak()
			log.Wire(at, check.NakSent, p, log.Find(nak.Origin, w.frame.Stream), 0, len(b))
		case wire.FrameHeartbeat:
			if s != check.Unknown {
				log.Wire(at, check.BeatSent, p, s, f.Heartbeat().Last, len(b))
			}
		case wire.FrameStatus:
			w.statuses++
		}
	}
}

func (w *watcher) lost(to *Driver) {
	if w.c.print != nil {
		w.printLost(to)
	}
	if w.stream == check.Unknown {
		return
	}
	m := w.c.Members[to.node]
	if !m.Alive() || m.Driver != to {
		return
	}
	again := 0
	if w.repair {
		again = 1
	}
	w.c.Log.Wire(w.c.Net.Now(), check.CopyLost, m.Proc, w.stream, w.number, again)
}
