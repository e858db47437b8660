"""How to read a page: the words of its charts and tables, as HTML."""

import pathlib

_HERE = pathlib.Path(__file__).parent

RUN = (_HERE / "reading_run.html").read_text(encoding="utf-8")
COMPARISON = (_HERE / "reading_comparison.html").read_text(encoding="utf-8")
