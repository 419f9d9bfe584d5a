"""The API for asyncio: Channel, Publisher, Subscription (docs/api.md, in the words of Python)."""

from __future__ import annotations

import asyncio
import enum
import os
import time
from collections import deque
from typing import Any, AsyncIterator, Awaitable, Callable

from . import topic as topics, wire
from .core import Delivery, Loss, Member, unsupported
from .errors import BackPressure, ClosedError, ConfigError, MalformedError, StateError
from .message import Message
from .send import Sender
from .transport import DEFAULT_URI, Transport, Uri

KIND_RAW, KIND_MESSAGE = 0, 1
BATCH = 64  # datagrams that are read before something else has its turn
LONGEST_TURN = 2_000_000  # ns that a task may publish without a break


class Protocol(enum.IntEnum):
    """How what is published is made reliable. The Python member publishes under the first two."""

    BEST_EFFORT = 1
    NACK = 2
    FEC = 3
    HYBRID = 4
    TOTEM = 5


# Settings of the Go member that this one does not have.
OF_OTHERS = {
    "name", "topics", "safe", "fec", "totem", "slow_consumer", "flow_control", "slowest_for", "max_rate", "heartbeat_interval", "heartbeat_rate",
    "failure_timeout", "repair_timeout", "lock_lease", "expected_members", "master_weight", "data_dir", "sync", "state_limit",
    "observer", "idle", "invoker", "engine_cpus",
}  # fmt: skip

Handler = Callable[[Any], "Awaitable[None] | None"]


