"""Kubernetes manifests of the chart deploy/helm/mentor: rendered by Helm's own engine, and checked
against published schemas and our own policy. Also lowered to the API of Kubernetes 1.20, the newest
for which Debian 12 has the source of server and node."""

import functools
import json
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/mentor"
# The files of values beside the chart.
FLAVOURS = sorted(path.stem for path in CHART.parent.glob("*.yaml"))
# 1.27 is the oldest release where probes by gRPC are stable.
RELEASES = ("1.27.0", "1.31.0", "1.34.0", "1.37.0")
# Kinds of the Prometheus operator and KEDA, from their CustomResourceDefinitions (Apache-2.0). Only
# shapes are kept, without descriptions, defaults and rules in CEL. Unknown fields are refused.
FOREIGN = json.loads(pathlib.Path(__file__).with_name("foreign_schemas.json").read_text())
# Fields that Kubernetes 1.20 does not know.
LATER = {"minReadySeconds", "unhealthyPodEvictionPolicy"}
DRAIN_BUDGET_S = 40

sys.path.insert(0, str(ROOT / ".deps/containers"))
try:
    import helm_python
    import jsonschema
    import kubernetes_validate
    import yaml
except ImportError as error:
    raise unittest.SkipTest(
        f"{error.name} is not installed: deploy/install.sh --manifests"
    ) from None


@functools.cache
def chart():
    return helm_python.Chart.load(str(CHART))


def render(flavour):
    """The objects with a file of values."""
    return with_values(yaml.safe_load((CHART.parent / f"{flavour}.yaml").read_text()))


def with_values(values, namespace="mentor"):
    files = chart().render(values, name="mentor", namespace=namespace)
    return [
        item
        for name, text in files.items()
        if not name.endswith("NOTES.txt")
        for item in yaml.safe_load_all(text)
        if item
    ]


def namespace(name="mentor"):
    """As docs/kubernetes.md has it made, since no chart makes its own."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def who(item):
    return f'{item["kind"]}/{item["metadata"]["name"]}'


def pod(item):
    """Returns the pod's template; None for objects that make no pods."""
    return (
        item["spec"]["template"]
        if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job")
        else None
    )


def asked_port(probe, ports):
    """Returns the number of the port that a probe asks, by gRPC or HTTP; None if there is none."""
    port = probe.get("grpc", probe.get("httpGet", {})).get("port")
    return {one["name"]: one["containerPort"] for one in ports}.get(port, port)


def schema_errors(items, release):
    return [error for item in items for error in item_errors(json.dumps(item), release)]


@functools.cache
def item_errors(text, release):
    """Most objects are the same with all values."""
    item = json.loads(text)
    foreign = FOREIGN.get(f'{item["apiVersion"]}/{item["kind"]}')
    try:
        if foreign:
            found = list(jsonschema.Draft7Validator(foreign["schema"]).iter_errors(item))
        else:
            kubernetes_validate.validate(item, release, strict=True)
            found = []
    except kubernetes_validate.ValidationError as error:
        found = [error]
    except kubernetes_validate.SchemaNotFoundError:
        return [f'{who(item)}: there is no {item["apiVersion"]} {item["kind"]} in {release}']
    return [
        f"{who(item)}: {'.'.join(str(step) for step in error.path)}: {error.message}"
        for error in found
    ]


