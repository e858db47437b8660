"""What the tests of mentor-sync and mentor-sweep share: the libraries, which deploy/install.sh
--studies installs, and programs that end themselves by kill -9 at a chosen place."""

import os
import pathlib
import subprocess
import sys
import unittest

import package

WHEELS = pathlib.Path(os.environ.get("MENTOR_STUDIES_WHEELS", package.ROOT / ".deps/studies"))
# Kills itself before or after the n-th call of a method.
_SUICIDE = """
import importlib, os, signal, sys
where, place, number = sys.argv[1:4]
module, _, path = where.partition(":")
owner, _, name = path.rpartition(".")
target = importlib.import_module(module)
for part in owner.split("."):
    target = getattr(target, part)
method, calls = getattr(target, name), 0
def instead(*arguments, **options):
    global calls
    calls += 1
    if calls == int(number) and place == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = method(*arguments, **options)
    if calls == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(target, name, instead)
from mentor_client.%s.main import main
sys.exit(main(sys.argv[4:]))
"""


def require():
    """For setUpModule: prepares the folder of the client."""
    if not (WHEELS / "optuna").is_dir():
        raise unittest.SkipTest("deploy/install.sh --studies was not run")
    sys.path.insert(0, str(WHEELS))
    return package.make_importable()


class Programs:
    """Mixed into a test: runs mentor-sync and mentor-sweep in its folder."""

    CLIENT = None  # Set by the module.

    def environment(self, libraries=True, **more):
        folders = [str(self.CLIENT)] + [str(WHEELS)] * libraries
        return {
            **os.environ,
            "PYTHONPATH": ":".join(folders),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "MPLCONFIGDIR": str(self.folder / "matplotlib"),
            **more,
        }

    def begin(self, program, *arguments, kill=None, text=None, **environment):
        """Starts a program, or `text` in its place."""
        code = ["-m", f"mentor_client.{program}.main"]
        if kill:
            code = ["-c", _SUICIDE % program, *map(str, kill)]
        if text:
            code = ["-c", text]
        child = subprocess.Popen(
            [sys.executable, *code, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment(**environment),
        )
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.kill)
        return child

    def program(self, program, *arguments, code=0, **options):
        """Returns the output of a program that must end with `code`."""
        child = self.begin(program, *arguments, **options)
        output, _ = child.communicate(timeout=400)
        self.assertEqual(child.returncode, code, output)
        return output
