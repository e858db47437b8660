"""The queries of deploy/ to Prometheus, and the content of a metrics page. Standard library
only."""

import dataclasses
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
GOLDEN = ROOT / "tests" / "data" / "metrics.txt"
# Metrics of Prometheus itself.
FOREIGN = {"up", "ALERTS", "ALERTS_FOR_STATE"}
# Words of PromQL that look like names.
WORDS = {
    "by",
    "without",
    "on",
    "ignoring",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "group_left",
    "group_right",
    "le",
}


@dataclasses.dataclass(frozen=True)
class Expression:
    where: str
    text: str
    # True for an alert that reports nothing, or a selection that is empty in a healthy run.
    may_be_empty: bool = False


def scalar(text):
    return text[1:-1].replace('\\"', '"') if text[:1] == '"' else text


def rules(name):
    """Returns the rules of a file as dictionaries. Reads the subset of YAML that our rule files
    use: a list of flat entries, blocks with `|`, two nested maps."""
    found, block = [], None
    for line in (PROMETHEUS / name).read_text(encoding="utf-8").splitlines():
        if block is not None and (line.startswith(" " * 10) or not line.strip()):
            found[-1][block] += line[10:] + "\n"
            continue
        block = None
        entry = re.match(r"\s+(- )?(\w+):(?: (.*))?$", line)
        if not entry or entry[2] in ("name", "rules"):
            continue
        if entry[1]:
            found.append({})
        if entry[3] == "|":
            block = entry[2]
            found[-1][block] = ""
        elif entry[3]:
            found[-1][entry[2]] = scalar(entry[3])
    return found


def of_rules():
    for rule in rules("rules.yml"):
        yield Expression(f"rule {rule['record']}", rule["expr"])
        yield Expression(f"result of rule {rule['record']}", rule["record"])
    for rule in rules("alerts.yml"):
        yield Expression(f"alert {rule['alert']}", rule["expr"], may_be_empty=True)


def dashboards():
    for path in sorted(GRAFANA.glob("*.json")):
        yield path.name, json.loads(path.read_text(encoding="utf-8"))


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def of_grafana():
    for name, dashboard in dashboards():
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
                yield Expression(
                    f"{name} variable {variable['name']}", f"count by ({asked[2]}) ({asked[1]})"
                )
        for panel in panels(dashboard):
            for target in panel.get("targets", []):
                text = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "5m")
                text = re.sub(r"\$\{?\w+\}?", ".+", text)
                # Alerts are empty when all is well.
                yield Expression(f"{name} '{panel['title']}'", text, may_be_empty="ALERTS" in text)


def every():
    return [*of_rules(), *of_grafana()]


def names(text):
    """Returns the metrics that an expression uses."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "''", text)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    text = re.sub(r"\[[^\]]*\]", " ", text)
    return {
        word
        for word in re.findall(r"[A-Za-z_:][\w:]*(?!\s*\(|[\w:])", text)
        if word not in WORDS and len(word) > 1
    }


@dataclasses.dataclass
class Metric:
    type: str = ""
    help: str = ""
    labels: set = dataclasses.field(default_factory=set)
    roles: set = dataclasses.field(default_factory=set)


def add_page(text, role, metrics):
    """Reads a metrics page into {name: Metric}."""
    types = {}
    for line in text.splitlines():
        comment = re.match(r"# (HELP|TYPE) (\S+) (.*)$", line)
        if comment:
            metric = metrics.setdefault(comment[2], Metric())
            metric.roles.add(role)
            if comment[1] == "TYPE":
                metric.type = types[comment[2]] = comment[3]
            else:
                metric.help = comment[3]
            continue
        sample = re.match(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? \S+$", line)
        if not sample:
            raise ValueError(f"{role}: not a line of a metrics page: {line}")
        name = sample[1]
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        owner = base if types.get(base) in ("histogram", "summary") else name
        labels = set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', sample[2] or ""))
        metrics[owner].labels |= labels - {"le", "quantile"}


def golden_text(metrics):
    lines = [
        "# Every metric of the three processes: name | type | labels | processes | help.",
        "# Written by tests/monitoring/monitoring_test.py --write from a live run; "
        "docs/generate.py makes docs/metrics.md of it.",
    ]
    for name, metric in sorted(metrics.items()):
        lines.append(
            " | ".join(
                [
                    name,
                    metric.type,
                    ", ".join(sorted(metric.labels)) or "-",
                    ", ".join(sorted(metric.roles)),
                    metric.help,
                ]
            )
        )
    return "\n".join(lines) + "\n"


def golden():
    metrics = {}
    for line in GOLDEN.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, kind, labels, roles, words = line.split(" | ", 4)
        metrics[name] = Metric(
            kind, words, set() if labels == "-" else set(labels.split(", ")), set(roles.split(", "))
        )
    return metrics


def series_names():
    """Returns names that a query may use: metrics, the parts of histograms, results of rules,
    Prometheus' own."""
    found = set(FOREIGN) | {rule["record"] for rule in rules("rules.yml")}
    for name, metric in golden().items():
        found |= (
            {name + part for part in ("_bucket", "_sum", "_count")}
            if metric.type == "histogram"
            else {name}
        )
    return found
