#!/usr/bin/env python3
"""The chart deploy/helm/mentor on a Kubernetes of several nodes (nodes.py), one of which dies with
a meta-learner on it. With one meta-learner its pods move to the other node; with three another one
takes over. The experiment continues, and the hash is that of a single process.

Usage: nodes_test.py [-v] [TEST...]
Environment and needs: as kubernetes_test.py; a Docker daemon for each node and one for the control
plane, 2 GB of disk for each; for three meta-learners PostgreSQL."""

import os
import pathlib
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
import unittest

import nodes
from cluster_case import KUBE_DIR, SPEC, ClusterTest
from containers import (
    BUILD,
    DOCKER_DIR,
    ROLES,
    TOOLS,
    VERSION,
    missing_tools,
    run,
    wait_until,
)

UPDATES = 2500
OVERRIDES = ("--set", f"rule.outer_updates={UPDATES}")
SMALL = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}}


class NodesCase(ClusterTest):
    COUNT = 0

    @classmethod
    def make_cluster(cls):
        made = nodes.Nodes(DOCKER_DIR, KUBE_DIR, cls.folder / "nodes", cls.COUNT)
        cls.addClassCleanup(made.down)
        made.up([f"mentor-{role}:{VERSION}" for role in ROLES if role != "ctl"])
        return made

    def on(self, component):
        """Names of the nodes on which a role's pods are."""
        return [pod["spec"]["nodeName"] for pod in self.pods(component)]

    def actors_on_living_nodes(self, count):
        alive = {node.name for node in self.cluster.nodes if node.alive}
        ready = [pod for pod in self.pods("actor") if self.is_ready(pod)]
        return len(ready) == count and {pod["spec"]["nodeName"] for pod in ready} <= alive


class NetworkTest(unittest.TestCase):
    """The nodes themselves, without Kubernetes."""

    def setUp(self):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        missing = missing_tools({**TOOLS, "ip": "iproute2", "iptables": "iptables", "curl": "curl"})
        if missing:
            raise unittest.SkipTest(f"not installed: {' '.join(missing)}")
        run(nodes.HERE / "docker.sh", "up", DOCKER_DIR, deadline_s=300)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-nodes-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.nodes = nodes.Nodes(DOCKER_DIR, self.folder, self.folder / "nodes", 2)
        self.nodes.run_dir.mkdir()
        self.addCleanup(self.nodes.down)

    def answer(self, inside, address):
        """Returns the answer of Prometheus there; None if there is none within 3 s."""
        url = f"http://{address}:9090/-/ready"
        done = subprocess.run(
            [*inside, "curl", "--silent", "--max-time", "3", url],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    def test_pods_reach_each_other_until_a_node_dies(self):
        self.nodes.link_control()
        self.nodes.up_nodes(["mentor-prometheus:12"])
        flags = ("--config.file=/dev/null", "--storage.tsdb.path=/tmp/data")
        for node in self.nodes.nodes:
            node.docker("run", "--detach", "--name", "k8s_p", "mentor-prometheus:12", *flags)
        (first, first_pid), (second, second_pid) = (
            (f"{node.pods}.2", node.containers()[0][1]) for node in self.nodes.nodes
        )
        pods = [["nsenter", "--target", str(pid), "--net"] for pid in (first_pid, second_pid)]
        for inside, address in (
            (self.nodes.inside, first),
            (self.nodes.inside, second),
            (pods[0], second),
            (pods[1], first),
        ):
            wait_until(
                lambda inside=inside, address=address: self.answer(inside, address),
                f"{address} answers",
                30,
            )
        self.nodes.kill("node2")
        self.assertIsNone(self.answer(pods[1], first))
        self.assertIsNotNone(self.answer(self.nodes.inside, second))
        self.assertFalse(pathlib.Path(f"/proc/{first_pid}/exe").exists())


class NodesTest(NodesCase):
    COUNT = 2

    def test_a_node_dies(self):
        want = self.reference_hash(SPEC, *OVERRIDES)
        self.install("dev", {"meta-learner": 1, "learner": 1, "actor": 2})
        self.assertEqual(len(set(self.on("actor"))), 2, "actors are not spread over the nodes")
        stop_forward = self.forward()
        start = time.monotonic()
        self.mentorctl(self.server, "create", "-f", SPEC, "--id", "first", *OVERRIDES)
        wait_until(lambda: self.done() >= 20, "20 outer updates", 120)

        lost = self.on("meta-learner")[0]
        with_learner = self.on("learner")[0] == lost
        reached = self.done()
        stop_forward()
        self.cluster.kill(lost)
        wait_until(lambda: not self.cluster.node_ready(lost), "the dead node is not ready", 120)
        # Pods that may exist twice are created again without a request.
        wait_until(lambda: self.actors_on_living_nodes(2), "both actors on the other node", 180)
        # Pods of a StatefulSet are not, because the node may only be cut off; an operator who knows
        # that it is dead says so.
        self.assertEqual(self.on("meta-learner"), [lost])
        self.cluster.kubectl("delete", "node", lost)
        for component in ("meta-learner", "learner"):
            if component == "meta-learner" or with_learner:
                self.kubectl("delete", "pod", f"{component}-0", "--force", "--grace-period=0")
            wait_until(
                lambda component=component: self.ready(component, 1), f"{component} ready", 180
            )
            self.assertNotEqual(self.on(component), [lost])

        self.forward()
        self.assertGreaterEqual(self.done(), reached)
        self.wait_for_state(self.server, "first", "STATE_SUCCEEDED", deadline_s=900)
        print(f"  experiment: {time.monotonic() - start:.1f} s", flush=True)
        self.assertEqual(self.hash(), want)


class Postgres:
    """A server in the control plane's network, for pods of all nodes."""

    def __init__(self, inside):
        self.programs = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        self.user = pwd.getpwnam("postgres")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-postgres-"))
        shutil.chown(self.folder, "postgres", "postgres")
        self.password = secrets.token_hex(16)
        data = self.folder / "data"
        as_user = ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}"]
        as_user += ["--clear-groups"]
        run(*as_user, self.programs / "initdb", "-D", data, "-A", "trust", "--no-sync")
        with open(data / "pg_hba.conf", "a", encoding="utf-8") as access:
            access.write("host mentor mentor 10.78.0.0/16 scram-sha-256\n")
        command = [self.programs / "postgres", "-D", data, "-k", self.folder]
        command += ["-c", f"listen_addresses={nodes.CONTROL}"]
        with open(self.folder / "log", "w", encoding="utf-8") as log:
            self.child = subprocess.Popen([*inside, *as_user, *command], stdout=log, stderr=log)
        psql = [*as_user, self.programs / "psql", "-h", self.folder, "-d", "postgres", "-q", "-c"]
        wait_until(
            lambda: subprocess.run([*psql, "select 1"], capture_output=True, check=False).returncode
            == 0,
            "PostgreSQL answers",
            60,
        )
        run(*psql, f"create role mentor login password '{self.password}'")
        run(*psql, "create database mentor owner mentor")

    def stop(self):
        self.child.terminate()
        self.child.wait(60)
        shutil.rmtree(self.folder)


