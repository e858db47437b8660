"""Finds the specs that are installed beside Mentor's programs, where the programs look for them,
too (common/installed.h)."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import sys
from typing import Dict, List


def _programs() -> List[pathlib.Path]:
    """Returns the folders in which Mentor's programs can be, best first: the one that
    MENTOR_BIN_DIR names; those of this program, of the wheel and of `mentor` on PATH."""
    named = os.environ.get("MENTOR_BIN_DIR")
    if named:
        return [pathlib.Path(named)]
    this = pathlib.Path(sys.argv[0]) if sys.argv else pathlib.Path()
    found = [this.resolve().parent] if this.is_file() else []
    wheel = importlib.util.find_spec("mentor_programs")
    if wheel is not None and wheel.origin is not None:
        found.append(pathlib.Path(wheel.origin).parent / "bin")
    on_path = shutil.which("mentor")
    return found + ([pathlib.Path(on_path).resolve().parent] if on_path else [])


def ready_specs() -> Dict[str, pathlib.Path]:
    """Returns the specs that come with Mentor, by name. They are in the folder that
    MENTOR_EXPERIMENTS names. If it is unset or empty, they are in ../share/mentor/experiments
    beside the programs, else in the source tree of this package.
    """
    named = os.environ.get("MENTOR_EXPERIMENTS")
    folders = [folder.parent / "share" / "mentor" / "experiments" for folder in _programs()]
    folders.append(pathlib.Path(__file__).resolve().parents[2] / "experiments")
    candidates = [pathlib.Path(named)] if named else folders
    folder = next((folder for folder in candidates if folder.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.txtpb"))} if folder else {}
