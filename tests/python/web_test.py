"""mentor-web in a real Chromium: what one does with experiments, and what a page survives."""

import os
import pathlib
import re
import signal
import sys

import browser

from harness import SMOKE

SERIOUS = ("serious", "critical")
# The page stands still for two seconds after the next click.
STALL = """document.addEventListener("click", () => setTimeout(() => {
  for (const end = Date.now() + 2000; Date.now() < end;);
}), {once: true})"""


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


class WebTest(browser.BrowserTest):
    maxDiff = None

    def look_into(self, page):
        """The tabs of an experiment that has ended."""
        self.state(page, "Succeeded")
        page.expect(page.get_by_text("48 of 48")).to_be_visible()
        page.expect(page.locator(".chart canvas").first).to_be_visible()
        page.get_by_role("tab", name="Log").click()
        page.expect(page.locator(".log")).to_contain_text("experiment succeeded")
        page.get_by_role("tab", name="Files").click()
        spec = self.download(page, page.get_by_role("link", name="spec.txtpb"))
        got = pathlib.Path(spec.path()).read_text(encoding="utf-8")
        self.assertIn('name: "point_reach"', got)
        self.assertEqual(spec.suggested_filename, "first-spec.txtpb")
        checkpoint = self.download(page, page.get_by_role("link", name="4", exact=True))
        own = self.connect().download("experiments/first/checkpoints/00000004", self.folder)
        self.assertEqual(pathlib.Path(checkpoint.path()).read_bytes(), own.read_bytes())
        page.get_by_label("Keep 4").click()
        self.wait_until(lambda: list(self.connect().checkpoints("first"))[-1].pinned, "the pin")
        page.get_by_role("button", name="Report").click()
        report = page.frame_locator("iframe")
        page.expect(report.get_by_text("The run made 4 outer updates").first).to_be_visible()
        page.get_by_role("button", name="Close").click()
        page.expect(page.locator("iframe")).to_have_count(0)
        page.get_by_role("tab", name="Spec").click()
        page.expect(page.locator("tr", has_text="rule.clip").first).to_be_visible()
        page.expect(page.locator("tr", has_text="rule.k ").locator(".is-default")).to_have_count(0)
        page.expect(
            page.locator("tr", has_text="rule.gamma").locator(".is-default").first
        ).to_be_visible()

    # What one does.

    def test_submit_watch_and_compare(self):
        self.start_service()
        address = self.start_web()
        with self.page() as page:
            page.goto(address)
            page.expect(page.get_by_text("0 experiments, 0 running")).to_be_visible()
            page.get_by_role("button", name="New").click()
            page.get_by_label("Start from a ready spec").fill("smoke")
            page.get_by_role("option", name="smoke").click()
            page.expect(page.get_by_text("The spec is valid.")).to_be_visible()
            page.locator(".cm-content").click()
            # A field that is wrong, by a name that the editor completes.
            text = page.locator(".cm-content")
            line = page.locator(".cm-line", has_text="steps_per_iteration: 40")
            line.click()
            page.keyboard.press("End")
            page.keyboard.press("Backspace")
            page.keyboard.press("Backspace")
            page.keyboard.type("1")
            page.expect(page.locator(".cm-violation")).to_contain_text("steps_per_iteration: 1")
            page.expect(page.locator(".cm-said")).to_contain_text("give an integer")
            page.expect(page.get_by_role("button", name="Create")).to_be_disabled()
            page.keyboard.press("Backspace")
            page.keyboard.type("40")
            page.keyboard.press("Enter")
            page.keyboard.type("outer_upd")
            page.expect(page.locator(".cm-tooltip-autocomplete")).to_contain_text("outer_updates")
            for _ in range(len("outer_upd")):
                page.keyboard.press("Backspace")
            page.expect(page.get_by_text("The spec is valid.")).to_be_visible()
            page.expect(text).to_contain_text("steps_per_iteration: 40")
            page.get_by_label("Name").fill("first")
            page.get_by_role("button", name="Create").click()
            self.look_into(page)
            client = self.connect()
            client.create(SMOKE, id="second", overrides=["seed=2"]).wait()
            page.goto(address)
            page.expect(self.row(page, "second")).to_contain_text("Succeeded")
            page.expect(self.row(page, "first")).to_contain_text("%")
            page.evaluate(STALL)
            self.tick(page, "first", "second")
            page.get_by_role("button", name="Compare").click()
            differs = page.locator("section", has_text="Settings that differ").locator("tbody tr")
            page.expect(differs).to_have_count(1)
            page.expect(differs).to_contain_text("seed")
            page.get_by_role("button", name="Compute").click()
            report = page.frame_locator("iframe")
            page.expect(report.get_by_text("2 runs of 1 method").first).to_be_visible()
            page.expect(report.get_by_text("at the end of a lifetime").first).to_be_visible()

    def test_pause_resume_clone_cancel(self):  # Nightly
        client, address = self.start_long()
        with self.page() as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            page.expect(page.locator(".chart canvas").first).to_be_visible()
            page.get_by_role("tab", name="Shards").click()
            page.expect(page.locator("td", has_text="of 3").first).to_be_visible()
            # More updates than the list has points.
            self.wait_until(lambda: self.updates(page) > 30, "updates")
            page.get_by_role("button", name="Pause").click()
            self.state(page, "Paused")
            page.get_by_role("link", name="Experiments").click()
            last = client.metrics("long", ["seg2"], max_points=10_000)["seg2"].mean[-1]
            shown = page.locator("[row-id=long] [col-id=curve]")
            page.expect(shown).to_have_text(re.compile(rf"^\s*{100 * last:.0f} %\s+.{{12}}$"))
            page.go_back()
            page.get_by_role("button", name="Clone").click()
            page.get_by_label("Changed fields").fill("rule.nonsense=1")
            page.get_by_label("Name of the new one").fill("copy")
            dialog = page.locator(".q-dialog")
            dialog.get_by_role("button", name="Clone").click()
            page.expect(dialog.get_by_role("alert")).to_contain_text("nonsense")
            page.get_by_label("Changed fields").fill("rule.outer_updates=100001\nseed=7")
            dialog.get_by_role("button", name="Clone").click()
            page.wait_for_url("**/experiments/copy")
            self.state(page, "Running")
            copy = client.get("copy")
            self.assertEqual((copy.spec.rule.outer_updates, copy.spec.seed), (100001, 7))
            page.goto(f"{address}/experiments/long")
            page.get_by_role("button", name="Resume").click()
            self.wait_until(lambda: client.get("long").state != "PAUSED", "the resumption")
            page.goto(address)
            self.tick(page, "long", "copy")
            page.get_by_role("button", name="Cancel").click()
            page.get_by_role("button", name="Cancel them").click()
            for id in ("long", "copy"):
                page.expect(self.row(page, id)).to_contain_text("Cancelled")
                self.assertEqual(client.get(id).state, "CANCELLED")

    def test_a_filter_says_what_is_wrong(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        client = self.connect()
        for id, team in (("ant", "a"), ("bee", "b")):
            client.create(SMOKE, id=id, labels={"team": team})
        with self.page() as page:
            page.goto(address)
            page.expect(self.row(page, "ant")).to_be_visible()
            page.get_by_label("Filter").fill('labels.team="b"')
            page.expect(self.row(page, "ant")).to_have_count(0)
            page.expect(self.row(page, "bee")).to_be_visible()
            client.create(SMOKE, id="bumblebee", labels={"team": "b"})
            page.expect(self.row(page, "bumblebee")).to_be_visible()
            # The keyboard opens a row.
            self.row(page, "bee").locator("[col-id=id]").focus()
            page.keyboard.press("Enter")
            page.wait_for_url("**/experiments/bee")
            page.goto(address)
            client.create(SMOKE, id="another", labels={"team": "a"})
            page.get_by_label("Filter").fill("stat=RUNNING")
            page.expect(page.get_by_role("alert")).to_contain_text("stat")
            page.get_by_label("Filter").fill("")
            page.expect(self.row(page, "another")).to_be_visible()
            client.delete("another", force=True)
            page.expect(self.row(page, "another")).to_have_count(0)

    # What a page survives.

    def test_the_service_restarts_under_an_open_page(self):  # Nightly
        client, address = self.start_long()
        with self.page() as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            self.service.kill()
            page.expect(page.locator(".banner")).to_be_visible()
            page.expect(page.locator(".banner")).to_contain_text("does not answer")
            self.service, _ = self.start_meta_learner(self.folder / "state", self.address)
            page.expect(page.locator(".banner")).to_be_hidden()
            before = self.updates(page)
            self.wait_until(lambda: self.updates(page) > before, "new updates on the page")

    def test_a_page_that_has_ended_here_begins_anew(self):  # Nightly
        _, address = self.start_long()
        with self.page(expected=["WebSocket", "ERR_"]) as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            before = self.updates(page)
            self.web.kill()
            self.start_web("--listen", address.partition("//")[2])
            self.wait_until(lambda: self.updates(page) > before, "new updates on the page")

    def test_a_browser_that_stands_still_holds_up_nobody(self):  # Nightly
        _, address = self.start_long()
        with self.page() as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            # By now the first browser has all processes that its page needs.
            before = browser.chromiums()
            slow = page.context.browser.browser_type.launch(
                executable_path=browser.CHROMIUM, args=browser.FLAGS
            )
            other = slow.new_page()
            other.expect = page.expect
            other.goto(f"{address}/experiments/long")
            self.state(other, "Running")
            stopped = browser.chromiums() - before
            self.assertTrue(stopped)
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                start, memory = self.updates(page), self.web.resident()
                self.wait_until(lambda: self.updates(page) > start + 100, "updates on the page")
                self.assertLess(self.web.resident() - memory, 30 << 20)
            finally:
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
            now = self.updates(page)
            self.wait_until(lambda: self.updates(other) >= now, "the state of now in the slow one")
            slow.close()

    def test_a_page_before_its_service(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        self.service.kill()
        with self.page(expected=["503"]) as page:
            page.goto(address)
            page.expect(page.get_by_text("The service does not answer")).to_be_visible()
            self.service, _ = self.start_meta_learner(self.folder / "state", self.address)
            page.expect(page.get_by_text("0 experiments, 0 running")).to_be_visible()

    def test_an_experiment_whose_service_is_away_and_whose_name_another_gets(self):  # Nightly
        self.start_service(threads=0)
        client = self.connect()
        client.create(SMOKE, id="x", overrides=["seed=111"])
        address = self.start_web()
        with self.page() as page:
            page.goto(address)
            page.expect(self.row(page, "x")).to_be_visible()
            self.service.kill()
            page.goto(f"{address}/experiments/x")
            page.expect(page.get_by_text("The service does not answer")).to_be_visible()
            self.service, _ = self.start_meta_learner(self.folder / "state", self.address)
            self.state(page, "Running")
            page.get_by_role("tab", name="Spec").click()
            page.expect(page.locator("tr", has_text="111").first).to_be_visible()
            client.delete("x", force=True)
            client.create(SMOKE, id="x", overrides=["seed=222"])
            page.expect(page.locator("tr", has_text="222").first).to_be_visible()
            page.expect(page.locator("tr", has_text="111")).to_have_count(0)

    def test_a_thousand_experiments(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        client = self.connect()
        for number in range(1000):
            client.create(SMOKE, id=f"e{number:03}", labels={"n": str(number)})
        with self.page() as page:
            page.goto(address)
            page.expect(page.get_by_text("1000 experiments, ")).to_be_visible()
            page.expect(self.row(page, "e999")).to_be_visible()
            self.assertLess(page.locator(".ag-center-cols-container [role=row]").count(), 100)
            page.locator(".ag-body-viewport").evaluate("one => one.scrollTo(0, 18000)")
            page.expect(self.row(page, "e499")).to_be_visible()
            # A change touches its row, and leaves the place.
            client.pause("e499")
            page.expect(self.row(page, "e499")).to_contain_text("Paused")
            self.assertEqual(
                page.locator(".ag-body-viewport").evaluate("one => one.scrollTop"), 18000
            )
            page.get_by_label("Filter").fill('labels.n="7"')
            page.expect(page.get_by_text("1 experiment, ")).to_be_visible()

    def test_a_service_without_room_for_another_watch(self):  # Nightly
        ann = self.token("operator", "ann")
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        address = self.start_web()
        client = self.connect(token=ann)
        client.create(SMOKE, id="one")
        others = [self.connect(token=ann) for _ in range(2)]
        held = [one.watch() for one in others for _ in range(8)]  # As many as one caller may have.
        for watch in held:
            next(watch)
        with self.page() as page:
            page.goto(address)
            page.get_by_label("Token").fill(ann)
            page.get_by_role("button", name="Sign in").click()
            page.expect(self.row(page, "one")).to_be_visible()
            page.expect(page.locator(".banner")).to_contain_text("no room for this page")
            for watch in held:
                watch.close()
            page.expect(page.locator(".banner")).to_be_hidden()
            client.create(SMOKE, id="two")
            page.expect(self.row(page, "two")).to_be_visible()

    def test_limits(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web("--rows_max", 5, "--pages_max", 1)
        client = self.connect()
        for number in range(8):
            client.create(SMOKE, id=f"e{number}")
        with self.page() as page:
            page.goto(address)
            page.expect(page.get_by_text("running, the newest 5")).to_be_visible()
            second = page.context.new_page()
            second.goto(address)
            second.get_by_text("--pages_max").wait_for()

    def test_every_view_on_a_phone_and_a_wall(self):  # Nightly
        import axe_playwright_python

        axe = pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js"
        script = axe.read_text(encoding="utf-8")
        self.start_service()
        address = self.start_web()
        client = self.connect()
        for seed in (1, 2):
            client.create(SMOKE, id=f"s{seed}", overrides=[f"seed={seed}"]).wait()
        views = {
            "/": ".ag-row",
            "/new?from=smoke": ".cm-line",
            "/sign_in": "form",
            "/compare?names=s1,s2": ".chart canvas",
            "/experiments/s1": ".chart canvas",
            "Log": ".log",
            "Files": "td a",
            "Spec": "td .is-default",
            "/experiments/s1/life": ".chart canvas",
            "/fleet": "td",
            "/catalogue": ".card",
        }
        with self.page(scheme="dark") as page:
            page.goto(address)
            body = page.locator("body")
            page.expect(body).to_have_class(re.compile("body--dark"))
            page.get_by_role("button", name="Light or dark").click()
            page.expect(body).to_have_class(re.compile("body--light"))
            page.reload()
            page.expect(body).to_have_class(re.compile("body--light"))
        found = []
        for width, scheme in ((360, "dark"), (2560, "light")):
            with self.page({"width": width, "height": 900}, scheme) as page:
                for path, part in views.items():
                    if path.startswith("/"):
                        page.goto(address + path)
                    else:
                        page.get_by_role("tab", name=path).click()
                    page.locator(part).first.wait_for()
                    page.wait_for_timeout(500)
                    where = f"{path} at {width} px, {scheme}"
                    over = page.evaluate(
                        "document.documentElement.scrollWidth - "
                        "document.documentElement.clientWidth"
                    )
                    self.assertLessEqual(over, 0, where)
                    page.evaluate(script)
                    for one in page.evaluate("axe.run().then(found => found.violations)"):
                        if one["impact"] in SERIOUS:
                            nodes = "; ".join(node["html"][:200] for node in one["nodes"][:3])
                            found.append(f"{where}: {one['id']}: {one['help']}: {nodes}")
        self.assertEqual("\n".join(found), "")

    def test_places_and_numbers_in_words(self):
        sys.path.insert(0, str(browser.WHEELS / "web"))
        from mentor_client.experiment import Experiment
        from mentor_client.v1.experiment_pb2 import Experiment as ExperimentProto
        from mentor_client.web import new, spec_text, words

        lines = spec_text.lines_of(
            "# A comment: seed: 2\nseed: 1\nrule {\n  learning_rate: 3e-4  # k: 5\n"
            '  option { name: "k" value: "4" }\n}\nbenchmark <\n  wrapper { name: "sparse" }\n>'
        )
        for field, line in (
            ("experiment.spec.seed", 2),
            ("rule.learning_rate", 4),
            ("experiment.spec.rule.option.k", 5),
            ("rule.option.unheard_of", 3),
            ("benchmark.wrapper[0].name", 8),
            ("agent.epochs", None),
        ):
            self.assertEqual(spec_text.line_of(field, lines), line, field)
        for seconds, said in (
            (0.2, "under 1 s"),
            (59, "59 s"),
            (3700, "1 h 1 min"),
            (172800, "2 d"),
        ):
            self.assertEqual(words.span(seconds), said)
        self.assertEqual(words.size(1), "1 bytes")
        self.assertEqual(words.size(227_400), "227 kB")
        self.assertEqual(words.spark([0, 0.5, 1, float("nan")]), "▁▅█")
        for updates, evaluated, of, done in (
            (0, 0, 0, 0),
            (3, 0, 0, 0.75),
            (4, 0, 8, 0),
            (4, 6, 8, 0.75),
        ):
            proto = ExperimentProto()
            proto.progress.outer_updates, proto.progress.outer_updates_total = updates, 4
            proto.progress.evaluation_lifetimes = evaluated
            proto.progress.evaluation_lifetimes_total = of
            self.assertEqual(words.done(Experiment(None, proto)), done)
        for curve, last, blocks in (
            (words.Curve(), "–", ""),
            (words.Curve([(1, 0.0), (2, 0.5)], [(2, 7.0)]), "50 %", "▁▅"),
            (words.Curve([(2, 0.0)], [(1, -10.0), (2, 1234.5)]), "1.2k", "▁█"),
            (words.Curve([], [(1, 0.0521)]), "0.0521", "▁"),
            (words.Curve([(1, 0.0)], []), "0 %", "▁"),
        ):
            self.assertEqual((curve.last, curve.blocks), (last, blocks))
        about = new.about("smoke", SMOKE.read_text(encoding="utf-8"))
        self.assertTrue(
            about.startswith("smoke: A whole run in seconds: four outer updates"), about
        )

    def test_wrong_arguments(self):
        self.address = "127.0.0.1:1"
        for arguments, said in (
            (["--listen", "0.0.0.0:0"], "beyond this machine"),
            (["--listen", "nonsense"], "HOST:PORT"),
            (["--tls_cert", "x"], "belong together"),
            (["--origin", "lab"], "https://HOST"),
            (["--rows_max", "0"], "1 to 10000"),
            (["--server", "lab:50052"], "ca is missing"),
        ):
            with self.assertRaisesRegex(AssertionError, said):
                self.start_web(*arguments)


if __name__ == "__main__":
    import unittest

    unittest.main()
