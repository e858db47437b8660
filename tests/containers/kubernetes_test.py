#!/usr/bin/env python3
"""The chart deploy/helm/mentor on a real API server and a real node (cluster.py). It is accepted
with every file of values. Then dev runs an experiment to its end while its pods are deleted,
evicted, killed and replaced. The hash is that of a single process.

Usage: kubernetes_test.py [-v] [TEST...]
Environment: MENTOR_KUBE_DIR, where `cluster.py build` put Kubernetes (default: build/kubernetes);
MENTOR_BUILD and MENTOR_DOCKER_DIR as in compose_test.py. Needs root, deploy/install.sh --containers
and kubectl."""

import json
import time
import unittest

from cluster_case import SPEC, ClusterTest, manifests
from containers import wait_until

UPDATES = 2500
OVERRIDES = ("--set", f"rule.outer_updates={UPDATES}")


class KubernetesTest(ClusterTest):
    def test_flavours_are_accepted(self):
        """Admission accepts them, and a second time without a change."""
        for flavour in manifests.FLAVOURS:
            with self.subTest(flavour=flavour):
                place = f"try-{flavour}"  # Each has its own namespace; nothing may run.
                items = manifests.lower(manifests.render(flavour))
                for item in items:
                    item["metadata"]["namespace"] = place
                    if item["kind"] in ("StatefulSet", "Deployment"):
                        item["spec"]["replicas"] = 0
                    if item["kind"] == "HorizontalPodAutoscaler":
                        item["spec"]["scaleTargetRef"]["name"] = "none"

                def generations():
                    objects = self.cluster.get("deploy,sts,pdb,hpa,netpol,svc,pvc", "-n", place)[
                        "items"
                    ]
                    return {
                        manifests.who(item): item["metadata"].get("generation") for item in objects
                    }

                self.apply([manifests.namespace(place), *items])
                first = generations()
                self.apply(items)
                self.assertEqual(generations(), first)
                self.assertEqual(len(first), len(items))
                self.cluster.kubectl("delete", "namespace", place, "--timeout=60s")

    def test_experiment_survives_operations(self):
        want = self.reference_hash(SPEC, *OVERRIDES)
        state = self.install("dev", {"meta-learner": 1, "learner": 1, "actor": 2})

        stop_forward = self.forward()
        start = time.monotonic()
        self.mentorctl(self.server, "create", "-f", SPEC, "--id", "first", *OVERRIDES)
        wait_until(lambda: self.done() >= 20, "20 outer updates", 120)
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

        # The learner's node is drained: its budget allows the eviction, and the learner starts
        # again.
        before = self.uid("learner")
        self.assertGreater(self.done(), 0)
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
        reached = self.done()
        stop_forward()
        self.kubectl("delete", "pod", "meta-learner-0", "--wait=false")
        wait_until(
            lambda: self.replaced("meta-learner", before), "meta-learner deleted and replaced", 120
        )
        self.forward()
        self.assertGreaterEqual(self.done(), reached)

        # New actors, one after the other.
        self.kubectl("set", "env", "deployment/actor", "ROLLED=1")
        start_roll = time.monotonic()
        self.kubectl("rollout", "status", "deployment/actor", "--timeout=180s", deadline_s=200)
        print(f"  actors rolled: {time.monotonic() - start_roll:.1f} s", flush=True)
        self.assertGreater(self.done(), reached)

        self.wait_for_state(self.server, "first", "STATE_SUCCEEDED", deadline_s=900)
        print(f"  experiment: {time.monotonic() - start:.1f} s", flush=True)
        self.assertEqual(self.hash(), want)
        start = time.monotonic()
        self.cluster.kubectl("delete", "namespace", "mentor", "--timeout=90s")
        print(f"  namespace deleted: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    unittest.main()
