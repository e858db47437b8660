"""Specs as texts that users wrote. Nothing here needs a page: a process of its own reads long texts
(apart.py)."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Sequence, Tuple, Union

from google.protobuf import text_format

from ..v1.spec_pb2 import ExperimentSpec

CHARACTERS_MAX = 1 << 20
_DEPTH_MAX = 8  # A spec nests fewer messages.
Place = Tuple[int, int]  # A line, from 1, and where it ends in the text.
_TOKEN = re.compile(
    r"""\#[^\n]*|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[{}<>\[\]:,;]|\n|[^\s{}<>\[\]:,;#"']+"""
)


def written(spec: bytes) -> str:
    """The text of a spec, with options in a line each."""
    text = text_format.MessageToString(ExperimentSpec.FromString(spec), as_utf8=True)
    option = r"option {\s+(name: .*)\s+(value: .*)\s+}"
    return re.sub(option, r"option { \1 \2 }", text)[: CHARACTERS_MAX + 1]


def places(text: str, wanted: Sequence[Union[str, int]]) -> List[Optional[Place]]:
    """Where the fields stand that the service names, or lines with a number."""
    lines = lines_of(text) if any(isinstance(one, str) for one in wanted) else {}
    numbers = [line_of(one, lines) if isinstance(one, str) else one for one in wanted]
    last, at = max([one or 0 for one in numbers], default=0), -1
    ends: List[int] = []
    while len(ends) < last and (not ends or ends[-1] < len(text)):
        at = text.find("\n", at + 1)
        ends.append(at if at >= 0 else len(text))
    return [(one, ends[one - 1]) if one and one <= len(ends) else None for one in numbers]


def lines_of(spec: str) -> Dict[str, int]:
    """The line of each field of a spec in text format, by path; of options by their own name
    too."""
    found: Dict[str, int] = {}
    path: List[str] = []
    word, line = "", 1
    for token in _TOKEN.finditer(spec):
        one = token.group()
        if one == "\n":
            line += 1
        elif one in "{<":
            path.append(word)
            word = ""
        elif one in "}>":
            del path[-1:]
        elif len(path) <= _DEPTH_MAX and re.fullmatch(r"[A-Za-z_]\w*", one):
            word = one
            found.setdefault(".".join([*path, one]), line)
        elif one[0] in "\"'" and path[-1:] == ["option"] and word == "name":
            found.setdefault(".".join([*path[:-1], one[1:-1]]), line)
    return found


def line_of(name: str, lines: Dict[str, int]) -> Optional[int]:
    """The line of a field that the service names, or of the nearest message around it."""
    path = re.sub(r"\[\d+\]|^(experiment\.)?(spec\.)?|\boption\.", "", name).split(".")
    for end in range(len(path), 0, -1):
        if ".".join(path[:end]) in lines:
            return lines[".".join(path[:end])]
    return None
