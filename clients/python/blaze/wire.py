"""The codec: datagrams of docs/wire.md, read and written by hand.

`decode` reads every valid layout and checks every bound. Data in the canonical layout takes a short way. Nothing here
does I/O or keeps state.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, NamedTuple

from .crc import crc32c

VERSION = 1
HEADER = 47  # bytes of a canonical header
MAX_FRAMES = 16
MAX_MESSAGES = 1024
MAX_TOPIC = 255
MAX_KIND = 127
MAX_GAPS = 1024
MAX_DATAGRAM = 65507
LAST = (1 << 64) - 2  # the highest datagram number
_U64 = (1 << 64) - 1

BEST_EFFORT, NACK, FEC, HYBRID, TOTEM, GROUPS, CLUSTER_RING = 1, 2, 3, 4, 5, 6, 7


class WireError(Exception):
    """A datagram that is refused. `reason` is the verdict's name in vectors.json."""

    reason = "malformed"


class Malformed(WireError):
    reason = "malformed"


class OutOfRange(WireError):
    reason = "range"


class WrongVersion(WireError):
    reason = "version"


class WrongChecksum(WireError):
    reason = "checksum"


class Packed(NamedTuple):
    """One message in a Data."""

    topic: str
    kind: int
    payload: bytes


class Data:
    """Messages of one datagram, or one part of one message (then offset is not None)."""

    __slots__ = ("number", "first_message", "offset", "size", "messages")
    name = "data"

    def __init__(self, number: int, first_message: int, messages: list[tuple[str, int, bytes]], offset: int | None = None, size: int = 0) -> None:
        self.number = number
        self.first_message = first_message
        self.messages = messages
        self.offset = offset
        self.size = size


class Nak(NamedTuple):
    origin: bytes
    origin_incarnation: int
    gaps: list[tuple[int, int]]
    again: list[tuple[int, int]]


class Heartbeat(NamedTuple):
    first: int
    last: int
    first_message: int
    next_message: int
    sent_at: int
    round_trip: int = 0
    receivers: int = 0
    want_status: bool = False
    pause: int = 0
    evicted: bool = False
    every: int = 0
    usual_trip: int = 0


class Status(NamedTuple):
    origin: bytes
    origin_incarnation: int
    next: int
    highest: int
    limit: int
    room: int
    echo: int
    held: int
    missed: int
    gone: int
    pause: int = 0
    arrived: int = 0
    clock: int = 0
    every: int = 0
    no_group: bool = False


class Start(NamedTuple):
    first: int
    first_message: int
    age: int
    lanes: int


class Leave(NamedTuple):
    """last and next_message are None together: a receiver's farewell."""

    last: int | None = None
    next_message: int | None = None


class Repair(NamedTuple):
    block: int
    scheme: int
    stride: int
    sources: int
    repairs: int
    index: int  # type: ignore[assignment]  # it takes the place of tuple.index
    symbol: bytes


class SymbolNak(NamedTuple):
    origin: bytes
    origin_incarnation: int
    needs: list[tuple[int, int]]


class Other(NamedTuple):
    """A frame that this member knows the bounds of and has no use for."""

    kind: str
    fields: dict[str, Any]


Frame = Data | Nak | Heartbeat | Status | Start | Leave | Repair | SymbolNak | Other


class Datagram:
    """One decoded datagram. data_spans has, for each Data in turn, where its body lies."""

    __slots__ = ("cluster", "transmitter", "incarnation", "stream", "frames", "spans")

    def __init__(self, cluster: int, transmitter: bytes, incarnation: int, stream: int) -> None:
        self.cluster = cluster
        self.transmitter = transmitter
        self.incarnation = incarnation
        self.stream = stream
        self.frames: list[Frame] = []
        self.spans: list[tuple[int, int]] = []

    @property
    def protocol(self) -> int:
        return self.stream >> 24

    @property
    def lane(self) -> int:
        return self.stream & 0xFFFF


# ---------------------------------------------------------------- reading

_head = struct.Struct("<xIxQxI2x16sxIxI").unpack_from
_numbers = struct.Struct("<xQxQ").unpack_from
_two32 = struct.Struct("<xIxI").unpack_from
_u32 = struct.Struct("<I").unpack_from
_u64 = struct.Struct("<Q").unpack_from

_topics: dict[bytes, str] = {}


