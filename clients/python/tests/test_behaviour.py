"""Every script of wire/testdata/behaviour.json holds."""

from __future__ import annotations

import unittest

from .behaviour import Runner, scripts


class Behaviour(unittest.TestCase):
    def test_scripts(self) -> None:
        for script in scripts():
            for seed in range(3):
                with self.subTest(script["name"], seed=seed):
                    self.assertEqual(Runner(script, seed).run(), [])


if __name__ == "__main__":
    unittest.main()
