"""python3 -m blaze sub|pub: a subscriber and a publisher for the command line.

With --topic instead of a topic they write records, as the interop matrix (bench/interop) reads them: {"ready":true},
{"t":topic,"n":number,"sha":first 8 digits of SHA-256,"size":bytes} for each message, {"lost":{"count":N}}.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import signal
import sys
import time
from typing import Any

from . import Channel, Delivery, Loss, MalformedError, Message, Protocol
from .errors import BlazeError
from .transport import DEFAULT_URI


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m blaze", description="Publishes and subscribes to topics.")
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--uri", default=DEFAULT_URI, help="the group, as udp://239.255.66.76:6676?interface=eth0; without interface: loopback")
    common.add_argument("--cluster", default="default", help="members receive each other only within one cluster")
    common.add_argument("--protocol", default="NACK", choices=[p.name for p in Protocol])
    common.add_argument("--lanes", type=int, default=1, help="streams that topics are hashed over")
    common.add_argument("--max-message-size", type=int, default=1 << 20, help="bytes")
    common.add_argument("--loss", type=float, default=0, help="share of datagrams that is lost on purpose, both ways (tests)")
    common.add_argument("--seed", type=int, help="of what is lost (tests)")
    common.add_argument("--topic", dest="recorded", metavar="TOPIC", help="write records of messages with numbers, of this topic; pub: or several, with commas")
    common.add_argument("--stats", action="store_true", help="print counters to stderr at the end")
    sub = commands.add_parser("sub", parents=[common], help="print what comes on a topic or pattern")
    sub.add_argument("topic", nargs="?", default=">", help="or a pattern")
    sub.add_argument("--count", type=int, default=0, help="end after so many messages and losses")
    sub.add_argument("--seconds", type=float, default=0, help="end after so long")
    sub.add_argument("--json", action="store_true", help="a JSON object for each message and loss, payloads in hexadecimal")
    pub = commands.add_parser("pub", parents=[common], help="publish lines of stdin, a text, or payloads made up")
    pub.add_argument("topic", nargs="?")
    pub.add_argument("text", nargs="*", help="each is a message; without any: the lines of stdin")
    pub.add_argument("--count", type=int, default=0, help="publish so many payloads that begin with their number")
    pub.add_argument("--size", type=int, default=64, help="bytes of each, with --count")
    pub.add_argument("--rate", type=float, default=0, help="a second, with --count; 0: as many as there is room for")
    pub.add_argument("--typed", action="store_true", help="as typed Messages instead of bytes")
    pub.add_argument("--wait", type=int, default=0, help="wait for so many receivers first")
    pub.add_argument("--linger", type=float, default=10, help="seconds to wait for receivers at the end")
    a = parser.parse_args()
    if a.command == "pub" and not a.topic and not a.recorded:
        parser.error("a topic is missing")
    return a


def channel(a: argparse.Namespace) -> Channel:
    return Channel(
        a.uri, cluster=a.cluster, protocol=Protocol[a.protocol], lanes=a.lanes, loss=a.loss, seed=a.seed, max_message_size=a.max_message_size,
        self_delivery=False, linger=getattr(a, "linger", 0),
    )  # fmt: skip


def text_of(d: Delivery) -> str:
    if d.kind == 1:
        try:
            m = Message.decode(d.payload)
            return m.text if m.text is not None and not len(m) else repr(m)
        except MalformedError as e:
            return f"<{e}>"
    try:
        return d.payload.decode()
    except UnicodeDecodeError:
        return d.payload.hex()


async def subscribe(a: argparse.Namespace) -> None:
    done = asyncio.Event()
    left = a.count

    def say(line: str) -> None:
        nonlocal left
        print(line, flush=True)
        left -= 1
        if left == 0:
            done.set()

    def message(d: Delivery) -> None:
        if left == 0 and a.count:
            return
        if a.json:
            say(json.dumps({"from": d.sender.hex(), "stream": d.stream, "sequence": str(d.sequence), "topic": d.topic, "kind": d.kind, "payload": d.payload.hex()}))
        else:
            say(f"{d.topic} {text_of(d)}")

    def lost(x: Loss) -> None:
        if a.json:
            say(json.dumps({"from": x.sender.hex(), "stream": x.stream, "first": str(x.first), "last": str(x.last), "lost": x.reason}))
        else:
            say(f"lost {x.first} to {x.last} of {x.sender.hex()}: {x.reason}")

    async with channel(a) as c:
        c.subscribe(a.topic, message, on_loss=lost, payloads=True)
        try:
            await asyncio.wait_for(done.wait(), a.seconds or None)
        except TimeoutError:
            pass
        if a.stats:
            print(json.dumps(c.stats()), file=sys.stderr)


async def publish(a: argparse.Namespace) -> None:
    async with channel(a) as c:
        p = c.publisher(a.topic)
        _ = p.receivers  # the stream begins now
        if a.wait:
            await p.wait_receivers(a.wait)

        async def send(payload: bytes) -> None:
            if a.typed:
                await c.broadcast(a.topic, Message(data=payload))
            else:
                await p.publish(payload)

        began = time.monotonic()
        if a.count:
            for i in range(1, a.count + 1):
                await send(b"%020d" % i + bytes(max(a.size - 20, 0)) if a.size >= 20 else (b"%d" % i)[: a.size])
                if a.rate:
                    await asyncio.sleep(max(began + i / a.rate - time.monotonic(), 0))
                elif i % 256 == 0:
                    await asyncio.sleep(0)
        elif a.text:
            for line in a.text:
                await send(line.encode())
        else:
            loop = asyncio.get_running_loop()
            while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
                await send(line.rstrip(b"\n"))
        if a.stats:
            print(json.dumps(c.stats()), file=sys.stderr)
        if not await c.stop():
            raise BlazeError(f"not all receivers have reported everything within {a.linger:g} s")


class Records:
    """Writes records, many at a time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, record: dict[str, Any]) -> None:
        self.lines.append(json.dumps(record, separators=(",", ":")))
        if len(self.lines) == 1:
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        if self.lines:
            print("\n".join(self.lines), flush=True)
            self.lines.clear()

    def message(self, topic: str, b: bytes, n: int) -> None:
        self.put({"t": topic, "n": n, "sha": hashlib.sha256(b).hexdigest()[:8], "size": len(b)})

    def raw(self, topic: str, b: bytes) -> None:
        self.message(topic, b, int.from_bytes(b[:8], "big") if len(b) >= 8 else 0)

    def typed(self, topic: str, text: str) -> None:
        try:
            n = int(text[:16], 16)
        except ValueError:
            n = 0
        self.message(topic, text.encode(), n)