def _topic(raw: bytes) -> str:
    """The topic that raw is; the last ones are remembered."""
    t = _topics.get(raw)
    if t is None:
        try:
            t = raw.decode()
        except UnicodeDecodeError:
            raise Malformed("a topic is not UTF-8") from None
        if len(_topics) >= 4096:
            _topics.clear()
        _topics[raw] = t
    return t


def peek(b: bytes) -> tuple[int, bytes] | None:
    """Cluster and transmitter of a datagram with a canonical header, to drop early what is for others."""
    if len(b) < HEADER or b[0] != 0x0D or b[5] != 0x11 or b[14] != 0x1D or b[19] != 0x22 or b[20] != 16:
        return None
    return _u64(b, 6)[0], b[21:37]


def decode(b: bytes) -> Datagram:
    """Reads a datagram. It raises a WireError for one that is refused, and then there is nothing."""
    if (
        len(b) < HEADER
        or b[0] != 0x0D
        or b[5] != 0x11
        or b[14] != 0x1D
        or b[19] != 0x22
        or b[20] != 16
        or b[37] != 0x2D
        or b[42] != 0x35
    ):
        return _decode_other(b)
    version, cluster, crc, transmitter, incarnation, stream = _head(b, 0)
    if version != VERSION:
        raise WrongVersion(str(version))
    if crc != crc32c(b, 19):
        raise WrongChecksum
    d = Datagram(cluster, transmitter, incarnation, stream)
    p, end = HEADER, len(b)
    while p < end:
        at = p
        tag = b[p]
        p += 1
        # Fields 12 to 15 have a tag of one byte, 16 to 31 of two.
        if tag & 0xE7 == 0x62:
            field = tag >> 3
        elif tag & 0x87 == 0x82 and p < end and b[p] == 1:
            field = 16 + (tag >> 3 & 0xF)
            p += 1
        else:
            _frames(d, b, at, False)
            break
        n, p = _short(b, p, end)
        if n < 0 or n > end - p:
            _frames(d, b, at, False)
            break
        _add(d, field, b, p, p + n)
        p += n
    return d


def _short(b: bytes, p: int, end: int) -> tuple[int, int]:
    """A varint of up to three bytes, and where it ends; -1 for another one."""
    n = shift = 0
    for _ in range(3):
        if p >= end:
            return -1, p
        c = b[p]
        p += 1
        n |= (c & 0x7F) << shift
        if c < 0x80:
            return n, p
        shift += 7
    return -1, p


def _add(d: Datagram, field: int, b: bytes, p: int, end: int) -> None:
    if len(d.frames) == MAX_FRAMES:
        raise OutOfRange("frames")
    if field == 12:
        data = _canonical_data(b, p, end)
        if data is None:
            data = _scan_data(b, p, end)
        d.frames.append(data)
        d.spans.append((p, end))
        return
    d.frames.append(_FRAMES[field].read(b, p, end))


def _canonical_data(b: bytes, p: int, end: int) -> Data | None:
    """A Data in the canonical layout; None: it has another one, or something is wrong with it."""
    if end - p <= 18 or b[p] != 0x09 or b[p + 9] != 0x11:
        return None
    number, first = _numbers(b, p)
    p += 18
    offset, size = None, 0
    if b[p] == 0x1A:
        if end - p <= 12 or b[p + 1] != 10 or b[p + 2] != 0x0D or b[p + 7] != 0x15:
            return None
        offset, size = _two32(b, p + 2)
        p += 12
    messages: list[tuple[str, int, bytes]] = []
    topic = ""
    add = messages.append
    try:
        while p < end:
            if b[p] != 0x22:
                return None
            n = b[p + 1]
            p += 2
            if n >= 0x80:
                c = b[p]
                p += 1
                n = n & 0x7F | (c & 0x7F) << 7
                if c >= 0x80:
                    n |= b[p] << 14
                    p += 1
            q = p + n
            if q > end:
                return None
            if n > 0 and b[p] == 0x0A:
                m = b[p + 1]
                p += 2
                if m >= 0x80:
                    m = m & 0x7F | b[p] << 7
                    p += 1
                if m < 1 or m > MAX_TOPIC or p + m > q:
                    return None
                topic = _topic(b[p : p + m])
                p += m
            elif not topic:
                return None
            kind = 0
            if p < q and b[p] == 0x10:
                kind = b[p + 1]
                if kind > MAX_KIND:
                    return None
                p += 2
            if p < q:
                if b[p] != 0x1A:
                    return None
                m = b[p + 1]
                p += 2
                if m >= 0x80:
                    c = b[p]
                    p += 1
                    m = m & 0x7F | (c & 0x7F) << 7
                    if c >= 0x80:
                        m |= b[p] << 14
                        p += 1
                if p + m != q:
                    return None
                add((topic, kind, b[p:q]))
                p = q
            elif p == q:
                add((topic, kind, b""))
            else:
                return None
    except IndexError:
        return None
    n = len(messages)
    if not 0 < number <= LAST or not n or n > MAX_MESSAGES or first < 1 or first + n > _U64:
        return None
    if offset is not None and (n != 1 or not messages[0][2] or offset + len(messages[0][2]) > size):
        return None
    return Data(number, first, messages, offset, size)


