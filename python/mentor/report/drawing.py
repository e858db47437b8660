"""Pictures of charts without a browser, and the script that draws them in one."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import pathlib
import re
import tempfile
from typing import Any, Dict

import vl_convert

from . import theme
from .charts import Figure

_WORDS = re.compile(r' (aria-[a-z]+|role)="[^"]*"| aria-hidden="true"')
_STILL, _SMALL = 720, 360  # Widths of a picture; on a page a chart is as wide as its column.


def spec(figure: Figure) -> Dict[str, Any]:
    """The chart for Vega-Lite, with its legend."""
    found: Dict[str, Any] = figure.drawn.chart.to_dict(validate=False)
    found["config"] = theme.config()
    return found


def without_legend(chart: Dict[str, Any]) -> Dict[str, Any]:
    """The same for a page, which has a legend of its own."""
    found = dict(chart)
    if "layer" in found:
        found["layer"] = [without_legend(layer) for layer in found["layer"]]
    if "encoding" in found:
        found["encoding"] = {
            name: {**one, "legend": None} if name in ("color", "strokeDash", "shape") else one
            for name, one in found["encoding"].items()
        }
    return found


def live(chart: Dict[str, Any]) -> Dict[str, Any]:
    """The chart for Vega, which browsers draw."""
    return compact(vl_convert.vegalite_to_vega(chart))


def still(chart: Dict[str, Any], small: bool = False) -> str:
    """The chart as SVG in the colours of the page, without what a pointer finds."""
    flat = {**chart, "width": _SMALL if small else _STILL}
    if "layer" in flat:
        flat["layer"] = [one for one in flat["layer"] if one.get("name") != "hover"]
    return picture(flat)


def picture(chart: Dict[str, Any]) -> str:
    # Figures have words of their own; those of each point make a page large.
    return _WORDS.sub("", vl_convert.vegalite_to_svg(chart))


def alone(chart: Dict[str, Any]) -> str:
    """The chart as SVG for a file: with its legend, on a light page."""
    return theme.light(still({**chart, "background": theme.colour("page")}))


def compact(chart: Dict[str, Any]) -> Dict[str, Any]:
    """With its numbers as rows, which page.js makes data of. Vega reads CSV by a function that it
    compiles, and the page's security policy allows no such thing."""
    for data in chart["data"]:
        if isinstance(data.get("values"), str):
            del data["format"]  # The chart makes texts and numbers of the cells.
            data["names"], *data["rows"] = csv.reader(io.StringIO(data.pop("values")))
    return chart


def png(svg: str) -> bytes:
    return bytes(vl_convert.svg_to_png(svg, scale=2.0))


def script() -> str:
    """Vega, Vega-Lite and vega-embed as one script. Bundling takes a second or two, so it is kept
    in the user's cache."""
    version = f"{vl_convert.get_vega_version()} {vl_convert.get_vega_embed_version()}"
    name = f"vega-{hashlib.sha256(version.encode()).hexdigest()[:12]}.js"
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    file = cache / "mentor" / name
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        pass
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    try:  # Whole or not at all, since reports are written at the same time.
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, delete=False, encoding="utf-8"
        ) as new:
            new.write(bundle)
        os.replace(new.name, file)
    except OSError:  # A folder that cannot be written costs a second next time.
        pass
    return bundle
