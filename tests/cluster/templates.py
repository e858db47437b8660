"""What tests of `mentor new` share: folders that it writes, their README's commands run to their
end, and what the agents of their runs learned."""

import csv
import os
import re
import shlex
import subprocess
import sys

from harness import BIN, DEADLINE_S, ROOT, ClusterTest

sys.path.insert(0, str(ROOT / "tests" / "python"))
import gym_host  # noqa: E402

# Enough of the whole run's 40 updates and 256 tasks for a clear lead.
FEWER = "--set rule.outer_updates=10 --set evaluation.goals=96"
# For what need not learn.
FEWEST = "--set rule.outer_updates=2 --set rule.lifetimes_per_update=4 --set rule.shard_lifetimes=4"
FEWEST += " --set evaluation.lifetimes_per_goal=1"


class TemplatesTest(ClusterTest):
    programs = []  # Folders that come first on the PATH.
    variables = {}  # README's commands get these, too.

    def new(self, *arguments, code=0, env=None):
        return self.run_to_end("mentor", "new", *arguments, code=code, env=env)

    def refused(self, *arguments, code=2):
        """Returns what a refused call says; it writes nothing."""
        before = sorted(self.folder.rglob("*"))
        said = self.new(*arguments, code=code)
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        return said

    def with_gymnasium(self):
        """Lets the python3 of README's commands find mentor_env and Gymnasium."""
        path = os.pathsep.join(gym_host.path_of(self.folder / "python"))
        self.variables = {"PYTHONPATH": path}
        program = self.folder / "programs" / "python3"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nMUJOCO_GL=disable exec {sys.executable} "$@"\n')
        program.chmod(0o755)
        self.programs = [str(program.parent)]
        return {"PATH": os.pathsep.join([*self.programs, os.environ["PATH"]]), **self.variables}

    def follow_readme(self, folder, fewer=FEWER, report=True):
        """Runs the commands of the folder's README in it. Returns what each said. A report takes as
        long as a short run."""
        self.assertNotIn("{{", "".join(p.read_text() for p in folder.glob("*.*")))
        block = re.search(r"```bash\n(.*?)```", (folder / "README.md").read_text(), re.S).group(1)
        commands = block.strip().split("\n")
        self.assertEqual(len(commands), 5)
        said = {}
        for command in commands:
            words = shlex.split(command)
            name = " ".join(words[:3] if words[:2] == ["mentor", "env"] else words[:2])
            if name == "mentor doctor":
                command += " --quiet --steps 5000"
            if name == "mentor run":
                command += f" --quiet {fewer}"
            if name == "mentor evaluate":
                command = re.sub(r"--seeds \d+", "--seeds 1 --goals 4 --quiet", command)
            path = os.pathsep.join([*self.programs, str(BIN), os.environ["PATH"]])
            own = {"XDG_CACHE_HOME": str(self.folder / "xdg-cache"), "PATH": path}
            if not report:
                own["MENTOR_PYTHON"] = "no-python"
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env={**os.environ, **self.variables, **own},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=DEADLINE_S,
            )
            # So few steps tell little, so the doctor may have found something.
            allowed = (0, 3) if name == "mentor doctor" else (0,)
            self.assertIn(done.returncode, allowed, f"{command}:\n{done.stdout}")
            said[name] = done.stdout
        self.assertEqual(said["mentor env check"].count("BROKEN"), 0)
        self.assertEqual((folder / "run" / "report.html").exists(), report)
        return said

    def success(self, run, method, quantity):
        """The mean of a row of the run's evaluation."""
        with (run / "report" / "evaluation.csv").open() as file:
            rows = [
                float(row["mean"])
                for row in csv.DictReader(file)
                if row["method"] == method and row["quantity"] == quantity
            ]
        return sum(rows) / len(rows)

    def assert_learned(self, folder):
        """The learned reward teaches; success alone does not teach as much."""
        run = folder / "run"
        before, after = (self.success(run, "learned", part) for part in ("seg0", "seg2"))
        self.assertGreater(after, before + 0.05)
        self.assertGreater(after, self.success(run, "PPO sparse", "seg2") + 0.02)
