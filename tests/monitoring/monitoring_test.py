#!/usr/bin/env python3
"""Metrics, rules, alerts and dashboards against a real run and the real Prometheus.

Usage: monitoring_test.py [--write]
  --write   start a fleet and write tests/data/metrics.txt from its metrics pages; then run
            docs/generate.py
"""

import pathlib
import re
import subprocess
import sys
import time
import unittest

import expressions
import monitored
from expressions import PROMETHEUS, ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"
# From the start of the run until every expression has data.
PATIENCE_S = 60


def promtool(*arguments, text=None):
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=text,
        text=True,
        capture_output=True,
        timeout=200,
        cwd=PROMETHEUS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


class FilesTest(unittest.TestCase):
    """Checks of the files that need no run."""

    def test_promtool_takes_configuration_rules_and_their_tests(self):
        monitored.need("promtool")
        for command in (
            ["check", "config", "prometheus.yml"],
            ["check", "config", "local.yml"],
            ["check", "rules", "rules.yml", "alerts.yml"],
            ["test", "rules", "rules_test.yml"],
        ):
            code, output = promtool(*command)
            self.assertEqual(code, 0, f"promtool {command}:\n{output}")

    def test_by_hand_the_same_is_scraped_where_the_page_says(self):
        texts = {
            name: (PROMETHEUS / name).read_text(encoding="utf-8")
            for name in ("prometheus.yml", "local.yml")
        }
        jobs = {name: re.findall(r"job_name: (\S+)", text) for name, text in texts.items()}
        self.assertEqual(jobs["local.yml"], jobs["prometheus.yml"])
        page = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
        targets = re.findall(r'targets: \["(\S+)"\]', texts["local.yml"])
        for job, target in zip(jobs["local.yml"], targets, strict=True):
            self.assertIn(f"build/bin/mentor-{job} --metrics {target} ", page)

    def test_alerts_have_a_runbook_and_both_tests(self):
        alerts = {rule["alert"]: rule for rule in expressions.rules("alerts.yml")}
        self.assertGreater(len(alerts), 12)
        tests = (PROMETHEUS / "rules_test.yml").read_text(encoding="utf-8")
        for name, rule in alerts.items():
            with self.subTest(name):
                for field in ("expr", "for", "severity", "summary", "description"):
                    self.assertTrue(rule.get(field), f"{name} has no {field}")
                self.assertIn(rule["severity"], ("critical", "warning", "info", "none"))
                self.assertEqual(rule["runbook_url"], f"docs/runbooks/{name}.md")
                page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
                for heading in ("## What it means", "## How to look", "## What to do"):
                    self.assertIn(heading, page)
                # The page quotes the expression unchanged.
                self.assertIn(rule["expr"].strip(), page)
                self.assertRegex(tests, rf"name: {name} fires")
                self.assertRegex(tests, rf'name: "?{name} (does not|is one)')
        self.assertEqual({page.stem for page in RUNBOOKS.glob("*.md")}, set(alerts))

    def test_every_name_in_use_is_a_metric(self):
        known = expressions.series_names()
        asked = 0
        for expression in expressions.every():
            names = expressions.names(expression.text)
            asked += len(names)
            unknown = names - known
            self.assertFalse(unknown, f"{expression.where}: {expression.text}")
        self.assertGreater(asked, 100)
        spelled = known | set(expressions.golden())
        for page in [*RUNBOOKS.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
            text = page.read_text(encoding="utf-8")
            # Names are written out, not abbreviated (`mentor_checkpoint_*`).
            for name in set(
                re.findall(
                    r"(?<![\w:*])mentor_[a-z_]+(?:_total|_seconds|_bytes|_items)\b(?!\*)", text
                )
            ):
                self.assertIn(name, spelled, page.name)

    def test_grafana_dashboards_keep_their_rules(self):
        uids = set()
        for name, dashboard in expressions.dashboards():
            self.assertIsNone(dashboard["id"], name)
            self.assertRegex(dashboard["uid"], "^mentor-[a-z]+$")
            self.assertNotIn(dashboard["uid"], uids)
            uids.add(dashboard["uid"])
            for panel in expressions.panels(dashboard):
                if panel["type"] == "row":
                    continue
                where = f"{name} '{panel['title']}'"
                self.assertTrue(panel["description"].endswith("."), where)
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], where)
                self.assertEqual(panel["datasource"]["uid"], "${datasource}", where)
                self.assertTrue(panel["targets"], where)
                for target in panel["targets"]:
                    self.assertNotIn("datasource", target, where)  # It is the panel's.
        self.assertEqual(len(uids), 2)

    def test_the_reader_of_expressions_finds_what_it_should(self):
        self.assertEqual(
            expressions.names(
                'sum by (job) (rate(a_total{x="b_c"}[1m])) / on () group_left d:e:f > 0 or '
                "vector(1)"
            ),
            {"a_total", "d:e:f"},
        )
        metrics = {}
        expressions.add_page(
            '# HELP h Help.\n# TYPE h histogram\nh_count{m="1"} 2\nh_bucket{m="1",le="+Inf"} 2\n',
            "actor",
            metrics,
        )
        self.assertEqual(
            expressions.golden_text(metrics).splitlines()[-1], "h | histogram | m | actor | Help."
        )


