"""The pages can be walked: bash reads every command, and every mark fits its block."""

import pathlib
import subprocess
import tempfile
import unittest

import walk


class WalkTest(unittest.TestCase):
    def test_every_page_is_understood(self):
        for page in walk.PAGES:
            with self.subTest(page):
                self.assertGreater(len(walk.steps(page)), 4)

    def test_a_command_that_fails_fails_the_walk(self):
        steps = [walk.Step("a.md", 1, "for i in 1 2; do\n  test $i = 2\ndone", "")]
        steps += [
            walk.Step("a.md", 4, "seen=yes", ""),
            walk.Step("a.md", 5, "test $seen = yes", ""),
        ]
        steps += [walk.Step("a.md", 6, "false", "needs a cluster")]
        script = walk.script({"a.md": steps})
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("1 commands failed", done.stdout)
        self.assertIn("a.md:6", done.stdout)
        self.assertIn("needs a cluster", done.stdout)

    def test_a_block_can_be_a_file(self):
        text = ["one = 'two'", "", "  $three `four`"]
        (step,) = walk.block("a.md", "python", 3, text, [("file", "five six")])
        with tempfile.TemporaryDirectory() as folder:
            script = walk.script({"a.md": [step]})
            subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, check=True)
            self.assertEqual(pathlib.Path(folder, "five six").read_text(), "\n".join(text) + "\n")

    def test_marks_that_say_nothing_are_refused(self):
        for marks in ([("not", "mentor run, slow")], [("with", "NAME as first")]):
            with self.assertRaises(walk.Problem):
                list(walk.block("a.md", "bash", 2, ["true"], marks))


if __name__ == "__main__":
    unittest.main()
