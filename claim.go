package blaze

import (
	"fmt"

	"github.com/activeblaze/blaze/internal/run"
	"github.com/activeblaze/blaze/wire"
)

// Claim is room for one message, to write the payload where it is sent from.
type Claim struct{ c run.Claim }

// Claim takes room for a payload of n bytes. The caller fills Bytes and then calls Commit or
// Abort, soon: what others publish on the same stream waits behind it. With Config.Invoker the
// bytes lie in the datagram itself and only one claim at a time may be open on a stream;
// without, they lie in the engine's queue, any number may be open, and any goroutine may claim.
// It fails like Offer.
func (p *Publisher) Claim(n int) (c Claim, err error) {
	st, b, err := p.bind()
	if err != nil {
		return c, err
	}
	if n < 0 || n > b.max {
		return c, p.tooLarge(b, n)
	}
	if err = st.Claim(&c.c, &b.to, wire.KindRaw, n); err != nil {
		err = outward(err)
	}
	return c, err
}

// Bytes is the room that was claimed, to be filled before Commit. Its contents are not zeroed.
func (c *Claim) Bytes() []byte { return c.c.Payload }

// Commit sends what was filled in. Stop waits for claims that are open, at most Config.Linger, and then
// takes them back: Commit returns ErrClosed, and with Config.Invoker the bytes belong to the channel
// again. A claim that was committed or aborted before is ErrState. A message of several datagrams with
// Config.Invoker may meet ErrBackPressure, and is still claimed then.
func (c *Claim) Commit() error {
	if !c.c.Open() {
		return fmt.Errorf("%w: this claim was committed or aborted before", ErrState)
	}
	return outward(c.c.Commit())
}

// Abort gives the room back. After Commit it does nothing.
func (c *Claim) Abort() { c.c.Abort() }
