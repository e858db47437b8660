#!/usr/bin/env python3
"""Writes what the packages hold and need, in the form of CycloneDX. Called by deploy/package.sh.

Usage: bill_of_materials.py BUILD VERSION FILE
"""

import datetime
import os
import pathlib
import re
import subprocess
import sys
import uuid

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import linked

ROOT = pathlib.Path(__file__).resolve().parents[2]
# The packages hold or need code, data or libraries of these.
WHEELS = ("wheels.txt", "bindings.txt", "report.txt", "web.txt")


def library(kind, name, version, namespace=None):
    url = PackageURL(kind, namespace, name, version)
    return Component(
        name=name, version=version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url)
    )


def main():
    build, version, out = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    # One commit's has the same bytes.
    made = datetime.datetime.fromtimestamp(
        int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"mentor-{version}-{made.isoformat()}"))
    bom.metadata.timestamp = made
    bom.metadata.component = Component(
        name="mentor", version=version, type=ComponentType.APPLICATION, bom_ref=f"mentor@{version}"
    )
    names = linked.packages_of(build / "bin" / program for program in linked.PROGRAMS)
    told = subprocess.check_output(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names])
    for name, known in map(str.split, told.decode().splitlines()):
        bom.components.add(library("deb", name, known, "debian"))
    for listed in WHEELS:
        text = (ROOT / "deploy/requirements" / listed).read_text()
        for name, known in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE):
            bom.components.add(library("pypi", name, known))
    bom.register_dependency(bom.metadata.component, bom.components)
    out.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")


if __name__ == "__main__":
    main()
