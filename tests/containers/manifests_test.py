#!/usr/bin/env python3
"""The chart deploy/helm/mentor offline: with every file of values, against the schemas of several
Kubernetes releases and our policy. The checks themselves are tried on planted mistakes.

Usage: manifests_test.py [-v] [TEST...]
Needs deploy/install.sh --manifests."""

import copy
import unittest

try:
    import manifests
except unittest.SkipTest as reason:
    manifests = None
    skipped = str(reason)


def setUpModule():
    if manifests is None:
        raise unittest.SkipTest(skipped)


def get(items, name):
    return next(item for item in items if manifests.who(item) == name)


class ManifestsTest(unittest.TestCase):
    def test_flavours(self):
        self.assertEqual(manifests.FLAVOURS, ["cpu", "dev", "gpu", "ha", "secure"])
        for flavour in manifests.FLAVOURS:
            items = manifests.render(flavour)
            for release in manifests.RELEASES:
                with self.subTest(flavour=flavour, release=release):
                    self.assertEqual(manifests.schema_errors(items, release), [])
            with self.subTest(flavour=flavour):
                self.assertEqual(manifests.policy_errors(items), [])

    def test_what_flavours_change(self):
        def container(flavour, role):
            return get(manifests.render(flavour), f"StatefulSet/{role}")["spec"]["template"][
                "spec"
            ]["containers"][0]

        def flags(flavour, name):
            return get(manifests.render(flavour), name)["spec"]["template"]["spec"]["containers"][
                0
            ]["args"]

        for role in ("learner", "meta-learner"):
            there, elsewhere = (container(flavour, role) for flavour in ("gpu", "cpu"))
            self.assertEqual(there["image"], elsewhere["image"])
            self.assertEqual(there["resources"]["limits"]["nvidia.com/gpu"], "1")
            self.assertIn("--device=cuda", there["args"])
            self.assertNotIn("--device=cuda", elsewhere["args"])
        self.assertIn(
            "--tls_ca=/run/secrets/mentor/ca.crt", flags("secure", "StatefulSet/meta-learner")
        )
        self.assertNotIn(
            "--tls_ca=/run/secrets/mentor/ca.crt", flags("cpu", "StatefulSet/meta-learner")
        )
        self.assertNotIn("--no_client_certificates", flags("secure", "StatefulSet/learner"))
        self.assertIn("--no_client_certificates", flags("cpu", "StatefulSet/learner"))
        self.assertNotIn(
            "HorizontalPodAutoscaler", {item["kind"] for item in manifests.render("dev")}
        )

    def test_three_meta_learners(self):
        """With ha, the learners' list names every replica as it advertises itself and as its
        certificate says."""
        items = manifests.render("ha")
        stateful = get(items, "StatefulSet/meta-learner")["spec"]
        self.assertEqual(stateful["replicas"], 3)
        self.assertEqual(stateful["podManagementPolicy"], "Parallel")
        self.assertNotIn("volumeClaimTemplates", stateful)
        container = stateful["template"]["spec"]["containers"][0]
        self.assertEqual(container["readinessProbe"]["grpc"]["service"], "available")
        args = container["args"]
        self.assertIn("--standby", args)
        self.assertIn("--database=$(MENTOR_DATABASE)", args)
        advertised = next(arg for arg in args if arg.startswith("--advertise="))
        names = [
            advertised.removeprefix("--advertise=").replace("$(MENTOR_POD)", f"meta-learner-{n}")
            for n in range(stateful["replicas"])
        ]
        self.assertTrue(all(".mentor.svc:" in name for name in names), names)
        learner = get(items, "StatefulSet/learner")["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("--meta_learner=" + ",".join(names), learner["args"])
        web = get(items, "Deployment/web")["spec"]["template"]["spec"]["containers"][0]
        self.assertIn("--server=" + ",".join(names), web["args"])
        service = get(items, "Service/meta-learner")["spec"]
        self.assertEqual(service["clusterIP"], "None")
        self.assertTrue(service["publishNotReadyAddresses"])
        claim = get(items, "PersistentVolumeClaim/meta-learner-shared")["spec"]
        self.assertEqual(claim["accessModes"], ["ReadWriteMany"])
        kinds = {item["kind"] for item in items}
        self.assertIn("ScaledObject", kinds)
        self.assertNotIn("HorizontalPodAutoscaler", kinds)

    def test_metrics_exist(self):
        """The actors scale on a metric that learners have."""
        known = (manifests.ROOT / "tests/data/metrics.txt").read_text()
        metric = get(manifests.render("cpu"), "HorizontalPodAutoscaler/actor")["spec"]["metrics"][
            0
        ]["external"]["metric"]["name"]
        query = get(manifests.render("ha"), "ScaledObject/actor")["spec"]["triggers"][0][
            "metadata"
        ]["query"]
        self.assertRegex(known, rf"(?m)\b{metric}\b")
        self.assertEqual(query, f'sum({metric}{{namespace="mentor"}})')

    def test_mistakes_are_found(self):
        """Each entry: a change to the objects of cpu and ha, and a word of the complaint."""

        def container(items, name="Deployment/actor"):
            return get(items, name)["spec"]["template"]["spec"]["containers"][0]

        mistakes = [
            (lambda items: get(items, "Deployment/actor").update(kind="Deploymnet"), "there is no"),
            (lambda items: container(items).update(imagePullPolicie="Always"), "imagePullPolicie"),
            (lambda items: container(items).pop("image"), "not pinned"),
            (lambda items: container(items).update(image="mentor-actor"), "not pinned"),
            (
                lambda items: container(items)["securityContext"].pop("readOnlyRootFilesystem"),
                "locked down",
            ),
            (
                lambda items: container(items)["readinessProbe"]["grpc"].update(port=8082),
                "asks no port",
            ),
            (
                lambda items: container(items)["volumeMounts"][0].update(name="secret"),
                "mounts no volume",
            ),
            (
                lambda items: container(items, "Deployment/web")["readinessProbe"][
                    "httpGet"
                ].update(port="https"),
                "asks no port",
            ),
            (
                lambda items: container(items, "Deployment/web")["livenessProbe"]["httpGet"].update(
                    path="/"
                ),
                "asks for more",
            ),
            (lambda items: container(items).pop("resources"), "no requests"),
            (lambda items: get(items, "Deployment/actor")["spec"].update(replicas=2), "replicas"),
            (
                lambda items: get(items, "Deployment/actor")["spec"]["template"]["spec"].pop(
                    "securityContext"
                ),
                "root",
            ),
            (
                lambda items: get(items, "Deployment/actor")["spec"]["template"]["spec"].update(
                    terminationGracePeriodSeconds=30
                ),
                "grace",
            ),
            (
                lambda items: get(items, "HorizontalPodAutoscaler/actor")["spec"][
                    "scaleTargetRef"
                ].update(name="actors"),
                "scales nothing",
            ),
            (
                lambda items: get(items, "Service/learner")["spec"]["selector"].update(x="y"),
                "selects no pod",
            ),
            (
                lambda items: get(items, "StatefulSet/learner")["spec"].update(
                    serviceName="learners"
                ),
                "service is missing",
            ),
            (
                lambda items: get(items, "NetworkPolicy/actor")["spec"]["egress"][0]["ports"][
                    0
                ].update(port=50053),
                "no such port",
            ),
            (
                lambda items: items.append(
                    {
                        "apiVersion": "v1",
                        "kind": "Secret",
                        "metadata": {"name": "x"},
                        "data": {"a": "YQ=="},
                    }
                ),
                "secret",
            ),
        ]
        in_ha = [
            (
                lambda items: get(items, "ScaledObject/actor")["spec"].update(maxReplicas=9),
                "maxReplicas",
            ),
            (
                lambda items: get(items, "ScaledObject/actor")["metadata"].pop("namespace"),
                "namespace of the others",
            ),
            (
                lambda items: items.append(
                    get(manifests.render("cpu"), "HorizontalPodAutoscaler/actor")
                ),
                "scales beside",
            ),
            (
                lambda items: get(items, "ServiceMonitor/learner")["spec"]["endpoints"][0].update(
                    port="admin"
                ),
                "no Service with a port",
            ),
            (
                lambda items: get(items, "PrometheusRule/mentor")["spec"]["groups"][0].pop("name"),
                "name",
            ),
            (
                lambda items: items.remove(get(items, "PersistentVolumeClaim/meta-learner-shared")),
                "no claim",
            ),
            (
                lambda items: items.remove(get(items, "PodDisruptionBudget/meta-learner")),
                "no disruption budget",
            ),
            (
                lambda items: container(items, "StatefulSet/meta-learner")["env"].pop(1),
                "no variable",
            ),
        ]
        self.find(manifests.render("cpu"), mistakes)
        self.find(manifests.render("ha"), in_ha)

    def find(self, whole, mistakes):
        for change, word in mistakes:
            with self.subTest(word):
                items = copy.deepcopy(whole)
                change(items)
                # A schema may refuse before our own rules can read the object.
                errors = manifests.schema_errors(
                    items, manifests.RELEASES[0]
                ) or manifests.policy_errors(items)
                self.assertTrue(any(word in error for error in errors), errors)

    def test_lowered(self):
        items = manifests.lower(manifests.render("cpu"))
        kinds = {item["kind"]: item["apiVersion"] for item in items}
        self.assertEqual(kinds["PodDisruptionBudget"], "policy/v1beta1")
        self.assertEqual(kinds["HorizontalPodAutoscaler"], "autoscaling/v2beta2")
        self.assertNotIn("PodMonitor", kinds)
        text = manifests.dump(items)
        self.assertNotIn("grpc: {", text)
        self.assertIn("--service=readiness", text)
        self.assertNotIn("minReadySeconds", manifests.dump(manifests.lower(manifests.render("ha"))))


if __name__ == "__main__":
    unittest.main()
