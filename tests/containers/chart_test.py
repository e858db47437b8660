#!/usr/bin/env python3
"""The switches and values of the chart deploy/helm/mentor, offline.

Usage: chart_test.py [-v] [TEST...]
Needs deploy/install.sh --manifests."""

import unittest

try:
    import manifests
except unittest.SkipTest as reason:
    manifests = None
    skipped = str(reason)

# Together all switches but hpa, which excludes keda.
SWITCHES = "ha objects gpu gpuMetaLearner keda prometheusOperator mtls".split()


def setUpModule():
    if manifests is None:
        raise unittest.SkipTest(skipped)


def named(items):
    return {manifests.who(item): item for item in items}


class ChartTest(unittest.TestCase):
    def test_rules_are_those_of_prometheus(self):
        """The groups of the PrometheusRule are those of rules.yml and alerts.yml."""
        items = named(manifests.with_values({"prometheusOperator": {"enabled": True}}))
        groups = items["PrometheusRule/mentor"]["spec"]["groups"]
        want = []
        for name in ("rules.yml", "alerts.yml"):
            text = (manifests.ROOT / "deploy/prometheus" / name).read_text()
            want += manifests.yaml.safe_load(text)["groups"]
        self.assertEqual(groups, want)
        self.assertGreater(sum(len(group["rules"]) for group in groups), 20)

    def test_switches(self):
        """Each alone and all together, against schemas and policy."""
        values = manifests.yaml.safe_load((manifests.CHART / "values.yaml").read_text())
        known = {name for name, value in values.items() if "enabled" in (value or ())}
        self.assertEqual({*SWITCHES, "hpa"}, known)
        for names in (SWITCHES, *([name] for name in sorted(known))):
            with self.subTest(names=names):
                items = manifests.with_values({name: {"enabled": True} for name in names})
                self.assertNotEqual(items, manifests.with_values({}))
                for release in manifests.RELEASES:
                    self.assertEqual(manifests.schema_errors(items, release), [])
                self.assertEqual(manifests.policy_errors(items), [])

    def test_lint(self):
        report = manifests.helm_python.lint(str(manifests.CHART))
        self.assertEqual(report["errors"], [])
        bad = [message for message in report["messages"] if message["severity"] > 1]
        self.assertEqual(bad, [])

    def test_values(self):
        """Each value arrives, in a namespace of another name."""
        values = {
            "ha": {"enabled": True},
            "keda": {"enabled": True, "serverAddress": "http://prometheus.example.org"},
            "secrets": {"actor": "own", "database": "postgres"},
            "imagePullPolicy": "Always",
            "imagePullSecrets": [{"name": "registry"}],
            "metaLearner": {"storage": {"size": "1Ti", "className": "nfs"}},
            "learner": {"replicas": 5, "nodeSelector": {"x86": "avx512"}},
            "actor": {
                "image": "registry.example.org/mentor-actor@sha256:1",
                "maxReplicas": 7,
                "resources": {"limits": {"cpu": "3"}},
                "extraArgs": ["--unit_threads=3"],
            },
            "web": {"replicas": 0, "extraArgs": ["--origin=https://mentor.example.org"]},
        }
        items = named(manifests.with_values(values, "other"))
        actor = items["Deployment/actor"]["spec"]["template"]["spec"]
        container = actor["containers"][0]
        self.assertEqual(container["image"], values["actor"]["image"])
        self.assertEqual(container["imagePullPolicy"], "Always")
        self.assertEqual(container["args"][-1], "--unit_threads=3")
        self.assertEqual(container["resources"]["limits"], {"cpu": "3", "memory": "1Gi"})
        self.assertEqual(actor["imagePullSecrets"], [{"name": "registry"}])
        self.assertEqual(actor["volumes"][0]["secret"]["secretName"], "own")
        web = items["Deployment/web"]["spec"]
        self.assertEqual(web["replicas"], 0)
        args = web["template"]["spec"]["containers"][0]["args"]
        self.assertEqual(args[-1], values["web"]["extraArgs"][0])
        learner = items["StatefulSet/learner"]["spec"]
        self.assertEqual(learner["replicas"], 5)
        self.assertEqual(learner["template"]["spec"]["nodeSelector"]["x86"], "avx512")
        self.assertIn("kubernetes.io/arch", learner["template"]["spec"]["nodeSelector"])
        meta = items["StatefulSet/meta-learner"]["spec"]["template"]["spec"]
        self.assertIn('"name": "postgres"', str(meta).replace("'", '"'))
        self.assertNotIn("mentor-database", str(meta))
        claim = items["PersistentVolumeClaim/meta-learner-shared"]["spec"]
        self.assertEqual(claim["storageClassName"], "nfs")
        self.assertEqual(claim["resources"]["requests"]["storage"], "1Ti")
        scaler = items["ScaledObject/actor"]["spec"]
        self.assertEqual(scaler["maxReplicaCount"], 7)
        trigger = scaler["triggers"][0]["metadata"]
        self.assertEqual(trigger["serverAddress"], "http://prometheus.example.org")
        self.assertIn('namespace="other"', trigger["query"])

    def test_mistakes_are_refused(self):
        for values, word in (
            ({"actor": {"replica": 3}}, "replica"),
            ({"learner": {"replicas": "two"}}, "replicas"),
            ({"hpa": {"enabled": True}, "keda": {"enabled": True}}, "both scale"),
        ):
            with self.subTest(values=values), self.assertRaises(
                manifests.helm_python.HelmError
            ) as caught:
                manifests.with_values(values)
            self.assertIn(word, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
