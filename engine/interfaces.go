package engine

import (
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/wire"
)

// Driver moves datagrams. All methods but Wake are called from the engine's thread.
type Driver interface {
	// Recv lends up to len(batch) datagrams until its next call and never blocks. What came
	// through the group's address is handed out before what came to the member's own, so that
	// data sent before a token is seen before it.
	Recv(batch []buf.Received) int
	// Send takes batch[:n] in order. err is why it stopped short of the end, or means that some
	// of what it took was lost on this host. It is counted, and the rest is offered again.
	// References stay the caller's: a driver that sends later retains the buffers meanwhile.
	Send(batch []buf.Send) (n int, err error)
	// Wait sleeps in the kernel until a datagram can be received, Wake is called or d has
	// passed; d < 0 waits for ever. Returning early is harmless.
	Wait(d time.Duration)
	// Wake ends a Wait, also one that has not begun yet. Any goroutine may call it.
	Wake()
	// Local is the member's own address.
	Local() buf.Endpoint
	// Datagram is the largest UDP payload in bytes that fits one packet.
	Datagram() int
	// Room is how many bytes of arriving datagrams the host really buffers for this member.
	Room() int
	// Close gives back everything that the driver holds. A second call does nothing.
	Close() error
}

// PeerSetter is a Driver without multicast that members are found for while it runs. SetPeers has the group
// stand for these endpoints from now on, besides those that the driver was opened with. It keeps no
// reference to them. It is called from the engine's thread.
type PeerSetter interface {
	SetPeers(members []buf.Endpoint)
}

// Follower is a Driver that follows its interface: what can leave changes while it runs. Way is called from the
// engine's thread, in each turn. Neither of its lengths is ever more than Datagram.
type Follower interface {
	Way() buf.Way
}

// WayOf returns how datagrams can leave through a driver. Where it is no Follower that never changes.
func WayOf(d Driver) buf.Way {
	if f, ok := d.(Follower); ok {
		return f.Way()
	}
	return buf.Way{Pack: d.Datagram(), Longest: d.Datagram()}
}

// Looker is a Driver that receives from several places, and looks at some of them on every few empty Recvs only while
// turns follow each other quickly. LookAtAll has the next Recv look at all of them. It is called from the engine's thread,
// before the Recv of a turn that comes slowTurn or more after the one before.
type Looker interface {
	LookAtAll()
}

// LookAtAll calls a driver's LookAtAll, if it has one.
func LookAtAll(d Driver) {
	if l, ok := d.(Looker); ok {
		l.LookAtAll()
	}
}

// Protocol is a reliability protocol: a state machine without I/O. All calls come from the
// engine's thread, and now never goes backwards.
type Protocol interface {
	// Step takes in one datagram, decoded and checked, that another member of the cluster has
	// sent. It keeps what it needs with buf.Pool.Keep; r and d are lent for the call. An error
	// means that the datagram changed nothing. The engine counts it as DropRefused; the protocol
	// counts the reason.
	Step(now clock.Time, d *wire.Datagram, r buf.Received) error
	// Deadline returns when Tick is next needed; ok is false when nothing is pending.
	Deadline() (at clock.Time, ok bool)
	// Tick fires every deadline at or before now. Calling it early is harmless.
	Tick(now clock.Time)
	// Flush means that no command is waiting: what was kept back to be packed goes out now.
	Flush(now clock.Time)
	// PollSend hands out the next datagram to send, with one reference that passes to the
	// caller; ok is false when there is nothing that may be sent now. Control comes before data
	// wherever their order does not matter to the receivers.
	PollSend(now clock.Time) (s buf.Send, ok bool)
	// PollControl is PollSend for a control datagram (a token, a request for repair, a report, a
	// heartbeat) that may leave before all data that is still in the protocol. An engine that
	// runs several protocols sends the control of all of them first.
	PollControl(now clock.Time) (s buf.Send, ok bool)
	// Deliver hands up what could not be handed up when it came, and this member's own
	// messages. It returns the number of messages.
	Deliver(now clock.Time) int
}

// Predictor is a Protocol that can often foresee what the next datagram will look like. The engine
// first offers it each datagram as it is, undecoded. Predicted reports whether it was taken.
type Predictor interface {
	Predicted(now clock.Time, r buf.Received) bool
}

// Fitter is a Protocol that makes its datagrams fit the way. Fit is called at the beginning of a turn, when the way has
// changed.
type Fitter interface {
	Fit(now clock.Time, w buf.Way)
}

// Source is where the application's commands come from.
type Source interface {
	// Drain moves waiting commands into the protocols, a bounded number a call, and returns
	// how many.
	Drain(now clock.Time) int
	// Waiting reports whether Drain has something to do, now that the engine is about to sleep.
	Waiting() bool
}
