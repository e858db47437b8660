"""Specs from files, text and overrides. The server checks ranges and names of parts."""

from __future__ import annotations

import collections.abc
import difflib
import os
import pathlib
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .errors import usage
from .installed import installed_folder
from .v1.experiment_pb2 import Experiment as ExperimentProto
from .v1.spec_pb2 import ExperimentSpec
from .yaml_text import is_yaml, text_of_yaml

SpecLike = Union[ExperimentSpec, ExperimentProto, str, "os.PathLike[str]"]
# Each "path.to.field=value", or values by path.
Overrides = Union[Iterable[str], Mapping[str, Any]]
_SETTABLE = (
    "name",
    "spec",
    "display_name",
    "labels",
    "priority",
    "weight",
    "retention",
    "deadline",
    "retries_max",
)
_OPTION = "mentor.v1.Option"


def load_spec(spec: SpecLike, overrides: Overrides = ()) -> ExperimentSpec:
    """Returns a spec from a message, a file, text (a string with a line break or a brace), or the
    name of a spec that Mentor's programs install; with overrides.
    """
    return load_experiment(spec, overrides).spec


def load_experiment(spec: SpecLike, overrides: Overrides = ()) -> ExperimentProto:
    """Like load_spec, with everything else that a file may say about an experiment
    (docs/mentorctl.md).
    """
    if isinstance(spec, ExperimentSpec):
        experiment = ExperimentProto(spec=spec)
    elif isinstance(spec, ExperimentProto):
        experiment = ExperimentProto()
        experiment.CopyFrom(spec)
    elif isinstance(spec, (str, os.PathLike)):
        source, text = _read(spec)
        try:
            experiment = _parse(source, text)
        except UnicodeEncodeError as error:
            raise usage("spec", f"of {source!r} is not text: {error}") from None
        _resolve_base(experiment.spec, [pathlib.Path(source)])
    else:
        raise usage(
            "spec",
            f"is a {type(spec).__name__}; give a file, a name of a spec that comes with Mentor, "
            "text in protobuf's text format, an ExperimentSpec or an Experiment",
        )
    apply_overrides(experiment.spec, overrides)
    return experiment


def load_text(text: str) -> ExperimentProto:
    """Like load_experiment for the text of somebody else: its base is a spec that comes with
    Mentor, never another file of this machine.
    """
    experiment = _parse("the text", text)
    spec, ready = experiment.spec, ready_specs()
    if spec.HasField("base"):
        if spec.base not in ready:
            raise usage("base", _unknown(spec.base, ready))
        _resolve_base(spec, [ready[spec.base].with_name("the text")])
    return experiment


def _read(spec: "Union[str, os.PathLike[str]]") -> Tuple[str, str]:
    if isinstance(spec, str) and ("\n" in spec or "{" in spec):
        return "spec", spec
    try:
        path = pathlib.Path(spec)
        if path.name == str(spec) and not path.is_file():
            ready, name = ready_specs(), str(spec).removesuffix(".txtpb")
            if name not in ready:
                raise usage("spec", _unknown(name, ready))
            path = ready[name]
        return str(path), path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:  # Not UTF-8, or not a file name.
        raise usage(
            "spec", f"cannot be read: {error}; give a file, text, or an ExperimentSpec"
        ) from None


def _unknown(name: str, ready: Mapping[str, pathlib.Path]) -> str:
    if not ready:
        return (
            f"is '{name}', which is no file, and no specs of Mentor's are installed here; put the "
            "folder of Mentor's programs on PATH, or name the folder of specs in MENTOR_EXPERIMENTS"
        )
    near = difflib.get_close_matches(name, ready, 3)
    known = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(ready)}"
    return f"is '{name}', which is no file and no spec of Mentor's; {known}"


def ready_specs() -> Dict[str, pathlib.Path]:
    """Returns the specs that come with Mentor, by name."""
    folder = installed_folder("MENTOR_EXPERIMENTS", "experiments")
    files = sorted(folder.glob("*.txtpb")) if folder is not None else []
    return {path.stem: path for path in files}