def _varint(b: bytes, p: int, end: int) -> tuple[int, int]:
    n = shift = 0
    while p < end:
        c = b[p]
        p += 1
        n |= (c & 0x7F) << shift
        if c < 0x80:
            if n > _U64:
                break
            return n, p
        shift += 7
        if shift > 63:
            break
    raise Malformed("varint")


def _fields(b: bytes, p: int, end: int) -> Any:
    """Goes through the fields of a message: (number, wire type, value, where it ends).

    The value of a field of bytes is where they lie; that of a group, which is passed over, is None.
    """
    while p < end:
        tag, p = _varint(b, p, end)
        if not 1 <= tag >> 3 < 1 << 29:
            raise Malformed("field number")
        value, p = _value(b, p, end, tag, 0)
        yield tag >> 3, tag & 7, value, p


def _value(b: bytes, p: int, end: int, tag: int, depth: int) -> tuple[Any, int]:
    kind = tag & 7
    if kind == 0:
        return _varint(b, p, end)
    if kind == 1:
        if end - p < 8:
            raise Malformed("fixed64")
        return _u64(b, p)[0], p + 8
    if kind == 5:
        if end - p < 4:
            raise Malformed("fixed32")
        return _u32(b, p)[0], p + 4
    if kind == 2:
        n, p = _varint(b, p, end)
        if n > end - p:
            raise Malformed("length")
        return (p, p + n), p + n
    if kind != 3 or depth == 32:
        raise Malformed("wire type")
    while True:
        inner, p = _varint(b, p, end)
        if not 1 <= inner >> 3 < 1 << 29:
            raise Malformed("field number")
        if inner & 7 == 4:
            if inner >> 3 != tag >> 3:
                raise Malformed("group")
            return None, p
        _, p = _value(b, p, end, inner, depth + 1)


_HEADER_TYPES = {1: 5, 2: 1, 3: 5, 4: 2, 5: 5, 6: 5}


def _decode_other(b: bytes) -> Datagram:
    """decode for a header that is laid out otherwise."""
    seen: dict[int, Any] = {}
    covered = 0
    for field, kind, value, p in _fields(b, 0, len(b)):
        if _HEADER_TYPES.get(field) == kind:
            if field in seen:
                raise Malformed("a field of the header comes twice")
            seen[field] = value
            if field == 3:
                covered = p
    if 1 not in seen:
        raise Malformed("no version")
    if seen[1] != VERSION:
        raise WrongVersion(str(seen[1]))
    if len(seen) != 6:
        raise Malformed("a field of the header is missing")
    if seen[3] != crc32c(b, covered):
        raise WrongChecksum
    lo, hi = seen[4]
    if hi - lo != 16:
        raise OutOfRange("transmitter")
    d = Datagram(seen[2], b[lo:hi], seen[5], seen[6])
    _frames(d, b, 0, True)
    return d


def _frames(d: Datagram, b: bytes, p: int, header: bool) -> None:
    """Adds the frames among the fields of b from p on. Fields of the header may be among them only with header."""
    for field, kind, value, _ in _fields(b, p, len(b)):
        if kind == 2 and (field in _FRAMES or field == 12):
            _add(d, field, b, value[0], value[1])
        elif not header and _HEADER_TYPES.get(field) == kind:
            raise Malformed("a field of the header comes twice")


