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
STATES = re.compile(r"^//   (\S+)\s+(\S+)\s+(\S.*)$")


def comment_before(lines, index):
    """The sentence above a declaration."""
    words = []
    while index > 0 and lines[index - 1].strip().startswith("//"):
        index -= 1
        words.insert(0, lines[index].strip()[2:].strip())
    return " ".join(words)


def cell(text):
    return text.replace("|", "\\|")


class Declarations:
    """Services, messages and enums of a proto file, in their order, with their comments."""

    def __init__(self, name):
        self.lines = (PROTO / name).read_text(encoding="utf-8").splitlines()
        self.methods, self.messages, self.enums = [], [], []
        scope = []
        for index, line in enumerate(self.lines):
            text = line.strip()
            if text.startswith("//"):
                continue
            method = re.match(
                r"rpc (\w+)\((stream )?([\w.]+)\) returns \((stream )?([\w.]+)\)", text
            )
            opened = re.match(r"(message|enum|service|extend|oneof) ([\w.]+) \{", text)
            field = re.match(
                r"(?:repeated |optional )?(map<[^>]+>|[\w.]+) (\w+) = (\d+)\s*(?:\[(.*)\])?;", text
            )
            value = re.match(r"(\w+) = (\d+);", text)
            if method:
                role = re.search(r"ROLE_(\w+)", " ".join(self.lines[index : index + 2]))
                self.methods.append(
                    {
                        "name": method[1],
                        "request": method[3],
                        "response": method[5],
                        "stream": bool(method[4]),
                        "role": role[1].lower() if role else "",
                        "comment": comment_before(self.lines, index),
                    }
                )
                scope.append(None)
                if text.endswith(";"):
                    scope.pop()
                continue
            if opened:
                item = {
                    "name": ".".join(
                        [s["name"] for s in scope if s and opened[1] != "oneof"][-1:] + [opened[2]]
                    ),
                    "comment": comment_before(self.lines, index),
                    "rows": [],
                }
                if opened[1] == "message":
                    self.messages.append(item)
                elif opened[1] == "enum":
                    self.enums.append(item)
                scope.append(
                    item if opened[1] in ("message", "enum") else (scope[-1] if scope else None)
                )
                if text.endswith("{}"):
                    scope.pop()
                continue
            if text.startswith("}"):
                if scope:
                    scope.pop()
                continue
            if scope and scope[-1] and field:
                repeated = "repeated " if text.startswith("repeated ") else ""
                default = re.search(r"default = ([^,\]]+)", field[4] or "")
                limits = re.search(r"range\) = \{([^}]*)\}", field[4] or "")
                scope[-1]["rows"].append(
                    (
                        field[2],
                        repeated + field[1],
                        comment_before(self.lines, index),
                        default[1] if default else "",
                        limits[1] if limits else "",
                    )
                )
            elif scope and scope[-1] and value:
                scope[-1]["rows"].append(
                    (value[1], value[2], comment_before(self.lines, index), "", "")
                )


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(cell(part) for part in row) + " |"
    yield ""


def state_table():
    for line in (
        (ROOT / "common" / "resources" / "states.cc").read_text(encoding="utf-8").splitlines()
    ):
        row = STATES.match(line)
        if row and row[1] != "from":
            yield row[1], row[2], row[3]


def prose(text):
    """A paragraph in lines of 100 columns."""
    return textwrap.wrap(text, 100, break_long_words=False, break_on_hyphens=False)


def api_page():
    services = [Declarations("experiment_service.proto"), Declarations("bundle_service.proto")]
    yield "# Control API"
    yield ""
    yield from prose(
        "For those who call the meta-learner from programs: `mentor.v1.ExperimentService` and "
        "`mentor.v1.BundleService`, gRPC. "
        "Written by `docs/generate.py` from the "
        "comments of [proto/mentor/v1](../proto/mentor/v1). Every error is a `google.rpc.Status` "
        "with an `ErrorInfo`; [errors.md](errors.md) "
        "lists the reasons. Any gRPC client can explore a running service by reflection."
    )
    yield ""
    yield "## Methods"
    yield ""
    yield from table(
        ("method", "answer", "role", "what"),
        (
            (
                f"[{m['name']}](#{m['request'].lower()})",
                ("stream of " if m["stream"] else "") + f"`{m['response']}`",
                m["role"],
                m["comment"],
            )
            for service in services
            for m in service.methods
        ),
    )
    yield "## States of an experiment"
    yield ""
    yield from prose(
        "Every other pair is refused with `FAILED_PRECONDITION` `ILLEGAL_TRANSITION`. SUCCEEDED, "
        "FAILED and CANCELLED are final."
    )
    yield ""
    yield from table(("from", "to", "by"), state_table())
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
        yield ""
        for message in declared.messages:
            yield f"### {message['name']}"
            yield ""
            yield from prose(message["comment"])
            yield ""
            if not message["rows"]:
                continue
            if any(row[3] or row[4] for row in message["rows"]):
                yield from table(
                    ("field", "type", "what", "default", "legal"),
                    ((f"`{n}`", t, c, d, l) for n, t, c, d, l in message["rows"]),
                )
            else:
                yield from table(
                    ("field", "type", "what"),
                    ((f"`{n}`", t, c) for n, t, c, d, l in message["rows"]),
                )
        for enum in declared.enums:
            yield f"### {enum['name']}"
            yield ""
            yield from prose(enum["comment"])
            yield ""
            yield from table(("value", "what"), ((f"`{row[0]}`", row[2]) for row in enum["rows"]))