def policy_errors(items):
    """Checks what schemas cannot: references between objects, and our demands on every pod."""
    errors = []
    have = {(item["kind"], item["metadata"]["name"]) for item in items}
    labels = [pod(item)["metadata"]["labels"] for item in items if pod(item)]
    ports = {
        (item["metadata"]["labels"].get("app.kubernetes.io/component"), port["containerPort"])
        for item in items
        if pod(item)
        for container in pod(item)["spec"]["containers"]
        for port in container["ports"]
    }

    def need(item, good, what):
        if not good:
            errors.append(f"{who(item)}: {what}")

    def selects(item, selector):
        need(
            item,
            not selector or any(selector.items() <= label.items() for label in labels),
            f"selects no pod: {selector}",
        )

    def scales(item, target):
        name = f'{target["kind"]}/{target["name"]}'
        need(item, (target["kind"], target["name"]) in have, "scales nothing")
        need(
            item,
            all("replicas" not in other["spec"] for other in items if who(other) == name),
            "its target sets replicas, too",
        )

    place = items[0]["metadata"]["namespace"]
    budgets = {item["metadata"]["name"] for item in items if item["kind"] == "PodDisruptionBudget"}
    scalers = [
        item for item in items if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    ]
    for item in scalers[1:]:
        need(item, False, f"scales beside {who(scalers[0])}")
    for item in items:
        kind, spec = item["kind"], item.get("spec", {})
        need(
            item,
            item["metadata"].get("namespace") == place,
            "not in the namespace of the others",
        )
        if kind == "Secret":
            need(
                item, not item.get("data") and not item.get("stringData"), "a secret in a manifest"
            )
        elif kind in ("HorizontalPodAutoscaler", "ScaledObject"):
            scales(item, spec["scaleTargetRef"])
        elif kind == "Service":
            selects(item, spec["selector"])
        elif kind == "PodDisruptionBudget":
            selects(item, spec["selector"]["matchLabels"])
            # minAvailable of one blocks every drain where there is one replica.
            need(item, "maxUnavailable" in spec, "does not say maxUnavailable")
        elif kind == "PodMonitor":
            selects(item, spec["selector"]["matchLabels"])
        elif kind == "ServiceMonitor":
            for endpoint in spec["endpoints"]:
                need(
                    item,
                    any(
                        other["kind"] == "Service"
                        and spec["selector"]["matchLabels"].items()
                        <= other["metadata"]["labels"].items()
                        and endpoint["port"] in {port["name"] for port in other["spec"]["ports"]}
                        for other in items
                    ),
                    f'no Service with a port {endpoint["port"]}',
                )
        elif kind == "NetworkPolicy":
            selects(item, spec["podSelector"].get("matchLabels", {}))
            for rule in spec.get("egress", []):
                for peer in rule.get("to", []):
                    component = (
                        peer.get("podSelector", {})
                        .get("matchLabels", {})
                        .get("app.kubernetes.io/component")
                    )
                    if component and "namespaceSelector" not in peer:
                        need(
                            item,
                            all((component, port["port"]) in ports for port in rule["ports"]),
                            f"no such port at {component}",
                        )
        if kind == "StatefulSet":
            need(item, ("Service", spec["serviceName"]) in have, "its service is missing")
        if not pod(item):
            continue
        need(item, item["metadata"]["name"] in budgets, "no disruption budget")
        template = pod(item)["spec"]
        context = template.get("securityContext", {})
        need(
            item,
            context.get("runAsNonRoot") and context.get("runAsUser") == 10001,
            "may run as root",
        )
        need(
            item,
            context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "no seccomp profile",
        )
        need(
            item,
            template.get("automountServiceAccountToken") is False,
            "mounts a service account token",
        )
        need(
            item,
            template.get("terminationGracePeriodSeconds", 30) > DRAIN_BUDGET_S,
            "less grace than the drain budget",
        )
        volumes = {volume["name"]: volume for volume in template.get("volumes", [])}
        for volume in volumes.values():
            need(
                item,
                volume.get("secret", {"defaultMode": 0o440})["defaultMode"] == 0o440,
                "secrets not in mode 0440",
            )
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            need(
                item,
                not claim or ("PersistentVolumeClaim", claim) in have,
                f"no claim {claim}",
            )
        claims = {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
        for container in template["containers"]:
            name, own = container["name"], container.get("securityContext", {})
            need(
                item,
                own.get("readOnlyRootFilesystem")
                and own.get("allowPrivilegeEscalation") is False
                and own.get("capabilities", {}).get("drop") == ["ALL"],
                f"{name}: not locked down",
            )
            image = container.get("image", "")
            need(
                item,
                "@sha256:" in image or image.rpartition(":")[2] not in ("", "latest", image),
                f"{name}: image not pinned",
            )
            need(
                item,
                {"requests", "limits"} <= set(container.get("resources", {})),
                f"{name}: no requests and limits",
            )
            numbers = {port["containerPort"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                need(
                    item,
                    asked_port(container.get(probe, {}), container["ports"]) in numbers,
                    f"{name}: {probe} asks no port of it",
                )
            liveness = container.get("livenessProbe", {})
            need(
                item,
                liveness.get("grpc", {}).get("service") == "liveness"
                or liveness.get("httpGet", {}).get("path") == "/healthz",
                f"{name}: liveness asks for more",
            )
            known = {variable["name"] for variable in container.get("env", [])}
            for argument in container.get("args", []):
                for variable in re.findall(r"\$\((\w+)\)", argument):
                    need(item, variable in known, f"{name}: no variable {variable}")
            for mount in container.get("volumeMounts", []):
                need(
                    item,
                    mount["name"] in volumes or mount["name"] in claims,
                    f'{name}: mounts no volume {mount["name"]}',
                )
    return errors


def lower(items):
    """The same for Kubernetes 1.20. Probes by gRPC become mentor-probe, v1 policies and v2 scaling
    become their betas, and later fields are removed. Kinds of operators are left out."""
    older = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}
    lowered = []

    def walk(node):
        if isinstance(node, dict):
            probe = node.get("grpc")
            if isinstance(probe, dict) and "port" in probe:
                rest = {key: walk(value) for key, value in node.items() if key != "grpc"}
                return {
                    **rest,
                    "exec": {
                        "command": [
                            "/usr/local/bin/mentor-probe",
                            f'--address=127.0.0.1:{probe["port"]}',
                            f'--service={probe.get("service", "")}',
                        ]
                    },
                }
            return {key: walk(value) for key, value in node.items() if key not in LATER}
        return [walk(value) for value in node] if isinstance(node, list) else node

    for item in items:
        if f'{item["apiVersion"]}/{item["kind"]}' in FOREIGN:
            continue
        lowered.append(
            {**walk(item), "apiVersion": older.get(item["apiVersion"], item["apiVersion"])}
        )
    return lowered


def dump(items):
    return yaml.safe_dump_all(items, sort_keys=False)
