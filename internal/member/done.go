package member

import (
	"encoding/binary"
	"time"

	"github.com/activeblaze/blaze/clock"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// Done is what became of an item of a queue.
type Done struct {
	Queue   string
	From    wire.MemberID
	Call    uint64
	Attempt uint32
	Result  wire.Result
	Took    time.Duration // that the handler had it
}

// Done leaves a Done for the first engine, which is to be woken then; false: the command ring is full, or
// closed.
func (m *Member) Done(d *Done) bool {
	var b [doneBytes]byte
	binary.LittleEndian.PutUint32(b[:], d.Attempt)
	binary.LittleEndian.PutUint64(b[4:], uint64(d.Took))
	b[12] = byte(d.Result)
	return m.Command(commandDone, d.Call, d.From, d.Queue, b[:])
}

const doneBytes = 4 + 8 + 1

func takeDone(now clock.Time, p *group.Protocol, c *Command) {
	b := c.Payload
	p.DoneIn(now, c.Name, c.To, c.Call, binary.LittleEndian.Uint32(b), wire.Result(b[12]), time.Duration(binary.LittleEndian.Uint64(b[4:])))
}