async def record_all(a: argparse.Namespace) -> None:
    """sub with records, until count messages have come or a signal does."""
    done = asyncio.Event()
    for s in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(s, done.set)
    out, left = Records(), a.count

    def message(d: Delivery) -> None:
        nonlocal left
        if done.is_set():
            return
        if d.kind == 1:
            try:
                out.typed(d.topic, Message.decode(d.payload).text or "")
            except MalformedError:
                out.put({"lost": {"count": 1}})
        else:
            out.raw(d.topic, d.payload)
        left -= 1
        if left == 0:
            done.set()

    async with channel(a) as c:
        c.subscribe(a.recorded, message, payloads=True, on_loss=lambda x: out.put({"lost": {"count": x.last - x.first + 1 if x.first else 0, "reason": x.reason}}))
        out.put({"ready": True})
        await done.wait()
        out.flush()
        if a.stats:
            print(json.dumps(c.stats()), file=sys.stderr)


async def publish_recorded(a: argparse.Namespace) -> None:
    """pub with records: count messages that have a number and bytes which follow from it."""
    topics = a.recorded.split(",")
    pattern = bytes(range(256)) * (a.size // 256 + 2)
    out = Records()
    async with channel(a) as c:
        publishers = [c.publisher(t) for t in topics]
        for p in publishers:
            await p.wait_receivers(a.wait)
        out.put({"ready": True})
        began = time.monotonic()
        for n in range(1, a.count + 1):
            i = (n - 1) % len(topics)
            if a.typed:
                text = f"{n:016x}" + "x" * max(a.size - 16, 0)
                await c.broadcast(topics[i], Message(text=text))
                out.typed(topics[i], text)
            else:
                at = (n * 31 + 8) & 0xFF
                b = n.to_bytes(8, "big") + pattern[at : at + max(a.size - 8, 0)]
                await publishers[i].publish(b)
                out.raw(topics[i], b)
            if a.rate:
                await asyncio.sleep(max(began + n / a.rate - time.monotonic(), 0))
        try:  # who comes at the end is waited for a little
            await publishers[0].wait_receivers(1, 2)
        except TimeoutError:
            pass
        await c.stop()
        out.flush()


def main() -> int:
    a = arguments()
    try:
        if a.recorded:
            asyncio.run(record_all(a) if a.command == "sub" else publish_recorded(a))
        else:
            asyncio.run(subscribe(a) if a.command == "sub" else publish(a))
    except BlazeError as e:
        print(f"blaze: {e}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
