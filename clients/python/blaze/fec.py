"""The code of FEC (docs/wire.md, "Forward error correction"): scheme 1, and a decoder of blocks.

Reading is all: this member sends no repair symbols.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from .crc import crc32c
from .wire import Datagram, Repair, header, seal, varint

MAX_SOURCES = 64
MAX_SYMBOLS = 128
MAX_BLOCKS = 64  # blocks with repair symbols that are kept
MAX_KEPT = 1024  # source symbols that are kept
_POLYNOMIAL = 0x11D


def _make_field() -> tuple[list[int], list[int]]:
    exp, log = [0] * 510, [0] * 256
    x = 1
    for i in range(255):
        exp[i] = exp[i + 255] = x
        log[x] = i
        x <<= 1
        if x & 0x100:
            x ^= _POLYNOMIAL
    return exp, log


_EXP, _LOG = _make_field()
# Row a multiplies bytes by a: bytes.translate does a whole symbol.
_MUL = [bytes(256) if a == 0 else bytes(0 if b == 0 else _EXP[_LOG[a] + _LOG[b]] for b in range(256)) for a in range(256)]


def _inverse(a: int) -> int:
    return _EXP[255 - _LOG[a]]


def coefficient(index: int, source: int) -> int:
    """The factor of a source symbol in a repair symbol."""
    return _inverse(64 + index ^ source)


def _add(a: bytes, b: bytes) -> bytes:
    n = len(a)
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(n, "little")


def source_symbol(d: Datagram, body: bytes) -> bytes:
    """The source symbol of a Data with this body in a datagram."""
    alone = header(d.cluster, d.transmitter, d.incarnation, d.stream) + b"\x62" + varint(len(body)) + body
    return struct.pack("<HI", len(body), crc32c(alone, 19)) + body


def rebuild(d: Datagram, symbol: bytes) -> bytes | None:
    """The datagram that a source symbol, with its padding, belongs to; None: it is none. Its CRC is the symbol's."""
    n, crc = struct.unpack_from("<HI", symbol)
    body = symbol[6 : 6 + n]
    if not n or len(body) < n or symbol[6 + n :].strip(b"\0"):
        return None
    b = header(d.cluster, d.transmitter, d.incarnation, d.stream) + b"\x62" + varint(n) + body
    return b[:15] + struct.pack("<I", crc) + b[19:]


class _Block(NamedTuple):
    shape: tuple[int, int]  # stride, sources
    length: int
    symbols: dict[int, bytes]


class Decoder:
    """Gives lost source symbols of one stream back. Everything that it keeps has a bound."""

    def __init__(self) -> None:
        self.sources: dict[int, bytes] = {}
        self.blocks: dict[int, _Block] = {}

    def source(self, number: int, symbol: bytes) -> None:
        """Keeps the symbol of a datagram that came."""
        self.sources[number] = symbol
        if len(self.sources) > MAX_KEPT:
            del self.sources[next(iter(self.sources))]

    def repair(self, r: Repair) -> list[bytes]:
        """Takes in a repair symbol; returns the source symbols, padded, that it gives back. None of them is believed
        before its CRC was: then source has to be called."""
        if r.scheme != 1 or r.sources > MAX_SOURCES or r.sources + r.repairs > MAX_SYMBOLS or r.index >= MAX_SYMBOLS - r.sources:
            return []
        b = self.blocks.get(r.block)
        if b is None:
            if len(self.blocks) >= MAX_BLOCKS:
                del self.blocks[next(iter(self.blocks))]
            b = self.blocks[r.block] = _Block((r.stride, r.sources), len(r.symbol), {})
        if b.shape != (r.stride, r.sources) or b.length != len(r.symbol):
            return []  # a second shape of one block
        b.symbols[r.index] = r.symbol
        return self._solve(r.block)

    def late(self, block: int) -> list[bytes]:
        """Looks at a block again, since a source symbol of it has come."""
        return self._solve(block) if block in self.blocks else []

    def _solve(self, block: int) -> list[bytes]:
        b = self.blocks[block]
        stride, k = b.shape
        numbers = [block + stride * c for c in range(k)]
        lost = [c for c in range(k) if numbers[c] not in self.sources]
        if not lost or len(lost) > len(b.symbols):
            return []
        if any(len(self.sources[numbers[c]]) > b.length for c in range(k) if c not in lost):
            return []
        rows = sorted(b.symbols)[: len(lost)]
        right = []
        for r in rows:
            s = b.symbols[r]
            for c in range(k):
                if c not in lost:
                    s = _add(s, self.sources[numbers[c]].translate(_MUL[coefficient(r, c)]))
            right.append(s)
        left = [[coefficient(r, c) for c in lost] for r in rows]
        # Gauss and Jordan: every square part of the matrix can be inverted, and no pivot is zero.
        n = len(lost)
        for i in range(n):
            pivot = next(j for j in range(i, n) if left[j][i])
            left[i], left[pivot], right[i], right[pivot] = left[pivot], left[i], right[pivot], right[i]
            mul = _MUL[_inverse(left[i][i])]
            left[i] = [mul[x] for x in left[i]]
            right[i] = right[i].translate(mul)
            for j in range(n):
                if j != i and left[j][i]:
                    mul = _MUL[left[j][i]]
                    left[j] = [x ^ mul[y] for x, y in zip(left[j], left[i])]
                    right[j] = _add(right[j], right[i].translate(mul))
        del self.blocks[block]
        return right


__all__ = ["Decoder", "coefficient", "rebuild", "seal", "source_symbol"]
