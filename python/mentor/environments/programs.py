"""Where the programs of Mentor are. The models of bundles are compiled by one of them, and the files
of environments are found from their folder."""

from __future__ import annotations

import os
import pathlib
import shutil

from mentor import _native

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = "mentor"


def folders() -> list[pathlib.Path]:
    """Returns where programs can be, best first: MENTOR_BIN_DIR, the wheel's, the build folder's,
    PATH's."""
    found = []
    if os.environ.get("MENTOR_BIN_DIR"):
        found.append(pathlib.Path(os.environ["MENTOR_BIN_DIR"]))
    package = pathlib.Path(_native.__file__).resolve().parent
    found.append(package.parent / "mentor_programs" / "bin")
    found.append(package.parent.parent / "bin")
    on_path = shutil.which(PROGRAM)
    if on_path:
        found.append(pathlib.Path(on_path).resolve().parent)
    return found


for _folder in folders():
    if (_folder / PROGRAM).exists():
        _native.set_program_folder(str(_folder))
        break
