"""`pip wheel .` and what it installs, from the programs of this build."""

import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import unittest.mock
import zipfile

import module
import package

PACKAGES = module.ROOT / ".deps/packages"
WHEELS = module.ROOT / ".deps/wheels"


@unittest.skipUnless(PACKAGES.is_dir(), "deploy/install.sh --packages was not run")
class WheelTest(unittest.TestCase):  # Nightly
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="mentor-wheel-")
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        # The module as this build has it: other tests import it at the same time.
        # Compression takes half a minute, and reading what is compressed is pip's own matter.
        settings = cls.folder / "setup.cfg"
        settings.write_text("[bdist_wheel]\ncompression = stored\n[sdist]\nformats = tar\n")
        cls.environment = {
            **os.environ,
            "DIST_EXTRA_CONFIG": str(settings),
            "MENTOR_BUILD": str(module.BUILD),
            "MENTOR_PYTHONS": "",
            "PYTHONPATH": str(PACKAGES),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
            "SOURCE_DATE_EPOCH": "1700000000",
        }
        cls.python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", cls.folder, ".")
        (cls.wheel,) = cls.folder.glob("mentor-*.whl")
        cls.installed = cls.folder / "installed"
        words = ("--no-deps", "--no-compile", "--target", cls.installed, cls.wheel)
        cls.python("-m", "pip", "install", *words)

    @classmethod
    def python(cls, *words):
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=module.ROOT,
            env=cls.environment,
            capture_output=True,
            text=True,
            timeout=module.DEADLINE_S,
        )
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        return done.stdout

    def program(self, name, *words):
        return subprocess.run(
            [self.installed / "bin" / name, *words],
            env={**os.environ, "PYTHONPATH": str(self.installed), "MENTOR_ASSETS": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_one_wheel_has_all_parts_and_leaves_out_what_is_heavy(self):
        names = set(zipfile.ZipFile(self.wheel).namelist())
        for part in (
            "mentor/__init__.py",
            "mentor/libmentor_environments.so",
            "mentor/report/cli.py",
            "mentor_client/v1/experiment_service_pb2.py",
            "mentor_client/web/style.css",
            "mentor_env/v1/environment_host_pb2.py",
            "mentor_programs/bin/mentor-actor",
            "mentor_programs/licenses/libc6.txt",
            "mentor_programs/share/mentor/experiments/ml1_reward.txtpb",
            "mentor_programs/share/mentor/zoo/door-close-reward/model.safetensors",
            "mentor_signal/zoo/door-close-reward/model.safetensors",
        ):
            self.assertIn(part, names)
        self.assertIn("py3-none", self.wheel.name)
        (metadata,) = self.installed.glob("mentor-*.dist-info/METADATA")
        wanted = [
            line.partition(": ")[2]
            for line in metadata.read_text().splitlines()
            if line.startswith("Requires-Dist: ")
        ]
        self.assertTrue([line for line in wanted if line.startswith("mujoco==")])
        heavy = [line for line in wanted if line.startswith("torch")]
        self.assertTrue(heavy)
        self.assertEqual([line for line in heavy if "extra ==" not in line], [])
        self.assertEqual([line for line in wanted if "mentor-client" in line], [])

    def test_programs_find_the_wheels_beside_them_and_name_what_is_missing(self):
        missing = self.program("mentor", "--version")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("pip install 'mentor[train]'", missing.stderr)
        for part in ("mujoco", "metaworld", "torch", "nvidia"):
            if part == "torch":
                for name in ("mentor-actor", "mentorctl"):
                    self.assertEqual(self.program(name, "--version").stderr, "")
            link = self.installed / part
            link.symlink_to(WHEELS / part)
            self.addCleanup(link.unlink)
        self.assertRegex(self.program("mentor", "--version").stdout, r"^mentor \d")
        shown = self.program("mentor", "env", "show", "door-close-v3")
        self.assertEqual(shown.returncode, 0, shown.stderr)

    def test_environments_work_without_torch(self):
        link = self.installed / "mujoco"
        link.symlink_to(WHEELS / "mujoco")
        self.addCleanup(link.unlink)
        program = (
            "import sys, mentor; envs = mentor.vector('point_reach', 2); envs.reset(seed=1);"
            "print(mentor.__file__, 'torch' in sys.modules)"
        )
        path = [self.installed, *(module.ROOT / ".deps" / part for part in ("hosts", "signal"))]
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(
            done.stdout.split(), [f"{self.installed}/mentor/__init__.py", "False"], done.stderr
        )

    def test_source_distribution_has_the_whole_repository(self):
        self.python("setup.py", "--quiet", "sdist", "--dist-dir", self.folder)
        (archive,) = self.folder.glob("mentor-*.tar")
        with tarfile.open(archive) as sources:
            names = {name.partition("/")[2] for name in sources.getnames()}
        for part in ("CMakeLists.txt", "actor/actor.cc", "deploy/build.sh", "python/generate.py"):
            self.assertIn(part, names)

    def test_bill_of_materials_lists_libraries_and_wheels(self):
        out = self.folder / "bill.json"
        self.python("deploy/packages/bill_of_materials.py", module.BUILD, "1.2.3", out)
        bill = json.loads(out.read_text())
        self.assertEqual(bill["metadata"]["component"]["version"], "1.2.3")
        named = {part["purl"].partition("@")[0] for part in bill["components"]}
        for part in ("pkg:deb/debian/libprotobuf32", "pkg:pypi/torch", "pkg:pypi/nicegui"):
            self.assertIn(part, named)


@unittest.skipUnless(PACKAGES.is_dir(), "deploy/install.sh --packages was not run")
class BuildTest(unittest.TestCase):
    def test_one_installation_at_a_time_builds_in_a_folder(self):
        scratch = tempfile.TemporaryDirectory(prefix="mentor-build-")
        self.addCleanup(scratch.cleanup)
        folder = pathlib.Path(scratch.name, "build")
        sys.path.insert(0, str(PACKAGES))
        self.addCleanup(sys.path.remove, str(PACKAGES))
        import setuptools

        with unittest.mock.patch.object(setuptools, "setup"):
            setup = package.load("mentor_setup", module.ROOT / "setup.py")
        commands = []

        def take_the_lock():
            opened = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(opened)

        def looked(command, *words):
            commands.append(command)
            with self.assertRaises(BlockingIOError):
                take_the_lock()
            if command == "deploy/packages/collect.sh":
                raise InterruptedError

        with (
            unittest.mock.patch.object(setup, "BUILD", folder),
            unittest.mock.patch.object(setup, "run", looked),
            unittest.mock.patch.object(setup.build_steps.BuildWithStubs, "run"),
            self.assertRaises(InterruptedError),
        ):
            setup.Build(setuptools.Distribution()).run()
        self.assertEqual(commands, ["deploy/build.sh", "deploy/packages/collect.sh"])
        take_the_lock()


class ReleaseTest(unittest.TestCase):
    def test_a_tag_has_the_notes_of_its_version_alone(self):
        with tempfile.TemporaryDirectory(prefix="mentor-release-") as scratch:
            folder = pathlib.Path(scratch)
            (folder / "deploy").mkdir()
            shutil.copy(module.ROOT / "deploy/release.sh", folder / "deploy")
            (folder / "CMakeLists.txt").write_text("project(mentor VERSION 1.2.0 LANGUAGES CXX)\n")
            log = folder / "CHANGELOG.md"
            log.write_text("# Changelog\n\n## [Unreleased]\n\n- new\n\n## [1.1.0]\n\n- old\n")

            def run(*words):
                return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)

            run("git", "init", "-q")
            for name in ("name", "email"):
                run("git", "config", f"user.{name}", "someone")
            self.assertIn("no '## [1.2.0] - DATE'", run("deploy/release.sh").stderr)
            log.write_text(log.read_text().replace("[Unreleased]", "[1.2.0] - 2026-01-01"))
            self.assertIn("no commit yet", run("deploy/release.sh").stderr)
            run("git", "add", "-A")
            run("git", "commit", "-qm", "all")
            self.assertEqual(run("deploy/release.sh").returncode, 0)
            said = run("git", "tag", "-l", "--format=%(contents)", "v1.2.0").stdout
            self.assertEqual(said.split(), ["Mentor", "1.2.0", "-", "new"])
            self.assertIn("tagged already", run("deploy/release.sh").stderr)


if __name__ == "__main__":
    unittest.main()
