"""Defects that are planted in the member on purpose, and the scripts that find each of them."""

from __future__ import annotations

import unittest
from contextlib import ExitStack
from typing import Any, Callable
from unittest import mock

from blaze import core, crc, pace, receive, send, topic, wire

from .behaviour import Runner, scripts


def nak_to_the_wrong_address(s: ExitStack) -> None:
    write = receive.Stream.write_nak
    s.enter_context(mock.patch.object(receive.Stream, "write_nak", lambda self, now: (out := write(self, now)) and (out[0], "10.0.0.77:6676")))


def no_status(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(receive.Stream, "write_status", lambda self, now: setattr(self, "status_queued", False)))


def next_beyond_what_was_sent(s: ExitStack) -> None:
    status = wire.status
    s.enter_context(mock.patch.object(wire, "status", lambda st: status(st._replace(next=st.highest + 1, highest=st.highest + 1, limit=st.limit + 1))))


def stale_incarnation_accepted(s: ExitStack) -> None:
    def look_up(self: core.Member, now: int, d: wire.Datagram) -> Any:
        found = self.streams.get((d.transmitter, d.stream))
        return found, "stale" if found is not None and found.state == receive.LEFT else None

    s.enter_context(mock.patch.object(core.Member, "_look_up", look_up))


def hole_skipped_in_silence(s: ExitStack) -> None:
    def lose(self: receive.Stream, last: int, why: str) -> None:
        self.message = last + 1
        self._stop_assembling()

    s.enter_context(mock.patch.object(receive.Stream, "_lose", lose))


def duplicate_delivered(s: ExitStack) -> None:
    take = receive.Stream.take

    def twice(self: receive.Stream, now: int, m: wire.Data, size: int, rebuilt: bool) -> str | None:
        why = take(self, now, m, size, rebuilt)
        if why == "stale" and m.offset is None:
            for t, k, p in m.messages:
                self.member.deliver(receive.Delivery(self.sender, self.id, m.first_message, t, k, p))
        return why

    s.enter_context(mock.patch.object(receive.Stream, "take", twice))


def wrong_lane(s: ExitStack) -> None:
    right = topic.lane_of
    s.enter_context(mock.patch.object(topic, "lane_of", lambda t, lanes: (right(t, lanes) + 1) % max(lanes, 1)))


def crc_over_the_wrong_bytes(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(wire, "crc32c", lambda b, start=0: crc.crc32c(b[:15] + bytes(4) + b[19:])))


def repair_renumbered(s: ExitStack) -> None:
    repair = send.Sender._repair

    def renumbered(self: send.Sender, now: int) -> Any:
        out = repair(self, now)
        if out is None:
            return None
        d = wire.decode(out[0])
        data = d.frames[0]
        assert isinstance(data, wire.Data)
        data.number = self.sent
        return wire.seal(self.header + wire.frame(data)), out[1]

    s.enter_context(mock.patch.object(send.Sender, "_repair", renumbered))


def leave_ignored(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(core.Member, "_leave", lambda self, now, d, v: None))


# And what goes beyond the ten.


def gap_never_asked_again(s: ExitStack) -> None:
    ask = receive.Stream._ask

    def once(self: receive.Stream, now: int, n: int, g: receive.Gap, lowest: bool) -> bool:
        out = ask(self, now, n, g, lowest)
        g.at = receive.NEVER
        return out

    s.enter_context(mock.patch.object(receive.Stream, "_ask", once))


def nak_at_once_in_a_group(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(receive.Stream, "overhear", lambda self, now, gaps: None))


def limit_ignored(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(send.Sender, "_allows", lambda self: True))


def limit_while_paused(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(receive.Stream, "limit", lambda self: max(self.seen, self.next) + self.member.window))


def counts_without_echo(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(send, "NEWCOMER_ASKS", 0))
    status = send.Sender.on_status

    def believed(self: send.Sender, now: int, d: wire.Datagram, st: wire.Status, source: object) -> str | None:
        self.beats.append(st.echo or now)
        return status(self, now, d, st._replace(echo=st.echo or now), source)

    s.enter_context(mock.patch.object(send.Sender, "on_status", believed))


def late_joiner_asks_for_the_past(s: ExitStack) -> None:
    def start(self: core.Member, now: int, d: wire.Datagram, st: wire.Start, source: object) -> str | None:
        return right(self, now, d, st._replace(age=0), source)

    right = core.Member._start
    s.enter_context(mock.patch.object(core.Member, "_start", start))


def no_heartbeats(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(send.Sender, "_fire", lambda self, now: None))


def evicts_nobody(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(send, "EVICTION", 3600 * receive.S))


def pace_without_bound(s: ExitStack) -> None:
    s.enter_context(mock.patch.object(pace.Pace, "ready", lambda self, now: True))


DEFECTS: dict[Callable[[ExitStack], None], str] = {
    nak_to_the_wrong_address: "receiver: gap",
    no_status: "receiver: order, and reports",
    next_beyond_what_was_sent: "receiver: report that is asked for",
    stale_incarnation_accepted: "receiver: an older incarnation",
    hole_skipped_in_silence: "receiver: retention",
    duplicate_delivered: "receiver: duplicates",
    wrong_lane: "sender: lanes",
    crc_over_the_wrong_bytes: "receiver: not for it",
    repair_renumbered: "sender: repairs",
    leave_ignored: "receiver: farewell",
    gap_never_asked_again: "receiver: asks again",
    nak_at_once_in_a_group: "receiver: NAKs of others",
    limit_ignored: "sender: limit",
    limit_while_paused: "receiver: slow application",
    counts_without_echo: "sender: nobody is waited for who has not echoed",
    late_joiner_asks_for_the_past: "receiver: comes later",
    no_heartbeats: "sender: the beginning",
    evicts_nobody: "sender: a silent receiver",
    pace_without_bound: "sender: little arrives",
}


class Defects(unittest.TestCase):
    def test_each_is_found(self) -> None:
        by_name = {script["name"]: script for script in scripts()}
        for plant, script in DEFECTS.items():
            with self.subTest(plant.__name__):
                self.assertEqual(Runner(by_name[script]).run(), [], "without the defect")
                with ExitStack() as stack:
                    plant(stack)
                    self.assertNotEqual(Runner(by_name[script]).run(), [], f"{script} does not find it")


if __name__ == "__main__":
    unittest.main()
