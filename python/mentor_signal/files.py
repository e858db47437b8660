"""The files of an export: config.json, model.safetensors, and a recorded lifetime. Strangers write
them too, so sizes are bounded before anything is read, and no file can run code."""

from __future__ import annotations

import hashlib
import json
import math
import pathlib
from typing import Any, Dict, Iterable

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from .errors import SignalError
from .fields import CHECK_FIELDS, CONFIG_FIELDS, REMEDY, TEXT, Field, check_fields
from .lifetimes import Array
from .networks.base import Shapes, network_named

CONFIG, WEIGHTS, RECORDING, CARD = (
    "config.json",
    "model.safetensors",
    "signal_check.safetensors",
    "README.md",
)
# Its name in earlier exports.
OLD_CONFIG = "signal.json"
# In format 2 the network sees normalised observations.
FORMATS = (1, 2)
# As Mentor reads them.
FILE_BYTES_MAX = 1 << 30
CONFIG_BYTES_MAX = 16 << 20
HEADER_BYTES_MAX = 1 << 20
# Files that run code when they are loaded.
PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")


def bounded(path: pathlib.Path, field: str, most: int) -> bytes:
    """Returns the content of a file of at most `most` bytes."""
    try:
        if not path.is_file() or path.stat().st_size > most:
            raise SignalError(field, f"{path} is no file of at most {most} bytes: get it anew")
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise SignalError(field, f"{path} cannot be read: {error.strerror}") from None


def read_facts(folder: pathlib.Path) -> Dict[str, Any]:
    """Returns the content of config.json, in which every field that this package reads is valid."""
    refuse_pickles(str(folder), sorted(path.name for path in folder.glob("*")))
    names = [name for name in (CONFIG, OLD_CONFIG) if (folder / name).exists()]
    if not names:
        raise SignalError(
            "folder",
            f"{folder} has no {CONFIG}; `mentor export RUN --out DIR` writes such a folder",
        )
    path = folder / names[0]
    try:
        facts = json.loads(bounded(path, "folder", CONFIG_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise SignalError("folder", f"{path} cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise SignalError("folder", f"{path} is no object: export the signal again")
    if "format" not in facts:
        raise SignalError(
            "format", f"is missing: {path} describes no signal of Mentor; take another folder"
        )
    if type(facts["format"]) is not int or facts["format"] not in FORMATS:
        raise SignalError(
            "format",
            f"is {facts['format']!r:.200}, but this version of mentor_signal reads "
            f"{FORMATS[0]} and {FORMATS[1]}; install that of Mentor {facts.get('mentor')!s:.50} or "
            "later",
        )
    check_fields(facts, {"network": {"name": TEXT}}, path)
    network = network_named(facts["network"]["name"])
    own = {"role": Field(network.roles), "network": {"options": network.options}}
    check_fields(facts, {**own, **CONFIG_FIELDS}, path)
    if facts.get("check") is not None:
        check_fields(facts["check"], CHECK_FIELDS, path, "check")
    normalises = facts["network"]["options"].get("normalize_observations", False)
    if facts["format"] != FORMATS[normalises]:
        raise SignalError(
            "network.options.normalize_observations",
            f"is {json.dumps(normalises)} and format is {facts['format']} in {path}, but format "
            f"{FORMATS[1]}, and no other, has normalised observations; {REMEDY}",
        )
    return facts


def read_tensors(
    folder: pathlib.Path, entry: Dict[str, Any], field: str, most: int = FILE_BYTES_MAX
) -> Dict[str, Array]:
    """Returns the arrays of a safetensors file that config.json names."""
    name = entry["file"]
    path = folder / name
    if pathlib.PurePath(name).name != name:
        raise SignalError(f"{field}.file", f"is '{name}'; files of an export are in its folder")
    data = bounded(path, f"{field}.file", min(most, FILE_BYTES_MAX))
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise SignalError(
            f"{field}.sha256",
            f"is not that of {path}, which was changed or is damaged: get it anew",
        )
    try:
        arrays: Dict[str, Array] = load_arrays(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        # The first bytes of pickles, and of PyTorch's archives.
        if data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")):
            raise SignalError(field, refusal(str(path))) from None
        raise SignalError(field, f"{path} is no safetensors file: {error}") from None
    return arrays


def refuse_pickles(folder: str, files: Iterable[str]) -> None:
    for name in files:
        if pathlib.PurePath(name).suffix in PICKLES:
            raise SignalError("folder", f"{folder} is refused: {refusal(name)}")


def refusal(name: str) -> str:
    return (
        f"'{name}' is a pickle, which can run any code when it is loaded: a signal has its weights "
        f"in {WEIGHTS}; ask its author for `mentor export`"
    )


def read_weights(
    folder: pathlib.Path, facts: Dict[str, Any], network: str, shapes: Shapes
) -> Dict[str, Array]:
    """Returns the weights, which are finite and have the names and shapes of the network that
    config.json describes."""
    numbers = sum(math.prod(shape) for shape in shapes.values())
    bytes_most = HEADER_BYTES_MAX + 4 * numbers
    weights = read_tensors(folder, facts["weights"], "weights", bytes_most)
    wrong = None
    for name in sorted(shapes.keys() | weights.keys()):
        if name not in weights:
            wrong = f"'{name}' is missing"
        elif name not in shapes:
            wrong = f"it has no '{name}'"
        elif weights[name].shape != shapes[name]:
            wrong = f"'{name}' has shape {list(weights[name].shape)}, and not {list(shapes[name])}"
        elif weights[name].dtype != np.float32:
            wrong = f"'{name}' has the type {weights[name].dtype}, and not float32"
        if wrong:
            raise SignalError(
                "weights", f"are not those of network '{network}' in {CONFIG}: {wrong}; get it anew"
            )
    if not all(bool(np.isfinite(weight).all()) for weight in weights.values()):
        raise SignalError("weights", "are not all finite: training diverged; export another state")
    columns = sum(column["size"] for column in facts["columns"])
    # A network without layers reads its columns one by one.
    inputs = next((shape[1] for shape in shapes.values() if len(shape) > 1), columns)
    for field, said, found in (
        ("weights.parameters", facts["weights"]["parameters"], numbers),
        ("columns", columns, inputs),
    ):
        if said != found:
            raise SignalError(
                field,
                f"are {said} numbers in {folder / CONFIG}, and {found} in {folder / WEIGHTS}; "
                f"{REMEDY}",
            )
    return weights
