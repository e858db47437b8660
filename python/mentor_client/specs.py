"""Specs as their users give them. The service reads them (`Client.parse_spec`); here they become
texts, and files are found.
"""

from __future__ import annotations

import collections.abc
import contextlib
import os
from typing import Any, Iterable, List, Mapping, Sequence, Union

from google.protobuf import text_format

from .errors import usage
from .v1.experiment_pb2 import Experiment as ExperimentProto
from .v1.experiment_service_pb2 import SpecFile
from .v1.spec_pb2 import ExperimentSpec

SpecLike = Union[ExperimentSpec, ExperimentProto, str, "os.PathLike[str]"]
# Each "path.to.field=value", or values by path.
Overrides = Union[Iterable[str], Mapping[str, Any]]
_CHARACTERS_MAX = 1 << 20
_ENDING = ".txtpb"


def first_file(spec: SpecLike, files: bool) -> SpecFile:
    """Returns what a call names: a file, text (a string with a line break or a brace), or a message.
    Without a text it is the name of a spec that comes with Mentor. `files`: False: always text.
    """
    if isinstance(spec, ExperimentSpec):
        return SpecFile(path="spec", text=text_format.MessageToString(spec, as_utf8=True))
    if not isinstance(spec, (str, os.PathLike)):
        raise usage(
            "spec",
            f"is a {type(spec).__name__}; give a file, a name of a spec that comes with Mentor, "
            "text in protobuf's text format, an ExperimentSpec or an Experiment",
        )
    text = os.fspath(spec)
    if files and not (isinstance(spec, str) and ("\n" in text or "{" in text)):
        return _read(text)
    try:
        return SpecFile(path="spec", text=text)
    except ValueError as error:
        raise usage("spec", f"is not text: {error}") from None


def wanted_file(path: str, known: Sequence[SpecFile]) -> SpecFile:
    """Returns a file that the service wants. It gets no file that no spec names as its base."""
    for file in known:
        folder = os.path.join(os.path.dirname(file.path), "")
        name = path[len(folder) :] if path.startswith(folder) else path
        stem = name[: -len(_ENDING)] if name.endswith(_ENDING) else name
        if stem in file.text and os.path.join(folder, name) == path:
            return _read(path)
    raise usage("base", f"is {path!r} to the service, but no spec here names it; nothing was sent")


def _read(path: str) -> SpecFile:
    absent = contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError)
    try:
        file = SpecFile(path=path)
        with absent, open(path, encoding="utf-8", newline="") as opened:
            file.text = opened.read(_CHARACTERS_MAX + 1)
        return file
    except (OSError, ValueError) as error:  # Not UTF-8, or not a file name.
        raise usage("spec", f"cannot be read: {error}; give a file, or text in UTF-8") from None


def override_texts(overrides: Overrides) -> List[str]:
    """Returns the overrides, each as "path.to.field=value"."""
    if isinstance(overrides, str):
        return [overrides]
    if isinstance(overrides, collections.abc.Mapping):
        return [f"{path}={_value_text(value)}" for path, value in overrides.items()]
    if not isinstance(overrides, collections.abc.Iterable):
        raise usage(
            "overrides",
            f"is {overrides!r}; give texts of the form path.to.field=value, or a dict of values",
        )
    return list(overrides)


def _value_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(_value_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
