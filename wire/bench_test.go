package wire

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"testing"
)

// packedDatagram is a datagram with count messages of size bytes on one topic.
func packedDatagram(tb testing.TB, count, size int) []byte {
	tb.Helper()
	mem := make([]byte, 1502)
	var w DataWriter
	w.Begin(mem, 1500, testHeader(), 7, 100)
	payload := bytes.Repeat([]byte{'x'}, size)
	for range count {
		if !w.Add("market.fx.EURUSD", KindRaw, payload) {
			tb.Fatalf("%d messages of %d bytes do not fit", count, size)
		}
	}
	off, n := w.Finish()
	return mem[off : off+n]
}

func heartbeatDatagram() []byte {
	b := AppendHeartbeat(AppendHeader(nil, testHeader()), Heartbeat{First: 1, Last: 9, FirstMessage: 1, NextMessage: 10, SentAt: 5})
	Seal(b)
	return b
}

func statusDatagram() []byte {
	b := AppendStatus(AppendHeader(nil, testHeader()), Status{Origin: MemberID{1}, Next: 5, Highest: 9, Limit: 100})
	Seal(b)
	return b
}

var (
	sinkInt  int
	sinkBool bool
	sinkU64  uint64
)

// BenchmarkCRC is the part of Decode that only the hardware can make faster.
func BenchmarkCRC(b *testing.B) {
	for _, d := range [][]byte{heartbeatDatagram(), statusDatagram(), packedDatagram(b, 20, 64)} {
		b.Run(fmt.Sprintf("%dbytes", len(d)), func(b *testing.B) {
			for b.Loop() {
				sinkU64 += uint64(crc32.Update(0, castagnoli, d[crcCovers:]))
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name     string
		datagram []byte
	}{
		{"heartbeat", heartbeatDatagram()},
		{"status", statusDatagram()},
		{"nak1", nakDatagram(1)},
		{"nak20", nakDatagram(20)},
		{"ring", datagramOf(AppendRing(nil, Ring{Round: 7, Origin: 2}))},
		{"token", datagramOf(AppendToken(nil, &Token{Ring: RingID{Seq: 4}, Seq: 9, Aru: 8}))},
		{"join", datagramOf(AppendJoin(nil, &Join{RingSeq: 4, Proc: Members(testOrigin[:])}))},
		{"repair", datagramOf(AppendRepair(nil, &Repair{Block: 1, Scheme: 1, Stride: 1, Sources: 8, Repairs: 2, Index: 1, Symbol: make([]byte, 100)}))},
		{"data1x64", packedDatagram(b, 1, 64)},
		{"data20x64", packedDatagram(b, 20, 64)},
		{"data3x400", packedDatagram(b, 3, 400)},
		{"data1x1344", packedDatagram(b, 1, 1344)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var d Datagram
			for b.Loop() {
				if Decode(c.datagram, &d) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
}

func nakDatagram(gaps int) []byte {
	list := make([]Gap, gaps)
	for i := range list {
		list[i] = Gap{First: uint64(10 * (i + 1)), Count: 3}
	}
	return datagramOf(AppendNak(nil, testOrigin, 1, list, nil))
}

// BenchmarkRead reads control frames that were decoded before.
func BenchmarkRead(b *testing.B) {
	var d Datagram
	read := func(name string, datagram []byte, f func(*Frame)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			if err := Decode(datagram, &d); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				f(&d.Frames()[0])
			}
		})
	}
	read("heartbeat", heartbeatDatagram(), func(f *Frame) { sinkU64 += f.Heartbeat().Last })
	read("status", statusDatagram(), func(f *Frame) { sinkU64 += f.Status().Next })
	read("ring", datagramOf(AppendRing(nil, Ring{Round: 7, Origin: 2})), func(f *Frame) { sinkU64 += uint64(f.Ring().Round) })
	read("token", datagramOf(AppendToken(nil, &Token{Ring: RingID{Seq: 4}, Seq: 9, Aru: 8})), func(f *Frame) { sinkU64 += f.Token().Seq })
	read("nak20", nakDatagram(20), func(f *Frame) {
		n := f.Nak()
		gaps := n.Gaps()
		for g, ok := gaps.Next(); ok; g, ok = gaps.Next() {
			sinkU64 += g.First
		}
	})
}

func BenchmarkPeek(b *testing.B) {
	d := heartbeatDatagram()
	for b.Loop() {
		h, ok := Peek(d)
		sinkBool = ok
		sinkU64 += h.Cluster
	}
}

// BenchmarkMessages walks over 20 messages of 64 bytes.
func BenchmarkMessages(b *testing.B) {
	b.ReportAllocs()
	var d Datagram
	if err := Decode(packedDatagram(b, 20, 64), &d); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		data := d.Frames()[0].Data()
		it := data.Messages()
		for it.Step() {
			sinkInt += len(it.Payload)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range []struct{ count, size int }{{1, 64}, {20, 64}, {3, 400}, {1, 1344}} {
		b.Run(fmt.Sprintf("%dx%d", c.count, c.size), func(b *testing.B) {
			b.ReportAllocs()
			mem := make([]byte, 1502)
			payload := make([]byte, c.size)
			var w DataWriter
			for b.Loop() {
				w.Begin(mem, 1500, testHeader(), 7, 100)
				for range c.count {
					w.Add("market.fx.EURUSD", KindRaw, payload)
				}
				_, n := w.Finish()
				sinkInt += n
			}
		})
	}
}
