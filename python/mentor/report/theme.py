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
    "sky": ("#3a94cf", "#3580b3"),
    "grey": ("#858585", "#8a8f95"),
    "purple": ("#b8639a", "#dd93c0"),
    "vermillion": ("#d55e00", "#f08a45"),
    "green": ("#009e73", "#38c49b"),
    "orange": ("#b98500", "#f0b840"),
    "brown": ("#8c564b", "#b98376"),
    "olive": ("#6b6e10", "#bdc04c"),
    "crimson": ("#a5123f", "#ff8fa3"),
    "indigo": ("#5b3fb5", "#a99bf5"),
    # Words of an answer.
    "good": ("#00785a", "#38c49b"),
    "fair": ("#8f5f00", "#f0b840"),
    "poor": ("#b34700", "#f08a45"),
}
# Points of charts with methods: paths of SVG, about two units wide.
SHAPES = {
    "circle": "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z",
    "square": "M-0.9,-0.9H0.9V0.9H-0.9Z",
    "diamond": "M0,-1.3L1,0L0,1.3L-1,0Z",
    "up": "M0,-1.1L1.1,0.9H-1.1Z",
    "down": "M0,1.1L1.1,-0.9H-1.1Z",
    "right": "M1.2,0L-0.9,1.1V-1.1Z",
    "left": "M-1.2,0L0.9,1.1V-1.1Z",
    "plus": "M-0.4,-1.2H0.4V-0.4H1.2V0.4H0.4V1.2H-0.4V0.4H-1.2V-0.4H-0.4Z",
    "cross": "M-1,-.6L-.6,-1L0,-.4L.6,-1L1,-.6L.4,0L1,.6L.6,1L0,.4L-.6,1L-1,.6L-.4,0Z",
    "bar": "M-1.4,-0.45H1.4V0.45H-1.4Z",
    "glass": "M-1,-1.1H1L-1,1.1H1Z",
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
            "labelSeparation": 8,
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
