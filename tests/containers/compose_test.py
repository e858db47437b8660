#!/usr/bin/env python3
"""deploy/compose/compose.yaml on a real Docker daemon. An experiment runs to its end while every
role is killed once, and has the hash of a single process. All targets are scraped, and the stop is
clean.

Usage: compose_test.py [-v] [TEST...]
Environment: MENTOR_BUILD, a build folder (default: build); MENTOR_DOCKER_DIR, where the daemon
keeps its data (default: build/docker); MENTOR_COMPOSE, the command (default: docker-compose). Needs
root and the packages of deploy/requirements/apt-containers.txt."""

import os
import shlex
import time
import unittest

from containers import ROOT, VERSION, ContainerTest, run, wait_until

SPEC = ROOT / "experiments/smoke.txtpb"
UPDATES = 800  # Long enough that kills meet an unfinished run.
OVERRIDES = ("--set", f"rule.outer_updates={UPDATES}")
ACTORS = 2
KILLED_AT = {"actor": 50, "learner": 150, "meta-learner": 300}  # Outer updates.
PORT = "50152"
SERVER = f"localhost:{PORT}"
PROMETHEUS_PORT = "50190"
WEB_PORT = "50180"


class ComposeTest(ContainerTest):
    @classmethod
    def compose(cls, *arguments, deadline_s=120, code=0):
        command = shlex.split(os.environ.get("MENTOR_COMPOSE", "docker-compose"))
        return run(
            *command,
            "-p",
            "mentor-test",
            "-f",
            ROOT / "deploy/compose/compose.yaml",
            *arguments,
            deadline_s=deadline_s,
            code=code,
            env={
                **cls.environment(),
                "MENTOR_VERSION": VERSION,
                "MENTOR_SECRETS": str(cls.secrets),
                "MENTOR_PORT": PORT,
                "MENTOR_ACTOR_THREADS": "1",
                "PROMETHEUS_PORT": PROMETHEUS_PORT,
                "WEB_PORT": WEB_PORT,
                "PROMETHEUS_IMAGE": "mentor-prometheus:12",
            },
        )

    def containers(self, service):
        return self.compose("ps", "-q", service).split()

    def container(self, service):
        return self.containers(service)[0]

    def running(self, service):
        return [self.inspect(name)["State"]["Running"] for name in self.containers(service)]

    def healthy(self, service, count):
        states = [
            self.inspect(name)["State"]["Health"]["Status"] for name in self.containers(service)
        ]
        return states == ["healthy"] * count

    def query(self, expression):
        """Returns the value of an instant query; None without a series."""
        out = self.docker(
            "exec",
            self.container("prometheus"),
            "/usr/bin/promtool",
            "query",
            "instant",
            "http://127.0.0.1:9090",
            expression,
            code=None,
        )
        lines = [line for line in out.splitlines() if "=>" in line]
        return float(lines[0].split("=>")[1].split()[0]) if lines else None

    def test_experiment_survives_kills(self):
        want = self.reference_hash(SPEC, *OVERRIDES)
        self.addCleanup(self.compose, "down", "--volumes", "--remove-orphans", "-t", "5")
        self.compose("config", "-q")
        start = time.monotonic()
        self.compose("up", "-d", "--scale", f"actor={ACTORS}", deadline_s=180)
        print(f"  up: {time.monotonic() - start:.1f} s", flush=True)
        for service, count in (("meta-learner", 1), ("learner", 1), ("actor", ACTORS), ("web", 1)):
            wait_until(lambda: self.healthy(service, count), f"{service} healthy", 60)

        # Before any experiment: Prometheus sees every process.
        wait_until(lambda: self.query("sum(up)") == 2 + ACTORS, "all targets up", 90)
        wait_until(lambda: self.query('sum(up{job="actor"})') == ACTORS, "all actors scraped", 30)
        wait_until(
            lambda: self.query('count(ALERTS{alertname="MentorWatchdog"})') == 1,
            "alerts are evaluated",
            60,
        )
        self.sign_in_to_the_pages()

        start = time.monotonic()
        self.compose(
            "run",
            "--rm",
            "ctl",
            "create",
            "-f",
            "/experiments/smoke.txtpb",
            "--id",
            "first",
            *OVERRIDES,
        )
        for service, update in KILLED_AT.items():
            wait_until(
                lambda: self.updates(SERVER, "first") >= update, f"outer update {update}", 120
            )
            victim = self.container(service)
            state = self.get(SERVER, "first")["state"]
            self.assertEqual(state, "STATE_RUNNING", "the run ended before all were killed")
            before = self.inspect(victim)["RestartCount"]
            self.kill(victim)
            wait_until(
                lambda: self.inspect(victim)["RestartCount"] > before
                and self.inspect(victim)["State"]["Running"],
                f"{service} killed and started again",
                30,
            )
            wait_until(lambda: self.is_reachable(SERVER), "the control API answers", 60)
        self.wait_for_state(SERVER, "first", "STATE_SUCCEEDED", deadline_s=600)
        print(f"  experiment: {time.monotonic() - start:.1f} s", flush=True)
        got = self.docker(
            "exec",
            self.container("meta-learner"),
            "/usr/local/bin/mentor",
            "hash",
            "/var/lib/mentor/state",
        ).strip()
        self.assertEqual(got, want)

        # SIGTERM is enough: every role ends by itself, with 0.
        names = {
            service: self.containers(service)
            for service in ("meta-learner", "learner", "actor", "web")
        }
        start = time.monotonic()
        self.compose("stop", deadline_s=120)
        print(f"  stop: {time.monotonic() - start:.1f} s", flush=True)
        for service, containers in names.items():
            for name in containers:
                self.assertEqual(self.inspect(name)["State"]["ExitCode"], 0, service)

    def sign_in_to_the_pages(self):
        """Without a token there is a form; with one, the list of experiments."""
        address = f"http://127.0.0.1:{WEB_PORT}"
        ask = ("curl", "--fail", "--silent", "--location", "--cookie-jar", self.folder / "cookies")
        self.assertIn("Sign in to Mentor", self.in_network(*ask, address))
        page = self.in_network(
            *(*ask, "--header", f"Origin: {address}", "--data-urlencode"),
            *(f"token@{self.secrets / 'operator/token'}", f"{address}/sign_in"),
        )
        self.assertIn("Experiments", page)


if __name__ == "__main__":
    unittest.main()
