"""Hostile peers on every port of the real processes, credentials on the way, and no secret in any
output."""

import contextlib
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest
import urllib.request

import peers
from harness import BIN, SMOKE, ClusterTest

LIST = "/mentor.v1.ExperimentService/ListExperiments"
CREATE = "/mentor.v1.ExperimentService/CreateExperiment"
WORK = "/mentor.v1.RolloutService/Work"
RUN = "/mentor.v1.ShardService/Run"
OK, PERMISSION_DENIED, RESOURCE_EXHAUSTED, UNAVAILABLE, UNAUTHENTICATED = 0, 7, 8, 14, 16
REFUSED = (peers.Gone, ssl.SSLError, ConnectionError)


class Server:
    """A process and its ports."""

    def __init__(self, process, service, context=None):
        self.process = process
        self.service = service
        self.context = context
        self.admin = process.wait_for(r"admin on (\S+)").group(1)
        self.metrics = process.wait_for(r"metrics on (\S+)").group(1)

    @property
    def pid(self):
        return self.process.child.pid

    def scrape(self, timeout=10):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=timeout) as answer:
            return answer.read().decode()


class SecurityTest(ClusterTest):
    OPEN = ["--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]

    def setUp(self):
        super().setUp()
        self.credentials = peers.Credentials(self.folder / "credentials")

    def start_servers(self, mode):
        """Starts meta-learner, learner and actor. 'local' asks for tokens, 'mutual' asks for
        certificates and takes tokens too."""
        c = self.credentials

        def own(name):
            return c.tls(name) if mode == "mutual" else []

        tokens = ["--tokens", c / "tokens"]
        meta, address = self.start_meta_learner(
            self.folder / "state", 0, *own("server"), *tokens, *self.OPEN
        )
        self.meta = Server(meta, address)
        learner, address = self.start_learner(
            address, 0, *own("learner"), *tokens, "--token_file", c / "learner.token", *self.OPEN
        )
        self.learner = Server(learner, address)
        actor = self.start_actor(
            address, 1, *own("actor"), "--token_file", c / "actor.token", *self.OPEN
        )
        self.actor = Server(actor, None)
        self.servers = [self.meta, self.learner, self.actor]
        for server in self.servers:
            self.wait_until(lambda: self.probe(server) == 0, "readiness", 60)
        self.mode = mode

    def probe(self, server, service="readiness"):
        return subprocess.run(
            [BIN / "mentor-probe", "--address", server.admin, "--service", service],
            capture_output=True,
            timeout=60,
            check=False,
        ).returncode

    def context(self, name="operator"):
        return self.credentials.context(name) if self.mode == "mutual" else None

    def call(self, server, path, role, **arguments):
        """Makes a call with all credentials of a role."""
        return peers.call(
            server.service, path, self.credentials.tokens[role], self.context(role), **arguments
        )

    def check_serving(self):
        """Checks that every port of every process still works."""
        for server in self.servers:
            self.assertEqual(self.probe(server), 0, server.process.output())
            self.assertEqual(self.probe(server, "liveness"), 0)
            self.assertIn("mentor_build_info", server.scrape(timeout=30))
        self.assertEqual(self.call(self.meta, LIST, "viewer")[0], OK)
        # A stream whose first message is not the hello: the learner refuses it after its
        # credentials have passed.
        self.assertNotIn(
            self.call(self.learner, WORK, "actor")[0], (UNAUTHENTICATED, PERMISSION_DENIED)
        )

    @contextlib.contextmanager
    def bounded_memory(self, mebibytes=64):
        seen = []

        def settled():  # An actor that is ready still loads its parts.
            seen.append([peers.resident_bytes(server.pid) >> 20 for server in self.servers])
            time.sleep(0.3)
            return len(seen) > 1 and seen[-1] == seen[-2]

        self.wait_until(settled, "memory to stand still")
        before = [peers.resident_bytes(server.pid) for server in self.servers]
        yield
        for server, bytes_before in zip(self.servers, before):
            grown = (peers.resident_bytes(server.pid) - bytes_before) / 2**20
            self.assertLess(
                grown, mebibytes, f"{server.process.command[0]} grew by {grown:.0f} MiB"
            )

    def every_port(self):
        for server in self.servers:
            for address in (server.service, server.admin, server.metrics):
                if address:
                    yield address

    # Calls that the service ports refuse.

    def test_tokens_on_the_real_servers(self):
        self.start_servers("local")
        tokens = self.credentials.tokens
        for server, path, right, wrong in (
            (self.meta, LIST, "viewer", "actor"),
            (self.meta, CREATE, "operator", "viewer"),
            (self.meta, RUN, "learner", "operator"),
            (self.learner, WORK, "actor", "learner"),
        ):
            self.assertEqual(
                peers.call(server.service, path),
                (UNAUTHENTICATED, "missing or unknown credentials"),
            )
            self.assertEqual(peers.call(server.service, path, "nonsense")[0], UNAUTHENTICATED)
            self.assertEqual(
                peers.call(server.service, path, tokens[right][:-1])[0], UNAUTHENTICATED
            )
            status, message = peers.call(server.service, path, tokens[wrong])
            self.assertEqual(status, PERMISSION_DENIED)
            self.assertIn(f"the role {right}", message)
            self.assertNotIn(
                peers.call(server.service, path, tokens[right])[0],
                (UNAUTHENTICATED, PERMISSION_DENIED),
            )
            for hidden in ("/grpc.health.v1.Health/Check", "/x.Y/Z"):
                self.assertEqual(peers.call(server.service, hidden)[0], UNAUTHENTICATED)
        self.assertRegex(
            self.meta.scrape(), r'mentor_auth_failures_total\{reason="unknown"\} [1-9]'
        )
        self.check_serving()

    def test_strangers_at_the_tls_ports(self):
        self.start_servers("mutual")
        c = self.credentials
        for server, path in ((self.meta, LIST), (self.learner, WORK)):
            for name in ("expired", "stranger", None):
                with self.subTest(name), self.assertRaises(REFUSED):
                    peers.call(server.service, path, c.tokens["operator"], c.context(name))
            with self.assertRaises(REFUSED):  # Plain text.
                peers.call(server.service, path, c.tokens["operator"])
            # A right certificate with a wrong token, or with a token of a lower role.
            self.assertEqual(
                peers.call(server.service, path, "nonsense", c.context("operator"))[0],
                UNAUTHENTICATED,
            )
            for version, refused in (
                ("-tls1", True),
                ("-tls1_1", True),
                ("-tls1_2", False),
                ("-tls1_3", False),
            ):
                client = subprocess.run(
                    [
                        "openssl",
                        "s_client",
                        "-connect",
                        server.service,
                        version,
                        "-cipher",
                        "ALL:@SECLEVEL=0",
                        "-alpn",
                        "h2",
                        "-cert",
                        c / "operator.crt",
                        "-key",
                        c / "operator.key",
                        "-CAfile",
                        c / "ca.crt",
                    ],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                self.assertEqual(client.returncode != 0, refused, f"{version}: {client.stderr}")
        # The client's side: a server of another authority, and no server.
        actor = self.start_actor(self.learner.service, 1, "--tls_ca", c / "other.crt")
        actor.wait_for("no connection|connect|UNAVAILABLE", 30)
        self.assertEqual(
            peers.call(self.meta.service, CREATE, c.tokens["viewer"], c.context("operator"))[0],
            PERMISSION_DENIED,
        )
        self.assertEqual(peers.call(self.meta.service, LIST, None, c.context("operator"))[0], OK)
        self.check_serving()

    def test_what_cannot_be_safe_does_not_start(self):
        c = self.credentials
        state = ["--state", self.folder / "state"]
        output = self.run_to_end(
            "mentor-meta-learner", *state, "--listen", "0.0.0.0:0", "--tokens", c / "tokens", code=2
        )
        self.assertIn("mentorctl certs init", output)
        own = ["--tls_cert", c / "server.crt", "--tls_key", c / "server.key"]
        output = self.run_to_end(
            "mentor-meta-learner", *state, "--listen", "0.0.0.0:0", *own, code=2
        )
        self.assertIn("--tokens", output)
        output = self.run_to_end(
            "mentor-actor",
            "--learner",
            "learner.example.org:1",
            "--token_file",
            c / "actor.token",
            code=2,
        )
        self.assertIn("--tls_ca", output)
        c.write("open", "viewer a " + 64 * "a" + "\n", 0o644)
        output = self.run_to_end(
            "mentor-meta-learner", *state, "--listen", "127.0.0.1:0", "--tokens", c / "open", code=2
        )
        self.assertIn("chmod 600", output)
        output = self.run_to_end(
            "mentor-learner", "--listen", "127.0.0.1:0", *c.tls("expired"), code=2
        )
        self.assertIn("has expired", output)
        # With the explicit flag it starts, and says what that means.
        process = self.start(
            "mentor-meta-learner",
            *state,
            "--listen",
            "0.0.0.0:0",
            "--allow_insecure",
            "--tokens",
            c / "tokens",
        )
        address = process.wait_for(r"listening on 0.0.0.0(:\d+)").group(1)
        process.wait_for("can read the traffic and its tokens", 10)
        self.assertEqual(peers.call("127.0.0.1" + address, LIST, c.tokens["viewer"])[0], OK)
        self.assertEqual(peers.call("127.0.0.1" + address, LIST)[0], UNAUTHENTICATED)

    # Garbage for every port.

    def test_garbage_on_every_port(self):
        self.start_servers("mutual")
        seed = 20261120
        noise = random.Random(seed)
        hello = bytes.fromhex("16030100c8010000c40303")  # The beginning of a TLS hello.
        payloads = [noise.randbytes(n) for n in (1, 9, 100, 5000, 100_000)] + [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\0" * 4096,
            b"\xff" * 4096,
            hello + noise.randbytes(200),
            peers.PREFACE + noise.randbytes(500),
            peers.PREFACE + peers.frame(peers.SETTINGS, 0, 0) + noise.randbytes(2000),
            peers.PREFACE + peers.frame(255, 255, 0x7FFFFFFF, b"x" * 99),
        ]
        with self.bounded_memory():
            for address in self.every_port():
                for payload in payloads:
                    with peers.connect(address) as sock, contextlib.suppress(OSError):
                        sock.sendall(payload)
                        sock.shutdown(socket.SHUT_WR)
                        sock.settimeout(3)
                        while sock.recv(65536):
                            pass
            # Inside TLS too.
            for server in (self.meta, self.learner):
                for payload in payloads:
                    with contextlib.suppress(*REFUSED, TimeoutError), peers.connect(
                        server.service, self.context()
                    ) as sock:
                        sock.sendall(payload)
                        sock.settimeout(1)
                        while sock.recv(65536):
                            pass
            self.check_serving()

    def test_slow_senders_on_every_port(self):
        self.start_servers("mutual")
        count = 40
        with self.bounded_memory(), contextlib.ExitStack() as stack:
            slow = []
            for address in self.every_port():
                slow += [
                    (address, stack.enter_context(peers.connect(address)), time.monotonic())
                    for _ in range(count)
                ]
            # A few bytes of what each port expects: a TLS hello, an HTTP/2 preface, a request.
            for address, sock, _ in slow:
                sock.sendall(
                    b"\x16\x03" if address in (self.meta.service, self.learner.service) else b"G"
                )
            self.assertEqual(self.call(self.meta, LIST, "viewer")[0], OK)
            for server in self.servers:
                self.assertEqual(self.probe(server), 0)
            # One byte a second keeps no peer connected: 10 s for a handshake, 2 s for a scrape of
            # each of 4 threads.
            deadline = time.monotonic() + 90
            lasted = {}
            while slow and time.monotonic() < deadline:
                time.sleep(1)
                rest = []
                for address, sock, since in slow:
                    with contextlib.suppress(OSError):
                        sock.sendall(b"\x01")
                    if self.is_closed(sock):
                        lasted[address] = max(lasted.get(address, 0), time.monotonic() - since)
                    else:
                        rest.append((address, sock, since))
                slow = rest
            self.assertFalse({address for address, _, _ in slow}, "ports that keep slow senders")
            print("slow senders were ended within", {a: f"{s:.0f} s" for a, s in lasted.items()})
            self.check_serving()

    def test_calls_that_never_end(self):
        """Streams that are opened and not used, headers half sent, messages that stop in the
        middle."""
        self.start_servers("mutual")
        token = self.credentials.tokens["viewer"]
        headers = peers.headers(LIST, token)
        start = peers.PREFACE + peers.frame(peers.SETTINGS, 0, 0)
        beginnings = [
            start,
            start + peers.frame(peers.HEADERS, 0, 1, headers[:20]),
            start + peers.frame(peers.HEADERS, 0, 1, headers[:20], length=len(headers)),
            peers.opening(LIST, token) + peers.frame(peers.DATA, 0, 1, b"\0\0\0\0\xff" + b"x" * 10),
            peers.opening(LIST, token),
        ]
        with self.bounded_memory(), contextlib.ExitStack() as stack:
            for beginning in beginnings:
                for _ in range(20):
                    stack.enter_context(
                        peers.connect(self.meta.service, self.context("viewer"))
                    ).sendall(beginning)
            self.check_serving()
        self.check_serving()

    def test_huge_declared_lengths(self):
        self.start_servers("mutual")
        with self.bounded_memory():
            for server, path, role in (
                (self.meta, LIST, "viewer"),
                (self.meta, RUN, "learner"),
                (self.learner, WORK, "actor"),
            ):
                sent, status = peers.flood(
                    server.service,
                    path,
                    self.credentials.tokens[role],
                    self.context(role),
                    (8 << 20) + 1,
                    lambda: None,
                )
                self.assertEqual((sent, status), ((8 << 20) + 6, RESOURCE_EXHAUSTED))
                # The announced bytes never come: the server waits for them, at no cost.
                for length in (0xFFFFFFFF, 0x7FFFFFFF):
                    with self.assertRaises((TimeoutError, *REFUSED)):
                        if (
                            self.call(
                                server, path, role, message=b"x" * 100, length=length, timeout=0.5
                            )[0]
                            != OK
                        ):
                            raise peers.Gone("refused")
                # More metadata than 64 KiB in one frame.
                block = peers.headers(
                    path, self.credentials.tokens[role], [(f"x-{i}", "y" * 1000) for i in range(80)]
                )
                with contextlib.suppress(*REFUSED), peers.connect(
                    server.service, self.context(role)
                ) as sock:
                    sock.sendall(
                        peers.PREFACE
                        + peers.frame(peers.SETTINGS, 0, 0)
                        + peers.frame(peers.HEADERS, 5, 1, block)
                    )
                    self.assertIn(peers.read_status(sock)[0], (RESOURCE_EXHAUSTED, UNAVAILABLE))
                # A frame of 16 MiB is announced.
                with contextlib.suppress(*REFUSED), peers.connect(
                    server.service, self.context(role)
                ) as sock:
                    sock.sendall(
                        peers.opening(path, self.credentials.tokens[role])
                        + peers.frame(peers.DATA, 0, 1, b"x" * 100, length=0xFFFFFF)
                    )
                    sock.settimeout(5)
                    with contextlib.suppress(TimeoutError):
                        peers.read_status(sock)
            for server in self.servers:
                for request in (
                    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    b"999999999999999999\r\n\r\n" + b"x" * 1000,
                    b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
                    b"GET /" + b"y" * 200_000 + b" HTTP/1.1\r\n\r\n",
                    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: "
                    b"chunked\r\n\r\nffffffffffffffff\r\nx",
                ):
                    with peers.connect(server.metrics) as sock, contextlib.suppress(OSError):
                        sock.sendall(request)
                        sock.settimeout(5)
                        while sock.recv(65536):
                            pass
                with self.assertRaises((TimeoutError, *REFUSED)):
                    peers.call(
                        server.admin,
                        "/grpc.health.v1.Health/Check",
                        message=b"",
                        length=0xFFFFFFFF,
                        timeout=0.5,
                    )
            self.check_serving()

    def test_a_message_of_4_gib_is_ended_within_the_quota(self):
        self.start_servers("mutual")
        for server, path, role in ((self.meta, LIST, "viewer"), (self.learner, WORK, "actor")):
            before = peers.resident_bytes(server.pid)
            peak = [0]

            def look():
                peak[0] = max(peak[0], peers.resident_bytes(server.pid) - before)

            sent, _ = peers.flood(
                server.service,
                path,
                self.credentials.tokens[role],
                self.context(role),
                0xFFFFFFFF,
                look,
            )
            print(
                f"{server.process.command[0]}: {sent >> 20} MiB sent, memory grew by "
                f"{peak[0] >> 20} MiB at most"
            )
            self.assertLess(peak[0], 640 << 20)
            self.assertGreater(sent, 8 << 20)
        # Without credentials the server keeps nothing at all.
        before = peers.resident_bytes(self.meta.pid)
        sent, _ = peers.flood(
            self.meta.service, LIST, "nonsense", self.context(), 0xFFFFFFFF, lambda: None
        )
        self.assertLess(sent, 8 << 20)
        self.assertLess(peers.resident_bytes(self.meta.pid) - before, 16 << 20)
        self.check_serving()

    def test_metadata_without_end_of_a_stranger(self):
        """gRPC 1.51 keeps all of it, whoever sends it; the acceptor ends the connection."""
        self.start_servers("local")
        for server, address in (
            (self.meta, self.meta.service),
            (self.learner, self.learner.service),
            (self.actor, self.actor.admin),
        ):
            before = peers.resident_bytes(server.pid)
            sent, peak = 0, 0
            with peers.connect(address) as sock, contextlib.suppress(OSError):
                sock.sendall(
                    peers.PREFACE
                    + peers.frame(peers.SETTINGS, 0, 0)
                    + peers.frame(peers.HEADERS, 0, 1, peers.headers(LIST))
                )
                while sent < 2 << 30:
                    block = b"".join(
                        b"\0" + peers.text(f"x-{sent}-{i}") + peers.text("y" * 1000)
                        for i in range(15)
                    )
                    sock.sendall(peers.frame(peers.CONTINUATION, 0, 1, block))
                    sent += len(block)
                    if sent // len(block) % 100 == 0:
                        peak = max(peak, peers.resident_bytes(server.pid) - before)
            print(
                f"{server.process.command[0]}: {sent >> 20} MiB sent, memory grew by {peak >> 20} "
                "MiB at most"
            )
            self.assertLess(sent, 1 << 30)
            if address == server.service:
                self.assertIn("mentor_rpc_strangers_ended_total 1", server.scrape())
            self.assertLess(peak, 512 << 20)
        self.check_serving()

    def test_more_connections_than_descriptors(self):
        flags = [*self.OPEN, "--tokens", self.credentials / "tokens"]
        process, address = self.start_meta_learner(
            self.folder / "state", 0, *flags, before="ulimit -n 64"
        )
        self.meta = Server(process, address)
        self.mode = "local"
        with contextlib.ExitStack() as stack:
            flood = [stack.enter_context(peers.connect(address)) for _ in range(200)]
            # Most are closed at once, because the process keeps descriptors for itself and its
            # other ports.
            self.wait_until(
                lambda: sum(map(self.is_closed, flood)) >= 150, "closed connections", 30
            )
            self.assertEqual(self.probe(self.meta), 0, process.output())
            refused = re.search(r"mentor_rpc_connections_refused_total (\d+)", self.meta.scrape())
            self.assertGreaterEqual(int(refused[1]), 150)
        self.wait_until(lambda: self.answers(LIST), "answers again", 30)

    @staticmethod
    def is_closed(sock):
        sock.setblocking(False)
        try:
            while True:
                if sock.recv(4096) == b"":
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True

    def answers(self, path):
        try:
            return self.call(self.meta, path, "viewer", timeout=3)[0] == OK
        except (OSError, peers.Gone):
            return False

    # Nothing secret anywhere.

    def test_a_run_over_mutual_tls_keeps_its_secrets(self):
        self.start_servers("mutual")
        c = self.credentials
        operator = c.tls("operator")
        self.mentorctl(self.meta.service, *operator, "create", "-f", SMOKE, "--id", "smoke")
        pages, command_lines = [], []

        def done():
            pages.extend(server.scrape(30) for server in self.servers)
            command_lines.extend(
                pathlib.Path(f"/proc/{s.pid}/cmdline").read_bytes().decode(errors="replace")
                for s in self.servers
            )
            return "SUCCEEDED" in self.mentorctl(self.meta.service, *operator, "get", "smoke")

        self.wait_until(done, "smoke succeeds")
        # Refused tokens are secrets, too, and so is a token in the wrong place.
        for token in c.tokens.values():
            peers.call(self.meta.service, LIST, token + "x", c.context("operator"))
        c.write("tokens", "viewer leaked " + c.tokens["viewer"] + "\n")
        self.wait_until(
            lambda: "mentor_auth_reload_failures_total 1" in self.meta.scrape(),
            "the broken file is seen",
            30,
        )
        for server in reversed(self.servers):
            server.process.signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(60), 0, server.process.output())
        written = {f"output of {s.process.command[0]}": s.process.output() for s in self.servers}
        written["metrics"] = "\n".join(pages)
        written["command lines"] = "\n".join(command_lines)
        for path in (self.folder / "state").rglob("*"):
            if path.is_file():
                written[str(path)] = path.read_bytes().decode("latin1")
        self.assertIn("stopping", written[f"output of {self.meta.process.command[0]}"])
        self.assertGreater(len(written), 6)
        keys = [
            pathlib.Path(c / f"{name}.key").read_text().splitlines()[1]
            for name in ("server", "learner", "actor")
        ]
        for secret in [*c.tokens.values(), *keys]:
            for where, what in written.items():
                self.assertNotIn(secret, what, where)
        # The search works: it finds the file's name.
        self.assertIn("tokens", written["command lines"])

    # The frame of a process.

    def test_health_drain_and_second_signal(self):
        self.start_servers("local")
        self.assertEqual(self.probe(self.meta, "mentor.v1.ExperimentService"), 0)
        self.assertEqual(self.probe(self.learner, "mentor.v1.RolloutService"), 0)
        self.assertEqual(self.probe(self.meta, ""), 0)
        self.assertEqual(self.probe(self.meta, "nothing"), 1)
        usage = subprocess.run([BIN / "mentor-probe"], capture_output=True, check=False)
        self.assertEqual(usage.returncode, 2)
        # The admin port serves health and nothing else.
        for path in (LIST, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
            self.assertEqual(peers.call(self.meta.admin, path)[0], 12)
        process, _ = self.start_meta_learner(
            self.folder / "other", 0, "--drain_delay", "10", *self.OPEN
        )
        server = Server(process, None)
        self.wait_until(lambda: self.probe(server) == 0, "ready", 30)
        start = time.monotonic()
        process.signal(signal.SIGTERM)
        self.wait_until(lambda: self.probe(server) == 1, "not ready", 10)
        self.assertEqual(self.probe(server, "liveness"), 0)
        self.assertIsNone(process.child.poll())
        self.assertEqual(process.wait(60), 0)
        self.assertGreater(time.monotonic() - start, 9.9)
        process, _ = self.start_meta_learner(self.folder / "other", 0, "--drain_delay", "60")
        process.signal(signal.SIGTERM)
        process.wait_for("stopping", 10)
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)

    def test_a_main_loop_that_stands_still_is_not_live(self):
        process, _ = self.start_meta_learner(
            self.folder / "state",
            0,
            *self.OPEN,
            env={"MENTOR_FAILPOINTS": "process.loop=2:sleep(45000)"},
        )
        server = Server(process, None)
        self.assertEqual(self.probe(server, "liveness"), 0)
        for status, what in ((1, "not live"), (0, "live again")):
            self.wait_until(lambda: self.probe(server, "liveness") == status, what, 50, every_s=1)


if __name__ == "__main__":
    unittest.main()
