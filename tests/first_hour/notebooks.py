"""Runs notebooks from top to bottom. Skipped where deploy/install.sh --notebook was not run."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("python", "cluster")]
from harness import ClusterTest  # noqa: E402

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


class NotebookCase(ClusterTest):
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
