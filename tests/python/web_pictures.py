#!/usr/bin/env python3
"""Makes the pictures of docs/web.md: each view in Chromium, over a service whose experiments learn.

Usage: tests/python/web_pictures.py [FOLDER]     default: docs/images; files web_*.png

Needs the programs, deploy/install.sh --web --pages, and some ten minutes of two cores.
"""

import pathlib
import sys
import unittest

import browser

from harness import ROOT, SPECS

OUT = ROOT / "docs" / "images"
WIDE = {"width": 1200, "height": 760}
ARMS = {"advantage": "point_reach", "attention": "point_reach_attention"}
SEEDS = (1, 2, 3)
# What is still at work, and what waits, while the pictures are made.
LIVE = ("swims", "walks", "rests")
# Every image in the window is there.
DRAWN = """() => [...document.images].every(image => {
  const box = image.getBoundingClientRect();
  return !box.width || box.top > innerHeight || image.naturalWidth > 0;
})"""


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


class Pictures(browser.BrowserTest):
    def submit(self, client):
        for arm, spec in ARMS.items():
            for seed in SEEDS:
                client.create(
                    SPECS / f"{spec}.txtpb",
                    id=f"{arm}-{seed}",
                    overrides=[f"seed={seed}"],
                    labels={"arm": arm},
                )
        for arm in ARMS:
            for seed in SEEDS:
                client.get(f"{arm}-{seed}").wait(timeout=3600)
        for id in LIVE:
            client.create(
                SPECS / "hopper.txtpb",
                id=id,
                display_name="Hopper, learned reward",
                overrides=[
                    "rule.outer_updates=200",
                    "rule.lifetimes_per_update=4",
                    "rule.shard_lifetimes=2",
                ],
                labels={"arm": "hopper"},
            )

    def shoot(self, page, name, height=None):
        page.set_viewport_size({**WIDE, "height": height or WIDE["height"]})
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(1500)
        page.wait_for_function(DRAWN, timeout=300_000)
        page.screenshot(path=str(OUT / f"web_{name}.png"))
        page.set_viewport_size(WIDE)

    def test_pictures(self):
        self.start_service()
        address = self.start_web()
        client = self.connect()
        self.submit(client)
        self.wait_until(lambda: client.get(LIVE[0]).progress.outer_updates > 2, "updates")
        client.pause(LIVE[-1])
        with self.page(viewport=WIDE, expected=["404"]) as page:
            page.goto(address)
            for arm in ARMS:
                page.expect(self.row(page, f"{arm}-1")).to_contain_text("%")
            self.tick(page, *(f"{arm}-{seed}" for arm in ARMS for seed in SEEDS))
            self.shoot(page, "experiments", 600)
            page.goto(f"{address}/fleet")
            page.locator("td").first.wait_for()
            self.shoot(page, "fleet", 560)
            client.cancel(LIVE[0])  # The rest takes a while, and shows nothing that is at work.
            client.cancel(LIVE[1])
            page.goto(f"{address}/experiments/advantage-3")
            page.locator(".chart canvas").first.wait_for()
            self.shoot(page, "experiment", 1000)
            page.goto(f"{address}/new?from=point_reach")
            page.locator(".cm-line", has_text="steps_per_iteration: 100").click()
            page.keyboard.press("End")
            for _ in "100":
                page.keyboard.press("Backspace")
            page.keyboard.type("1")
            page.locator(".cm-violation").wait_for()
            self.shoot(page, "new")
            page.goto(
                f"{address}/compare?names={','.join(f'{a}-{s}' for a in ARMS for s in SEEDS)}"
            )
            page.get_by_role("button", name="Compute").click()
            page.frame_locator("iframe").get_by_text("at the end of a lifetime").first.wait_for(
                timeout=300_000
            )
            self.shoot(page, "compare", 1300)
            page.goto(f"{address}/experiments/attention-1/life")
            page.locator(".chart canvas").first.wait_for()
            page.get_by_role("button", name="Draw the maps").click()
            page.locator("figure img").first.wait_for(timeout=300_000)
            self.shoot(page, "life", 1100)
            page.goto(f"{address}/catalogue")
            page.get_by_label("Search").fill("MuJoCo")
            self.shoot(page, "catalogue")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        OUT = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
