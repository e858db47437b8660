#!/usr/bin/env python3
"""Generates stubs from the protos below --out: mentor_client/v1 and mentor_client/rpc for the
client, mentor_env/v1 for simulators.

Usage: generate.py --out FOLDER [--tools installed|grpcio]
  --out FOLDER   where mentor_client/ and mentor_env/ are or shall be
  --tools        installed: protoc and grpc_python_plugin (Debian: protobuf-compiler,
                 protobuf-compiler-grpc); grpcio: the module grpcio-tools. Default: what is there,
                 the installed ones first

Python's protobuf has one pool of descriptors for a whole program, so files and messages need names
that no other package uses. google/rpc becomes mentor_client/rpc, because googleapis-common-protos
has google/rpc, too. Options that only the servers read are left out: their numbers are in the range
that every project may use.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE = "mentor_client"
SOURCES = {  # Path in the repository -> path in the package.
    "google/rpc/error_details.proto": "rpc/error_details.proto",
    "google/rpc/status.proto": "rpc/status.proto",
    "mentor/v1/bundle.proto": "v1/bundle.proto",
    "mentor/v1/bundle_service.proto": "v1/bundle_service.proto",
    "mentor/v1/evaluation.proto": "v1/evaluation.proto",
    "mentor/v1/experiment.proto": "v1/experiment.proto",
    "mentor/v1/experiment_service.proto": "v1/experiment_service.proto",
    "mentor/v1/spec.proto": "v1/spec.proto",
}
HOST_PACKAGE = "mentor_env"
HOST_SOURCE, HOST_TARGET = "mentor/v1/environment_host.proto", "v1/environment_host.proto"


def protos():
    """Returns the folder of the protos: in the repository, or beside this file in a source
    distribution."""
    for folder in (HERE / "proto", HERE.parent / "proto"):
        if all((folder / source).exists() for source in [*SOURCES, HOST_SOURCE]):
            return folder
    raise SystemExit(
        "generate.py: the protos are missing: build from a clone of the repository or a source "
        "distribution"
    )


def installed_tools():
    """True if protoc (3.20 or newer) and gRPC's plugin are installed."""
    protoc = shutil.which("protoc")
    if not protoc or not shutil.which("grpc_python_plugin"):
        return False
    found = re.search(
        r"(\d+)\.(\d+)",
        subprocess.run([protoc, "--version"], capture_output=True, text=True).stdout,
    )
    return bool(found) and (int(found[1]), int(found[2])) >= (3, 20)


def for_package(text):
    """Returns a proto with the package's names and without the servers' options."""
    text = re.sub(
        r'^import "(google/protobuf/descriptor|mentor/v1/access)\.proto";\n', "", text, flags=re.M
    )
    text = re.sub(
        r'^import "(google/rpc|mentor/v1)/',
        lambda match: f'import "{PACKAGE}/{match[1].split("/")[1]}/',
        text,
        flags=re.M,
    )
    text = re.sub(r"^package google\.rpc;", f"package {PACKAGE}.rpc;", text, flags=re.M)
    text = re.sub(r"\bgoogle\.rpc\.(?=[A-Z]\w+ \w+ = )", f"{PACKAGE}.rpc.", text)
    text = re.sub(r"^extend [\w.]+ \{\n(.*\n)*?\}\n", "", text, flags=re.M)
    text = re.sub(r"\n\s*option \((required_role|standby_answers)\) = \w+;", "", text)
    text = re.sub(r"\s*\[\s*\((mentor\.v1\.)?range\) = \{[^}]*\}\s*\]", "", text)
    return re.sub(r",\s*\((mentor\.v1\.)?range\) = \{[^}]*\}", "", text)


def generate(out, tools=None):
    """Writes the stubs, and returns the oldest protobuf and grpcio that work with them."""
    out = pathlib.Path(out).resolve()
    use_installed = installed_tools() if tools is None else tools == "installed"
    with tempfile.TemporaryDirectory(prefix="mentor-client-") as folder:
        folder = pathlib.Path(folder)
        for source, target in SOURCES.items():
            path = folder / PACKAGE / target
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                for_package((protos() / source).read_text(encoding="utf-8")), encoding="utf-8"
            )
        host = f"{HOST_PACKAGE}/{HOST_TARGET}"
        (folder / host).parent.mkdir(parents=True)
        shutil.copyfile(protos() / HOST_SOURCE, folder / host)  # It imports nothing.
        names = [f"{PACKAGE}/{target}" for target in SOURCES.values()]
        services = [name for name in names if name.endswith("_service.proto")]
        program = ["protoc"] if use_installed else [sys.executable, "-m", "grpc_tools.protoc"]
        plugin = [
            f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}",
            f"--grpc_out={out}",
        ]
        stubs = plugin if use_installed else [f"--grpc_python_out={out}"]
        out.mkdir(parents=True, exist_ok=True)
        for words in (
            [f"--python_out={out}", f"--pyi_out={out}", *names, host],
            [*stubs, *services],
        ):
            done = subprocess.run(
                [*program, "-I", str(folder), *words], capture_output=True, text=True
            )
            if done.returncode != 0:
                remedy = (
                    ""
                    if use_installed
                    else ("; install protobuf-compiler and protobuf-compiler-grpc, or grpcio-tools")
                )
                raise SystemExit(f"generate.py: {program[-1]} failed{remedy}:\n{done.stderr}")
    for target in [*names, host]:
        (out / target).parent.joinpath("__init__.py").write_text(
            '"""Generated from the protos."""\n'
        )
    service = services[0]
    text = (out / service.replace(".proto", "_pb2.py")).read_text()
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", text)
    text = (out / service.replace(".proto", "_pb2_grpc.py")).read_text()
    grpcio = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", text)
    return {
        "protobuf": protobuf[1] if protobuf else "3.20.2",
        "grpcio": grpcio[1] if grpcio else "1.51",
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", required=True)
    parser.add_argument("--tools", choices=["installed", "grpcio"])
    arguments = parser.parse_args()
    generate(arguments.out, arguments.tools)


if __name__ == "__main__":
    sys.exit(main())
