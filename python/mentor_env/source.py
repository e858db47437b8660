"""The digest of a class or function that is sent to other processes as a pickle. Pickles of one
text differ from process to process, so the digest is of what they hold. That is code without its
place in a file, constants, defaults, and the globals that functions name. What modules have is
named; a module from no package counts with its file."""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import importlib.metadata
import sys
import types
from typing import Any

import gymnasium
import numpy as np

# Members of a class that say where it stands, or that Python makes anew.
_NO_TEXT = {
    "__abstractmethods__", "__annotate_func__", "__annotations__", "__annotations_cache__",
    "__dict__", "__firstlineno__", "__module__", "__orig_bases__", "__parameters__",
    "__slotnames__", "__static_attributes__", "__weakref__", "_abc_impl",
}  # fmt: skip
_PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)

_packages = functools.cache(importlib.metadata.packages_distributions)


def importable(thing: Any) -> "str | None":
    """Returns MODULE:NAME where other processes can import the class or function, else None."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    known = getattr(found, "__spec__", None)
    if module != "builtins" and (known is None or known.origin is None):
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is thing else None


def _global_names(code: types.CodeType) -> "set[str]":
    names = {
        str(one.argval)
        for one in dis.get_instructions(code)
        if one.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    inner = [_global_names(one) for one in code.co_consts if isinstance(one, types.CodeType)]
    return names.union(*inner)


class _Digest:
    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        # The objects stay alive, so ids do not recur.
        self._seen: "dict[int, tuple[int, Any]]" = {}

    def finish(self) -> str:
        return self._hash.hexdigest()

    def _say(self, *words: Any) -> None:
        self._hash.update(repr(words).encode())

    def _module(self, name: str) -> None:
        top = name.split(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None)
        self._say("module", name)
        if top not in _packages() and top not in sys.stdlib_module_names and file:
            with open(file, "rb") as source:
                self._say(hashlib.sha256(source.read()).hexdigest())

    def add(self, value: Any) -> None:
        if type(value) in _PLAIN:
            self._say(type(value).__name__, value)
            return
        if id(value) in self._seen:
            self._say("again", self._seen[id(value)][0])
            return
        if not isinstance(value, (tuple, frozenset)):  # Python shares these as it likes.
            self._seen[id(value)] = len(self._seen), value
        place = importable(value) if isinstance(value, (type, types.FunctionType)) else None
        if place is not None:
            self._say("import", place)
            self._module(place.split(":")[0])
        elif isinstance(value, types.ModuleType):
            self._module(value.__name__)
        elif isinstance(value, types.CodeType):
            self._say(value.co_code, value.co_names, value.co_varnames, value.co_freevars)
            self._say(value.co_argcount, value.co_kwonlyargcount, value.co_flags)
            self._all(value.co_consts)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._say("class", value.__name__)
            self._all(value.__bases__)
            self._members({k: v for k, v in vars(value).items() if k not in _NO_TEXT})
        elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
            self._say("array", value.dtype.str, value.shape, value.tobytes())
        else:
            self._object(value)

    def _all(self, values: Any) -> None:
        values = list(values)
        self._say("all", len(values))
        for one in values:
            self.add(one)

    def _members(self, members: "dict[str, Any]") -> None:
        for name in sorted(members):
            self._say("member", name)
            self.add(members[name])

    def _function(self, value: types.FunctionType) -> None:
        self._say("function", value.__name__)
        self._all([value.__code__, value.__defaults__, value.__kwdefaults__])
        for cell in value.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                self._say("an empty cell")
        names = _global_names(value.__code__) & set(value.__globals__)
        self._members({name: value.__globals__[name] for name in names})

    def _object(self, value: Any) -> None:
        kind = type(value)
        if kind in (list, tuple, dict):
            self._say(kind.__name__)
            self._all(value.items() if kind is dict else value)
        elif kind in (set, frozenset):
            self._say("set", sorted(digest(one) for one in value))
        elif kind in (staticmethod, classmethod):
            self._say(kind.__name__)
            self.add(value.__func__)
        elif kind is property:
            self._all([value.fget, value.fset, value.fdel])
        elif isinstance(value, enum.Enum):
            self._all([kind, value.name, value.value])
        elif isinstance(value, gymnasium.Space):  # Without its generator, which samples move on.
            self.add(kind)
            left = {"_np_random", "_cached_choices"}
            self._members({k: v for k, v in vars(value).items() if k not in left})
        else:
            self._reduced(value)

    def _reduced(self, value: Any) -> None:
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:  # A thing that no pickle holds by itself: its kind must do.
            self._say("kind", type(value).__module__, type(value).__qualname__)
            return
        if isinstance(reduced, str):
            self._say(reduced)
            return
        made, given, *rest = reduced
        self._say(getattr(made, "__module__", ""), getattr(made, "__qualname__", ""))
        self._all(given)
        self._all(list(one) if hasattr(one, "__next__") else one for one in rest)


def digest(thing: Any) -> str:
    """Returns the SHA-256 of what a class, a function or a value holds."""
    made = _Digest()
    made.add(thing)
    return made.finish()
