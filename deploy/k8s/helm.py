"""The Helm chart deploy/helm/mentor, made from the kustomize base: each component becomes a switch
in values.yaml. generate.py writes it.

The base is rendered alone and with each component. Where the results differ, the template has an
`if`. What an installation chooses (VALUES) becomes a value with the base's text as default."""

import difflib
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHART = ROOT / "deploy/helm/mentor"
sys.path.insert(0, str(ROOT / ".deps/containers"))
import yaml  # noqa: E402

from generate import escape  # noqa: E402

# The components in the order in which an overlay names them, and the value that switches each on.
COMPONENTS = {
    "ha": "ha",
    "objects": "objects",
    "gpu": "gpu",
    "gpu-meta-learner": "gpuMetaLearner",
    "hpa": "hpa",
    "keda": "keda",
    "prometheus-operator": "prometheusOperator",
    "mtls": "mtls",
}
ROLES = {"meta-learner": "metaLearner", "learner": "learner", "actor": "actor", "web": "web"}
# The secrets of components, and the variables that come from them.
SECRETS = {
    "database": ("MENTOR_DATABASE", "PGPASSWORD"),
    "objects": ("MENTOR_OBJECTS", "AWS_ENDPOINT_URL", "AWS_REGION"),
}
HEAD = "# Written by deploy/k8s/generate.py from deploy/k8s: change that.\n"
SWITCHES = """\
# Switches: the components of deploy/k8s/components.
ha: {enabled: false}                    # three meta-learners; needs PostgreSQL and ReadWriteMany
objects: {enabled: false}               # copies of checkpoints in a bucket by the S3 API
gpu: {enabled: false}                   # the learner on one NVIDIA GPU
gpuMetaLearner: {enabled: false}        # the meta-learner's outer updates on one
hpa: {enabled: false}                   # actors by an adapter's external metric; this or keda
keda:                                   # actors by KEDA
  enabled: false
  serverAddress: %(keda.serverAddress)s
prometheusOperator: {enabled: false}    # ServiceMonitors, PodMonitor, PrometheusRule
mtls: {enabled: false}                  # servers ask clients for certificates

# Secrets that exist already: deploy/secrets.sh makes the contents of the first four.
secrets:
  metaLearner: %(secrets.metaLearner)s
  learner: %(secrets.learner)s
  actor: %(secrets.actor)s
  web: %(secrets.web)s
  database: %(secrets.database)s           # keys url, password; ca.crt
  objects: %(secrets.objects)s             # keys url, credentials, ca.crt; endpoint, region

imagePullPolicy: ""
imagePullSecrets: []
"""
ROLE = """
%(key)s:
%(more)s  resources:
    requests: {cpu: %(cpu)s, memory: %(memory)s}
    limits: {cpu: %(cpu)s, memory: %(memory)s}
  nodeSelector: {}                      # besides the architecture
  extraArgs: []
"""
NOTES = """\
Mentor runs in the namespace {{ .Release.Namespace }}. Users reach it by

  kubectl -n {{ .Release.Namespace }} port-forward statefulset/meta-learner 50052
  kubectl -n {{ .Release.Namespace }} port-forward service/web 8080       # http://127.0.0.1:8080

Pods wait for their Secrets: deploy/secrets.sh in the sources makes them, docs/kubernetes.md says
how.
"""


@functools.cache
def render(*components):
    """Renders the base with these components, as text."""
    with tempfile.TemporaryDirectory() as folder:
        real = os.path.realpath(folder)
        text = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [os.path.relpath(HERE / "base", real)],
            "components": [
                os.path.relpath(HERE / "components" / name, real) for name in components
            ],
        }
        (pathlib.Path(folder) / "kustomization.yaml").write_text(json.dumps(text), encoding="utf-8")
        done = subprocess.run(
            ["kubectl", "kustomize", real], stdout=subprocess.PIPE, text=True, check=True
        )
    return done.stdout


