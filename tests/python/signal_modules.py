"""mentor_signal for tests, with its libraries from .deps or from the interpreter's own packages."""

import importlib
import sys
import unittest

from package import ROOT, SOURCE

WHEELS = [ROOT / ".deps" / "signal", ROOT / ".deps" / "wheels"]


def make_importable():
    """For setUpModule."""
    sys.path[:0] = [str(SOURCE), *(str(folder) for folder in WHEELS if folder.is_dir())]
    try:
        for module in ("torch", "safetensors", "gymnasium", "stable_baselines3"):
            importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise unittest.SkipTest(f"deploy/install.sh --signal was not run: {error}") from None
