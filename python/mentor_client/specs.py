"""Specs as their users give them. The service reads them (`Client.parse_spec`); here they become
texts, and files are found.
"""

from __future__ import annotations

import collections.abc
import contextlib
import datetime
import os
import re
import time
from typing import Any, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

from google.protobuf import text_encoding, text_format

from .connection import Connection
from .errors import usage
from .v1 import experiment_pb2
from .v1.experiment_pb2 import Experiment as ExperimentProto
from .v1.experiment_service_pb2 import ParseSpecRequest, SpecFile
from .v1.spec_pb2 import ExperimentSpec

SpecLike = Union[ExperimentSpec, ExperimentProto, str, "os.PathLike[str]"]
# Each "path.to.field=value", or values by path.
Overrides = Union[Iterable[str], Mapping[str, Any]]
_CHARACTERS_MAX = 1 << 20
_ENDING = ".txtpb"
_WORD = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|[:{},]|[^\s:{},"'#]+""")
_FILES_MAX = 20  # A spec has at most four bases, each in one of two places.


def parse(
    connection: Connection,
    spec: SpecLike,
    overrides: List[str],
    files: bool,
    timeout: Optional[float],
) -> ExperimentProto:
    """As Client.parse_spec."""
    made = ExperimentProto()
    if isinstance(spec, ExperimentProto):
        made.CopyFrom(spec)
    elif isinstance(spec, ExperimentSpec):
        made.spec.CopyFrom(spec)
    is_message = isinstance(spec, (ExperimentSpec, ExperimentProto))
    if is_message and not overrides:
        return made
    known = [_first_file(made.spec if is_message else spec, files)]
    end = None if timeout is None else time.monotonic() + timeout
    for _ in range(_FILES_MAX):
        try:
            request = ParseSpecRequest(files=known, overrides=overrides)
        except ValueError as error:
            raise usage("overrides", f"has no text: {error}") from None
        left = None if end is None else max(end - time.monotonic(), 0.001)
        answer = connection.call("ParseSpec", request, left)
        path = answer.wanted_file
        if not path:
            break
        known.append(wanted_file(path, known) if files else SpecFile(path=path))
    else:
        raise usage("base", "leads through too many files; name a spec that comes with Mentor")
    if is_message:
        made.spec.CopyFrom(answer.experiment.spec)
    else:
        made.CopyFrom(answer.experiment)
    return made


def _first_file(spec: SpecLike, files: bool) -> SpecFile:
    """Returns what a call names: a file, text (a string with a line break or a brace), or a
    message. Without a text it is the name of a spec that comes with Mentor. `files`: False: always
    text.
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


def _bases(text: str) -> Iterator[str]:
    """What a text in protobuf's text format, JSON or YAML may name as a base."""
    words = [word for word in _WORD.finditer(text) if not word.group().startswith("#")]
    for at, word in enumerate(words[:-2], 2):
        if word.group().strip("\"'") != "base" or words[at - 1].group() != ":":
            continue
        end = at
        while end < len(words) and words[end].group()[0] in "\"'":
            end += 1
        quoted = [one.group()[1:-1] for one in words[at:end]]
        if quoted:
            with contextlib.suppress(ValueError):
                yield b"".join(map(text_encoding.CUnescape, quoted)).decode()
            yield "'".join(quoted)  # As YAML quotes.
        else:
            begin, stop = words[at].start(), text.find("\n", words[at].start())
            line = text[begin : stop if stop >= 0 else None]
            yield from (re.split(mark, line)[0].strip() for mark in (r"\s#", r"[,}]"))


def wanted_file(path: str, known: Sequence[SpecFile]) -> SpecFile:
    """Returns a file that the service wants. It gets no file that no spec names as its base."""
    for file in known:
        folder = os.path.dirname(file.path)
        for base in filter(None, _bases(file.text)):
            beside = os.path.join(folder, base)
            if path in (beside, beside + _ENDING) and all(path != one.path for one in known):
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


def fill(experiment: ExperimentProto, changes: Mapping[str, Any]) -> None:
    """Sets the fields whose value is not None."""
    given = {key: value for key, value in changes.items() if value is not None}
    for field, value in given.items():
        try:
            _fill_field(experiment, field, value)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise usage(field, f"is {value!r}: {error}") from None


def _fill_field(experiment: ExperimentProto, field: str, value: Any) -> None:
    if field in ("display_name", "weight", "retries_max"):
        setattr(experiment, field, value)
    elif field in ("keep_last", "keep_every"):
        setattr(experiment.retention, field, value)
    elif field == "labels":
        experiment.ClearField("labels")
        experiment.labels.update(value)
    elif field == "priority":
        name = "PRIORITY_" + str(value).upper().replace("PRIORITY_", "")
        if name not in experiment_pb2.Priority.keys():
            raise usage("priority", f"is {value!r}; give LOW, NORMAL or HIGH")
        experiment.priority = getattr(experiment_pb2, name)
    elif field == "ttl":
        span = value if isinstance(value, datetime.timedelta) else datetime.timedelta(seconds=value)
        experiment.retention.ttl.FromTimedelta(span)
    elif field == "deadline":
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        experiment.deadline.FromDatetime(value)
