"""The API for programs without an event loop: a thread of its own runs one.

    with blocking.Channel(interface_uri) as c:
        for m in c.subscribe("prices.>"):
            print(m)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any, Callable, Coroutine, Iterator, TypeVar

from . import channel
from .errors import StateError
from .message import Message

T = TypeVar("T")


class Subscription:
    """An iterator over what comes. next(timeout) waits for one message."""

    def __init__(self, owner: Channel, inner: channel.Subscription) -> None:
        self._owner, self._inner = owner, inner

    def next(self, timeout: float | None = None) -> Any:
        """The next message; TimeoutError after timeout seconds, StopIteration when it was closed."""

        async def one() -> Any:
            try:
                return await asyncio.wait_for(self._inner.__anext__(), timeout)
            except StopAsyncIteration:
                return StopIteration

        m = self._owner._run(one())
        if m is StopIteration:
            raise StopIteration
        return m

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.next()

    def close(self) -> None:
        self._owner._call(self._inner.close)


class Publisher:
    """Publishes payloads on one topic."""

    def __init__(self, owner: Channel, inner: channel.Publisher) -> None:
        self._owner, self._inner = owner, inner

    def offer(self, payload: bytes) -> None:
        """BackPressure when there is no room now."""
        self._owner._call(lambda: self._inner.offer(payload))

    def publish(self, payload: bytes) -> None:
        """Waits while there is no room."""
        self._owner._run(self._inner.publish(payload))

    def publish_all(self, payloads: list[bytes]) -> None:
        """publish for many: they are packed, and cost one hand-over."""

        async def every() -> None:
            for p in payloads:
                await self._inner.publish(p)

        self._owner._run(every())

    @property
    def receivers(self) -> int:
        return self._owner._call(lambda: self._inner.receivers)

    def wait_receivers(self, n: int, timeout: float | None = None) -> None:
        self._owner._run(self._inner.wait_receivers(n, timeout))


class Channel:
    """channel.Channel with the same arguments, for any thread. Handlers run on the thread of the event loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._inner = channel.Channel(*args, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._loop is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="blaze", daemon=True)
        self._thread.start()
        try:
            self._run(self._inner.start())
        except BaseException:
            self._end()
            raise

    def stop(self) -> bool:
        """As channel.Channel.stop."""
        if self._loop is None:
            return True
        try:
            return self._run(self._inner.stop())
        finally:
            self._end()

    def _end(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Channel:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def id(self) -> bytes:
        return self._inner.id

    def subscribe(self, pattern: str, handler: Callable[[Any], None] | None = None, **options: Any) -> Subscription:
        if self._loop is None:
            return Subscription(self, self._inner.subscribe(pattern, handler, **options))
        return Subscription(self, self._call(lambda: self._inner.subscribe(pattern, handler, **options)))

    def publisher(self, topic: str) -> Publisher:
        return Publisher(self, self._inner.publisher(topic))

    def broadcast(self, topic: str, message: Message) -> None:
        self._run(self._inner.broadcast(topic, message))

    def stats(self) -> dict[str, int]:
        return self._call(self._inner.stats)

    def _run(self, what: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            what.close()
            raise StateError("the channel has not been started, or was stopped")
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def _call(self, f: Callable[[], T]) -> T:
        if self._loop is None:
            raise StateError("the channel has not been started, or was stopped")
        out: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                out.set_result(f())
            except BaseException as e:
                out.set_exception(e)

        self._loop.call_soon_threadsafe(run)
        return out.result()
