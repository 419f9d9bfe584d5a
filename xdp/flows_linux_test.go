package xdp

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/internal/ip4"
	"github.com/activeblaze/blaze/internal/testnet"
)

// Three members on a switch, all sending to the group and to each other at once: each hears every
// flow whole and in order, with either socket and with both mixed.
func TestSeveralFlows(t *testing.T) {
	testnet.NeedAFXDP(t)
	const members, count = 3, 2000
	for _, kinds := range [][members]string{{"own", "own", "own"}, {"asavie", "asavie", "asavie"}, {"own", "asavie", "own"}} {
		t.Run(strings.Join(kinds[:], " "), func(t *testing.T) {
			if runtime.GOARCH != "amd64" && kinds[1] == "asavie" {
				t.Skip("asavie/xdp is for amd64 only")
			}
			hub := testnet.NewHub(t)
			var drivers [members]*Driver
			for i := range drivers {
				cfg := testConfig(0)
				cfg.Socket = kinds[i]
				drivers[i] = (&namespace{hub.Member()}).open(t, cfg)
			}
			number := map[buf.Endpoint]int{}
			for i, d := range drivers {
				number[d.Local()] = i
			}
			// sent[i][j] and heard[j][i] are of the flow from i to j; i to i is i's to the group.
			var sent [members][members]uint64
			var heard [members][members + 1][members]uint64
			data := datagram(testConfig(0).Cluster, 0, 200)
			var batch [64]buf.Received
			receive := func(j int) (all bool) {
				for _, r := range batch[:drivers[j].Recv(batch[:])] {
					i, known := number[r.From]
					flow := j
					if r.Group {
						flow = members
					}
					if n := binary.LittleEndian.Uint64(r.Buf.Bytes()[47:]); !known || n != heard[j][flow][i] {
						t.Fatalf("member %d: datagram %d of flow %d from member %d instead of %d", j, n, flow, i, heard[j][flow][i])
					}
					heard[j][flow][i]++
				}
				for i := range members {
					if i != j && (heard[j][j][i] < count || heard[j][members][i] < count) {
						return false
					}
				}
				return true
			}
			// The first of each flow alone, until hardware addresses are known: what the kernel's
			// socket sends may be overtaken.
			for i, d := range drivers {
				for j, to := range drivers {
					if i == j {
						continue
					}
					binary.LittleEndian.PutUint64(data[47:], 0)
					send(t, d, to.Local(), data)
					sent[i][j]++
					wait(t, "the first of a flow", func() bool { receive(j); return heard[j][j][i] == 1 })
				}
			}
			wait(t, "hardware addresses", func() bool {
				for i, d := range drivers {
					if receive(i); d.Stats().Neighbours == 0 {
						return false
					}
				}
				return true
			})
			wait(t, "all flows", func() bool {
				done := true
				for i, d := range drivers {
					for j := range drivers {
						for burst := 0; burst < 8 && sent[i][j] < count; burst++ {
							to := buf.Group
							if i != j {
								to = drivers[j].Local()
							}
							binary.LittleEndian.PutUint64(data[47:], sent[i][j])
							send(t, d, to, data)
							sent[i][j]++
						}
					}
					done = receive(i) && done
				}
				return done
			})
			for i, d := range drivers {
				if s := d.Stats(); s.RecvInvalid+s.KernelDropped+s.SendDropped != 0 {
					t.Errorf("member %d: %+v", i, s)
				}
				account(t, d)
			}
		})
	}
}

// logged is a log that tests look into.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) has(s string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), s)
}

// The interface loses its address and gets another: counted and told, and what goes past the kernel
// goes on.
func TestAddressChanges(t *testing.T) {
	both(t, func(t *testing.T, na, nb *namespace, config func(int) Config) {
		var log logged
		ca := config(0)
		ca.Logger = slog.New(slog.NewTextHandler(&log, nil))
		a, b := na.open(t, ca), nb.open(t, config(1))
		data := datagram(ca.Cluster, 1, 64)
		flows := func(when string) {
			t.Helper()
			send(t, a, buf.Group, data)
			if r := expect(t, b); r.From != a.Local() {
				t.Errorf("%s: from %v", when, ip4.Addr(r.From))
			}
			send(t, b, a.Local(), data)
			if r := expect(t, a); r.Group {
				t.Errorf("%s: came through the group", when)
			}
		}
		flows("before")
		var none [1]buf.Received
		changes := func(n uint64) {
			t.Helper()
			wait(t, "the change to be counted", func() bool { a.Recv(none[:]); return a.Stats().Addresses >= n })
		}
		na.ip(t, "addr del 10.9.0.1/24 dev v0")
		changes(1)
		flows("without an address")
		wait(t, "a warning", func() bool { return log.has("level=WARN") && log.has("10.9.0.1") && log.has("restart") })
		na.ip(t, "addr add 10.9.0.77/24 dev v0")
		changes(2)
		flows("with another address")
		na.ip(t, "addr add 10.9.0.1/24 dev v0")
		changes(3)
		flows("with the first one again")
		if a.State() != Up {
			t.Error(a.State())
		}
		for _, d := range []*Driver{a, b} { // for the other socket
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		na.ip(t, "addr flush dev v0")
		na.ip(t, "addr add 10.9.0.1/24 dev v0")
	})
}

// asavie/xdp owns packet memory, so that its socket cannot be replaced: when the interface was
// removed the member stays down, says so, and does no harm.
func TestInterfaceRemovedUnderAsavie(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("asavie/xdp is for amd64 only")
	}
	na, nb := pair(t)
	var log logged
	cfg := testConfig(0)
	cfg.Socket, cfg.Logger = "asavie", slog.New(slog.NewTextHandler(&log, nil))
	a := na.open(t, cfg)
	data := datagram(cfg.Cluster, 1, 64)
	held := fill(t, a, data)
	na.ip(t, "link del v0")
	var none [1]buf.Received
	wait(t, "the interface to go", func() bool {
		send(t, a, buf.Group, data)
		a.Recv(none[:])
		return a.State() == Gone && a.attachment == nil
	})
	join(t, na, nb)
	wait(t, "a warning", func() bool {
		send(t, a, buf.Group, data)
		a.Recv(none[:])
		return log.has("restart the member")
	})
	if !bytes.Equal(held.Bytes(), data) {
		t.Error("what is held has changed")
	}
	held.Release()
	if s := a.Stats(); a.State() != Gone || s.SendDown == 0 {
		t.Errorf("%v, %+v", a.State(), s)
	}
}
