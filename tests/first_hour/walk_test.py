"""The pages can be walked: bash reads every command, and every mark fits its block."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

import walk


class WalkTest(unittest.TestCase):
    def test_every_page_is_understood(self):
        for page in walk.PAGES:
            with self.subTest(page):
                self.assertTrue(walk.steps(page))

    def test_every_page_with_commands_is_walked_or_says_why_not(self):
        listed = subprocess.run(
            ["git", "ls-files", "*.md"], cwd=walk.ROOT, capture_output=True, text=True, check=True
        )
        found = {
            page
            for page in listed.stdout.split()
            if page.startswith(("README.md", "docs/", "python/", "results/"))
            and re.search(r"(?m)^ *```(bash|python|sh)$", (walk.ROOT / page).read_text())
        }
        elsewhere = {page for page in found if page.startswith(tuple(walk.ELSEWHERE))}
        self.assertEqual(found - elsewhere, set(walk.PAGES))

    def test_the_first_commands_of_readme_are_the_main_job_and_what_integration_runs(self):
        job, tests = (shlex.split(one[2], comments=True) for one in walk.steps("README.md")[:2])
        self.assertEqual((job, tests[0]), (["./deploy/quickstart.sh"], "./tests/run.sh"))
        last = (walk.ROOT / ".ci/run").read_text().splitlines()[-1]
        integration = [*tests, "--werror", "--all"]
        self.assertEqual(shlex.split(last), ["exec", *integration, "$@", "</dev/null"])
        for program in (*job, tests[0], ".ci/run"):
            self.assertTrue(os.access(walk.ROOT / program, os.X_OK), program)
        said = subprocess.check_output([tests[0], "--help"], cwd=walk.ROOT, text=True)
        for flag in integration[1:]:
            self.assertRegex(said, rf"(?m)^Usage: .*{flag}\b")

    def test_blocks_of_python_share_what_they_make(self):
        def python(line, text):
            return walk.block("a.md", "python", line, text.split("\n"), [])

        steps = [
            *python(2, "made = 6 * 7"),
            walk.Step("a.md", 5, "export WORD=there; mkdir -p sub; cd sub", ""),
            *python(6, "import os\nprint(made, os.environ['WORD'], os.path.basename(os.getcwd()))"),
            *python(9, "1 / 0"),
            *python(12, "raise SystemExit(made)"),
            *python(15, "os._exit(0)"),
            *python(18, "print('never')"),
        ]
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(walk.ROOT / "tests", f"{folder}/tests")
            os.makedirs(f"{folder}/venv/bin")
            os.symlink(sys.executable, f"{folder}/venv/bin/python")
            done = subprocess.run(
                ["bash", "-c", walk.script({"a.md": steps})],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=60,
            )
        self.assertIn("\n42 there sub\n", done.stdout)
        self.assertIn("ZeroDivisionError", done.stderr)
        for line, status in ((9, 1), (12, 42), (15, 1), (18, 1)):
            self.assertRegex(done.stdout, rf"exit {status} +a.md:{line} ")
        self.assertIn("4 commands failed", done.stdout)

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

    def test_marks_in_a_file_belong_to_blocks_of_the_page(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "marks.txt")
            with unittest.mock.patch.dict(walk.MARKS, {"SECURITY.md": file}):
                for text in ("no such line\n  skip, slow\n", "  skip, slow\n", "a\n  jump\n"):
                    file.write_text(text)
                    with self.assertRaises(walk.Problem, msg=text):
                        walk.steps("SECURITY.md")

    def test_marks_that_say_nothing_are_refused(self):
        for marks in ([("not", "mentor run, slow")], [("with", "NAME as first")]):
            with self.assertRaises(walk.Problem):
                list(walk.block("a.md", "bash", 2, ["true"], marks))


if __name__ == "__main__":
    unittest.main()
