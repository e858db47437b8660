"""`mentor new gym`: what 24 outer updates through a simulator in Python teach. It takes minutes;
new_test.py makes two."""

import unittest

from templates import TemplatesTest


class GymTemplateTest(TemplatesTest):
    def test_what_gym_writes_learns(self):
        folder = self.folder / "glide"
        self.new("gym", folder)
        self.with_gymnasium()
        self.follow_readme(folder, "--set rule.outer_updates=24")
        self.assert_learned(folder)


if __name__ == "__main__":
    unittest.main()
