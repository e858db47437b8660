#!/usr/bin/env python3
"""deploy/helm/mentor offline: it is what deploy/k8s/generate.py writes. With any switches, Helm's
own engine renders the objects that kustomize makes of the same components.

Usage: chart_test.py [-v] [TEST...]
Needs kubectl from 1.22 on and deploy/install.sh --manifests."""

import contextlib
import io
import sys
import unittest

try:
    import manifests
except unittest.SkipTest as reason:
    manifests = None
    skipped = str(reason)
else:
    sys.path.insert(0, str(manifests.ROOT / "deploy/k8s"))
    import generate
    import helm
    import yaml

    try:
        import helm_python
    except ImportError:
        helm_python = None

# One of each, and components that go together.
CHOICES = (
    (),
    *((name,) for name in ("ha", "objects", "gpu", "gpu-meta-learner", "hpa", "keda")),
    *((name,) for name in ("prometheus-operator", "mtls")),
    ("gpu", "gpu-meta-learner", "hpa", "prometheus-operator"),
    ("ha", "objects", "gpu", "gpu-meta-learner", "keda", "prometheus-operator", "mtls"),
)


def setUpModule():
    if manifests is None:
        raise unittest.SkipTest(skipped)
    manifests.need_kubectl()


def engine():
    if helm_python is None:
        raise unittest.SkipTest("helm_python is not installed: deploy/install.sh --manifests")
    return helm_python


def rendered(values, namespace="mentor"):
    with engine().Chart.load(str(helm.CHART)) as chart:
        files = chart.render(values, name="mentor", namespace=namespace)
    items = [
        item
        for name, text in files.items()
        if not name.endswith("NOTES.txt")
        for item in yaml.safe_load_all(text)
        if item
    ]
    return {manifests.who(item): item for item in items}


def switches(components):
    return {helm.COMPONENTS[name]: {"enabled": True} for name in components}


class ChartTest(unittest.TestCase):
    def test_written_files_are_up_to_date(self):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            stale = generate.main(["--check"])
        self.assertEqual((stale, out.getvalue()), (0, ""))

    def test_rules_are_those_of_prometheus(self):
        """The groups of the PrometheusRule are those of rules.yml and alerts.yml."""
        groups = yaml.safe_load(generate.RULES.read_text())["spec"]["groups"]
        want = []
        for name in ("rules.yml", "alerts.yml"):
            want += yaml.safe_load((generate.PROMETHEUS / name).read_text())["groups"]
        self.assertEqual(groups, want)
        self.assertGreater(sum(len(group["rules"]) for group in groups), 20)

    def test_chart_is_the_kustomization(self):
        for components in CHOICES:
            with self.subTest(components=components):
                self.assertEqual(rendered(switches(components)), helm.objects(*components))

    def test_all_components_together(self):
        """All components, also those that no overlay has: against schemas and policy."""
        items = [item for item in yaml.safe_load_all(helm.render(*CHOICES[-1])) if item]
        for release in manifests.RELEASES:
            self.assertEqual(manifests.schema_errors(items, release), [])
        self.assertEqual(manifests.policy_errors(items), [])
        used = set(CHOICES[-1]) | {"hpa"}
        self.assertEqual(used, {path.name for path in (generate.HERE / "components").iterdir()})

    def test_lint(self):
        report = engine().lint(str(helm.CHART))
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
        items = rendered(values, "other")
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
            with self.subTest(values=values), self.assertRaises(engine().HelmError) as caught:
                rendered(values)
            self.assertIn(word, str(caught.exception))


if __name__ == "__main__":
    unittest.main()
