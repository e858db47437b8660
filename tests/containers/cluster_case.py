"""Shared by the tests on a real Kubernetes: questions to the cluster and to the service in it.
"""

import os
import pathlib
import subprocess
import time
import unittest

import cluster
from containers import DOCKER_DIR, ROOT, VERSION, ContainerTest, missing_tools, wait_until

try:
    import manifests
except unittest.SkipTest as reason:
    manifests = None
    skipped = str(reason)

KUBE_DIR = pathlib.Path(os.environ.get("MENTOR_KUBE_DIR", ROOT / "build/kubernetes"))
SPEC = ROOT / "experiments/smoke.txtpb"
PORT = 50252
SECRETS = {
    "meta-learner": "mentor-meta-learner",
    "learner": "mentor-learner",
    "actor": "mentor-actor",
    "web": "mentor-web",
}


class ClusterTest(ContainerTest):
    # Another test makes its own.
    @classmethod
    def make_cluster(cls):
        made = cluster.Cluster(DOCKER_DIR, KUBE_DIR)
        cls.addClassCleanup(made.down)
        made.up()
        return made

    @classmethod
    def setUpClass(cls):
        if manifests is None:
            raise unittest.SkipTest(skipped)
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
        start = time.monotonic()
        cls.cluster = cls.make_cluster()
        print(f"  nodes ready: {time.monotonic() - start:.1f} s", flush=True)

    def kubectl(self, *arguments, **options):
        return self.cluster.kubectl("--namespace", "mentor", *arguments, **options)

    def apply(self, items, *arguments):
        return self.cluster.kubectl("apply", "-f", "-", *arguments, stdin=manifests.dump(items))

    def pods(self, component=None):
        selector = ["-l", f"app.kubernetes.io/component={component}"] if component else []
        return self.cluster.get("pods", "-n", "mentor", *selector)["items"]

    @staticmethod
    def is_ready(pod):
        """True if the pod is ready and not terminating."""
        return "deletionTimestamp" not in pod["metadata"] and any(
            state["type"] == "Ready" and state["status"] == "True"
            for state in pod["status"].get("conditions", [])
        )

    def ready(self, component, count):
        """True if there are exactly `count` pods, all ready."""
        pods = self.pods(component)
        return len(pods) == count and all(self.is_ready(pod) for pod in pods)

    def uid(self, component):
        return self.pods(component)[0]["metadata"]["uid"]

    def replaced(self, component, uid):
        return self.ready(component, 1) and self.uid(component) != uid

    def forward(self, pods=("meta-learner-0",)):
        """Forwards a port, as an operator reaches the control API. It ends with the pod, so each
        start of the pod needs a new one. Returns the function that stops it."""
        self.server = ",".join(f"localhost:{PORT + number}" for number in range(len(pods)))
        stops = [self.forward_one(pod, PORT + number) for number, pod in enumerate(pods)]
        wait_until(lambda: self.is_reachable(self.server), "the control API answers", 60)
        return lambda: [stop() for stop in stops]

    def forward_one(self, pod, port):
        log = open(self.folder / f"port-forward-{port}.log", "w", encoding="utf-8")
        self.addCleanup(log.close)
        child = subprocess.Popen(
            [*self.cluster.command, "-n", "mentor", "port-forward", f"pod/{pod}", f"{port}:50052"],
            stdout=log,
            stderr=log,
        )

        def stop():
            child.terminate()
            child.wait(20)

        self.addCleanup(stop)
        return stop

    def done(self):
        """Returns the outer updates of the experiment, which must be running."""
        experiment = self.get(self.server, "first")
        self.assertEqual(
            experiment["state"], "STATE_RUNNING", "the run ended before its pods were disturbed"
        )
        return int(experiment.get("progress", {}).get("outerUpdates", 0))

    def install(self, flavour, counts, change=lambda items: None):
        """Applies a flavour with the images of this build and waits for it; returns the folder of
        its volume."""
        state = self.folder / f"volume-{flavour}"
        state.mkdir(mode=0o700)
        os.chown(state, 10001, 10001)  # A volume of this kind ignores fsGroup.
        items = manifests.lower(manifests.render(flavour))
        for item in items:
            if manifests.pod(item):
                container = manifests.pod(item)["spec"]["containers"][0]
                container["image"] = container["image"].rpartition(":")[0] + f":{VERSION}"
        self.apply([manifests.namespace()])
        self.addCleanup(
            self.cluster.kubectl,
            "delete",
            "namespace",
            "mentor",
            "--timeout=90s",
            "--ignore-not-found",
        )
        change(items)
        for role, name in SECRETS.items():
            self.kubectl("create", "secret", "generic", name, f"--from-file={self.secrets / role}")
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"state-{flavour}"},
            "spec": {
                "capacity": {"storage": "20Gi"},
                "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "hostPath": {"path": str(state)},
            },
        }
        self.addCleanup(
            self.cluster.kubectl,
            "delete",
            "pv",
            f"state-{flavour}",
            "--ignore-not-found",
            "--wait=false",
        )
        start = time.monotonic()
        self.apply([volume, *items])
        for component, count in counts.items():
            wait_until(lambda: self.ready(component, count), f"{component} ready", 120)
        print(f"  all ready after {time.monotonic() - start:.1f} s", flush=True)
        return state

    def hash(self):
        """Returns the hash of the state on the volume."""
        return self.kubectl(
            "exec", "meta-learner-0", "--", "mentor", "hash", "/var/lib/mentor/state"
        ).strip()
