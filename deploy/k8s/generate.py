#!/usr/bin/env python3
"""Writes what is derived from other files of deploy/. The PrometheusRule of the component
prometheus-operator and of the chart comes from deploy/prometheus/rules.yml and alerts.yml. The rest
of the Helm chart deploy/helm/mentor comes from the kustomize base and its components (helm.py).

Usage: deploy/k8s/generate.py [--rules] [--check]
  --rules   the PrometheusRules alone, which need the standard library only
  --check   write nothing; exit status 1 when a file is not what would be written

Needs kubectl from 1.22 on and deploy/install.sh --containers."""

import argparse
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROMETHEUS = HERE.parent / "prometheus"
RULES = HERE / "components/prometheus-operator/rules.yaml"
CHART_RULES = HERE.parent / "helm/mentor/templates/prometheusrule-mentor.yaml"
HEAD = """\
# Written by deploy/k8s/generate.py from deploy/prometheus/{rules,alerts}.yml: change those.
"""
OBJECT = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mentor
"""
# Kustomize adds them by itself.
LABELS = """\
  labels:
    app.kubernetes.io/name: mentor
    app.kubernetes.io/part-of: mentor
"""


def rules():
    """Returns path -> text. The groups are copied with their comments."""
    groups = "spec:\n  groups:\n"
    for name in ("rules.yml", "alerts.yml"):
        lines = (PROMETHEUS / name).read_text(encoding="utf-8").splitlines()
        for line in lines[lines.index("groups:") + 1 :]:
            groups += f"  {line}".rstrip() + "\n"
    switched = "{{ if .Values.prometheusOperator.enabled }}\n" + OBJECT + LABELS + escape(groups)
    return {RULES: HEAD + OBJECT + groups, CHART_RULES: HEAD + switched + "{{- end }}\n"}


def escape(text):
    """Protects what Helm must not read as a template: alerts have templates of their own."""
    marked = text.replace("{{", "\0").replace("}}", "\1")
    return marked.replace("\0", '{{ "{{" }}').replace("\1", '{{ "}}" }}')


def write(path, text, check):
    """Writes the file, or only compares it. True if `check` found a difference."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    if check:
        print(f"{path.relative_to(ROOT)}:1: out of date: run deploy/k8s/generate.py")
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return False


def main(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rules", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    files = rules()  # First, because the chart is made from them, too.
    stale = sum(write(path, text, flags.check) for path, text in files.items())
    if flags.rules:
        return int(stale > 0)
    import helm  # Imported here, because the rules need no YAML.

    chart = helm.chart()
    stale += sum(write(path, text, flags.check) for path, text in chart.items())
    have = {path for path in helm.CHART.rglob("*") if path.is_file()}
    for path in sorted(have - {*files, *chart}):
        print(f"{path.relative_to(ROOT)}:1: not of the chart: delete it")
        stale += 1
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
