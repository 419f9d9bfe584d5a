package udp

import "time"

// Wait sleeps until there is something to receive, Wake is called or limit has passed; a negative
// limit means for ever. It may return early. Other goroutines run meanwhile.
func (d *Driver) Wait(limit time.Duration) {
	if !d.own.empty() || !d.group.empty() || d.own.fd < 0 {
		return
	}
	if !d.sleeper.LieDown() {
		d.stats.Wakes++
		return
	}
	d.stats.Waits++
	d.LookAtAll()
	d.own.found, d.group.found = batchAfter, batchAfter // what wakes it is often more than one packet
	if _, woken := d.sleeper.Doze(d.poll[:], limit); woken {
		d.stats.Wakes++
	}
}

// Wake ends the current Wait, or the next one. It may be called from any goroutine at any
// time, also after Close, and costs one load or one atomic exchange while nobody sleeps.
func (d *Driver) Wake() { d.sleeper.Wake() }
