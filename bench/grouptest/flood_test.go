package grouptest

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/activeblaze/blaze"
	"github.com/activeblaze/blaze/bench/groupmember"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// Five members make requests in a ring, and one of them gets 100,000 forged Hellos a second: no request
// fails, nobody is removed, and the table of the one that is flooded keeps to its bounds.
func TestFloodOfHellos(t *testing.T) {
	duration, rate := 5*time.Second, 100_000
	if testing.Short() {
		duration, rate = 300*time.Millisecond, 20_000
	}
	p := newPlan(t)
	all := p.together(t, 5, nil)
	doAll(t, all, groupmember.Command{Do: groupmember.DoHandle, Quiet: true})
	list := do(t, all[0], groupmember.Command{Do: groupmember.DoMembers}).Members
	var target netip.AddrPort
	for _, m := range list {
		if m.ID == all[0].ID {
			target = netip.MustParseAddrPort(m.Addr)
		}
	}
	var waits []func() groupmember.Answer
	for i, m := range all {
		wait := m.Go(groupmember.Command{Do: groupmember.DoRequest, To: all[(i+1)%len(all)].ID, Every: time.Millisecond, For: duration + 200*time.Millisecond})
		waits = append(waits, func() groupmember.Answer { return finish(t, wait) })
	}
	sent := flood(t, target, p.Cluster, rate, duration)
	t.Logf("%d forged Hellos in %v", sent, duration)
	for i, wait := range waits {
		a := wait()
		t.Logf("%s: %d requests, the longest took %v", all[i].Order.Name, a.Count, a.Longest)
		if a.Failed > 0 || a.Count == 0 {
			t.Errorf("%s: %d requests ended well, %d did not: %q", all[i].Order.Name, a.Count, a.Failed, a.Errors)
		}
	}
	for i, a := range doAll(t, all, groupmember.Command{Do: groupmember.DoLog}) {
		for _, e := range a.Log {
			for _, m := range all {
				if e.ID == m.ID && (e.Kind == blaze.MemberFailed.String() || e.Kind == blaze.MemberStopped.String()) {
					t.Errorf("%s reported that %s %s", all[i].Order.Name, m.Order.Name, e.Kind)
				}
			}
		}
	}
	stats := do(t, all[0], groupmember.Command{Do: groupmember.DoStats})
	s, err := stats.Group()
	if err != nil {
		t.Fatal(err)
	}
	refused := uint64(0)
	for _, n := range s.Drops {
		refused += n
	}
	t.Logf("the flooded one: %d Hellos came, %d datagrams refused, %d members, %d unconfirmed", s.HellosHeard, refused, s.Members, s.Unconfirmed)
	if refused == 0 {
		t.Error("the flooded one has refused nothing: the forged Hellos do not arrive")
	}
	if s.Unconfirmed > 32 || s.Members > 5+32 {
		t.Errorf("the flooded one has %d members, %d of them unconfirmed", s.Members, s.Unconfirmed)
	}
}

// flood sends forged Hellos to one address, from a socket that answers nothing, at most rate a second.
func flood(t *testing.T, to netip.AddrPort, cluster string, rate int, d time.Duration) (sent int) {
	t.Helper()
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for began := time.Now(); ; {
		passed := time.Since(began)
		if passed >= d {
			return sent
		}
		for due := int(passed.Seconds() * float64(rate)); sent < due; sent++ {
			var id wire.MemberID
			binary.LittleEndian.PutUint64(id[:], rng.Uint64())
			binary.LittleEndian.PutUint64(id[8:], rng.Uint64())
			b = wire.AppendHeader(b[:0], wire.Header{Cluster: wire.ClusterHash(cluster), Transmitter: id, Stream: group.Stream})
			b = wire.AppendHello(b, &wire.Hello{Ask: sent%2 == 0, Nonce: rng.Uint64(), Record: wire.Record{
				ID: id, Started: rng.Uint64(), Address: 127<<40 | 1<<16 | rng.Uint64N(1<<16), Interval: 20_000,
			}}, wire.RecordLists(nil).AppendGroup("forged"))
			wire.Seal(b)
			if _, err := c.Write(b); err != nil {
				continue // refused, since the socket's queue is full or nobody is there any more
			}
		}
		time.Sleep(200 * time.Microsecond)
	}
}
