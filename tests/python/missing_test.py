"""Python programs with missing libraries print a sentence with the command that installs them, and
exit with the documented status. No library is needed here."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

from package import SOURCE


class MissingTest(unittest.TestCase):
    def run_bare(self, *words):
        """Runs a Python without any package."""
        with tempfile.TemporaryDirectory(prefix="mentor-test-") as folder:
            done = subprocess.run(
                [sys.executable, "-S", "-B", *words],
                env={"PYTHONPATH": str(SOURCE)},
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=100,
            )
        self.assertEqual(done.stdout, "")
        return done.returncode, done.stderr

    def test_a_program_says_what_installs_it(self):
        for module, lacks, command, status in (
            ("mentor_env", "numpy", "pip install './python[env]'", 1),
            ("mentor_signal", "gymnasium", "pip install './python[signal]'", 1),
            ("mentor_client.sync.main", "grpc", "pip install ./python", 5),
            ("mentor_client.sweep.main", "grpc", "pip install ./python", 5),
        ):
            with self.subTest(module):
                code, said = self.run_bare("-m", module, "--help")
                self.assertEqual(code, status, said)
                self.assertEqual(len(said.splitlines()), 1, said)
                self.assertIn(f"the Python module {lacks}, which {sys.executable} lacks", said)
                self.assertIn(command, said)

    def test_so_does_an_installed_one(self):
        with tempfile.TemporaryDirectory(prefix="mentor-test-") as folder:
            for name in ("sync", "sweep"):
                # As pip writes it.
                script = pathlib.Path(folder, f"mentor-{name}")
                script.write_text(f"from mentor_client.{name}.main import main\nmain()\n")
                code, said = self.run_bare(script)
                self.assertEqual(code, 5, said)
                self.assertRegex(said, r"^error: LIBRARY_MISSING: .*grpc.*pip install .*\n$")

    def test_an_import_is_an_error_that_says_it(self):
        for package in ("mentor_client", "mentor_env", "mentor_signal"):
            with self.subTest(package):
                code, said = self.run_bare("-c", f"import {package}")
                self.assertEqual(code, 1, said)
                self.assertRegex(
                    said.splitlines()[-1], rf"^ModuleNotFoundError: {package} needs .*pip install "
                )
                self.assertEqual(said.count("Traceback"), 1, said)


if __name__ == "__main__":
    unittest.main()