TOKEN = re.compile(
    r"""\#[^\n]*|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[{}<>\[\]:,;]|[^\s{}<>\[\]:,;#"']+"""
)


def _written_out(text: str, kind: Any) -> str:
    """Expands the short forms of options that Mentor's programs accept: without quotes, and among
    the fields, as in overrides (common/spec/spec_words.h).
    """
    tokens = [one for one in TOKEN.finditer(text) if not one.group().startswith("#")]
    words = [one.group() for one in tokens] + [""] * 3
    edits: List[Tuple[int, int, str]] = []
    groups: List[Optional[Any]] = [kind]  # Types of the open groups; None: unknown.
    at = 0
    while at < len(tokens):
        word, group = words[at], groups[-1]
        field = None if group is None else group.fields_by_name.get(word)
        colon = words[at + 1] == ":"
        value = at + 1 + colon
        if word in "}>" and len(groups) > 1:
            groups.pop()
            at += 1
        elif words[value] in ("{", "<") and word not in ",;[]":
            groups.append(field.message_type if field is not None else None)
            at = value + 1
        elif word in "{<":  # A list of groups.
            groups.append(None)
            at += 1
        elif not colon or words[value] == "[" or value >= len(tokens):
            at += 1
        else:
            quoted = words[value][0] in "\"'"
            given = words[value] if quoted else f'"{words[value]}"'
            if group is not None and group.full_name == _OPTION and word == "value":
                edits.append((*tokens[value].span(), given))
            elif field is None and group is not None and _options_of(group) is not None:
                begin, end = tokens[at].start(), tokens[value].end()
                edits.append((begin, end, f'option {{ name: "{word}" value: {given} }}'))
            at = value + 1
    pieces: List[str] = []
    done = 0
    for begin, end, written in edits:
        pieces += text[done:begin], written
        done = end
    return "".join([*pieces, text[done:]])


def _parse_text(message: Any, text: str, **options: Any) -> None:
    try:
        text_format.Parse(text, message, **options)
    except RecursionError:
        raise text_format.ParseError("too many messages are nested") from None


def _parse_into(message: Any, text: str) -> None:
    try:
        _parse_text(message, text)
    except text_format.ParseError:
        written = _written_out(text, message.DESCRIPTOR)
        if written == text:
            raise
        message.Clear()
        _parse_text(message, written)


def _as_text(source: str, text: str) -> str:
    if not is_yaml(source):
        return text
    return text_of_yaml(source, text, ExperimentSpec.DESCRIPTOR, ExperimentProto.DESCRIPTOR)


def _parse(source: str, text: str) -> ExperimentProto:
    text = _as_text(source, text)
    experiment = ExperimentProto()
    try:
        _parse_into(experiment.spec, text)
        return experiment
    except text_format.ParseError as error:
        as_spec = error
    # The text may be an experiment around a spec, if it has the field.
    around = ExperimentProto()
    text = _written_out(text, around.DESCRIPTOR)
    try:
        _parse_text(around, text, allow_unknown_field=True)
        if around.HasField("spec"):
            around.Clear()
            _parse_text(around, text)
    except text_format.ParseError as error:
        if around.HasField("spec"):
            raise usage(
                "spec",
                f"of {source} is not an experiment in protobuf text format: {error}",
            ) from None
    if not around.HasField("spec"):
        raise usage(
            "spec", f"of {source} is not a spec in protobuf text format: {as_spec}"
        ) from None
    for field, _ in around.ListFields():
        if field.name not in _SETTABLE:
            raise usage(field.name, f"in {source} is set by the server; leave it out")
    return around


_BASES_MAX = 4
_SPEC_BYTES_MAX = 1 << 20


