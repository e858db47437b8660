"""mentor_signal for tests, with its libraries from .deps or from the interpreter's own packages."""

import hashlib
import importlib
import sys
import unittest

from package import EXAMPLES, ROOT, SOURCE

WHEELS = [ROOT / ".deps" / "signal", ROOT / ".deps" / "wheels"]


# All that the use of a signal needs; importing it loads nothing else.
WITHOUT_TORCH = ("numpy", "safetensors", "gymnasium")


def make_importable(modules=(*WITHOUT_TORCH, "torch", "stable_baselines3")):
    """For setUpModule."""
    sys.path[:0] = [str(SOURCE), *(str(folder) for folder in WHEELS if folder.is_dir())]
    try:
        for module in modules:
            importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise unittest.SkipTest(f"deploy/install.sh --signal was not run: {error}") from None


def add_examples():
    """Makes the environments of docs/examples importable."""
    sys.path.insert(0, str(EXAMPLES))


def sha256(data):
    return hashlib.sha256(data).hexdigest()
