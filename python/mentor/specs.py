"""Specs from keyword arguments, dicts, YAML or text. The program `mentor` judges them, so an error
has the words of the command line and names the same field.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import html
import json
import os
import pathlib
import re
import tempfile
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from . import programs

SpecLike = Union["Spec", str, "os.PathLike[str]", Mapping[str, Any]]
Overrides = Union[Sequence[str], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Violation:
    field: str  # A path such as "rule.learning_rate", or "line 3".
    description: str


class SpecError(ValueError):
    """A spec that cannot be run. `violations` has every wrong field."""

    def __init__(self, message: str, violations: Sequence[Violation] = ()) -> None:
        super().__init__(message)
        self.violations = list(violations)


class Spec:
    """A spec that was checked. It does not change; `override` returns another one."""

    __slots__ = ("_text", "_name", "_folder", "_hash")
    _text: str
    _name: str
    _folder: str
    _hash: str

    def __init__(self, text: str, name: str, folder: str, hash: str) -> None:
        for slot, value in zip(self.__slots__, (text, name, folder, hash)):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Spec does not change; call override({name}=...)")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self) -> Tuple[Any, ...]:
        return Spec, (self._text, self._name, self._folder, self._hash)

    @property
    def text(self) -> str:
        """Every setting in protobuf's text format, as `mentor run SPEC --check` prints it."""
        return self._text

    @property
    def name(self) -> str:
        """What its file or the ready spec is called, and so the beginning of its run folder."""
        return self._name

    @property
    def run_folder(self) -> str:
        """Where a run of it goes without `out`."""
        return self._folder

    @property
    def hash(self) -> str:
        """SHA-256 of everything that the result depends on. Specs with the same hash are equal."""
        return self._hash

    @property
    def outer_updates(self) -> int:
        found = re.search(r"^  outer_updates: (\d+)$", self._text, re.MULTILINE)
        return int(found[1]) if found else 0

    def override(
        self,
        changes: Overrides = (),
        *,
        bundles: Sequence[programs.PathLike] = (),
        simulators: Optional[Mapping[str, str]] = None,
        **fields: Any,
    ) -> Spec:
        """Returns the spec with changes: {"rule.learning_rate": 3e-4}, or rule={...}."""
        changed = self
        if changes:
            changed = _checked_text(
                self.text, self.name, changes, spec_flags(bundles, simulators), ".txtpb", {}
            )
        return (
            spec(changed, bundles=bundles, simulators=simulators, **fields) if fields else changed
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and self._hash == other._hash

    def __hash__(self) -> int:
        return hash(self._hash)

    def __repr__(self) -> str:
        return f"<Spec {self._name}: {self.outer_updates} outer updates; .text has all settings>"

    def __str__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return (
            f"<details><summary>{html.escape(repr(self)[1:-1])}</summary>"
            f"<pre>{html.escape(self._text)}</pre></details>"
        )


def spec(
    source: Optional[SpecLike] = None,
    /,
    *,
    bundles: Sequence[programs.PathLike] = (),
    simulators: Optional[Mapping[str, str]] = None,
    **fields: Any,
) -> Spec:
    """Returns a checked spec.

    `source` is the name of a spec that comes with Mentor, a file (.txtpb, .yaml), a text in one of
    the two forms, a dict, or a Spec. `fields` change it: rule={"learning_rate": 3e-4}, seed=2. An
    environment that comes as a bundle, or from a simulator, needs `bundles` or `simulators`.
    """
    flags = spec_flags(bundles, simulators)
    if isinstance(source, collections.abc.Mapping):
        fields = {**source, **fields}
        source = None
    if source is None:
        return _checked_fields(fields, "spec", flags)
    if isinstance(source, Spec) and "base" in fields:
        what = "is set, but the spec is the base already; give mentor.spec(base, ...)"
        raise SpecError(f"base: {what}", [Violation("base", what)])
    if isinstance(source, Spec):
        return _on_base(source.text, ".txtpb", source.name, fields, flags) if fields else source
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            f"spec is a {type(source).__name__}; give a name, a file, a text, a dict or a Spec"
        )
    text = os.fspath(source)
    if isinstance(source, str) and is_text(text):
        ending = ".txtpb" if _looks_like_text_format(text) else ".yaml"
        if fields:
            return _on_base(text, ending, "spec", fields, flags)
        return _checked_text(text, "spec", (), flags, ending, {})
    text = file_word(text)
    if not fields:
        return checked(text, flags)
    if "base" in fields:
        what = f"is set, but {text} is the base already; give one of the two"
        raise SpecError(f"base: {what}", [Violation("base", what)])
    path = pathlib.Path(text)
    base = str(path.resolve()) if path.is_file() else text
    return _checked_fields({"base": base, **fields}, path.stem or "spec", flags)


