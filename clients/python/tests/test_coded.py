"""Streams under FEC and Hybrid: what repair symbols give back is delivered in its place."""

from __future__ import annotations

import struct
import unittest
from typing import Any

from blaze import fec, wire
from blaze.core import Delivery, Loss, Member
from blaze.topic import cluster_hash

from .test_vectors import load

MS = 1_000_000


class Coded(unittest.TestCase):
    def member(self) -> tuple[Member, list[Delivery], list[Loss]]:
        got: list[Delivery] = []
        lost: list[Loss] = []

        def deliver(d: Delivery) -> bool:
            got.append(d)
            return True

        return Member(b"\x01" * 16, cluster_hash("test"), deliver, lost.append, 0, seed=1), got, lost

    def test_blocks(self) -> None:
        for v in load("vectors.json")["blocks"]:
            if v["sources"][0].get("lost"):
                continue  # a stream begins with the first datagram that comes
            stride = 1
            numbers = []
            for s in v["sources"]:
                data = wire.decode(bytes.fromhex(s["bytes"])).frames[0]
                assert isinstance(data, wire.Data)
                numbers.append(data.number)
            if len(numbers) > 1:
                stride = numbers[1] - numbers[0]
            if stride != 1:
                continue  # the datagrams between are of other blocks
            with self.subTest(v["name"]):
                m, got, lost = self.member()
                for s in v["sources"]:
                    if not s.get("lost"):
                        m.step(MS, bytes.fromhex(s["bytes"]), "a", True)
                for r in v["repairs"]:
                    m.step(2 * MS, bytes.fromhex(r["bytes"]), "a", True)
                self.assertEqual([d.sequence for d in got], [5000 + i for i in range(len(numbers))])
                self.assertEqual(lost, [])
                self.assertEqual(list(m.poll(2 * MS)), [])

    def stream(self, protocol: int, numbers: range) -> list[bytes]:
        h = wire.header(cluster_hash("test"), b"\x09" * 16, 0, protocol << 24)
        return [wire.seal(h + wire.data(n, n, wire.packed("t", 0, b"%d" % n))) for n in numbers]

    def symbol(self, datagrams: list[bytes], block: int, index: int) -> bytes:
        symbols = []
        for b in datagrams:
            d = wire.decode(b)
            lo, hi = d.spans[0]
            symbols.append(fec.source_symbol(d, b[lo:hi]))
        longest = max(map(len, symbols))
        out = bytes(longest)
        for c, s in enumerate(symbols):
            out = fec._add(out, s.translate(fec._MUL[fec.coefficient(index, c)]).ljust(longest, b"\0"))
        d = wire.decode(datagrams[0])
        h = wire.header(d.cluster, d.transmitter, 0, d.stream)
        return wire.seal(h + wire.repair(wire.Repair(block, 1, 1, len(datagrams), 1, index, out)))

    def test_fec_waits_for_its_block(self) -> None:
        m, got, lost = self.member()
        b = self.stream(wire.FEC, range(1, 11))
        for i in (0, 1, 3, 4):
            m.step(MS, b[i], "a", True)
        m.step(2 * MS, self.symbol(b[:5], 1, 0), "a", True)
        self.assertEqual([d.sequence for d in got], [1, 2, 3, 4, 5])
        # The next block gives nothing back: what is missing is lost, after a wait and in its place.
        for i in (5, 7, 9):
            m.step(3 * MS, b[i], "a", True)
        self.assertEqual(([d.sequence for d in got], lost), ([1, 2, 3, 4, 5, 6], []))
        while (at := m.deadline()) is not None and at < 100 * MS:
            m.tick(at)
            for out, _ in m.poll(at):
                self.assertNotIn(wire.Nak, [type(f) for f in wire.decode(out).frames])
        self.assertEqual([d.sequence for d in got], [1, 2, 3, 4, 5, 6, 8, 10])
        self.assertEqual([(x.first, x.last, x.reason) for x in lost], [(7, 7, "unrepaired"), (9, 9, "unrepaired")])

    def test_hybrid_asks_too(self) -> None:
        m, got, lost = self.member()
        b = self.stream(wire.HYBRID, range(1, 6))
        for i in (0, 1, 3, 4):
            m.step(MS, b[i], "a", True)
        m.tick(MS)
        frames: list[Any] = [f for out, _ in m.poll(MS) for f in wire.decode(out).frames]
        self.assertEqual([f.gaps for f in frames if isinstance(f, wire.Nak)], [[(3, 1)]])
        m.step(2 * MS, self.symbol(b, 1, 4), "a", True)
        m.step(3 * MS, b[2], "a", True)
        self.assertEqual(([d.sequence for d in got], lost), ([1, 2, 3, 4, 5], []))

    def test_symbols_that_lie(self) -> None:
        """What a wrong symbol gives back fails its CRC, and shapes out of bounds give nothing."""
        m, got, lost = self.member()
        b = self.stream(wire.HYBRID, range(1, 6))
        for i in (0, 1, 3, 4):
            m.step(MS, b[i], "a", True)
        good = self.symbol(b, 1, 0)
        for at in range(70, len(good)):
            bad = bytearray(good)
            bad[at] ^= 0x10
            m.step(2 * MS, wire.seal(bytes(bad)), "a", True)
        self.assertEqual([d.sequence for d in got], [1, 2])
        d = wire.decode(good)
        r = d.frames[0]
        assert isinstance(r, wire.Repair)
        h = wire.header(d.cluster, d.transmitter, 0, d.stream)
        changes: tuple[dict[str, Any], ...] = (
            {"sources": 65}, {"scheme": 2}, {"index": 126}, {"repairs": 127}, {"symbol": b"\xff"}, {"symbol": struct.pack("<HI", 500, 1) + bytes(20)}, {"stride": 2},
        )
        for change in changes:
            m.step(2 * MS, wire.seal(h + wire.repair(r._replace(**change))), "a", True)
        self.assertEqual([d.sequence for d in got], [1, 2])
        m.step(2 * MS, b[2], "a", True)
        self.assertEqual([d.sequence for d in got], [1, 2, 3, 4, 5])


if __name__ == "__main__":
    unittest.main()
