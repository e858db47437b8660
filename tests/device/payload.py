"""What pack.sh makes: where it is unpacked, what its programs need, and the machine that it meets.
Standard library only; torch is found and not loaded."""

import dataclasses
import importlib.metadata
import importlib.util
import lzma
import os
import pathlib
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TORCH = "2.11"
# Exit statuses of `mentor`.
USAGE, DEVICE_LOST = 2, 6
# As this program was started: the steps put the programs' libraries before it.
OWN_LIBRARY_PATH = os.environ.get("LD_LIBRARY_PATH", "")


class Unusable(Exception):
    """The payload or this Python cannot run the programs; the text says the remedy."""


@dataclasses.dataclass(frozen=True)
class Payload:
    folder: pathlib.Path
    torch: pathlib.Path  # Folder of the package.

    @property
    def bin(self):
        return self.folder / "bin"

    @property
    def smoke(self):
        return self.folder / "experiments" / "smoke.txtpb"

    def library_path(self):
        """The value of LD_LIBRARY_PATH for the programs. What LibTorch brings comes first, and what
        the machine names last."""
        folders = [self.torch / "lib", *sorted(self.torch.parent.glob("nvidia/*/lib"))]
        folders.append(self.folder / "lib")
        return ":".join([*map(str, folders), *filter(None, [OWN_LIBRARY_PATH])])

    def environment(self):
        return {
            "LD_LIBRARY_PATH": self.library_path(),
            "MENTOR_ASSETS": str(self.folder / "models"),
            "MENTOR_EXPERIMENTS": str(self.folder / "experiments"),
        }

    def bench(self):
        """The command of tests/bench/run.py. It and its peers run in this Python, without the
        programs' libraries."""
        program = ["env", f"LD_LIBRARY_PATH={self.library_path()}", str(self.bin / "mentor-bench")]
        run = ["/usr/bin/env", f"LD_LIBRARY_PATH={OWN_LIBRARY_PATH}", sys.executable]
        return [*run, self.folder / "tests/bench/run.py", "--program", shlex.join(program)]

    def check_device(self, device, scratch, limit_s):
        """Raises Unusable with the program's sentence where it cannot use the device. Whatever else
        goes wrong is for the steps to find."""
        short = ("rule.outer_updates=1", "evaluation.lifetimes_per_goal=0")
        flags = [flag for one in short for flag in ("--set", one)]
        command = [self.bin / "mentor", "run", self.smoke, "--out", scratch / "probe", *flags]
        try:
            done = subprocess.run(
                [*command, "--device", device, "--quiet", "--no_report"],
                capture_output=True,
                text=True,
                timeout=limit_s,
                env={**os.environ, **self.environment()},
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if done.returncode in (USAGE, DEVICE_LOST):
            raise Unusable(f"--device {device} cannot be used: {done.stderr.strip()}")

    def versions(self):
        """What is checked: the version that the program says, the commit, and torch."""
        version = said([str(self.bin / "mentor"), "--version"], self.environment())
        commit = self.folder / "COMMIT"
        return {
            "mentor": "; ".join(version.splitlines()) or "does not start",
            "commit": commit.read_text().strip() if commit.exists() else "unknown",
            "torch": importlib.metadata.version("torch"),
            "python": platform.python_version(),
        }


def find_torch():
    """The folder of torch in this Python, whose LibTorch the programs load."""
    spec = importlib.util.find_spec("torch")
    remedy = f"install torch=={TORCH}.0 into a Python, and run this program by it"
    if spec is None or not spec.submodule_search_locations:
        raise Unusable(f"{sys.executable} has no torch: {remedy}")
    version = importlib.metadata.version("torch")
    if not version.startswith(TORCH + "."):
        raise Unusable(f"{sys.executable} has torch {version}, the programs need {TORCH}: {remedy}")
    return pathlib.Path(list(spec.submodule_search_locations)[0])


def open_payload(named, scratch):
    """The payload in an archive, which is unpacked into `scratch`, or in a folder; None: the one
    that this file is a part of."""
    folder = pathlib.Path(named).resolve() if named else ROOT
    if folder.is_file():
        # Before Python 3.11.4 there are no filters.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        try:
            with tarfile.open(folder) as archive:
                archive.extractall(scratch, **safe)
        # One whose transfer was cut short ends early.
        except (tarfile.TarError, EOFError, lzma.LZMAError, OSError) as error:
            raise Unusable(f"{folder} is no archive of pack.sh: {error}; copy it again") from None
        folder = scratch / "mentor-device"
    if not (folder / "bin" / "mentor").exists():
        raise Unusable(
            f"{folder} has no bin/mentor: name the archive or the folder that "
            "tests/device/pack.sh has made"
        )
    return Payload(folder, find_torch())


def said(command, environment=None):
    """The output of a command that tells a fact; empty when it cannot."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **(environment or {})},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine():
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return {
        "gpus": said(["nvidia-smi", *query]).splitlines(),
        "processor": processor[1] if processor else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
    }


def sanitizer():
    """The path of compute-sanitizer, or None."""
    installed = sorted(pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer"))
    return shutil.which("compute-sanitizer") or (str(installed[-1]) if installed else None)
