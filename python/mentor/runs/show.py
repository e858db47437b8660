"""Shows a run that is at work: a line in a terminal, a curve in a notebook."""

from __future__ import annotations

import html
import importlib
import math
import re
import shutil
import sys
import time
from typing import Any, List, Optional, Sequence

from .follow import Update

# What people look at first; the first that a run has is drawn.
_CURVES = ("success", "meta_return", "shaped_return", "loss")
_SEGMENT = re.compile(r"seg(\d+)")
_BLOCKS = "▁▂▃▄▅▆▇█"


def metric_of(update: Update, metric: str) -> str:
    """Returns the name of a metric; "success" is that of the last segment, as for `mentor run`."""
    segments = [int(found[1]) for found in map(_SEGMENT.fullmatch, update.metrics) if found]
    if metric != "success" or metric in update.metrics or not segments:
        return metric
    return f"seg{max(segments)}"


def value_of(update: Update, metric: str) -> Optional[float]:
    return update.metrics.get(metric_of(update, metric))


def _label(metric: str) -> str:
    """Says what a metric is, where its name does not."""
    segment = _SEGMENT.fullmatch(metric)
    if segment is None:
        return metric
    updates = int(segment[1])
    return f"success after {updates} update{'s' * (updates != 1)} of an agent ({metric})"


class Curve:
    """A metric over outer updates: drawn in a notebook, small blocks in a text."""

    def __init__(self, metric: str, updates: Sequence[Update]) -> None:
        self.metric = metric_of(updates[-1], metric) if updates else metric
        self.label = _label(self.metric)
        pairs = [(update.step, value_of(update, metric)) for update in updates]
        # Numbers of a run that diverged are left out.
        finite = [
            (step, value) for step, value in pairs if value is not None and math.isfinite(value)
        ]
        self.steps = [step for step, _ in finite]
        self.values = [value for _, value in finite]

    def blocks(self, count: int = 40) -> str:
        values = _thinned(self.values, count)
        if not values:
            return ""
        return "".join(_BLOCKS[round(share * 7)] for share in _shares(values))

    def __repr__(self) -> str:
        if not self.values:
            return f"{self.label}: no values yet"
        return (
            f"{self.label}: {self.values[-1]:.4g} after outer update {self.steps[-1]} "
            f"(from {min(self.values):.4g} to {max(self.values):.4g})  {self.blocks()}"
        )

    def _repr_html_(self) -> str:
        if len(self.values) < 2:
            return f"<pre>{html.escape(repr(self))}</pre>"
        width, height, left, below = 480, 160, 56, 22
        values, steps = _thinned(self.values, 400), _thinned(self.steps, 400)
        low, high = min(values), max(values)
        whole = (steps[-1] - steps[0]) or 1
        points = " ".join(
            f"{left + (step - steps[0]) / whole * (width - left - 8):.1f},"
            f"{8 + (1 - share) * (height - below - 8):.1f}"
            for step, share in zip(steps, _shares(values))
        )
        label = 'font-size="11" fill="currentColor"'
        right = f'text-anchor="end" {label}'
        return (
            f'<svg width="{width}" height="{height}" role="img" '
            f'aria-label="{html.escape(repr(self), quote=True)}">'
            f'<polyline points="{points}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>'
            f'<text x="{left - 6}" y="14" {right}>{high:.3g}</text>'
            f'<text x="{left - 6}" y="{height - below}" {right}>{low:.3g}</text>'
            f'<text x="{left}" y="{height - 5}" {label}>{steps[0]}</text>'
            f'<text x="{width - 8}" y="{height - 5}" {right}>{steps[-1]} outer updates</text>'
            f'<text x="{left + 8}" y="14" {label}>{html.escape(self.label)}</text></svg>'
        )


def _shares(values: Sequence[float]) -> List[float]:
    """Returns where each value lies between the least (0) and the greatest (1)."""
    low, high = min(values) / 2, max(values) / 2  # Halves, whose difference is finite.
    return [(value / 2 - low) / ((high - low) or 1.0) for value in values]


def _thinned(values: Sequence[Any], count: int) -> List[Any]:
    if len(values) <= count:
        return list(values)
    return [values[round(at * (len(values) - 1) / (count - 1))] for at in range(count)]


def main_curve(updates: Sequence[Update]) -> Curve:
    for metric in _CURVES:
        curve = Curve(metric, updates)
        if curve.values:
            return curve
    return Curve(_CURVES[0], updates)


def in_notebook() -> bool:
    """True if a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Progress:
    """What the user sees during a run."""

    _SECONDS_BETWEEN = 0.5

    def __init__(self, name: str, total: int, begun_with: int) -> None:
        self._name, self.total, self._begun_with = name, total, begun_with
        self._began = time.monotonic()
        self._shown_at = -1.0
        self._width = 0
        self._handle: Any = None
        self._notebook = in_notebook()
        self._terminal = not self._notebook and sys.stderr is not None and sys.stderr.isatty()

    def show(self, updates: Sequence[Update], activity: str, last: bool = False) -> None:
        now = time.monotonic()
        if not last and self._shown_at >= 0 and now - self._shown_at < self._SECONDS_BETWEEN:
            return
        self._shown_at = now
        if self._notebook:
            self._show_html(updates, activity)
        elif self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            line = f"{self._line(updates, activity)}  {main_curve(updates).blocks(20)}"[:columns]
            print("\r" + line.ljust(self._width), end="\n" if last else "", file=sys.stderr)
            sys.stderr.flush()
            self._width = 0 if last else len(line)

    def say(self, text: str) -> None:
        """Shows a line of the program."""
        if self._terminal and self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr)
            self._width = 0
        print(text, file=sys.stderr)

    def _line(self, updates: Sequence[Update], activity: str) -> str:
        done = updates[-1].step if updates else 0
        words = [self._name, activity, f"{done}/{self.total} updates"]
        for metric in ("success", "meta_return"):
            value = value_of(updates[-1], metric) if updates else None
            if value is not None:
                words.append(f"{metric.replace('meta_', '')} {value:.3g}")
        made = done - self._begun_with
        if 0 < made and done < self.total:
            left = (time.monotonic() - self._began) / made * (self.total - done)
            words.append(f"{int(left // 60)}:{int(left % 60):02d} left")
        return "  ".join(words)

    def _show_html(self, updates: Sequence[Update], activity: str) -> None:
        ipython: Any = importlib.import_module("IPython.display")
        done = updates[-1].step if updates else 0
        line = html.escape(self._line(updates, activity))
        curve = main_curve(updates)
        drawn = curve._repr_html_() if updates else ""
        shown = ipython.HTML(
            f'<div><progress value="{done}" max="{max(self.total, 1)}"></progress> {line}</div>'
            f"{drawn}"
        )
        if self._handle is None:
            self._handle = ipython.display(shown, display_id=True)
        else:
            self._handle.update(shown)
