#!/usr/bin/env python3
"""Measures the calls of one user while another one holds up what all share: pages with long texts,
watches that nobody reads, models that take long to compile. A round of calls is a sign-in at
mentor-web, a list, and a check of a spec with a bundle. The worst of each is taken alone, beside
the other user, and after that one has ended. By hand:

    tests/chaos/callers.py [--seconds 20] [CASE ...]
"""

import argparse
import contextlib
import pathlib
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "cluster"), str(TESTS / "python")]

import browser  # noqa: E402

CASES = {
    "pages": "26 pages, each with 980 kB of one field in its editor",
    "watches": "16 watches that nobody reads, over 100 experiments of 200 kB",
    "bundles": "three bundles with 20,000 copies of a geom",
}
PAGES, WATCHES, STORED, TASKS = 26, 16, 100, 9900
TEXT_BYTES = 980_000
DEADLINE_S = 300  # A call that takes longer counts as this.
PASTE = """n => document.querySelector('.cm-content').cmView.view.dispatch(
  {changes: {from: 0, insert: 'seed:1 '.repeat(n)}})"""
TASK = """model: "m.xml"
summary: "A ball."
episode_steps: 100
observation { qpos: "*" }
action { low: -1 high: 1 actuator { name: "pull" gain: 1 } }
reward { name: "none" expression: "0" }
"""
MODEL = """<mujoco><!-- %s --><worldbody>%s
<body><joint name="slide" type="slide"/><geom size=".1"/></body></worldbody>
<actuator><motor name="pull" joint="slide"/></actuator></mujoco>"""
COPIES = '<replicate count="10000" offset="1 0 0"><geom size=".1"/></replicate>'
LARGE = """benchmark {
  name: "custom" task_set { environment: "point_reach" }
  task_set { environment: "point_reach" split: TEST goals: 4 }
} rule { outer_updates: 4 } evaluation { lifetimes_per_goal: 0 }"""
SPEC = """benchmark { name: "single" environment: "mjcf" option { name: "bundle" value: "%s" } }
rule { outer_updates: 4 } evaluation { goals: 1 lifetimes_per_goal: 0 }"""


class Callers(browser.BrowserTest):
    """User ann makes the calls, bob holds them up."""

    def setUp(self):
        super().setUp()
        self.tokens = {name: self.token("operator", name) for name in ("ann", "bob")}
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        self.at = self.start_web()
        self.clients = {
            name: self.connect(token=token, timeout=DEADLINE_S)
            for name, token in self.tokens.items()
        }
        self.small = self.push("ann", "small", "")

    def push(self, owner, name, world):
        folder = self.folder / f"bundle-{name}"
        folder.mkdir()
        (folder / "m.xml").write_text(MODEL % (name, world))
        (folder / "task.txtpb").write_text(TASK)
        return self.clients[owner].push_bundle(folder)

    # A round of calls.

    def sign_in(self):
        form = urllib.parse.urlencode({"token": self.tokens["ann"]}).encode()
        request = urllib.request.Request(
            f"{self.at}/sign_in", form, {"Origin": self.at, "Content-Length": str(len(form))}
        )
        with contextlib.suppress(TimeoutError), urllib.request.urlopen(
            request, timeout=DEADLINE_S
        ) as answer:
            answer.read()

    def check(self):
        """A model that nobody has compiled."""
        self.count = getattr(self, "count", 0) + 1
        name = self.push("ann", f"own-{self.count}", "")
        self.clients["ann"].validate(SPEC % name)

    def worst(self, seconds):
        """Returns the longest seconds of each call."""
        found = dict.fromkeys(("sign in", "list", "check"), 0.0)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for name, call in (
                ("sign in", self.sign_in),
                ("list", lambda: next(self.clients["ann"].list(page_size=10), None)),
                ("check", self.check),
            ):
                since = time.monotonic()
                call()
                found[name] = max(found[name], time.monotonic() - since)
        return found

    # What holds up others.

    @contextlib.contextmanager
    def pages(self):
        from playwright.sync_api import sync_playwright

        go_on, pasted = threading.Event(), threading.Event()

        def paste():
            with sync_playwright() as playwright:
                chromium = playwright.chromium.launch(
                    executable_path=browser.CHROMIUM, args=browser.FLAGS
                )
                context = chromium.new_context()
                context.set_default_timeout(300_000)
                page = context.new_page()
                page.goto(f"{self.at}/new")
                page.get_by_label("Token").fill(self.tokens["bob"])
                page.keyboard.press("Enter")
                opened = [page, *(context.new_page() for _ in range(PAGES - 1))]
                for one in opened:
                    one.goto(f"{self.at}/new")
                    one.locator(".cm-content").wait_for()
                for one in opened:
                    one.evaluate(PASTE, TEXT_BYTES // 7)
                pasted.set()
                go_on.wait()
                chromium.close()

        thread = threading.Thread(target=paste)
        thread.start()
        try:
            self.assertTrue(pasted.wait(300))
            yield
        finally:
            go_on.set()
            thread.join()

    @contextlib.contextmanager
    def watches(self):
        from mentor_client.v1 import experiment_service_pb2 as wire

        bob = self.clients["bob"]
        spec = bob.parse_spec(LARGE).spec
        for number in range(TASKS):
            spec.benchmark.task_set[0].task.add(parameters=[number / TASKS, 0.5])
        for number in range(STORED):
            bob.create(spec, id=f"large-{number}")
        streams = [
            bob._connection.stream("WatchExperiments", wire.WatchExperimentsRequest(), None)
            for _ in range(WATCHES)
        ]
        for stream in streams:
            next(iter(stream))  # It has begun; then nobody reads.
        yield
        for stream in streams:
            stream.close()

    @contextlib.contextmanager
    def bundles(self):
        from mentor_client import MentorError

        names = [self.push("bob", f"copies-{number}", 2 * COPIES) for number in range(3)]

        def validate(name):
            with contextlib.suppress(MentorError), self.connect(token=self.tokens["bob"]) as bob:
                while not self.ends:
                    bob.validate(SPEC % name)

        self.ends = False
        threads = [threading.Thread(target=validate, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        yield
        self.ends = True
        for thread in threads:
            thread.join()

    def resident(self):
        """Memory of the meta-learner, in MB."""
        text = pathlib.Path(f"/proc/{self.service.child.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1000

    def measure(self, case, seconds):
        """Returns three worst rounds, and the memory of the meta-learner with each."""
        found = [(self.worst(seconds / 2), self.resident())]
        with getattr(self, case)():
            found.append((self.worst(seconds), self.resident()))
        found.append((self.worst(seconds / 2), self.resident()))
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    browser.BrowserTest.CLIENT = browser.require()
    print("| the other user has | when | sign in | list | check | meta-learner |")
    print("|---|---|---|---|---|---|")
    for case in arguments.cases or CASES:
        with Callers.alone() as trial:
            for when, (worst, memory) in zip(
                ("before", "beside", "after"), trial.measure(case, arguments.seconds)
            ):
                spans = " | ".join(f"{span:.2f} s" for span in worst.values())
                print(f"| {CASES[case]} | {when} | {spans} | {memory:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
