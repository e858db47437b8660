"""Pictures of charts without a browser, and the script that draws them in one."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any, Dict

import vl_convert

from . import theme
from .charts import Figure

_STILL = 720  # Width of a picture; on a page a chart is as wide as its column.


def spec(figure: Figure) -> Dict[str, Any]:
    """The chart for Vega-Lite."""
    found: Dict[str, Any] = figure.chart.to_dict(validate=False)
    found["config"] = theme.config()
    return found


def still(chart: Dict[str, Any]) -> str:
    """The chart as SVG in the colours of the page, without what a pointer finds."""
    flat = json.loads(json.dumps(chart))
    flat["layer"] = [one for one in flat.get("layer", []) if one.get("name") != "hover"]
    if not flat["layer"]:
        del flat["layer"]
    flat["width"] = _STILL
    svg: str = vl_convert.vegalite_to_svg(flat)
    return svg


def png(svg: str) -> bytes:
    return bytes(vl_convert.svg_to_png(svg, scale=2.0))


def script() -> str:
    """Vega, Vega-Lite and vega-embed as one script. Bundling takes a second or two, so it is kept in
    the user's cache."""
    version = f"{vl_convert.__version__}-{vl_convert.get_vega_version()}"
    name = f"vega-{hashlib.sha256(version.encode()).hexdigest()[:12]}.js"
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    file = cache / "mentor" / name
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        pass
    bundle: str = vl_convert.javascript_bundle()
    try:  # Whole or not at all, since reports are written at the same time.
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
            new.write(bundle)
        os.replace(new.name, file)
    except OSError:  # A folder that cannot be written costs a second next time.
        pass
    return bundle
