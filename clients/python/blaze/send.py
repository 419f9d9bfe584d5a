"""The sending half of one stream: packing, what is kept for repair, heartbeats, flow control (docs/protocol.md)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Iterator

from . import wire
from .errors import BackPressure, ClosedError, TooLargeError
from .pace import ROUND_MIN, UNBOUND_FOR, Arrivals, Pace
from .receive import EVICTION, FEW, MS, NEVER, RTT, RTT_INITIAL, RTT_MAX, RTT_MIN, S, US, Timed
from .wire import Datagram, Nak, Status

if TYPE_CHECKING:
    from .core import Member

START_FOR, START_DATAGRAMS = 20 * MS, 16  # the beginning of a stream
START_EVERY, START_COPIES = 2 * MS, 5
BEAT_MIN, BEAT_SLOW, BEAT_MAX, BEAT_BLOCKED, BEAT_UNASKED = 50 * US, 100 * MS, 250 * MS, 20 * MS, 5 * MS
ASK_ALL = 4
MIN_IN_FLIGHT = 4
OVERHEAD = 256
DEFAULT_ROOM, MIN_ROOM = 208 << 10, 4 << 10
MAX_AHEAD = 128  # datagrams that are packed and have not left
BEATS_REMEMBERED = 512
TRIPS_REMEMBERED = 12  # the shortest of them is what a receiver keeps
ECHO_AGE = 3 * S
MAX_RECEIVERS = 1024
MAX_NEWCOMERS = 64
NEWCOMER_ASKS = 4
REPAIR_BASE = 128 << 10
REPAID_AFTER = 100 * MS


class Bucket:
    """A token bucket that time refills."""

    def __init__(self, tokens: float, now: int) -> None:
        self.tokens, self.last = tokens, now

    def take(self, now: int, rate: float, depth: float, stay: float = 0) -> int:
        """0 when a token was taken; otherwise the ns until there is one."""
        self.tokens = min(depth, self.tokens + rate * (now - self.last) / S)
        self.last = now
        if self.tokens < 1 + stay:
            return int((1 + stay - self.tokens) / rate * S) + 1
        self.tokens -= 1
        return 0


class Slot:
    """One datagram that is kept: its frame, and what all before it take of a socket buffer."""

    __slots__ = ("frame", "start", "sealed", "message", "below", "repaired", "length", "back", "last_group", "asker", "want", "to", "own")

    def __init__(self, frame: bytes, start: bool, message: int, below: int) -> None:
        self.frame, self.start, self.message, self.below = frame, start, message, below
        self.sealed: bytes | None = None
        self.repaired = -NEVER
        self.length, self.back = 0, False  # of the repair; it was given back to the budget
        self.last_group = True
        self.asker: object = None
        self.want = 0  # 1: by unicast, 2: by multicast
        self.to: object = None
        self.own: list[tuple[str, int, bytes]] | None = None


class Receiver:
    """What a sender keeps of one receiver."""

    __slots__ = ("endpoint", "next", "highest", "limit", "room", "heard", "pause", "counts", "asks", "due", "echo", "rtt", "trips", "arrivals")

    def __init__(self, endpoint: object, now: int, first: int) -> None:
        self.endpoint, self.heard = endpoint, now
        self.next = self.highest = self.limit = first
        self.room, self.pause, self.counts, self.asks, self.due, self.echo = DEFAULT_ROOM, 0, False, 0, now, 0
        self.rtt = RTT()
        self.trips: deque[int] = deque(maxlen=TRIPS_REMEMBERED)
        self.arrivals = Arrivals()


class Sender(Timed):
    """Datagrams are numbered from 1: first <= sent <= next. [first, sent) was sent and is kept, [sent, next) waits."""

    def __init__(self, member: Member, stream: int, now: int) -> None:
        super().__init__(member)
        self.id = stream
        self.nack = stream >> 24 == wire.NACK
        self.opened = now
        self.header = wire.header(member.cluster, member.id, member.incarnation, stream)
        self.first = self.sent = self.next = 1
        self.message = 1
        self.slots: dict[int, Slot] = {}
        self.cost = 0  # of all datagrams so far
        # What is being packed.
        self.body: list[bytes] = []
        self.body_len = self.count = 0
        self.last_topic = ""
        self.own: list[tuple[str, int, bytes]] = []
        self.large: tuple[str, int, bytes] | None = None
        self.large_at = 0
        # Receivers.
        self.receivers: dict[bytes, Receiver] = {}
        self.lately: dict[bytes, int] = {}
        self.beats: deque[int] = deque(maxlen=BEATS_REMEMBERED)
        self.group_asked = 0
        self.unicast_asks = Bucket(16, now)
        self.young = self.nack
        self.blocked = False
        self.pace = Pace()
        self.bound_by: Receiver | None = None
        # Heartbeats.
        self.wait, self.last_sent, self.since = BEAT_MIN, now, 0
        self.beat_queued = self.beat_asks = False
        self.budget = Bucket(10, now)
        self.rate = Rate()
        self.starts = 0
        self.start_wait = START_EVERY
        # Repairs.
        self.repairs: deque[int] = deque()
        self.repair_debt, self.repair_last, self.repaired_below = 0.0, now, 0
        self.turn = False
        self.arm("beat", now + START_FOR)
        self.arm("look", now + START_FOR)
        self._start(now)

    # -- what the application gives

    def room_for(self, topic: bytes) -> int:
        """The longest payload that one datagram takes: beside the header, a Start, and all tags and lengths."""
        return self.member.datagram - wire.HEADER - wire.START - 3 - 18 - 4 - 2 - len(topic) - 2 - 4

    def offer(self, now: int, topic: str, kind: int, payload: bytes) -> None:
        """Accepts one message, or raises BackPressure, TooLargeError or ClosedError and changes nothing."""
        m = self.member
        if m.closed:
            raise ClosedError("the member has left")
        if len(payload) > m.max_message_size:
            raise TooLargeError(f"{len(payload)} bytes, at most {m.max_message_size} allowed")
        if self.large is not None:
            self._feed(now)
            if self.large is not None:
                self._full(now)
        same = self.count > 0 and topic == self.last_topic
        n = len(payload)
        size = n + 12 if same else n + 12 + 4 * len(topic)
        if not self.count or self.body_len + size > m.datagram - wire.HEADER - wire.START - 24 or self.count == wire.MAX_MESSAGES:
            raw = topic.encode()
            if self.body_len + n + len(raw) + 14 > m.datagram - wire.HEADER - wire.START - 24 or self.count == wire.MAX_MESSAGES:
                if self.count:
                    self._close(now)
                if n > self.room_for(raw):
                    if self.next - self.sent > min(m.window // 2, MAX_AHEAD):
                        self._full(now)
                    self.large, self.large_at = (topic, kind, payload), 0
                    self.message += 1
                    m.stats["messages_sent"] += 1
                    self._feed(now)
                    return
            if not self.count:
                if self.next - self.sent > min(m.window // 2, MAX_AHEAD) or not self._reuse(now):
                    self._full(now)
            same = self.count > 0 and topic == self.last_topic
        b = wire.packed(None if same else topic, kind, payload)
        self.body.append(b)
        self.body_len += len(b)
        self.count += 1
        self.last_topic = topic
        self.message += 1
        m.stats["messages_sent"] += 1
        if m.self_delivery:
            self.own.append((topic, kind, payload))

    def _full(self, now: int) -> None:
        if self.sent == self.next and self.next - self.first >= self.member.window:
            self._block(now)
        raise BackPressure("the window is full of what receivers have not reported")

    def _feed(self, now: int) -> None:
        """Packs as many parts of a large message as the window takes."""
        assert self.large is not None
        topic, kind, payload = self.large
        raw = topic.encode()
        room = self.room_for(raw) - 12
        while self.large_at < len(payload) and self._reuse(now):
            at = self.large_at
            part = payload[at : at + room]
            self.large_at += len(part)
            frame = wire.data(self.next, self.message - 1, wire.packed(topic, kind, part), at, len(payload))
            slot = self._keep(now, frame, self.message - 1)
            if self.member.self_delivery and self.large_at == len(payload):
                slot.own = [(topic, kind, payload)]
        if self.large_at == len(payload):
            self.large = None

    def _close(self, now: int) -> None:
        first = self.message - self.count
        slot = self._keep(now, wire.data(self.next, first, b"".join(self.body)), first)
        if self.member.self_delivery:
            slot.own = self.own
            self.own = []
        self.body, self.body_len, self.count, self.last_topic = [], 0, 0, ""

    def _keep(self, now: int, frame: bytes, message: int) -> Slot:
        start = self._beginning(now)
        slot = self.slots[self.next] = Slot(frame, start, message, self.cost)
        self.cost += wire.HEADER + len(frame) + (wire.START if start else 0) + OVERHEAD
        self.next += 1
        self.member.rouse(self)
        return slot

    def _reuse(self, now: int) -> bool:
        """Makes room for one datagram; it gives up the oldest one if nobody needs it."""
        while self.next + 1 - self.first > self.member.window:
            if self.first >= min(self.sent, self._keep_from()):
                if self.sent == self.next:
                    self._block(now)
                return False
            del self.slots[self.first]
            self.first += 1
        return True

    def _keep_from(self) -> int:
        """The lowest datagram that receivers may still need."""
        if not self.nack:
            return NEVER
        lowest = min((r.next for r in self.receivers.values() if r.counts), default=0)
        if lowest:
            return lowest
        return 1 if self.young else NEVER

    def message_at(self, n: int) -> int:
        """The number of the first message of datagram n, or of the next one to come."""
        slot = self.slots.get(n)
        if slot is not None:
            return slot.message
        return self.message - self.count if self.large is None else self.message - 1

    # -- what leaves

    def flush(self, now: int) -> None:
        """Closes the open datagram when nothing waits before it."""
        if self.large is not None:
            self._feed(now)
        if self.count and self.sent == self.next:
            self._close(now)

    def poll(self, now: int) -> Iterator[tuple[bytes, object]]:
        """The repairs and data that may leave now, in turns."""
        while True:
            if self.sent == self.next and not self.member.closed:
                self.flush(now)
            data = self.sent < self.next
            if data and not self._allows():
                data = False
                self._block(now)
            if (data or self.repairs) and not self.pace.ready(now):
                self._hold(now)
                return
            if self.repairs and (not data or self.turn):
                out = self._repair(now)
                if out is not None:
                    self.turn = False
                    yield out
                    continue
            if not data:
                return
            n = self.sent
            slot = self.slots[n]
            self.sent += 1
            self.turn = True
            self.blocked = False
            self.member.stats["datagrams_sent"] += 1
            self._left(now)
            b = self._bytes(now, slot)
            self.repair_debt -= 1.5 * len(b)
            self.pace.sent += len(b)
            self.pace.spend(now, len(b))
            if slot.own is not None:
                self.member.own(self.id, slot.message, slot.own)
                slot.own = None
            yield b, None

    def _bytes(self, now: int, slot: Slot) -> bytes:
        if slot.sealed is not None:
            return slot.sealed
        b = self.header + slot.frame
        if slot.start:  # its age changes, so it is sealed anew each time
            return wire.seal(b + self._start_frame(now))
        slot.sealed = wire.seal(b)
        slot.frame = b""
        return slot.sealed

    def _start_frame(self, now: int) -> bytes:
        return wire.start(wire.Start(1, 1, max(now - self.opened, 0), self.member.lanes))

    def _beginning(self, now: int) -> bool:
        return self.sent <= START_DATAGRAMS or now - self.opened < START_FOR

    def _allows(self) -> bool:
        if not self.nack:
            return True
        waited = [r for r in self.receivers.values() if r.counts]
        if not waited:
            return True
        if self.sent >= min(r.limit for r in waited):
            return False
        highest = min(r.highest for r in waited)
        if self.sent < highest + MIN_IN_FLIGHT:
            return True
        return self._cost_below(self.sent + 1) - self._cost_below(highest) <= min(r.room for r in waited)

    def _cost_below(self, n: int) -> int:
        """What all datagrams below n take of a socket buffer."""
        if n >= self.next:
            return self.cost
        return self.slots[max(n, self.first)].below

    def _hold(self, now: int) -> None:
        """The pace holds back what could leave."""
        p = self.pace
        p.holds += 1
        if self.bound_by is not None and now - p.asked >= ROUND_MIN // 2:
            p.asked = now
            self.probe(now, self.bound_by.endpoint)
        self.sooner("pace", max(p.next, now + 1))

    def _set_pace(self, now: int) -> None:
        """The least that receivers allow is the pace."""
        before = self.pace.rate
        self.pace.rate, self.bound_by = 0.0, None
        for r in self.receivers.values():
            v = r.arrivals.allows() if r.counts else 0.0
            if v and (not self.pace.rate or v < self.pace.rate):
                self.pace.rate, self.bound_by = v, r
        if not before:
            self.pace.next = now

    def _block(self, now: int) -> None:
        if not self.blocked:
            self.blocked = True
            self.member.stats["blocked"] += 1
            self.wait = self._quick()
            self.sooner("beat", now + self.wait)

    # -- repairs

    def on_nak(self, now: int, d: Datagram, n: Nak, source: object, group: bool) -> str | None:
        if not self.nack:
            return "protocol"
        left, sent, gone = self.member.window, False, False
        for again, gaps in ((False, n.gaps), (True, n.again)):
            for first, count in gaps:
                sent |= first < self.sent
                gone |= first < self.first
                for k in range(max(first, self.first), min(first + count, self.sent)):
                    if left <= 0:
                        break
                    left -= 1
                    self._asked(now, k, again and not group, source)
        if not sent:
            return "not sent"
        r = self.receivers.get(d.transmitter)
        if r is not None:
            r.heard, r.endpoint = now, source
        if gone:
            self.probe(now, source)
        return None

    def _asked(self, now: int, n: int, again: bool, source: object) -> None:
        slot = self.slots[n]
        hold = self.round_trip() // 2 if again else self.round_trip()
        want = 1 if again else 2
        if slot.want:
            if slot.want == 1 and (want == 2 or slot.asker != source):
                slot.want = 2
            return
        if now - slot.repaired < hold:
            if slot.last_group or slot.asker == source:
                return  # it is on its way
            want = 2
        slot.want, slot.asker = want, source
        self.repairs.append(n)
        self.member.rouse(self)

    def _repair(self, now: int) -> tuple[bytes, object] | None:
        # What is sent again has a budget: one and a half times the new data, and REPAIR_BASE a second besides.
        self.repair_debt = max(self.repair_debt, -REPAIR_BASE) - REPAIR_BASE * (now - self.repair_last) / S
        self.repair_debt = max(self.repair_debt, -REPAIR_BASE)
        self.repair_last = now
        if self.repair_debt > REPAIR_BASE:
            self.sooner("repairs", now + int((self.repair_debt - REPAIR_BASE) / REPAIR_BASE * S) + 1)
            self.repairs = deque(sorted(self.repairs))  # while not all may leave, the oldest first: it lets others follow
            return None
        while self.repairs:
            n = self.repairs.popleft()
            if not self.first <= n < self.sent:
                continue
            slot = self.slots[n]
            b = self._bytes(now, slot)
            self.repair_debt += len(b)
            slot.length = len(b)
            self.repaired_below = max(self.repaired_below, n + 1)
            to = slot.asker if slot.want == 1 else None
            if to is None:
                self.pace.sent += len(b)
            else:
                for r in self.receivers.values():
                    if r.endpoint == to:
                        r.arrivals.direct += len(b)
            self.pace.spend(now, len(b))
            slot.last_group, slot.want, slot.repaired = slot.want == 2, 0, now
            self.member.stats["repairs_sent"] += 1
            return b, to
        return None

    def _arrived(self, now: int, first: int, end: int) -> None:
        """A receiver reports these datagrams: what was sent again of them, lately, is given back to the budget, once."""
        for n in range(max(first, self.first), min(end, self.repaired_below)):
            slot = self.slots[n]
            if slot.repaired > 0 and not slot.back:
                slot.back = True
                if now - slot.repaired <= REPAID_AFTER:
                    self.repair_debt -= slot.length

    # -- receivers

    def round_trip(self) -> int:
        longest = max((r.rtt.smooth for r in self.receivers.values() if r.counts), default=0)
        return max(longest, RTT_MIN) if longest else RTT_INITIAL

    def joined(self) -> int:
        return sum(r.counts for r in self.receivers.values())

    def on_status(self, now: int, d: Datagram, st: Status, source: object) -> str | None:
        if st.next > self.sent:
            return "implausible"
        who = d.transmitter
        if now - self.lately.get(who, -NEVER) < S:
            return "stale"
        r = self.receivers.get(who)
        echoed = st.echo in self.beats and 0 < st.echo <= now and now - st.echo <= ECHO_AGE
        if r is None:
            newcomers = len(self.receivers) - self.joined()
            if len(self.receivers) >= MAX_RECEIVERS or not echoed and newcomers >= MAX_NEWCOMERS:
                return "receivers"
            r = self.receivers[who] = Receiver(source, now, self.first)
        r.heard, r.endpoint = now, source
        if not r.counts:
            if not echoed:
                r.asks = min(r.asks, NEWCOMER_ASKS - 1)
                self.sooner("meet", max(now, r.due))
                return None
            r.counts = True
            self.member.event("receiver joined", who, self.id)
        rested, r.pause = r.pause != 0, min(st.pause * US, 30 * S)
        if st.next > r.next:
            self._arrived(now, r.next, st.next)
            r.next = st.next
        r.highest = max(r.highest, min(st.highest, self.sent))
        r.limit = max(r.limit, st.limit)
        r.room = max(st.room or DEFAULT_ROOM, MIN_ROOM)
        if st.echo and st.echo != r.echo and st.echo <= now:
            r.echo = st.echo
            if st.held <= now - st.echo:
                trip = min(now - st.echo - st.held, RTT_MAX)
                r.rtt.sample(trip)
                r.trips.append(trip)
        if not st.echo and now - self.last_sent >= 100 * MS:
            self.probe(now, source)
        if self.nack and not self.member.free_pace:
            n = max(r.highest, self.first)
            data = self._cost_below(n) - (n - 1) * OVERHEAD
            ours = self.sent + self.member.stats["repairs_sent"]
            if r.arrivals.report(now, st, self.pace, data, rested, r.rtt.smooth, ours, self.member.data_received):
                self.probe(now, source)
            self._set_pace(now)
        self.member.rouse(self)
        return None

    def drop(self, who: bytes, now: int, why: str) -> None:
        r = self.receivers.pop(who, None)
        if r is None:
            return
        if why == "receiver left":
            self.lately = {k: at for k, at in self.lately.items() if now - at < S}
            self.lately[who] = now
        if r.counts:
            self.member.event(why, who, self.id)
        self._set_pace(now)
        self.member.rouse(self)

    def acknowledged(self) -> bool:
        """Whether all that was accepted has left, and every receiver that counts has reported it."""
        if self.sent < self.next or self.count or self.large is not None:
            return False
        return not self.nack or all(r.next >= self.sent for r in self.receivers.values() if r.counts)

    # -- heartbeats

    def _left(self, now: int) -> None:
        self.rate.add(now)
        self.last_sent, self.since = now, 0
        self.wait = self._quick()
        self.arm("beat", now + self.wait)

    def _quick(self) -> int:
        if not self.nack:
            return BEAT_UNASKED
        return max(BEAT_MIN, min(self.round_trip(), MS))

    def _start(self, now: int) -> None:
        self.starts += 1
        self.member.queue(lambda t: (wire.seal(self.header + self._start_frame(t)), None))
        if self.starts < START_COPIES:
            self.arm("start", now + self.start_wait)
            self.start_wait *= 2

    def _may_beat(self, now: int, stay: float) -> int:
        if self.since >= 3 and now - self.last_sent < MS:
            return self.last_sent + MS - now
        wait = self.budget.take(now, max(90, 0.09 * self.rate.per_second(now)), 10, stay)
        if not wait:
            self.since += 1
        return wait

    def beat(self, now: int, ask: bool) -> int:
        """Queues a heartbeat to the group; the answer is 0, or how long it has to wait."""
        wait = self._may_beat(now, 3)
        if wait:
            return wait
        self.beat_asks |= ask
        if not self.beat_queued:
            self.beat_queued = True
            self.member.queue(self._group_beat)
        return 0

    def _group_beat(self, now: int) -> tuple[bytes, object]:
        self.beat_queued, ask, self.beat_asks = False, self.beat_asks, False
        return self._write_beat(now, ask), None

    def probe(self, now: int, to: object) -> int:
        """Queues a heartbeat for one receiver, which asks for its report."""
        wait = self._may_beat(now, 0)
        if not wait:
            self.member.queue(lambda t: (self._write_beat(t, True), to))
        return wait

    def _write_beat(self, now: int, ask: bool) -> bytes:
        if not self.beats or self.beats[-1] != now:
            self.beats.append(now)
        counting = [r for r in self.receivers.values() if r.counts]
        longest, usual = max((r.rtt.smooth for r in counting), default=0), 0
        if len(counting) > FEW:
            trips = sorted(min(r.trips) for r in counting if r.trips)
            if trips:
                usual = max(trips[(len(trips) - 1) // 2], RTT_MIN)
            if 4 * usual > 3 * longest:
                usual = 0
        h = wire.Heartbeat(
            self.first, self.sent - 1, self.message_at(self.first), self.message_at(self.sent), now, min(longest, RTT_MAX), len(counting), ask, usual_trip=usual
        )
        b = self.header + wire.heartbeat(h)
        if self._beginning(now):
            b += self._start_frame(now)
        self.member.stats["heartbeats_sent"] += 1
        return wire.seal(b)

    def _fire(self, now: int) -> None:
        joined = self.joined()
        held = self.blocked and (self.sent < self.next or self.next - self.first >= self.member.window)
        if self.wait < BEAT_SLOW and not held and self.nack and joined and self.acknowledged():
            self.wait = BEAT_SLOW
            self.arm("beat", now + self.wait)
            return
        ask = held or self.nack and joined <= ASK_ALL and not self.acknowledged()
        wait = self.beat(now, ask)
        if wait:
            self.arm("beat", now + wait)
            return
        longest = BEAT_BLOCKED if held or self.nack and joined and not self.acknowledged() else BEAT_MAX
        self.wait = min(self.wait * 3, longest)
        self.arm("beat", now + self.wait)

    def expire(self, name: str, now: int, late: int) -> None:
        if self.member.closed:
            self.timers.clear()
            return
        self.member.rouse(self)
        if name == "beat":
            self._fire(now)
        elif name == "start":
            self._start(now)
        elif name == "look":
            self._look(now, late)
        elif name == "meet":
            self._meet(now)

    def _look(self, now: int, late: int) -> None:
        """Looks for receivers that are silent: they are asked, and then are not waited for."""
        self.young = False
        every = EVICTION // 16
        for who, r in list(self.receivers.items()):
            if late > every:  # this member did not run, so it heard nobody
                r.heard += late
            longest = max(EVICTION, r.pause * 7 // 2) if r.next >= self.sent else EVICTION
            silent = now - r.heard
            if silent >= longest:
                self.drop(who, now, "receiver evicted")
            elif r.counts and silent >= longest // 2:
                self.probe(now, r.endpoint)
            if r.arrivals.phase and now - r.arrivals.bound >= 2 * UNBOUND_FOR:
                r.arrivals.free()
        self._set_pace(now)
        self.arm("look", now + every)

    def _meet(self, now: int) -> None:
        """Sends newcomers the heartbeat that they have to echo."""
        due = [r for r in self.receivers.values() if not r.counts and r.asks < NEWCOMER_ASKS and r.due <= now]
        joined = self.joined()
        to_group = False
        following = NEVER
        for r in due:
            direct = joined > 0 and len(due) <= ASK_ALL and r.asks < 2 and self.unicast_asks.take(now, 10, 16) == 0
            if direct:
                wait = self.probe(now, r.endpoint)
                if wait:
                    r.due = now + wait
                    continue
            to_group |= not direct
            r.due = now + (max(2 * self.round_trip(), 2 * MS) << r.asks)
            r.asks += 1
        if to_group:
            wait = self.group_asked + (100 * MS if joined else 2 * MS) - now if self.group_asked else 0
            if wait <= 0:
                wait = self.beat(now, not joined)
                if not wait:
                    self.group_asked = now
            if wait > 0:
                following = now + wait
                for r in due:
                    r.asks, r.due = max(r.asks - 1, 0), following
        for r in self.receivers.values():
            if not r.counts and r.asks < NEWCOMER_ASKS:
                following = min(following, r.due)
        if following < NEVER:
            self.arm("meet", max(following, now + 1))


class Rate:
    """Events in about the last second."""

    def __init__(self) -> None:
        self.tenths = [0] * 10
        self.at = 0

    def add(self, now: int) -> None:
        self._advance(now)
        self.tenths[self.at % 10] += 1

    def per_second(self, now: int) -> int:
        self._advance(now)
        return sum(self.tenths)

    def _advance(self, now: int) -> None:
        t = now // (100 * MS)
        if t - self.at >= 10:
            self.tenths = [0] * 10
        else:
            for i in range(self.at + 1, t + 1):
                self.tenths[i % 10] = 0
        self.at = max(self.at, t)
