"""What deploy/package.sh makes of a moved clone runs on machines without a compiler, installed by
the lines of README and docs/operating.md as printed.

A machine is a folder with the files of Debian packages: those of a bare Debian, or what Mentor's
packages depend on. They come from this machine, and no process sees more of it, but for the wheels
that pip would download. tests/bare_machine.sh downloads everything.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import module
from run_test import SMOKE_HASH

SHUT_IN = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
if os.geteuid() != 0:
    SHUT_IN.insert(1, "--map-root-user")
WHEELS = module.ROOT / ".deps/wheels"


def output(*words, **options):
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=module.DEADLINE_S,
        **options,
    )
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.stdout}{done.stderr}")
    return done.stdout


def commands(page, part):
    """Returns the lines of the one block of commands that has this part."""
    blocks = re.findall(r"```bash\n(.*?)```", (module.ROOT / page).read_text(), re.DOTALL)
    (block,) = [block for block in blocks if part in block]
    return block


class Machine:
    """A folder with the files of these packages, and of what they depend on, as they are here."""

    def __init__(self, folder, packages):
        self.folder = folder
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / "usr" / name).mkdir(parents=True)
            (folder / name).symlink_to(f"usr/{name}")
        for name in ("proc", "dev", "tmp", "root"):
            (folder / name).mkdir()
        refused = "recommends suggests conflicts breaks replaces enhances".split()
        words = ("apt-cache", "depends", "--recurse", "--installed", *packages)
        told = output(*words, *(f"--no-{kind}" for kind in refused)).splitlines()
        names = sorted({line for line in told if line[0] not in " |<"})
        # One of several that satisfy a dependency may be missing here.
        owned = subprocess.run(["dpkg", "-L", *names], capture_output=True, text=True).stdout
        files = []
        for line in owned.splitlines():
            path = pathlib.Path(line)
            if line.startswith("/") and (path.is_symlink() or path.is_file()):
                files.append(str((path.parent.resolve() / path.name).relative_to("/")))
        listed = folder / "tmp/files"
        listed.write_text("\n".join(sorted(set(files))))
        copy = 'tar --create --directory / --files-from "$0" | tar --extract --directory "$1"'
        output("bash", "-o", "pipefail", "-c", copy, listed, folder)

    def run(self, *words, mounts="", **environment):
        prepare = f'cd "$0"; mount --rbind /dev dev; mount -t proc proc proc; {mounts}exec "$@"'
        variables = ["HOME=/root", "PATH=/usr/bin", *(f"{k}={v}" for k, v in environment.items())]
        inside = ["/usr/sbin/chroot", self.folder, "/usr/bin/env", "-i", *variables, *words]
        return output(*SHUT_IN, "bash", "-ec", prepare, self.folder, *inside)


@unittest.skipUnless((module.ROOT / ".deps/packages").is_dir(), "no deploy/install.sh --packages")
class Packaged(unittest.TestCase):
    KIND = ""  # An argument of deploy/package.sh.

    @classmethod
    def setUpClass(cls):
        if subprocess.run([*SHUT_IN, "true"], stderr=subprocess.DEVNULL).returncode != 0:
            raise unittest.SkipTest("this machine lets nobody make namespaces of mounts")
        scratch = tempfile.TemporaryDirectory(prefix="mentor-packages-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        clone, settings = cls.folder / "clone", cls.folder / "setup.cfg"
        clone.mkdir()
        copy = (
            'git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$0"'
        )
        output("bash", "-o", "pipefail", "-c", copy, clone, cwd=module.ROOT)
        (clone / "build/python").mkdir(parents=True)
        (clone / ".deps").mkdir()
        shutil.copy2(module.BUILD / "CMakeCache.txt", clone / "build")
        for part in ("bin", "python/mentor"):
            shutil.copytree(module.BUILD / part, clone / "build" / part, symlinks=True)
        # Compression takes half a minute.
        settings.write_text("[bdist_wheel]\ncompression = stored\n")
        environment = {
            **os.environ,
            "AUDITWHEEL_ZIP_COMPRESSION_LEVEL": "0",
            "DIST_EXTRA_CONFIG": str(settings),
        }
        hide = 'mount --rbind "$0/.deps" .deps; mount -t tmpfs none "$0"; deploy/package.sh "$1"'
        words = ("bash", "-ec", hide, module.ROOT, cls.KIND)
        output(*SHUT_IN, *words, cwd=clone, env=environment)
        cls.packages = clone / "packages"

    def machine(self, packages):
        folder = tempfile.TemporaryDirectory(dir=self.folder)
        self.addCleanup(folder.cleanup)
        return Machine(pathlib.Path(folder.name), packages)


class WheelTest(Packaged):
    KIND = "--wheel"

    def test_wheel_by_the_lines_of_readme(self):
        essential = output("dpkg-query", "-W", "-f", "${Essential} ${Package}\n").splitlines()
        bare = [line.split()[1] for line in essential if line.startswith("yes ")]
        machine = self.machine([*bare, "apt", "python3-venv"])  # As debootstrap makes it.
        shutil.copytree(self.packages, machine.folder / "root/packages")
        mounts = ""
        for folder in (WHEELS, module.ROOT / ".deps/report"):
            (machine.folder / folder.name).mkdir()
            mounts += f'mount --bind "{folder.resolve()}" {folder.name}; '
        # The two folders stand for what pip would download.
        program = f"""cd
            {commands("README.md", "packages/mentor-")}
            site=$(echo env/lib/python3*/site-packages)
            ln -s /wheels/* "$site"
            echo /report >"$site/report.pth"
            if command -v cc gcc c++ g++ ld cmake; then exit 1; fi
            mentor run smoke >&2
            ls runs/smoke-*/report.html
            mentor hash runs/smoke-*"""
        words = ("bash", "-ec", program)
        said = machine.run(*words, mounts=mounts, PIP_NO_DEPS=1, PIP_NO_INDEX=1)
        self.assertIn(SMOKE_HASH, said)


class DebianPackagesTest(Packaged):  # Nightly
    KIND = "--debs"

    def test_debian_packages_by_the_lines_of_operating(self):
        lines = commands("docs/operating.md", "apt-get install ./packages/").splitlines()
        tried = set()
        for line in lines:
            wanted = line.removeprefix("sudo apt-get install ").partition("#")[0]
            files = output("bash", "-c", f"ls {wanted}", cwd=self.packages.parent).split()
            files = [self.packages.parent / file for file in files]
            ours = {file.name.partition("_")[0] for file in files}
            depends = set()
            for file in files:
                field = output("dpkg-deb", "--field", file, "Depends")
                depends |= set(re.findall(r"(?:^|, |\| )([^ ,\n]+)", field))
            foreign = depends - ours
            self.assertEqual([name for name in foreign if "mentor" in name], [], line)
            machine = self.machine([*foreign, "coreutils"])
            for file in files:
                output("dpkg-deb", "--extract", file, machine.folder)
            programs = ours - {"mentor-libtorch", "mentor-simulators"}
            for program in programs:
                self.assertRegex(machine.run(program, "--version"), rf"^{program} \d")
            if "mentor" in ours:
                machine.run("mentor", "run", "smoke", "--no_report", "--out", "/tmp/smoke")
                self.assertIn(SMOKE_HASH, machine.run("mentor", "hash", "/tmp/smoke"))
            tried |= programs
        self.assertEqual(len(tried), 5)


if __name__ == "__main__":
    unittest.main()
