#!/usr/bin/env python3
"""Looks at pages of reports in a browser. It takes pictures of each at 390, 1100 and 1920 pixels,
light, dark and on paper, and checks accessibility with axe-core.

Usage: tests/report/pages.py PAGE.html... [--out FOLDER] [--help]
  PAGE.html     report.html of a run, comparison.html, or another page of one file
  --out FOLDER  where the pictures go (default: pages)

Fails on a serious finding of axe, a page that scrolls sideways, an error in the console, or an
empty chart. It also fails on a page above 2 MB, on a legend that hides nothing, and if the page
shows less without JavaScript.
Needs deploy/install.sh --pages (Debian's chromium, playwright with axe-core). By hand only; look at
the pictures afterwards.

Example:
  build/bin/mentor run experiments/point_reach.txtpb --out runs/a
  tests/report/pages.py runs/a/report.html --out /tmp/pages
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".deps" / "pages"))

WIDTHS = (390, 1100, 1920)
BYTES_MAX = 2_000_000
SERIOUS = ("serious", "critical")
# Charts are drawn when they come near.
SCROLL = """async () => { for (const chart of document.querySelectorAll("[data-chart]")) {
  chart.scrollIntoView(); await new Promise((done) => setTimeout(done, 30)); } }"""
DRAWN = """() => [...document.querySelectorAll("[data-chart]")].every(
  (chart) => chart.parentNode.classList.contains("drawn"))"""
EMPTY = """() => [...document.querySelectorAll("[data-chart]")]
  .filter((chart) => !chart.querySelector(".mark-line path, .mark-symbol path, .mark-rect path, "
    + ".mark-area path, .mark-rule line")).map((chart) => chart.dataset.chart)"""
# Charts whose axis along the bottom spans less than half of their width: a mark outside the plot
# takes the room.
SQUEEZED = """() => [...document.querySelectorAll("[data-chart]")].filter((chart) => {
  const axes = [...chart.querySelectorAll(".role-axis-domain line")].map(
    (line) => line.getBoundingClientRect().width);
  return axes.length && Math.max(...axes) < chart.clientWidth / 2;
}).map((chart) => chart.dataset.chart)"""
# The paths of lines and bars in the first chart with a legend, before and after a click on it.
HIDES = """async () => {
  const key = document.querySelector(".legend button"), figure = key.closest("figure");
  const count = () => figure.querySelectorAll(
    ".live .mark-line path, .live .mark-rect path").length;
  const before = count(); key.click();
  await new Promise((done) => setTimeout(done, 300));
  const after = count(); key.click();
  return [before, after]; }"""
# Text that leaves the screen, unless it lies in an element that scrolls.
WIDE = """() => [...document.querySelectorAll("body *")].filter((part) =>
  part.getBoundingClientRect().right > document.documentElement.clientWidth + 1 &&
  !part.closest(".scroll, pre, details:not([open])")).map((part) => part.tagName + " in " +
  (part.closest("[id]") || document.body).id)"""


def axe_findings(page, script):
    page.evaluate(script)
    # Charts are pictures with words; their tables are looked at too.
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"axe: {finding['impact']}: {finding['id']}: {finding['help']}: "
        + "; ".join(node["html"][:120] for node in finding["nodes"][:3])
        for finding in found
        if finding["impact"] in SERIOUS
    ]


def look(browser, axe, path, out):
    """Returns the errors of one page."""
    wrong = []
    if path.stat().st_size > BYTES_MAX:
        wrong.append(f"{path.stat().st_size} bytes, more than {BYTES_MAX}")
    name = path.stem
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False
            )
            page = context.new_page()
            where = f"{name}, {width} px, {scheme}"

            def say(text, where=where):
                wrong.append(f"{where}: {text}")

            page.on(
                "console",
                lambda message, say=say: (
                    say(f"console: {message.text}") if message.type in ("error", "warning") else 0
                ),
            )
            page.on("pageerror", lambda error, say=say: say(f"script: {error}"))
            page.on("requestfailed", lambda request, say=say: say(f"asks for {request.url}"))
            page.goto(path.resolve().as_uri())
            page.evaluate(SCROLL)
            page.wait_for_function(DRAWN)
            page.evaluate("scrollTo(0, 0)")
            overflow = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if overflow > 0:
                say(f"scrolls sideways by {overflow} px: {page.evaluate(WIDE)[:5]}")
            for figure in page.evaluate(EMPTY):
                say(f"{figure}: empty")
            for figure in page.evaluate(SQUEEZED):
                say(f"{figure}: its axis is less than half as wide as the chart")
            if page.locator(".legend button").count():
                before, after = page.evaluate(HIDES)
                if not after < before:
                    say(f"a click on the legend leaves {after} of {before} lines")
            page.screenshot(path=out / f"{name}-{width}-{scheme}.png", full_page=True)
            if width == 1100 and scheme == "dark":
                page.pdf(path=out / f"{name}.pdf", format="A4")
                # The other colours, without loading the page again.
                page.emulate_media(color_scheme="light")
                page.wait_for_timeout(300)
                page.screenshot(path=out / f"{name}-{width}-changed.png", full_page=True)
            wrong.extend(f"{where}: {finding}" for finding in axe_findings(page, axe))
            context.close()
    context = browser.new_context(
        viewport={"width": 1100, "height": 900}, java_script_enabled=False
    )
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    figures = page.locator("figure[id]").count()
    pictures = page.locator("figure[id] .still svg").count()
    if pictures < figures:
        wrong.append(f"{name}: without JavaScript {figures - pictures} figures have no picture")
    page.screenshot(path=out / f"{name}-without-javascript.png", full_page=True)
    context.close()
    return wrong


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="+", type=pathlib.Path, metavar="PAGE.html")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("pages"))
    arguments = parser.parse_args()
    try:
        import axe_playwright_python
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        sys.exit(f"pages.py: {error}: run deploy/install.sh --pages first")
    axe = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
    arguments.out.mkdir(parents=True, exist_ok=True)
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for path in arguments.pages:
            wrong += look(browser, axe, path, arguments.out)
        browser.close()
    for text in wrong:
        print(text)
    print(f"{len(arguments.pages)} pages, {len(wrong)} findings; pictures in {arguments.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
