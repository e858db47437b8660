"""Colours of a report, light and dark, and how charts look. Charts take their colours from the
page, as variables of CSS; `light` puts the light ones in for files."""

from __future__ import annotations

from typing import Any, Dict

COLOURS = {
    "page": ("#ffffff", "#14181d"),
    "ink": ("#1f2933", "#e4e8ec"),
    "muted": ("#5f6b78", "#9aa6b2"),
    "grid": ("#e3e8ec", "#2c343d"),
    "blue": ("#0072b2", "#56b4e9"),
    "sky": ("#76b9e0", "#2f78a8"),
    "grey": ("#9a9a9a", "#8a8f95"),
    "purple": ("#b8639a", "#dd93c0"),
    "vermillion": ("#d55e00", "#f08a45"),
    "green": ("#009e73", "#38c49b"),
    "orange": ("#e69f00", "#f0b840"),
    "brown": ("#8c564b", "#b98376"),
    "olive": ("#8a8d1e", "#bdc04c"),
    # Words of an answer.
    "good": ("#00785a", "#38c49b"),
    "fair": ("#8f5f00", "#f0b840"),
    "poor": ("#b34700", "#f08a45"),
}
_FONT = 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif'


def colour(name: str) -> str:
    return f"var(--{name})"


def variables(dark: bool) -> str:
    return " ".join(f"--{name}: {pair[dark]};" for name, pair in COLOURS.items())


def light(svg: str) -> str:
    """A picture that stands alone."""
    for name, (value, _) in COLOURS.items():
        svg = svg.replace(colour(name), value)
    return svg


def config() -> Dict[str, Any]:
    """Vega-Lite's configuration of every chart."""
    text = {"labelColor": colour("muted"), "titleColor": colour("muted"), "labelFontSize": 12}
    title = {"titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "background": None,
        "font": _FONT,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 0, "right": 8, "top": 4, "bottom": 6},
        "view": {"stroke": None},
        "axis": {
            **text,
            **title,
            "domain": False,
            "ticks": False,
            "gridColor": colour("grid"),
            "labelPadding": 6,
            "titlePadding": 8,
            "labelFlush": False,
        },
        "axisX": {"grid": False, "domain": True, "domainColor": colour("grid")},
        "axisY": {
            "titleAnchor": "end",
            "titleAngle": 0,
            "titleAlign": "left",
            "titleX": 0,
            "titleY": -14,
            "tickCount": 5,
        },
        "legend": {
            "labelColor": colour("ink"),
            "labelFontSize": 13,
            "labelLimit": 320,
            "symbolStrokeWidth": 2.5,
            "symbolSize": 260,
            "orient": "top",
            "title": None,
            "columnPadding": 18,
            "unselectedOpacity": 0.25,
            "offset": 36,
        },
        "header": {"labelColor": colour("muted")},
        "text": {"color": colour("ink"), "fontSize": 13},
        "rule": {"color": colour("grid")},
    }
