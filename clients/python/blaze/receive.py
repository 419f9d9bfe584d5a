"""The receiving half of one stream: order, gaps, NAKs, reports (docs/protocol.md).

A plain state machine: no I/O, no clock; `now` is ns and never goes backwards.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from . import fec, wire
from .wire import Data, Datagram, Heartbeat, Leave

if TYPE_CHECKING:
    from .core import Member

US, MS, S = 1_000, 1_000_000, 1_000_000_000
NEVER = 1 << 62

FEW = 3  # receivers with which NAKs go by unicast, at once
RTT_INITIAL, RTT_MIN, RTT_MAX = MS, 20 * US, S
BACKOFF = 4  # group round trips: the longest back-off (RFC 5401, K)
OVERHEAD = 256  # bytes that a datagram takes of a socket buffer beyond its length
EVICTION = S
REPAIR_TIMEOUT = 5 * S
STATUS_EVERY = 100 * MS
STATUS_EACH = S // 2000  # of the pause, for each receiver of the group
STATUS_SPREAD = 500 * US
LEAST_EVERY = 16 << 10
ECHO_LONGEST = 2 * S
MAX_GAPS = 1024  # datagrams of a stream that are asked for at a time
NAK_DEPTH = 64
MAX_NAKS = 20000  # a second, of a member
BEAT_MAX, BEAT_REST = 250 * MS, S
GRACE_MIN = 2 * MS
SILENCES, QUIETEST = 3, 12
ASK_TIMES = 4
ASK_LONGEST = 50 * MS
ASK_GROUP, ASK_FIRST = 6, 2  # after so many NAKs in vain every other one goes to the group
GROUP_TRIES = 64
FEC_WAIT = 10 * MS  # for a block, beyond a round trip, where nothing is asked for
MAX_PACKED = wire.MAX_MESSAGES

LIVE, SILENT, DORMANT, LEFT = range(4)


class Delivery(NamedTuple):
    """One message. sequence is its number in its stream, from 1."""

    sender: bytes
    stream: int
    sequence: int
    topic: str
    kind: int
    payload: bytes


class Loss(NamedTuple):
    """Messages first to last of a stream will never come. A refused stream has neither."""

    sender: bytes
    stream: int
    first: int
    last: int
    reason: str


class RTT:
    """A round trip, smoothed (RFC 6298, with a minimum for local networks). ns."""

    __slots__ = ("smooth", "variation")

    def __init__(self) -> None:
        self.smooth = self.variation = 0

    def sample(self, d: int) -> None:
        d = min(max(d, RTT_MIN // 2), RTT_MAX)
        if not self.smooth:
            self.smooth, self.variation = d, d // 2
            return
        d = min(d, 4 * max(self.smooth, RTT_MIN))
        self.variation += (abs(self.smooth - d) - self.variation) // 4
        self.smooth += (d - self.smooth) // 8

    def timeout(self, fallback: int) -> int:
        s = max(self.smooth, RTT_MIN) if self.smooth else fallback
        return max(s + 4 * self.variation, 2 * s) + RTT_MIN


class Timed:
    """Deadlines by name; the earliest is in the member's schedule."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.timers: dict[str, int] = {}
        self.at = NEVER

    def arm(self, name: str, at: int) -> None:
        self.timers[name] = at
        if at < self.at:
            self.at = at
            self.member.schedule(self, at)

    def sooner(self, name: str, at: int) -> None:
        if at < self.timers.get(name, NEVER):
            self.arm(name, at)

    def tick(self, now: int) -> None:
        late = now - self.at
        for name, at in list(self.timers.items()):
            if at <= now and self.timers.get(name) == at:
                del self.timers[name]
                self.expire(name, now, late)
        self.at = min(self.timers.values(), default=NEVER)
        if self.at < NEVER:
            self.member.schedule(self, self.at)

    def expire(self, name: str, now: int, late: int) -> None:
        raise NotImplementedError


class Gap:
    """A datagram that is missing."""

    __slots__ = ("noticed", "at", "asked", "since", "attempts", "unheard", "failed", "failed_at", "lowest", "group")

    def __init__(self, noticed: int, at: int) -> None:
        self.noticed, self.at = noticed, at
        self.asked = self.since = self.attempts = self.unheard = self.failed = self.failed_at = self.lowest = 0
        self.group = False


