"""Views of mentor-web that are not about a list of experiments: fleet, catalogue, life."""

import os
import re
import signal
import subprocess

import browser

from harness import SMOKE, SPECS

# Two lifetimes on Hopper, taught by attention over their steps: minutes become seconds.
SMALL = {
    "rule.outer_updates": 1,
    "rule.lifetimes_per_update": 2,
    "rule.shard_lifetimes": 2,
    "rule.k": 100,
    "rule.epochs": 1,
    "lifetime.iterations": 3,
    "lifetime.steps_per_iteration": 100,
    "agent.epochs": 2,
    "evaluation.lifetimes_per_goal": 1,
    "signal.name": "attention",
    "signal.density": "true",
}


def setUpModule():
    browser.BrowserTest.CLIENT = browser.require()


class WebViewsTest(browser.BrowserTest):
    def row(self, page, text):
        return page.locator("tbody tr", has_text=text)

    # Fleet.

    def test_fleet_says_what_waits_for_what(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        client = self.connect()
        for id in ("works", "stands"):
            client.create(SMOKE, id=id, overrides=["rule.outer_updates=100000"])
        client.pause("stands")
        with self.page() as page:
            page.goto(f"{address}/fleet")
            page.expect(page.get_by_text("Nothing is connected.")).to_be_visible()
            page.expect(self.row(page, "works")).to_contain_text("learners")
            page.expect(self.row(page, "stands")).to_contain_text("someone who resumes it")
            _, learner = self.start_learner(self.address)
            page.expect(self.row(page, "learners/")).to_contain_text("waits for actors")
            page.expect(self.row(page, "works")).to_contain_text("actors")
            self.start_actor(learner, 2)
            page.expect(self.row(page, "actors/")).to_contain_text("works")
            page.expect(self.row(page, "learners/")).to_contain_text("works")
            page.expect(page.get_by_text("1 learner, 1 actor, 2 threads")).to_be_visible()
            self.service.kill()
            page.expect(page.get_by_role("alert")).to_contain_text("looks again by itself")
            self.service, _ = self.start_meta_learner(self.folder / "state", self.address)
            page.expect(page.get_by_role("alert")).to_be_hidden()
            page.expect(self.row(page, "learners/")).to_contain_text("works")
            # By the keyboard alone.
            page.get_by_role("button", name="Drain learners/").press("Enter")
            page.get_by_role("button", name="Drain it").press("Enter")
            self.wait_until(
                lambda: not [peer for peer in client.peers() if not peer.draining],
                "a learner that drains, and an actor that has no other",
            )

    def test_fleet_of_a_viewer(self):  # Nightly
        token, own = self.token("viewer", "vera"), self.folder / "own"
        own.touch(0o600)
        own.write_text(self.token("learner", "one"))
        self.start_service("--tokens", self.folder / "tokens", threads=0)
        self.start_learner(self.address, 0, "--token_file", own)
        address = self.start_web()
        with self.page() as page:
            page.goto(f"{address}/fleet")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Drain learners/").click()
            page.get_by_role("button", name="Drain it").click()
            page.expect(page.get_by_text("viewer")).to_be_visible()
            peers = self.connect(token=token).peers()
            self.assertEqual([peer.draining for peer in peers], [False])

    # Catalogue.

    def test_catalogue(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        bundle = self.folder / "bundle"
        bundle.mkdir()
        (bundle / "task.txtpb").write_text("nothing")
        name = self.connect().push_bundle(bundle)
        with self.page(expected=["404"]) as page:
            page.goto(f"{address}/catalogue")
            page.expect(page.locator(".card", has_text=name)).to_be_visible()
            search = page.get_by_label("Search")
            search.fill("hop one leg")
            cards = page.locator(".card:visible")
            page.expect(cards).to_have_count(1)
            self.wait_until(
                lambda: cards.locator("img").evaluate("one => one.naturalWidth") == 320,
                "the picture of Hopper",
            )
            cards.press("Enter")
            page.expect(page.locator(".details .log")).to_contain_text("reward_forward")
            page.keyboard.press("Escape")
            page.expect(page.locator(".details")).to_be_hidden()
            search.fill("curricula adr")
            page.expect(cards).to_contain_text(["adr"])
            search.fill("point_reach goal")
            page.expect(cards).to_contain_text(["point_reach"])
            cards.click()
            page.expect(self.row(page, "rho")).to_contain_text("1e-06 to 10")
            page.expect(page.locator(".details img")).to_be_hidden()
            page.get_by_role("link", name="New experiment from point_reach", exact=True).click()
            page.expect(page.locator(".cm-content")).to_contain_text("point_reach")
            for unknown in ("nothing", "..%2f..%2fetc%2fpasswd", "--help"):
                answer = page.request.get(f"{address}/picture/{unknown}")
                self.assertEqual(answer.status, 404, unknown)

    def test_without_the_program(self):  # Nightly
        self.start_service()
        address = self.start_web(environment={"PATH": "/usr/bin:/bin"})
        self.connect().create(SMOKE, id="ended").wait()
        with self.page() as page:
            page.goto(f"{address}/catalogue")
            page.locator(".card").first.wait_for()
            page.expect(page.get_by_text("not on the PATH")).to_be_visible()
            self.assertEqual(page.locator(".card img").count(), 0)
            page.goto(f"{address}/experiments/ended/life")
            page.expect(page.locator(".chart canvas").first).to_be_visible()
            page.expect(page.get_by_text("not on the PATH")).to_be_visible()
            page.expect(page.get_by_role("button", name="Make the film")).to_be_hidden()

    # Life.

    def test_life(self):  # Nightly
        self.start_service()
        address = self.start_web()
        overrides = [f"{name}={value}" for name, value in SMALL.items()]
        self.connect().create(SPECS / "hopper.txtpb", id="hop", overrides=overrides).wait()
        with self.page() as page:
            page.goto(address)
            # Nothing succeeds on Hopper, so its return is shown.
            page.expect(page.locator("[row-id=hop] [col-id=curve]")).to_have_text(
                re.compile(r"^\s*\d+(\.\d+)?\s+▁$")
            )
            page.goto(f"{address}/experiments/hop")
            page.expect(page.get_by_text("Nothing has succeeded so far")).to_be_visible()
            chart = page.get_by_role("img", name="Shaped return of an episode")
            page.expect(chart).to_be_visible()
            page.get_by_role("button", name="Life").click()
            page.expect(page.get_by_text("Shaped return along its life")).to_be_visible()
            page.expect(page.locator(".chart canvas")).to_have_count(4)
            page.expect(page.get_by_text("show inner iterations")).to_be_visible()
            page.get_by_label("Taught by").click()
            page.get_by_role("option", name="ppo shaped").click()
            page.expect(page.get_by_text("No signal of this life was kept")).to_be_visible()
            page.get_by_role("button", name="Make the film").click()
            page.get_by_role("button", name="Draw the maps").click()
            page.expect(page.locator("figure")).to_have_count(3, timeout=300_000)
            film = page.locator("figure").first
            page.expect(film).to_contain_text("Hopper-v5, test goal 0")
            page.expect(film).to_contain_text("PPO shaped, episode 1 of")
            page.expect(page.locator("figure").last).to_contain_text("after 2 updates")
            sizes = page.locator("figure img").evaluate_all("all => all.map(a => a.naturalWidth)")
            self.assertEqual(sizes[0], 640)
            self.assertTrue(all(sizes), sizes)

    def test_life_of_what_is_not_there(self):  # Nightly
        self.start_service(threads=0)
        address = self.start_web()
        self.connect().create(SMOKE, id="young")
        with self.page() as page:
            page.goto(f"{address}/experiments/young/life")
            page.expect(page.get_by_text("There is no evaluation to show")).to_be_visible()
            page.goto(f"{address}/experiments/nobody/life")
            page.expect(page.get_by_role("alert")).to_contain_text("nobody")

    def test_work_ends_with_its_page(self):  # Nightly
        self.start_service()
        folder, programs = self.folder / "temporary", self.folder / "bin"
        folder.mkdir()
        programs.mkdir()
        (programs / "mentor").write_text("#!/bin/sh\nsleep 600\ntrue\n")
        (programs / "mentor").chmod(0o755)
        own = {"PATH": f"{programs}:/usr/bin:/bin", "TMPDIR": str(folder)}
        address = self.start_web(environment=own)
        self.connect().create(SMOKE, id="ended").wait()

        def processes(*which):
            return subprocess.run(["pgrep", *which], capture_output=True, text=True).stdout.split()

        low = min(19, os.nice(0) + 10)
        with self.page(expected=["ERR_", "WebSocket"]) as page:
            for end in (
                lambda: page.get_by_role("button", name="Stop").click(),
                lambda: page.goto("about:blank"),
                self.web.child.kill,  # The child of the program and the folder stay then.
            ):
                page.goto(f"{address}/experiments/ended/life")
                page.get_by_role("button", name="Make the film").click()
                self.wait_until(
                    lambda: processes("--parent", str(self.web.child.pid)), "a program at work"
                )
                (program,) = processes("--parent", str(self.web.child.pid))
                self.wait_until(lambda: len(processes("--session", program)) == 2, "its child")
                self.assertEqual(os.getpriority(os.PRIO_PROCESS, int(program)), low)
                self.assertTrue(list(folder.glob("mentor-web-*")))
                end()
                if end == self.web.child.kill:
                    killed = ("--session", program, "--full", "/mentor")
                    self.wait_until(lambda: not processes(*killed), "its end")
                    os.killpg(int(program), signal.SIGKILL)
                    break
                self.wait_until(lambda: not processes("--session", program), "their end")
                self.wait_until(lambda: not list(folder.glob("mentor-web-*")), "no folder")


if __name__ == "__main__":
    import unittest

    unittest.main()
