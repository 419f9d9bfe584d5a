"""The pace of a sender: where much of what it sends does not arrive, it follows what arrives
(docs/decisions/congestion-control.md). Times in ns, rates in bytes a second."""

from __future__ import annotations

from .receive import MS, S
from .wire import Status

ARRIVES = 0.7  # the pace is free while this part of what was sent arrives
LOSSY_BYTES = 64 << 10  # of a report that counts
SAMPLE_MIN, SAMPLE_MAX = 10 * MS, 2 * S
ROUND_MIN, ROUND_MAX = 20 * MS, 500 * MS
CRUISE_ROUNDS, STILL_ROUNDS = 7, 3
GROWS, FITS = 1.15, 0.05  # of a probe: so much more arrives, and so much more may be lost
LOST_MOST = 0.2
UNBOUND_FOR, HELD_OFF, OTHERS_FOR = S, 5 * S, S
RATE_MIN = 125_000.0
BURST, TICK = 16 << 10, MS  # that may leave at once: bytes, or what the rate gives in this time
PEAK_OF = 8

OPEN, STILL, DRAIN, CRUISE, PROBE, STARTUP = range(6)
GAINS = {STILL: 0.5, DRAIN: 0.75, CRUISE: 1.0, PROBE: 1.25, STARTUP: 2.0}


class Pace:
    """Bounds what a stream puts on the wire, new data and repairs alike. rate is 0 while there is no bound."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.next = 0  # when the next datagram may leave
        self.holds = 0  # times that it held something back
        self.sent = 0  # bytes to the group
        self.asked = 0  # when the receiver that binds it was last asked for a report

    def ready(self, now: int) -> bool:
        return not self.rate or now >= self.next

    def spend(self, now: int, n: int) -> None:
        if self.rate:
            burst = max(int(BURST / self.rate * S), TICK)
            self.next = max(self.next, now - burst) + int(n / self.rate * S)


class Arrivals:
    """What a sender makes of one receiver's reports of what arrived."""

    def __init__(self) -> None:
        self.phase, self.since, self.round = OPEN, 0, 0
        self.rate = self.before = self.lost = self.flood = 0.0
        self.rates: list[float] = []
        self.clock = self.arrived = self.at = self.sent = self.data = self.holds = 0  # as of the last report
        self.direct = 0  # bytes that went to this receiver alone
        self.bound = self.after = self.suspect = 0
        self.ours = self.theirs = 0  # datagrams that were sent, and that others sent, when the pace was bound

    def allows(self) -> float:
        """The pace that this receiver allows; 0: any."""
        return max(GAINS[self.phase] * self.rate / (1 - self.lost), RATE_MIN) if self.phase else 0.0

    def keep(self, now: int, st: Status, sent: int, data: int, holds: int) -> None:
        self.clock, self.arrived, self.at, self.sent, self.data, self.holds, self.suspect = st.clock, st.arrived, now, sent, data, holds, 0

    def report(self, now: int, st: Status, pace: Pace, data: int, rested: bool, trip: int, ours: int, theirs: int) -> bool:
        """Takes in a report. data is the bytes of all datagrams up to the highest one that it knows of; rested: most of
        the time since the report before passed with nothing sent. True: the receiver should report again soon."""
        sent = pace.sent + self.direct
        if not st.clock:
            return False
        if st.no_group:  # what goes to the group does not come there at any pace
            self.keep(now, st, sent, data, pace.holds)
            self.free()
            return False
        if not self.clock or st.clock < self.clock or st.arrived < self.arrived or now - self.at > SAMPLE_MAX or rested:
            self.keep(now, st, sent, data, pace.holds)
            return False
        took = st.clock - self.clock
        if took < SAMPLE_MIN:
            return False
        came, left, fresh = st.arrived - self.arrived, sent - self.sent, max(data - self.data, 0)
        rate = came / took * S
        part = min(came / left, 1.0) if left else 1.0
        held, began = pace.holds != self.holds, self.at
        if self.phase == OPEN:
            # The receiver compared what it knew to have been sent with what had arrived, at one moment.
            if fresh < LOSSY_BYTES or came >= ARRIVES * fresh or now < self.after:
                self.keep(now, st, sent, data, pace.holds)
                return False
            if not self.suspect:
                self.suspect = now  # what it had heard of may still come
                return True
            if now - self.suspect < trip:
                return False
            part = came / fresh
            self.rates = [rate]
            self.flood, self.lost, self.bound, self.round = 1 - part, 0.0, now, 0
            self.ours, self.theirs = ours, theirs
            self.enter(now, STILL)
        self.keep(now, st, sent, data, pace.holds)
        self.sample(rate, held)
        self.advance(now, 1 - part, held, began, trip, ours, theirs)
        return False

    def free(self) -> None:
        self.phase, self.rate, self.rates = OPEN, 0.0, []

    def enter(self, now: int, phase: int) -> None:
        self.phase, self.since, self.before = phase, now, self.rate

    def sample(self, rate: float, held: bool) -> None:
        """Where the pace held nothing back, or made it low itself, a low rate shows nothing."""
        if rate < self.rate and (not held or self.phase in (DRAIN, STILL)):
            return
        self.rates = [*self.rates[1 - PEAK_OF :], rate]
        self.rate = max(*self.rates, RATE_MIN)

    def advance(self, now: int, lost: float, held: bool, began: int, trip: int, ours: int, theirs: int) -> None:
        """Ends a phase when its round is over."""
        if held:
            self.bound = now
        if now - self.bound >= UNBOUND_FOR:
            self.free()
            return
        length = min(max(2 * trip, ROUND_MIN), ROUND_MAX)
        if began < self.since + length // 2 or now - self.since < length:
            return  # what was sent before the phase is in the sample
        if self.phase == STILL:
            if lost >= self.flood * 0.8:  # the loss is not this pace's fault, as it seems
                if theirs - self.theirs >= (ours - self.ours) / 2 and now - self.since < OTHERS_FOR:
                    return  # others send too: it may be theirs
                self.round += 1
                if self.round < STILL_ROUNDS:
                    self.since = now  # a member that did not run for a moment looks like that, too
                    return
                self.after = now + HELD_OFF
                self.free()
                return
            self.lost = min(lost, LOST_MOST) if lost > FITS else 0.0
        elif self.phase == DRAIN:
            self.lost = min(self.lost, lost)
        elif self.phase == CRUISE:
            self.round += 1
            if self.round < CRUISE_ROUNDS:
                self.since = now
            else:
                self.enter(now, PROBE)
            return
        elif self.rate >= self.before * GROWS and lost <= self.lost + FITS:
            self.enter(now, STARTUP)
            return
        elif self.phase == STARTUP or lost > self.lost + FITS:
            self.round = 0
            self.enter(now, DRAIN)
            return
        self.round = 0
        self.enter(now, CRUISE)
