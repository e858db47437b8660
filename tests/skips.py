#!/usr/bin/env python3
"""Prints the tests that ctest skipped, each with its reason.

Usage: tests/skips.py RESULTS.xml
RESULTS.xml is what `ctest --output-junit` wrote. A name that no pattern in tests/skips.txt matches
makes the exit status 1."""

import fnmatch
import pathlib
import re
import sys
import xml.etree.ElementTree

LIST = pathlib.Path(__file__).resolve().with_name("skips.txt")
# What Catch2, unittest and scripts print.
REASON = re.compile(r"(?<![\w(])skipped:? +[\"']?(.+?)[\"']?$", re.MULTILINE)


def patterns(text):
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return [re.split(r"\s{2,}", line, maxsplit=1)[0] for line in lines]


def skipped(results):
    """-> [(name, reason)] of a JUnit file."""
    found = []
    for case in xml.etree.ElementTree.fromstring(results).iter("testcase"):
        if case.find("skipped") is not None:
            reason = REASON.search(case.findtext("system-out") or "")
            found.append((case.get("name"), reason[1] if reason else "no reason given"))
    return sorted(found)


def main(arguments):
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    listed = patterns(LIST.read_text(encoding="utf-8"))
    unlisted = 0
    try:
        found = skipped(pathlib.Path(arguments[0]).read_text(encoding="utf-8", errors="replace"))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"skips.py: {arguments[0]} is not whole: {error}; run the tests again")
        return 1
    for name, reason in found:
        known = any(fnmatch.fnmatchcase(name, pattern) for pattern in listed)
        unlisted += not known
        print(f"skipped: {name}: {reason}" + ("" if known else " (not in tests/skips.txt)"))
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
