"""How many messages a second the Python member takes and sends: 100 bytes, packed, NACK, on loopback.

    python3 bench/speed.py [--messages N] [--go PROGRAM] [--slow-crc]

A Go publisher (the program blaze of cmd/blaze) feeds a Python subscriber; without it a Python publisher does. Then a
Python publisher sends to a Python subscriber in another process, which has a core of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from blaze import Channel, crc, wire  # noqa: E402

URI = "udp://239.255.66.83:%d"


async def take(uri: str, messages: int, ready: Any) -> tuple[float, float, int]:
    """Seconds between the first and the last message, seconds of processor, and losses."""
    count = lost = 0
    first = last = 0.0
    done = asyncio.Event()

    def one(_: object) -> None:
        nonlocal count, first, last
        count += 1
        if count == 1:
            first = time.monotonic()
        elif count == messages:
            last = time.monotonic()
            done.set()

    def loss(x: Any) -> None:
        nonlocal lost
        lost += x.last - x.first + 1

    async with Channel(uri) as c:
        c.subscribe("speed.>", one, payloads=True, on_loss=loss)
        ready.set()
        began = time.process_time()
        await asyncio.wait_for(done.wait(), 120)
        return last - first, time.process_time() - began, lost


def taker(uri: str, messages: int, slow: bool, ready: Any, out: Any) -> None:
    if slow:
        wire.crc32c = crc.crc32c_slow
    out.put(asyncio.run(take(uri, messages, ready)))


async def send(uri: str, messages: int) -> float:
    payload = bytes(100)
    async with Channel(uri, self_delivery=False, linger=60) as c:
        p = c.publisher("speed.test")
        await p.wait_receivers(1, 10)
        began = time.monotonic()
        for i in range(messages):
            await p.publish(payload)
            if i % 64 == 0:
                await asyncio.sleep(0)
        await c.stop()
        return time.monotonic() - began


def measure(messages: int, go: str, slow: bool, port: int) -> tuple[float, float, float]:
    """Messages a second that are taken, and sent; and taken for each second of processor."""
    uri = URI % port
    ready, out = multiprocessing.Event(), multiprocessing.Queue()
    process = multiprocessing.Process(target=taker, args=(uri, messages, slow, ready, out))
    process.start()
    ready.wait()
    sent = 0.0
    if go:
        lines = (b"x" * 100 + b"\n") * messages
        subprocess.run([go, "pub", "--raw", "--uri", uri, "speed.test", "-"], input=lines, check=True, stderr=subprocess.DEVNULL, timeout=180)
    else:
        sent = messages / asyncio.run(send(uri, messages))
    took, processor, lost = out.get(timeout=120)
    process.join()
    if lost:
        raise SystemExit(f"{lost} messages were lost")
    return messages / took, sent, messages / processor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--go", default=os.environ.get("BLAZE_GO", ""))
    parser.add_argument("--slow-crc", action="store_true")
    a = parser.parse_args()
    port = 20000 + os.getpid() % 20000
    if a.go:
        taken, _, each = measure(a.messages, a.go, a.slow_crc, port)
        print(f"takes {taken:,.0f} messages/s of Go's, {each:,.0f} for each second of processor")
    taken, sent, each = measure(a.messages, "", a.slow_crc, port + 1)
    print(f"takes {taken:,.0f} messages/s of Python's, {each:,.0f} for each second of processor; sends {sent:,.0f}")
    print(f"python3-crc32c: {'no' if a.slow_crc or not crc.QUICK else 'yes'}")


if __name__ == "__main__":
    main()
