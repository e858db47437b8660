"""What tests of mentor-web share: a service, the program, a real Chromium that says what went
wrong."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys
import unittest

import package

from harness import BIN, SLOWLY, SMOKE, ClusterTest, Process

WHEELS = package.ROOT / ".deps"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage"]
TALL = {"width": 1280, "height": 900}


def require():
    """For setUpModule: prepares the folder of the client."""
    for name, option in (("web/nicegui", "--web"), ("pages/playwright", "--pages")):
        if not (WHEELS / name).is_dir():
            raise unittest.SkipTest(f"deploy/install.sh {option} was not run")
    if not pathlib.Path(CHROMIUM).exists():
        raise unittest.SkipTest("Debian's chromium is not installed: deploy/install.sh --pages")
    sys.path.insert(0, str(WHEELS / "pages"))
    os.environ["MENTOR_EXPERIMENTS"] = str(package.ROOT / "experiments")
    return package.make_importable()


def chromiums():
    """The ids of this program's browsers and their processes."""
    parents, names = {}, {}
    for file in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = file.read_text().partition(" ")
            name, _, rest = rest.rpartition(") ")
            parents[int(pid)], names[int(pid)] = int(rest.split()[1]), name
    found = set()
    for pid, name in names.items():
        at = pid
        while at in parents and at != os.getpid():
            at = parents[at]
        if at == os.getpid() and "chrom" in name:
            found.add(pid)
    return found


class Program(Process):
    def resident(self):
        """Its memory, in bytes."""
        text = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) << 10


class BrowserTest(ClusterTest):
    CLIENT = None  # Folder of the client; set by the module.

    def start_service(self, *arguments, threads=2, env=None):
        self.service, self.address = super().start_service(*arguments, threads=threads, env=env)

    def start_web(self, *arguments, environment=None):
        """Returns the address of its pages."""
        folders = [str(self.CLIENT), str(WHEELS / "web")]
        process = Program(
            *(sys.executable, "-m", "mentor_client.web.main", "--server", self.address),
            *("--listen", "127.0.0.1:0", *arguments),
            env={
                "PYTHONPATH": ":".join(folders),
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "MENTOR_TOKEN": "the-token-of-the-program-itself",
                "TMPDIR": str(self.folder),
                **(environment or {}),
            },
        )
        self.addCleanup(process.close)
        self.web = process
        return process.wait_for(r"listening on (\S+)").group(1)

    def connect(self, **options):
        from mentor_client import Client

        client = Client(self.address, **options)
        self.addCleanup(client.close)
        return client

    def token(self, role, name):
        """A new token, known to a service with --tokens."""
        done = subprocess.run(
            [BIN / "mentorctl", "token", "new", role, name, "--append", self.folder / "tokens"],
            capture_output=True,
            text=True,
            check=True,
        )
        return re.search(r"^\S{20,}$", done.stdout, re.MULTILINE).group()

    @contextlib.contextmanager
    def page(self, viewport=None, scheme="light", expected=()):
        """A page of a new browser. At the end, nothing stands in its console but what is
        expected."""
        from playwright.sync_api import expect, sync_playwright

        # Reports are made at a low priority, beside other tests.
        expect.set_options(timeout=240_000)
        wrong = []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            context = browser.new_context(viewport=viewport or TALL, color_scheme=scheme)
            context.set_default_timeout(120_000)
            page = context.new_page()

            def say(text):
                if not any(re.search(one, text) for one in expected):
                    wrong.append(text)

            page.on(
                "console",
                lambda message: (
                    say(f"console: {message.text}") if message.type in ("error", "warning") else 0
                ),
            )
            page.on("pageerror", lambda error: say(f"script: {error}"))
            page.on("request", lambda request: self.look_at(request.url, say))
            page.on("dialog", lambda dialog: (say("a dialog"), dialog.dismiss()))
            page.expect = expect
            try:
                yield page
            except BaseException:
                if "MENTOR_SHOT" in os.environ:  # Where a picture of a failure is wanted.
                    page.screenshot(path=os.environ["MENTOR_SHOT"])
                raise
            finally:
                browser.close()
        self.assertEqual(wrong, [])
        self.assertNotIn("Traceback", self.web.output())

    def look_at(self, url, say):
        """Nothing is asked from another host."""
        if not re.match(r"(https?|wss?)://127\.0\.0\.1:|data:|blob:", url):
            say(f"asks for {url}")

    # What a page shows.

    def start_long(self):
        """A service, its page, and an experiment that goes on. Returns a client and the address."""
        self.start_service(env=SLOWLY)
        address = self.start_web()
        client = self.connect()
        client.create(SMOKE, id="long", overrides=["rule.outer_updates=100000"])
        return client, address

    def download(self, page, link):
        with page.expect_download() as waiting:
            link.click()
        return waiting.value

    def state(self, page, state):
        page.expect(page.locator(".bar .state")).to_have_text(state)

    def row(self, page, id):
        return page.locator(f".ag-center-cols-container [row-id='{id}']")

    def updates(self, page):
        """Outer updates of an experiment, as its page shows them; -1 while it does not."""
        facts = page.locator(".facts")
        found = re.search(r"Outer updates\n(\d+) of", facts.inner_text() if facts.count() else "")
        return int(found.group(1)) if found else -1

    def tick(self, page, *ids):
        for id in ids:
            page.locator(f".ag-pinned-left-cols-container [row-id='{id}'] input").check()