def objects(*components):
    """The objects by kind and name. Helm makes and names the namespace."""
    found = {}
    for item in yaml.safe_load_all(render(*components)):
        item["metadata"].pop("namespace", None)
        if item["kind"] != "Namespace":
            found[f'{item["kind"]}/{item["metadata"]["name"]}'] = item
    return found


def identity(item):
    """Returns what identifies an item of a list in two renderings."""
    if isinstance(item, dict):
        item = item.get("name") or item.get("metadata", {}).get("name") or item
    return item if isinstance(item, str) else json.dumps(item, sort_keys=True)


def values_of(who):
    """Returns path in an object -> value."""
    kind, name = who.split("/")
    found = {}
    if name in ROLES and kind in ("StatefulSet", "Deployment"):
        role, pod = ROLES[name], "spec.template.spec"
        box = f"{pod}.containers.{name}"
        found[f"{box}.image"] = f"{role}.image"
        for bound in ("requests", "limits"):
            for what in ("cpu", "memory"):
                path = f"resources.{bound}.{what}"
                found[f"{box}.{path}"] = f"{role}.{path}"
        found[f"{pod}.volumes.secrets.secret.secretName"] = f"secrets.{role}"
        for secret, variables in SECRETS.items():
            found[f"{pod}.volumes.{secret}.secret.secretName"] = f"secrets.{secret}"
            for variable in variables:
                found[f"{box}.env.{variable}.valueFrom.secretKeyRef.name"] = f"secrets.{secret}"
        if name != "meta-learner":
            found["spec.replicas"] = f"{role}.replicas"
    size = "metaLearner.storage.size"
    found["spec.volumeClaimTemplates.state.spec.resources.requests.storage"] = size
    if kind == "PersistentVolumeClaim":
        found["spec.resources.requests.storage"] = size
    for path in ("spec.minReplicas", "spec.minReplicaCount"):
        found[path] = "actor.minReplicas"
    for path in ("spec.maxReplicas", "spec.maxReplicaCount"):
        found[path] = "actor.maxReplicas"
    found["spec.triggers.0.metadata.serverAddress"] = "keda.serverAddress"
    return found


def extras(who):
    """Returns path of a mapping or list -> lines to add to its end."""
    kind, name = who.split("/")
    found = {}
    storage = [
        "{{- with .Values.metaLearner.storage.className }}",
        "storageClassName: {{ . | quote }}",
        "{{- end }}",
    ]
    if kind == "PersistentVolumeClaim":
        found["spec"] = storage
    if kind in ("StatefulSet", "Deployment"):
        role, pod = ROLES[name], "spec.template.spec"
        found["spec.volumeClaimTemplates.state.spec"] = storage
        found[pod] = [
            "{{- with .Values.imagePullSecrets }}",
            "imagePullSecrets: {{- toYaml . | nindent 8 }}",
            "{{- end }}",
        ]
        found[f"{pod}.nodeSelector"] = [
            f"{{{{- with .Values.{role}.nodeSelector }}}}",
            "{{- toYaml . | nindent 8 }}",
            "{{- end }}",
        ]
        found[f"{pod}.containers.{name}"] = [
            "{{- with .Values.imagePullPolicy }}",
            "imagePullPolicy: {{ . }}",
            "{{- end }}",
        ]
        found[f"{pod}.containers.{name}.args"] = [
            f"{{{{- range .Values.{role}.extraArgs }}}}",
            "- {{ . | quote }}",
            "{{- end }}",
        ]
    return found


def condition(names, negate=False):
    words = [f".Values.{COMPONENTS[name]}.enabled" for name in names]
    text = words[0] if len(words) == 1 else f"or {' '.join(words)}"
    if negate:
        text = f"not {text}" if len(words) == 1 else f"not ({text})"
    return f"{{{{- if {text} }}}}"


