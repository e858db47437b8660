"""The picture of docs/monitoring.md; screenshot.sh starts it."""

import json
import re
import struct
import subprocess
import sys
import time
import unittest

import expressions
import fleet
from expressions import ROOT

PICTURE = ROOT / "docs" / "images" / "console.png"
SIZE = (1200, 900)
# The span of the charts, which is the length of the run.
RANGE_S = 180
UPDATES = 300


class Screenshot(fleet.Fleet):
    def chromium(self, *arguments):
        """The page after its scripts have run."""
        url = f"{self.prometheus}/consoles/mentor.html?range={RANGE_S}&refresh=0"
        return subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--disable-background-networking",
                "--no-first-run",
                "--hide-scrollbars",
                f"--user-data-dir={self.folder}/chromium",
                f"--window-size={SIZE[0]},{SIZE[1]}",
                "--virtual-time-budget=10000",
                *arguments,
                url,
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout

    def updates(self):
        text = self.page(self.pages["meta-learner"][0])
        return float(
            re.search(r'mentor_meta_outer_updates_total\{rule="black_box"\} (\S+)', text)[1]
        )

    def test_console(self):
        self.start_fleet()
        self.start_prometheus()
        self.create("point_reach.txtpb", "point-reach-a", "--set", f"rule.outer_updates={UPDATES}")
        self.create(
            "point_reach.txtpb",
            "point-reach-b",
            "--set",
            f"rule.outer_updates={UPDATES}",
            "--set",
            "seed=4",
        )
        for number in range(4):
            self.create("point_reach.txtpb", f"later-{number}", "--priority", "low")
        begin = time.monotonic()
        time.sleep(RANGE_S)  # The charts fill.
        self.assertGreaterEqual(self.updates(), 20, "too slow to show that it learns")

        page = self.chromium("--dump-dom")
        text = re.sub(r"<script.*?</script>", " ", page, flags=re.S)
        text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))
        charts = len(expressions.console()["panels"])
        self.assertIn(f"drawn {charts} of {charts} charts", text)
        for word in (
            "processes up",
            "4 / 4",
            "point-reach-a",
            "black_box",
            "Is it learning",
            "What broke",
            "p99",
        ):
            self.assertIn(word, text)
        for wrong in ("no data", "e+", "NaN", "undefined"):
            self.assertNotIn(wrong, text)
        self.assertGreater(page.count("<polyline"), charts)
        self.chromium(f"--screenshot={PICTURE}")
        head = PICTURE.read_bytes()[:24]
        self.assertEqual(
            (head[:8], struct.unpack(">II", head[16:24])), (b"\x89PNG\r\n\x1a\n", SIZE)
        )
        self.assertGreater(PICTURE.stat().st_size, 20_000)
        print(
            json.dumps({"seconds": round(time.monotonic() - begin), "updates": self.updates()}),
            file=sys.stderr,
        )


if __name__ == "__main__":
    unittest.main()
