"""tests/mutants/mutants.py: what it reads from the console of Catch2."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))
import mutants  # noqa: E402

RULE, DOTS, WAVES = "-" * 79, "." * 79, "~" * 79
HEAD = f"\n{WAVES}\ntest_unit_x is a Catch v2.13.9 host application.\nRun with -? for options\n\n"
WARNS = (
    f"{RULE}\nlog: warns alone\n{RULE}\n/a/log_test.cc:7\n{DOTS}\n\n"
    "/a/log_test.cc:9: \nwarning:\n  it took long\n\n"
)
FAILS = (
    f"{RULE}\nlog: is wrong\n  in a section\n{RULE}\n../a/log_test.cc:12\n{DOTS}\n\n"
    "../a/log_test.cc:14: FAILED:\n  CHECK( 1 == 2 )\n\n"
)
LAST = "test cases: 2 | 1 passed | 1 failed\n"


class FailedCaseTest(unittest.TestCase):
    def test_a_test_that_warns_is_not_the_one_that_failed(self):
        self.assertEqual(
            mutants.failed_case(HEAD + WARNS + FAILS + WARNS + LAST), "log: is wrong in a section"
        )
        self.assertEqual(mutants.failed_case(HEAD + WARNS + LAST), "")

    def test_the_first_that_failed_is_named(self):
        later = FAILS.replace("log: is wrong", "log: is wrong, too")
        self.assertEqual(mutants.failed_case(HEAD + FAILS + later), "log: is wrong in a section")

    def test_other_words_name_none(self):
        self.assertEqual(mutants.failed_case("Segmentation fault\n"), "")
        self.assertEqual(mutants.failed_case("x.cc:1: FAILED:\n"), "")


if __name__ == "__main__":
    unittest.main()