class Template:
    """One object's template from its renderings."""

    def __init__(self, who, defaults):
        self.values, self.extras, self.defaults = values_of(who), extras(who), defaults
        self.lines = []

    def scalar(self, value, path, indent):
        name = self.values.get(path)
        if name:
            if self.defaults.setdefault(name, value) != value:
                raise SystemExit(f"helm.py: {name} has two defaults")
            return f"{{{{ .Values.{name}{'' if isinstance(value, int) else ' | quote'} }}}}"
        if not isinstance(value, str):
            return json.dumps(value)
        if "\n" in value:
            pad = "\n" + " " * (indent + 2)
            return (
                escape("|" + ("" if value.endswith("\n") else "-"))
                + pad
                + pad.join(escape(value).rstrip("\n").split("\n"))
            )
        plain = yaml.safe_dump(value, width=10**6).removesuffix("...\n").strip()
        return escape(plain).replace('namespace="mentor"', 'namespace="{{ .Release.Namespace }}"')

    def say(self, indent, text):
        self.lines.append(" " * indent + text)

    def entry(self, lead, value, variants, path, indent):
        """`lead` is "key:" or "-"; variants: component -> another value."""
        if isinstance(value, (dict, list)) and value:
            same = all(isinstance(other, type(value)) and other for other in variants.values())
            if not same:
                raise SystemExit(f"helm.py: {path}: a component changes its type")
            if isinstance(value, dict) and lead == "-":
                at = len(self.lines)
                self.mapping(value, variants, path, indent + 2)
                # The dash is in the first line of an item; an `if` there would need a second dash.
                if self.lines[at].strip().startswith("{{"):
                    self.lines.insert(at, " " * indent + "-")
                else:
                    self.lines[at] = " " * indent + "- " + self.lines[at].strip()
                return
            self.say(indent, lead)
            if isinstance(value, dict):
                self.mapping(value, variants, path, indent + 2)
            else:
                self.items(value, variants, path, indent + (0 if lead != "-" else 2))
            return
        opening = "if"
        for name, other in variants.items():
            self.say(0, condition([name]).replace("{{- if", f"{{{{- {opening}"))
            self.say(indent, f"{lead} {self.scalar(other, path, indent)}")
            opening = "else if"
        if variants:
            self.say(0, "{{- else }}")
        self.say(indent, f"{lead} {self.scalar(value, path, indent)}")
        if variants:
            self.say(0, "{{- end }}")

    def mapping(self, base, variants, path, indent):
        def below(key):
            return f"{path}.{key}".lstrip(".")

        for key in base:
            gone = [name for name, other in variants.items() if key not in other]
            changed = {
                name: other[key]
                for name, other in variants.items()
                if key in other and other[key] != base[key]
            }
            if gone:
                self.say(0, condition(gone, negate=True))
            self.entry(f"{key}:", base[key], changed, below(key), indent)
            if gone:
                self.say(0, "{{- end }}")
        for name, other in variants.items():
            new = [key for key in other if key not in base]
            if new:
                self.say(0, condition([name]))
                for key in new:
                    self.entry(f"{key}:", other[key], {}, below(key), indent)
                self.say(0, "{{- end }}")
        self.add(path, indent)

    def add(self, path, indent):
        for line in self.extras.get(path, []):
            self.say(0 if line.startswith("{{") else indent, line)

    def items(self, base, variants, path, indent):
        def below(item, index):
            name = identity(item)
            return f"{path}.{name if isinstance(item, dict) and name[0] != '{' else index}"

        gone = [[] for _ in base]
        changed = [{} for _ in base]
        added = [[] for _ in range(len(base) + 1)]
        for name, other in variants.items():
            matcher = difflib.SequenceMatcher(
                None, [identity(item) for item in base], [identity(item) for item in other], False
            )
            for what, low, high, from_, to in matcher.get_opcodes():
                if what == "equal":
                    for index, item in zip(range(low, high), other[from_:to]):
                        if item != base[index]:
                            changed[index][name] = item
                    continue
                for index in range(low, high):
                    gone[index].append(name)
                if to > from_:
                    added[low].append((name, other[from_:to]))
        for index in range(len(base) + 1):
            for name, new in added[index]:
                self.say(0, condition([name]))
                for number, item in enumerate(new):
                    self.entry("-", item, {}, below(item, number), indent)
                self.say(0, "{{- end }}")
            if index == len(base):
                break
            if gone[index]:
                self.say(0, condition(gone[index], negate=True))
            item = base[index]
            self.entry("-", item, changed[index], below(item, index), indent)
            if gone[index]:
                self.say(0, "{{- end }}")
        self.add(path, indent)


