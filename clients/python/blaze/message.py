"""The typed Message: string keys to typed values, and a body (docs/api.md, "Message")."""

from __future__ import annotations

import enum
import math
import struct
from typing import Any, Iterator, Mapping

from .errors import KindError, MalformedError
from .wire import Malformed, _fields, varint

MAX_NESTING = 32  # messages inside each other, the outermost included


class Kind(enum.Enum):
    """What a Value holds."""

    NONE = "none"
    BYTE = "byte"
    BYTES = "bytes"
    CHAR = "char"
    BOOL = "bool"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    MAP = "map"


_BITS = {Kind.BYTE: 8, Kind.INT16: 16, Kind.INT32: 32, Kind.INT64: 64}
_NUMBERS = {
    Kind.BYTE: 1, Kind.BYTES: 2, Kind.CHAR: 3, Kind.BOOL: 4, Kind.INT16: 5, Kind.INT32: 6, Kind.INT64: 7,
    Kind.FLOAT32: 8, Kind.FLOAT64: 9, Kind.STRING: 10, Kind.MAP: 11,
}  # fmt: skip


class Value:
    """One typed value: a kind, and what it holds. Floats of 32 bits keep their bits in `bits`."""

    __slots__ = ("kind", "value", "bits")

    def __init__(self, kind: Kind, value: Any, bits: int | None = None) -> None:
        self.kind = kind
        self.value = value
        self.bits = bits

    @staticmethod
    def _integer(kind: Kind, v: int) -> Value:
        half = 1 << _BITS[kind] - 1
        if isinstance(v, bool) or not isinstance(v, int) or not -half <= v < half:
            raise KindError(f"{v!r} is no {kind.value}")
        return Value(kind, v)

    @staticmethod
    def byte(v: int) -> Value:
        """An integer of 8 bits, -128 to 127."""
        return Value._integer(Kind.BYTE, v)

    @staticmethod
    def int16(v: int) -> Value:
        return Value._integer(Kind.INT16, v)

    @staticmethod
    def int32(v: int) -> Value:
        return Value._integer(Kind.INT32, v)

    @staticmethod
    def int64(v: int) -> Value:
        return Value._integer(Kind.INT64, v)

    @staticmethod
    def bytes_(v: bytes) -> Value:
        return Value(Kind.BYTES, bytes(v))

    @staticmethod
    def char(v: str | int) -> Value:
        """A Unicode code point, as a text of one character or as its number."""
        c = ord(v) if isinstance(v, str) else v
        if not 0 <= c <= 0x10FFFF or 0xD800 <= c <= 0xDFFF:
            raise KindError(f"{v!r} is no Unicode code point")
        return Value(Kind.CHAR, chr(c))

    @staticmethod
    def bool_(v: bool) -> Value:
        return Value(Kind.BOOL, bool(v))

    @staticmethod
    def float32(v: float) -> Value:
        """A float of 32 bits: v is rounded to one."""
        try:
            raw = struct.pack("<f", v)
        except OverflowError:
            raw = struct.pack("<f", math.copysign(math.inf, v))
        return Value(Kind.FLOAT32, struct.unpack("<f", raw)[0], struct.unpack("<I", raw)[0])

    @staticmethod
    def float64(v: float) -> Value:
        return Value(Kind.FLOAT64, float(v))

    @staticmethod
    def string(v: str) -> Value:
        return Value(Kind.STRING, v)

    @staticmethod
    def map(v: Message) -> Value:
        return Value(Kind.MAP, v)

    @staticmethod
    def none() -> Value:
        """No value: what has a kind of a later version is read as this."""
        return Value(Kind.NONE, None)

    @staticmethod
    def of(v: Any) -> Value:
        """The Value that holds v: bool, int (64 bits), float, str, bytes, Message, or a mapping of these."""
        if isinstance(v, Value):
            return v
        if isinstance(v, bool):
            return Value(Kind.BOOL, v)
        if isinstance(v, int):
            return Value.int64(v)
        if isinstance(v, float):
            return Value.float64(v)
        if isinstance(v, str):
            return Value.string(v)
        if isinstance(v, (bytes, bytearray, memoryview)):
            return Value(Kind.BYTES, bytes(v))
        if isinstance(v, Message):
            return Value.map(v)
        if isinstance(v, Mapping):
            return Value.map(Message(v))
        raise KindError(f"{type(v).__name__} has no kind of value")

    def _float_bits(self) -> int:
        if self.bits is not None:
            return self.bits
        code = ("<f", "<I") if self.kind is Kind.FLOAT32 else ("<d", "<Q")
        return int(struct.unpack(code[1], struct.pack(code[0], self.value))[0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or self.kind is not other.kind:
            return False
        return bool(self.value == other.value) or self.value != self.value and other.value != other.value

    def __hash__(self) -> int:
        return hash((self.kind, str(self.value)))

    def __repr__(self) -> str:
        return f"Value.{self.kind.value}({self.value!r})"


def _zigzag(n: int) -> int:
    return n << 1 if n >= 0 else (-n << 1) - 1


def _unzigzag(n: int) -> int:
    return n >> 1 ^ -(n & 1)


def _length(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def _utf8(text: str, what: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedError(f"{what} is not valid UTF-8") from None


def _text(b: bytes, at: tuple[int, int]) -> str:
    try:
        return b[at[0] : at[1]].decode()
    except UnicodeDecodeError:
        raise MalformedError("a key or text is not valid UTF-8") from None


class Message:
    """Maps string keys to typed values, and may have a body: text, bytes, or a protobuf message as google.protobuf.Any.

    m["bid"] = 99.5 takes the kind that fits (Value.of); m["bid"] gives the value itself, and m.get_value("bid") the
    Value. topic, sender and sequence say where a received message came from.
    """

    __slots__ = ("entries", "_text", "_bytes", "_object", "header", "topic", "sender", "sequence")

    def __init__(self, entries: Mapping[str, Any] | None = None, text: str | None = None, data: bytes | None = None) -> None:
        self.entries: dict[str, Value] = {}
        self._text = text
        self._bytes = data
        self._object: tuple[str, bytes] | None = None
        self.header: bytes | None = None
        self.topic = ""
        self.sender = b""
        self.sequence = 0
        for k, v in (entries or {}).items():
            self[k] = v

    def __setitem__(self, key: str, v: Any) -> None:
        self.entries[key] = Value.of(v)

    def __getitem__(self, key: str) -> Any:
        return self.entries[key].value

    def __delitem__(self, key: str) -> None:
        del self.entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.entries, key=lambda k: k.encode("utf-8", "surrogatepass")))

    def get(self, key: str, default: Any = None) -> Any:
        v = self.entries.get(key)
        return default if v is None else v.value

    def get_value(self, key: str) -> Value | None:
        return self.entries.get(key)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Keys and values, in the order of the keys' bytes."""
        return ((k, self.entries[k].value) for k in self)

    @property
    def text(self) -> str | None:
        """The body where that is a text. Setting it takes the place of another body."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self._text, self._bytes, self._object = text, None, None

    @property
    def data(self) -> bytes | None:
        """The body where that is bytes."""
        return self._bytes

    @data.setter
    def data(self, data: bytes) -> None:
        self._text, self._bytes, self._object = None, bytes(data), None

    @property
    def any(self) -> tuple[str, bytes] | None:
        """The body where that is a protobuf message: its type's URL and its encoding."""
        return self._object

    def set_object(self, message: Any) -> None:
        """Makes a protobuf message of generated code the body."""
        self._text = self._bytes = None
        self._object = "type.googleapis.com/" + message.DESCRIPTOR.full_name, message.SerializeToString(deterministic=True)

    def get_object(self) -> Any:
        """The body as a message of generated code that this program has imported; KindError for another body."""
        from google.protobuf import symbol_database

        if self._object is None:
            raise KindError("the message has no protobuf message as its body")
        name = self._object[0].rsplit("/", 1)[-1]
        try:
            make = symbol_database.Default().GetSymbol(name)
        except KeyError:
            raise KindError(f"this program has no protobuf message {name!r}") from None
        out = make()
        try:
            out.ParseFromString(self._object[1])
        except Exception as e:
            raise MalformedError(f"object of type {name!r}: {e}") from None
        return out

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and (
            (self.entries, self._text, self._bytes, self._object, self.header)
            == (other.entries, other._text, other._bytes, other._object, other.header)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parts = [f"{k}={v!r}" for k, v in self.items()]
        body = self._text if self._text is not None else self._bytes if self._bytes is not None else self._object
        if body is not None:
            parts.append(repr(body))
        return f"Message({', '.join(parts)})"

    def encode(self) -> bytes:
        """The canonical encoding. MalformedError for what cannot be one: an empty key, a text that is no UTF-8."""
        return self._encode(MAX_NESTING)

    def _encode(self, depth: int) -> bytes:
        if depth == 0:
            raise MalformedError(f"nests deeper than {MAX_NESTING}")
        out = bytearray()
        for raw, v in sorted((_utf8(k, f"key {k!a}"), v) for k, v in self._sortable()):
            if not raw:
                raise MalformedError("a key is empty")
            out += _length(1, _length(1, raw) + _length(2, _encode_value(v.value, depth)))
        if self._text is not None:
            out += _length(2, _utf8(self._text, "its text"))
        elif self._bytes is not None:
            out += _length(3, self._bytes)
        elif self._object is not None:
            url, value = self._object
            out += _length(4, (_length(1, url.encode()) if url else b"") + (_length(2, value) if value else b""))
        if self.header is not None:
            out += _length(8, self.header)
        return bytes(out)

    def _sortable(self) -> Iterator[tuple[str, "_Box"]]:
        return ((k, _Box(v)) for k, v in self.entries.items())

    @classmethod
    def decode(cls, b: bytes) -> Message:
        """The Message that b encodes, in any layout. Unknown fields are skipped."""
        m = cls()
        try:
            m._parse(b, 0, len(b), MAX_NESTING)
        except Malformed as e:
            raise MalformedError(f"not a protobuf encoding of it: {e}") from None
        return m

    def _parse(self, b: bytes, p: int, end: int, depth: int) -> None:
        if depth == 0:
            raise MalformedError(f"nests deeper than {MAX_NESTING}")
        for number, kind, at, _ in _fields(b, p, end):
            if kind != 2:
                continue
            if number == 1:
                key, value = "", Value.none()
                for n, k, x, _ in _fields(b, at[0], at[1]):
                    if n == 1 and k == 2:
                        key = _text(b, x)
                    elif n == 2 and k == 2:
                        value = _decode_value(value, b, x, depth)
                if not key:
                    raise MalformedError("a key is empty")
                self.entries[key] = value
            elif number == 2:
                self.text = _text(b, at)
            elif number == 3:
                self.data = b[at[0] : at[1]]
            elif number == 4:
                url, value_ = self._object or ("", b"")
                for n, k, x, _ in _fields(b, at[0], at[1]):
                    if n == 1 and k == 2:
                        url = _text(b, x)
                    elif n == 2 and k == 2:
                        value_ = b[x[0] : x[1]]
                self._text = self._bytes = None
                self._object = url, value_
            elif number == 8:
                self.header = (self.header or b"") + b[at[0] : at[1]]


class _Box:
    """Keeps sorted from comparing values: keys are different."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __lt__(self, other: object) -> bool:
        return False


def _encode_value(v: Value, depth: int) -> bytes:
    kind = v.kind
    if kind is Kind.NONE:
        return b""
    number = _NUMBERS[kind]
    if kind in _BITS:
        return varint(number << 3) + varint(_zigzag(v.value))
    if kind is Kind.CHAR:
        return varint(number << 3) + varint(ord(v.value))
    if kind is Kind.BOOL:
        return varint(number << 3) + (b"\x01" if v.value else b"\x00")
    if kind is Kind.FLOAT32:
        return varint(number << 3 | 5) + struct.pack("<I", v._float_bits())
    if kind is Kind.FLOAT64:
        return varint(number << 3 | 1) + struct.pack("<Q", v._float_bits())
    if kind is Kind.BYTES:
        return _length(number, v.value)
    if kind is Kind.STRING:
        return _length(number, _utf8(v.value, "a text"))
    return _length(number, v.value._encode(depth - 1))


_NARROW = {1: (Kind.BYTE, 8), 5: (Kind.INT16, 16), 6: (Kind.INT32, 32)}


def _decode_value(v: Value, b: bytes, at: tuple[int, int], depth: int) -> Value:
    for number, kind, x, _ in _fields(b, at[0], at[1]):
        if kind == 0:
            if number in _NARROW:
                which, bits = _NARROW[number]
                n = _unzigzag(x & 0xFFFFFFFF)
                if not -(1 << bits - 1) <= n < 1 << bits - 1:
                    raise MalformedError("an integer is out of its kind's range")
                v = Value(which, n)
            elif number == 3:
                c = x & 0xFFFFFFFF
                if c > 0x10FFFF or 0xD800 <= c <= 0xDFFF:
                    raise MalformedError("a character is not a Unicode code point")
                v = Value(Kind.CHAR, chr(c))
            elif number == 4:
                v = Value(Kind.BOOL, x != 0)
            elif number == 7:
                v = Value(Kind.INT64, _unzigzag(x))
        elif kind == 5 and number == 8:
            v = Value(Kind.FLOAT32, struct.unpack("<f", struct.pack("<I", x))[0], x)
        elif kind == 1 and number == 9:
            v = Value(Kind.FLOAT64, struct.unpack("<d", struct.pack("<Q", x))[0], x)
        elif kind == 2:
            if number == 2:
                v = Value(Kind.BYTES, b[x[0] : x[1]])
            elif number == 10:
                v = Value(Kind.STRING, _text(b, x))
            elif number == 11:
                if v.kind is not Kind.MAP:
                    v = Value(Kind.MAP, Message())
                v.value._parse(b, x[0], x[1], depth - 1)
    return v
