"""Kubernetes manifests of deploy/k8s/: rendered, checked against published schemas and against our
own policy, and lowered to the API of Kubernetes 1.20, the newest whose server and node Debian 12
has the source of."""

import pathlib
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "deploy/k8s/overlays"
# 1.27 is the oldest release where probes by gRPC are stable.
RELEASES = ("1.27.0", "1.31.0", "1.34.0", "1.37.0")
# Kinds of the Prometheus operator: no schema in Kubernetes itself.
FOREIGN = {"monitoring.coreos.com/v1/PodMonitor"}
DRAIN_BUDGET_S = 40

sys.path.insert(0, str(ROOT / ".deps/containers"))
try:
    import kubernetes_validate
    import yaml
except ImportError as error:
    raise unittest.SkipTest(
        f"{error.name} is not installed: deploy/install.sh --containers"
    ) from None


def render(overlay):
    """The objects of an overlay."""
    if shutil.which("kubectl") is None:
        raise unittest.SkipTest("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(OVERLAYS / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        if "unknown field" in done.stderr or "components" in done.stderr:
            raise unittest.SkipTest("kubectl is older than 1.22")
        raise AssertionError(done.stderr)
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def who(item):
    return f'{item["kind"]}/{item["metadata"]["name"]}'


def pod(item):
    """The pod's template; None for what makes no pods."""
    return (
        item["spec"]["template"]
        if item["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job")
        else None
    )


def schema_errors(items, release):
    errors = []
    for item in items:
        if f'{item["apiVersion"]}/{item["kind"]}' in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(item, release, strict=True)
        except kubernetes_validate.ValidationError as error:
            errors.append(
                f"{who(item)}: {'.'.join(str(step) for step in error.path)}: {error.message}"
            )
        except kubernetes_validate.SchemaNotFoundError:
            errors.append(
                f'{who(item)}: there is no {item["apiVersion"]} {item["kind"]} in {release}'
            )
    return errors


def policy_errors(items):
    """What schemas cannot know: references between objects, and what we demand of every pod."""
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

    for item in items:
        kind, spec = item["kind"], item.get("spec", {})
        if kind == "Secret":
            need(
                item, not item.get("data") and not item.get("stringData"), "a secret in a manifest"
            )
        elif kind == "HorizontalPodAutoscaler":
            target = spec["scaleTargetRef"]
            need(item, (target["kind"], target["name"]) in have, "scales nothing")
            scaled = [
                other for other in items if who(other) == f'{target["kind"]}/{target["name"]}'
            ]
            need(
                item,
                all("replicas" not in other["spec"] for other in scaled),
                "its target sets replicas, too",
            )
        elif kind == "Service":
            selects(item, spec["selector"])
        elif kind == "PodDisruptionBudget":
            selects(item, spec["selector"]["matchLabels"])
        elif kind == "PodMonitor":
            selects(item, spec["selector"]["matchLabels"])
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
                    container.get(probe, {}).get("grpc", {}).get("port") in numbers,
                    f"{name}: {probe} asks no port of it",
                )
            need(
                item,
                container.get("livenessProbe", {}).get("grpc", {}).get("service") == "liveness",
                f"{name}: liveness asks for more",
            )
            for mount in container.get("volumeMounts", []):
                need(
                    item,
                    mount["name"] in volumes or mount["name"] in claims,
                    f'{name}: mounts no volume {mount["name"]}',
                )
    return errors


def lower(items):
    """The same for Kubernetes 1.20: probes by gRPC become mentor-probe, v1 policies and v2 scaling
    their betas; what the Prometheus operator defines is left out."""
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
            return {key: walk(value) for key, value in node.items()}
        return [walk(value) for value in node] if isinstance(node, list) else node

    for item in items:
        if item["apiVersion"].startswith("monitoring."):
            continue
        lowered.append(
            {**walk(item), "apiVersion": older.get(item["apiVersion"], item["apiVersion"])}
        )
    return lowered


def dump(items):
    return yaml.safe_dump_all(items, sort_keys=False)
