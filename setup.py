"""`pip install .` and the wheel of deploy/package.sh: programs, environments, client and signals.

The folder build/, or MENTOR_BUILD, holds what cmake has built; what it lacks is built first, which
takes 20 minutes on two cores. Another installation with the same folder waits meanwhile. The
package mentor_programs has the programs and their data, the package mentor one library with the
environments and a thin module for each version of Python. LibTorch, MuJoCo and the models are in
the wheels that pip puts beside it.
"""

import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.sdist import sdist

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "deploy/packages")]
import build_steps  # noqa: E402
import linked  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MENTOR_BUILD", ROOT / "build"))
PATCHELF = ROOT / ".deps/packages/bin/patchelf"  # deploy/install.sh --packages
# Programs that other programs run, from their own folder.
INNER = ("mentor-mjcf",)
CMAKE = (ROOT / "CMakeLists.txt").read_text()
CLIENT = tomllib.loads((ROOT / "python/pyproject.toml").read_text())


def extras():
    """Returns the client's, and `train`: what programs need beside the environments."""
    found = {
        name: [wanted.replace("mentor-client[", "mentor[") for wanted in wheels]
        for name, wheels in CLIENT["project"]["optional-dependencies"].items()
    }
    return {**found, "train": pinned("torch")}


def pinned(*names):
    """The wheels of the build, in its versions. They require their own."""
    text = (ROOT / "deploy/requirements/wheels.txt").read_text()
    found = dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))
    return [f"{name}=={found[name]}" for name in names]


def run(*words):
    subprocess.run([str(word) for word in words], check=True, cwd=ROOT)


def set_folders(binary, folders):
    """Sets where a program or library finds the libraries that it loads."""
    if folders:
        run(PATCHELF, "--force-rpath", "--set-rpath", folders, binary)


class Build(build_steps.BuildWithStubs):
    """The Python packages, and what cmake builds beside them."""

    def run(self):
        if getattr(self, "editable_mode", False):
            raise SystemExit(
                "an editable installation is the build folder itself: deploy/build.sh, then "
                "export PYTHONPATH=$PWD/build/python"
            )
        super().run()
        stage = build_steps.SCRATCH / "stage"
        BUILD.mkdir(parents=True, exist_ok=True)
        folder = os.open(BUILD, os.O_RDONLY)  # A lock on the folder itself: it may be read-only.
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not (BUILD / "bin/mentor").exists():
                run("deploy/build.sh", "--preset", "release")
            run("deploy/packages/collect.sh", "--module", BUILD, stage)
        finally:
            os.close(folder)
        target = pathlib.Path(self.build_lib).resolve()
        package = target / "mentor_programs"
        shutil.copytree(ROOT / "deploy/packages/mentor_programs", package, dirs_exist_ok=True)
        (package / "bin").mkdir(exist_ok=True)
        for program in linked.PROGRAMS + INNER:
            copy = shutil.copy2(stage / "out/bin" / program, package / "bin" / program)
            # The folders of an image, which are those of the wheels beside this one.
            asked = [PATCHELF, "--print-rpath", copy]
            folders = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
            set_folders(copy, folders.strip().replace("/../lib/mentor/", "/../../"))
        shutil.copytree(stage / "share/mentor", package / "share/mentor", dirs_exist_ok=True)
        # auditwheel may add the libraries of these packages.
        (package / "licenses").mkdir(exist_ok=True)
        for name in linked.packages_of((package / "bin").iterdir()):
            shutil.copy(f"/usr/share/doc/{name}/copyright", package / f"licenses/{name}.txt")
        shutil.copytree(stage / "python/mentor", target / "mentor", dirs_exist_ok=True)
        for library in (target / "mentor").glob("*.so"):
            set_folders(library, "$ORIGIN:$ORIGIN/../mujoco")
        # Below the environment's folder: shells and man look there when the environment is active.
        share = [
            path
            for part in ("man", "bash-completion", "fish")
            for path in sorted((stage / "share" / part).rglob("*"))
            if path.is_file()
        ]
        self.distribution.data_files = [
            (path.parent.relative_to(stage).as_posix(), [str(path)]) for path in share
        ]


class Wheel(bdist_wheel):
    """One for all versions of Python: it has a module for each."""

    def get_tag(self):
        return "py3", "none", "linux_x86_64"


class Sources(sdist):
    """The archive has all files of the repository."""

    def make_release_tree(self, base_dir, files):
        tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
        super().make_release_tree(base_dir, sorted({*files, *tracked.splitlines()}))


setup(
    version=re.search(r"^project\(mentor VERSION ([0-9.]+)", CMAKE, re.MULTILINE)[1],
    package_dir={"": "python"},
    packages=CLIENT["tool"]["setuptools"]["packages"],
    package_data=CLIENT["tool"]["setuptools"]["package-data"],
    install_requires=build_steps.REQUIRED
    + pinned("mujoco", "metaworld", "gymnasium")
    + ["numpy>=1.24", "safetensors>=0.4", "cloudpickle>=2.2"],
    extras_require=extras(),
    entry_points={
        "console_scripts": [f"{name} = mentor_programs:main" for name in linked.PROGRAMS]
        + [f"{name} = {main}" for name, main in CLIENT["project"]["scripts"].items()]
    },
    cmdclass={"build_py": Build, "bdist_wheel": Wheel, "sdist": Sources},
    options=build_steps.OPTIONS,
)