def _scan_data(b: bytes, p: int, end: int) -> Data:
    number = first = offset = size = topic = None
    fragment = False
    messages: list[tuple[str, int, bytes]] = []
    for field, kind, value, _ in _fields(b, p, end):
        if field == 1 and kind == 1:
            number = value
        elif field == 2 and kind == 1:
            first = value
        elif field == 3 and kind == 2:
            fragment = True
            for f, k, v, _ in _fields(b, value[0], value[1]):
                if f == 1 and k == 5:
                    offset = v
                elif f == 2 and k == 5:
                    size = v
        elif field == 4 and kind == 2:
            of, payload, raw = 0, b"", None
            for f, k, v, _ in _fields(b, value[0], value[1]):
                if f == 1 and k == 2:
                    raw = b[v[0] : v[1]]
                    topic = _topic(raw) if len(raw) <= MAX_TOPIC else _long(raw)
                elif f == 2 and k == 0:
                    of = v
                elif f == 3 and k == 2:
                    payload = b[v[0] : v[1]]
            if of > MAX_KIND or raw is not None and not 1 <= len(raw) <= MAX_TOPIC:
                raise OutOfRange("kind or topic")
            if topic is None:
                raise Malformed("the first message has no topic")
            messages.append((topic, of, payload))
    if number is None or first is None or not messages or fragment and (offset is None or size is None):
        raise Malformed("data")
    n = len(messages)
    if not 1 <= number <= LAST or n > MAX_MESSAGES or first < 1 or first + n > _U64:
        raise OutOfRange("data")
    if not fragment:
        return Data(number, first, messages)
    assert offset is not None and size is not None
    part = len(messages[-1][2])
    if n != 1 or part < 1 or offset + part > size:
        raise OutOfRange("fragment")
    return Data(number, first, messages, offset, size)


