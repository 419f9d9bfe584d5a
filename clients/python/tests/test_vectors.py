"""Every vector of wire/testdata, in both directions."""

from __future__ import annotations

import json
import math
import pathlib
import struct
import unittest
from typing import Any

from blaze import crc, fec, message, topic, wire
from blaze._generated import blaze_pb2
from blaze.errors import BlazeError, MalformedError

TESTDATA = pathlib.Path(__file__).resolve().parents[3] / "wire" / "testdata"
OURS = {"data", "nak", "heartbeat", "status", "start", "leave", "repair", "symbol_nak"}


def load(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((TESTDATA / name).read_text())
    assert vectors["format"] == 1
    return vectors


def plain(f: wire.Frame) -> dict[str, Any]:
    """A frame as vectors.json has it."""

    def pairs(list_: list[tuple[int, int]], first: str = "first") -> list[dict[str, Any]]:
        return [{first: str(a), "count": n} for a, n in list_]

    if isinstance(f, wire.Data):
        out: dict[str, Any] = {"number": str(f.number), "first_message": str(f.first_message)}
        if f.offset is not None:
            out["fragment"] = {"offset": f.offset, "size": f.size}
        out["messages"] = [{"topic": t, "kind": k, "payload": p.hex()} for t, k, p in f.messages]
        return {"data": out}
    if isinstance(f, (wire.Nak, wire.SymbolNak)):
        out = {"origin": f.origin.hex(), "origin_incarnation": f.origin_incarnation}
        if isinstance(f, wire.SymbolNak):
            return {"symbol_nak": out | {"needs": pairs(f.needs, "block")}}
        for name in ("gaps", "again"):
            if getattr(f, name):
                out[name] = pairs(getattr(f, name))
        return {"nak": out}
    if isinstance(f, wire.Other):
        return {f.kind: None}
    wide = {"first", "last", "first_message", "next_message", "sent_at", "next", "highest", "limit", "echo", "missed", "gone", "arrived", "clock", "age", "block"}
    optional = {"want_status", "pause", "evicted", "every", "usual_trip", "arrived", "clock", "no_group"}
    out = {}
    for name, v in f._asdict().items():
        if v is None or name in optional and not v:
            continue
        out[name] = v.hex() if isinstance(v, bytes) else str(v) if name in wide else v
    return {type(f).__name__.lower(): out}


class Codec(unittest.TestCase):
    def test_decode(self) -> None:
        for v in load("vectors.json")["datagrams"]:
            with self.subTest(v["name"]):
                b = bytes.fromhex(v["bytes"])
                if v["verdict"] not in ("canonical", "valid"):
                    with self.assertRaises(wire.WireError) as e:
                        wire.decode(b)
                    self.assertEqual(e.exception.reason, v["verdict"])
                    continue
                d = wire.decode(b)
                h = v["header"]
                self.assertEqual((str(d.cluster), d.transmitter.hex(), d.incarnation, d.stream), (h["cluster"], h["transmitter"], h["incarnation"], h["stream"]))
                order = [f for f in sorted(map(plain, d.frames), key=number_of)]
                want = [f if set(f) <= OURS else {next(iter(f)): None} for f in v["frames"]]
                self.assertEqual(order, want)

    def test_encode(self) -> None:
        """Frames that are spoken are written as Go writes them; generated code gives every canonical datagram back."""
        written = 0
        for v in load("vectors.json")["datagrams"]:
            if v["verdict"] != "canonical":
                continue
            with self.subTest(v["name"]):
                b = bytes.fromhex(v["bytes"])
                self.assertEqual(blaze_pb2.Datagram.FromString(b).SerializeToString(deterministic=True), b)
                d = wire.decode(b)
                if not v.get("written") or any(isinstance(f, wire.Other) for f in d.frames):
                    continue
                written += 1
                again = wire.header(d.cluster, d.transmitter, d.incarnation, d.stream) + b"".join(map(wire.frame, d.frames))
                self.assertEqual(wire.seal(again), b)
        self.assertGreater(written, 200)

    def test_prefixes_and_bits(self) -> None:
        """What is cut off or damaged is refused."""
        for v in load("vectors.json")["datagrams"]:
            if v["verdict"] != "canonical" or len(v["bytes"]) > 600:
                continue
            b = bytes.fromhex(v["bytes"])
            for n in range(len(b)):
                with self.assertRaises(wire.WireError):
                    wire.decode(b[:n])
            for bit in range(0, len(b) * 8, 7):
                if 6 <= bit // 8 < 14:
                    continue  # the cluster, which is compared
                damaged = bytearray(b)
                damaged[bit // 8] ^= 1 << bit % 8
                with self.assertRaises(wire.WireError):
                    wire.decode(bytes(damaged))


class Clusters(unittest.TestCase):
    """What members of a cluster send each other, which this member does not: its generated code reads it."""

    def test_messages(self) -> None:
        vectors = load("vectors.json")
        required = {v["field"] for v in vectors["cluster_required"]}
        seen = {"canonical": 0, "valid": 0, "malformed": 0, "range": 0}
        for v in vectors["cluster_messages"]:
            with self.subTest(v["name"]):
                seen[v["verdict"]] += 1
                m = getattr(blaze_pb2, v["type"])()
                b = bytes.fromhex(v["bytes"])
                m.ParseFromString(b)
                if v["verdict"] == "malformed":
                    self.assertTrue(lacks(m, required))
                    continue
                self.assertEqual(lacks(m, required), [])
                if "message" in v:
                    self.assertEqual(nested(m, required), v["message"])
                m.DiscardUnknownFields()
                self.assertEqual(m.SerializeToString(deterministic=True) == b, v["verdict"] == "canonical" or v["verdict"] == "range")
        self.assertTrue(all(n > 20 for n in seen.values()), seen)


def lacks(m: Any, required: set[str]) -> list[str]:
    """The required fields that are missing in a message of generated code, in those inside it too."""
    out = []
    for fd in m.DESCRIPTOR.fields:
        name = f"{m.DESCRIPTOR.name}.{fd.name}"
        list_ = fd.label == fd.LABEL_REPEATED
        if name in required and not list_ and not m.HasField(fd.name):
            out.append(name)
        if fd.message_type is not None:
            for x in getattr(m, fd.name) if list_ else [getattr(m, fd.name)] if m.HasField(fd.name) else []:
                out += lacks(x, required)
    return out


def nested(m: Any, required: set[str]) -> dict[str, Any]:
    """A message of generated code as vectors.json has it."""
    out: dict[str, Any] = {}
    for fd, v in m.ListFields():

        def one(x: Any) -> Any:
            if fd.message_type is not None:
                return nested(x, required)
            return x.hex() if isinstance(x, bytes) else str(x) if fd.type == fd.TYPE_FIXED64 else x

        if fd.label == fd.LABEL_REPEATED:
            out[fd.name] = [one(x) for x in v]
        elif v or fd.message_type is not None or f"{m.DESCRIPTOR.name}.{fd.name}" in required:
            out[fd.name] = one(v)
    return out


_FIELDS: dict[str, int] = {f.name: f.number for f in blaze_pb2.Datagram.DESCRIPTOR.fields}


def number_of(f: dict[str, Any]) -> int:
    return _FIELDS[next(iter(f))]


class Names(unittest.TestCase):
    def test_topics(self) -> None:
        def ok(check: Any, raw: str) -> bool:
            try:
                check(bytes.fromhex(raw).decode())
            except (UnicodeDecodeError, BlazeError):
                return False
            return True

        for v in load("vectors.json")["topics"]:
            with self.subTest(v["topic"]):
                self.assertEqual((ok(topic.validate, v["topic"]), ok(topic.validate_pattern, v["topic"])), (v["publish"], v["subscribe"]))
        for lone in ("\ud800", "a.\udfff"):
            with self.assertRaises(BlazeError):
                topic.validate(lone)

    def test_matches(self) -> None:
        for v in load("vectors.json")["matches"]:
            with self.subTest(v):
                self.assertEqual(topic.match(v["pattern_text"], v["topic_text"]), v["match"])

    def test_lanes_and_clusters(self) -> None:
        for v in load("vectors.json")["lanes"]:
            raw = bytes.fromhex(v["topic"])
            self.assertEqual(topic.fnv1a(raw), v["fnv1a"])
            for of in v["of"]:
                self.assertEqual(topic.lane_of(raw, of["lanes"]), of["lane"])
        for v in load("vectors.json")["clusters"]:
            self.assertEqual(str(topic.cluster_hash(v["name_text"])), v["cluster"])

    def test_crc(self) -> None:
        for b in (b"", b"123456789", bytes(range(256)) * 7):
            self.assertEqual(crc.crc32c(b), crc.crc32c_slow(b))
            self.assertEqual(crc.crc32c(b, 3), crc.crc32c_slow(b, 3))
        self.assertEqual(crc.crc32c_slow(b"123456789"), 0xE3069283)


class Fec(unittest.TestCase):
    def test_coefficients(self) -> None:
        for v in load("vectors.json")["coefficients"]:
            self.assertEqual(bytes(fec.coefficient(v["index"], c) for c in range(64)).hex(), v["row"])

    def test_blocks(self) -> None:
        for v in load("vectors.json")["blocks"]:
            with self.subTest(v["name"]):
                d = fec.Decoder()
                back = []
                for s in v["sources"]:
                    b = bytes.fromhex(s["bytes"])
                    g = wire.decode(b)
                    lo, hi = g.spans[0]
                    data = g.frames[0]
                    assert isinstance(data, wire.Data)
                    self.assertEqual(fec.source_symbol(g, b[lo:hi]).hex(), s["symbol"])
                    if not s.get("lost"):
                        d.source(data.number, fec.source_symbol(g, b[lo:hi]))
                for r in v["repairs"]:
                    g = wire.decode(bytes.fromhex(r["bytes"]))
                    f = g.frames[0]
                    assert isinstance(f, wire.Repair)
                    back += [fec.rebuild(g, symbol) for symbol in d.repair(f)]
                self.assertEqual([b.hex() if b else b for b in back], [s["bytes"] for s in v["sources"] if s.get("lost")])


def plain_message(m: message.Message) -> dict[str, Any]:
    entries = []
    for key in m:
        v = m.get_value(key)
        assert v is not None
        x: Any = v.value
        if v.kind is message.Kind.INT64:
            x = str(x)
        elif v.kind is message.Kind.BYTES:
            x = x.hex()
        elif v.kind is message.Kind.CHAR:
            x = ord(x)
        elif v.kind is message.Kind.FLOAT32:
            x = f"{v._float_bits():08x}"
        elif v.kind is message.Kind.FLOAT64:
            x = f"{v._float_bits():016x}"
        elif v.kind is message.Kind.MAP:
            x = plain_message(x)
        e = {"key": key, "kind": v.kind.value}
        entries.append(e if x is None else e | {"value": x})
    out: dict[str, Any] = {"entries": entries}
    if m.text is not None:
        out["text"] = m.text
    if m.data is not None:
        out["bytes"] = m.data.hex()
    if m.any is not None:
        out["object"] = {"type": m.any[0], "value": m.any[1].hex()}
    if m.header is not None:
        out["header"] = m.header.hex()
    return out


def made_of(v: dict[str, Any]) -> message.Message:
    """The Message that a vector describes, by its constructors."""
    V = message.Value
    m = message.Message()
    make: dict[str, Any] = {
        "byte": V.byte, "int16": V.int16, "int32": V.int32, "int64": lambda x: V.int64(int(x)), "bool": V.bool_, "string": V.string, "char": V.char,
        "bytes": lambda x: V.bytes_(bytes.fromhex(x)), "map": lambda x: V.map(made_of(x)), "none": lambda x: V.none(),
        "float32": lambda x: V(message.Kind.FLOAT32, struct.unpack(">f", bytes.fromhex(x))[0], int(x, 16)),
        "float64": lambda x: V(message.Kind.FLOAT64, struct.unpack(">d", bytes.fromhex(x))[0], int(x, 16)),
    }  # fmt: skip
    for e in v["entries"]:
        m[e["key"]] = make[e["kind"]](e.get("value"))
    if "text" in v:
        m.text = v["text"]
    if "bytes" in v:
        m.data = bytes.fromhex(v["bytes"])
    if "object" in v:
        m._object = v["object"]["type"], bytes.fromhex(v["object"]["value"])
    if "header" in v:
        m.header = bytes.fromhex(v["header"])
    return m


class Messages(unittest.TestCase):
    def test_vectors(self) -> None:
        for v in load("messages.json")["messages"]:
            with self.subTest(v["name"]):
                b = bytes.fromhex(v["bytes"])
                if v["verdict"] == "malformed":
                    with self.assertRaises(MalformedError):
                        message.Message.decode(b)
                    continue
                m = message.Message.decode(b)
                self.assertEqual(plain_message(m), v["message"])
                written = bytes.fromhex(v.get("written", v["bytes"]))
                self.assertEqual(m.encode(), written)
                self.assertEqual(made_of(v["message"]).encode(), written)
                self.assertEqual(m, made_of(v["message"]))

    def test_refused(self) -> None:
        m = message.Message()
        m["\ud800"] = 1
        deep = message.Message()
        for _ in range(message.MAX_NESTING):
            deep = message.Message({"in": deep})
        inside = message.Message({"a": message.Message(text="\udc00")})
        for bad in (message.Message({"": True}), m, message.Message(text="\ud800"), deep, inside):
            with self.assertRaises(MalformedError):
                bad.encode()
        itself = message.Message()
        itself["me"] = itself
        with self.assertRaises(MalformedError):
            itself.encode()
        wrong: tuple[Any, ...] = (
            lambda: message.Value.byte(128), lambda: message.Value.int64(1 << 63), lambda: message.Value.char("\ud800"), lambda: message.Value.of(None),
        )
        for make in wrong:
            with self.assertRaises(BlazeError):
                make()

    def test_kinds(self) -> None:
        m = message.Message({"n": 1, "f": 1.5, "t": "x", "b": b"y", "y": True, "m": {"in": 2}})
        back = message.Message.decode(m.encode())
        self.assertEqual(back, m)
        self.assertEqual((back["n"], back["f"], back["t"], back["b"], back["y"], back["m"]["in"]), (1, 1.5, "x", b"y", True, 2))
        self.assertEqual(message.Value.float32(math.nan), message.Value.float32(math.nan))
        with self.assertRaises(BlazeError):
            m.get_object()
        m.set_object(blaze_pb2.Gap(first=3))
        self.assertEqual(message.Message.decode(m.encode()).get_object().first, 3)


if __name__ == "__main__":
    unittest.main()
