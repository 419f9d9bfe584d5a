"""Whole members over a network that loses, delays, doubles and reorders, in virtual time: a seed replays a run."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import unittest
from typing import Any

from blaze.core import Delivery, Loss, Member
from blaze.errors import BackPressure

MS = 1_000_000
SEEDS = int(os.environ.get("BLAZE_SEEDS", "3"))


class Net:
    """Members that are named by numbers, and what is on its way between them."""

    def __init__(self, seed: int, loss: float, members: int) -> None:
        self.random = random.Random(seed)
        self.loss = loss
        self.now = 0
        self.way: list[tuple[int, int, int, bytes, int, bool]] = []
        self.ids = itertools.count()
        self.members: dict[int, Member] = {}
        self.got: dict[int, list[tuple[int, bytes]]] = {}
        self.lost: dict[int, list[Loss]] = {}
        self.bytes = 0  # that members sent
        self.links: dict[int, tuple[float, int]] = {}  # to members: bytes a second, and bytes of its queue
        self.free: dict[int, int] = {}  # when a link has sent all that waits
        for n in range(1, members + 1):
            self.add(n)

    def add(self, n: int, **options: Any) -> Member:
        got = self.got[n] = []
        lost = self.lost[n] = []

        def deliver(d: Delivery) -> bool:
            if self.random.random() < 0.02:
                return False
            got.append((d.sequence, d.payload))
            return True

        m = self.members[n] = Member(bytes((n,)) * 16, 5, deliver, lost.append, self.now, window=256, seed=self.random.randrange(1 << 30), **options)
        return m

    def send(self, source: int, b: bytes, to: object) -> None:
        r = self.random
        self.bytes += len(b)
        for n in self.members:
            if n == source or to is not None and to != n:
                continue
            if n in self.links:
                rate, queue = self.links[n]
                free = max(self.free.get(n, 0), self.now)
                if (free - self.now) * rate / 1e9 + len(b) <= queue:
                    self.free[n] = free + int(len(b) / rate * 1e9)
                    heapq.heappush(self.way, (self.free[n] + 20_000, next(self.ids), n, b, source, to is None))
                continue
            for _ in range(2 if r.random() < self.loss else 1):
                if r.random() >= self.loss:
                    delay = r.randrange(20_000, 200_000) if r.random() >= self.loss else r.randrange(20_000, 3 * MS)
                    heapq.heappush(self.way, (self.now + delay, next(self.ids), n, b, source, to is None))

    def run(self, until: int) -> None:
        self.turn()  # what was offered since leaves now, as it would from an event loop
        while True:
            times = [at for m in self.members.values() if (at := m.deadline()) is not None]
            if self.way:
                times.append(self.way[0][0])
            at = min(times, default=until)
            if at > until:
                break
            self.now = max(self.now, at)
            while self.way and self.way[0][0] <= self.now:
                _, _, n, b, source, group = heapq.heappop(self.way)
                if n in self.members:
                    self.members[n].step(self.now, b, source, group)
            self.turn()
        self.now = until

    def turn(self) -> None:
        for n, m in list(self.members.items()):
            m.resume(self.now)
            m.tick(self.now)
            for b, to in m.poll(self.now):
                self.send(n, b, to)


class Simulation(unittest.TestCase):
    def publish(self, net: Net, n: int, count: int, sizes: tuple[int, ...] = (10, 400, 1300, 5000)) -> list[bytes]:
        want = []
        m = net.members[n]
        for i in range(count):
            payload = b"%d " % i + bytes(sizes[i % len(sizes)])
            want.append(payload)
            while True:
                try:
                    m.offer(net.now, "t", 0, payload)
                    break
                except BackPressure:
                    net.run(net.now + MS)
            if i % 8 == 0:
                net.run(net.now + net.random.randrange(1, 2 * MS))
        return want

    def test_exactly_once(self) -> None:
        for seed in range(SEEDS):
            for loss, members in ((0.0, 3), (0.05, 2), (0.05, 6), (0.2, 3)):
                with self.subTest(seed=seed, loss=loss, members=members):
                    net = Net(seed, loss, members)
                    net.members[1].sender(0, "t")
                    net.run(200 * MS)
                    want = self.publish(net, 1, 400)
                    net.run(net.now + 4000 * MS)
                    for n in range(2, members + 1):
                        self.assertEqual(net.lost[n], [], n)
                        self.assertEqual([p for _, p in net.got[n]], want)
                        self.assertEqual([s for s, _ in net.got[n]], list(range(1, len(want) + 1)))
                    self.assertTrue(all(s.acknowledged() for s in net.members[1].senders.values()))

    def test_late_joiner_and_farewells(self) -> None:
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                net = Net(100 + seed, 0.05, 2)
                net.members[1].sender(0, "t")
                net.run(200 * MS)
                want = self.publish(net, 1, 100)
                net.add(3)
                want += self.publish(net, 1, 200)
                net.run(net.now + 3000 * MS)
                net.members[1].close(net.now)
                net.run(net.now + 500 * MS)
                self.assertEqual([p for _, p in net.got[2]], want)
                late = [s for s, _ in net.got[3]]
                self.assertEqual((late, net.lost[3]), (list(range(late[0], len(want) + 1)), []))
                self.assertLess(late[0], 110)  # 100 were there before; what leaves at once is scrambled, so one burst may be missed
                # A new member in its place: all is heard again.
                net.members.pop(1)
                net.members[4] = net.add(4)
                net.members[4].sender(net.now, "t")
                net.run(net.now + 200 * MS)
                again = self.publish(net, 4, 50)
                net.run(net.now + 2000 * MS)
                self.assertEqual([p for _, p in net.got[2]][len(want) :], again)

    def test_silence(self) -> None:
        """A receiver that is cut off is not waited for; what it missed is repaired or reported, in its place."""
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                net = Net(200 + seed, 0.02, 3)
                net.members[1].sender(0, "t")
                net.run(200 * MS)
                want = self.publish(net, 1, 50)
                net.run(net.now + 100 * MS)
                away = net.members.pop(3)
                want += self.publish(net, 1, 600)
                net.members[3] = away
                want += self.publish(net, 1, 100)
                net.run(net.now + 4000 * MS)
                self.assertEqual([p for _, p in net.got[2]], want)
                numbers = [s for s, _ in net.got[3]]
                missed = [s for x in net.lost[3] for s in range(x.first, x.last + 1)]
                self.assertEqual(sorted(numbers + missed), list(range(1, len(want) + 1)))
                self.assertEqual(numbers, sorted(numbers))

    def flood(self, seed: int, loss: float, rate: float, paced: bool, seconds: float) -> tuple[int, float]:
        """A sender that has more to send than two receivers can take, one of them behind a link with that rate.
        Bytes that the slower one took, and bytes that were sent for each of them."""
        net = Net(seed, loss, 3)
        for n in (2, 3):
            net.members[n].room = 4 << 20  # as if the system gave much: nothing else holds the sender back
        if rate:
            net.links[3] = rate, 64 << 10
        net.members[1].sender(0, "t")
        net.run(200 * MS)
        net.members[1].free_pace = not paced
        net.bytes = 0
        end = net.now + int(seconds * 1000) * MS
        while net.now < end:
            try:
                while True:
                    net.members[1].offer(net.now, "t", 0, bytes(1200))
            except BackPressure:
                net.run(net.now + MS)
        took = 1200 * min(len(net.got[n]) for n in (2, 3))
        self.assertEqual(net.lost[3], [])
        return took, net.bytes / took

    def test_bottleneck(self) -> None:
        """Where a link takes a part of what is sent, the pace follows it: little is sent that does not arrive."""
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                took, each = self.flood(300 + seed, 0, 1.25e6, True, 2)
                _, each_unpaced = self.flood(300 + seed, 0, 1.25e6, False, 1)
                self.assertGreater(took, 0.75 * 2 * 1.25e6)
                self.assertLess(each, 2)
                self.assertLess(each, 0.7 * each_unpaced)

    def test_random_loss_slows_nobody(self) -> None:
        for seed in range(SEEDS):
            with self.subTest(seed=seed):
                paced, _ = self.flood(400 + seed, 0.2, 0, True, 0.2)
                unpaced, _ = self.flood(400 + seed, 0.2, 0, False, 0.2)
                self.assertGreater(paced, 0.8 * unpaced)


if __name__ == "__main__":
    unittest.main()