def _long(raw: bytes) -> str:
    """A topic that is too long, which has to be UTF-8 all the same."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed("a topic is not UTF-8") from None


class _Table:
    """The fields of a kind of frame, or of a message inside one.

    A field is a name and a kind: f64, f32, u32 (a varint of 32 bits), bool, bytes, text, or a table. "!" behind a kind
    means required, "*" repeated, "1" a message that may not come twice.
    """

    def __init__(self, fields: str, tables: dict[str, "_Table"] | None = None, check: Callable[[dict[str, Any]], Any] | None = None, make: Any = None) -> None:
        self.fields: dict[int, tuple[str, str, str, Any]] = {}
        self.required: list[str] = []
        self.lists: list[str] = []
        for number, text in enumerate(fields.split(), 1):
            name, kind = text.split(":")
            flag = kind[-1] if kind[-1] in "!*1" else ""
            kind = kind.rstrip("!*1")
            table = (tables or {}).get(kind)
            self.fields[number] = name, kind, flag, table
            if flag in ("!", "1"):
                self.required.append(name)
            if flag == "*":
                self.lists.append(name)
        self.check, self.make = check, make

    _TYPES = {"f64": 1, "f32": 5, "u32": 0, "bool": 0}

    def scan(self, b: bytes, p: int, end: int) -> dict[str, Any]:
        out: dict[str, Any] = {name: [] for name in self.lists}
        bad = False
        for number, kind, value, _ in _fields(b, p, end):
            entry = self.fields.get(number)
            if entry is None:
                continue
            name, want, flag, table = entry
            if self._TYPES.get(want, 2) != kind:
                continue
            if want == "u32":
                value &= 0xFFFFFFFF
            elif want == "bool":
                value = value != 0
            elif table is not None:
                if flag == "1" and name in out:
                    raise Malformed(name + " comes twice")
                try:
                    value = table.scan(b, value[0], value[1])
                except OutOfRange:
                    bad, value = True, {}
            elif kind == 2:
                value = b[value[0] : value[1]]
                if want == "text":
                    try:
                        value = value.decode()
                    except UnicodeDecodeError:
                        raise Malformed(name + " is not UTF-8") from None
            if flag == "*":
                out[name].append(value)
            else:
                out[name] = value
        for name in self.required:
            if name not in out:
                raise Malformed(name + " is missing")
        if bad or self.check is not None and not self.check(out):
            raise OutOfRange(str(out)[:100])
        return out

    def read(self, b: bytes, p: int, end: int) -> Frame:
        out = self.scan(b, p, end)
        return self.make(out)  # type: ignore[no-any-return]


def _pair(limit: int, spans: bool) -> Callable[[dict[str, Any]], bool]:
    def check(f: dict[str, Any]) -> bool:
        first, count = f["first"], f["count"]
        return bool(1 <= count <= limit and first >= 1 and first + (count if spans else 1) <= _U64)

    return check


def _is_id(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda f: all(len(f[n]) == 16 for n in names)


def _at_least_one(f: dict[str, Any], *names: str) -> bool:
    return all(n not in f or f[n] >= 1 for n in names)


def _ring_seq(seq: int) -> bool:
    return 1 <= seq <= 1 << 62


def _ring(f: dict[str, Any]) -> bool:
    flags = f["flags"]
    return flags >> 8 & 0xFF < 16 and flags >> 16 & 0xFF < 16 and ("number" not in f or 1 <= f["number"] <= LAST)


def _token(f: dict[str, Any]) -> bool:
    rtr, seq = f["rtr"], f["seq"]
    return (
        len(f["rep"]) == 16
        and len(f["aru_id"]) == 16
        and _ring_seq(f["ring_seq"])
        and f["token_seq"] <= LAST
        and seq <= LAST
        and f["aru"] <= seq
        and len(rtr) % 8 == 0
        and len(rtr) <= 512
        and all(1 <= n[0] <= seq for n in struct.iter_unpack("<Q", rtr))
    )


def _members(b: bytes) -> bool:
    ids = [b[i : i + 16] for i in range(0, len(b), 16)]
    return len(b) % 16 == 0 and len(ids) <= 32 and all(x < y for x, y in zip(ids, ids[1:]))


def _standing(b: bytes) -> bool:
    if not b:
        return True
    if len(b) < 16:
        return False
    n = _u32(b, 12)[0]
    return bool(_u32(b, 0)[0] >= 548 and n <= 16 and len(b) >= 16 + 16 * n)


def _join(f: dict[str, Any]) -> bool:
    return (
        f["ring_seq"] <= 1 << 62
        and _members(f["proc"])
        and _members(f["fail"])
        and f.get("datagram", 548) >= 548
        and _standing(f.get("standing", b""))
    )


def _commit(f: dict[str, Any]) -> bool:
    rings, entries = f["rings"], f["entries"]
    n, k = len(entries) // 42, len(rings) // 24
    if len(entries) % 42 or len(rings) % 24 or not 1 <= n <= 16 or not 1 <= k <= 16 or f["index"] > n:
        return False
    if len(f["rep"]) != 16 or not _ring_seq(f["ring_seq"]) or f["rep"] != entries[:16]:
        return False
    if not all(_ring_seq(_u64(rings, 24 * i + 16)[0]) for i in range(k)):
        return False
    last = b""
    for i in range(0, len(entries), 42):
        who = entries[i : i + 16]
        aru, high, bound = struct.unpack_from("<QQQ", entries, i + 18)
        if who <= last or entries[i + 16] >= k or not bound <= aru <= high <= LAST:
            return False
        last = who
    return True


def _notice(f: dict[str, Any]) -> bool:
    return len(f["rep"]) == 16 and _ring_seq(f["ring_seq"]) and f["kind"] >= 1 and _standing(f.get("standing", b""))


def _repair(f: dict[str, Any]) -> bool:
    return (
        all(1 <= f[n] <= 127 for n in ("scheme", "stride", "sources"))
        and f["repairs"] <= 127
        and f["index"] <= 127
        and len(f["symbol"]) > 0
        and f["block"] >= 1
        and f["block"] + f["stride"] * (f["sources"] - 1) <= LAST
    )


def _pair_frame(f: dict[str, Any]) -> bool:
    items = len(f["items"])
    named = False
    for item in f["items"]:
        if 1 <= item["head"] & 0xF <= 4:
            if "name" not in item and not named:
                raise Malformed("the first item has no name")
            named = True
    return (
        len(f["to"]) == 16
        and f["session"] >= 1
        and f["flags"] & 3 <= 2
        and 1 <= f["number"] <= LAST
        and 1 <= f["oldest"] <= f["number"]
        and f["known"] >= 1
        and f["first_item"] >= 1
        and items <= 64
        and f["first_item"] + items <= _U64
    )


def _item(f: dict[str, Any]) -> bool:
    if f["head"] >> 9 & 1:
        if "offset" not in f or "size" not in f:
            raise Malformed("a fragment without its place")
        n = len(f.get("payload", b""))
        if n < 1 or f["offset"] + n > f["size"]:
            return False
    return len(f.get("name", "").encode()) <= 255


def _ack(f: dict[str, Any]) -> bool:
    refused = f.get("refused", b"")
    if len(refused) % 12 or len(refused) > 64 * 12:
        return False
    last = 0
    for number, why in struct.iter_unpack("<QI", refused):
        if not last < number <= LAST or why < 1:
            return False
        last = number
    return (
        len(f["to"]) == 16
        and f["session"] >= 1
        and f["flags"] & 3 <= 2
        and 1 <= f["next"] <= f["limit"]
        and f["taken"] >= 1
    )


def _rising(texts: list[str], most: int) -> bool:
    raw = [t.encode() for t in texts]
    return len(raw) <= most and all(1 <= len(t) <= 255 for t in raw) and all(x < y for x, y in zip(raw, raw[1:]))


def _record(f: dict[str, Any]) -> bool:
    queues = [q.get("queue", "") for q in f["queues"]]
    return (
        len(f["id"]) == 16
        and f["address"] < 1 << 48
        and 1000 <= f["interval"] <= 60_000_000
        and len(f.get("name", "").encode()) <= 255
        and _rising(f["groups"], 16384)
        and _rising(queues, 4096)
        and not (f["flags"] & 1 and (f["groups"] or queues))
    )


_NAK_GAP = _Table("first:f64! count:f32!", check=_pair(0xFFFFFFFF, True))
_NEED = _Table("first:f64! count:f32!", check=_pair(127, False))
_ITEM = _Table(
    "head:f32! call:f64! attempt:f32 backlog:f32 service:f32 name:text offset:f32 size:f32 payload:bytes", check=_item
)
_CONSUMES = _Table("queue:text! handlers:f32! rank:f32!", check=lambda f: bool(f["handlers"] >= 1))
_RECORD = _Table(
    "id:bytes! incarnation:f32! version:f32! started:f64! address:f64! interval:f32! flags:f32! name:text groups:text* queues:consumes*",
    {"consumes": _CONSUMES},
    _record,
)
_ABOUT = _Table("id:bytes! incarnation:f32! kind:f32! age:f32!", check=lambda f: bool(len(f["id"]) == 16 and f["kind"] >= 1))


def _tuples(pairs: list[dict[str, int]]) -> list[tuple[int, int]]:
    return [(p["first"], p["count"]) for p in pairs]


def _make_leave(f: dict[str, Any]) -> Leave:
    if ("last" in f) != ("next_message" in f):
        raise Malformed("half of a farewell")
    if "last" in f and not (f["last"] <= LAST and f["next_message"] >= 1):
        raise OutOfRange("leave")
    return Leave(**f)


def _other(kind: str) -> Callable[[dict[str, Any]], Other]:
    return lambda f: Other(kind, f)


_FRAMES: dict[int, _Table] = {
    13: _Table(
        "origin:bytes! origin_incarnation:f32! gaps:gap* again:gap*",
        {"gap": _NAK_GAP},
        lambda f: len(f["origin"]) == 16 and 1 <= len(f["gaps"]) + len(f["again"]) <= MAX_GAPS,
        lambda f: Nak(f["origin"], f["origin_incarnation"], _tuples(f["gaps"]), _tuples(f["again"])),
    ),
    14: _Table(
        "first:f64! last:f64! first_message:f64! next_message:f64! sent_at:f64! round_trip:f32! receivers:f32! want_status:bool pause:f32 evicted:bool every:f32 usual_trip:f32",
        None,
        lambda f: 1 <= f["first"] <= f["last"] + 1 and f["last"] <= LAST and 1 <= f["first_message"] <= f["next_message"]
        and _at_least_one(f, "pause", "every", "usual_trip"),
        lambda f: Heartbeat(**f),
    ),
    15: _Table(
        "origin:bytes! origin_incarnation:f32! next:f64! highest:f64! limit:f64! room:f32! echo:f64! held:f32! missed:f64! gone:f64! "
        "pause:f32 arrived:f64 clock:f64 every:f32 no_group:bool",
        None,
        lambda f: len(f["origin"]) == 16 and 1 <= f["next"] <= f["highest"] and f["next"] <= f["limit"]
        and _at_least_one(f, "pause", "arrived", "clock", "every"),
        lambda f: Status(**f),
    ),
    16: _Table(
        "first:f64! first_message:f64! age:f64! lanes:f32!",
        None,
        lambda f: 1 <= f["first"] <= LAST and f["first_message"] >= 1 and 1 <= f["lanes"] <= 1 << 16,
        lambda f: Start(**f),
    ),
    17: _Table("last:f64 next_message:f64", make=_make_leave),
    18: _Table("rep:f64! ring_seq:f32! round:f32! flags:f32! number:f64", check=_ring, make=_other("ring")),
    19: _Table(
        "rep:bytes! ring_seq:f64! token_seq:f64! seq:f64! aru:f64! aru_id:bytes! fcc:f32! backlog:f32! flags:f32! rtr:bytes!",
        check=_token,
        make=_other("token"),
    ),
    20: _Table(
        "node:f64! started:f64! ring_seq:f64! counter:f64! proc:bytes! fail:bytes! datagram:f32 standing:bytes",
        check=_join,
        make=_other("join"),
    ),
    21: _Table("rep:bytes! ring_seq:f64! index:f32! rings:bytes! entries:bytes!", check=_commit, make=_other("commit")),
    22: _Table("rep:bytes! ring_seq:f64! kind:f32! standing:bytes", check=_notice, make=_other("notice")),
    23: _Table(
        "to:bytes! session:f32! to_incarnation:f32! flags:f32! number:f64! oldest:f64! known:f64! first_item:f64! items:item*",
        {"item": _ITEM},
        _pair_frame,
        _other("pair"),
    ),
    24: _Table(
        "block:f64! scheme:u32! stride:u32! sources:u32! repairs:u32! index:u32! symbol:bytes!",
        None,
        _repair,
        lambda f: Repair(**f),
    ),
    25: _Table(
        "origin:bytes! origin_incarnation:f32! needs:need*",
        {"need": _NEED},
        lambda f: len(f["origin"]) == 16 and 1 <= len(f["needs"]) <= 64,
        lambda f: SymbolNak(f["origin"], f["origin_incarnation"], _tuples(f["needs"])),
    ),
    26: _Table(
        "to:bytes! session:f32! flags:f32! next:f64! held:f64! taken:f64! limit:f64! delay:f32! refused:bytes",
        check=_ack,
        make=_other("pair_ack"),
    ),
    27: _Table(
        "version:f32! interval:f32! members:f32! digest:f64! stall:f32!",
        check=lambda f: 1000 <= f["interval"] <= 60_000_000 and f["members"] >= 1,
        make=_other("beat"),
    ),
    28: _Table("flags:f32! nonce:f64! record:record1", {"record": _RECORD}, make=_other("hello")),
    29: _Table(
        "flags:f32! nonces:bytes! members:record*",
        {"record": _RECORD},
        lambda f: len(f["nonces"]) % 8 == 0 and len(f["nonces"]) <= 64 and len(f["members"]) <= 64,
        _other("members"),
    ),
    30: _Table(
        "to:bytes! kind:f32! incarnation:f32! nonce:f64!",
        check=lambda f: len(f["to"]) == 16 and f["kind"] >= 1,
        make=_other("probe"),
    ),
    31: _Table("about:about*", {"about": _ABOUT}, lambda f: 1 <= len(f["about"]) <= 64, _other("word")),
}

# ---------------------------------------------------------------- writing

_put_header = struct.Struct("<BIBQBIBB16sBIBI").pack
_put_data = struct.Struct("<BQBQ").pack
_put_crc = struct.Struct("<I").pack


def varint(n: int) -> bytes:
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def header(cluster: int, transmitter: bytes, incarnation: int, stream: int) -> bytes:
    """A canonical header with a CRC of zero; seal puts that in."""
    return _put_header(0x0D, VERSION, 0x11, cluster, 0x1D, 0, 0x22, 16, transmitter, 0x2D, incarnation, 0x35, stream)


def seal(datagram: bytes) -> bytes:
    """The datagram, which begins with a canonical header, with its CRC."""
    return datagram[:15] + _put_crc(crc32c(datagram, 19)) + datagram[19:]


def packed(topic: str | None, kind: int, payload: bytes) -> bytes:
    """One message of a Data. topic is None where it is that of the message before."""
    body = b""
    if topic is not None:
        raw = topic.encode()
        body = b"\x0a" + varint(len(raw)) + raw
    if kind:
        body += bytes((0x10, kind))
    if payload:
        body += b"\x1a" + varint(len(payload)) + payload
    return b"\x22" + varint(len(body)) + body


def _framed(tag: bytes, body: bytes) -> bytes:
    return tag + varint(len(body)) + body


def data(number: int, first_message: int, body: bytes, offset: int | None = None, size: int = 0) -> bytes:
    """A Data frame; body is its messages (packed)."""
    out = _put_data(0x09, number, 0x11, first_message)
    if offset is not None:
        out += struct.pack("<BBBIBI", 0x1A, 10, 0x0D, offset, 0x15, size)
    return _framed(b"\x62", out + body)


def data_of(d: Data) -> bytes:
    last = None
    body = b""
    for topic, kind, payload in d.messages:
        body += packed(None if topic == last else topic, kind, payload)
        last = topic
    return data(d.number, d.first_message, body, d.offset, d.size)


def nak(n: Nak) -> bytes:
    body = struct.pack("<BB16sBI", 0x0A, 16, n.origin, 0x15, n.origin_incarnation)
    for tag, gaps in ((0x1A, n.gaps), (0x22, n.again)):
        for first, count in gaps:
            body += struct.pack("<BBBQBI", tag, 14, 0x09, first, 0x15, count)
    return _framed(b"\x6a", body)


def heartbeat(h: Heartbeat) -> bytes:
    body = struct.pack(
        "<BQBQBQBQBQBIBI", 0x09, h.first, 0x11, h.last, 0x19, h.first_message, 0x21, h.next_message, 0x29, h.sent_at, 0x35, h.round_trip, 0x3D, h.receivers
    )
    if h.want_status:
        body += b"\x40\x01"
    if h.pause:
        body += struct.pack("<BI", 0x4D, h.pause)
    if h.evicted:
        body += b"\x50\x01"
    if h.every:
        body += struct.pack("<BI", 0x5D, h.every)
    if h.usual_trip:
        body += struct.pack("<BI", 0x65, h.usual_trip)
    return _framed(b"\x72", body)


def status(s: Status) -> bytes:
    body = struct.pack(
        "<BB16sBIBQBQBQBIBQBIBQBQ", 0x0A, 16, s.origin, 0x15, s.origin_incarnation, 0x19, s.next, 0x21, s.highest, 0x29, s.limit,
        0x35, s.room, 0x39, s.echo, 0x45, s.held, 0x49, s.missed, 0x51, s.gone,
    )
    if s.pause:
        body += struct.pack("<BI", 0x5D, s.pause)
    if s.arrived:
        body += struct.pack("<BQ", 0x61, s.arrived)
    if s.clock:
        body += struct.pack("<BQ", 0x69, s.clock)
    if s.every:
        body += struct.pack("<BI", 0x75, s.every)
    if s.no_group:
        body += b"\x78\x01"
    return _framed(b"\x7a", body)


def start(s: Start) -> bytes:
    return b"\x82\x01\x20" + struct.pack("<BQBQBQBI", 0x09, s.first, 0x11, s.first_message, 0x19, s.age, 0x25, s.lanes)


START = 35  # bytes of a Start frame


def leave(v: Leave) -> bytes:
    if v.last is None:
        return b"\x8a\x01\x00"
    return b"\x8a\x01\x12" + struct.pack("<BQBQ", 0x09, v.last, 0x11, v.next_message)


def repair(r: Repair) -> bytes:
    body = struct.pack("<BQBBBBBBBBBB", 0x09, r.block, 0x10, r.scheme, 0x18, r.stride, 0x20, r.sources, 0x28, r.repairs, 0x30, r.index)
    return _framed(b"\xc2\x01", body + b"\x3a" + varint(len(r.symbol)) + r.symbol)


def symbol_nak(n: SymbolNak) -> bytes:
    body = struct.pack("<BB16sBI", 0x0A, 16, n.origin, 0x15, n.origin_incarnation)
    for block, count in n.needs:
        body += struct.pack("<BBBQBI", 0x1A, 14, 0x09, block, 0x15, count)
    return _framed(b"\xca\x01", body)


def frame(f: Frame) -> bytes:
    """The canonical encoding of a frame that this member speaks."""
    if isinstance(f, Data):
        return data_of(f)
    return _WRITERS[type(f)](f)


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    Nak: nak,
    Heartbeat: heartbeat,
    Status: status,
    Start: start,
    Leave: leave,
    Repair: repair,
    SymbolNak: symbol_nak,
}
