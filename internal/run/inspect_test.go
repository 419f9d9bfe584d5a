package run

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"github.com/activeblaze/blaze/buf"
	"github.com/activeblaze/blaze/engine"
	"github.com/activeblaze/blaze/internal/member"
	"github.com/activeblaze/blaze/nack"
	"github.com/activeblaze/blaze/wire"
)

// beating is a silence that notes when the last heartbeat said that it was sent.
type beating struct {
	*silence
	sentAt atomic.Uint64
}

func (d *beating) Send(b []buf.Send) (int, error) {
	var in wire.Datagram
	for _, s := range b {
		if wire.Decode(s.Buf.Bytes(), &in) != nil {
			continue
		}
		for i := range in.Frames() {
			if f := &in.Frames()[i]; f.Kind == wire.FrameHeartbeat {
				d.sentAt.Store(f.Heartbeat().SentAt)
			}
		}
	}
	return d.silence.Send(b)
}

// crowd is a member with a stream of 1,024 receivers that receives 256 streams.
func crowd(t testing.TB, r *Run, d *beating) {
	step := func(from int, id wire.StreamID, frame func([]byte) []byte) {
		h := wire.Header{Cluster: 7, Stream: id}
		binary.BigEndian.PutUint32(h.Transmitter[:], uint32(1000+from))
		b := frame(wire.AppendHeader(nil, h))
		wire.Seal(b)
		var in wire.Datagram
		if err := wire.Decode(b, &in); err != nil {
			t.Fatal(err)
		}
		_ = r.Do(func() {
			_ = r.member.Nack().Step(engine.Now(), &in, buf.Received{From: buf.Endpoint(from + 2), Group: true})
		})
	}
	for end := engine.Now().Add(5 * time.Second); d.sentAt.Load() == 0 && engine.Now() < end; time.Sleep(time.Millisecond) {
		r.Turn()
	}
	lane := r.member.Lanes()[0]
	for i := range 1024 {
		step(i, lane.ID, func(b []byte) []byte {
			return wire.AppendStatus(b, wire.Status{Origin: wire.MemberID{1}, Next: 1, Highest: 1, Limit: 100 + uint64(i), Echo: d.sentAt.Load(), Missed: uint64(i)})
		})
	}
	for i := range 256 {
		step(i, wire.NewStreamID(wire.NACK, 1), func(b []byte) []byte {
			return wire.AppendStart(b, wire.Start{First: 1, FirstMessage: 1, Lanes: 1})
		})
	}
}

// However many streams and receivers there are, a turn copies one stream, or 128 receivers. All are there, once.
func TestLookIsBoundedWorkForATurn(t *testing.T) {
	both(t, func(t *testing.T, cfg Config, d *silence) {
		beats := &beating{silence: d}
		cfg.Member.Driver = beats
		r, _ := start(t, cfg)
		crowd(t, r, beats)
		most, pieces := 0, 0
		_ = r.Do(func() { r.looked = func(rows int) { most, pieces = max(most, rows), pieces+1 } })
		p, err := r.Look()
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Sending) != 1 || len(p.Sending[0].Receivers) != 1024 || len(p.Engines[0].Receiving) != 256 {
			t.Fatalf("%d streams sent, %d received", len(p.Sending), len(p.Engines[0].Receiving))
		}
		if most != receiverPiece || pieces < 1024/receiverPiece+256 {
			t.Errorf("%d rows in %d pieces, at most %d", 1024+256, pieces, most)
		}
		seen := map[wire.MemberID]bool{}
		for i, v := range p.Sending[0].Receivers {
			seen[v.Member] = true
			if v.Missed != uint64(i) || v.Limit != 100+uint64(i) {
				t.Errorf("receiver %d: %+v", i, v)
			}
		}
		for _, v := range p.Engines[0].Receiving {
			seen[v.From] = true
		}
		if len(seen) != 1024 {
			t.Errorf("%d members, want 1024", len(seen))
		}
		stop(r, 0)
		if _, err := r.Look(); err != ErrClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}

// What one turn copies takes far less than the 50 µs by which a turn may become longer.
func BenchmarkLookReceivers(b *testing.B) {
	d := &beating{silence: newSilence()}
	cfg := Config{Invoker: true, Member: member.Config{
		ID: wire.MemberID{1}, Cluster: 7, Driver: d, Table: member.NewTable(),
		Pool:     buf.NewPool(nack.Buffers(window, d.Datagram(), 4, 1), d.Datagram()+nack.Headroom),
		Protocol: wire.NACK, Lanes: 1, Window: window, MaxMessageSize: 1 << 20, Eviction: time.Hour, CPU: -1,
	}}
	r, err := Start(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Topic("a"); err != nil {
		b.Fatal(err)
	}
	crowd(b, r, d)
	core, into := r.member.Nack(), make([]nack.ReceiverView, receiverPiece)
	b.ReportAllocs()
	for i := range b.N {
		core.LookReceivers(0, 1024-i%8*receiverPiece, into)
	}
}
