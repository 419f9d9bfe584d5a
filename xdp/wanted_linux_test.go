package xdp

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
)

// inLane is a datagram of lane.
func inLane(cluster uint64, lane uint32, n int) []byte {
	b := datagram(cluster, 1, n)
	b[43], b[44] = byte(lane), byte(lane>>8)
	return b
}

// What the group carries and this member does not want stays out of its sockets, and reaches
// others of its host.
func TestUnwantedIsDroppedAtTheOwnSocket(t *testing.T) {
	na, nb := pair(t)
	cb := testConfig(1)
	cb.Lanes = []uint32{2, 0x1234}
	a, b := na.open(t, testConfig(0)), nb.open(t, cb)
	var witness *net.UDPConn
	var err error
	nb.do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName("v1"); err == nil {
			witness, err = net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(cb.Group))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()

	foreign := []byte("what the kernel's socket hears, and hears behind all that was sent before")
	version := inLane(cb.Cluster, 2, 8)
	version[1] = 2
	for _, row := range []struct {
		name            string
		lanes           []uint32
		data            []byte
		arrives, passed bool // at the driver, and by the XDP program
		unwanted        uint64
	}{
		{"a lane", cb.Lanes, inLane(cb.Cluster, 2, 8), true, false, 0},
		{"another", cb.Lanes, inLane(cb.Cluster, 0x1234, 8), true, false, 0},
		{"an unwanted lane", cb.Lanes, inLane(cb.Cluster, 3, 8), false, true, 1},
		{"the same, bytes in the other order", cb.Lanes, inLane(cb.Cluster, 0x3412, 8), false, true, 1},
		{"the shortest datagram, in an unwanted lane", cb.Lanes, inLane(cb.Cluster, 0, 0), false, true, 1},
		{"another cluster", cb.Lanes, inLane(cb.Cluster+1, 3, 8), true, true, 0},
		{"another cluster, its high half", cb.Lanes, inLane(cb.Cluster+1<<32, 3, 8), true, true, 0},
		{"another version", cb.Lanes, version, true, true, 0},
		{"cut short", cb.Lanes, inLane(cb.Cluster, 3, 8)[:46], true, true, 0},
		{"empty", cb.Lanes, nil, true, true, 0},
		{"all lanes are wanted", nil, inLane(cb.Cluster, 3, 8), true, false, 0},
		{"none is", []uint32{}, inLane(cb.Cluster, 2, 8), false, true, 1},
		{"more than are compared", make([]uint32, maxCheckedLanes+1), inLane(cb.Cluster, 3, 8), true, true, 1},
		{"as many as are", make([]uint32, maxCheckedLanes), inLane(cb.Cluster, 3, 8), false, true, 1},
	} {
		if err := b.SetLanes(row.lanes); err != nil {
			t.Fatal(err)
		}
		before := b.Stats()
		send(t, a, buf.Group, row.data)
		if row.arrives {
			if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), row.data) {
				t.Errorf("%s: came as %d bytes", row.name, r.Buf.Len())
			}
		}
		send(t, a, buf.Group, foreign)
		if r := expect(t, b); !bytes.Equal(r.Buf.Bytes(), foreign) {
			t.Errorf("%s: %d bytes came, %x", row.name, r.Buf.Len(), r.Buf.Bytes())
		}
		after := b.Stats()
		if got := after.Filter.Unwanted - before.Filter.Unwanted; got != row.unwanted {
			t.Errorf("%s: %d are counted as unwanted", row.name, got)
		}
		want := [][]byte{foreign}
		if row.passed {
			want = [][]byte{row.data, foreign}
		}
		for _, data := range want {
			got := make([]byte, 2048)
			witness.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := witness.Read(got); err != nil || !bytes.Equal(got[:n], data) {
				t.Errorf("%s: another socket of the host got %x, %v", row.name, got[:n], err)
			}
		}
	}
}
