package sim

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/group"
	"github.com/activeblaze/blaze/wire"
)

// forger writes group datagrams that nobody should send, well-formed and with a valid CRC.
type forger struct {
	c     *GroupCluster
	rng   *rand.Rand
	leave bool // Leaves in the name of others too
	high  bool // incarnations far above those that are known too
	count uint64
}

// member draws an id: of a member that runs, or made up.
func (f *forger) member() (id wire.MemberID, incarnation uint32, live bool) {
	if m := f.c.Members[f.rng.IntN(len(f.c.Members))]; f.rng.IntN(2) == 0 && m.Alive() {
		return m.id, f.incarnation(m.Protocol.Incarnation()), true
	}
	f.count++
	binary.LittleEndian.PutUint64(id[:], f.count%5000<<20|1)
	binary.LittleEndian.PutUint64(id[8:], 0xBAD)
	return id, f.incarnation(0), false
}

func (f *forger) incarnation(is uint32) uint32 {
	draw := f.rng.IntN(12)
	switch {
	case draw == 0:
		return is + 1
	case draw == 1 && f.high:
		return is + 1000
	case draw == 2 && f.high:
		return is + 1001
	case draw == 3 && f.high:
		return math.MaxUint32
	}
	return is
}

func (f *forger) record(id wire.MemberID, incarnation uint32) (wire.Record, wire.RecordLists) {
	r := wire.Record{ID: id, Incarnation: incarnation, Version: f.rng.Uint32N(3), Started: f.rng.Uint64(), Address: f.rng.Uint64N(1 << 8),
		Interval: wire.MinInterval + f.rng.Uint32N(wire.MaxInterval-wire.MinInterval)}
	if f.rng.IntN(4) == 0 {
		r.Partial = true
		return r, nil
	}
	return r, wire.RecordLists(nil).AppendGroup("a").AppendGroup("z")
}

func (f *forger) datagram() []byte {
	id, incarnation, live := f.member()
	b := wire.AppendHeader(nil, wire.Header{Cluster: wire.ClusterHash("sim"), Transmitter: id, Incarnation: incarnation, Stream: group.Stream})
	switch f.rng.IntN(6) {
	case 0:
		r, lists := f.record(id, incarnation)
		b = wire.AppendHello(b, &wire.Hello{Ask: f.rng.IntN(2) == 0, Attempt: uint8(f.rng.IntN(256)), Nonce: f.rng.Uint64(), Record: r}, lists)
	case 1:
		b = wire.AppendBeat(b, wire.Beat{Version: f.rng.Uint32N(4), Interval: wire.MinInterval + f.rng.Uint32N(wire.MaxInterval-wire.MinInterval),
			Members: 1, Digest: f.rng.Uint64(), Stall: f.rng.Uint32()})
	case 2:
		var records []byte
		for range f.rng.IntN(20) {
			o, i, _ := f.member()
			r, lists := f.record(o, i)
			records = wire.AppendTableRecord(records, &r, lists)
		}
		b = wire.AppendMembers(b, &wire.Table{Compare: f.rng.IntN(2) == 0, More: f.rng.IntN(2) == 0}, records)
	case 3:
		o, i, _ := f.member()
		b = wire.AppendProbe(b, wire.Probe{To: o, Kind: wire.ProbeKind(1 + f.rng.IntN(9)), Incarnation: i, Nonce: f.rng.Uint64()})
	default:
		var about []wire.About
		for range 1 + f.rng.IntN(30) {
			o, i, _ := f.member()
			about = append(about, wire.About{ID: o, Incarnation: i, Kind: wire.AboutKind(1 + f.rng.IntN(6)), Age: f.rng.Uint32()})
			if a := &about[len(about)-1]; live && !f.leave && a.Kind == wire.AboutLeave {
				a.Kind = wire.AboutLeft
			}
		}
		b = wire.AppendWord(b, about)
	}
	wire.Seal(b)
	return b
}

// TestGroupHostile: GM-6. A host floods a group with forgeries, in the names of members and of such as never
// were. All tables keep to their bounds, and are right 2 s after the end.
func TestGroupHostile(t *testing.T) {
	RunGroups(t, 200, func(t *testing.T, s *GroupCluster) {
		s.Begin(3+int(s.Seed%5), 0)
		f := &forger{c: s, rng: rand.New(rand.NewPCG(s.Seed, 0xBAD)), high: s.Seed%4 == 3}
		if f.high {
			s.Within = 30 * time.Second // members go up a thousand at a time, ten times a second
		}
		d := s.Net.Attach(len(s.Members))
		end := s.Net.Now().Add(time.Second)
		var flood func()
		flood = func() {
			if s.Net.Now() >= end {
				return
			}
			for range 1 + f.rng.IntN(10) {
				to := buf.Group
				if m := s.Members[f.rng.IntN(len(s.Members))]; f.rng.IntN(2) == 0 {
					to = m.Driver.Local()
				}
				if b := f.datagram(); len(b) <= d.Datagram() {
					d.Inject(to, b)
				}
			}
			for _, m := range s.Members {
				st := m.Protocol.Stats()
				if st.Members > group.MaxMembers || st.Tombstones > group.MaxTombstones || st.Unconfirmed > group.MaxUnconfirmed {
					t.Fatalf("node %d: %d members, %d tombstones, %d unconfirmed", m.Node, st.Members, st.Tombstones, st.Unconfirmed)
				}
			}
			s.Net.After(time.Duration(f.rng.ExpFloat64()*float64(300*time.Microsecond)), flood)
		}
		flood()
		s.For(time.Second)
		d.Close()
		// A forged event is an event: what was told of forgeries is not judged, what is at the end is.
		s.Forged = true
		s.Heal()
		s.Settle()
	})
}
