"""tests/skips.py: what it reads from the results of ctest."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import skips  # noqa: E402

CASE = '<testcase name="{}"><skipped message=""/><system-out>{}</system-out></testcase>'
SHELL = CASE.format("unit/a: zsh", "a_test.cc:9: warning:\n  skipped: zsh is not installed\n\nok")
CHART = CASE.format("containers: chart", "setUpModule ... skipped 'no kubectl'\n\nOK (skipped=1)")
RAN = '<testcase name="unit/a: ran"><system-out>skipped: no</system-out></testcase>'


class SkipsTest(unittest.TestCase):
    def run_on(self, *cases):
        """-> the exit status and what is printed."""
        with tempfile.TemporaryDirectory() as folder:
            results = pathlib.Path(folder, "tests.xml")
            results.write_text(f"<testsuite>{''.join(cases)}</testsuite>")
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                status = skips.main([str(results)])
            return status, out.getvalue()

    def test_a_listed_test_may_be_skipped(self):
        self.assertEqual(self.run_on(CHART, RAN), (0, "skipped: containers: chart: no kubectl\n"))

    def test_another_may_not(self):
        status, printed = self.run_on(SHELL, CHART)
        self.assertEqual(status, 1)
        self.assertIn("unit/a: zsh: zsh is not installed (not in tests/skips.txt)\n", printed)

    def test_a_run_without_skips_says_nothing(self):
        self.assertEqual(self.run_on(RAN), (0, ""))

    def test_a_pattern_ends_before_its_reason(self):
        self.assertEqual(skips.patterns("# text\n\na b: *  why  not\n"), ["a b: *"])


if __name__ == "__main__":
    unittest.main()