class StandbyTest(NodesCase):
    COUNT = 3

    @classmethod
    def setUpClass(cls):
        if not list(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")):
            raise unittest.SkipTest("not installed: postgresql")
        super().setUpClass()

    def leader(self, pods):
        """The pod that offers the service for learners."""
        probe = ("mentor-probe", "--address=127.0.0.1:8081", "--service=mentor.v1.ShardService")
        for pod in pods:
            try:
                self.kubectl("exec", pod, "--", *probe, deadline_s=20)
                return pod
            except (AssertionError, subprocess.TimeoutExpired):
                continue
        return None

    def node_of(self, name):
        return next(
            pod["spec"]["nodeName"]
            for pod in self.pods("meta-learner")
            if pod["metadata"]["name"] == name
        )

    def test_the_leaders_node_dies(self):
        want = self.reference_hash(SPEC, *OVERRIDES)
        postgres = Postgres(self.cluster.inside)
        self.addCleanup(postgres.stop)

        def smaller(items):
            for item in items:
                if item["kind"] in ("StatefulSet", "Deployment"):
                    item["spec"]["template"]["spec"]["containers"][0]["resources"] = SMALL
                if item["kind"] == "Deployment":
                    item["spec"]["replicas"] = 2
            self.kubectl(
                "create",
                "secret",
                "generic",
                "mentor-database",
                f"--from-literal=url=postgresql://mentor@{nodes.CONTROL}/mentor",
                f"--from-literal=password={postgres.password}",
            )

        counts = {"meta-learner": 3, "learner": 2, "actor": 2}
        state = self.install("ha", counts, change=smaller)
        self.assertEqual(len(set(self.on("meta-learner"))), 3, "not spread over the nodes")
        pods = [f"meta-learner-{number}" for number in range(3)]
        stop_forward = self.forward(pods)
        start = time.monotonic()
        self.mentorctl(self.server, "create", "-f", SPEC, "--id", "first", *OVERRIDES)
        wait_until(lambda: self.done() >= 20, "20 outer updates", 120)

        first = wait_until(lambda: self.leader(pods), "a leader", 30)
        stop_forward()
        reached = self.updates_of(state)
        self.cluster.kill(self.node_of(first))
        rest = [pod for pod in pods if pod != first]
        wait_until(lambda: self.leader(rest), "another one leads", 60)
        self.forward(rest)
        wait_until(lambda: self.done() > reached, "updates go on", 120)
        wait_until(lambda: self.actors_on_living_nodes(2), "both actors on living nodes", 180)
        self.wait_for_state(self.server, "first", "STATE_SUCCEEDED", deadline_s=900)
        print(f"  experiment: {time.monotonic() - start:.1f} s", flush=True)
        (folder,) = (state / "state/experiments").iterdir()
        self.assertEqual(run(BUILD / "bin/mentor", "hash", folder).strip(), want)

    @staticmethod
    def updates_of(state):
        """Updates of the last checkpoint in the shared folder."""
        return max(
            (int(path.stem) for path in state.glob("state/experiments/*/checkpoints/*.ckpt")),
            default=0,
        )


if __name__ == "__main__":
    unittest.main()
