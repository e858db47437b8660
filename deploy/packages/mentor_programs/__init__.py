"""Mentor's programs: mentor, mentorctl, mentor-actor, mentor-learner, mentor-meta-learner."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The libraries that the programs load from the wheels beside this package.
LIBRARIES = {"torch": "torch/lib/libtorch_cpu.so", "mujoco": "mujoco/libmujoco.so.*"}
WITHOUT_TORCH = ("mentor-actor", "mentorctl")


def problem(program):
    """Returns why the program cannot run here, or None."""
    if "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
        return "this processor has no AVX2; Mentor is built for x86-64-v3"
    for wheel, library in LIBRARIES.items():
        if wheel == "torch" and program in WITHOUT_TORCH:
            continue
        if not any(HERE.parent.glob(library)):
            return (
                f"no {wheel} in {HERE.parent}: {sys.executable} -m pip install 'mentor[train]' "
                "installs it beside Mentor"
            )
    return None


def main():
    name = pathlib.Path(sys.argv[0]).name
    reason = problem(name)
    if reason:
        sys.exit(f"{name}: {reason}")
    # `mentor` starts mentor-web, which is beside it where the environment is not active.
    folders = (os.environ.get("PATH", os.defpath), str(pathlib.Path(sys.argv[0]).parent))
    os.environ["PATH"] = os.pathsep.join(folders)
    os.execv(HERE / "bin" / name, [name, *sys.argv[1:]])
