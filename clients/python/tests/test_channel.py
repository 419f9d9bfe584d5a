"""The API, over loopback."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import unittest
from typing import Any

from blaze import BackPressure, Channel, ConfigError, Message, Protocol, StateError, TooLargeError, TopicError, UnsupportedError, Value, blocking
from blaze.transport import Uri

# A port of its own for each run, and a cluster for each test.
PORT = 20000 + os.getpid() % 20000


def uri(n: int = 0) -> str:
    return f"udp://239.255.67.{1 + n}:{PORT}"


class Api(unittest.IsolatedAsyncioTestCase):
    def channel(self, **options: Any) -> Channel:
        every: Any = {"cluster": self.id(), "self_delivery": False, "linger": 10} | options
        return Channel(uri(), **every)

    async def test_messages(self) -> None:
        async with self.channel() as a, self.channel() as b:
            s = b.subscribe("prices.*")
            everything: list[Any] = []
            b.subscribe(">", everything.append, payloads=True)
            p = a.publisher("prices.eu")
            await p.wait_receivers(1, 10)
            m = Message({"bid": 99.5, "size": Value.int16(7), "in": {"deep": "é"}}, text="body")
            await a.broadcast("prices.eu", m)
            p.offer(b"raw")
            await a.broadcast("elsewhere", Message())
            got = await s.__anext__()
            self.assertEqual(got, m)
            self.assertEqual((got.topic, got.sender, got.sequence, got.text), ("prices.eu", a.id, 1, "body"))
            self.assertEqual((await s.__anext__()).data, b"raw")
            while len(everything) < 3:
                await asyncio.sleep(0.01)
            self.assertEqual([(d.topic, d.kind) for d in everything], [("prices.eu", 1), ("prices.eu", 0), ("elsewhere", 1)])
            s.close()
            with self.assertRaises(StopAsyncIteration):
                await s.__anext__()

    async def test_loss_both_ways(self) -> None:
        """Every message comes once and in order, from 1 byte to fragments."""
        async with self.channel(loss=0.05, seed=1) as a, self.channel(loss=0.05, seed=2) as b:
            got: list[bytes] = []
            lost: list[Any] = []
            b.subscribe("t", lambda d: got.append(d.payload), payloads=True, on_loss=lost.append)
            p = a.publisher("t")
            await p.wait_receivers(1, 20)
            sizes = [1, 100, 1300, 5000, 0, 40000]
            want = [b"%06d" % i + bytes(sizes[i % 6]) for i in range(1500)]
            for w in want:
                await p.publish(w)
            async with asyncio.timeout(60):
                while len(got) < len(want) and not lost:
                    await asyncio.sleep(0.02)
            self.assertEqual(lost, [])
            self.assertEqual(got, want)
            self.assertGreater(a.stats()["repairs_sent"], 0)

    async def test_slow_application(self) -> None:
        """A subscription that is not read holds the stream up, and nothing is lost."""
        async with self.channel(window=64 << 10) as a, self.channel(window=64 << 10, subscription_queue=10) as b:
            lost: list[Any] = []
            s = b.subscribe("t", payloads=True, on_loss=lost.append)
            p = a.publisher("t")
            await p.wait_receivers(1, 10)
            sent = 0
            with self.assertRaises(BackPressure):
                while sent < 10000:
                    for _ in range(20):
                        p.offer(b"%d" % sent + bytes(1000))
                        sent += 1
                    await asyncio.sleep(0.002)
            for i in range(sent):
                d = await asyncio.wait_for(s.__anext__(), 20)
                self.assertEqual(d.payload.rstrip(b"\0"), b"%d" % i)
            self.assertEqual(lost, [])

    async def test_own_messages(self) -> None:
        async with self.channel(self_delivery=True) as a:
            s = a.subscribe("t.>")
            await a.broadcast("t.x", Message(text="mine"))
            self.assertEqual((await asyncio.wait_for(s.__anext__(), 5)).text, "mine")

    async def test_lanes_and_best_effort(self) -> None:
        async with self.channel(lanes=8) as a, self.channel(lanes=8, protocol=Protocol.BEST_EFFORT) as c, self.channel() as b:
            got: list[str] = []
            b.subscribe(">", lambda m: got.append(m.text))
            for i in range(8):
                await a.publisher(f"t.{i}").wait_receivers(1, 10)
                await a.broadcast(f"t.{i}", Message(text=f"a{i}"))
            c.publisher("u").receivers
            await asyncio.sleep(0.1)
            await c.broadcast("u", Message(text="best"))
            async with asyncio.timeout(10):
                while len(got) < 9:
                    await asyncio.sleep(0.01)
            self.assertEqual(sorted(got), [f"a{i}" for i in range(8)] + ["best"])

    async def test_one_id_twice(self) -> None:
        """Two members with one id are one to each other: neither sees the other, and nothing breaks."""
        async with self.channel() as a, self.channel() as b, self.channel() as c:
            assert a._member is not None and b._member is not None
            b._member.id = a._member.id
            got: list[Any] = []
            c.subscribe("t", got.append)
            await a.broadcast("t", Message(text="a"))
            await b.broadcast("t", Message(text="b"))
            await asyncio.sleep(0.3)
            self.assertLessEqual(len(got), 2)

    async def test_restart(self) -> None:
        async with self.channel() as b:
            got: list[str] = []
            b.subscribe("t", lambda m: got.append(m.text))
            for i in range(3):
                async with self.channel() as a:
                    p = a.publisher("t")
                    await p.wait_receivers(1, 10)
                    await a.broadcast("t", Message(text=str(i)))
            async with asyncio.timeout(5):
                while len(got) < 3:
                    await asyncio.sleep(0.01)
            self.assertEqual(got, ["0", "1", "2"])

    async def test_refusals(self) -> None:
        for p in (Protocol.FEC, Protocol.HYBRID, Protocol.TOTEM):
            with self.assertRaises(UnsupportedError) as e:
                self.channel(protocol=p)
            self.assertEqual(str(e.exception), f"Protocol.{p.name} is not supported by the Python member")
        for bad, why in (
            ("xdp://239.255.66.76:6676", "xdp:// is not supported"), ("pointcast://10.0.0.1:1", "pointcast:// is not supported"),
            ("udp://10.0.0.1:6676", "no multicast address"), ("udp://239.1.1.1", "port is missing"), ("udp://239.1.1.1:99999", "239.255.66.76:6676"),
            ("tcp://239.1.1.1:1", "scheme"), ("udp://239.1.1.1:1?ttl=300", "0 to 255"), ("udp://239.1.1.1:1?colour=red", "unknown option"),
            ("udp://239.1.1.1:1?gso=on", "gso is not supported"), ("udp://[ff02::1]:1", "IPv4"),
        ):  # fmt: skip
            with self.assertRaisesRegex(ConfigError, why):
                Channel(bad)
        for option in ({"lanes": 0}, {"lanes": 65}, {"window": 1}, {"loss": 2}):
            with self.assertRaisesRegex(ConfigError, "is allowed"):
                self.channel(**option)
        with self.assertRaisesRegex(ConfigError, "there is no interface 'nowhere'; this host has"):
            await Channel(uri() + "?interface=nowhere").start()
        c = self.channel(max_message_size=1000)
        with self.assertRaises(StateError):
            c.publisher("t").offer(b"")
        async with c:
            for topic in ("", "a..b", "a.*", "\ud800", "x" * 256):
                with self.assertRaises(TopicError):
                    c.publisher(topic)
            with self.assertRaises(TopicError):
                c.subscribe("a.>.b")
            with self.assertRaises(TooLargeError):
                c.publisher("t").offer(bytes(1001))
            c.publisher("t").offer(bytes(1000))

    async def test_counts_what_it_lacks(self) -> None:
        from blaze import topic, wire

        async with self.channel() as a, self.channel() as b:
            assert a._transport is not None
            a._transport.send(wire.seal(wire.header(topic.cluster_hash(self.id()), bytes(16), 0, wire.TOTEM << 24)), None)
            async with asyncio.timeout(5):
                while not b.stats().get("unsupported.TOTEM"):
                    await asyncio.sleep(0.01)

    async def test_handlers_that_fail(self) -> None:
        said: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context["exception"]))
        async with self.channel(self_delivery=True) as a:
            got: list[Any] = []

            def bad(m: Message) -> None:
                raise ValueError("bad")

            async def slow(m: Message) -> None:
                await asyncio.sleep(0)
                got.append(m)

            a.subscribe("t", bad)
            a.subscribe("t", slow)
            await a.broadcast("t", Message())
            await a.broadcast("t", Message())
            async with asyncio.timeout(5):
                while len(got) < 2:
                    await asyncio.sleep(0.01)
        self.assertEqual([str(e) for e in said], ["bad", "bad"])


class Blocking(unittest.TestCase):
    def test_blocking(self) -> None:
        with blocking.Channel(uri(1), cluster=self.id(), self_delivery=False, linger=10) as a, blocking.Channel(uri(1), cluster=self.id()) as b:
            s = b.subscribe("t.>")
            p = a.publisher("t.x")
            p.wait_receivers(1, 10)
            self.assertEqual(p.receivers, 1)
            p.publish_all([b"%d" % i for i in range(500)])
            a.broadcast("t.y", Message(text="last"))
            self.assertEqual([s.next(10).data for _ in range(500)], [b"%d" % i for i in range(500)])
            self.assertEqual(next(s).text, "last")
            with self.assertRaises(TimeoutError):
                s.next(0.05)
            s.close()
            self.assertEqual(list(s), [])
            self.assertGreater(a.stats()["messages_sent"], 500)
        with self.assertRaises(StateError):
            a.broadcast("t", Message())
        with self.assertRaises(ConfigError):
            blocking.Channel(uri(1) + "?interface=nowhere").start()


class CommandLine(unittest.TestCase):
    def test_sub_and_pub(self) -> None:
        options = ["--uri", uri(2), "--cluster", self.id()]
        sub = subprocess.Popen([sys.executable, "-m", "blaze", "sub", *options, "--json", "--count", "3", "a.*"], stdout=subprocess.PIPE, text=True)
        pub = subprocess.run([sys.executable, "-m", "blaze", "pub", *options, "--wait", "1", "a.b", "one", "two", "three"], timeout=30)
        out, _ = sub.communicate(timeout=30)
        self.assertEqual((pub.returncode, sub.returncode), (0, 0))
        self.assertEqual([bytes.fromhex(line.split('"payload": "')[1].split('"')[0]) for line in out.splitlines()], [b"one", b"two", b"three"])
        bad = subprocess.run([sys.executable, "-m", "blaze", "sub", "--protocol", "TOTEM"], stderr=subprocess.PIPE, text=True, timeout=30)
        self.assertEqual((bad.returncode, bad.stderr), (2, "blaze: Protocol.TOTEM is not supported by the Python member\n"))

    def test_uri(self) -> None:
        u = Uri("udp://239.1.2.3:7?interface=lo&ttl=3&mtu=1400&dscp=46&loop=off")
        self.assertEqual((u.group, u.port, u.interface, u.ttl, u.mtu, u.dscp, u.loop), ("239.1.2.3", 7, "lo", 3, 1400, 46, False))


if __name__ == "__main__":
    unittest.main()
