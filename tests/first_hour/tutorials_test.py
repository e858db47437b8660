"""Tutorials run from their first command to their last. Each runs in a scratch folder like a clone,
and writes only there. Marks in the pages shorten commands that take minutes (walk.py)."""

import os
import pathlib
import re
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
PORTS = ("50051", "50052")
META_LEARNER = PORTS[1]
ROBOT = "docs/tutorials/your_robot.md"
ENVIRONMENT, SCRIPT = "docs/tutorials/your_environment.md", "docs/tutorials/your_training_script.md"
# What has_python stands for.
INSTALLATION = ("python3 -m venv", "pip install")


class TutorialsTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def needs(self, path, option):
        """Skips the test where deploy/install.sh has not installed `path`."""
        if not (walk.ROOT / ".deps" / path).exists():
            self.skipTest(f"deploy/install.sh {option} was not run")

    def scratch(self):
        """Makes a folder with the content of a clone after a build, without its results."""
        for name in (".deps", "deploy", "docs", "experiments", "python", "tests"):
            (self.folder / name).symlink_to(walk.ROOT / name)
        (self.folder / "build").mkdir()
        (self.folder / "build/bin").symlink_to(BIN)
        return self.folder

    def has_python(self, *folders):
        """Makes the folder venv of pages that install Python's packages. It finds those of
        `folders`, so nothing comes from the network."""
        venv.create(self.folder / "venv", symlinks=True)
        (packages,) = (self.folder / "venv").glob("lib/python*/site-packages")
        (packages / "tutorials.pth").write_text("".join(f"{folder}\n" for folder in folders))

    def walk(self, *pages, without=()):
        """Runs every command of pages, such as "docs/tutorial.md", except those that begin with a
        string of `without`. Returns the output."""
        script = walk.script(
            {
                page: [step for step in walk.steps(page) if not step.command.startswith(without)]
                for page in pages
            }
        )
        ports = {port: str(kept_port(self)) for port in PORTS}
        for port, free in ports.items():
            script = script.replace(port, free)
        walked = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.scratch(),
            env={**os.environ, "MENTOR_SERVER": f"127.0.0.1:{ports[META_LEARNER]}"},
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

    def test_your_robot(self):
        self.needs("robots/gymnasium_robotics", "--robots")
        output = self.walk(ROBOT)
        # From three bundles.
        self.assertEqual(output.count("kept          1000 random steps are finite"), 3, output)
        self.assertNotIn("BROKEN", output)
        # The same hash in one process and in a service.
        hashes = re.findall("(?m)^[0-9a-f]{64}$", output)
        self.assertEqual(len(hashes), 2, output)
        self.assertEqual(hashes[0], hashes[1])

    def test_your_robot_shows_what_its_files_hold(self):
        files = (walk.ROOT / "deploy/bundles/panda_reach").iterdir()
        texts = [file.read_text() for file in files]
        excerpts = re.findall(
            "```(?:xml|protobuf)\n(.*?)```", (walk.ROOT / ROBOT).read_text(), re.S
        )
        self.assertGreater(len(excerpts), 5)
        for excerpt in excerpts:
            self.assertTrue(any(excerpt in text for text in texts), excerpt)

    def test_a_robot_whose_model_is_not_installed_leaves_no_half_bundle(self):
        # A clone without .deps.
        bundles = self.folder / "deploy/bundles"
        shutil.copytree(walk.ROOT / "deploy/bundles", bundles)
        command = [bundles / "assemble.py", "panda_reach", self.folder / "my_panda"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("run deploy/install.sh --robots", done.stderr)
        self.assertFalse((self.folder / "my_panda").exists())

    def test_your_environment_and_what_it_learned(self):
        self.has_python(*gym_host.path_of(self.folder / "packages"))
        # Commands with python3 on the second page need PyTorch.
        output = self.walk(ENVIRONMENT, SCRIPT, without=("python3", "pip install"))
        self.assertIn("kept          the same bits in another process", output)
        self.assertIn("independent_episodes: true", output)
        self.assertIn("signals/boat/signal.safetensors", output)
        self.assertIn("trained on | benchmark `single`, `Boat-v0 (boat ", output)

    def test_your_training_script(self):
        self.needs("signal/stable_baselines3", "--signal")
        packages = gym_host.path_of(self.folder / "packages")
        sources = [walk.ROOT / path for path in ("python", ".deps/signal", ".deps/wheels")]
        self.has_python(*packages, *sources)
        # The test above has the rest.
        rest = ("mentor env", "mentor evaluate", "mentor report", "mentor-", "mentorctl")
        output = self.walk(ENVIRONMENT, SCRIPT, without=(*INSTALLATION, *rest))
        self.assertIn("greatest difference from Mentor", output)
        self.assertRegex(output, r"(?m)^learned +0\.\d\d 0\.\d\d 0\.\d\d$")
        self.assertRegex(output, r"(?m)^learned +0\.\d\d of the episodes succeed$")


if __name__ == "__main__":
    unittest.main()