def is_text(source: str) -> bool:
    """True for a spec's text, and false for its name or file."""
    return "\n" in source or "{" in source or ": " in source or not source.strip()


def file_word(file: programs.PathLike) -> str:
    """Returns a file or name as a word of the command line, where a dash would begin a flag."""
    word = os.fspath(file)
    return f"./{word}" if word.startswith("-") else word


def spec_flags(
    bundles: Sequence[programs.PathLike], simulators: Optional[Mapping[str, str]]
) -> List[str]:
    if isinstance(bundles, (str, os.PathLike)):
        bundles = [bundles]
    return programs.flags({"bundle": bundles}, ["bundle"]) + programs.simulator_flags(simulators)


def override_flags(overrides: Overrides) -> List[str]:
    """Returns --set flags of overrides: texts PATH=VALUE, or values by path. Groups of values may
    be dicts: {"rule": {"learning_rate": 3e-4}}.
    """
    if isinstance(overrides, str):
        overrides = [overrides]
    if isinstance(overrides, collections.abc.Mapping):
        texts = [f"{path}={programs.value_text(value)}" for path, value in _flat(overrides, "")]
    elif isinstance(overrides, collections.abc.Iterable):
        texts = [str(one) for one in overrides]
    else:
        raise TypeError(f"overrides is {overrides!r}; give a dict of values by path")
    return [word for text in texts for word in ("--set", text)]


def _flat(values: Mapping[Any, Any], path: str) -> Iterator[Tuple[str, Any]]:
    for name, value in values.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, collections.abc.Mapping):
            yield from _flat(value, here)
        else:
            yield here, value


def _looks_like_text_format(text: str) -> bool:
    """True if a group begins without a colon, which YAML does not have."""
    return re.search(r"^\s*(?:[^\s#].*[\s;])?[a-z_]+\s*[{<]", text, re.MULTILINE) is not None


def checked(spec_file: str, flags: Sequence[str], name: Optional[str] = None) -> Spec:
    """Returns what `mentor run SPEC FLAGS --check` prints; raises SpecError if it refuses."""
    return _check(spec_file, flags, name or pathlib.Path(spec_file).stem, {})


def _check(spec_file: str, flags: Sequence[str], name: str, lines: Mapping[int, str]) -> Spec:
    done = programs.call("run", spec_file, *flags, "--check")
    if done.returncode == 0:
        facts = dict(re.findall(r"^(run folder|spec hash): (.*)$", done.stderr, re.MULTILINE))
        if len(facts) < 2:
            raise programs.ProgramError(
                f"{programs.find()} is older than this package: it says no hash of a spec; install "
                "both in the same version"
            )
        return Spec(done.stdout, name, facts["run folder"], facts["spec hash"])
    said = programs.words_of_failure(done.stderr)
    head, _, rest = said.partition("\n")
    violations = []
    for line in rest.splitlines():
        found = re.match(r"  (\S.*?): (.*)$", line)
        if found:
            violations.append(_placed(Violation(found[1], found[2]), lines))
    if not violations:
        raise SpecError(said)
    listed = "\n".join(f"  {one.field}: {one.description}" for one in violations)
    raise SpecError(f"the spec {name!r} cannot be run:\n{listed}", violations)


def _placed(violation: Violation, lines: Mapping[int, str]) -> Violation:
    """Returns the violation with the path of the field in place of the line of a document that the
    user never saw.
    """
    found = re.fullmatch(r"line (\d+)", violation.field)
    if not found or int(found[1]) not in lines:
        field = re.sub(r"^--set ([^=]+)=.*$", r"\1", violation.field)
        return Violation(field, violation.description)
    path = lines[int(found[1])]
    description = violation.description
    if description.startswith(f"{path} "):
        description = description[len(path) + 1 :]
    return Violation(path, description)


