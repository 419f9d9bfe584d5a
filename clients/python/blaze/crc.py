"""CRC-32C (RFC 3720, B.4), by python3-crc32c where that is installed."""

from __future__ import annotations

import struct

_POLYNOMIAL = 0x82F63B78  # reflected


def _make_tables() -> list[list[int]]:
    first = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ _POLYNOMIAL if n & 1 else n >> 1
        first.append(n)
    tables = [first]
    for _ in range(7):
        last = tables[-1]
        tables.append([first[n & 0xFF] ^ n >> 8 for n in last])
    return tables


_T0, _T1, _T2, _T3, _T4, _T5, _T6, _T7 = _make_tables()


def _pairs(low: list[int], high: list[int]) -> list[int]:
    """A table for two bytes at a time."""
    return [low[n & 0xFF] ^ high[n >> 8] for n in range(1 << 16)]


_P01 = _pairs(_T7, _T6)
_P23 = _pairs(_T5, _T4)
_P45 = _pairs(_T3, _T2)
_P67 = _pairs(_T1, _T0)


def crc32c_slow(data: bytes, start: int = 0) -> int:
    """The CRC of data from start on, eight bytes at a time and without any library."""
    crc = 0xFFFFFFFF
    n = (len(data) - start) // 8
    p01, p23, p45, p67 = _P01, _P23, _P45, _P67
    for a, b, c, d in struct.iter_unpack("<4H", data[start : start + 8 * n]):
        crc = p01[a ^ crc & 0xFFFF] ^ p23[b ^ crc >> 16] ^ p45[c] ^ p67[d]
    t0 = _T0
    for x in data[start + 8 * n :]:
        crc = t0[(crc ^ x) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


try:
    from crc32c import crc32c as _quick
except ImportError:
    QUICK = False
    crc32c = crc32c_slow
else:
    QUICK = True

    def crc32c(data: bytes, start: int = 0) -> int:
        """The CRC of data from start on."""
        return int(_quick(data[start:]))