class Stream(Timed):
    """What one member incarnation sends under one protocol in one lane.

    due <= next <= highest: below due all was delivered or given up, next is the lowest that is missing, highest is one
    above the highest that is known to exist. seen is one above the highest that came.
    """

    def __init__(self, member: Member, d: Datagram, source: object, now: int) -> None:
        super().__init__(member)
        self.sender, self.incarnation, self.id, self.endpoint = d.transmitter, d.incarnation, d.stream, source
        protocol = d.protocol
        self.nack = protocol in (wire.NACK, wire.HYBRID)
        self.decoder = fec.Decoder() if protocol in (wire.FEC, wire.HYBRID) else None
        self.waits_for_blocks = protocol == wire.FEC
        self.state = LIVE
        self.heard, self.within, self.asks = now, BEAT_MAX, 0
        self.receivers, self.group_rtt, self.group_usual = 0, 0, 0
        self.held: dict[int, Data] = {}
        self.due = self.next = self.highest = self.seen = 0
        self.abandoned, self.abandoned_message, self.why = 0, 0, ""
        self.paused = False
        # What is missing.
        self.gaps: dict[int, Gap] = {}
        self.tracked = 0
        self.nak_queued = False
        self.rtt = RTT()
        self.quickest = self.service = 0
        self.expected = self.missing_lately = 0.0
        self.direct, self.group_tries = False, 0
        # Messages.
        self.message, self.fresh, self.gone_since, self.done, self.wrong = 0, True, 0, 0, -1
        self.parts: list[bytes] | None = None
        self.parts_len = self.size = 0
        self.whole: bytes | None = None
        self.skipped = -1
        # Reports.
        self.status_queued = False
        self.limit_told = 0
        self.received = self.datagrams = 0  # since the last report
        self.every, self.asked_every = member.report_every(0), 0
        self.echo = self.echo_at = self.status_sent = 0
        self.missed = self.gone = self.arrived = 0
        # What heartbeats and farewells said.
        self.tail = self.tail_message = self.farewell = self.jump = self.jump_at = 0
        self.out = 0

    def begin(self, now: int, n: int, message: int) -> None:
        """The stream is expected from datagram n on; message is its first message, 0 if that is not known."""
        self.due = self.next = self.highest = self.seen = self.abandoned = self.tracked = n
        self.message, self.fresh = message, True
        self.report(now, False)
        self.arm("silence", now + self.silence())
        self.arm("sender", now + self.within * 8 // 5)

    # -- data

    def take(self, now: int, m: Data, size: int, rebuilt: bool) -> str | None:
        """Takes in one Data. The answer is why it was dropped."""
        n = m.number
        if n < self.next or n < self.abandoned or n in self.held:
            return "stale"
        if n - self.due >= self.member.window:
            return "window"
        if not self._plausible(m) or n == self.due and not self.paused and not self._follows(m):
            return "implausible"
        if n == self.due and not self.paused:
            if self._deliver(m):
                self._came(now, n, size, rebuilt)
                self.due += 1
                if self.next < self.due:
                    self.next = self.due
                if self.held or self.due < self.abandoned:
                    self.drain(now)
                return None
            self._pause()
        if not self.member.may_hold(self):
            return "no room"
        self.held[n] = m
        self.member.holding += 1
        self._came(now, n, size, rebuilt)
        self._advance()
        if not self.nack and not self.waits_for_blocks and n > self.next:
            self.abandon(n, m.first_message, "unrepaired")
            self.drain(now)
        return None

    def _came(self, now: int, n: int, size: int, rebuilt: bool) -> None:
        self.heard = now
        if self.state != LIVE:
            self._wake(now)
        if self.within != BEAT_MAX:
            self._expect(now, BEAT_MAX)
        if not rebuilt:
            self.received += size + OVERHEAD
            self.datagrams += 1
            self.arrived += size
            near = self.member.window // 32
            if (
                self.received >= self.every
                or self.datagrams >= self.member.window // 4
                or self.limit_told - n <= near
                and self.limit() >= self.limit_told + near
            ):
                self.report(now, True)
        if n >= self.seen:
            self.seen = n + 1
            if n == self.highest and n == self.tracked:
                self.highest = self.tracked = n + 1
                return
            self.highest = max(self.highest, self.seen)
            self.notice(now)
        gap = self.gaps.pop(n, None)
        if gap is not None:
            self._repaired(now, n, gap, rebuilt)

    def _advance(self) -> None:
        while self.next in self.held:
            self.next += 1
        self.highest = max(self.highest, self.next)

    def drain(self, now: int) -> None:
        """Delivers what is due, in order: messages, and losses in their place."""
        while not self.paused:
            m = self.held.get(self.due)
            if m is None:
                if self.due >= self.abandoned:
                    break
                n = self.abandoned - self.due if not self.held else 1
                self.due += n
                self.gone_since += n
                self.gone += n
                self.next = max(self.next, self.due)
                continue
            if self._follows(m):
                if not self._deliver(m):
                    self._pause()
                    return
            elif self.wrong != self.due:
                # Whatever this was, the sender did not send it: ask for what it sent.
                self.wrong = self.due
                self._drop(self.due)
                self.next = self.due
                if self.nack and self.next < self.highest:
                    g = self.gaps[self.next] = Gap(now, now)
                    g.attempts = 1
                    self.sooner("nak", now)
                return
            else:
                self.gone_since += 1
                self.why = "malformed"
            self._drop(self.due)
            self.due += 1
            self.next = max(self.next, self.due)
        self._advance()
        if self.due == self.abandoned and self.abandoned_message:
            self._lost_below(self.abandoned_message)
            self.abandoned_message = 0
        if self.state == LEFT and self.due >= self.highest and not self.paused:
            self.arm("burial", self.heard + self.silence())

    def _drop(self, n: int) -> None:
        del self.held[n]
        self.member.holding -= 1

    def abandon(self, n: int, message: int, why: str) -> None:
        """Waits no longer for what is missing below n, whose first message that is (0: not known)."""
        if n <= self.abandoned:
            return
        self.abandoned, self.abandoned_message, self.why = n, message, why
        for k in [k for k in self.gaps if k < n]:
            del self.gaps[k]
        self.tracked = max(self.tracked, n)
        self.next = max(self.next, n)
        self._advance()

    def _pause(self) -> None:
        if not self.paused:
            self.paused = True
            self.member.paused.append(self)

    def resume(self, now: int) -> None:
        self.paused = False
        self.drain(now)
        if not self.paused and self.state <= SILENT and self.limit() >= self.limit_told + self.member.window // 4:
            self.report(now, True)

    # -- messages

    def _plausible(self, m: Data) -> bool:
        if not self.message:
            return True
        ahead = m.number - self.due + self.gone_since
        return m.first_message + 1 >= self.message and m.first_message - self.message + 1 <= ahead * MAX_PACKED + 1

    def _follows(self, m: Data) -> bool:
        if not self.message:
            return True
        first, later = m.first_message, bool(m.offset)
        if self.done or self.whole is not None:
            return first == self.message - self.done
        if later and first == self.skipped:
            return True
        if not self.gone_since and not self.fresh:
            if self.parts is not None:
                return later and first == self.message and m.size == self.size and m.offset == self.parts_len
            return not later and first == self.message
        if first < self.message or first == self.message and self.parts is not None and not later:
            return False
        return first - self.message <= (self.gone_since + 1) * MAX_PACKED

    def _deliver(self, m: Data) -> bool:
        """Hands on what a Data that is due and follows has. False: the application took not all of it."""
        if not self.message:
            self.message = m.first_message
        if m.offset is not None:
            return self._deliver_part(m)
        if not self.done:
            if m.first_message > self.message:
                self._lost_below(m.first_message)
            self.gone_since, self.fresh, self.skipped = 0, False, -1
        deliver, sender, stream, n = self.member.deliver, self.sender, self.id, self.message
        messages = m.messages[self.done :] if self.done else m.messages
        for topic, kind, payload in messages:
            if not deliver(Delivery(sender, stream, n, topic, kind, payload)):
                self.done += n - self.message
                self.message = n
                return False
            n += 1
        self.message, self.done = n, 0
        return True

    def _deliver_part(self, m: Data) -> bool:
        first, offset = m.first_message, m.offset
        topic, kind, payload = m.messages[0]
        if offset and first == self.skipped:
            self.gone_since = 0
            return True
        continues = not self.gone_since and self.parts is not None and first == self.message and offset == self.parts_len
        if offset and (self.gone_since or self.fresh) and not continues:
            # The beginning of this message is lost, so all of it is; a member that came in its middle lost nothing.
            if self.fresh and first == self.message:
                self.message += 1
            else:
                self._lost_below(first + 1)
            self.skipped, self.gone_since, self.fresh = first, 0, False
            return True
        if not offset:
            self._lost_below(first)
            self.gone_since, self.fresh, self.skipped = 0, False, -1
            if m.size > self.member.max_message_size:
                self._lose(first, "malformed")
                self.skipped = first
                return True
            if self.whole is None:
                if not self.member.may_assemble(self, m.size):
                    return False
                self.parts, self.parts_len, self.size = [], 0, m.size
        if self.whole is None:
            assert self.parts is not None
            self.parts.append(payload)
            self.parts_len += len(payload)
            if self.parts_len < self.size:
                return True
            self.whole = b"".join(self.parts)
        if not self.member.deliver(Delivery(self.sender, self.id, self.message, topic, kind, self.whole)):
            return False
        self.message += 1
        self._stop_assembling()
        return True

    def _stop_assembling(self) -> None:
        if self.parts is not None:
            self.member.assembled(self)
        self.parts, self.whole = None, None

    def _lost_below(self, n: int) -> None:
        if not self.message:
            self.message = n
        elif n > self.message:
            self._lose(n - 1, self.why)

    def _lose(self, last: int, why: str) -> None:
        loss = Loss(self.sender, self.id, self.message, last, why or "malformed")
        self.message = last + 1
        self._stop_assembling()
        self.member.count_lost(loss)

    # -- gaps and NAKs

    def notice(self, now: int) -> None:
        """Looks for what is missing below highest."""
        if not self.nack and not self.waits_for_blocks:
            self.tracked = max(self.tracked, self.highest)
            return
        n, new = max(self.tracked, self.next), 0
        start, at = n, -1
        while n < self.highest and len(self.gaps) < MAX_GAPS:
            if n not in self.held:
                if at < 0:
                    at = now + (FEC_WAIT + self.round_trip() if self.waits_for_blocks else self._backoff())
                self.gaps[n] = Gap(now, at)
                new += 1
            else:
                at = -1
            n += 1
        self.tracked = n
        self.expected += n - start
        self.missing_lately += new
        if self.expected > 1024:
            self.missing_lately *= 1024 / self.expected
            self.expected = 1024
        if new:
            self.missed += new
            self.sooner("nak", min(g.at for g in self.gaps.values()))
            self.sooner("status", max(self.status_sent + max(10 * MS, self.receivers * STATUS_EACH), now + MS))

    def few(self) -> bool:
        return self.receivers <= FEW

    def round_trip(self) -> int:
        return min(max(self.group_rtt, RTT_MIN), RTT_MAX) if self.group_rtt else RTT_INITIAL

    def usual_trip(self) -> int:
        """The round trip that half of the group keep: a few slow receivers make nobody else wait."""
        return min(max(self.group_usual, RTT_MIN), self.round_trip()) if self.group_usual else self.round_trip()

    def set_group(self, h: Heartbeat) -> None:
        self.receivers, self.group_rtt, self.group_usual = h.receivers, h.round_trip, h.usual_trip

    def _backoff(self) -> int:
        """RFC 5401, 5.2: a truncated exponential over BACKOFF round trips."""
        if self.few():
            return 0
        longest = BACKOFF * self.usual_trip()
        k = math.log(min(self.receivers, 1 << 16)) + 1
        e = math.exp(k) - 1
        x = self.member.random.random() * (k / longest) + k / (longest * e)
        return int(longest / k * math.log(x * e * (longest / k)))

    def overhear(self, now: int, gaps: list[tuple[int, int]]) -> None:
        """Lets another receiver's NAK stand for this one's."""
        if not self.gaps or self.few():
            return
        for first, count in gaps:
            if count < len(self.gaps):
                mine = [n for n in range(first, first + count) if n in self.gaps]
            else:
                mine = [n for n in self.gaps if first <= n < first + count]
            at = now + (BACKOFF + 2) * self.usual_trip() + self._backoff()
            for n in mine:
                if not self.gaps[n].attempts:
                    self.gaps[n].at = at

    def _quick(self) -> int:
        """After how many requests in vain for a gap the pauses grow."""
        arrives = 1 - min(self.missing_lately / max(self.expected, 16), 0.9)
        return min(2 + int(14 * (1 / (arrives * arrives) - 1)), 128)

    def _takes(self) -> int:
        return max(self.service, self.round_trip() * 5 // 4)

    def _send_nak(self, now: int) -> None:
        if self.nak_queued or self.state > SILENT:
            return
        if self.waits_for_blocks:
            self._give_up_blocks(now)
            return
        self._give_up(now)
        if not self.gaps:
            return
        at = min(g.at for g in self.gaps.values())
        if at <= now:
            wait = self.member.nak_tokens(now)
            if wait == 0:
                self.nak_queued = True
                self.member.queue(self.write_nak)
                return
            at = now + wait
        self.arm("nak", at)

    def write_nak(self, now: int) -> tuple[bytes, object] | None:
        """A NAK for every gap that is due: the datagram, and where it goes."""
        self.nak_queued = False
        if self.state > SILENT or self.member.closed:
            return None
        firsts: list[tuple[int, int]] = []
        again: list[tuple[int, int]] = []
        soonish = now + (max(self.rtt.smooth, RTT_MIN) if self.rtt.smooth else RTT_INITIAL) // 8 if self.few() else now
        room = min(wire.MAX_GAPS, (self.member.datagram - wire.HEADER - 26) // 16)
        to_group, following = False, NEVER
        order = sorted(self.gaps)
        spare = self.member.spare(self)
        for i, n in enumerate(order):
            g = self.gaps[n]
            if g.at <= soonish and (spare > 0 or i == 0) and len(firsts) + len(again) < room:
                spare -= 1
                which = again if g.attempts else firsts
                to_group |= self._ask(now, n, g, n == order[0])
                if which and which[-1][0] + which[-1][1] == n:
                    which[-1] = which[-1][0], which[-1][1] + 1
                else:
                    which.append((n, 1))
            elif g.at <= soonish and spare <= 0:
                g.at = now + self.rtt.timeout(self.round_trip())
            following = min(following, g.at)
        if following < NEVER:
            self.arm("nak", following)
        if not firsts and not again:
            return None
        self.member.stats["naks_sent"] += 1
        to = None if to_group or firsts and not self.few() else self.endpoint
        m = self.member
        b = wire.header(m.cluster, m.id, m.incarnation, self.id) + wire.nak(wire.Nak(self.sender, self.incarnation, firsts, again))
        return wire.seal(b), to

    def _ask(self, now: int, n: int, g: Gap, lowest: bool) -> bool:
        """Notes that a gap is asked for now; True: the group is asked."""
        if not g.since:
            g.since = g.failed_at = now
        g.attempts += 1
        g.unheard = min(g.unheard + 1, 6) if self.heard < g.asked else 0
        if g.asked and now - g.failed_at >= self._takes():
            g.failed, g.failed_at = g.failed + 1, now
        g.asked = now
        pause = self.rtt.timeout(self.round_trip())
        if not self.few():
            pause = max(pause, 2 * self.usual_trip())
        pause = max(min(pause << g.unheard, max(ASK_LONGEST, pause)), self.service // 2)
        if lowest and self.few():
            shift = max(g.lowest, 3) - 3
            g.lowest = min(g.lowest + 1, 13)
            pause = min(2 * max(self.quickest, self.round_trip()) << shift, pause)
        over = min(g.failed, (now - g.since) // self._takes()) - self._quick()
        if over > 0:
            pause = min(pause << min(2 * over, 40), max(REPAIR_TIMEOUT // 2, pause))
        g.at = now + pause + self.member.random.randrange(pause // 4 + 1)
        if g.since + REPAIR_TIMEOUT > now:
            g.at = min(g.at, g.since + REPAIR_TIMEOUT)
        odd = bool(g.attempts % 2)
        g.group = g.attempts > ASK_GROUP and odd
        if not self.direct and g.attempts > ASK_FIRST and odd and self.group_tries < GROUP_TRIES:
            self.group_tries += 1
            g.group = True
        return g.group

    def _repaired(self, now: int, n: int, g: Gap, rebuilt: bool) -> None:
        self.member.stats["repaired"] += 1
        if g.attempts:
            took = now - g.since
            self.service = max(self.service + (took - self.service) // 8, 1) if self.service else max(took, 1)
            if g.attempts == 1 and not rebuilt and g.asked:
                self.rtt.sample(now - g.asked)
                d = now - g.asked
                self.quickest = min(self.quickest, d) if self.quickest else d
        if len(self.gaps) < MAX_GAPS // 2 and self.tracked < self.highest:
            self.notice(now)

    def _give_up(self, now: int) -> None:
        """What was asked for in vain for REPAIR_TIMEOUT, although the sender is there, is lost."""
        if now - self.heard >= EVICTION:
            return
        gone = False
        for n in sorted(self.gaps):
            g = self.gaps.get(n)
            if g is None:
                continue
            if not g.since or now - g.since < REPAIR_TIMEOUT or g.failed < self._quick() + 4:
                break
            gone = True
            self.abandon(n + 1, self.tail_message if n + 1 == self.tail else 0, "timeout")
            self.drain(now)
        if gone:
            if self.tracked < self.highest:
                self.notice(now)
            self.report(now, True)

    def _give_up_blocks(self, now: int) -> None:
        """FEC: what no block has given back in time is lost, in order."""
        for n in sorted(self.gaps):
            g = self.gaps.get(n)
            if g is None:
                continue
            if g.at > now:
                self.arm("nak", g.at)
                return
            self.abandon(n + 1, self.tail_message if n + 1 == self.tail else 0, "unrepaired")
            self.drain(now)
        if self.tracked < self.highest:
            self.notice(now)

    # -- reports

    def limit(self) -> int:
        """There is room for datagrams below this one."""
        room = self.member.spare(self)
        if not self.paused:
            room = max(room, self.member.window // 16)
        return min(self.due + self.member.window, max(self.seen, self.next) + room, wire.LAST + 1)

    def report(self, now: int, at_once: bool) -> None:
        if self.status_queued:
            return
        if at_once:
            if not self.nack:
                self.received = 0
                return
            self.status_queued = True
            self.member.queue(self.write_status)
            return
        spread = max(STATUS_SPREAD, min(self.receivers * 50 * US, STATUS_EVERY))
        self.sooner("status", now + self.member.random.randrange(spread))

    def write_status(self, now: int) -> tuple[bytes, object] | None:
        self.status_queued = False
        m = self.member
        if self.state > SILENT or m.closed:
            return None
        self.received = self.datagrams = 0
        self.limit_told = self.limit()
        self.status_sent = now
        held = now - self.echo_at
        if held > ECHO_LONGEST:
            self.echo = held = 0
        m.stats["statuses_sent"] += 1
        s = wire.Status(
            self.sender, self.incarnation, self.next, max(self.highest, self.next), max(self.limit_told, self.next), min(m.room, 1 << 31),
            self.echo, held, self.missed, self.gone, 0, self.arrived, now if self.arrived else 0, min(self.every, 1 << 31),
        )
        return wire.seal(wire.header(m.cluster, m.id, m.incarnation, self.id) + wire.status(s)), self.endpoint

    # -- heartbeats, farewells, silence

    def on_heartbeat(self, now: int, h: Heartbeat, source: object, group: bool) -> str | None:
        if h.last + 1 < self.seen:  # data overtook it
            if group or h.sent_at <= self.echo:
                return "stale"
            self.echo, self.echo_at = h.sent_at, now
            return None
        self.endpoint = source
        self.hear(now)
        self.echo, self.echo_at = h.sent_at, now
        self.set_group(h)
        self._expect(now, h.pause * US)
        if h.every != self.asked_every:
            self.asked_every = h.every
            self.every = self.member.report_every(h.every)
        if h.want_status:
            self.report(now, self.nack and self.receivers <= 4)
        why = "retention"
        if h.evicted:
            self.out = now
        if h.first > self.due + self.member.window:
            # Far behind: the sender went on without this receiver. A single heartbeat may be forged.
            if not self.jump or h.first < self.jump or h.sent_at == self.jump_at:
                self.jump, self.jump_at = h.first, h.sent_at
                self.report(now, False)
                return None
            why = "reset"
        elif self.nack and (self.status_sent and now - self.status_sent >= EVICTION or self.out and now - self.out < 10 * S):
            why = "reset"
        self.jump = 0
        if h.first > self.next:
            self.abandon(h.first, h.first_message, why)
            self.drain(now)
        end = min(h.last + 1, self.due + self.member.window)
        if not self.nack and not self.waits_for_blocks:
            if end > self.next and ("tail" not in self.timers or end > self.tail):
                self.tail, self.tail_message = h.last + 1, h.next_message
                self.arm("tail", now + self.grace())
            return None
        self.tail, self.tail_message = h.last + 1, h.next_message
        if self.abandoned == h.last + 1 and self.due == self.abandoned and self.gone_since and not self.abandoned_message:
            self.abandoned_message = h.next_message
            self.drain(now)
        if self.seen <= end < self.highest:
            # An earlier one announced datagrams that do not exist.
            self.highest = max(self.seen, self.next, end)
            for n in [n for n in self.gaps if n >= self.highest]:
                del self.gaps[n]
            self.tracked = min(self.tracked, self.highest)
        elif end > self.highest:
            self.highest = end
            self.notice(now)
        return None

    def hear(self, now: int) -> None:
        self.heard = now
        if self.state != LIVE:
            self._wake(now)

    def _wake(self, now: int) -> None:
        was, self.state = self.state, LIVE
        self.member.event("stream resumed", self.sender, self.id)
        self.arm("sender", now + self.within * 8 // 5)
        if was == DORMANT:
            self.arm("status", now)
            self.arm("silence", now + self.silence())

    def _expect(self, now: int, pause: int) -> None:
        pause = min(max(pause, BEAT_MAX), BEAT_REST)
        sooner = pause < self.within
        self.within = pause
        if sooner and self.state == LIVE:
            self.sooner("sender", now + self.within * 8 // 5)
            self.sooner("silence", now + self.silence())

    def on_leave(self, now: int, v: Leave) -> None:
        if self.state == LEFT or "farewell" in self.timers:
            return
        assert v.last is not None and v.next_message is not None
        self.farewell = 0
        if self.state <= SILENT and self.seen <= v.last + 1 <= self.due + self.member.window:
            self.farewell = v.next_message
            self.highest = max(self.highest, v.last + 1)
            self.notice(now)
        self.arm("farewell", now + self.grace())

    def end(self, now: int, state: int) -> None:
        """The sender is gone: what is missing is lost."""
        was, self.state = self.state, state
        self.timers.clear()
        self.abandon(self.highest, self.farewell, "sender gone")
        if self.farewell and self.abandoned == self.highest and not self.abandoned_message:
            self.abandoned_message = self.farewell
        self.farewell = 0
        self.drain(now)
        if state == LEFT and self.due >= self.highest and self.skipped < 0 and self.parts is not None:
            self._lost_below(self.message + 1)
        if state == LEFT:
            self.member.event("stream left", self.sender, self.id)
            if not self.paused:
                self.sooner("burial", self.heard + self.silence())
        elif was == LIVE:
            self.member.event("stream silent", self.sender, self.id)

    def grace(self) -> int:
        return max(4 * self.rtt.smooth, 4 * min(self.group_rtt, RTT_MAX), GRACE_MIN)

    def silence(self) -> int:
        return max(SILENCES * EVICTION, QUIETEST * self.within)

    def expire(self, name: str, now: int, late: int) -> None:
        if name == "nak":
            if late >= REPAIR_TIMEOUT // 16:  # this member did not run, so it could not receive anything
                for g in self.gaps.values():
                    if g.since:
                        g.since += late
            self._send_nak(now)
        elif name == "status":
            if not self.status_queued:
                self.status_queued = True
                self.member.queue(self.write_status)
            every = max(STATUS_EVERY, min(self.receivers * STATUS_EACH, EVICTION // 3))
            self.arm("status", now + every * 3 // 4 + self.member.random.randrange(every // 2))
        elif name == "tail":
            self.abandon(self.tail, self.tail_message, "unrepaired")
            self.drain(now)
        elif name == "farewell":
            self.end(now, LEFT)
        elif name == "sender":
            self._ask_sender(now, late)
        elif name == "silence":
            if late > self.silence() // 4:
                self.heard = now
            if now - self.heard >= self.silence():
                self.end(now, DORMANT)
            else:
                self.arm("silence", self.heard + self.silence())
        elif name == "burial":
            self.member.forget(self)

    def _ask_sender(self, now: int, late: int) -> None:
        """Asks the sender whether it is there, when nothing came for 1.6 of its pauses."""
        if self.state != LIVE:
            return
        at, every = self.heard + self.within * 8 // 5, self.within * 2 // 5
        if now < at:
            self.asks = 0
        elif late > every // 2:
            self.asks, at = 0, now + self.within * 8 // 5
        elif self.asks < ASK_TIMES:
            self.asks += 1
            self.echo = 0
            if not self.status_queued:
                self.status_queued = True
                self.member.queue(self.write_status)
            at = now + every
        else:
            self.asks, self.state = 0, SILENT
            self.member.event("stream silent", self.sender, self.id)
            return
        self.arm("sender", at)
