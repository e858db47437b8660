"""The notebooks run from top to bottom: one against a real service, one with a run of its own.
Skipped where deploy/install.sh --notebook was not run."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python")]
import package  # noqa: E402

from harness import BIN, ClusterTest  # noqa: E402

EXAMPLES = ROOT / "docs/examples"
WHEELS = ROOT / ".deps/notebook"
RUN = """
import os, sys, nbformat, nbclient
from traitlets.config import Config
# Sockets of files, since another process may take a port before the kernel listens there.
os.makedirs(os.environ["JUPYTER_RUNTIME_DIR"], exist_ok=True)
files = {"transport": "ipc", "ip": os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], "k")}
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, startup_timeout=300, kernel_name="python3",
                        config=Config(KernelManager=files)).execute(cwd=sys.argv[2])
outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
shown = [output.get("data", {}) for output in outputs]
print(sum("image/png" in data for data in shown), "pictures")
for mark in ("<progress", "<svg", "<iframe", "<details"):
    print(sum(mark in str(data.get("text/html", "")) for data in shown), mark)
print(*[output.get("text", "") for output in outputs])
"""


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class NotebookTest(ClusterTest):
    def execute(self, notebook, folder, packages, **variables):
        """Runs a notebook in the folder, and returns what it showed."""
        if not (WHEELS / "nbclient").is_dir():
            self.skipTest("deploy/install.sh --notebook was not run")
        environment = {
            **os.environ,
            "PYTHONPATH": f"{packages}:{WHEELS}",
            "JUPYTER_PATH": str(WHEELS / "share/jupyter"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "MPLCONFIGDIR": str(self.folder / "matplotlib"),
            **variables,
        }
        done = subprocess.run(
            [sys.executable, "-c", RUN, EXAMPLES / notebook, folder],
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_notebook_runs_from_top_to_bottom(self):
        _, meta_learner = self.start_meta_learner(
            self.folder / "state", 0, "--disk_reserve_mb", "1"
        )
        self.start_workers(meta_learner, 2)
        shown = self.execute("learning_curves.ipynb", EXAMPLES, CLIENT, MENTOR_SERVER=meta_learner)
        self.assertIn("1 pictures", shown)

    def test_a_run_of_its_own_shows_its_curve_and_its_report(self):
        shown = self.execute(
            "first_run.ipynb", self.folder, ROOT / "python", MENTOR_BIN_DIR=str(BIN)
        )
        self.assertIn("agent.gama: AgentSpec has no field 'gama'; did you mean 'gamma'?", shown)
        for once in ("1 <progress", "1 <iframe", "1 <details"):
            self.assertIn(once, shown)
        self.assertRegex(shown, "[3-9] <svg")
        self.assertEqual(len(list(self.folder.glob("runs/point_reach-*/report.html"))), 1)
        self.assertTrue((self.folder / "signals/point_reach/config.json").is_file())
