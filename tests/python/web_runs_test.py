"""Run folders in a browser, with real programs: `mentor run --web` and `mentor web`. And mentor-web
beside its own certificate, as containers have it."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import browser

from harness import BIN, ROOT, SLOWLY, sets

MANY = 4000  # Outer updates: a run that is at work for as long as a test looks.
CHANGES = ("Pause", "Resume", "Cancel", "Clone", "New")


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


def contents(folder):
    """Name, mode, time and bytes of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.stat()
        found[path] = (about.st_mode, about.st_mtime_ns, path.is_file() and path.read_bytes())
    return found


def children(pid):
    """The ids of a process's children."""
    return [
        int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


class WebRunsTest(browser.BrowserTest):
    def setUp(self):
        super().setUp()
        program = self.folder / "bin/mentor-web"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport sys\n\nfrom mentor_client.web.main import main\n\n"
            "sys.exit(main())\n"
        )
        program.chmod(0o755)
        (self.folder / "tmp").mkdir()
        self.environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.CLIENT}:{browser.WHEELS / 'web'}",
            "TMPDIR": str(self.folder / "tmp"),
            # Credentials of another service, which must not get in the way.
            "MENTOR_TLS_CA": "/nowhere",
            "MENTOR_TOKEN": "that-of-another-service",
        }

    def mentor(self, *arguments):
        self.web = self.start("mentor", *arguments, env={**self.environment, **SLOWLY})
        return self.web

    def gone(self, pids):
        self.wait_until(
            lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids),
            f"{pids} have ended",
            30,
        )

    def expect_no_changes(self, page):
        for name in CHANGES:
            page.expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)

    def test_run_is_shown_until_it_ends(self):
        out = self.folder / "runs/a"
        many = sets(f"rule.outer_updates={MANY}")
        run = self.mentor("run", "smoke", "--out", out, "--no_report", "--web", *many)
        address = run.wait_for(r"^page: (\S+), until the run ends").group(1)
        self.assertRegex(address, r"^http://127\.0\.0\.1:\d+$")
        pids = children(run.child.pid)
        self.assertEqual(len(pids), 1)
        with self.page() as page:
            page.goto(address)
            page.expect(page.get_by_text("1 experiment, 1 running")).to_be_visible()
            self.expect_no_changes(page)
            page.goto(f"{address}/experiments/run")
            page.expect(page.locator(".bar .state")).to_have_text("Running")
            made = page.locator(".facts .value", has_text=f"of {MANY}").first
            before = int(made.inner_text().split()[0])
            page.expect(made).not_to_have_text(f"{before} of {MANY}")  # Live.
            page.expect(page.locator(".chart canvas").first).to_be_visible()
            self.expect_no_changes(page)
            page.get_by_role("tab", name="Shards").click()
            page.expect(page.locator(".q-table")).to_contain_text("running")
        run.signal(signal.SIGINT)
        self.assertEqual(run.wait(), 130)
        self.gone(pids)
        self.assertIn(f"mentor web {out}", run.output())
        made = re.search(r"^Hash +(\S+) \(after outer update (\d+)\)", run.output(), re.MULTILINE)
        self.assertLess(int(made[2]), MANY)
        plain = self.folder / "plain"
        self.assertEqual(self.run_hash(plain, *sets(f"rule.outer_updates={made[2]}")), made[1])

    def test_killed_run_leaves_no_page(self):
        run = self.mentor(
            "run", "smoke", "--out", self.folder / "a", "--web", *sets(f"rule.outer_updates={MANY}")
        )
        run.wait_for(r"^page: ")
        pids = children(run.child.pid)
        self.assertEqual(len(pids), 1)
        run.kill()
        self.gone(pids)

    def test_control_api_of_a_run_only_reads(self):
        run = self.mentor(
            "run", "smoke", "--out", self.folder / "a", "--web", *sets(f"rule.outer_updates={MANY}")
        )
        run.wait_for(r"^page: ")
        self.address = self.server_of(run)
        with self.assertRaisesRegex(Exception, "only shows the run: Ctrl-C in its terminal"):
            self.connect().pause("run")
        # Learners find no way in.
        learner, _ = self.start_learner(self.address)
        learner.wait_for("and not a mentor-meta-learner")
        self.assertEqual(self.connect().get("run").state, "RUNNING")

    def server_of(self, program):
        """The control API that its page asks."""
        command = pathlib.Path(f"/proc/{children(program.child.pid)[0]}/cmdline").read_text()
        return re.search(r"--server=([^\0]+)", command)[1]

    def test_folders_are_shown_and_stay_as_they_are(self):  # Nightly
        runs = self.folder / "runs"
        for name, seed in (("a", 1), ("B_2", 2)):
            self.run_spec(runs / name, *sets(f"seed={seed}"))
        (runs / "no run").mkdir()
        stopped = self.start_run(runs / "stopped", *sets(f"rule.outer_updates={MANY}"))
        self.wait_for_checkpoints(runs / "stopped", 3)
        stopped.signal(signal.SIGINT)
        self.assertEqual(stopped.wait(), 130)
        before = contents(runs)

        web = self.mentor("web", runs)
        address = web.wait_for(r"^3 experiments on (\S+), until Ctrl-C").group(1)
        pids = children(web.child.pid)
        self.address = self.server_of(web)
        client = self.connect()
        states = {one.id: one.state for one in client.list()}
        self.assertEqual(states, {"a": "SUCCEEDED", "b-2": "SUCCEEDED", "stopped": "PAUSED"})
        for change in (client.resume, client.cancel, client.delete, client.clone):
            with self.assertRaisesRegex(Exception, "'mentor web' only shows run folders"):
                change("stopped")
        with self.page() as page:
            page.goto(address)
            page.expect(page.get_by_text("3 experiments, 0 running")).to_be_visible()
            self.expect_no_changes(page)
            page.goto(f"{address}/experiments/b-2")
            page.expect(page.locator(".bar .state")).to_have_text("Succeeded")
            page.get_by_role("tab", name="Files").click()
            spec = self.download(page, page.get_by_role("link", name="spec.txtpb"))
            got = pathlib.Path(spec.path()).read_text(encoding="utf-8")
            self.assertIn("seed: 2", got)
            page.goto(f"{address}/compare?names=a,b-2")
            page.get_by_role("button", name="Compute").click()
            page.expect(page.locator("iframe")).to_be_visible(timeout=120_000)
        self.assertEqual(contents(runs), before)

        # A run goes on beside the page, and is followed.
        again = self.start_run(runs / "stopped", *sets(f"rule.outer_updates={MANY}"), env=SLOWLY)
        self.wait_until(lambda: client.get("stopped").state == "RUNNING", "it runs")
        updates = client.get("stopped").progress.outer_updates
        self.wait_until(
            lambda: client.get("stopped").progress.outer_updates > updates, "it makes progress"
        )
        again.signal(signal.SIGINT)
        self.assertEqual(again.wait(), 130)
        self.wait_until(lambda: client.get("stopped").state == "PAUSED", "it rests")

        web.signal(signal.SIGINT)
        self.assertEqual(web.wait(), 0)
        self.gone(pids)
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])

    def test_what_cannot_be_shown_is_said(self):
        def refused(*arguments, environment=None):
            env = {**self.environment, **(environment or {})}
            return self.run_to_end("mentor", *arguments, code=2, env=env)

        self.assertIn(
            "does not exist: expected the folder", refused("web", self.folder / "nowhere")
        )
        self.assertIn("is not a run", refused("web", self.folder))
        out = self.folder / "out"
        for words in (("run", "smoke", "--out", out, "--web"), ("web", self.folder)):
            said = refused(*words, environment={"PATH": "/usr/bin:/bin"})
            self.assertIn("pip install 'mentor_client[web]'", said)
        said = refused("run", "smoke", "--out", out, "--web=0.0.0.0:8080")
        self.assertIn("--web: 0.0.0.0:8080 is beyond this machine", said)
        self.assertIn("--listen: address 'x'", refused("web", self.folder, "--listen", "x"))
        self.assertFalse(out.exists())

    def test_signs_in_beside_its_certificate(self):  # Nightly
        """The certificate opens the connection; who comes is said by the user's token."""
        secrets = self.folder / "secrets"
        subprocess.run(
            [ROOT / "deploy/secrets.sh", secrets],
            env={**os.environ, "MENTORCTL": str(BIN / "mentorctl")},
            check=True,
            capture_output=True,
        )
        own = secrets / "meta-learner"
        self.start_service(
            *("--tls_cert", own / "tls.crt", "--tls_key", own / "tls.key"),
            *("--tls_ca", own / "ca.crt", "--tokens", own / "tokens"),
            threads=0,
        )
        mine = secrets / "web"
        address = self.start_web(
            environment={
                "MENTOR_TLS_CA": str(mine / "ca.crt"),
                "MENTOR_TLS_CERT": str(mine / "tls.crt"),
                "MENTOR_TLS_KEY": str(mine / "tls.key"),
            }
        )
        with self.page() as page:
            page.goto(address)
            page.get_by_label("Token").fill((secrets / "viewer/token").read_text().strip())
            page.get_by_role("button", name="Sign in").click()
            page.expect(page.get_by_text("0 experiments, 0 running")).to_be_visible()
            self.assertEqual(page.request.get(f"{address}/healthz").text(), "ok")


if __name__ == "__main__":
    import unittest

    unittest.main()
