"""A member without I/O: datagrams and time in, datagrams and messages out.

    member.step(now, datagram, source, group)   a datagram came
    member.offer(now, topic, kind, payload)     the application publishes
    member.tick(now)                            deadlines fire
    for datagram, to in member.poll(now): …     to is None for the group
    member.deadline()                           when tick is next needed; None: never

`now` is in ns, of any clock that never goes backwards. Calls must not overlap.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from typing import Callable, Iterator

from . import fec, topic as topics, wire
from .errors import BackPressure, UnsupportedError
from .receive import DORMANT, EVICTION, LEAST_EVERY, LEFT, MAX_NAKS, NAK_DEPTH, NEVER, OVERHEAD, SILENT, Delivery, Loss, Stream, Timed
from .send import Bucket, Sender

PROTOCOLS = {1: "BEST_EFFORT", 2: "NACK", 3: "FEC", 4: "HYBRID", 5: "TOTEM", 6: "groups", 7: "clusters"}
SPOKEN = {wire.BEST_EFFORT, wire.NACK}  # what it publishes under
READ = {wire.BEST_EFFORT, wire.NACK, wire.FEC, wire.HYBRID}
MAX_STREAMS = 4096
LEAVE_COPIES = 3
MAX_FAREWELLS = 256
OWN_WAITING = 4096  # own messages that wait for the application

Control = Callable[[int], "tuple[bytes, object] | None"]


def unsupported(what: str) -> UnsupportedError:
    """The refusal of a part that this member does not have, by its name in docs/languages.md."""
    return UnsupportedError(f"{what} is not supported by the Python member")


class Member:
    """One started channel's protocols. deliver(Delivery) answers whether the application took the message; one that it
    did not take is offered again by resume. window is in datagrams, datagram and room in bytes."""

    def __init__(
        self,
        id: bytes,
        cluster: int,
        deliver: Callable[[Delivery], bool],
        lost: Callable[[Loss], None],
        now: int,
        *,
        datagram: int = 1472,
        window: int = 5698,
        room: int = 208 << 10,
        lanes: int = 1,
        protocol: int = wire.NACK,
        max_message_size: int = 1 << 20,
        self_delivery: bool = False,
        seed: int | None = None,
        event: Callable[[str, bytes, int], None] | None = None,
        max_streams: int = MAX_STREAMS,
        free_pace: bool = False,
    ) -> None:
        if protocol not in SPOKEN:
            raise unsupported(f"Protocol.{PROTOCOLS.get(protocol, protocol)}")
        self.id, self.cluster, self.incarnation = id, cluster, 0
        self.deliver, self.lost = deliver, lost
        self.datagram, self.window, self.room, self.lanes = datagram, window, room, lanes
        self.protocol, self.max_message_size, self.self_delivery = protocol, max_message_size, self_delivery
        self.began = now
        self.random = random.Random(seed)
        self.on_event = event
        self.max_streams = max_streams
        self.free_pace = free_pace  # the pace does not follow what arrives
        self.closed = False
        self.stats: Counter[str] = Counter()
        self.drops: Counter[str] = Counter()  # by reason
        self.unsupported: Counter[str] = Counter()  # what came of protocols that this member does not have
        self.streams: dict[tuple[bytes, int], Stream] = {}
        self.ended: list[Stream] = []  # of earlier incarnations, that still have something to deliver
        self.refused: dict[tuple[bytes, int], None] = {}
        self.senders: dict[int, Sender] = {}
        self.busy: dict[Sender, None] = {}
        self.paused: list[Stream] = []
        self.controls: deque[Control] = deque()
        self.data_received = 0  # datagrams with data, of all streams
        self.holding = 0  # datagrams in all reorder windows
        self.holding_most = 4 * window
        self.assembling: dict[Stream, int] = {}
        self.naks = Bucket(NAK_DEPTH, now)
        self.owned: deque[Delivery] = deque()
        self._heap: list[tuple[int, int, Timed]] = []
        self._ids = itertools.count()

    # -- in

    def step(self, now: int, b: bytes, source: object, group: bool) -> None:
        """A datagram came, through the group's socket or the own one. What is refused changes nothing and is counted."""
        head = wire.peek(b)
        if head is not None:
            if head[0] != self.cluster:
                self.drops["cluster"] += 1
                return
            if head[1] == self.id:
                return  # its own, from the group
        try:
            d = wire.decode(b)
        except wire.WireError as e:
            self.drops[e.reason] += 1
            return
        if d.cluster != self.cluster:
            self.drops["cluster"] += 1
            return
        if d.transmitter == self.id:
            return
        protocol = d.stream >> 24
        if protocol not in READ or d.stream >> 16 & 0xFF:
            self.unsupported[PROTOCOLS.get(protocol, f"protocol {protocol}")] += 1
            return
        self.stats["datagrams_received"] += 1
        if len(d.frames) > 1:
            for f in d.frames:  # a Start says where the Data beside it begins
                if type(f) is wire.Start:
                    self._count(self._start(now, d, f, source))
        spans = iter(d.spans)
        for f in d.frames:
            kind = type(f)
            if kind is wire.Data:
                self._count(self._data(now, d, f, b, next(spans), source, group))  # type: ignore[arg-type]
            elif kind is wire.Start:
                if len(d.frames) == 1:
                    self._count(self._start(now, d, f, source))  # type: ignore[arg-type]
            elif kind is wire.Heartbeat:
                self._count(self._heartbeat(now, d, f, source, group))  # type: ignore[arg-type]
            elif kind is wire.Nak:
                self._count(self._nak(now, d, f, source, group))  # type: ignore[arg-type]
            elif kind is wire.Status:
                self._count(self._status(now, d, f, source))  # type: ignore[arg-type]
            elif kind is wire.Leave:
                self._count(self._leave(now, d, f))  # type: ignore[arg-type]
            elif kind is wire.Repair:
                self._repair(now, d, f, b)  # type: ignore[arg-type]

    def _count(self, why: str | None) -> None:
        if why is not None:
            self.drops[why] += 1

    def _look_up(self, now: int, d: Datagram_) -> tuple[Stream | None, str | None]:
        s = self.streams.get((d.transmitter, d.stream))
        if s is None:
            return None, None
        if d.incarnation < s.incarnation:
            return None, "incarnation"
        if d.incarnation > s.incarnation:
            del self.streams[d.transmitter, d.stream]
            if s.state != LEFT:
                s.end(now, LEFT)
            if s.paused:
                self.ended.append(s)
            else:
                self._release(s)
            return None, None
        if s.state == LEFT:
            return None, "stale"
        return s, None

    def _join(self, now: int, d: Datagram_, source: object) -> Stream | None:
        key = d.transmitter, d.stream
        if len(self.streams) + len(self.ended) >= self.max_streams and not self._evict():
            if key not in self.refused and len(self.refused) < 1024:
                self.refused[key] = None
                self.event("stream refused", d.transmitter, d.stream)
                self.lost(Loss(d.transmitter, d.stream, 0, 0, "refused"))
            return None
        self.refused.pop(key, None)
        s = self.streams[key] = Stream(self, d, source, now)
        self.event("stream started", s.sender, s.id)
        return s

    def _evict(self) -> bool:
        gone = [s for s in self.streams.values() if s.state > SILENT and not s.paused]
        if not gone:
            return False
        self.forget(min(gone, key=lambda s: s.heard))
        return True

    def _data(self, now: int, d: Datagram_, m: wire.Data, b: bytes, span: tuple[int, int], source: object, group: bool) -> str | None:
        s, why = self._look_up(now, d)
        if why is not None:
            return why
        if s is None:
            s = self._join(now, d, source)
            if s is None:
                return "streams"
            s.begin(now, m.number, m.first_message)
        self.data_received += 1
        why = s.take(now, m, len(b), False)
        if why is None:
            s.endpoint = source
            if not group:
                s.direct = True
        else:
            s.arrived += len(b)
        if s.decoder is not None and (why is None or why == "stale"):
            lo, hi = span
            if hi == len(b) and lo <= wire.HEADER + 4 and b[0] == 0x0D and b[14] == 0x1D:
                symbol = (hi - lo).to_bytes(2, "little") + b[15:19] + b[lo:hi]
            else:
                symbol = fec.source_symbol(d, b[lo:hi])
            s.decoder.source(m.number, symbol)
        return why

    def _repair(self, now: int, d: Datagram_, r: wire.Repair, b: bytes) -> None:
        s, why = self._look_up(now, d)
        if s is None or s.decoder is None:
            return
        s.arrived += len(b)
        for symbol in s.decoder.repair(r):
            again = fec.rebuild(d, symbol)
            if again is None:
                continue
            try:
                g = wire.decode(again)
            except wire.WireError:
                self.drops["rebuilt"] += 1
                continue
            m = g.frames[0]
            if isinstance(m, wire.Data):
                lo, hi = g.spans[0]
                s.decoder.source(m.number, symbol[: 6 + hi - lo])
                if s.take(now, m, len(again), True) is None:
                    self.stats["rebuilt"] += 1

    def _start(self, now: int, d: Datagram_, st: wire.Start, source: object) -> str | None:
        s, why = self._look_up(now, d)
        if why is not None:
            return why
        if s is not None:
            s.endpoint = source
            s.hear(now)
            return None
        if now - self.began < st.age:
            return None  # the stream was there before: it begins with the first Data
        s = self._join(now, d, source)
        if s is None:
            return "streams"
        s.begin(now, st.first, st.first_message)
        s.fresh = False
        return None

    def _heartbeat(self, now: int, d: Datagram_, h: wire.Heartbeat, source: object, group: bool) -> str | None:
        s, why = self._look_up(now, d)
        if why is not None:
            return why
        if s is None:
            s = self._join(now, d, source)
            if s is None:
                return "streams"
            s.set_group(h)
            s.begin(now, h.last + 1, h.next_message)
        return s.on_heartbeat(now, h, source, group)

    def _nak(self, now: int, d: Datagram_, n: wire.Nak, source: object, group: bool) -> str | None:
        if n.origin == self.id:
            if n.origin_incarnation != self.incarnation:
                return "incarnation"
            own = self.senders.get(d.stream)
            return "not sent" if own is None else own.on_nak(now, d, n, source, group)
        s = self.streams.get((n.origin, d.stream))
        if s is not None and s.incarnation == n.origin_incarnation:
            s.overhear(now, n.gaps)
        return None

    def _status(self, now: int, d: Datagram_, st: wire.Status, source: object) -> str | None:
        if st.origin != self.id:
            return None
        if st.origin_incarnation != self.incarnation:
            return "incarnation"
        own = self.senders.get(d.stream)
        return "not sent" if own is None else own.on_status(now, d, st, source)

    def _leave(self, now: int, d: Datagram_, v: wire.Leave) -> str | None:
        for own in self.senders.values():
            own.drop(d.transmitter, now, "receiver left")
        if v.last is None:
            return None
        s = self.streams.get((d.transmitter, d.stream))
        if s is not None:
            if d.incarnation != s.incarnation:
                return "incarnation"
            s.on_leave(now, v)
        return None

    # -- the application

    def sender(self, now: int, topic: str) -> Sender:
        """The stream that a topic is published on."""
        return self.open(now, self.protocol << 24 | topics.lane_of(topic, self.lanes))

    def open(self, now: int, stream: int) -> Sender:
        s = self.senders.get(stream)
        if s is None:
            s = self.senders[stream] = Sender(self, stream, now)
        return s

    def offer(self, now: int, topic: str, kind: int, payload: bytes) -> None:
        """Publishes one message; BackPressure when there is no room for it now."""
        if len(self.owned) >= OWN_WAITING:
            raise BackPressure("own messages wait for the application")
        s = self.sender(now, topic)
        s.offer(now, topic, kind, payload)
        self.busy[s] = None

    def own(self, stream: int, first: int, messages: list[tuple[str, int, bytes]]) -> None:
        """Own messages have left: they are delivered here too."""
        for n, (topic, kind, payload) in enumerate(messages, first):
            m = Delivery(self.id, stream, n, topic, kind, payload)
            if self.owned or not self.deliver(m):
                self.owned.append(m)

    def resume(self, now: int) -> None:
        """Offers again what the application did not take."""
        while self.owned and self.deliver(self.owned[0]):
            self.owned.popleft()
        again, self.paused = self.paused, []
        for s in again:
            s.resume(now)
            if not s.paused and s in self.ended:
                self.ended.remove(s)
                self._release(s)

    def close(self, now: int) -> None:
        """Takes leave. What has not left by then does not leave any more."""
        if self.closed:
            return
        self.closed = True
        self.controls.clear()
        ids = [s.id for s in self.streams.values() if s.state <= SILENT and s.id not in self.senders]
        ids = list(dict.fromkeys(ids))[:MAX_FAREWELLS]
        if not self.senders and wire.NACK << 24 not in ids:
            ids.append(wire.NACK << 24)
        farewells = [
            s.header + wire.leave(wire.Leave(s.sent - 1, s.message_at(s.sent))) for s in self.senders.values()
        ] + [wire.header(self.cluster, self.id, self.incarnation, i) + wire.leave(wire.Leave()) for i in ids]
        for _ in range(LEAVE_COPIES):
            for b in farewells:
                self.controls.append(lambda _, b=b: (wire.seal(b), None))  # type: ignore[misc]

    # -- out

    def poll(self, now: int) -> Iterator[tuple[bytes, object]]:
        """All that may leave now: datagrams, and where they go (None: to the group)."""
        while True:
            while self.controls:
                out = self.controls.popleft()(now)
                if out is not None:
                    yield out
            if self.closed or not self.busy:
                return
            for s in list(self.busy):
                yield from s.poll(now)
                if not s.repairs and s.sent == s.next and not s.count and s.large is None:
                    self.busy.pop(s, None)
            if not self.controls:
                return

    def tick(self, now: int) -> None:
        """Fires the deadlines that have come."""
        heap = self._heap
        for _ in range(len(heap)):
            if not heap or heap[0][0] > now:
                return
            at, _, owner = heapq.heappop(heap)
            if owner.at == at:
                owner.tick(now)

    def deadline(self) -> int | None:
        heap = self._heap
        while heap and heap[0][2].at != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    # -- for its streams and senders

    def schedule(self, owner: Timed, at: int) -> None:
        owner.at = at
        heapq.heappush(self._heap, (at, next(self._ids), owner))

    def queue(self, control: Control) -> None:
        if not self.closed:
            self.controls.append(control)

    def rouse(self, s: Sender) -> None:
        self.busy[s] = None

    def event(self, kind: str, member: bytes, stream: int) -> None:
        self.stats[kind] += 1
        if self.on_event is not None:
            self.on_event(kind, member, stream)

    def count_lost(self, loss: Loss) -> None:
        self.stats["lost"] += loss.last - loss.first + 1
        self.lost(loss)

    def nak_tokens(self, now: int) -> int:
        return self.naks.take(now, MAX_NAKS, NAK_DEPTH)

    def report_every(self, asked: int) -> int:
        """Bytes from one report to the next: a quarter of the room, or what the sender asks for if that is less."""
        cost = self.datagram + OVERHEAD
        every = max(min(self.room, self.window * cost) // 4, 2 * cost)
        return min(every, max(asked, LEAST_EVERY)) if asked else every

    def spare(self, s: Stream) -> int:
        """Datagrams that a stream may ask for, or let its sender send, at one time."""
        left = self.holding_most - self.holding
        return max(min(left, 2 * left - len(s.held)), 0)

    def may_hold(self, s: Stream) -> bool:
        return 2 * (self.holding_most - self.holding) > len(s.held)

    def may_assemble(self, s: Stream, size: int) -> bool:
        """Whether there is memory for another large message: four of the largest, and always one."""
        others = sum(n for o, n in self.assembling.items() if o is not s)
        if others and others + size > 4 * self.max_message_size:
            return False
        self.assembling[s] = size
        return True

    def assembled(self, s: Stream) -> None:
        self.assembling.pop(s, None)

    def forget(self, s: Stream) -> None:
        if self.streams.get((s.sender, s.id)) is s:
            del self.streams[s.sender, s.id]
        if s.parts is not None:
            s._lose(s.message, "sender gone")
        self._release(s)

    def _release(self, s: Stream) -> None:
        self.holding -= len(s.held)
        s.held.clear()
        s.timers.clear()
        s.at = NEVER
        self.assembling.pop(s, None)


Datagram_ = wire.Datagram

__all__ = ["DORMANT", "Delivery", "EVICTION", "LEFT", "Loss", "Member", "unsupported"]
