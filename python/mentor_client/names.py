"""The grammar of resource names, the same as on the servers; names and lists of messages."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Optional

from google.protobuf.descriptor import FieldDescriptor

_EXPERIMENTS = "experiments/"
_CHECKPOINT = re.compile(r"experiments/([^/]+)/checkpoints/([0-9]{8})")
_ARTIFACT = re.compile(r"experiments/([^/]+)/artifacts/(.+)", re.DOTALL)


def enum_name(enum: Any, number: int, prefix: str) -> str:
    """Returns the name of a value without the prefix; UNKNOWN for values of a newer server."""
    name: str = enum.Name(number) if number in enum.values() else prefix + "UNKNOWN"
    return name[len(prefix) :]


def is_repeated(field: Any) -> bool:
    """True for a field descriptor of a list. Protobuf phases `label` out; `is_repeated` came with
    6."""
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


class FileName(NamedTuple):
    experiment: str  # The id.
    collection: str  # "checkpoints" or "artifacts".
    rest: str  # The outer update, 8 digits, or the path.


def experiment_name(text: str) -> str:
    """Returns experiments/ID for an id or a full name."""
    return text if text.startswith(_EXPERIMENTS) else _EXPERIMENTS + text


def parse_file_name(name: str) -> Optional[FileName]:
    """Returns the parts of a checkpoint's or artifact's name; None for any other text."""
    checkpoint = _CHECKPOINT.fullmatch(name)
    if checkpoint:
        return FileName(checkpoint[1], "checkpoints", checkpoint[2])
    artifact = _ARTIFACT.fullmatch(name)
    if artifact and not {"", ".", ".."} & set(artifact[2].split("/")):
        return FileName(artifact[1], "artifacts", artifact[2])
    return None
