"""The errors of an exported signal."""

from __future__ import annotations

import importlib
import sys


class SignalError(Exception):
    """An export that cannot be used, or not in this way. `field` says what is wrong; the message
    says how to mend it."""

    def __init__(self, field: str, message: str):
        self.field = field
        super().__init__(f"{field}: {message}")


def check_gymnasium() -> None:
    """Gymnasium has wrappers of vectors since 1.0."""
    version = getattr(importlib.import_module("gymnasium"), "__version__", "0")
    if not version.partition(".")[0].isdigit() or int(version.partition(".")[0]) < 1:
        raise ImportError(
            f"mentor_signal needs Gymnasium 1.0 or later, and {sys.executable} has {version}: "
            "pip install 'gymnasium>=1.0'"
        )


def explained(error: ModuleNotFoundError, extras: str, packages: str) -> str:
    """A library is missing."""
    return (
        f"mentor_signal needs the Python module {error.name}, which {sys.executable} lacks: pip "
        f"install './python[{extras}]' in a clone of the repository, or pip install "
        f"{packages}"
    )
