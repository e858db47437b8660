"""What chaos_test.py does, with more seeds and other rules, at night."""

import unittest

import chaos_test


class MoreChaosTest(chaos_test.Chaos):
    seeds = range(3, 7)

    def test_chaos(self):
        self.trials()


class MoreKillsTest(chaos_test.Chaos):
    kills, faults, seeds = True, 16, (1,)

    def test_kills(self):
        for kinds in (
            ("losses", "episodic", "remembering", "latents"),
            ("skills", "quadratic", "curriculum", "rewards"),
        ):
            self.kinds = kinds
            self.trials()


if __name__ == "__main__":
    unittest.main()
