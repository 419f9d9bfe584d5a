"""A Python member that subscribes to everything of a group: listen.py URI [MESSAGES-A-SECOND].

It writes "ready", and at the end of its standard input what it has received and lost. With a rate it reads its
subscription that slowly; otherwise a handler takes each message at once. What is under way at the end is waited for.
"""

import asyncio
import json
import sys

from blaze import Channel


async def main(uri: str, rate: float) -> None:
    got = lost = 0

    def one(_: object) -> None:
        nonlocal got
        got += 1

    def loss(x: object) -> None:
        nonlocal lost
        lost += x.last - x.first + 1

    async def read(subscription: object) -> None:
        nonlocal got
        async for _ in subscription:
            got += 1
            if got % max(int(rate / 100), 1) == 0:
                await asyncio.sleep(max(int(rate / 100), 1) / rate)

    async with Channel(uri, subscription_queue=256, window=512 << 10, max_message_size=64 << 10) as c:
        s = c.subscribe(">", None if rate else one, payloads=True, on_loss=loss)
        reader = asyncio.create_task(read(s)) if rate else None
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        before = -1
        while before != got + lost:  # what is under way
            before = got + lost
            await asyncio.sleep(0.3)
        if reader:
            reader.cancel()
        print(json.dumps({"got": got, "lost": lost}), flush=True)


asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0))
