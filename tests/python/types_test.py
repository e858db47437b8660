"""mentor, mentor_client and mentor_env are typed (mentor_signal: signal_types_test.py). Needs the
mypy of deploy/install.sh --hosts; without it the test is skipped."""

import os
import shutil
import subprocess
import sys
import unittest

import package

HOSTS = package.ROOT / ".deps" / "hosts"


class TypesTest(unittest.TestCase):
    def test_the_packages_are_typed(self):
        if not (HOSTS / "mypy").is_dir() or sys.version_info[:2] != (3, 11):
            self.skipTest("run deploy/install.sh --hosts, and this with Python 3.11")
        folder = package.make_importable()
        for name in ("mentor", "mentor_env"):
            shutil.copytree(
                package.SOURCE / name,
                folder / name,
                ignore=shutil.ignore_patterns("v1", "__pycache__"),
                dirs_exist_ok=True,
            )
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
                *("--config-file", package.SOURCE / "pyproject.toml"),
                *("--cache-dir", os.devnull, "-p", "mentor_client", "-p", "mentor_env"),
                *("-p", "mentor"),
            ],
            env={**os.environ, "PYTHONPATH": str(HOSTS)},
            capture_output=True,
            text=True,
            cwd=folder,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
