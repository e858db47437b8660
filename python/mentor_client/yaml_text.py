"""Specs in YAML as protobuf's text format, as Mentor's programs read them (common/spec/yaml.h)."""

from __future__ import annotations

import json
import re
from typing import Any, List, Set

from .errors import usage

_BYTES_MAX = 2 << 20
_DEPTH_MAX = 32
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORD = re.compile(r"[+-]?[\w.]+([eE][+-]?\d+)?", re.ASCII)


def is_yaml(source: str) -> bool:
    return source.endswith((".yaml", ".yml"))


def text_of_yaml(source: str, text: str, spec: Any, experiment: Any) -> str:
    """Returns text format for the type of message that the document holds."""
    try:
        import yaml
    except ImportError:
        raise usage(
            "spec", f"of {source} is YAML; install PyYAML, or give text format (.txtpb)"
        ) from None
    try:
        root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise usage("spec", f"of {source} is not YAML: {error}") from None
    if root is None or (root.id == "scalar" and root.value in ("", "~", "null")):
        return ""
    if root.id != "mapping":
        raise usage("spec", f"of {source} is no map of fields; write NAME: VALUE")
    around = any(key.value == "spec" for key, _ in root.value)
    writer = _Writer(source)
    writer.fields(root, experiment if around else spec, 0)
    return "".join(writer.pieces)


class _Writer:
    def __init__(self, source: str) -> None:
        self._source = source
        self._bytes = 0
        self.pieces: List[str] = []

    def _refuse(self, node: Any, what: str) -> Exception:
        return usage("spec", f"of {self._source}, line {node.start_mark.line + 1}: {what}")

    def _write(self, node: Any, piece: str) -> None:
        self._bytes += len(piece)
        if self._bytes > _BYTES_MAX:
            raise self._refuse(node, f"has more than {_BYTES_MAX} bytes with its aliases")
        self.pieces.append(piece)

    def fields(self, group: Any, kind: Any, depth: int) -> None:
        """Writes a mapping; `kind` is the descriptor of its message, None for an unknown one."""
        if depth > _DEPTH_MAX:
            raise self._refuse(group, f"is nested deeper than {_DEPTH_MAX} groups")
        seen: Set[str] = set()
        for key, value in group.value:
            name = key.value
            if key.id != "scalar" or not _NAME.fullmatch(name):
                raise self._refuse(key, f"{name!r} is no name of a field; write NAME: VALUE")
            if name in seen:
                raise self._refuse(key, f"'{name}' is set twice; remove one of them")
            seen.add(name)
            field = None if kind is None else kind.fields_by_name.get(name)
            message = None if field is None else field.message_type
            is_option = field is None and kind is not None and "option" in kind.fields_by_name
            if message is not None and message.GetOptions().map_entry and value.id == "mapping":
                for label, text in value.value:
                    self._write(
                        label, f"{name} {{ key: {_quoted(label)} value: {_quoted(text)} }}\n"
                    )
            elif value.id == "sequence" and is_option:
                joined = ",".join(str(one.value) for one in value.value)
                self._write(key, f"{name}: {json.dumps(joined, ensure_ascii=False)}\n")
            else:
                for one in value.value if value.id == "sequence" else [value]:
                    self._field(key, one, field, is_option, depth)

    def _field(self, key: Any, value: Any, field: Any, is_option: bool, depth: int) -> None:
        message = None if field is None else field.message_type
        is_null = value.tag == "tag:yaml.org,2002:null"
        if value.id == "mapping" or (is_null and message is not None):
            self._write(key, f"{key.value} {{\n")
            if not is_null:
                self.fields(value, message, depth + 1)
            return self._write(key, "}\n")
        if value.id != "scalar" or is_null:
            what = "has no value" if is_null else "has a list in its list"
            raise self._refuse(key, f"'{key.value}' {what}; give one value")
        self._write(key, f"{key.value}: {self._scalar(value, field, is_option)}\n")

    def _scalar(self, value: Any, field: Any, is_option: bool) -> str:
        is_text = field is not None and field.cpp_type == field.CPPTYPE_STRING
        is_name = field is not None and field.enum_type is not None
        if re.fullmatch(r"0\d+", value.value) and not (is_text or is_option or value.style):
            raise self._refuse(value, f"has '{value.value}', decimal to some and octal to others")
        if is_text or is_option or (value.style and not is_name):
            return _quoted(value)
        return str(value.value).lstrip("+") if _WORD.fullmatch(value.value) else _quoted(value)


def _quoted(node: Any) -> str:
    """A string of text format; JSON's escapes are among its own."""
    return json.dumps(str(node.value), ensure_ascii=False)
