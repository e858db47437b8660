"""mentor-web against strangers: sign-in, other sites, long bodies, paths, users' texts."""

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import sys
import time
import types
import urllib.parse

import browser
import peers

from harness import SMOKE

SCRIPT = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script>{{ 7*7 }}"


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


class WebSecurityTest(browser.BrowserTest):
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
            # A page that stays when its browser signs out has no rights left.
            page.goto(f"{address}/compare?names=hers,other")
            page.route("**/sign_in", lambda route: route.fulfill(status=204))
            page.get_by_role("button", name="Sign out").click()
            page.get_by_role("button", name="Compute").click()
            page.expect(page.get_by_text("this page is closed")).to_be_visible()
            page.unroute("**/sign_in")
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
                "/healthz_of_nothing",
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
            self.assertEqual(self.request("GET", "/", cookie=hers, host="[")[0], 421)
            got = self.request("GET", "/_nicegui/nothing")
            self.assertEqual((got[0], got[2]), (404, b"there is no such page"))
            # Long bodies, said or not.
            self.assertEqual(
                self.request("POST", "/sign_in", origin=self.at, content_length="100000000")[0], 413
            )
            pieces = (b"x" * 65536 for _ in range(4))
            got = self.request("POST", "/sign_in", pieces, origin=self.at)
            self.assertIn(got[0], (400, 413), got)

    def test_requests_that_never_end(self):  # Nightly
        self.start_service(threads=0)
        self.at = self.start_web()
        host = urllib.parse.urlsplit(self.at).netloc
        post = f"POST /sign_in HTTP/1.1\r\nHost: {host}\r\nOrigin: {self.at}\r\n"
        begun = ("", post, post + "Content-Length: 9\r\n\r\nto", "GET /healthz HTTP/1.1\r\n")
        with contextlib.ExitStack() as stack:
            waiting = [socket.create_connection(host.split(":"), 30) for _ in begun]
            for one, bytes_sent in zip(waiting, begun):
                stack.enter_context(one).sendall(bytes_sent.encode())
            for one in waiting:
                self.assertEqual(one.recv(1), b"")  # Ended, not left open.
            self.assertEqual(self.request("GET", "/healthz")[0], 200)

    def test_hostile_specs_take_no_time(self):
        sys.path.insert(0, str(browser.WHEELS / "web"))
        from mentor_client import MentorError
        from mentor_client.web import spec_text

        self.start_service(threads=0)
        client = self.connect()
        for text in (
            "'\\" * 100_000,
            "} " + "a{" * 100_000,
            "benchmark { task {" * 50_000,
            "a {" * 50_000,
            "x: } signal {" + "a:1 " * 100_000 + "}",
        ):
            with self.assertRaisesRegex(MentorError, "INVALID_FIELD"):
                client.parse_spec(text, files=False)
            begin = time.process_time()
            spec_text.lines_of(text)
            self.assertLess(time.process_time() - begin, 10, text[:20])

    def test_who_signs_in_often_signs_out_nobody_else(self):
        sys.path.insert(0, str(browser.WHEELS / "web"))
        from mentor_client.web.session import Sessions

        sessions = Sessions(3)
        ann = sessions.begin("ann")
        eve = [sessions.begin("eve") for _ in range(4)]
        self.assertIs(sessions.find(ann.id), ann)
        self.assertEqual([sessions.find(one.id) for one in eve[:2]], [None, None])
        bob = sessions.begin("bob")
        self.assertEqual([sessions.find(one.id) for one in (ann, bob)], [ann, bob])

    def test_nothing_large_is_copied(self):
        sys.path.insert(0, str(browser.WHEELS / "web"))
        from mentor_client.web import report

        async def call(function, *arguments):
            return function(*arguments)

        def files(id):
            return [types.SimpleNamespace(size_bytes=600 << 20)]

        client = types.SimpleNamespace(checkpoints=files, artifacts=files)
        page = types.SimpleNamespace(call=call, client=client)
        with self.assertRaisesRegex(RuntimeError, "a, b: 2.52 GB; mentor fetch takes it"):
            asyncio.run(report.fetch(page, None, {}, {"run0": "a", "run1": "b"}, self.fail))

    def test_numbers_of_a_newer_service(self):
        from mentor_client.experiment import Experiment
        from mentor_client.v1 import experiment_pb2
        from mentor_client.web import words

        proto = experiment_pb2.Experiment(state=77, priority=99)
        proto.progress.seconds_left = float("inf")
        one = Experiment(None, proto)
        self.assertEqual((words.state(one), words.priority(one)), ("Unknown", "unknown"))
        self.assertIn(" d", words.span(one.progress.seconds_left))

    def test_no_path_leads_out_of_the_files(self):
        self.start_service(threads=0)
        self.at = self.start_web()
        client = self.connect()
        client.create(SMOKE, id="hers")
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
        from mentor_client import MentorError

        for base in ("../../../etc/passwd", "/etc/passwd", str(self.folder / "tokens")):
            with self.assertRaisesRegex(MentorError, "there is no spec"):
                client.parse_spec(f'base: "{base}"', files=False)
        read = client.parse_spec('base: "smoke"', files=False)
        self.assertEqual(read.spec.rule.outer_updates, 4)

    def test_tls_a_proxy_and_certificates(self):  # Nightly
        credentials = peers.Credentials(self.folder / "credentials")
        self.start_service(
            *credentials.tls("server"), "--tokens", credentials / "tokens", threads=0
        )
        # Its certificate may do everything, which strangers must not get.
        own = {
            "MENTOR_TLS_CA": credentials / "ca.crt",
            "MENTOR_TLS_CERT": credentials / "operator.crt",
            "MENTOR_TLS_KEY": credentials / "operator.key",
        }
        pair = ["--tls_cert", credentials / "server.crt", "--tls_key", credentials / "server.key"]
        self.at = self.start_web(*pair, "--origin", "https://mentor.example", environment=own)
        self.assertTrue(self.at.startswith("https://"))
        context = ssl.create_default_context(cafile=credentials / "ca.crt")
        port = urllib.parse.urlsplit(self.at).port

        def request(method, path, body=None, **headers):
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=context)
            self.addCleanup(connection.close)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheader("location") or "", answer

        self.assertEqual(request("GET", "/")[:2], (303, "/sign_in?to=%2F"))
        token = "token=" + credentials.tokens["operator"]
        for host in (f"127.0.0.1:{port}", "mentor.example"):
            fields = {"host": host, "origin": f"https://{host}"}
            status, _, answer = request("POST", "/sign_in", token, **fields)
            self.assertEqual(status, 303, host)
            self.assertIn("secure", answer.getheader("set-cookie").lower())
        fields = {"host": "mentor.example", "origin": "http://mentor.example"}
        self.assertEqual(request("POST", "/sign_in", token, **fields)[0], 403)

    def test_read_only_is_more_than_hidden_buttons(self):
        self.start_service(threads=0)
        address = self.start_web("--read_only")
        client = self.connect()
        client.create(SMOKE, id="one")
        with self.page() as page:
            page.goto(f"{address}/experiments/one")
            self.state(page, "Running")
            pause = page.get_by_role("button", name="Pause")
            page.expect(pause).to_have_count(0)
            page.evaluate("document.body.classList.remove('read-only')")
            pause.click()
            page.expect(page.locator(".q-notification")).to_contain_text("only reads")
            page.goto(f"{address}/new?from=smoke")
            page.expect(page.get_by_text("The spec is valid.")).to_be_visible()
        self.assertEqual([one.state for one in client.list()], ["RUNNING"])

    def test_texts_are_shown_as_text(self):  # Nightly
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
        client.cancel("ended", reason=SCRIPT).wait("CANCELLED")
        (folder,) = (
            file.parent
            for file in self.folder.glob("state/experiments/*/experiment.txtpb")
            if '"experiments/ended"' in file.read_text()
        )
        with open(folder / "log.jsonl", "a") as log:
            line = {"ts": "2026-01-31T12:00:00Z", "severity": "info", "msg": SCRIPT, SCRIPT: SCRIPT}
            log.write(json.dumps(line) + "\n")
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
            page.expect(page.locator(".log")).to_contain_text(f"{SCRIPT}  {SCRIPT}={SCRIPT}")
            page.goto(f"{address}/compare?names=one,two")
            page.expect(page.locator("td", has_text=SCRIPT).first).to_be_visible()
            page.get_by_role("button", name="Compute").click()
            report = page.frame_locator("iframe")
            page.expect(report.get_by_text("2 runs of 1 method").first).to_be_visible()
            page.goto(f"{address}/new?like=one")
            page.expect(page.locator(".cm-content")).to_contain_text("window.pwned=1")
            page.locator(".cm-content").fill("a {" * 3000)
            page.expect(page.get_by_text("has no field").first).to_be_visible()
            name = urllib.parse.quote(SCRIPT.partition("<script>")[0], safe="")
            page.goto(f"{address}/experiments/{name}")
            page.expect(page.get_by_role("alert")).to_contain_text("pwned")
            self.assertIsNone(page.evaluate("window.pwned ?? null"))


if __name__ == "__main__":
    import unittest

    unittest.main()
