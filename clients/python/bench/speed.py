"""How many messages a second the Python member takes and sends: 100 bytes, packed, NACK, on loopback.

    python3 bench/speed.py [--messages N] [--go PROGRAM] [--slow-crc]
    python3 bench/speed.py --seconds S [--rate R]

A Go publisher (the program blaze of cmd/blaze) feeds a Python subscriber; without it a Python publisher does. Then a
Python publisher sends to a Python subscriber in another process, which has a core of its own. With --seconds it does so
at a bounded rate for so long, and prints the memory of both every 30 s (Linux).
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


async def soak(uri: str, seconds: float, rate: int, receiver: int) -> None:
    """Publishes at a rate, and prints resident memory: of this process and of the receiver."""
    payload, sent = bytes(100), 0
    async with Channel(uri, self_delivery=False, linger=60) as c:
        p = c.publisher("speed.test")
        await p.wait_receivers(1, 10)
        began = shown = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            while sent < (now - began) * rate:
                await p.publish(payload)
                sent += 1
            await asyncio.sleep(0.001)
            if now - shown >= 30 or shown == began and now - began >= 3:
                shown = now
                print(f"{now - began:4.0f} s: {sent:,} messages, sender {resident(os.getpid()):.1f} MB, receiver {resident(receiver):.1f} MB", flush=True)


def resident(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def listen(uri: str, ready: Any, stop: Any, out: Any) -> None:
    """Counts messages and losses until stop is set."""

    async def run() -> None:
        got = lost = 0

        def one(_: object) -> None:
            nonlocal got
            got += 1

        def loss(x: Any) -> None:
            nonlocal lost
            lost += x.last - x.first + 1

        async with Channel(uri) as c:
            c.subscribe("speed.>", one, payloads=True, on_loss=loss)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.1)
        out.put((got, lost))

    asyncio.run(run())


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
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--rate", type=int, default=20_000)
    a = parser.parse_args()
    port = 20000 + os.getpid() % 20000
    if a.seconds:
        ready, stop, out = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Queue()
        process = multiprocessing.Process(target=listen, args=(URI % port, ready, stop, out))
        process.start()
        ready.wait()
        assert process.pid is not None
        asyncio.run(soak(URI % port, a.seconds, a.rate, process.pid))
        stop.set()
        print("received {:,}, lost {:,}".format(*out.get(timeout=60)))
        process.join()
        return
    if a.go:
        taken, _, each = measure(a.messages, a.go, a.slow_crc, port)
        print(f"takes {taken:,.0f} messages/s of Go's, {each:,.0f} for each second of processor")
    taken, sent, each = measure(a.messages, "", a.slow_crc, port + 1)
    print(f"takes {taken:,.0f} messages/s of Python's, {each:,.0f} for each second of processor; sends {sent:,.0f}")
    print(f"python3-crc32c: {'no' if a.slow_crc or not crc.QUICK else 'yes'}")


if __name__ == "__main__":
    main()
