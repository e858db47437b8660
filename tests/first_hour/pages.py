"""Pages that run from their first command to their last, in a scratch folder like a clone. Marks in
the pages shorten commands that take minutes (walk.py)."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
import venv

import walk

sys.path[:0] = [str(walk.ROOT / "tests" / folder) for folder in ("python", "cluster")]
import gym_host  # noqa: E402
from harness import kept_port  # noqa: E402

BIN = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", walk.ROOT / "build/bin")).resolve()
DEADLINE_S = 540
# Ports on which pages start a service. Tests use free ports instead.
PORTS = ("50051", "50052", "8081")
META_LEARNER = PORTS[1]
# What has_python stands for.
INSTALLATION = ("python3 -m venv", "pip install", "venv/bin/pip install", "apt-get")


class PageTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def needs(self, path, option):
        """Skips the test where deploy/install.sh has not installed `path`."""
        if not (walk.ROOT / ".deps" / path).exists():
            self.skipTest(f"deploy/install.sh {option} was not run")

    def scratch(self):
        """Makes a folder with the content of a clone after a build, without its results."""
        for name in (".deps", "deploy", "docs", "experiments", "python", "results", "tests"):
            (self.folder / name).symlink_to(walk.ROOT / name)
        (self.folder / "build").mkdir(exist_ok=True)
        for name in ("bin", "man", "python", "share"):
            (self.folder / "build" / name).symlink_to(BIN.parent / name)
        return self.folder

    def has_python(self, *folders):
        """Makes the folder venv of pages that install Python's packages. It finds those of
        `folders`, so nothing comes from the network."""
        venv.create(self.folder / "venv", symlinks=True)
        (packages,) = (self.folder / "venv").glob("lib/python*/site-packages")
        (packages / "tutorials.pth").write_text("".join(f"{folder}\n" for folder in folders))

    def has_all_of_python(self):
        """Makes the folder venv with all that a page about environments and signals installs."""
        self.needs("signal/stable_baselines3", "--signal")
        packages = gym_host.path_of(self.folder / "packages")
        libraries = [walk.ROOT / path for path in (".deps/signal", ".deps/wheels")]
        self.has_python(*packages, BIN.parent / "python", *libraries)

    def walk(self, *pages, without=(), only="", before=()):
        """Runs the commands of pages, such as "docs/tutorial.md", that begin with `only` and with
        no string of `without`; first those of `before`. Returns the output."""
        script = walk.script(
            {
                page: [walk.Step(page, 0, command, "") for command in before]
                + [
                    step
                    for step in walk.steps(page)
                    if step.command.startswith(only) and not step.command.startswith(without)
                ]
                for page in pages
            }
        )
        ports = {port: str(kept_port(self)) for port in PORTS}
        for port, free in ports.items():
            script = script.replace(port, free)
        walked = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.scratch(),
            env={
                **os.environ,
                "MENTOR_SERVER": f"127.0.0.1:{ports[META_LEARNER]}",
                "OMP_NUM_THREADS": "1",  # PyTorch's threads are slow where other tests run.
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = walked.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(walked.pid, signal.SIGKILL)
            output, _ = walked.communicate()
            self.fail(f"{pages} run after {DEADLINE_S} s:\n{output}")
        self.assertEqual(walked.returncode, 0, output)
        return output
