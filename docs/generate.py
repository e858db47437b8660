#!/usr/bin/env python3
"""Writes the reference pages that come from the sources. docs/api.md comes from the comments of the
protos, docs/errors.md from common/status.h. docs/metrics.md comes from tests/data/metrics.txt,
which a test compares with the pages of a live run. docs/experiment_metrics.md comes from
tests/data/experiment_metrics.txt, which a test compares with the metrics of rules and inner loops.
results/generate.py fills the tables of results.

Usage: docs/generate.py [--check]
  --check   write nothing; exit status 1 when a page is not what would be written

Example: docs/generate.py && git diff docs/api.md

Standard library only.
"""

import pathlib
import re
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[1]
PROTO = ROOT / "proto" / "mentor" / "v1"
# The table in common/resources/states.cc, which the tests walk.
STATES = re.compile(r"^//   (\S+)\s+(\S+)\s+(\S.*)$", re.MULTILINE)


def comment_before(lines, index):
    """The sentence above a declaration."""
    words = []
    while index > 0 and lines[index - 1].strip().startswith("//"):
        index -= 1
        words.insert(0, lines[index].strip()[2:].strip())
    return " ".join(words)


class Declarations:
    """Services, messages and enums of a proto file, in their order, with their comments."""

    def __init__(self, name):
        lines = (PROTO / name).read_text(encoding="utf-8").splitlines()
        self.methods, self.messages, self.enums = [], [], []
        scope = []
        for index, line in enumerate(lines):
            text, comment = line.strip(), comment_before(lines, index)
            method = re.match(
                r"rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\)", text
            )
            opened = re.match(r"(message|enum|service|extend|oneof) ([\w.]+) \{", text)
            field = re.match(
                r"(repeated |optional )?(map<[^>]+>|[\w.]+) (\w+) = (\d+)\s*(?:\[(.*)\])?;", text
            )
            value = re.match(r"(\w+) = (\d+);", text)
            if method:
                role = re.search(r"ROLE_(\w+)", " ".join(lines[index : index + 2]))
                answer = ("stream of " if method[4] else "") + f"`{method[5]}`"
                link = f"[{method[1]}](#{method[3].lower()})"
                self.methods.append((link, answer, role[1].lower() if role else "", comment))
                scope += [] if text.endswith(";") else [None]
            elif opened:
                kind, name = opened.groups()
                outer = [one["name"] for one in scope if one and kind != "oneof"][-1:]
                item = {"name": ".".join([*outer, name]), "comment": comment, "rows": []}
                if kind in ("message", "enum"):
                    (self.messages if kind == "message" else self.enums).append(item)
                elif scope:
                    item = scope[-1]
                scope += [] if text.endswith("{}") else [item]
            elif text.startswith("}"):
                del scope[-1:]
            elif scope and scope[-1] and field:
                kind = ("repeated " if field[1] == "repeated " else "") + field[2]
                default = re.search(r"default = ([^,\]]+)", field[5] or "")
                limits = re.search(r"range\) = \{([^}]*)\}", field[5] or "")
                more = [one[1] if one else "" for one in (default, limits)]
                scope[-1]["rows"].append((f"`{field[3]}`", kind, comment, *more))
            elif scope and scope[-1] and value:
                scope[-1]["rows"].append((f"`{value[1]}`", comment))


def table(header, rows):
    lines = [header, *([part.replace("|", "\\|") for part in row] for row in rows)]
    lines = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def prose(text):
    """A paragraph in lines of 100 columns."""
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def rows_of(name, parts):
    """The lines of a file of tests/data: cells parted by "|"."""
    text = (ROOT / "tests" / "data" / name).read_text(encoding="utf-8")
    return [line.split(" | ", parts) for line in text.splitlines() if not line.startswith("#")]


def api_page():
    services = [Declarations("experiment_service.proto"), Declarations("bundle_service.proto")]
    yield "# Control API"
    yield prose(
        "For those who call the meta-learner from programs: `mentor.v1.ExperimentService` and "
        "`mentor.v1.BundleService`, gRPC. "
        "Written by `docs/generate.py` from the "
        "comments of [proto/mentor/v1](../proto/mentor/v1). Every error is a `google.rpc.Status` "
        "with an `ErrorInfo`; [errors.md](errors.md) "
        "lists the reasons. Any gRPC client can explore a running service by reflection."
    )
    yield "## Methods"
    methods = [method for service in services for method in service.methods]
    yield table(("method", "answer", "role", "what"), methods)
    yield "## States of an experiment"
    yield prose(
        "Every other pair is refused with `FAILED_PRECONDITION` `ILLEGAL_TRANSITION`. SUCCEEDED, "
        "FAILED and CANCELLED are final."
    )
    states = (ROOT / "common/resources/states.cc").read_text(encoding="utf-8")
    yield table(("from", "to", "by"), STATES.findall(states)[1:])
    for title, name in (
        ("Requests and responses", "experiment_service.proto"),
        ("Requests and responses of bundles", "bundle_service.proto"),
        ("Resources", "experiment.proto"),
        ("Bundles", "bundle.proto"),
        ("Roles", "access.proto"),
        ("The spec of an experiment", "spec.proto"),
    ):
        declared = Declarations(name)
        yield f"## {title}"
        for message in declared.messages:
            yield f"### {message['name']}"
            yield prose(message["comment"])
            columns = ("field", "type", "what", "default", "legal")
            rows = message["rows"]
            if not any(row[3] or row[4] for row in rows):
                columns, rows = columns[:3], [row[:3] for row in rows]
            if rows:
                yield table(columns, rows)
        for enum in declared.enums:
            yield f"### {enum['name']}"
            yield prose(enum["comment"])
            yield table(("value", "what"), enum["rows"])


