"""Device code keeps its limits and the CPU's arithmetic; the gate finds planted faults."""

import os
import pathlib
import re
import unittest

import device_code

HERE = pathlib.Path(__file__).resolve().parent
PROBE = HERE / "probe.cu"
PROGRAMS = pathlib.Path(os.environ.get("MENTOR_BIN_DIR", HERE.parents[1] / "build/bin"))
COMPUTING = ("mentor", "mentor-learner", "mentor-meta-learner")
ROOMY = {"registers": 255, "shared_bytes": 1 << 17}


class DeviceCode(unittest.TestCase):
    def setUp(self):
        if not device_code.NVCC.exists():
            self.skipTest("no compiler of device code here: deploy/install.sh --nvcc")

    def test_every_kernel_keeps_its_limits_and_the_cpus_arithmetic(self):  # Nightly
        """On one generation; device_generations_test.py has all of them, at night."""
        names, findings = device_code.look_at_all([90])
        self.assertEqual(findings, [])
        self.assertEqual(names, set(device_code.LIMITS["kernels"]), "lines without a kernel")

    def test_programs_that_compute_have_every_kernel_for_every_generation(self):
        generations = device_code.LIMITS["generations"]
        kinds = {(device_code.MACHINE_CODE, one) for one in generations}
        kinds.add((device_code.PTX, generations[-1]))
        kernels = {name for name in device_code.LIMITS["kernels"] if not name.startswith("Probe<")}
        said = f"for GPUs: sm_{', sm_'.join(map(str, generations))}, PTX for later ones\n"
        for program in COMPUTING:
            with self.subTest(program):
                sources = device_code.inside(PROGRAMS / program)
                for one in sources:
                    self.assertEqual(one.keys(), kinds)
                for one in generations:
                    names = set().union(
                        *(source[device_code.MACHINE_CODE, one] for source in sources)
                    )
                    self.assertEqual(names, kernels, f"sm_{one}")
                version = device_code.run([PROGRAMS / program, "--version"]).stdout
                self.assertTrue(version.endswith(said), version)

    def test_programs_need_nothing_of_nvidia_but_the_runtime(self):
        """Beside it, LibTorch for the CPU loads CUPTI."""
        for program in COMPUTING:
            needed = device_code.run(["ldd", PROGRAMS / program]).stdout
            elsewhere = set(re.findall(r"^\t(\S+) => (?!/lib/|/usr/)", needed, re.MULTILINE))
            elsewhere -= {"libmujoco.so.3.3.0", "libgomp.so.1"}
            self.assertEqual(
                elsewhere, {"libtorch_cpu.so", "libc10.so", "libcudart.so.13", "libcupti.so.13"}
            )

    def test_faults_in_a_source_are_found(self):
        faults = {
            "FusedDouble": "a product and a sum of doubles",
            "SumByArrival": "sums in the order of arrival",
            "Approximation": "is an approximation",
            "RoundedDown": "is not bound to its rounding",
            "Call": "calls what should be compiled into",
            "LocalMemory": "bytes of local memory",
            "Spills": "; spills ",
        }
        kernels = {
            kernel.name: kernel
            for kernel in device_code.compile_kernels(HERE / "planted.cu", generations=[90])
        }
        self.assertEqual(kernels.keys(), faults.keys())
        for name, words in faults.items():
            with self.subTest(name):
                findings = device_code.findings_of(kernels[name], {name: ROOMY})
                self.assertTrue(findings)
                for finding in findings:
                    self.assertIn(words, finding)
        allowed = {"FusedDouble": {**ROOMY, "fused_doubles": True}}
        self.assertEqual(device_code.findings_of(kernels["FusedDouble"], allowed), [])

    def test_faults_in_the_flags_are_found(self):  # Nightly
        right = set(device_code.FLAGS)
        for flags, words in [
            ({"-use_fast_math"}, "flushes to zero"),
            (right - {"-fmad=false"}, "may be contracted"),
            (right - {"-ftz=false"} | {"-ftz=true"}, "flushes to zero"),
            (right - {"-prec-div=true"} | {"-prec-div=false"}, "is an approximation"),
            (right - {"-prec-sqrt=true"} | {"-prec-sqrt=false"}, "is an approximation"),
        ]:
            with self.subTest(flags):
                findings = [
                    finding
                    for kernel in device_code.compile_kernels(PROBE, sorted(flags), [90])
                    for finding in device_code.findings_of(kernel)
                ]
                self.assertTrue(any(words in finding for finding in findings), findings)

    def test_a_kernel_past_its_limits_is_found(self):
        kernel = device_code.compile_kernels(PROBE, generations=[90])[0]
        exact = {"registers": kernel.registers, "shared_bytes": kernel.shared_bytes}
        self.assertEqual(device_code.findings_of(kernel, {kernel.name: exact}), [])
        for what in exact:
            with self.subTest(what):
                lower = {kernel.name: {**exact, what: exact[what] - 1}}
                (finding,) = device_code.findings_of(kernel, lower)
                self.assertIn(f"{what} are limited to {exact[what] - 1}", finding)
        (finding,) = device_code.findings_of(kernel, {"Another": exact})
        self.assertIn("has no line in tests/gate/limits.toml", finding)


if __name__ == "__main__":
    unittest.main()
