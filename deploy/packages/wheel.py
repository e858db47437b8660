#!/usr/bin/env python3
"""Makes the wheel. Called by deploy/package.sh.

Usage: wheel.py STAGE VERSION DIR
  STAGE   what deploy/docker/stage.sh and package.sh have collected

The package mentor_programs holds the programs and their data, the package mentor the module for
Python: one library with the environments, and a thin module for each version. LibTorch, MuJoCo and
the models are in the wheels that pip puts beside it. auditwheel adds the other libraries, from
Debian, and names the oldest C library that can run the result.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ("mentor", "mentorctl", "mentor-actor", "mentor-learner", "mentor-meta-learner")
# Programs that other programs run, from their own folder.
INNER = ("mentor-mjcf",)
# Libraries of other wheels; those know themselves where their libraries are.
ELSEWHERE = ("libtorch_cpu.so", "libc10.so", "libmujoco.so.*", "libcudart.so.*", "libcupti.so.*")


def requirements():
    """The wheels of the build, in its versions. torch's own requirements are left to torch."""
    text = (ROOT / "deploy/requirements/wheels.txt").read_text()
    found = re.findall(r"^([a-z0-9-]+==\S+)", text, re.MULTILINE)
    return [wheel for wheel in found if not wheel.startswith("nvidia-")]


def set_folders(binary, folders):
    """Sets where a program or library finds the libraries that it loads."""
    if folders:
        subprocess.run(["patchelf", "--force-rpath", "--set-rpath", folders, binary], check=True)


def lay_out(stage, version, folder):
    package = folder / "mentor_programs"
    shutil.copytree(ROOT / "deploy/packages/mentor_programs", package)
    (package / "bin").mkdir()
    for program in PROGRAMS + INNER:
        copy = shutil.copy2(stage / "out/bin" / program, package / "bin" / program)
        # The folders of an image, which are those of the wheels beside this one.
        asked = ["patchelf", "--print-rpath", copy]
        folders = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
        set_folders(copy, folders.replace("/../lib/mentor/", "/../../"))
    shutil.copytree(stage / "share/mentor", package / "share/mentor")
    shutil.copytree(stage / "python/mentor", folder / "mentor")
    for library in (folder / "mentor").glob("*.so"):
        set_folders(library, "$ORIGIN:$ORIGIN/../mujoco")
    # Below the environment's folder: shells and man look there when the environment is active.
    data = folder / f"mentor-{version}.data/data/share"
    for part in ("man", "bash-completion", "fish"):
        if (stage / "share" / part).exists():
            shutil.copytree(stage / "share" / part, data / part)

    info = folder / f"mentor-{version}.dist-info"
    info.mkdir()
    metadata = ["Metadata-Version: 2.1", "Name: mentor", f"Version: {version}"]
    metadata += ["Summary: Meta-learns training signals for reinforcement-learning agents"]
    metadata += ["License: Apache-2.0", "Requires-Python: >=3.10, <3.14"]
    metadata += [f"Requires-Dist: {wheel}" for wheel in requirements()]
    (info / "METADATA").write_text("\n".join(metadata) + "\n")
    (info / "WHEEL").write_text(
        "Wheel-Version: 1.0\nGenerator: mentor\nRoot-Is-Purelib: false\n"
        "Tag: py3-none-linux_x86_64\n"
    )
    lines = [f"{program} = mentor_programs:main" for program in PROGRAMS]
    (info / "entry_points.txt").write_text("[console_scripts]\n" + "\n".join(lines) + "\n")
    add_licences(package / "bin", info / "licenses")


def add_licences(programs, folder):
    """Adds our licence, and the copyright file of each Debian package whose library auditwheel may
    add."""
    folder.mkdir()
    shutil.copy(ROOT / "LICENSE", folder / "LICENSE")
    libraries = set()
    for program in programs.iterdir():
        listing = subprocess.run(["ldd", program], check=True, capture_output=True, text=True)
        libraries.update(re.findall(r"=> (/\S+)", listing.stdout))
    for library in libraries:
        # Debian's packages still name files as before /lib and /usr/lib became one.
        path = str(pathlib.Path(library).resolve()).removeprefix("/usr")
        owner = subprocess.run(["dpkg", "-S", f"*{path}"], capture_output=True, text=True)
        if owner.returncode == 0:
            name = owner.stdout.split(":")[0]
            shutil.copy(f"/usr/share/doc/{name}/copyright", folder / f"{name}.txt")


def main():
    stage, version, out = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    for old in out.glob("mentor-*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch, "wheel")
        folder.mkdir()
        lay_out(stage, version, folder)
        subprocess.run(
            [sys.executable, "-m", "wheel", "pack", "--dest-dir", scratch, folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (made,) = pathlib.Path(scratch).glob("*.whl")
        excluded = [word for name in ELSEWHERE for word in ("--exclude", name)]
        subprocess.run(
            [sys.executable, "-m", "auditwheel", "repair", "--plat", "manylinux_2_36_x86_64"]
            + ["--only-plat", "--wheel-dir", out, *excluded, made],
            check=True,
        )


if __name__ == "__main__":
    main()