def errors_page():
    text = (ROOT / "common" / "status.h").read_text(encoding="utf-8")
    body = text[text.index("enum class Reason {") :]
    body = body[: body.index("};")]
    yield "# Reasons of errors"
    yield ""
    yield from prose(
        "For those who handle errors in programs: the `reason` of `google.rpc.ErrorInfo` (domain "
        "`mentor`) in the details of every error. "
        "Written by `docs/generate.py` from [common/status.h](../common/status.h). `BadRequest` "
        "names wrong fields, `RetryInfo` says when it "
        "helps to try again. Refusals of credentials (`UNAUTHENTICATED`, `PERMISSION_DENIED`) "
        "carry a sentence and no details."
    )
    yield ""
    rows, lines = [], body.splitlines()
    for index, line in enumerate(lines):
        name = re.match(r"\s+k(\w+),", line)
        if not name or name[1] == "Unspecified":
            continue
        words = comment_before(lines, index)
        code, _, rest = words.partition(". ")
        meaning, _, remedy = rest.rstrip(".").partition("; ")
        reason = re.sub(r"(?<!^)([A-Z])", r"_\1", name[1]).upper()
        rows.append((f"`{reason}`", f"`{code}`", meaning, remedy))
    yield from table(("reason", "code", "meaning", "what to do"), rows)


def metrics_page():
    yield "# Metrics"
    yield ""
    yield from prose(
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
    yield ""
    groups = {}
    for line in (ROOT / "tests" / "data" / "metrics.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, *rest = line.split(" | ", 4)
            words = name.split("_")
            groups.setdefault(words[1] if words[0] == "mentor" else words[0], []).append(
                (name, *rest)
            )
    for group, rows in groups.items():
        yield f"## {group}"
        yield ""
        yield from table(
            ("metric", "type", "labels", "of", "meaning"),
            [
                (f"`{name}`", kind, "" if labels == "-" else f"`{labels}`", roles, words)
                for name, kind, labels, roles, words in rows
            ],
        )


def experiment_metrics_page():
    yield "# Metrics of experiments"
    yield ""
    yield from prose(
        "For those who read reports, `training.csv` or `mentorctl metrics`: every number that an "
        "experiment has for each outer update. Written by `docs/generate.py` from "
        "[tests/data/experiment_metrics.txt](../tests/data/experiment_metrics.txt), which a test "
        "compares with what the parts declare; `mentor rule show NAME` prints them too. "
        "[metrics.md](metrics.md) has the metrics of processes."
    )
    yield ""
    yield from prose(
        "A last `*` stands for a number or an environment. Unit `s` is a time, which differs from "
        "run to run. Reports draw a metric in a panel of its own (`own`; `compared`: in "
        "comparisons of runs too), in a small one (`small`), or only where the page has a figure "
        "of that kind (`none`)."
    )
    yield ""
    parts = {}
    text = (ROOT / "tests" / "data" / "experiment_metrics.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            part, name, unit, panel, words = line.split(" | ", 4)
            parts.setdefault(part, []).append((f"`{name}`", unit, panel, words))
    for part, rows in parts.items():
        title = "Of every experiment" if part == "experiment" else "Of " + part
        yield f"## {title}"
        yield ""
        yield from table(("metric", "unit", "panel", "meaning"), rows)


PAGES = {
    "api.md": api_page,
    "errors.md": errors_page,
    "experiment_metrics.md": experiment_metrics_page,
    "metrics.md": metrics_page,
}


def written(page):
    return "\n".join(page()).rstrip("\n") + "\n"


def main():
    arguments = sys.argv[1:]
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 0 if arguments in (["--help"], ["-h"]) else 2
    findings = []
    for name, page in PAGES.items():
        path = ROOT / "docs" / name
        text = written(page)
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
