"""deploy/machine.sh, build.sh, install.sh and quickstart.sh on machines that lack something, in a
clone with a space in its path. Programs of the system are played."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = (
    "awk bash cat cmp cp dirname env flock grep head ln mkdir mktemp mv rm sed sha256sum sleep tee "
    "touch"
).split()
GIB = 2**20  # In kB, as in /proc/meminfo.
AGAIN = "run the same command again"


class Clone(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="mentor-deploy-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name, "with space")
        self.bin = self.folder / "bin"
        self.calls = self.folder / "calls"
        self.bin.mkdir(parents=True)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        (self.folder / "deploy").mkdir()
        for script in ("machine", "build", "install", "quickstart"):
            shutil.copy(ROOT / f"deploy/{script}.sh", self.folder / "deploy")
        (self.folder / "experiments").mkdir()
        (self.folder / "experiments/quickstart.txtpb").touch()
        self.machine(cores=4, free=GIB * 23)
        # The clone's machine is the one that is played.
        script = self.folder / "deploy/machine.sh"
        script.write_text(script.read_text().replace("root=${1-}", f"root='{self.folder}/root'"))

    def play(self, program, text):
        """Makes a program of a few lines of bash; its arguments are a line of self.calls."""
        path = self.bin / program
        path.unlink(missing_ok=True)
        path.write_text(f'#!/usr/bin/env bash\necho "{program} $*" >> "{self.calls}"\n{text}\n')
        path.chmod(0o755)

    def machine(self, cores, free, features="avx avx2 fma bmi2", groups="0::/\n", limits=()):
        root = self.folder / "root"
        shutil.rmtree(root, ignore_errors=True)
        files = {
            "proc/cpuinfo": f"flags\t: sse2 {features} sha\n",
            "proc/meminfo": f"MemTotal: {GIB * 500} kB\nMemAvailable:   {free} kB\n",
            "proc/self/cgroup": groups,
            **{f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in dict(limits).items()},
        }
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.play("nproc", f"echo {cores}")

    def start(self, script, *arguments, **env):
        return subprocess.Popen(
            [self.folder / f"deploy/{script}.sh", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A caller in the background may ignore it, and a shell cannot trap it then.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            env={"PATH": str(self.bin), "HOME": str(self.folder)} | env,
        )

    def run_script(self, script, *arguments, **env):
        """-> the exit status and the lines that were printed."""
        self.calls.write_text("")
        with self.start(script, *arguments, **env) as process:
            printed, _ = process.communicate(timeout=50)
        return process.returncode, printed.splitlines()

    def interrupt(self, script, *arguments):
        """Like run_script, with Ctrl-C once `started` is printed."""
        with self.start(script, *arguments) as process:
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip())
                if lines[-1] == "started":
                    os.killpg(process.pid, signal.SIGINT)
        return process.returncode, lines

    def called(self, program):
        lines = self.calls.read_text().splitlines()
        return [line for line in lines if line.startswith(f"{program} ")]


class MachineTest(Clone):
    def jobs(self, cores, free, **more):
        self.machine(cores, free, **more)
        status, printed = self.run_script("machine")
        self.assertEqual(status, 0, printed)
        return int(printed[0])

    def test_compilers_fit_cores_and_free_memory(self):
        self.assertEqual(self.jobs(1, GIB * 4), 1)
        self.assertEqual(self.jobs(64, GIB * 21), 11)
        self.assertEqual(self.jobs(64, GIB * 256), 64)
        self.assertEqual(self.jobs(4, GIB), 1)

    def test_limits_of_groups_count_at_every_level(self):
        # 12 GiB, of which 5 are used, 1 of them by files that give way.
        limits = {
            "jobs/memory.max": 12 * 2**30,
            "jobs/memory.current": 5 * 2**30,
            "jobs/memory.stat": f"anon 9\ninactive_file {2**30}",
            "jobs/mine/memory.max": "max",
            "jobs/mine/memory.current": 2**30,
        }
        groups = "1:cpu:/other\n0::/jobs/mine\n"
        self.assertEqual(self.jobs(64, GIB * 500, groups=groups, limits=limits), 4)
        # A container may see its own group as the topmost one.
        limits = {"memory.max": 5 * 2**30, "memory.current": 0, "memory.stat": ""}
        self.assertEqual(self.jobs(64, GIB * 500, groups="0::/\n", limits=limits), 2)

    def test_limits_of_older_groups_count(self):
        limits = {
            "memory/a/memory.limit_in_bytes": 9 * 2**30,
            "memory/a/memory.usage_in_bytes": 2 * 2**30,
            "memory/a/memory.stat": f"inactive_file 0\ntotal_inactive_file {2**30}",
            "memory/memory.limit_in_bytes": 2**63 - 4096,
            "memory/memory.usage_in_bytes": 9 * 2**30,
        }
        groups = "4:memory:/a\n0::/\n"
        self.assertEqual(self.jobs(64, GIB * 500, groups=groups, limits=limits), 4)

    def test_a_processor_without_avx2_is_told_before_anything_is_done(self):
        for program in ("cmake", "apt-get", "python3"):
            self.play(program, "")
        self.machine(2, GIB * 8, features="avx")
        for script in ("machine", "build", "quickstart"):
            status, printed = self.run_script(script)
            self.assertEqual((status, len(printed)), (1, 1), printed)
            self.assertRegex(printed[0], "no AVX2.*take a machine with")
            self.assertEqual(self.calls.read_text(), "")


class BuildTest(Clone):
    def setUp(self):
        super().setUp()
        for program in ("ninja", "c++", "cmake"):
            self.play(program, "")

    def cmake_fails(self, text, status=1):
        self.play("cmake", f'[ "$1" != --build ] || {{ cat <<"END"; exit {status}; }}\n{text}\nEND')

    def test_the_build_has_as_many_jobs_as_fit_or_as_are_asked_for(self):
        self.assertEqual(self.run_script("build", "--werror", "mentor"), (0, []))
        build = "cmake --build --preset dev --parallel {} --target mentor"
        self.assertEqual(self.called("cmake")[1:], [build.format(4)])
        self.assertEqual(self.run_script("build", "--jobs", "9", "mentor")[0], 0)
        self.assertEqual(self.called("cmake")[1:], [build.format(9)])
        # cmake takes an empty preset for none, and builds into the sources.
        for bad in (["0"], ["-1"], ["many"], ["1.5"], ["4", "--preset", ""], ["4", ""]):
            status, printed = self.run_script("build", "--jobs", *bad)
            self.assertEqual((status, self.called("cmake")), (2, []), printed)

    def test_a_compiler_that_was_killed_is_a_lack_of_memory(self):
        for text in (
            "c++: fatal error: Killed signal terminated program cc1plus",
            "collect2: fatal error: ld terminated with signal 9 [Killed]",
            "nvcc error   : 'cicc' died due to signal 9 (Kill signal)",
            "clang: error: unable to execute command: Killed",
            "cc1plus: out of memory allocating 65536 bytes after a total of 9 bytes",
            "virtual memory exhausted: Cannot allocate memory",
        ):
            self.cmake_fails(text)
            status, printed = self.run_script("build", "--preset", "asan", "--werror", "a", "b")
            self.assertEqual((status, printed[0]), (1, text))
            command = "deploy/build.sh --jobs 2 --preset asan --werror a b"
            self.assertRegex(printed[-1], f"memory ran out with 4 compilers.*: {command}$")
        status, printed = self.run_script("build", "--jobs", "1")
        self.assertRegex(printed[-1], f"memory ran out.*needs 2 GB: .*{AGAIN}")

    def test_a_full_disk_is_told_with_what_a_build_needs(self):
        for text in (
            "a.h:1: fatal error: cannot write PCH file: No space left on device",
            "mold: failed to write to an output file. Disk full?",
        ):
            self.cmake_fails(text)
            status, printed = self.run_script("build", "mentor")
            self.assertEqual((status, printed[0]), (1, text))
            self.assertRegex(printed[-1], rf"disk is full.* need \d+ GB.*make room.*{AGAIN}")

    def test_a_mistake_in_the_sources_gets_no_advice(self):
        self.cmake_fails("a.cc:1: error: 'Killed' was not declared in this scope", status=3)
        self.assertEqual(len(self.run_script("build")[1]), 1)
        self.assertEqual(self.run_script("build")[0], 3)

    def test_after_an_interrupt_the_same_command_goes_on(self):
        # ninja removes what is half written, and says so.
        self.play("cmake", "trap 'sleep 0.2; echo cleaned; exit 2' INT; echo started; sleep 9")
        status, printed = self.interrupt("build", "mentor")
        self.assertEqual((status, printed[:2]), (130, ["started", "cleaned"]))
        self.assertRegex(printed[2], f"build.sh: stopped; {AGAIN}")
        self.assertEqual(len(printed), 3)

    def test_of_two_builds_at_once_one_waits(self):
        self.play("cmake", '[ "$1" != --build ] || { echo begins; sleep 0.3; echo ends; }')
        both = [self.start("build") for _ in range(2)]
        printed = sorted(process.communicate(timeout=50)[0] for process in both)
        self.assertEqual([process.returncode for process in both], [0, 0])
        built = "begins\nends\n"
        waits = "build.sh: waits for another build of this clone\n"
        self.assertEqual(printed, [built, waits + built])
        words = [line.split()[1] for line in self.called("cmake")]
        self.assertEqual(words, ["--preset", "--build"] * 2)
        # Some file systems have no locks.
        self.play("flock", "exit 65")
        self.assertEqual(self.run_script("build"), (0, ["begins", "ends"]))

    def test_a_cache_that_cannot_be_written_is_left_out(self):
        self.play("cmake", 'echo "cache ${CCACHE_DISABLE-on}"')
        self.assertEqual(self.run_script("build")[1], ["cache on"] * 2)
        self.play("ccache", 'echo "$HOME/cache"')
        self.assertEqual(self.run_script("build")[1], ["cache on"] * 2)
        (self.folder / "cache").rmdir()
        (self.folder / "cache").touch()
        self.assertEqual(self.run_script("build")[1], ["cache 1"] * 2)

    def test_a_program_that_is_missing_is_named(self):
        (self.bin / "ninja").unlink()
        status, printed = self.run_script("build")
        self.assertEqual(printed, ["build.sh: ninja is missing: run deploy/install.sh first"])
        self.assertEqual(status, 1)


class LinksTest(Clone):
    def test_what_python_compiled_in_the_package_and_its_links_stays(self):
        for where in ("from", "to"):
            (self.folder / where / "__pycache__").mkdir(parents=True)
        (self.folder / "from/a.py").touch()
        (self.folder / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(links NONE)\n"
            f"include({ROOT}/cmake/PythonModule.cmake)\nmentor_python_links("
            '"${CMAKE_SOURCE_DIR}/from" "${CMAKE_SOURCE_DIR}/to")\n'
        )
        subprocess.run(
            [shutil.which("cmake"), "-S", self.folder, "-B", self.folder / "build"],
            check=True,
            capture_output=True,
        )
        self.assertTrue((self.folder / "to/a.py").is_symlink())
        self.assertFalse((self.folder / "to/__pycache__").is_symlink())


# Plays pip: writes half of the folder, stops there where STOP exists, and writes the rest.
PIP = """
while [ $# -gt 0 ]; do [ "$1" != --target ] || target=$2; shift; done
[ -n "$target" ] || exit 0
mkdir -p "$target"
touch "$target/half"
if [ -e stop ]; then echo started; cat stop; exit 1; fi
touch "$target/rest"
"""


class InstallTest(Clone):
    def setUp(self):
        super().setUp()
        lists = self.folder / "deploy/requirements"
        lists.mkdir()
        (lists / "apt.txt").write_text("# Packages.\nsome\nother\n")
        for name in ("wheels", "bindings", "report", "mutants"):
            (lists / f"{name}.txt").write_text(f"{name}==1\n")
        (self.folder / "deploy/assets.sha256").write_text(f"{'0' * 64}  model.xml\n")
        self.play("sha256sum", "[ -f half ] && [ ! -f damaged ]")
        self.play("dpkg-query", 'printf "installed=%s " "${@:3}"')
        self.play("id", "echo 0")
        self.play("dpkg", "")
        self.play("apt-get", "")
        self.play("python3", PIP)

    def installed(self, name):
        folder = self.folder / ".deps" / name
        return (folder / "rest").exists() and folder.with_suffix(".txt").exists()

    def pips(self):
        return [line.rpartition("/")[2] for line in self.called("python3") if " pip " in line]

    def test_a_second_run_needs_neither_network_nor_root(self):
        self.assertEqual(self.run_script("install")[0], 0)
        self.assertEqual(self.pips(), ["wheels.txt", "bindings.txt", "report.txt"])
        self.play("id", "echo 1000")
        self.assertEqual(self.run_script("install"), (0, []))
        self.assertEqual(self.called("python3") + self.called("apt-get"), [])

    def test_what_was_cut_short_is_completed(self):
        self.assertEqual(self.run_script("install")[0], 0)
        wheels = self.folder / "deploy/requirements/wheels.txt"
        (self.folder / "stop").touch()
        old = wheels.read_text()
        wheels.write_text("wheels==2\n")
        status, printed = self.run_script("install")
        self.assertEqual(status, 1)
        self.assertRegex(printed[-1], "pip did not install deploy/requirements/wheels.txt: ")
        self.assertRegex(printed[-1], f"network and room on the disk.*{AGAIN}")
        (self.folder / "stop").unlink()
        # The folder has something of both lists now.
        wheels.write_text(old)
        self.assertEqual(self.run_script("install")[0], 0)
        self.assertEqual(self.pips(), ["wheels.txt"])
        self.assertTrue(self.installed("wheels"))

    def test_what_is_damaged_or_gone_is_installed_again_and_nothing_else(self):
        self.assertEqual(self.run_script("install")[0], 0)
        (self.folder / ".deps/wheels/damaged").touch()
        self.run_script("install")
        self.assertEqual(self.pips(), ["wheels.txt"])
        (self.folder / ".deps/wheels/damaged").unlink()
        shutil.rmtree(self.folder / ".deps/report")
        self.assertEqual(self.run_script("install")[0], 0)
        self.assertEqual(self.pips(), ["report.txt"])

    def test_without_network_the_missing_packages_are_named(self):
        self.play("dpkg-query", 'printf "installed=some "; exit 1')
        self.play("apt-get", "exit 100")
        status, printed = self.run_script("install")
        self.assertEqual(status, 1)
        self.assertRegex(printed[-1], f"apt-get did not install other: with network.*{AGAIN}")
        # An installation that was cut short is completed first.
        self.assertEqual(self.called("dpkg"), ["dpkg --configure -a"])

    def test_without_root_the_missing_packages_are_named(self):
        self.play("dpkg-query", "exit 1")
        self.play("id", "echo 1000")
        status, printed = self.run_script("install")
        self.assertEqual(status, 1)
        self.assertRegex(printed[-1], f"some other are missing: become root.*sudo.*{AGAIN}")
        self.assertEqual(self.called("apt-get"), [])

    def test_install_goes_on_after_an_interrupt(self):
        self.play("python3", "trap 'exit 1' INT; echo started; sleep 9")
        status, printed = self.interrupt("install")
        self.assertEqual(status, 130)
        self.assertRegex(printed[-1], f"install.sh: stopped; {AGAIN}")
        self.assertEqual(len(printed), 3)
        self.play("python3", PIP)
        self.assertEqual(self.run_script("install")[0], 0)
        self.assertTrue(self.installed("wheels") and self.installed("report"))


if __name__ == "__main__":
    unittest.main()