class Subscription:
    """What comes on the topics of a pattern. It is an async iterator, or has a handler, which runs on the event loop."""

    def __init__(self, channel: Channel, pattern: str, handler: Handler | None, on_loss: Callable[[Loss], None] | None, payloads: bool, queue: int) -> None:
        self.channel, self.pattern = channel, pattern
        self._handler, self._on_loss, self._payloads = handler, on_loss, payloads
        self._queue: deque[Any] = deque()
        self._most = queue
        self._waiter: asyncio.Future[None] | None = None
        self.closed = False

    def _full(self) -> bool:
        return len(self._queue) >= self._most

    def _take(self, m: Any) -> None:
        handler = self._handler
        if handler is None:
            self._queue.append(m)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
            return
        try:
            out = handler(m)
        except Exception as e:
            self.channel._failed(e, f"a handler of {self.pattern}")
            return
        if out is not None:
            self.channel._spawn(out)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        while not self._queue:
            if self.closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        m = self._queue.popleft()
        if len(self._queue) == self._most // 2:
            self.channel._resume()
        return m

    def close(self) -> None:
        """Ends it. What is queued can still be read."""
        self.closed = True
        self.channel._remove(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Publisher:
    """Publishes payloads on one topic."""

    def __init__(self, channel: Channel, topic: str) -> None:
        self.channel, self.topic = channel, topic

    def offer(self, payload: bytes, kind: int = KIND_RAW) -> None:
        """Accepts a payload, or raises BackPressure at once. What is offered in one turn of the event loop is packed."""
        self.channel._offer(self.topic, kind, payload)

    async def publish(self, payload: bytes, kind: int = KIND_RAW) -> None:
        """offer that waits while there is no room."""
        await self.channel._publish(self.topic, kind, payload)

    @property
    def receivers(self) -> int:
        """Receivers of the topic's stream that have reported."""
        return self.channel._sender(self.topic).joined()

    async def wait_receivers(self, n: int, timeout: float | None = None) -> None:
        """Waits until there are n receivers; TimeoutError when that takes longer than timeout, in seconds."""

        async def wait() -> None:
            while self.receivers < n:
                await self.channel._changed()

        await asyncio.wait_for(wait(), timeout)


class Channel:
    """Topics over reliable multicast, in one event loop.

        async with Channel("udp://239.255.66.76:6676?interface=eth0") as c:
            c.subscribe("prices.>", print)
            await c.broadcast("prices.eu", Message({"bid": 99.5}))

    uri: where the group is; without interface it stays on loopback. cluster: members receive each other only within one.
    window: bytes of a stream kept for repair, and for reordering. linger: seconds that stop waits for receivers.
    congestion_control: where much does not arrive at a receiver, the pace follows what arrives there.
    loss and seed lose a share of all datagrams, for tests.
    """

    def __init__(
        self,
        uri: str = DEFAULT_URI,
        *,
        cluster: str = "default",
        protocol: Protocol = Protocol.NACK,
        lanes: int = 1,
        window: int = 8 << 20,
        max_message_size: int = 1 << 20,
        subscription_queue: int = 4096,
        self_delivery: bool = True,
        linger: float = 1.0,
        max_streams: int = 4096,
        congestion_control: bool = True,
        loss: float = 0.0,
        seed: int | None = None,
        on_event: Callable[[str, bytes, int], None] | None = None,
        **others: Any,
    ) -> None:
        for name in others:
            if name in OF_OTHERS:
                raise unsupported(f"the setting {name}")
            raise TypeError(f"Channel has no setting {name!r}")
        self.uri = Uri(uri)
        if protocol not in (Protocol.BEST_EFFORT, Protocol.NACK):
            raise unsupported(f"Protocol.{Protocol(protocol).name}")
        for name, v, least, most in (
            ("lanes", lanes, 1, 64), ("window", window, 64 << 10, 1 << 30), ("max_message_size", max_message_size, 1, 1 << 30),
            ("subscription_queue", subscription_queue, 2, 1 << 24), ("loss", loss, 0, 1), ("linger", linger, 0, 3600), ("max_streams", max_streams, 1, 1 << 16),
        ):  # fmt: skip
            if not least <= v <= most:
                raise ConfigError(f"{name}={v}: from {least} to {most} is allowed")
        self.cluster, self.protocol, self.lanes, self.window = cluster, protocol, lanes, window
        self.max_message_size, self.subscription_queue = max_message_size, subscription_queue
        self.self_delivery, self.linger, self.max_streams = self_delivery, linger, max_streams
        self.congestion_control = congestion_control
        self.loss, self.seed, self.on_event = loss, seed, on_event
        self.id = b""
        self._subscriptions: list[Subscription] = []
        self._by_topic: dict[str, list[Subscription]] = {}
        self._member: Member | None = None
        self._transport: Transport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._soon = self._turning = False
        self._turned = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Future[None]] = set()
        self.malformed = 0  # messages that could not be decoded

    # -- life cycle

    async def __aenter__(self) -> Channel:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Opens the sockets and begins to listen, under a new member id."""
        if self._member is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._transport = t = Transport(self.uri, self.loss, self.seed)
        self.id = os.urandom(16)
        self._member = Member(
            self.id, topics.cluster_hash(self.cluster), self._deliver, self._lost, self._now(), datagram=t.datagram,
            window=max(self.window // t.datagram, 16), room=t.room, lanes=self.lanes, protocol=int(self.protocol),
            max_message_size=self.max_message_size, self_delivery=self.self_delivery, seed=self.seed, event=self.on_event, max_streams=self.max_streams,
            free_pace=not self.congestion_control,
        )  # fmt: skip
        self._loop.add_reader(t.group.fileno(), self._turn)
        self._loop.add_reader(t.own.fileno(), self._turn)
        self._turn()

    async def stop(self) -> bool:
        """Waits, for linger at most, until receivers have reported all that was accepted, takes leave and closes the
        sockets. The answer is whether they have."""
        m, t = self._member, self._transport
        if m is None or t is None:
            return True
        assert self._loop is not None
        end = self._loop.time() + self.linger
        self._turn()
        while not (done := all(s.acknowledged() for s in m.senders.values())) and self._loop.time() < end:
            await self._changed(min(0.05, max(end - self._loop.time(), 0.001)))
        m.close(self._now())
        self._turn()
        self._loop.remove_reader(t.group.fileno())
        self._loop.remove_reader(t.own.fileno())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        t.close()
        self._member = self._transport = None
        self._wake()
        return done

    # -- topics

    def subscribe(
        self, pattern: str, handler: Handler | None = None, *, on_loss: Callable[[Loss], None] | None = None, payloads: bool = False, queue: int | None = None
    ) -> Subscription:
        """Subscribes to a topic or a pattern. Messages go to handler, or to whoever iterates over the subscription.

        With payloads they come as Delivery, undecoded. on_loss gets what is gone for good, in its place.
        """
        topics.validate_pattern(pattern)
        s = Subscription(self, pattern, handler, on_loss, payloads, queue or self.subscription_queue)
        self._subscriptions.append(s)
        self._by_topic.clear()
        return s

    def publisher(self, topic: str) -> Publisher:
        topics.validate(topic)
        return Publisher(self, topic)

    async def broadcast(self, topic: str, message: Message) -> None:
        """Publishes a Message; it waits while there is no room."""
        topics.validate(topic)
        await self._publish(topic, KIND_MESSAGE, message.encode())

    def stats(self) -> dict[str, int]:
        """Counters: of the protocol, dropped.REASON, unsupported.PROTOCOL."""
        m = self._running()
        assert self._transport is not None
        out = dict(m.stats)
        out |= {f"dropped.{k}": n for k, n in m.drops.items()}
        out |= {f"unsupported.{k}": n for k, n in m.unsupported.items()}
        return out | {"send_errors": self._transport.send_errors, "malformed": self.malformed}

    # -- inside

    @staticmethod
    def _now() -> int:
        return time.monotonic_ns()

    def _running(self) -> Member:
        if self._member is None:
            raise StateError("the channel has not been started, or was stopped")
        return self._member

    def _sender(self, topic: str) -> Sender:
        s = self._running().sender(self._now(), topic)
        self._turn_soon()
        return s

    def _offer(self, topic: str, kind: int, payload: bytes) -> None:
        m = self._member
        if m is None:
            raise StateError("the channel has not been started, or was stopped")
        try:
            m.offer(time.monotonic_ns(), topic, kind, payload)
        except BackPressure:
            if self._turning:
                raise
            self._turn()  # what is packed may leave, and then there may be room
            m.offer(time.monotonic_ns(), topic, kind, payload)
        if not self._soon:
            self._turn_soon()

    async def _publish(self, topic: str, kind: int, payload: bytes) -> None:
        while True:
            try:
                self._offer(topic, kind, payload)
                if time.monotonic_ns() - self._turned > LONGEST_TURN:
                    await asyncio.sleep(0)  # what comes has its turn too
                return
            except BackPressure:
                await self._changed()
                if self._member is None:
                    raise ClosedError("the channel was stopped") from None

    async def _changed(self, most: float = 0.05) -> None:
        """Waits until something has come, or some time has passed."""
        assert self._loop is not None
        f = self._loop.create_future()
        self._waiters.append(f)
        handle = self._loop.call_later(most, _done, f)
        await f
        handle.cancel()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for f in waiters:
            if not f.done():
                f.set_result(None)

    def _turn_soon(self) -> None:
        if not self._soon and self._loop is not None:
            self._soon = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Reads what has come, lets deadlines fire, sends what may leave, and sets the timer.

        It reads before deadlines fire: after a time in which the loop did something else, what came meanwhile counts.
        """
        m, t = self._member, self._transport
        if self._turning:  # a handler publishes
            self._turn_soon()
            return
        self._soon = False
        if m is None or t is None:
            return
        assert self._loop is not None
        self._turning = True
        try:
            now = self._turned = time.monotonic_ns()
            came = 0
            for s, group in ((t.group, True), (t.own, False)):  # the group's first: what it has was sent before
                for _ in range(BATCH):
                    got = t.receive(s)
                    if got is None:
                        break
                    m.step(now, got[0], got[1], group)
                    came += 1
            if m.paused or m.owned:
                m.resume(now)
            m.tick(now)
            for b, to in m.poll(now):
                t.send(b, to)  # type: ignore[arg-type]
        finally:
            self._turning = False
        at = m.deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = self._loop.call_later(max(at - now, 0) / 1e9, self._turn)
        if came and self._waiters:
            self._wake()

    def _resume(self) -> None:
        m = self._member
        if m is not None and (m.paused or m.owned):
            self._turn_soon()

    def _remove(self, s: Subscription) -> None:
        if s in self._subscriptions:
            self._subscriptions.remove(s)
            self._by_topic.clear()
            self._resume()

    def _deliver(self, d: Delivery) -> bool:
        to = self._by_topic.get(d.topic)
        if to is None:
            if len(self._by_topic) >= 4096:
                self._by_topic.clear()
            to = self._by_topic[d.topic] = [s for s in self._subscriptions if topics.match(s.pattern, d.topic)]
        if not to:
            return True
        for s in to:
            if len(s._queue) >= s._most:
                return False
        message = None
        for s in list(to) if len(to) > 1 else to:
            if s._payloads:
                s._take(d)
                continue
            if message is None:
                message = self._message(d)
            if isinstance(message, Message):
                s._take(message)
            elif s._on_loss is not None:
                s._on_loss(message)
        return True

    def _message(self, d: Delivery) -> Message | Loss:
        """A delivery as a Message: raw bytes are its body."""
        if d.kind == KIND_RAW:
            m = Message(data=d.payload)
        else:
            try:
                if d.kind != KIND_MESSAGE:
                    raise MalformedError(f"a message of the newer kind {d.kind}")
                m = Message.decode(d.payload)
            except MalformedError:
                self.malformed += 1
                return Loss(d.sender, d.stream, d.sequence, d.sequence, "malformed")
        m.topic, m.sender, m.sequence = d.topic, d.sender, d.sequence
        return m

    def _lost(self, loss: Loss) -> None:
        for s in list(self._subscriptions):
            # The topics of what is lost are not known: it goes to all that may have matched.
            if s._on_loss is not None:
                try:
                    s._on_loss(loss)
                except Exception as e:
                    self._failed(e, "on_loss")

    def _failed(self, e: Exception, what: str) -> None:
        assert self._loop is not None
        self._loop.call_exception_handler({"message": f"blaze: {what} failed", "exception": e})

    def _spawn(self, out: Awaitable[None]) -> None:
        task = asyncio.ensure_future(out)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _done(f: asyncio.Future[None]) -> None:
    if not f.done():
        f.set_result(None)


__all__ = ["Channel", "Protocol", "Publisher", "Subscription", "wire"]
