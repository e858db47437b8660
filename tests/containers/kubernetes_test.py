#!/usr/bin/env python3
"""deploy/k8s/ on a real API server and a real node (cluster.py): every overlay accepted, then the
overlay dev runs an experiment to its end while its pods are deleted, evicted, killed and replaced;
the hash is that of a single process.

Usage: kubernetes_test.py [-v] [TEST...]
Environment: MENTOR_KUBE_DIR, where `cluster.py build` put Kubernetes (default: build/kubernetes);
MENTOR_BUILD and MENTOR_DOCKER_DIR as in compose_test.py. Needs root, deploy/install.sh --containers
and kubectl."""

import json
import os
import pathlib
import subprocess
import time
import unittest

from containers import BUILD, DOCKER_DIR, ROOT, VERSION, ContainerTest, missing_tools, wait_until

try:
    import manifests
except unittest.SkipTest as reason:
    manifests = None
    skipped = str(reason)
import cluster

KUBE_DIR = pathlib.Path(os.environ.get("MENTOR_KUBE_DIR", ROOT / "build/kubernetes"))
SPEC = ROOT / "deploy/experiments/smoke.txtpb"
UPDATES = 2500
OVERRIDES = ("--set", f"rule.outer_updates={UPDATES}")
PORT = 50252
SECRETS = {
    "meta-learner": "mentor-meta-learner",
    "learner": "mentor-learner",
    "actor": "mentor-actor",
}


def setUpModule():
    if manifests is None:
        raise unittest.SkipTest(skipped)


