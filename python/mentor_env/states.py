"""Plain data as bytes and back: numbers, texts, arrays, random generators, and containers of these.
Equal data has equal bytes in every process. Reading runs no code, whatever the bytes are."""

from __future__ import annotations

import base64
import collections
import json
import math
import random
from typing import Any

import numpy as np


class NotPlain(Exception):
    """The object is not plain data."""


def _pack(value: Any) -> Any:
    if type(value) is float and not math.isfinite(value):
        return {"float": repr(value)}  # JSON cannot write this number.
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufc":
            raise NotPlain
        data = np.ascontiguousarray(value)
        return {"array": [data.dtype.str, list(value.shape), _text(data.tobytes())]}
    if isinstance(value, np.generic):
        if value.dtype.kind not in "biufc":
            raise NotPlain
        return {"scalar": [value.dtype.str, _text(value.tobytes())]}
    if isinstance(value, bytes):
        return {"bytes": _text(value)}
    if type(value) is list:
        return [_pack(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [_pack(item) for item in value]}
    if type(value) is collections.deque:
        return {"deque": [[_pack(item) for item in value], value.maxlen]}
    if type(value) in (dict, collections.OrderedDict):
        return {"dict": [[_pack(key), _pack(item)] for key, item in value.items()]}
    if isinstance(value, np.random.Generator):
        kind = type(value.bit_generator).__name__
        return {"generator": [kind, _pack(dict(value.bit_generator.state))]}
    if isinstance(value, np.random.RandomState):
        return {"legacy_generator": _pack(value.get_state(legacy=False))}
    if type(value) is random.Random:
        return {"python_generator": _pack(value.getstate())}
    raise NotPlain


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, what),) = value.items()
    if kind == "array":
        return _numbers(what[0], what[2]).reshape([int(size) for size in what[1]]).copy()
    if kind == "scalar":
        return _numbers(what[0], what[1])[0]
    if kind == "bytes":
        return base64.b64decode(what)
    if kind == "tuple":
        return tuple(_unpack(item) for item in what)
    if kind == "deque":
        return collections.deque([_unpack(item) for item in what[0]], what[1])
    if kind == "dict":
        return {_unpack(key): _unpack(item) for key, item in what}
    if kind == "generator":
        if what[0] not in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"):
            raise ValueError(f"no generator is called {what[0]}")
        bits = getattr(np.random, what[0])()
        bits.state = _unpack(what[1])
        return np.random.Generator(bits)
    if kind == "legacy_generator":
        legacy = np.random.RandomState()
        legacy.set_state(_unpack(what))
        return legacy
    if kind == "python_generator":
        generator = random.Random()
        generator.setstate(_unpack(what))
        return generator
    if kind == "float":
        return float(what)
    raise ValueError(f"'{kind}' is no kind of plain data")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _numbers(dtype: str, text: str) -> np.ndarray[Any, np.dtype[Any]]:
    kind = np.dtype(dtype)
    if kind.kind not in "biufc":
        raise ValueError(f"arrays of {dtype} are no plain data")
    return np.frombuffer(base64.b64decode(text), kind)


def dump(value: Any) -> bytes:
    """Raises NotPlain if the object is not plain data."""
    return json.dumps(_pack(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def load(data: bytes) -> Any:
    return _unpack(json.loads(data))


def is_plain(value: Any) -> bool:
    try:
        _pack(value)
    except (NotPlain, RecursionError):
        return False
    return True
