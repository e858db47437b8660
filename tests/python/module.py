"""Makes `import mentor` possible in tests: the package of the build, beside what deploy/install.sh
--hosts and --signal install."""

import os
import pathlib
import subprocess
import sys
import unittest
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", ROOT / "build/bin")).parent
LIBRARIES = [str(BUILD / "python"), *(str(ROOT / ".deps" / part) for part in ("hosts", "signal"))]
DEADLINE_S = 600
needs_signal = unittest.skipUnless(
    (ROOT / ".deps" / "signal").is_dir(), "deploy/install.sh --signal was not run"
)


def make_importable():
    """Later imports find mentor, gymnasium and stable_baselines3."""
    os.environ["MUJOCO_GL"] = "disable"
    sys.path[:0] = LIBRARIES
    warnings.filterwarnings("ignore", module="gymnasium")


def run_with_torch(program, folder=None):
    """Runs a program in a process of its own, which finds PyTorch, too; returns what it printed."""
    path = os.pathsep.join([*LIBRARIES, str(ROOT / ".deps/wheels")])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout
