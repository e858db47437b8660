"""The Python client for tests: its sources with fresh stubs in a separate folder, importable. Needs
Debian's python3-grpcio and python3-protobuf; without them the tests are skipped."""

import atexit
import importlib.util
import pathlib
import shutil
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE, EXAMPLES = ROOT / "python", ROOT / "docs" / "examples"
sys.path.insert(0, str(ROOT / "tests" / "cluster"))


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_importable():
    """For setUpModule."""
    for module, package in (("grpc", "python3-grpcio"), ("google.protobuf", "python3-protobuf")):
        try:
            importlib.import_module(module)
        except ImportError:
            raise unittest.SkipTest(f"{package} is not installed for {sys.executable}") from None
    generate = load("generate", SOURCE / "generate.py")
    if not generate.installed_tools():
        raise unittest.SkipTest("protobuf-compiler-grpc is not installed")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mentor-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(
        SOURCE / "mentor_client",
        folder / "mentor_client",
        ignore=shutil.ignore_patterns("v1", "rpc", "__pycache__"),
    )
    generate.generate(folder)
    sys.path.insert(0, str(folder))
    return folder
