"""Every step of run.py that needs no hardware, on the emulation: pack.sh packs the build."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import run

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", ROOT / "build/bin"))
WHEELS = os.environ.get("MENTOR_INSTALLED_ASSETS", ROOT / ".deps/wheels")


class EmulatedTest(unittest.TestCase):
    def test_every_step_passes_from_a_build_folder(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "scratch").mkdir()
            payload = folder / "payload"
            pack = [HERE / "pack.sh", "--build", BIN.parent, payload]
            subprocess.run(pack, check=True, timeout=300)
            # By the copy in the payload, as on a machine without the sources.
            command = [sys.executable, payload / "tests/device/run.py", "--device", "emulated"]
            done = subprocess.run(
                [*command, "--keep", folder / "kept", "--slower", "4"],
                capture_output=True,
                text=True,
                timeout=2400,
                env={
                    **os.environ,
                    "PYTHONPATH": str(WHEELS),
                    "TMPDIR": str(folder / "scratch"),
                },
            )
            logs = {path.name: path.read_text() for path in (folder / "kept").glob("*.log")}
            self.assertEqual(done.returncode, 0, f"{done.stdout}{done.stderr}{logs}")
            self.assertEqual((folder / "kept/page.txt").read_text(), done.stdout)
            self.assertEqual(list((folder / "scratch").iterdir()), [])
            self.assert_complete(json.loads((folder / "kept/device.json").read_text()))
            self.assertEqual(set(logs), {f"{step.name}.log" for step in run.STEPS})
            self.assertIn("mentor-learner", logs["shared.log"])

    def assert_complete(self, report):
        self.assertTrue(report["passed"])
        self.assertEqual(report["device"], "emulated")
        self.assertEqual(report["versions"]["torch"].split("+")[0], "2.11.0")
        self.assertRegex(report["versions"]["mentor"], r"^mentor \d")
        steps = report["steps"]
        self.assertEqual(list(steps), [step.name for step in run.STEPS])
        sanitizers = steps.pop("sanitizers")
        self.assertEqual((sanitizers["result"], sanitizers["why"]), ("skipped", "needs a GPU"))
        for name, step in steps.items():
            self.assertEqual(step["result"], "passed", name)
        facts = {name: step["facts"] for name, step in steps.items()}
        hashes = []
        for row in facts["bits"]["specs"].values():
            self.assertEqual(row["device"], row["cpu"])
            hashes.append(row["device"])
        self.assertGreaterEqual(len(hashes), 11)
        self.assertEqual(len(set(hashes)), len(hashes))
        experiments = [facts["shared"], facts["killed"], facts["lost"]["fails"]]
        experiments += [facts["lost"]["hangs"], facts["memory"]]
        for one in experiments:
            self.assertRegex(one["hash"], "^[0-9a-f]{64}$")
            self.assertEqual(one["hash"], one["alone"])
        self.assertEqual(set(facts["shared"]["shards"]), {"cpu", "emulated"})
        self.assertEqual(facts["lost"]["fails"]["exit"], 6)
        self.assertEqual(facts["lost"]["hangs"]["exit"], 6)
        self.assertLess(facts["memory"]["below_mb"], facts["memory"]["above_mb"])
        for device in ("emulated", "cpu"):
            measured = facts["bench"]["devices"][device]["figures"]
            self.assertIn("ppo/step_s1", measured)
        self.assertIn("ppo/jax", facts["bench"]["devices"]["emulated"]["left_out"])


if __name__ == "__main__":
    unittest.main()
