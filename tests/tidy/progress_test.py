"""tests/progress.py: what it reckons, and what it shows of the output of ninja and ctest."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import progress  # noqa: E402

REFERENCE = """\
build 60 3 common/CMakeFiles/mentor_common
build 90 2 tests
quick 30 20 unit/common
"""
OBJECT = "common/CMakeFiles/mentor_common.dir/{}.cc.o"


class ProgressTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = folder.name
        reference = pathlib.Path(folder.name, "reference")
        reference.write_text(REFERENCE)
        row = f"0\t120000\t0\t{OBJECT.format('a')}\tabc\n"  # 120 seconds for 60.
        pathlib.Path(folder.name, ".ninja_log").write_text("# ninja log v5\n" + row)
        for place, name, value in (
            (progress, "REFERENCE", reference),
            (progress, "cores", lambda kind: 2),
            (sys, "stdin", io.StringIO()),
        ):
            patch = unittest.mock.patch.object(place, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def printed(self, *arguments, given=""):
        sys.stdin = io.StringIO(given)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(progress.main([*arguments[:-1], *arguments[-1].split()]), 0)
        return out.getvalue()

    def test_what_is_missing_counts_with_the_speed_of_this_machine(self):
        # Two objects and two programs by two cores that are half as fast; 20 tests.
        said = self.printed("--start", self.build, "build quick")
        self.assertIn("15 minutes: 5 minutes to build what is missing, 10 minutes to test", said)
        self.assertIn("with 2.0 times the reference's seconds", said)

    def test_only_what_failed_is_shown_of_a_build(self):
        said = "FAILED: b.o\nerror: no b\n"
        given = f"[1/3] Building CXX object {OBJECT.format('b')}\n{said}"
        self.assertEqual(self.printed(self.build, "build", given=given), said)

    def test_any_bytes_pass_and_a_log_may_be_cut_short(self):
        with open(f"{self.build}/.ninja_log", "a") as log:
            log.write("10\t2")
        done = subprocess.run(
            [sys.executable, ROOT / "tests/progress.py", self.build, "build"],
            input=b"\xff\n",
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUTF8": "1"},
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stdout), (0, b"\xff\n"))

    def test_only_what_failed_is_shown_of_tests(self):
        failed = "2/3 Test #2: unit/common: b .......***Failed    0.1 sec\n[1/2] its output\n"
        given = (
            "      Start  1: unit/common: a\n"
            f"1/3 Test #1: unit/common: a .......   Passed    0.1 sec\n{failed}"
            "3/3 Test #3: unit/common: c .......***Skipped   0.1 sec\n"
        )
        self.assertEqual(self.printed(self.build, "quick", given=given), failed)

    def test_without_a_terminal_a_line_a_minute_says_what_is_left(self):
        given = f"[3/5] Building CXX object {OBJECT.format('b')}\n"
        with unittest.mock.patch.object(progress.time, "monotonic", side_effect=[0, 61, 62]):
            self.assertEqual(
                self.printed(self.build, "build", given=given),
                "2 files to build, 3 minutes left\n",
            )

    def test_a_reference_is_what_a_build_and_its_tests_took(self):
        costs = pathlib.Path(self.build, "Testing/Temporary/CTestCostData.txt")
        os.makedirs(costs.parent)
        costs.write_text("python: a_test x 2 25\npython: a_test y 1 50\nunit/a: z 0 100\n---\n")
        label = [{"name": "LABELS", "value": ["python", "slow"]}]
        names = ("python: a_test x", "python: a_test y", "unit/a: z")
        tests = [{"name": name, "properties": label} for name in names]
        listed = progress.json.dumps({"tests": tests})
        with (
            unittest.mock.patch.object(progress.subprocess, "check_output", return_value=listed),
            unittest.mock.patch.object(progress, "small_compile", return_value=3),
        ):
            progress.main(["--write", self.build])
        self.assertEqual(
            progress.REFERENCE.read_text(),
            "build 120.00 1 common/CMakeFiles/mentor_common\ncompile 3.00 1 -\n"
            "slow 15.00 2 python: a_test\n",
        )


if __name__ == "__main__":
    unittest.main()
