"""What docs/languages.md says this member lacks is refused by that name."""

from __future__ import annotations

import pathlib
import re
import unittest
from typing import Any

import blaze
from blaze import Channel, Protocol, UnsupportedError

TABLE = pathlib.Path(__file__).resolve().parents[3] / "docs" / "languages.md"


def cast_any(x: Any) -> Any:
    return x


def ask(name: str) -> Any:
    if name.startswith("Protocol."):
        return Channel(protocol=Protocol[name.removeprefix("Protocol.")])
    if name.endswith("://"):
        return Channel(name + "239.1.2.3:4567")
    if name.startswith("the setting "):
        return Channel(**cast_any({name.removeprefix("the setting "): 12345}))
    if name.startswith("the option "):
        return Channel(f"udp://239.1.2.3:4567?{name.removeprefix('the option ')}=1")
    return getattr(blaze, name)("name")


@unittest.skipUnless(TABLE.exists(), "docs/languages.md is not there yet")
class Languages(unittest.TestCase):
    def test_table(self) -> None:
        rows = [[c.strip() for c in line.strip("| \n").split(" | ")] for line in TABLE.read_text().splitlines() if line.startswith("| ")]
        column = rows[0].index("Python")
        n = 0
        for row in rows[1:]:
            for name in re.findall(r"\bno: `([^`]+)`", row[column]) if len(row) > column else []:
                n += 1
                with self.subTest(row[0]), self.assertRaises(UnsupportedError) as e:
                    ask(name)
                self.assertEqual(str(e.exception), f"{name} is not supported by the Python member")
        self.assertGreaterEqual(n, 8)


if __name__ == "__main__":
    unittest.main()
