package nack

import "github.com/activeblaze/blaze/wire"

// Hears tells whether something is remembered of what member sent: a stream that lives or may go
// on, or one that is over and whose late datagrams are still known for what they are. When it is
// false the next datagram of that member would begin a stream anew.
func (p *Protocol) Hears(member wire.MemberID) bool {
	for _, s := range p.streams {
		if s.from == member {
			return true
		}
	}
	return false
}