def values(defaults):
    """values.yaml: the values of the base, in the order in which people look for them."""
    quoted = {name: json.dumps(value) for name, value in defaults.items()}
    text = HEAD + SWITCHES % quoted
    for role in ROLES.values():
        more = f'  image: {quoted[f"{role}.image"]}\n'
        if role == "metaLearner":
            more += f"  storage: {{size: {quoted['metaLearner.storage.size']}, className: \"\"}}\n"
        if role != "metaLearner":
            more += "  # Browsers need --origin=https://NAME in extraArgs; 0: no pages.\n" * (
                role == "web"
            )
            more += f'  replicas: {quoted[f"{role}.replicas"]}\n'
        if role == "actor":
            more += "  # With hpa or keda these count.\n"
            for bound in ("minReplicas", "maxReplicas"):
                more += f"  {bound}: {quoted[f'actor.{bound}']}\n"
        resources = f"{role}.resources.requests"
        text += ROLE % {
            "key": role,
            "more": more,
            "cpu": quoted[f"{resources}.cpu"],
            "memory": quoted[f"{resources}.memory"],
        }
    return text


def schema(value, open_=False):
    """Makes a misspelt value an error instead of a default."""
    if isinstance(value, dict):
        if open_:
            return {"type": "object"}
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                key: schema(below, key == "nodeSelector") for key, below in value.items()
            },
        }
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array"}
    return {"type": kinds[type(value)]}


def chart():
    """Returns path -> text of each file of the chart."""
    alone = objects()
    with_ = {name: objects(name) for name in COMPONENTS}
    defaults, files = {}, {}
    names = list(alone)
    for name, items in with_.items():
        names += [who for who in items if who not in names]
    for who in names:
        if who == "PrometheusRule/mentor":  # As text, comments included: generate.py.
            continue
        owner = next((name for name in COMPONENTS if who in with_[name]), None)
        template = Template(who, defaults)
        if who in alone:
            variants = {
                name: items[who] for name, items in with_.items() if items[who] != alone[who]
            }
            template.mapping(alone[who], variants, "", 0)
        else:
            template.say(0, condition([owner]).replace("{{-", "{{"))
            template.mapping(with_[owner][who], {}, "", 0)
            template.say(0, "{{- end }}")
        name = who.replace("/", "-").lower()
        files[CHART / f"templates/{name}.yaml"] = HEAD + "\n".join(template.lines) + "\n"
    files[CHART / "templates/one-autoscaler.yaml"] = (
        HEAD
        + "{{- if and .Values.hpa.enabled .Values.keda.enabled }}\n"
        + '{{- fail "hpa and keda both scale the actors: switch on one" }}\n{{- end }}\n'
    )
    version = defaults["actor.image"].rpartition(":")[2]
    files[CHART / "Chart.yaml"] = HEAD + (
        "apiVersion: v2\nname: mentor\ntype: application\n"
        "description: Meta-reinforcement learning as a service - meta-learner, learners, actors\n"
        f"version: {version}\nappVersion: {json.dumps(version)}\nkubeVersion: '>=1.27.0-0'\n"
    )
    files[CHART / "values.yaml"] = values(defaults)
    files[CHART / "values.schema.json"] = (
        json.dumps(schema(yaml.safe_load(files[CHART / "values.yaml"])), indent=2) + "\n"
    )
    files[CHART / "templates/NOTES.txt"] = NOTES
    return files
