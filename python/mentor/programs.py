"""Finds Mentor's programs, and calls them for an answer.

Training runs in a process of its own: LibTorch never meets the torch of the caller's Python, and a
run outlives nothing that it depends on.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any, Dict, Iterable, List, Mapping, Optional, Union

PathLike = Union[str, "os.PathLike[str]"]


class ProgramError(RuntimeError):
    """A program is missing, or it failed; the text is what it said."""


def folders() -> List[pathlib.Path]:
    """Returns the folders in which Mentor's programs can be, best first: the one that
    MENTOR_BIN_DIR names, that of the wheel, that of the build of this package, that on PATH."""
    named = os.environ.get("MENTOR_BIN_DIR")
    if named:
        return [pathlib.Path(named)]
    found = []
    wheel = importlib.util.find_spec("mentor_programs")
    if wheel is not None and wheel.origin is not None:
        found.append(pathlib.Path(wheel.origin).parent / "bin")
    found.append(pathlib.Path(__file__).absolute().parents[2] / "bin")
    on_path = shutil.which("mentor")
    if on_path is not None:
        found.append(pathlib.Path(on_path).resolve().parent)
    return found


def find(name: str = "mentor") -> pathlib.Path:
    """Returns the path of one of Mentor's programs."""
    for folder in folders():
        program = folder / name
        if not os.access(program, os.X_OK):
            continue
        if folder.parent.name == "mentor_programs":
            problem = importlib.import_module("mentor_programs").problem(name)
            if problem:
                raise ProgramError(f"{name}: {problem}")
        return program
    if os.environ.get("MENTOR_BIN_DIR"):
        raise ProgramError(
            f"MENTOR_BIN_DIR is {os.environ['MENTOR_BIN_DIR']}, which has no program '{name}'; "
            "name the folder with Mentor's programs, or unset it"
        )
    raise ProgramError(
        f"there is no program '{name}': install the wheel of Mentor's programs into this "
        "environment, put the program's folder on PATH, or name the folder in MENTOR_BIN_DIR"
    )


def variables() -> Dict[str, str]:
    """Returns the environment of programs: they draw reports with this interpreter, unless
    MENTOR_PYTHON names another."""
    return {"MENTOR_PYTHON": sys.executable, **os.environ}


def call(*words: Any, cwd: Optional[PathLike] = None) -> "subprocess.CompletedProcess[str]":
    """Runs `mentor WORDS` to its end and returns what it said, whatever its exit status."""
    command = [str(find()), *(str(word) for word in words)]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=variables(),
        )
    except (OSError, ValueError) as error:  # Too long, or a zero byte.
        raise ProgramError(f"{command[0]} cannot be called: {error}") from None


def words_of_failure(said: str) -> str:
    """Returns what a program says from its error on; its last lines where it names none. Flags are
    arguments here, and have no help of a command line.
    """
    lines = said.replace("\r", "\n").rstrip().splitlines()
    if lines and lines[-1].endswith(" --help' says more."):
        lines.pop()
    for at, line in enumerate(lines):
        if line.startswith("error: "):
            return re.sub("^error: (--(?!set))?", "", "\n".join(lines[at:]))
    return "\n".join(lines[-20:])


def answer(*words: Any) -> str:
    """Returns the standard output of `mentor WORDS`; raises ProgramError when it fails."""
    done = call(*words)
    if done.returncode != 0:
        raise ProgramError(
            words_of_failure(done.stderr) or f"mentor {words[0]} ended with {done.returncode}"
        )
    return done.stdout


def value_text(value: Any) -> str:
    """Returns a value as flags of the programs take it: lists as A,B."""
    if isinstance(value, (list, tuple)):
        return ",".join(value_text(one) for one in value)
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()  # A number of numpy.
    return str(value).lower() if isinstance(value, bool) else str(value)


def flags(values: Mapping[str, Any], repeated: Iterable[str] = ()) -> List[str]:
    """Returns keyword arguments as flags. True is a flag alone; None and False are left out. Lists
    of the names in `repeated` give the flag once for each entry.
    """
    words: List[str] = []
    for name, value in values.items():
        if value is None or value is False:
            continue
        if name in repeated and not isinstance(value, (str, os.PathLike)):
            for one in value:
                words += [f"--{name}", os.fspath(one)]
        elif value is True:
            words.append(f"--{name}")
        else:
            words += [f"--{name}", value_text(value)]
    return words


def simulator_flags(simulators: Optional[Mapping[str, str]]) -> List[str]:
    """Returns the flags of simulators in other processes, given as NAME: COMMAND."""
    if simulators is not None and not isinstance(simulators, Mapping):
        raise TypeError(f"simulators is {simulators!r}; give a dict of NAME: COMMAND")
    pairs = (simulators or {}).items()
    return [word for name, command in pairs for word in ("--simulator", f"{name}={command}")]
