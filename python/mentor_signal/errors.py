"""What can go wrong with an exported signal."""

from __future__ import annotations

import sys


class SignalError(Exception):
    """An export that cannot be used, or used so. `field` says what is wrong, the message how to
    help."""

    def __init__(self, field: str, message: str):
        self.field = field
        super().__init__(f"{field}: {message}")


def explained(error: ModuleNotFoundError, extras: str, packages: str) -> str:
    """Of a library that is missing."""
    return (
        f"mentor_signal needs the Python module {error.name}, which {sys.executable} lacks: pip "
        f"install './python[{extras}]' in a clone of the repository, or pip install "
        f"{packages}"
    )
