"""The message when a library is missing. This module imports no library itself."""

import sys

INSTALL = "pip install './python[env]' in a clone of the repository, or "
INSTALL += "pip install numpy protobuf gymnasium"


def explained(error: ModuleNotFoundError) -> str:
    return (
        f"mentor_env needs the Python module {error.name}, which {sys.executable} lacks: {INSTALL}"
    )