def _checked_text(
    text: str,
    name: str,
    overrides: Overrides,
    flags: Sequence[str],
    ending: str,
    lines: Mapping[int, str],
) -> Spec:
    with tempfile.TemporaryDirectory(prefix="mentor-spec-") as folder:
        file = write(text, folder, name + ending)
        return _check(str(file), [*override_flags(overrides), *flags], name, lines)


def write(text: str, folder: programs.PathLike, name: str) -> pathlib.Path:
    """Writes a spec's file and returns its path."""
    file = pathlib.Path(folder) / name
    try:
        file.write_bytes(text.encode())
    except UnicodeEncodeError as error:
        raise SpecError(f"the spec is not text: {error}") from None
    return file


def _on_base(
    text: str, ending: str, name: str, fields: Mapping[str, Any], flags: Sequence[str]
) -> Spec:
    with tempfile.TemporaryDirectory(prefix="mentor-spec-") as folder:
        base = write(text, folder, f"{name}{ending}")
        return _checked_fields({"base": str(base), **fields}, name, flags)


def _checked_fields(fields: Mapping[str, Any], name: str, flags: Sequence[str]) -> Spec:
    base = fields.get("base")
    if isinstance(base, (str, os.PathLike)) and pathlib.Path(base).is_file():
        fields = {**fields, "base": str(pathlib.Path(base).resolve())}
    document = _Document()
    document.map(fields, "", 0)
    text = "\n".join(document.lines) + "\n"
    return _checked_text(text, name, (), flags, ".yaml", document.paths)


class _Document:
    """Writes a dict as YAML, a value in a line, and remembers the path of each line."""

    _DEPTH_MAX = 40  # Above what the program takes, so that the program says what is wrong.

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.paths: Dict[int, str] = {}

    def map(self, fields: Mapping[Any, Any], path: str, depth: int, first: str = "") -> None:
        if depth > self._DEPTH_MAX:
            raise SpecError(f"{path}: is nested too deep; a spec needs fewer groups")
        indent = "  " * depth
        for name, value in fields.items():
            here = f"{path}.{name}" if path else str(name)
            if "." in str(name):
                group, _, field = str(name).partition(".")
                what = f"is a path; give {group}={{{field!r}: ...}}, "
                what += f"or Spec.override({{{here!r}: ...}})"
                raise SpecError(f"{here}: {what}", [Violation(here, what)])
            key = f"{first or indent}{json.dumps(str(name), ensure_ascii=False)}:"
            first = ""
            if isinstance(value, collections.abc.Mapping):
                self._add(key + ("" if value else " {}"), here)
                self.map(value, here, depth + 1)
            elif _is_list(value) and any(isinstance(one, collections.abc.Mapping) for one in value):
                self._add(key, here)
                for at, one in enumerate(value):
                    if not isinstance(one, collections.abc.Mapping) or not one:
                        raise SpecError(f"{here}[{at}]: is {one!r}; give a dict of its fields")
                    self.map(one, f"{here}[{at}]", depth + 2, "  " * (depth + 1) + "- ")
            elif _is_list(value):
                self._add(f"{key} [{', '.join(_scalar(one, here) for one in value)}]", here)
            else:
                self._add(f"{key} {_scalar(value, here)}", here)

    def _add(self, line: str, path: str) -> None:
        self.lines.append(line)
        self.paths[len(self.lines)] = path


def _is_list(value: Any) -> bool:
    if type(value).__name__ == "ndarray":
        return bool(value.ndim)
    return isinstance(value, (list, tuple))


def _scalar(value: Any, path: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if hasattr(value, "item") and not isinstance(value, (bool, int, float)):
        value = value.item()
    if isinstance(value, (bool, int, float)):
        return programs.value_text(value)
    raise SpecError(
        f"{path}: is {value!r}; give a number, a text, True or False, a list or a dict",
        [Violation(path, f"is {value!r}; give a number, a text, True or False, a list or a dict")],
    )
