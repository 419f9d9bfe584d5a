"""Runs the scripts of wire/testdata/behaviour.json against a Member."""

from __future__ import annotations

import json
from typing import Any, Callable

from blaze import wire
from blaze._generated import blaze_pb2
from blaze.core import Delivery, Loss, Member
from blaze.errors import BackPressure

from .test_vectors import TESTDATA

US = 1000
START = 1_000_000_000  # of the runner's clock


def scripts() -> list[dict[str, Any]]:
    with open(TESTDATA / "behaviour.json") as f:
        v = json.load(f)
    assert v["format"] == 1
    return v["scripts"]  # type: ignore[no-any-return]


def fields_of(m: Any) -> dict[str, Any]:
    """A message of generated code as JSON."""
    out: dict[str, Any] = {}
    for fd, v in m.ListFields():

        def one(x: Any) -> Any:
            if fd.message_type is not None:
                return fields_of(x)
            return x.hex() if isinstance(x, bytes) else x

        out[fd.name] = [one(x) for x in v] if fd.label == fd.LABEL_REPEATED else one(v)
    return out


def fits(want: Any, got: Any) -> bool:
    if want is None:
        return got is None
    if isinstance(want, dict):
        if "has" in want:
            return isinstance(got, list) and any(fits(want["has"], x) for x in got)
        if "min" in want or "max" in want:
            return got is not None and int(want.get("min", 0)) <= int(got) <= int(want.get("max", 1 << 64))
        return isinstance(got, dict) and all(fits(v, got.get(k)) for k, v in want.items())
    if isinstance(want, list):
        return isinstance(got, list) and len(want) == len(got) and all(map(fits, want, got))
    if isinstance(want, bool) or isinstance(got, (bool, type(None))):
        return bool(want) == bool(got)
    return str(want) == str(got)


class Runner:
    """One member and one script."""

    def __init__(self, script: dict[str, Any], seed: int = 1, make: Callable[..., Member] = Member) -> None:
        self.script = script
        m = script["member"]
        self.now = START
        self.refuse = False
        self.beat = 0
        self.output: list[tuple[int, dict[str, Any]]] = []
        self.sent: list[tuple[int, str, int, dict[str, Any]]] = []
        self.member = make(
            bytes.fromhex(m["id"]), int(m["cluster"]), self.deliver, self.lost, self.now, datagram=m["datagram"], window=m["window"], room=m["room"],
            lanes=m["lanes"], protocol=m["protocol"], seed=seed,
        )  # fmt: skip

    def deliver(self, d: Delivery) -> bool:
        if not self.refuse:
            self.output.append((self.now - START, {"deliver": {"from": d.sender.hex(), "sequence": str(d.sequence), "topic": d.topic, "kind": d.kind, "payload": d.payload.hex()}}))
        return not self.refuse

    def lost(self, x: Loss) -> None:
        self.output.append((self.now - START, {"lost": {"from": x.sender.hex(), "first": str(x.first), "last": str(x.last), "reason": x.reason}}))

    def turn(self) -> None:
        self.member.tick(self.now)
        if not self.refuse:
            self.member.resume(self.now)
        for b, to in self.member.poll(self.now):
            d = blaze_pb2.Datagram.FromString(b)
            frame = {fd.name: fields_of(v[0]) for fd, v in d.ListFields() if fd.number >= 12}
            if d.heartbeat:
                self.beat = d.heartbeat[0].sent_at
            self.sent.append((self.now - START, "group" if to is None else str(to), d.stream & 0xFFFF, frame))

    def until(self, end: int) -> None:
        for _ in range(1_000_000):
            at = self.member.deadline()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.turn()
        else:
            raise AssertionError("deadlines without end")
        self.now = end

    def run(self) -> list[str]:
        """What is wrong."""
        for e in self.script["events"]:
            self.until(START + e["at"])
            self.happen(e)
            self.turn()
        self.until(START + self.script["end"])
        return self.check()

    def happen(self, e: dict[str, Any]) -> None:
        if "in" in e:
            b = bytearray.fromhex(e["in"])
            if "echo_at" in e:
                at, held_at = e["echo_at"], e["held_at"]
                b[at : at + 8] = self.beat.to_bytes(8, "little")
                b[held_at : held_at + 4] = max(self.now - self.beat - e["round_trip"], 0).to_bytes(4, "little")
                b = bytearray(wire.seal(bytes(b)))
            self.member.step(self.now, bytes(b), e["from"], e.get("group", False))
        elif "topic" in e:
            try:
                for _ in range(e["count"]):
                    self.member.offer(self.now, e["topic"], 0, bytes.fromhex(e["payload"]))
            except BackPressure:
                pass
        elif "open" in e:
            self.member.sender(self.now, "prices.eu")
        elif "close" in e:
            self.member.close(self.now)
        else:
            self.refuse = "pause" in e

    def check(self) -> list[str]:
        wrong: list[str] = []
        for i, want in enumerate(self.script["output"]):
            what = {k: want[k] for k in ("deliver", "lost") if k in want}
            if i >= len(self.output):
                wrong.append(f"{what} is missing")
                continue
            at, got = self.output[i]
            if got != what:
                wrong.append(f"at {at}: {str(got)[:200]}, not {str(what)[:200]}")
            elif not want["after"] <= at <= want["before"]:
                wrong.append(f"{str(what)[:200]} at {at}, not {want['after']} to {want['before']}")
        for at, got in self.output[len(self.script["output"]) :]:
            wrong.append(f"at {at}: {str(got)[:200]}, which nobody expects")

        def times(want: dict[str, Any]) -> int:
            return sum(
                want["after"] <= at <= want["before"] and want.get("to", to) == to and want.get("lane", lane) == lane and fits(want["frame"], frame)
                for at, to, lane, frame in self.sent
            )

        for want in self.script["sends"]:
            if times(want) < want.get("times", 1):
                wrong.append(f"sent {times(want)} times: {str(want)[:300]}")
        for want in self.script["never"]:
            if times(want):
                wrong.append(f"sent, {times(want)} times: {str(want)[:300]}")
        return wrong
