"""What setup.py here and at the root of the repository add to setuptools: stubs, the zoo, sources.

Nothing is written beside the sources, but for an editable installation, which has its stubs there.
"""

import atexit
import pathlib
import shutil
import sys
import tempfile

from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import generate  # noqa: E402

SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="mentor-client-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)
OLDEST = generate.generate(SCRATCH / "stubs")
REQUIRED = [f"{name}>={version}" for name, version in OLDEST.items()]
OPTIONS = {
    "build": {"build_base": str(SCRATCH / "build")},
    "egg_info": {"egg_base": str(SCRATCH)},
}


def zoo_folder():
    """That of the repository, or of a source distribution."""
    return next((zoo for zoo in (HERE.parent / "zoo", HERE / "zoo") if zoo.is_dir()), None)


def copy_zoo(zoo, target):
    shutil.copytree(zoo, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__*"))


class BuildWithStubs(build_py):
    def run(self):
        super().run()
        target = HERE if getattr(self, "editable_mode", False) else pathlib.Path(self.build_lib)
        shutil.copytree(SCRATCH / "stubs", target, dirs_exist_ok=True)
        zoo = zoo_folder()
        if target != HERE and zoo is not None:
            copy_zoo(zoo, target / "mentor_signal/zoo")


class SdistWithProtos(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for source in [*generate.SOURCES, generate.HOST_SOURCE]:
            target = pathlib.Path(base_dir, "proto", source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(generate.protos() / source, target)
        zoo = zoo_folder()
        if zoo is not None:
            copy_zoo(zoo, pathlib.Path(base_dir, "zoo"))
        for name in ("generate.py", "build_steps.py"):
            shutil.copyfile(HERE / name, pathlib.Path(base_dir, name))
