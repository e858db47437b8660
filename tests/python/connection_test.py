"""Addresses, proxies and tokens of the Python client, by the cases that C++ programs read too."""

import http.server
import json
import os
import threading
from unittest import mock

import package
from package import ROOT

from harness import ClusterTest

CASES = json.loads((ROOT / "tests" / "data" / "connections.json").read_text("utf-8"))
VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY")


def setUpModule():
    global grpc, Client, MentorError, addresses, connection
    package.make_importable()
    import grpc
    from mentor_client import Client, MentorError, addresses, connection


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        self.server.asked.append(self.path)
        self.send_error(403)

    def log_message(self, *arguments):
        pass


class ConnectionTest(ClusterTest):
    def proxy(self):
        """Starts a proxy that refuses everything, names it in all variables, and returns it."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
        server.asked = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for ending in (server.server_close, thread.join, server.shutdown):
            self.addCleanup(ending)
        uri = f"http://ann:canary@127.0.0.1:{server.server_port}"
        variables = mock.patch.dict(os.environ, {name: uri for name in VARIABLES})
        variables.start()
        self.addCleanup(variables.stop)
        for name in ("no_grpc_proxy", "no_proxy"):
            os.environ.pop(name, None)
        return server

    def test_addresses_are_trimmed_and_what_is_wrong_with_one_is_named(self):
        for case in CASES["lists"]:
            with self.subTest(case["list"]):
                if "addresses" in case:
                    found = addresses.parse_addresses("server", case["list"])
                    self.assertEqual(found, case["addresses"])
                    continue
                with self.assertRaises(MentorError) as caught:
                    Client(case["list"] or ",", allow_insecure=True)
                self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
                self.assertIn(case["error"], str(caught.exception))

    def test_proxies_are_those_that_grpc_takes(self):
        for address in CASES["loopback"]:
            self.assertTrue(addresses.is_loopback(address), address)
        for address in CASES["elsewhere"]:
            self.assertFalse(addresses.is_loopback(address), address)
        for case in CASES["proxies"]:
            with self.subTest(case):
                found = addresses.proxy_for(case["address"], case["environment"])
                self.assertEqual(found, tuple(case["proxy"]) if case["proxy"] else None)

    def test_no_proxy_within_this_machine(self):
        proxy = self.proxy()
        _, address = self.start_meta_learner(self.folder / "state")
        for name in (address, address.replace("127.0.0.1", "localhost")):
            with Client(f" {name} ", timeout=20) as client:
                self.assertEqual(list(client.list()), [])
        self.assertEqual(proxy.asked, [])

    def test_errors_name_the_proxy_elsewhere(self):
        proxy = self.proxy()
        with Client("lab.invalid:7", allow_insecure=True, timeout=1) as client:
            with self.assertRaises(MentorError) as caught:
                list(client.list())
        self.assertEqual(set(proxy.asked), {"lab.invalid:7"})
        self.assertIn(
            f"through the proxy 127.0.0.1:{proxy.server_port} of grpc_proxy; "
            "no_proxy=lab.invalid leaves it out",
            str(caught.exception),
        )
        self.assertNotIn("canary", str(caught.exception))

    def test_a_token_that_cannot_be_a_header_is_refused_without_its_text(self):
        path = self.folder / "token"
        for case in CASES["tokens"]:
            text = case["text"]
            with self.subTest(repr(text)):
                if case["token"] is not None:
                    self.assertEqual(connection.parse_token("token", text), case["token"])
                    continue
                path.write_text(text, encoding="utf-8")
                options = [{"token_file": str(path)}] + [{"token": text}] * bool(text)
                for given in options:
                    with self.assertRaises(MentorError) as caught:
                        Client("127.0.0.1:1", **given)
                    self.assertEqual(caught.exception.code, grpc.StatusCode.INVALID_ARGUMENT)
                    self.assertTrue(str(caught.exception).endswith("prints a token"))
                    self.assertNotIn("canary", str(caught.exception))
        with mock.patch.dict(
            os.environ, {"MENTOR_TOKEN": "canary-\N{LATIN SMALL LETTER E WITH ACUTE}"}
        ):
            with self.assertRaisesRegex(MentorError, "MENTOR_TOKEN holds no token"):
                Client("127.0.0.1:1")

    def test_a_file_that_loses_its_token_keeps_the_last_one(self):
        path = self.folder / "token"
        path.write_text("first\n", encoding="utf-8")
        token = connection.Token(None, str(path))
        for text in ("", "two words", "second"):
            path.write_text(text, encoding="utf-8")
            expected = "second" if text == "second" else "first"
            self.assertEqual(token.metadata(), [("authorization", f"Bearer {expected}")])
