"""What a test runs of a layer is what programs run. Tests are compiled with less optimisation, and
a program gets one copy of an inline function that several files have."""

import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", ROOT / "build" / "bin")).parent


def sizes(file, kinds):
    """-> {symbol: bytes}"""
    said = subprocess.run(["nm", "-S", file], cwd=BUILD, capture_output=True, text=True, check=True)
    rows = [line.split() for line in said.stdout.splitlines()]
    return {row[3]: row[1] for row in rows if len(row) == 4 and row[2] in kinds}


class InlineFunctionsTest(unittest.TestCase):
    def test_programs_of_tests_keep_those_of_layers(self):
        for program in ("test_learner_math", "test_envs"):
            command = ["ninja", "-t", "commands", f"tests/{program}"]
            link = subprocess.check_output(command, cwd=BUILD, text=True).splitlines()[-1]
            layers, tests = {}, {}
            for file in (word for word in link.split() if word.endswith(".o")):
                found = tests if "_cases.dir/" in file else layers
                for symbol, size in sizes(file, "WVu").items():
                    found.setdefault(symbol, size)
            kept = sizes(f"tests/{program}", "WVut")
            other = [
                one
                for one in layers.keys() & tests.keys() & kept.keys()
                if layers[one] != tests[one]
            ]
            self.assertGreater(len(other), 100)
            self.assertEqual([one for one in other if kept[one] != layers[one]], [])


if __name__ == "__main__":
    unittest.main()