def errors_page():
    text = (ROOT / "common" / "status.h").read_text(encoding="utf-8")
    body = text[text.index("enum class Reason {") :]
    lines = body[: body.index("};")].splitlines()
    yield "# Reasons of errors"
    yield prose(
        "For those who handle errors in programs: the `reason` of `google.rpc.ErrorInfo` (domain "
        "`mentor`) in the details of every error. "
        "Written by `docs/generate.py` from [common/status.h](../common/status.h). `BadRequest` "
        "names wrong fields, `RetryInfo` says when it "
        "helps to try again. Refusals of credentials (`UNAUTHENTICATED`, `PERMISSION_DENIED`) "
        "carry a sentence and no details."
    )
    rows = []
    for index, line in enumerate(lines):
        name = re.match(r"\s+k(\w+),", line)
        if not name or name[1] == "Unspecified":
            continue
        code, _, rest = comment_before(lines, index).partition(". ")
        meaning, _, remedy = rest.rstrip(".").partition("; ")
        reason = re.sub(r"(?<!^)([A-Z])", r"_\1", name[1]).upper()
        rows.append((f"`{reason}`", f"`{code}`", meaning, remedy))
    yield table(("reason", "code", "meaning", "what to do"), rows)


def metrics_page():
    yield "# Metrics"
    yield prose(
        "For those who write queries, rules and dashboards: every metric of the three processes. "
        "Written by `docs/generate.py` from "
        "[tests/data/metrics.txt](../tests/data/metrics.txt), which a test compares with the "
        "metrics pages of a live run over TLS. "
        "[monitoring.md](monitoring.md) says how to use them. Units are the last word of a name; "
        "times are seconds, `_total` counts since the start "
        "of the process. A histogram `x` has the series `x_bucket`, `x_sum` and `x_count`. Without "
        "certificates there is no "
        "`mentor_tls_...`, without tokens or certificates no `mentor_auth_...`, without armed "
        "failpoints no `mentor_failpoint_hits_total`."
    )
    groups = {}
    for name, kind, labels, *rest in rows_of("metrics.txt", 4):
        shown = "" if labels == "-" else f"`{labels}`"
        group = name.removeprefix("mentor_").partition("_")[0]
        groups.setdefault(group, []).append((f"`{name}`", kind, shown, *rest))
    for group, rows in groups.items():
        yield f"## {group}"
        yield table(("metric", "type", "labels", "of", "meaning"), rows)


def experiment_metrics_page():
    yield "# Metrics of experiments"
    yield prose(
        "For those who read reports, `training.csv` or `mentorctl metrics`: every number that an "
        "experiment has for each outer update. Written by `docs/generate.py` from "
        "[tests/data/experiment_metrics.txt](../tests/data/experiment_metrics.txt), which a test "
        "compares with what the parts declare; `mentor rule show NAME` prints them too. "
        "[metrics.md](metrics.md) has the metrics of processes."
    )
    yield prose(
        "A last `*` stands for a number or an environment. Unit `s` is a time, which differs from "
        "run to run. Reports draw a metric in a panel of its own (`own`; `compared`: in "
        "comparisons of runs too), or in a small one (`small`). With `none` they draw it only "
        "where the page has a figure of that kind."
    )
    parts = {}
    for part, name, *rest in rows_of("experiment_metrics.txt", 4):
        parts.setdefault(part, []).append((f"`{name}`", *rest))
    for part, rows in parts.items():
        yield "## Of " + ("every experiment" if part == "experiment" else part)
        yield table(("metric", "unit", "panel", "meaning"), rows)


PAGES = {
    "api.md": api_page,
    "errors.md": errors_page,
    "experiment_metrics.md": experiment_metrics_page,
    "metrics.md": metrics_page,
}


def main():
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    findings = []
    for name, page in PAGES.items():
        path = ROOT / "docs" / name
        text = "\n\n".join(page()) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if arguments:
            findings.append(f"docs/{name}:1: not what its source says: run docs/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