def _resolve_base(spec: ExperimentSpec, files: List[pathlib.Path]) -> None:
    """Replaces a spec of the last of these files by its base with the file's changes, like
    common/spec/base.h. Each file names the next one as its base.
    """
    if not spec.HasField("base"):
        return
    place = "" if len(files) == 1 else f"in {files[-1]}: "
    path = _find_base(spec.base, files[-1], place)
    if path.resolve() in [file.resolve() for file in files]:
        raise usage(
            "base", f"{place}is '{spec.base}', which leads back to {path.name}; name another base"
        )
    if len(files) > _BASES_MAX:
        raise usage(
            "base",
            f"{place}is '{spec.base}', base number {len(files)}; a spec may rest on at most "
            f"{_BASES_MAX} bases in a row",
        )
    merged = ExperimentSpec()
    try:
        if path.stat().st_size > _SPEC_BYTES_MAX:
            raise ValueError(f"it has more than {_SPEC_BYTES_MAX} bytes")
        text = _as_text(str(path), path.read_text(encoding="utf-8"))
        _parse_into(merged, text)
    except (OSError, ValueError, text_format.ParseError) as error:
        raise usage("base", f"{place}is '{spec.base}': {path} cannot be read: {error}") from None
    _resolve_base(merged, [*files, path])
    for cleared in spec.clear:
        _clear(merged, cleared, place)
    spec.ClearField("base")
    spec.ClearField("clear")
    _make_room(spec, merged)
    merged.MergeFrom(spec)
    spec.CopyFrom(merged)


def _find_base(name: str, file: pathlib.Path, place: str) -> pathlib.Path:
    if not name:
        raise usage("base", f"{place}is empty; name a spec, or leave base out")
    for beside in (file.parent / name, file.parent / f"{name}.txtpb"):
        try:
            if beside.is_file():
                return beside
        except (OSError, ValueError) as error:  # Too long, or not a file name.
            raise usage("base", f"{place}is no file's name: {error}; name a spec") from None
    ready = ready_specs()
    stem = name[: -len(".txtpb")] if name.endswith(".txtpb") else name
    if stem in ready:
        return ready[stem]
    raise usage("base", place + _unknown(name, ready))


def _clear(message: Any, path: str, place: str) -> None:
    names = path.split(".")
    for at, name in enumerate(names, 1):
        fields = message.DESCRIPTOR.fields_by_name
        if name not in fields:
            raise usage(
                "clear",
                f"{place}has '{path}': {message.DESCRIPTOR.name} has no field '{name}'; known: "
                f"{', '.join(fields)}",
            )
        field = fields[name]
        if at < len(names) and (_is_repeated(field) or field.message_type is None):
            raise usage("clear", f"{place}has '{path}': '{name}' has no parts; end the path there")
        if name not in [one.name for one, _ in message.ListFields()]:
            raise usage(
                "clear", f"{place}has '{path}': the base does not set it; remove it from clear"
            )
        if at < len(names):
            message = getattr(message, name)
    message.ClearField(names[-1])


def _make_room(changes: Any, merged: Any) -> None:
    """Clears in `merged` what `changes` replaces and MergeFrom would add to."""
    if _options_of(changes.DESCRIPTOR) is not None:
        is_other = any(
            name in changes.DESCRIPTOR.fields_by_name
            and changes.HasField(name)
            and getattr(changes, name) != getattr(merged, name)
            for name in ("name", "environment")
        )
        overridden = {option.name for option in changes.option}
        kept = [(one.name, one.value) for one in merged.option if one.name not in overridden]
        merged.ClearField("option")
        for name, value in [] if is_other else kept:
            merged.option.add(name=name, value=value)
    for field, value in changes.ListFields():
        if _is_repeated(field):
            if field.name != "option":
                merged.ClearField(field.name)
        elif field.message_type is not None and merged.HasField(field.name):
            _make_room(value, getattr(merged, field.name))


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


def apply_overrides(spec: ExperimentSpec, overrides: Overrides) -> None:
    """Changes a spec in place. An override is "path.to.field=value", as in `mentorctl create
    --set`. Enumerations go by name, and lists of them take "A,B". Entries of other lists go by
    number ("benchmark.wrapper[0].name=..."). Options of registered parts go by their own name
    ("rule.learning_rate=3e-4"). A dict has values by path: {"rule.learning_rate": 3e-4}.
    """
    for override in override_texts(overrides):
        path, equals, value = str(override).partition("=")
        if not equals or not path:
            raise usage("overrides", f"'{override}' is not of the form path.to.field=value")
        if path in ("base", "clear"):
            raise usage(
                "overrides", f"sets '{path}', which only a spec's file can do; write it there"
            )
        _set(spec, path, value)


