package xdp

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/wire"
)

// inLane is a datagram of lane.
func inLane(cluster uint64, lane uint32, n int) []byte {
	b := datagram(cluster, 1, n)
	b[43], b[44] = byte(lane), byte(lane>>8)
	return b
}

// withStart is a datagram of lane that begins with a frame of n bytes and ends with a Start.
func withStart(cluster uint64, lane uint32, tag byte, n int) []byte {
	b := inLane(cluster, lane, n)
	if n > 0 {
		b[47] = tag
	}
	return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Age: 7, Lanes: 8})
}

// everyOther is n lanes that do not touch.
func everyOther(n int) (lanes [][2]uint32) {
	for i := range n {
		lanes = append(lanes, [2]uint32{uint32(2 * i), uint32(2 * i)})
	}
	return lanes
}

// from is more, and all lanes from first on.
func from(first uint32, more ...uint32) [][2]uint32 {
	return append(only(more...), [2]uint32{first, 1<<16 - 1})
}

// only is these lanes.
func only(lanes ...uint32) [][2]uint32 {
	ranges := [][2]uint32{}
	for _, l := range lanes {
		ranges = append(ranges, [2]uint32{l, l})
	}
	return ranges
}

// What the group carries and this member does not want stays out of its sockets, and reaches
// others of its host.
func TestUnwantedIsDroppedAtTheOwnSocket(t *testing.T) {
	na, nb := pair(t)
	cb := testConfig(1)
	cb.Lanes = only(2, 0x1234)
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
		lanes           [][2]uint32
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
		{"none is", only(), inLane(cb.Cluster, 2, 8), false, true, 1},
		{"more than are compared", everyOther(maxCheckedRuns + 1), inLane(cb.Cluster, 3, 8), true, true, 1},
		{"as many as are", everyOther(maxCheckedRuns), inLane(cb.Cluster, 3, 8), false, true, 1},
		{"the last that is compared", everyOther(maxCheckedRuns), inLane(cb.Cluster, 2*maxCheckedRuns-2, 8), true, false, 0},
		{"below a run", from(8, 5, 2), inLane(cb.Cluster, 1, 8), false, true, 1},
		{"between runs", from(8, 5, 2), inLane(cb.Cluster, 7, 8), false, true, 1},
		{"in a run", from(8, 5, 2), inLane(cb.Cluster, 0x4321, 8), true, false, 0},
		{"a Start", cb.Lanes, withStart(cb.Cluster, 3, 0, 0), true, true, 1},
		{"a Start behind a heartbeat", cb.Lanes, withStart(cb.Cluster, 3, 0x72, 57), true, true, 1},
		{"a Start behind data", cb.Lanes, withStart(cb.Cluster, 3, 0x62, 57), false, true, 1},
		{"a Start that is cut short", cb.Lanes, withStart(cb.Cluster, 3, 0, 0)[:81], false, true, 1},
		{"a Start and another frame", cb.Lanes, append(withStart(cb.Cluster, 3, 0, 0), 0x8a, 1, 0), false, true, 1},
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

// The classic filter alone, over loopback: it takes what comes on another way than through the XDP
// program, such as by a queue without a socket.
func TestWantedFilterByLane(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	const cluster = 0x1122334455667788
	for _, row := range []struct {
		lanes        [][2]uint32
		wanted, rest []uint32
	}{
		{nil, []uint32{0, 1, 65535}, nil},
		{only(), nil, []uint32{0, 1, 65535}},
		{only(3), []uint32{3}, []uint32{0, 2, 4, 0x300, 0x303, 65535}},
		{only(0x1234, 2, 2), []uint32{2, 0x1234}, []uint32{0x3412, 0x1233, 0x1235, 0x34, 0x202, 3}},
		{from(8, 5, 2, 1), []uint32{1, 2, 5, 8, 9, 255, 256, 0x8000, 65535}, []uint32{0, 3, 4, 6, 7}},
		{from(64), []uint32{64, 0x4000, 65535}, []uint32{0, 1, 63}},
		{everyOther(maxCheckedRuns), []uint32{0, 2, 2*maxCheckedRuns - 2}, []uint32{1, 2*maxCheckedRuns - 1, 2 * maxCheckedRuns, 65534}},
	} {
		if err2 := raw.Control(func(fd uintptr) {
			err = (&kernelSockets{own: -1, group: int(fd)}).want(cluster, row.lanes)
		}); err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		comes := func(lane uint32) bool {
			end := []byte("end")
			for _, b := range [][]byte{inLane(cluster, lane, 20), end} {
				if _, err := c.WriteTo(b, c.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			for n := 0; ; n++ {
				var b [2048]byte
				c.SetReadDeadline(time.Now().Add(5 * time.Second))
				size, err := c.Read(b[:])
				if err != nil {
					t.Fatal(err)
				}
				if size == len(end) {
					return n == 1
				}
			}
		}
		for _, l := range row.wanted {
			if !comes(l) {
				t.Errorf("%d runs: lane %#x did not come", len(runsOf(row.lanes)), l)
			}
		}
		for _, l := range row.rest {
			if comes(l) {
				t.Errorf("%d runs: lane %#x came", len(runsOf(row.lanes)), l)
			}
		}
	}
}
