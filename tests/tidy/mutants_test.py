"""tests/mutants/draw.py: which statements it finds, and how it writes two versions of one."""

import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))
import draw  # noqa: E402
import mutants  # noqa: E402

SOURCE = """\
namespace a {
constexpr int kOne = 1;
struct S {
  int x = 2;
};
int F(int x) {
  // return 0;
  if (x < 3) return x;
  for (int i = 0; i < x; ++i) {
    G("a;b", [&] { x = i; });
  }
  const int y = x + 1;
  return H({x, y});
}
}  // namespace a
"""


class Statements(unittest.TestCase):
    def test_what_runs_is_found_and_nothing_else(self):
        text = draw.masked(SOURCE)
        found = [" ".join(text[a:b].split()) for a, b in draw.statements(text)]
        self.assertEqual(
            sorted(found),
            sorted([
                "if (x < 3) return x;", "for (int i = 0; i < x; ++i)", "x = i;",
                "G( , [&] { x = i; });", "const int y = x + 1;", "return H({x, y});",
            ]),
        )  # fmt: skip

    def test_both_versions_stand_behind_the_switch(self):
        for old, new, text in [
            ("f(a);", "/*f(a);*/", "if (MUTANT) { /*f(a);*/ } else { f(a); }"),
            ("const int y = x + 1;", "const int y = x - 1;",
             "const int y = MUTANT ? ( x - 1) : ( x + 1);"),
            ("if (a < b) ", "if (a <= b) ",
             "if ((MUTANT ? static_cast<bool>(a <= b) : static_cast<bool>(a < b))) "),
            ("if (int e = F(); e < 0)", "if (int e = F(); e > 0)",
             "if (int e = F();(MUTANT ? static_cast<bool>( e > 0) : static_cast<bool>( e < 0)))"),
            ("if (a) f();", "if (a) g();", "if (a) { if (MUTANT) { g(); } else { f(); } }"),
            ("MENTOR_ASSIGN_OR_RETURN(int a, F(1));", "MENTOR_ASSIGN_OR_RETURN(int a, F(2));",
             "MENTOR_ASSIGN_OR_RETURN(int a, MUTANT ? ( F(2)) : ( F(1)));"),
            # What two versions cannot share a scope with.
            ("int y = 1;", "/*int y = 1;*/", None),
            ("if (auto e = F(1)) ", "if (auto e = F(2)) ", None),
            ("static int n = 1;", "static int n = 2;", None),
        ]:  # fmt: skip
            with self.subTest(old):
                self.assertEqual(draw.switched(old, new), text)


class Blame(unittest.TestCase):
    def test_what_does_not_compile_is_blamed_where_the_compiler_tells_it(self):
        copy = pathlib.Path("/copy")
        files = {"a/b.cc": ("", [(3, 4, "m1"), (9, 9, "m2")])}
        for said, names in [
            ("../a/b.cc:4:1: error: no f", {"m1"}),
            ("/copy/a/b.cc:7:1: error: control reaches end of non-void function", {"m1"}),
            ("/copy/a/b.cc:20:1: error: 'place' was not declared in this scope", {"m2"}),
            ("/copy/a/b.cc:9:2:   required from here\n/usr/x.h:1:1: error: no match", {"m2"}),
            ("/copy/a/b.cc:7:2:   required from here", set()),
            ("/copy/a/b.cc:2:1: error: before both", set()),
            ("/copy/a/c.cc:4:1: error: another file", set()),
        ]:
            with self.subTest(said):
                self.assertEqual(mutants.to_blame(copy, files, said), names)


if __name__ == "__main__":
    unittest.main()
