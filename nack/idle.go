package nack

// Idle tells that PollSend has nothing to hand out, MaxRate and flow control aside: no control
// datagram, no repair and no data is waiting to leave.
func (p *Protocol) Idle() bool {
	if p.next < len(p.control) {
		return false
	}
	for _, s := range p.senders {
		if s.parity.waiting() || !p.closed && (s.repairs.n > 0 || s.unsent()) {
			return false
		}
	}
	return true
}