class LiveTest(monitored.MonitoredTest):
    """A service at work."""

    def collect(self):
        metrics = {}
        for role, addresses in self.pages.items():
            for address in addresses:
                expressions.add_page(self.page(address), role, metrics)
        return metrics

    def start_work(self):
        self.start_fleet()
        self.create_experiment("operator", "watched", "--set", "rule.outer_updates=5000")
        self.wait_until(
            lambda: "mentor_meta_outer_return{" in self.page(self.pages["meta-learner"][0]),
            "an outer update",
        )
        self.wait_until(
            lambda: all(
                "mentor_failpoint_hits_total{" in self.page(address)
                for address in self.pages["actor"]
            ),
            "a unit at each actor",
        )

    def test_pages_are_the_golden_list_and_every_expression_has_data(self):
        monitored.need("prometheus", "promtool")
        self.start_work()
        self.start_prometheus()
        begin = time.monotonic()

        # The pages have good style, and exactly the recorded metrics.
        for role, addresses in self.pages.items():
            for address in addresses:
                code, output = promtool("check", "metrics", text=self.page(address))
                self.assertEqual(code, 0, f"{role}:\n{output}")
        live, golden = self.collect(), expressions.golden()
        self.assertEqual(
            expressions.golden_text(live),
            expressions.golden_text(golden),
            "the pages changed: if it is meant, tests/monitoring/monitoring_test.py --write && "
            "docs/generate.py",
        )

        self.mentorctl("viewer", "get", "no-such-experiment", code=3)

        # Repeats every expression until each has data; a user reads now and then.
        waiting = list(expressions.every())
        self.assertGreater(len(waiting), 60)
        while waiting:
            waiting = [e for e in waiting if not self.answered(e)]
            if waiting and time.monotonic() > begin + PATIENCE_S:
                self.fail("no data:\n" + "\n".join(f"{e.where}: {e.text}" for e in waiting))
            self.mentorctl("viewer", "list")

        # No alert fires.
        firing = {one["metric"]["alertname"] for one in self.ask("ALERTS{alertstate='firing'}")}
        self.assertEqual(firing, {"MentorWatchdog"})
        self.wait_until(lambda: float(self.ask("sum(up)")[0]["value"][1]) == 4, "all are up", 60)
        calls = self.page(self.pages["meta-learner"][0])
        self.assertRegex(
            calls, r'handled_total\{code="NOT_FOUND",method="ExperimentService/GetExperiment"\} 1\b'
        )
        self.assertRegex(calls, r'mentor_grpc_server_streams\{method="ShardService/Run"\} 1\b')

    def answered(self, expression):
        try:
            return bool(self.ask(expression.text)) or expression.may_be_empty
        except monitored.Rejected as error:
            self.fail(f"rejected: {expression.where}: {expression.text}: {error}")


def write():
    class Writer(LiveTest):
        def runTest(self):
            self.start_work()
            expressions.GOLDEN.write_text(expressions.golden_text(self.collect()), encoding="utf-8")

    return 0 if unittest.TextTestRunner().run(Writer()).wasSuccessful() else 1


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
    if sys.argv[1:] == ["--write"]:
        sys.exit(write())
    unittest.main()
