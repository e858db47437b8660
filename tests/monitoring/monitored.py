"""A real service with all its metrics, and a real Prometheus that scrapes it each second."""

import json
import pathlib
import re
import shutil
import sys
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cluster"))

from expressions import PROMETHEUS  # noqa: E402
from harness import SLOWLY, Process, kept_port  # noqa: E402
from secure import SecureTest  # noqa: E402


def need(*tools):
    for tool in tools:
        if shutil.which(tool) is None:
            raise unittest.SkipTest(f"{tool} is not installed")


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


class Rejected(Exception):
    """Prometheus refuses the query."""


class MonitoredTest(SecureTest):
    """meta-learner, learner, two actors."""

    def start_fleet(self):
        names = ["meta-learner-0", "learner-0", "actor-0", "actor-1"]
        # The metric of armed failpoints shows, too.
        failpoints = {name: SLOWLY["MENTOR_FAILPOINTS"] for name in names[2:]}
        self.pages = {}
        for name in names:
            process = self.fleet.start(
                name, "--metrics", "127.0.0.1:0", failpoints=failpoints.get(name, "")
            )
            page = process.wait_for(r"metrics on (\S+)").group(1)
            self.pages.setdefault(name.rsplit("-", 1)[0], []).append(page)

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
        address = f"127.0.0.1:{kept_port(self)}"
        self.prometheus = f"http://{address}"
        process = Process(
            shutil.which("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address={address}",
            "--log.level=warn",
        )
        self.addCleanup(process.close)
        self.wait_until(
            lambda: self.is_ready() or process.child.poll() is not None, "an answer", 30
        )
        self.assertIsNone(process.child.poll(), process.output())

    def is_ready(self):
        try:
            return bool(get(self.prometheus + "/-/ready"))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, expression):
        url = self.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            return json.loads(get(url))["data"]["result"]
        except urllib.error.HTTPError as error:
            raise Rejected(json.loads(error.read().decode())["error"]) from None
