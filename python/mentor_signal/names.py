"""Finds signals by name: in the zoo, in folders, on the Hugging Face Hub."""

from __future__ import annotations

import difflib
import os
import pathlib
from typing import List, Union

from . import hub
from .errors import SignalError
from .files import CONFIG

Path = Union[str, "os.PathLike[str]"]
ZOO = "zoo:"


def zoo_folder() -> pathlib.Path:
    """Returns the folder of the zoo: the one that MENTOR_ZOO names, or that of the package, or that
    of the repository."""
    here = pathlib.Path(__file__).resolve().parent
    named = os.environ.get("MENTOR_ZOO")
    places = [pathlib.Path(named)] if named else [here / "zoo", here.parents[1] / "zoo"]
    return next((place for place in places if place.is_dir()), places[-1])


def zoo() -> List[str]:
    """Returns the names of the signals that come with Mentor."""
    return sorted(path.parent.name for path in zoo_folder().glob(f"*/{CONFIG}"))


def folder_of(name: Path) -> pathlib.Path:
    """Returns the folder of a signal. A folder has the say before a name of the zoo, which
    "zoo:NAME" means in any case. "hf://OWNER/NAME" is fetched."""
    try:
        text = os.fspath(name)
    except TypeError:
        raise SignalError("signal", f"is {name!r}; give a name or the path of a folder") from None
    if not text:
        raise SignalError("signal", "is empty; give a name or the path of a folder")
    if text.startswith(hub.SCHEME):
        return hub.fetch(text)
    path, known = pathlib.Path(text), zoo()
    if not text.startswith(ZOO) and (path.exists() or len(path.parts) > 1):
        return path
    wanted = text[len(ZOO) :] if text.startswith(ZOO) else text
    if wanted in known:
        return zoo_folder() / wanted
    near = difflib.get_close_matches(wanted.replace("_", "-").lower(), known, cutoff=0.4)
    raise SignalError(
        "signal",
        f"'{text}' is neither a folder nor a signal of the zoo, "
        + (f"which has {', '.join(near or known)}" if known else f"and {zoo_folder()} has none"),
    )