class KubernetesTest(ContainerTest):
    @classmethod
    def setUpClass(cls):
        missing = missing_tools(
            {
                "etcd": "etcd-server",
                "kubectl": "kubectl",
                "gcc": "build-essential",
                "socat": "socat",
            }
        )
        if missing:
            raise unittest.SkipTest(f"not installed: {' '.join(missing)}")
        if not (KUBE_DIR / "kubelet").exists():
            raise unittest.SkipTest(
                f"no Kubernetes in {KUBE_DIR}: tests/containers/cluster.py build {KUBE_DIR}"
            )
        super().setUpClass()
        cls.cluster = cluster.Cluster(DOCKER_DIR, KUBE_DIR)
        cls.addClassCleanup(cls.cluster.down)
        start = time.monotonic()
        cls.cluster.up()
        print(f"  node ready: {time.monotonic() - start:.1f} s", flush=True)

    def kubectl(self, *arguments, **options):
        return self.cluster.kubectl("--namespace", "mentor", *arguments, **options)

    def apply(self, items, *arguments):
        return self.cluster.kubectl("apply", "-f", "-", *arguments, stdin=manifests.dump(items))

    def pods(self, component=None):
        selector = ["-l", f"app.kubernetes.io/component={component}"] if component else []
        return self.cluster.get("pods", "-n", "mentor", *selector)["items"]

    def ready(self, component, count):
        """So many pods, all ready, none on its way out."""
        pods = self.pods(component)
        return len(pods) == count and all(
            "deletionTimestamp" not in pod["metadata"]
            and any(
                state["type"] == "Ready" and state["status"] == "True"
                for state in pod["status"].get("conditions", [])
            )
            for pod in pods
        )

    def uid(self, component):
        return self.pods(component)[0]["metadata"]["uid"]

    def replaced(self, component, uid):
        return self.ready(component, 1) and self.uid(component) != uid

    def ctl(self, *arguments, code=0):
        return self.in_network(
            BUILD / "bin/mentorctl",
            "--server",
            f"localhost:{PORT}",
            *self.operator_flags(),
            *arguments,
            code=code,
        )

    def forward(self):
        """As an operator reaches the control API; ends with the pod, so each start of the pod needs
        a new one."""
        log = open(self.folder / "port-forward.log", "w+", encoding="utf-8")
        self.addCleanup(log.close)
        child = subprocess.Popen(
            [
                *self.cluster.inside,
                "kubectl",
                "--kubeconfig",
                str(self.cluster.run_dir / "kubeconfig"),
                "-n",
                "mentor",
                "port-forward",
                "pod/meta-learner-0",
                f"{PORT}:50052",
            ],
            stdout=log,
            stderr=log,
        )

        def stop():
            child.terminate()
            child.wait(20)

        self.addCleanup(stop)
        try:
            wait_until(self.answers, "the control API answers", 60)
        except AssertionError as error:
            log.seek(0)
            raise AssertionError(f"{error}\n{self.last_error}\n{log.read()[-300:]}") from None
        return stop

    def answers(self):
        try:
            self.ctl("list")
            return True
        except AssertionError as error:
            self.last_error = error
            return False

    def experiment(self):
        return json.loads(self.ctl("get", "first", "--output", "json"))

    def updates(self):
        experiment = self.experiment()
        self.assertEqual(
            experiment["state"], "STATE_RUNNING", "the run ended before its pods were disturbed"
        )
        return int(experiment.get("progress", {}).get("outerUpdates", 0))

    def succeeded(self):
        state = self.experiment()["state"]
        self.assertNotIn(state, {"STATE_FAILED", "STATE_CANCELLED"}, self.ctl("get", "first"))
        return state == "STATE_SUCCEEDED"

    def test_overlays_are_accepted(self):
        """By admission, and a second time without a change."""
        for overlay in sorted(path.name for path in manifests.OVERLAYS.iterdir()):
            with self.subTest(overlay=overlay):
                items = manifests.lower(manifests.render(overlay))
                for item in items:  # A namespace of its own for each; nothing may run.
                    item["metadata"][
                        "namespace" if item["kind"] != "Namespace" else "name"
                    ] = f"try-{overlay}"
                    if item["kind"] in ("StatefulSet", "Deployment"):
                        item["spec"]["replicas"] = 0
                    if item["kind"] == "HorizontalPodAutoscaler":
                        item["spec"]["scaleTargetRef"]["name"] = "none"

                def generations():
                    objects = self.cluster.get(
                        "deploy,sts,pdb,hpa,netpol,svc", "-n", f"try-{overlay}"
                    )["items"]
                    return {
                        manifests.who(item): item["metadata"].get("generation") for item in objects
                    }

                self.apply(items)
                first = generations()
                self.apply(items)
                self.assertEqual(generations(), first)
                self.assertEqual(
                    len(first), len([item for item in items if item["kind"] != "Namespace"])
                )
                self.cluster.kubectl("delete", "namespace", f"try-{overlay}", "--timeout=60s")

    def test_experiment_survives_operations(self):
        want = self.reference_hash(SPEC, *OVERRIDES)
        state = self.folder / "volume"
        state.mkdir(mode=0o700)
        os.chown(state, 10001, 10001)  # A volume of this kind takes no fsGroup.
        items = manifests.lower(manifests.render("dev"))
        for item in items:
            if manifests.pod(item):
                container = manifests.pod(item)["spec"]["containers"][0]
                container["image"] = container["image"].rpartition(":")[0] + f":{VERSION}"
        self.apply([item for item in items if item["kind"] == "Namespace"])
        self.addCleanup(
            self.cluster.kubectl,
            "delete",
            "namespace",
            "mentor",
            "--timeout=90s",
            "--ignore-not-found",
        )
        for role, name in SECRETS.items():
            self.kubectl("create", "secret", "generic", name, f"--from-file={self.secrets / role}")
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": "state"},
            "spec": {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": str(state)},
            },
        }
        self.addCleanup(
            self.cluster.kubectl, "delete", "pv", "state", "--ignore-not-found", "--wait=false"
        )
        start = time.monotonic()
        self.apply([volume, *items])
        for component, count in (("meta-learner", 1), ("learner", 1), ("actor", 2)):
            wait_until(lambda: self.ready(component, count), f"{component} ready", 120)
        print(f"  all ready after {time.monotonic() - start:.1f} s", flush=True)

        stop_forward = self.forward()
        start = time.monotonic()
        self.ctl("create", "-f", SPEC, "--id", "first", *OVERRIDES)
        wait_until(lambda: self.updates() >= 20, "20 outer updates", 120)
        self.assertTrue(
            list(state.glob("state/experiments/*/checkpoints/*.ckpt")),
            "the state is not on the volume",
        )

        # A crash of an actor: the kubelet starts it again.
        victim = self.docker("ps", "--quiet", "--filter", "name=k8s_actor_").split()[0]
        self.kill(victim)
        wait_until(
            lambda: sum(
                pod["status"]["containerStatuses"][0]["restartCount"] for pod in self.pods("actor")
            )
            == 1
            and self.ready("actor", 2),
            "actor killed and started again",
            60,
        )

        # Its node is drained: the learner is evicted, which its budget allows, and starts again.
        before = self.uid("learner")
        self.assertGreater(self.updates(), 0)
        self.cluster.kubectl(
            "create",
            "--raw",
            "/api/v1/namespaces/mentor/pods/learner-0/eviction",
            "-f",
            "-",
            stdin=json.dumps(
                {
                    "apiVersion": "policy/v1beta1",
                    "kind": "Eviction",
                    "metadata": {"name": "learner-0", "namespace": "mentor"},
                }
            ),
        )
        wait_until(lambda: self.replaced("learner", before), "learner evicted and replaced", 120)

        # The meta-learner's pod is deleted; its successor has the volume.
        before = self.uid("meta-learner")
        reached = self.updates()
        stop_forward()
        self.kubectl("delete", "pod", "meta-learner-0", "--wait=false")
        wait_until(
            lambda: self.replaced("meta-learner", before), "meta-learner deleted and replaced", 120
        )
        self.forward()
        self.assertGreaterEqual(self.updates(), reached)

        # New actors, one after the other.
        self.kubectl("set", "env", "deployment/actor", "ROLLED=1")
        start_roll = time.monotonic()
        self.kubectl("rollout", "status", "deployment/actor", "--timeout=180s", deadline_s=200)
        print(f"  actors rolled: {time.monotonic() - start_roll:.1f} s", flush=True)
        self.assertGreater(self.updates(), reached)

        wait_until(self.succeeded, "SUCCEEDED", 900)
        print(f"  experiment: {time.monotonic() - start:.1f} s", flush=True)
        got = self.docker(
            "exec",
            self.docker("ps", "--quiet", "--filter", "name=k8s_meta-learner_").strip(),
            "/usr/local/bin/mentor",
            "hash",
            "/var/lib/mentor/state",
        ).strip()
        self.assertEqual(got, want)
        start = time.monotonic()
        self.cluster.kubectl("delete", "namespace", "mentor", "--timeout=90s")
        print(f"  namespace deleted: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main()
