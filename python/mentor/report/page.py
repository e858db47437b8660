"""The page: one HTML file that needs no network, and the files beside it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
from typing import Any, Dict, List, Sequence, Tuple

import jinja2

from . import drawing, theme
from .charts import Figure
from .outcome import Step
from .records import RecordError
from .tables import Table

_HERE = pathlib.Path(__file__).parent
_ANSWERS = {"worked": "good", "partly": "fair", "learning": "fair", "nothing": "poor"}


@dataclasses.dataclass
class Chapter:
    id: str
    title: str
    sentences: List[str] = dataclasses.field(default_factory=list)
    figures: List[Figure] = dataclasses.field(default_factory=list)
    small: List[Figure] = dataclasses.field(default_factory=list)
    tables: List[Table] = dataclasses.field(default_factory=list)
    notes: List[str] = dataclasses.field(default_factory=list)
    films: List[Dict[str, str]] = dataclasses.field(default_factory=list)
    texts: List[Tuple[str, str, bool]] = dataclasses.field(
        default_factory=list
    )  # Title, text, open.
    reading: str = ""  # A file that says how to read the page.

    def __bool__(self) -> bool:
        parts = (self.sentences, self.figures, self.small, self.tables, self.films, self.texts)
        return bool(self.reading) or any(parts)


@dataclasses.dataclass
class Page:
    """What a page says, first things first."""

    title: str
    date: str
    answer: str  # A word of Outcome.answer; empty: none.
    headline: str
    lede: List[str]
    next: List[Step]
    cautions: List[str]
    first: "Figure | None"
    chapters: List[Chapter]

    def figures(self) -> List[Figure]:
        every = [one for chapter in self.chapters for one in chapter.figures + chapter.small]
        return ([self.first] if self.first is not None else []) + every


def _json(value: Any) -> str:
    """Safe inside of a script."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def render(page: Page, charts: Dict[str, Any], stills: Dict[str, str]) -> str:
    script = f"\n{drawing.script()}\n{(_HERE / 'page.js').read_text(encoding='utf-8')}"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; "
        "media-src 'self' file:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digest}'"
    )
    word, separator, rest = page.headline.partition(": ")
    known = page.answer and separator
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined
    )
    fields = {field.name: getattr(page, field.name) for field in dataclasses.fields(page)}
    return environment.get_template("page.html").render(
        **{
            **fields,
            "chapters": [chapter for chapter in page.chapters if chapter],
            "answer": f"{word}:" if known else "",
            "headline": rest if known else page.headline,
            "answer_colour": _ANSWERS.get(page.answer, "muted"),
            "policy": policy,
            "light": theme.variables(dark=False),
            "dark": theme.variables(dark=True),
            "style": (_HERE / "style.css").read_text(encoding="utf-8"),
            "stills": stills,
            "charts": _json(charts),
            "script": script,
        }
    )


def write(
    page: Page,
    file: pathlib.Path,
    tables: Sequence[Table],
    texts: Dict[str, str],
    pictures: Sequence[str] = (),
) -> List[pathlib.Path]:
    """Writes the page, and into the folder of its name the tables and the numbers of figures as
    CSV. `pictures` says which files of figures: "svg", "png"."""
    beside = file.with_suffix("")
    figures = page.figures()
    specs = {one.name: drawing.spec(one) for one in figures}
    plain = {name: drawing.without_legend(spec) for name, spec in specs.items()}
    small = {one.name for chapter in page.chapters for one in chapter.small}
    stills = {name: drawing.still(spec, name in small) for name, spec in plain.items()}
    charts = {name: drawing.live(spec) for name, spec in plain.items()}
    written = {f"{one.name}.csv": one.drawn.csv for one in figures}
    written.update({f"{one.name}.csv": one.csv() for one in tables if one.rows})
    written.update(texts)
    alone = {name: drawing.alone(spec) for name, spec in specs.items() if pictures}
    written.update({f"{name}.svg": svg for name, svg in alone.items() if "svg" in pictures})
    try:
        beside.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (beside / name).write_text(text, encoding="utf-8")
        for name, svg in alone.items() if "png" in pictures else []:
            (beside / f"{name}.png").write_bytes(drawing.png(svg))
        file.write_text(render(page, charts, stills), encoding="utf-8")
    except OSError as error:
        raise RecordError(
            f"{error.filename}: cannot be written: {error.strerror}; name another folder with --out"
        ) from None
    return [file, *(beside / name for name in written)]
