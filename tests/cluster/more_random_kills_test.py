"""What random_kills_test.py does, with rules whose kinds of state it has tried."""

import unittest

from random_kills_test import RandomKills

UPDATES = {
    "point_reach_epg": 12,
    "maze_nec": 100,
    "rl2_episodic": 10,
    "maesn_half_circle": 4,
    "box_diayn": 40,
    "quadratic_rl2": 8,
    "point_reach_adr": 12,
    "random_rewards_maml": 4,
}


class MoreRandomKillsTest(RandomKills):
    def test_random_kills_of_more_rules(self):
        self.other_rules(UPDATES)


if __name__ == "__main__":
    unittest.main()
