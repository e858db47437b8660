"""mentor-web in a real Chromium: what one does with experiments, who may, and what a page
survives."""

import http.client
import pathlib
import re
import socket
import urllib.parse

import browser

from harness import SMOKE

SERIOUS = ("serious", "critical")
SCRIPT = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>{{ 7*7 }}"


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


class WebTest(browser.BrowserTest):
    maxDiff = None

    def state(self, page, state):
        page.expect(page.locator(".bar .state")).to_have_text(state)

    def row(self, page, id):
        return page.locator(f".ag-center-cols-container [row-id='{id}']")

    def tick(self, page, *ids):
        for id in ids:
            page.locator(f".ag-pinned-left-cols-container [row-id='{id}'] input").check()

    def look_into(self, page):
        """The tabs of an experiment that has ended."""
        self.state(page, "Succeeded")
        page.expect(page.get_by_text("48 of 48")).to_be_visible()
        page.expect(page.locator(".chart canvas").first).to_be_visible()
        page.get_by_role("tab", name="Log").click()
        page.expect(page.locator(".log")).to_contain_text("experiment succeeded")
        page.get_by_role("tab", name="Files").click()
        with page.expect_download() as waiting:
            page.get_by_role("link", name="spec.txtpb").click()
        got = pathlib.Path(waiting.value.path()).read_text(encoding="utf-8")
        self.assertIn('name: "point_reach"', got)
        self.assertEqual(waiting.value.suggested_filename, "first-spec.txtpb")
        with page.expect_download() as waiting:
            page.get_by_role("link", name="4", exact=True).click()
        own = self.connect().download("experiments/first/checkpoints/00000004", self.folder)
        self.assertEqual(pathlib.Path(waiting.value.path()).read_bytes(), own.read_bytes())
        page.get_by_label("Keep 4").click()
        self.wait_until(lambda: list(self.connect().checkpoints("first"))[-1].pinned, "the pin")
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
            self.tick(page, "first", "second")
            page.get_by_role("button", name="Compare").click()
            differs = page.locator("section", has_text="Settings that differ").locator("tbody tr")
            page.expect(differs).to_have_count(1)
            page.expect(differs).to_contain_text("seed")
            page.get_by_role("button", name="Compute").click()
            report = page.frame_locator("iframe")
            page.expect(report.get_by_text("2 runs of 1 method").first).to_be_visible()
            page.expect(report.get_by_text("Interquartile mean").first).to_be_visible()

    def test_pause_resume_clone_cancel(self):
        self.start_service()
        address = self.start_web()
        client = self.connect()
        client.create(SMOKE, id="long", overrides=["rule.outer_updates=100000"])
        with self.page() as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            page.expect(page.locator(".chart canvas").first).to_be_visible()
            page.get_by_role("tab", name="Shards").click()
            page.expect(page.locator("td", has_text="of 3").first).to_be_visible()
            page.get_by_role("button", name="Pause").click()
            self.state(page, "Paused")
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

    def test_a_filter_says_what_is_wrong(self):
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
            client.create(SMOKE, id="another", labels={"team": "a"})
            page.get_by_label("Filter").fill("stat=RUNNING")
            page.expect(page.get_by_role("alert")).to_contain_text("stat")
            page.get_by_label("Filter").fill("")
            page.expect(self.row(page, "another")).to_be_visible()
            client.delete("another", force=True)
            page.expect(self.row(page, "another")).to_have_count(0)

    # Rights.

    def test_sign_in_and_out(self):
        ann, viewer = self.token("operator", "ann"), self.token("viewer", "eve")
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        address = self.start_web()
        self.connect(token=ann).create(SMOKE, id="hers")
        with self.page(expected=["401"]) as page:
            page.goto(f"{address}/experiments/hers")
            page.get_by_label("Token").fill("wrong")
            page.get_by_role("button", name="Sign in").click()
            page.expect(page.get_by_role("alert")).to_contain_text("unknown credentials")
            page.get_by_label("Token").fill(viewer)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url("**/experiments/hers")
            self.state(page, "Running")
            page.get_by_role("button", name="Pause").click()
            page.expect(page.locator(".q-notification")).to_contain_text("operator")
            (cookie,) = page.context.cookies()
            self.assertTrue(cookie["httpOnly"])
            self.assertEqual(cookie["sameSite"], "Strict")
            self.assertNotIn(viewer, urllib.parse.unquote(cookie["value"]) + page.content())
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url("**/sign_in")
            page.goto(address)
            page.wait_for_url("**/sign_in?to=*")
            page.get_by_label("Token").fill(ann)
            page.get_by_role("button", name="Sign in").click()
            page.expect(self.row(page, "hers")).to_contain_text("ann")
            page.goto(f"{address}/experiments/hers")
            page.get_by_role("button", name="Pause").click()
            self.state(page, "Paused")
        self.assertNotIn(ann, self.web.output())

    def request(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        host = urllib.parse.urlsplit(self.at).netloc
        connection = http.client.HTTPConnection(host, timeout=30)
        self.addCleanup(connection.close)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("location") or "", answer.read()

    def socket_status(self, page_id, **headers):
        """The status of a socket's handshake."""
        host = urllib.parse.urlsplit(self.at).netloc
        fields = {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        path = f"/_nicegui_ws/socket.io/?EIO=4&transport=websocket&client_id={page_id}"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {one}" for name, one in fields.items())]
        with socket.create_connection(host.split(":"), 30) as raw:
            raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            return int(raw.recv(4096).split()[1])

    def test_strangers_are_refused(self):
        ann, bob = self.token("operator", "ann"), self.token("operator", "bob")
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        self.at = self.start_web()
        client = self.connect(token=ann)
        client.create(SMOKE, id="hers")

        def sign_in(token):
            fields = urllib.parse.urlencode({"token": token, "to": "//evil.example"})
            host = urllib.parse.urlsplit(self.at).netloc
            connection = http.client.HTTPConnection(host, timeout=30)
            self.addCleanup(connection.close)
            connection.request("POST", "/sign_in", fields, {"origin": self.at})
            answer = connection.getresponse()
            self.assertEqual((answer.status, answer.getheader("location")), (303, "/"))
            return answer.getheader("set-cookie").split(";")[0]

        with self.page() as page:
            # No cookie.
            for path in (
                "/",
                "/experiments/hers",
                "/download/experiments/hers/artifacts/log.jsonl",
            ):
                self.assertEqual(self.request("GET", path)[:2][0], 303, path)
            hers, his = sign_in(ann), sign_in(bob)
            self.assertEqual(self.request("GET", "/", cookie=hers)[0], 200)
            # A cookie that nobody gave.
            forged = hers[:-3] + ("AAA" if not hers.endswith("AAA") else "BBB")
            self.assertEqual(self.request("GET", "/", cookie=forged)[0], 303)
            # A socket of her page: without her cookie, with another's, from another site.
            page.context.add_cookies(
                [{"name": "mentor_web", "value": hers.partition("=")[2], "url": self.at}]
            )
            page.goto(f"{self.at}/experiments/hers")
            self.state(page, "Running")
            page_id = page.evaluate("window.clientId")
            self.assertEqual(self.socket_status(page_id, Origin=self.at), 403)
            self.assertEqual(self.socket_status(page_id, Origin=self.at, Cookie=his), 403)
            evil = "http://evil.example"
            self.assertEqual(self.socket_status(page_id, Origin=evil, Cookie=hers), 403)
            self.assertEqual(self.socket_status(page_id, Cookie=hers), 403)
            self.assertEqual(self.socket_status(page_id, Origin=self.at, Cookie=hers), 101)
            # Other sites, and names that are none of ours.
            posted = {"body": "token=x", "origin": evil}
            self.assertEqual(self.request("POST", "/sign_in", **posted)[0], 403)
            self.assertEqual(self.request("POST", "/sign_in", body="token=x")[0], 403)
            got = self.request("GET", "/", cookie=hers, sec_fetch_site="same-site")
            self.assertEqual(got[0], 403)
            link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
            self.assertIn(b'http-equiv="refresh"', self.request("GET", "/", **link)[2])
            framed = {**link, "sec_fetch_dest": "iframe"}
            self.assertEqual(self.request("GET", "/", cookie=hers, **framed)[0], 403)
            self.assertEqual(self.request("GET", "/", cookie=hers, host="evil.example")[0], 421)
            # Long bodies, said or not.
            self.assertEqual(
                self.request("POST", "/sign_in", origin=self.at, content_length="100000000")[0], 413
            )
            pieces = (b"x" * 65536 for _ in range(4))
            got = self.request("POST", "/sign_in", pieces, origin=self.at)
            self.assertIn(got[0], (400, 413), got)

    def test_no_path_leads_out_of_the_files(self):
        self.start_service(threads=0)
        self.at = self.start_web()
        self.connect().create(SMOKE, id="hers")
        for path in (
            "experiments/hers/artifacts/../../../tokens",
            "experiments/hers/artifacts/..%2f..%2f..%2ftokens",
            "experiments/hers/artifacts/%2e%2e/%2e%2e/tokens",
            "experiments/hers/artifacts//etc/passwd",
            "experiments/../../tokens",
            "/etc/passwd",
        ):
            got = self.request("GET", f"/download/{path}")
            self.assertEqual(got[0], 404, (path, got))
        # A base in a spec of a stranger is no file either.
        from mentor_client import MentorError, specs

        for base in ("../../../etc/passwd", "/etc/passwd", str(self.folder / "tokens")):
            with self.assertRaisesRegex(MentorError, "no spec of Mentor's"):
                specs.load_text(f'base: "{base}"')
        self.assertEqual(specs.load_text('base: "smoke"').spec.rule.outer_updates, 4)

    def test_texts_are_shown_as_text(self):
        self.start_service()
        address = self.start_web()
        client = self.connect()
        for id in ("one", "two"):
            client.create(
                SMOKE,
                id=id,
                display_name=SCRIPT,
                labels={"team": SCRIPT},
                overrides=[f"display_name={SCRIPT}", f"seed={len(id) + ord(id[0])}"],
            )
        client.create(SMOKE, id="ended", overrides=["rule.outer_updates=100000"])
        client.cancel("ended", reason=SCRIPT)
        client.get("one").wait()
        client.get("two").wait()
        with self.page() as page:
            page.goto(address)
            page.expect(self.row(page, "one")).to_contain_text(SCRIPT)
            page.goto(f"{address}/experiments/one")
            page.expect(page.locator(".title")).to_have_text(SCRIPT)
            page.expect(page.get_by_text(f"team={SCRIPT}")).to_be_visible()
            page.get_by_role("tab", name="Spec").click()
            page.expect(page.locator("td", has_text=SCRIPT).first).to_be_visible()
            page.goto(f"{address}/experiments/ended")
            page.expect(page.get_by_text(SCRIPT).first).to_be_visible()
            page.get_by_role("tab", name="Log").click()
            page.expect(page.locator(".log")).to_contain_text("ancel")
            page.goto(f"{address}/compare?names=one,two")
            page.expect(page.locator("td", has_text=SCRIPT).first).to_be_visible()
            page.get_by_role("button", name="Compute").click()
            report = page.frame_locator("iframe")
            page.expect(report.get_by_text("2 runs of 1 method").first).to_be_visible()
            page.goto(f"{address}/new?like=one")
            page.expect(page.locator(".cm-content")).to_contain_text("window.pwned=1")
            name = urllib.parse.quote(SCRIPT.partition("<script>")[0], safe="")
            page.goto(f"{address}/experiments/{name}")
            page.expect(page.get_by_role("alert")).to_contain_text("pwned")
            self.assertIsNone(page.evaluate("window.pwned ?? null"))

    # What a page survives.

    def test_the_service_restarts_under_an_open_page(self):
        self.start_service()
        address = self.start_web()
        client = self.connect()
        client.create(SMOKE, id="long", overrides=["rule.outer_updates=100000"])
        with self.page() as page:
            page.goto(f"{address}/experiments/long")
            self.state(page, "Running")
            self.service.kill()
            page.expect(page.locator(".banner")).to_be_visible()
            page.expect(page.locator(".banner")).to_contain_text("does not answer")
            self.service, _ = self.start_meta_learner(
                self.folder / "state", self.address, "--disk_reserve_mb", 1
            )
            page.expect(page.locator(".banner")).to_be_hidden()
            done = page.locator(".facts", has_text="Outer updates").inner_text()
            before = int(re.search(r"Outer updates\n(\d+) of", done).group(1))
            self.wait_until(
                lambda: int(
                    re.search(
                        r"Outer updates\n(\d+) of", page.locator(".facts").inner_text()
                    ).group(1)
                )
                > before,
                "new updates on the page",
            )

    def test_a_page_before_its_service(self):
        self.start_service(threads=0)
        address = self.start_web()
        self.service.kill()
        with self.page(expected=["503"]) as page:
            page.goto(address)
            page.expect(page.get_by_text("The service does not answer")).to_be_visible()
            self.service, _ = self.start_meta_learner(
                self.folder / "state", self.address, "--disk_reserve_mb", 1
            )
            page.expect(page.get_by_text("0 experiments, 0 running")).to_be_visible()

    def test_a_thousand_experiments(self):
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

    def test_limits(self):
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

    def test_every_view_on_a_phone_and_a_wall(self):
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
            "/experiments/s1": ".chart canvas",
            "/compare?names=s1,s2": ".chart canvas",
        }
        found = []
        for width, scheme in ((360, "light"), (360, "dark"), (2560, "light"), (2560, "dark")):
            with self.page({"width": width, "height": 900}, scheme) as page:
                for path, part in views.items():
                    page.goto(address + path)
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

    def test_wrong_arguments(self):
        self.address = "127.0.0.1:1"
        for arguments, said in (
            (["--listen", "0.0.0.0:0"], "beyond this machine"),
            (["--listen", "nonsense"], "HOST:PORT"),
            (["--tls_cert", "x"], "belong together"),
            (["--origin", "lab"], "https://HOST"),
            (["--rows_max", "0"], "1 to 10000"),
        ):
            with self.assertRaisesRegex(AssertionError, said):
                self.start_web(*arguments)


if __name__ == "__main__":
    import unittest

    unittest.main()
