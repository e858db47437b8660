"""The notebook runs from top to bottom against a real service. Skipped where deploy/install.sh
--notebook was not run."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python")]
import package  # noqa: E402

from harness import ClusterTest  # noqa: E402

NOTEBOOK = ROOT / "python/examples/learning_curves.ipynb"
RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=sys.argv[2])
outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
print(sum("image/png" in output.get("data", ()) for output in outputs), "pictures")
"""


def setUpModule():
    global CLIENT
    CLIENT = package.make_importable()


class NotebookTest(ClusterTest):
    def test_the_notebook_runs_from_top_to_bottom(self):
        wheels = ROOT / ".deps/notebook"
        if not (wheels / "nbclient").is_dir():
            self.skipTest("deploy/install.sh --notebook was not run")
        _, meta_learner = self.start_meta_learner(
            self.folder / "state", 0, "--disk_reserve_mb", "1"
        )
        self.start_workers(meta_learner, 2)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{CLIENT}:{wheels}",
            "JUPYTER_PATH": str(wheels / "share/jupyter"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "IPYTHONDIR": str(self.folder / "ipython"),
            "MPLCONFIGDIR": str(self.folder / "matplotlib"),
            "MENTOR_SERVER": meta_learner,
        }
        done = subprocess.run(
            [sys.executable, "-c", RUN, NOTEBOOK, NOTEBOOK.parent],
            env=environment,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 pictures", done.stdout)
