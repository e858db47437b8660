"""The same bits on emulated processors of three makers, at night: what computes changes seldom, and
processors_test.py has the ways in which another maker could choose other code."""

import shutil
import subprocess
import unittest

from harness import BIN, ClusterTest, sets
from processors_test import SPECS, updates

# Processors of three makers, with AVX2 and without AVX-512. The emulator's vrcpps and vrsqrtps give
# other results than those of any maker.
EMULATED = [
    ("smoke", "EPYC,vendor=HygonGenuine"),
    ("lirpg_hopper", "Haswell"),
    ("stn_point_mass", "EPYC"),
]


class EmulatedProcessorsTest(ClusterTest):
    @unittest.skipUnless(shutil.which("qemu-x86_64"), "qemu-x86_64 is missing: --processors")
    def test_emulated_processors_of_other_makers_have_the_same_bits(self):
        for spec, processor in EMULATED:
            with self.subTest(f"{spec} on {processor}"):
                run, emulated = self.folder / f"{spec}-{processor}", self.folder / "emulated"
                few = sets("lifetime.iterations=8") if spec != "smoke" else []
                short = [*SPECS[spec], *few, *updates(1)]
                words = ["-cpu", processor, BIN / "mentor", "run", spec, "--no_report"]
                subprocess.run(
                    ["qemu-x86_64", *words, "--quiet", *short, "--out", emulated / run.name],
                    check=True,
                    capture_output=True,
                    timeout=300,
                )
                self.assertEqual(
                    self.hash(emulated / run.name), self.run_hash(run, *short, spec=spec)
                )


if __name__ == "__main__":
    unittest.main()