def _set(message: Message, path: str, value: str) -> None:
    names = path.split(".")
    for index, name in enumerate(names):
        fields = message.DESCRIPTOR.fields_by_name
        last = index + 1 == len(names)
        stem, bracket, number = name.partition("[")
        options = _options_of(message.DESCRIPTOR)
        field: Any = fields.get(stem)
        repeated = field is not None and _is_repeated(field)
        is_list = repeated and field is not options and field.message_type is not None
        if bracket and not is_list:
            field = None
        if field is not None and field is options:
            if index + 2 == len(names) and names[-1]:
                return _set_option(message, names[-1], value)
            raise usage(
                path,
                "names a list of options; name one of them, for instance "
                f"{path}.learning_rate=3e-4",
            )
        if field is None:
            if options is not None and last and name:
                return _set_option(message, name, value)
            raise usage(
                path,
                f"leads nowhere: {message.DESCRIPTOR.name} has no field '{name}'; it has "
                f"{', '.join(fields.keys())}",
            )
        if field.message_type is None:
            if not last:
                raise usage(path, f"is too long: '{name}' has no parts; end the path there")
            return _set_value(message, field, path, value)
        if last:
            raise usage(
                path,
                "is a group of fields; name one of them, for instance "
                f"{path}.{field.message_type.fields[0].name}={value or '...'}",
            )
        if is_list:
            entries = getattr(message, stem)
            if not (
                number.endswith("]") and number[:-1].isdigit() and int(number[:-1]) < len(entries)
            ):
                raise usage(
                    path,
                    f"needs a number: '{stem}' is a list of {len(entries)} in the spec; name one "
                    "of them from [0] on",
                )
            message = entries[int(number[:-1])]
        else:
            message = getattr(message, stem)
            message.SetInParent()


def _options_of(kind: Any) -> Any:
    """Returns the field of a message's named options; None without such a field."""
    options = kind.fields_by_name.get("option")
    named = options is not None and options.message_type is not None
    return options if named and options.message_type.full_name == _OPTION else None


def _is_repeated(field: Any) -> bool:
    # Protobuf phases `label` out; `is_repeated` came with 6.
    return (
        bool(field.is_repeated)
        if hasattr(field, "is_repeated")
        else field.label == FieldDescriptor.LABEL_REPEATED
    )


def _set_option(message: Any, name: str, value: str) -> None:
    for option in message.option:
        if option.name == name:
            option.value = value
            return
    message.option.add(name=name, value=value)


def _set_value(message: Message, field: Any, path: str, value: str) -> None:
    try:
        if _is_repeated(field):
            values = [_value_of(field, path, word) for word in value.split(",")] if value else []
            message.ClearField(field.name)
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, _value_of(field, path, value))
    except (ValueError, TypeError) as error:
        raise usage(path, f"is '{value}': {error}") from None


def _value_of(field: Any, path: str, value: str) -> Any:
    if field.enum_type is not None:
        choices = field.enum_type.values_by_name
        if value not in choices:
            names = [name for name, choice in choices.items() if choice.number != 0]
            raise usage(path, f"is '{value}'; give one of {', '.join(names)}")
        return choices[value].number
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return value
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if value not in ("true", "false"):
            raise usage(path, f"is '{value}'; give true or false")
        return value == "true"
    whole = field.cpp_type not in (
        FieldDescriptor.CPPTYPE_DOUBLE,
        FieldDescriptor.CPPTYPE_FLOAT,
    )
    try:
        return int(value) if whole else float(value)
    except ValueError:
        raise usage(path, f"is '{value}'; give a {'whole number' if whole else 'number'}") from None
