"""Beside a Go member: the program of cmd/blaze, which BLAZE_GO names. 5 % of all datagrams are lost both ways."""

from __future__ import annotations

import asyncio
import os
import subprocess
import unittest
from typing import Any

from blaze import Channel, Message
from blaze.message import Kind, Value

GO = os.environ.get("BLAZE_GO", "")
PORT = 20000 + os.getpid() % 20000
COUNT = 3000


@unittest.skipUnless(GO, "BLAZE_GO does not name the program of cmd/blaze")
class Go(unittest.IsolatedAsyncioTestCase):
    def uri(self, n: int) -> str:
        return f"udp://239.255.68.{n}:{PORT}"

    async def receive(self, n: int, lines: list[bytes], *options: str) -> tuple[list[Any], list[Any]]:
        """What comes here of what a Go member publishes."""
        got: list[Any] = []
        lost: list[Any] = []
        async with Channel(self.uri(n), loss=0.05, seed=n) as c:
            c.subscribe("from.*", got.append, on_loss=lost.append)
            go = await asyncio.create_subprocess_exec(GO, "pub", "--uri", self.uri(n), *options, "from.go", "-", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert go.stdin is not None
            go.stdin.write(b"".join(line + b"\n" for line in lines))
            await asyncio.wait_for(asyncio.gather(go.stdin.drain(), self._close(go)), 60)
            async with asyncio.timeout(30):
                while len(got) < len(lines) and not lost:
                    await asyncio.sleep(0.01)
        return got, lost

    @staticmethod
    async def _close(go: asyncio.subprocess.Process) -> None:
        assert go.stdin is not None
        go.stdin.close()
        await go.wait()

    async def test_from_go(self) -> None:
        lines = [b"%d " % i + b"x" * (i % 7 * 40) for i in range(COUNT)]
        got, lost = await self.receive(1, lines, "--raw")
        self.assertEqual(([m.data for m in got], lost), (lines, []))

    async def test_typed_from_go(self) -> None:
        lines = [b"line %d" % i for i in range(200)]
        got, lost = await self.receive(2, lines)
        self.assertEqual(([m.text for m in got], lost), ([line.decode() for line in lines], []))

    async def test_large_from_go(self) -> None:
        lines = [b"%d " % i + b"y" * 60000 for i in range(30)]
        got, lost = await self.receive(3, lines, "--raw")
        self.assertEqual(([m.data for m in got], lost), (lines, []))

    async def test_to_go(self) -> None:
        go = await asyncio.create_subprocess_exec(
            GO, "sub", "--uri", self.uri(4), "--payload", "--count", str(COUNT + 11), "--timeout", "60s", "to.>", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        want = [b"%d " % i + b"z" * (i % 7 * 40) for i in range(COUNT)]
        async with Channel(self.uri(4), loss=0.05, seed=4, linger=30) as c:
            p = c.publisher("to.go")
            await p.wait_receivers(1, 30)
            for w in want:
                await p.publish(w)
            for i in range(10):
                await p.publish(b"%d" % i * 30000)
                want.append(b"%d" % i * 30000)
            m = Message(text="typed")
            m.entries["n"] = Value(Kind.INT64, 1)
            await c.broadcast("to.go.typed", m)
            out, err = await asyncio.wait_for(go.communicate(), 90)
            self.assertTrue(await c.stop())
        lines = out.splitlines()
        self.assertEqual((lines[:-1], go.returncode), (want, 0), err[-500:])
        self.assertIn(b"typed", lines[-1])

    async def test_restarts_and_a_late_joiner(self) -> None:
        """A Go publisher that begins anew, and a member that comes later."""
        got: list[bytes] = []
        lost: list[Any] = []
        async with Channel(self.uri(5)) as c:
            c.subscribe("r", lambda d: got.append(d.payload), payloads=True, on_loss=lost.append)
            for n in range(3):
                go = await asyncio.create_subprocess_exec(GO, "pub", "--raw", "--uri", self.uri(5), "r", *(f"{n}.{i}" for i in range(50)), stderr=subprocess.DEVNULL)
                self.assertEqual(await asyncio.wait_for(go.wait(), 30), 0)
            async with asyncio.timeout(10):
                while len(got) < 150:
                    await asyncio.sleep(0.01)
        self.assertEqual((got, lost), ([b"%d.%d" % (n, i) for n in range(3) for i in range(50)], []))


if __name__ == "__main__":
    unittest.main()
