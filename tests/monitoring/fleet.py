"""A real service with all its metrics, and a real Prometheus that scrapes it each second."""

import json
import pathlib
import re
import shutil
import socket
import sys
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

import peers  # noqa: E402
from expressions import PROMETHEUS  # noqa: E402
from harness import SLOWLY, SPECS, ClusterTest, Process  # noqa: E402,F401


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise unittest.SkipTest(f"{tool} is not installed")


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


class Rejected(Exception):
    """Prometheus refuses the query."""


class Fleet(ClusterTest):
    """meta-learner, learner, two actors, over TLS with tokens."""

    def start_fleet(self, *learner_flags):
        c = self.credentials = peers.Credentials(self.folder / "credentials")
        metrics = ("--metrics", "127.0.0.1:0")
        meta, self.server = self.start_meta_learner(
            self.folder / "state",
            0,
            *metrics,
            "--tls_cert",
            c / "server.crt",
            "--tls_key",
            c / "server.key",
            "--tokens",
            c / "tokens",
            "--disk_reserve_mb",
            1,
        )
        learner, address = self.start_learner(
            self.server,
            0,
            *metrics,
            *c.tls("learner"),
            "--no_client_certificates",
            "--tokens",
            c / "tokens",
            "--token_file",
            c / "learner.token",
            *learner_flags,
        )
        actors = [
            self.start_actor(
                address,
                1,
                *metrics,
                "--tls_ca",
                c / "ca.crt",
                "--token_file",
                c / "actor.token",
                env=SLOWLY,  # The metric of armed failpoints shows, too.
            )
            for _ in range(2)
        ]
        self.pages = {"meta-learner": [meta], "learner": [learner], "actor": actors}
        self.pages = {
            role: [process.wait_for(r"metrics on (\S+)").group(1) for process in processes]
            for role, processes in self.pages.items()
        }

    def ctl(self, user, *arguments, code=0):
        c = self.credentials
        return self.run_to_end(
            "mentorctl",
            "--server",
            self.server,
            "--tls_ca",
            c / "ca.crt",
            "--token_file",
            c / f"{user}.token",
            *arguments,
            code=code,
        )

    def create(self, spec, name, *arguments):
        self.ctl("operator", "create", "-f", SPECS / spec, "--id", name, *arguments)

    def page(self, address):
        return get(f"http://{address}/metrics")

    def start_prometheus(self):
        """The configuration of deploy/ with these targets, and a scrape each second."""
        folder = self.folder / "prometheus"
        shutil.copytree(PROMETHEUS, folder)
        text = (folder / "prometheus.yml").read_text()
        text = re.sub(
            r"(scrape_interval|scrape_timeout|evaluation_interval): \d+s", r"\1: 1s", text
        )
        jobs = re.findall(r"job_name: (\S+)", text)
        self.assertEqual(sorted(jobs), sorted(self.pages), "the jobs of prometheus.yml")
        text = text[: text.index("scrape_configs:")] + "scrape_configs:\n"
        for job in jobs:
            targets = json.dumps(self.pages[job])
            text += f"  - job_name: {job}\n    static_configs:\n      - targets: {targets}\n"
        (folder / "prometheus.yml").write_text(text)
        # Prometheus cannot report a free port of its own choice. A chosen port may be taken
        # meanwhile, so try again.
        for _ in range(5):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            self.prometheus = f"http://127.0.0.1:{port}"
            process = Process(
                shutil.which("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            )
            self.addCleanup(process.close)
            if self._ready(process):
                return
        self.fail(f"prometheus does not start:\n{process.output()}")

    def _ready(self, process):
        end = time.monotonic() + 30
        while time.monotonic() < end and process.child.poll() is None:
            try:
                get(self.prometheus + "/-/ready")
                return True
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        return False

    def ask(self, expression):
        url = self.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            return json.loads(get(url))["data"]["result"]
        except urllib.error.HTTPError as error:
            raise Rejected(json.loads(error.read().decode())["error"]) from None
