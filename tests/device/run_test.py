"""What run.py makes of programs that fail, lie or hang. Scripts stand for them."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

import run
import steps

HERE = pathlib.Path(__file__).resolve().parent
# `mentor run SPEC --out FOLDER --device DEVICE ...`, `mentor hash FOLDER`.
MENTOR = """#!/bin/sh
case "$1" in
  --version) echo 'mentor 0.0.0' ;;
  run)
    {run}
    if [ -n "$MENTOR_FAILPOINT_LOG" ]; then
      echo 'device.launch 1 sleep(0)' >> "$MENTOR_FAILPOINT_LOG"
      case "$2" in
        smoke | *reach | *_both | ml1* | hopper | *_es | *_attention)
          echo 'device.launch 2 sleep(0)' >> "$MENTOR_FAILPOINT_LOG" ;;
      esac
    fi ;;
  hash) {hash} ;;
esac
"""
SAME = "printf '%064d\\n' 7"
BY_DEVICE = "case \"$2\" in *cpu) printf '%064d\\n' 7 ;; *) printf '%064d\\n' 8 ;; esac"


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "scratch").mkdir()
        self.make_torch("2.11.0")

    def make_torch(self, version):
        """A package that is found, and has no libraries."""
        (self.folder / "python/torch").mkdir(parents=True, exist_ok=True)
        (self.folder / "python/torch/__init__.py").touch()
        info = self.folder / "python" / f"torch-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        return info

    def make_payload(self, run="true", hash=SAME):
        program = self.folder / "payload/bin/mentor"
        program.parent.mkdir(parents=True)
        program.write_text(MENTOR.replace("{run}", run).replace("{hash}", hash))
        program.chmod(0o755)
        return program.parent.parent

    def run_steps(self, payload, *flags, code):
        """Returns what is printed, errors after it."""
        done = subprocess.run(
            [sys.executable, HERE / "run.py", payload, "--device", "emulated", *flags]
            + ["--keep", self.folder / "kept"],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder / "python"),
                "TMPDIR": str(self.folder / "scratch"),
            },
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertEqual(list((self.folder / "scratch").iterdir()), [], "temporary files are left")
        return done.stdout + done.stderr

    def report(self):
        return json.loads((self.folder / "kept/device.json").read_text())

    def test_equal_hashes_pass(self):
        page = self.run_steps(self.make_payload(), "--only", "bits", code=0)
        self.assertRegex(page, r"PASSED +bits .*12 of 12 specs have the CPU's hash")
        self.assertIn("1 passed, 0 failed, 0 skipped", page)
        report = self.report()
        self.assertTrue(report["passed"])
        self.assertEqual(len(report["steps"]["bits"]["facts"]["specs"]), 12)

    def test_hashes_that_differ_fail_the_step(self):
        page = self.run_steps(self.make_payload(hash=BY_DEVICE), "--only", "bits", code=1)
        self.assertRegex(page, "FAILED +bits .*not the CPU's hash: smoke, point_reach, ")
        self.assertRegex(page, r"smoke +DIFFERENT +0{12}")
        report = self.report()
        self.assertFalse(report["passed"])
        self.assertEqual(report["steps"]["bits"]["result"], "failed")

    def test_a_device_without_work_fails_the_step(self):
        payload = self.make_payload(run="unset MENTOR_FAILPOINT_LOG")
        page = self.run_steps(payload, "--only", "bits", code=1)
        self.assertRegex(page, "FAILED +bits .*a spec with kernels launched no more of them")

    def test_a_failed_step_does_not_stop_the_next_ones(self):
        payload = self.make_payload(run="echo no device >&2; exit 3")
        chosen = ("--only", "bits", "--only", "shared", "--only", "sanitizers")
        page = self.run_steps(payload, *chosen, code=1)
        self.assertRegex(page, r"FAILED +bits ")
        self.assertRegex(page, r"FAILED +shared ")
        self.assertRegex(page, r"SKIPPED +sanitizers .*needs a GPU")
        self.assertIn("0 passed, 2 failed, 1 skipped", page)
        for step in ("bits", "shared"):
            self.assertIn("no device", (self.folder / f"kept/{step}.log").read_text())

    def test_a_step_ends_at_its_deadline_and_so_does_what_it_started(self):
        pids = self.folder / "pids"
        payload = self.make_payload(run=f"echo $$ >> {pids}; exec sleep 600")
        page = self.run_steps(payload, "--only", "bits", "--slower", "0.05", code=1)
        self.assertRegex(page, r"FAILED +bits .*not done in 5\.5 s")
        started = pids.read_text().split()
        self.assertTrue(started)
        for pid in started:
            with contextlib.suppress(FileNotFoundError):
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                self.assertNotIn(b"sleep", command, "still runs")

    def test_what_cannot_run_is_refused_with_the_remedy(self):
        said = self.run_steps(self.folder, code=2)
        self.assertIn("has no bin/mentor: name the archive or the folder that tests/device", said)
        (self.folder / "text").write_text("text")
        said = self.run_steps(self.folder / "text", code=2)
        self.assertIn("is no archive of pack.sh", said)
        whole = self.folder / "whole.tar.xz"
        with tarfile.open(whole, "w:xz") as archive:
            (self.folder / "noise").write_bytes(os.urandom(1 << 18))
            archive.add(self.folder / "noise")
        for length in (30, 1 << 16):
            (self.folder / "cut").write_bytes(whole.read_bytes()[:length])
            said = self.run_steps(self.folder / "cut", code=2)
            self.assertIn("is no archive of pack.sh", said)
            self.assertNotIn("Traceback", said)
        payload = self.make_payload()
        for version in ("2.10.0", "2.110.0"):
            for info in (self.folder / "python").glob("*.dist-info"):
                info.rename(self.folder / f"{info.name}-{version}")
            self.make_torch(version)
            said = self.run_steps(payload, code=2)
            self.assertIn(f"has torch {version}, the programs need 2.11: install torch", said)

    def test_a_device_that_cannot_be_used_ends_it_before_the_steps(self):
        payload = self.make_payload(run="echo 'error: --device cuda: no driver' >&2; exit 2")
        said = self.run_steps(payload, code=2)
        self.assertIn("--device emulated cannot be used: error: --device cuda: no driver", said)
        self.assertFalse((self.folder / "kept/device.json").exists())

    def test_deadlines_are_multiplied_by_a_number_above_0(self):
        for number in ("nan", "inf", "0", "-1"):
            said = self.run_steps(self.folder, f"--slower={number}", code=2)
            self.assertIn(f"{number} is not a number above 0", said)

    def test_the_steps_have_eight_minutes(self):
        self.assertEqual(sum(step.budget_s for step in run.STEPS), 480)
        self.assertEqual(len(steps.CASES), 12)

    def test_the_page_says_which_measurements_and_peers_are_missing(self):
        figure = {"median": 0.25, "unit": "ms"}
        facts = {
            "devices": {
                "cuda": {
                    "figures": {"ppo/step_s30": figure, "ppo/step_s30 jax": figure},
                    "left_out": {"ppo/jax": "no jax"},
                },
                "cpu": {"figures": {"ppo/step_s30": figure}, "left_out": {}},
            }
        }
        lines = list(run.bench_table(facts))
        self.assertRegex(lines[0], "cuda +cpu$")
        self.assertRegex(lines[1], r"ppo/step_s30 +0\.25 +0\.25  ms$")
        self.assertRegex(lines[2], r"ppo/step_s30 jax +0\.25 +ms$")
        self.assertIn("left out on cuda: ppo/jax: no jax", lines[3])


if __name__ == "__main__":
    unittest.main()
