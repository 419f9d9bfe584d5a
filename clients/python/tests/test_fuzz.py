"""Mutated vectors: no exception, no hang, no growth, and no effect on other streams.

BLAZE_FUZZ is how many, 20,000 without it.
"""

from __future__ import annotations

import os
import random
import unittest

from blaze import message, wire
from blaze.core import Delivery, Loss, Member
from blaze.errors import MalformedError

from .test_vectors import load

COUNT = int(os.environ.get("BLAZE_FUZZ", "20000"))
MS = 1_000_000


def mutate(r: random.Random, b: bytes) -> bytes:
    out = bytearray(b)
    for _ in range(r.randrange(1, 4)):
        if not out:
            break
        how = r.randrange(5)
        at = r.randrange(len(out))
        if how == 0:
            del out[at:]
        elif how == 1:
            out[at:at] = bytes(r.randrange(256) for _ in range(r.randrange(1, 9)))
        elif how == 2:
            out[at] ^= 1 << r.randrange(8)
        else:
            out[at] = r.choice((0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF, r.randrange(256)))
    return bytes(out)


class Fuzz(unittest.TestCase):
    def test_member(self) -> None:
        r = random.Random(7)
        vectors = [bytes.fromhex(v["bytes"]) for v in load("vectors.json")["datagrams"] if len(v["bytes"]) < 4000]
        good: list[int] = []
        cluster = wire.decode(next(b for b in vectors if len(b) > 60)).cluster

        def deliver(d: Delivery) -> bool:
            if d.sender == b"\x77" * 16:
                good.append(d.sequence)
            return True

        def lost(x: Loss) -> None:
            self.assertNotEqual(x.sender, b"\x77" * 16)

        now = 0
        m = Member(b"\xb0" + bytes(15), cluster, deliver, lost, now, window=64, seed=1, max_streams=64)
        sender = m.sender(now, "a")
        header = wire.header(cluster, b"\x77" * 16, 0, 2 << 24)
        # The origin of NAKs and reports in the vectors.
        m.id = bytes.fromhex("b0b1b2b3b4b5b6b7b8b9babbbcbdbebf")
        n = 0
        for i in range(COUNT):
            b = mutate(r, r.choice(vectors))
            if r.randrange(4) and wire.peek(b) is not None:
                b = wire.seal(b[:19] + b[19:])
            now += r.randrange(200_000)
            m.step(now, b, ("10.0.0.1", r.randrange(8)), bool(r.randrange(2)))
            if i % 16 == 0:
                n += 1
                m.step(now, wire.seal(header + wire.data(n, n, wire.packed("good", 0, b"%d" % n))), ("10.0.0.2", 1), True)
            if i % 64 == 0:
                try:
                    m.offer(now, "a", 0, bytes(r.randrange(3000)))
                except Exception as e:
                    self.assertEqual(type(e).__name__, "BackPressure")
            m.tick(now)
            out = sum(1 for _ in m.poll(now))
            self.assertLess(out, 5000)
            if i % 1000 == 0:
                self.bounded(m, sender)
        self.bounded(m, sender)
        self.assertEqual(good, list(range(1, n + 1)))

    def bounded(self, m: Member, sender: object) -> None:
        self.assertLessEqual(len(m.streams) + len(m.ended), 64)
        self.assertLessEqual(m.holding, m.holding_most)
        self.assertLess(len(m._heap), 20000)
        self.assertLess(len(m.controls), 5000)
        self.assertEqual(m.holding, sum(len(s.held) for s in [*m.streams.values(), *m.ended]))
        for s in m.streams.values():
            self.assertLessEqual(len(s.gaps), 1024)
        for t in m.senders.values():
            self.assertLessEqual(len(t.slots), m.window + 1)
            self.assertLessEqual(len(t.receivers), 1024)

    def test_codec(self) -> None:
        r = random.Random(8)
        vectors = [bytes.fromhex(v["bytes"]) for v in load("vectors.json")["datagrams"] if len(v["bytes"]) < 4000]
        for _ in range(COUNT):
            b = mutate(r, r.choice(vectors))
            if wire.peek(b) is not None:
                b = wire.seal(b)
            try:
                d = wire.decode(b)
            except wire.WireError:
                continue
            if any(isinstance(f, wire.Other) for f in d.frames):
                continue
            again = wire.seal(wire.header(d.cluster, d.transmitter, d.incarnation, d.stream) + b"".join(map(wire.frame, d.frames)))
            e = wire.decode(again)
            self.assertEqual(wire.seal(wire.header(e.cluster, e.transmitter, e.incarnation, e.stream) + b"".join(map(wire.frame, e.frames))), again)

    def test_messages(self) -> None:
        r = random.Random(9)
        vectors = [bytes.fromhex(v["bytes"]) for v in load("messages.json")["messages"]]
        for _ in range(COUNT):
            b = mutate(r, r.choice(vectors))
            try:
                m = message.Message.decode(b)
            except MalformedError:
                continue
            again = m.encode()
            self.assertEqual(message.Message.decode(again).encode(), again)


if __name__ == "__main__":
    unittest.main()
