"""mentor_env for tests: its sources with fresh stubs in a folder, beside what deploy/install.sh
--hosts installs. Tests are skipped where that is missing."""

import os
import pathlib
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEELS = ROOT / ".deps" / "hosts"


def path_of(folder):
    """The folders in which Python must look."""
    if not (WHEELS / "gymnasium_robotics").exists() or sys.version_info[:2] != (3, 11):
        raise unittest.SkipTest("run deploy/install.sh --hosts, and this with Python 3.11")
    if not shutil.which("protoc"):
        raise unittest.SkipTest("protobuf-compiler is not installed")
    folder = pathlib.Path(folder)
    proto = folder / "proto" / "mentor_env" / "v1" / "environment_host.proto"
    proto.parent.mkdir(parents=True)
    shutil.copyfile(ROOT / "proto" / "mentor" / "v1" / "environment_host.proto", proto)
    shutil.copytree(
        ROOT / "python" / "mentor_env",
        folder / "mentor_env",
        ignore=shutil.ignore_patterns("v1", "__pycache__"),
    )
    command = ["protoc", "-I", folder / "proto", f"--python_out={folder}", f"--pyi_out={folder}"]
    subprocess.run([*command, proto], check=True)
    (folder / "mentor_env" / "v1" / "__init__.py").touch()
    return [str(folder), str(WHEELS)]


def flag(folder):
    """The value of --host: the adapter of Gymnasium's environments as "gym"."""
    path = os.pathsep.join(path_of(folder))
    return f"gym=env PYTHONPATH={path} MUJOCO_GL=disable {sys.executable} -m mentor_env"
