"""One arithmetic: the same bits on every processor with AVX2, whoever made it. Libraries that
answer for the processor change nothing; what would change bits is refused by name."""

import contextlib
import re
import shutil
import subprocess
import unittest

from harness import BIN, ClusterTest, sets

UPDATES = 40
NO_EVALUATION = sets("evaluation.lifetimes_per_goal=0")
# Mentor's kernels compute the first, LibTorch the others.
SPECS = {
    "smoke": NO_EVALUATION,
    "lirpg_hopper": NO_EVALUATION
    + sets(
        f"lifetime.iterations={UPDATES}",
        "lifetime.steps_per_iteration=128",
        "agent.minibatches=2",
    ),
    "stn_point_mass": NO_EVALUATION
    + sets(
        f"lifetime.iterations={UPDATES}",
        "lifetime.steps_per_iteration=80",
        "rule.lifetimes_per_update=2",
        "rule.shard_lifetimes=1",
        "rule.outer_steps=one",
    ),
}
# What the fingerprints of experiments named before there was one arithmetic.
EARLIER = {"AMD": "b055dd49484e9251885a3325b4a51c37", "Intel": "869a9ecaa02b7cd0ccd2cd4f8d585c5c"}


def updates(count):
    return sets(f"rule.outer_updates={count}")


class ProcessorsTest(ClusterTest):
    def library(self, name, code):
        """Returns a shared library of this C++ code, to be loaded before all others."""
        source, library = self.folder / f"{name}.cc", self.folder / f"{name}.so"
        source.write_text(f'extern "C" {{ {code} }}\n', encoding="utf-8")
        subprocess.run(["c++", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
        return library

    def answers(self):
        """Returns the environments in which a library says who made the processor."""
        for made_by_intel in (0, 1):
            library = self.library(
                f"intel{made_by_intel}",
                f"int mkl_serv_intel_cpu_true() {{ return {made_by_intel}; }}",
            )
            yield {"LD_PRELOAD": str(library)}

    def test_an_answer_of_a_preloaded_library_changes_no_bit(self):  # Nightly
        for spec, settings in SPECS.items():
            short = settings + updates(3)
            known = self.run_hash(self.folder / spec, *short, spec=spec)
            for i, environment in enumerate(self.answers()):
                with self.subTest(f"{spec}, Intel: {i}"):
                    run = self.folder / f"{spec}-{i}"
                    self.run_spec(run, *short, spec=spec, env=environment)
                    self.assertEqual(self.hash(run), known)

    def test_learners_under_both_answers_share_an_experiment_and_one_dies(self):  # Nightly
        both = list(self.answers())
        for spec, settings in SPECS.items():
            with self.subTest(spec), contextlib.ExitStack() as processes:
                whole = settings + updates(UPDATES)
                known = self.run_hash(self.folder / spec, *whole, spec=spec)
                state = self.folder / f"{spec}-state"
                _, server = self.start_meta_learner(state)

                def start(one, server=server, processes=processes):
                    learner, address = self.start_learner(server, 0, env=one)
                    processes.callback(learner.close)
                    processes.callback(self.start_actor(address).close)
                    return learner

                learners = [start(one) for one in both]
                self.wait_for_peers(server, "learners", 2)
                self.create_experiment(server, "both", *whole, spec=spec)
                self.wait_for_checkpoints(state, 1)
                learners[0].kill()
                self.assertLess(self.newest_step(state), UPDATES)
                # Whichever had the shard, the other one has it now. So does the next one.
                start(both[0])
                learners[1].kill()
                self.wait_for_state(server, "both", "STATE_SUCCEEDED")
                self.assertEqual(self.hash(state), known)

    def test_what_would_give_other_bits_is_refused_by_name(self):  # Nightly
        for name, code in (
            ("branch", "int mkl_serv_cbwr_get(int) { return 2; }"),
            ("blas", "void sgemm_() {}"),
            ("functions", "void vmsExp() {}"),
        ):
            library = self.library(name, code)
            environment = {"LD_PRELOAD": str(library)}
            function = re.search(r"\w+(?=\()", code)[0]
            for command in (
                ("mentor", "rule", "list"),
                ("mentor-learner", "--listen", "127.0.0.1:0"),
                ("mentor-meta-learner", "--state", self.folder / "s", "--listen", "127.0.0.1:0"),
            ):
                with self.subTest(f"{command[0]}, {name}"):
                    said = self.run_to_end(*command, env=environment, code=1)
                    self.assertIn("this process would compute other bits than Mentor's", said)
                    self.assertIn(f"{library} gives {function} in place of LibTorch", said)
                    self.assertIn("start it without that library: see LD_PRELOAD", said)
        self.assertFalse((self.folder / "s").exists())

    def test_variables_that_choose_code_change_no_bit(self):  # Nightly
        short = SPECS["stn_point_mass"] + updates(2)
        known = self.run_hash(self.folder / "known", *short, spec="stn_point_mass")
        for variables in (
            {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default"},
            {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
            {"ATEN_CPU_CAPABILITY": "avx512", "OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
        ):
            with self.subTest(str(variables)):
                run = self.folder / "-".join(variables)
                self.run_spec(run, *short, spec="stn_point_mass", env=variables)
                self.assertEqual(self.hash(run), known)

    @unittest.skipUnless(shutil.which("qemu-x86_64"), "qemu-x86_64 is missing: --processors")
    def test_a_processor_without_avx2_gets_a_message(self):
        for program in ("mentor", "mentor-learner", "mentor-actor", "mentorctl"):
            done = subprocess.run(
                ["qemu-x86_64", "-cpu", "Nehalem", BIN / program, "--version"],
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("this processor has no AVX2, FMA and BMI2", done.stderr)

    def interrupted(self, spec, maker):
        """Returns a run that began on a processor of this maker, and was killed."""
        run = self.folder / f"{spec}-{maker}"
        process = self.start_run(run, *SPECS[spec], *updates(UPDATES), spec=spec)
        self.wait_for_checkpoints(run, 1)
        process.kill()
        self.assertLess(self.newest_step(run), UPDATES)
        (file,) = run.glob("experiments/*/fingerprint")
        whole = file.read_text()
        # Files of that time have no first line with a SHA-256.
        file.write_text(whole.split("\n")[1][:-32] + EARLIER.get(maker, "0" * 32))
        (of_learners,) = run.glob("experiments/*/learner_fingerprint")
        of_learners.write_text("cpu " + EARLIER.get(maker, "0" * 32))
        return run, file, whole

    def test_an_earlier_experiment_of_our_kernels_goes_on_and_others_are_refused(self):  # Nightly
        known = self.run_hash(self.folder / "smoke", *SPECS["smoke"], *updates(UPDATES))
        for maker in EARLIER:
            run, file, whole = self.interrupted("smoke", maker)
            self.run_spec(run, *SPECS["smoke"], *updates(UPDATES))
            self.assertEqual(self.hash(run), known)
            self.assertEqual(file.read_text(), whole)
            run, file, whole = self.interrupted("stn_point_mass", maker)
            before = self.hash(run)
            words = [*SPECS["stn_point_mass"], *updates(UPDATES)]
            said = self.run_spec(run, *words, spec="stn_point_mass", code=1)
            self.assertIn(f"this began on a processor of {maker}, before Mentor had one", said)
            command = re.search(r"begin it anew: (mentor run \S+ --out \S+)", said)
            self.assertTrue(command, said)
            self.assertEqual(self.hash(run), before)
        # The command does what it says.
        anew = command[1].split()
        self.run_to_end(*anew, "--quiet")
        self.assertEqual(
            self.hash(anew[-1]),
            self.run_hash(self.folder / "stn", *words, spec="stn_point_mass"),
        )
        # Arithmetic that Mentor never had is not believed, whatever computes the spec.
        run, _, _ = self.interrupted("smoke", "nobody")
        said = self.run_spec(run, *SPECS["smoke"], *updates(UPDATES), code=1)
        self.assertIn("this began on arithmetic with the fingerprint", said)

    def test_a_service_refuses_an_earlier_experiment_and_says_the_command(self):  # Nightly
        state = self.folder / "state"
        meta_learner, server = self.start_meta_learner(state)
        learner, _, (actor,) = self.start_workers(server, 1)
        for id, spec in (("ours", "smoke"), ("theirs", "stn_point_mass")):
            whole = SPECS[spec] + updates(UPDATES)
            self.create_experiment(server, id, *whole, spec=spec)
        self.wait_until(
            lambda: len(list(state.glob("experiments/*/learner_fingerprint"))) == 2, "both began"
        )
        for process in (meta_learner, learner, actor):
            process.kill()
        for file in state.glob("experiments/*/fingerprint"):
            file.write_text(file.read_text().split("\n")[1][:-32] + EARLIER["AMD"])
            (file.parent / "learner_fingerprint").write_text("cpu " + EARLIER["AMD"])
        _, server = self.start_meta_learner(state)
        self.start_workers(server, 1)
        self.wait_for_state(server, "ours", "STATE_SUCCEEDED")
        self.wait_until(
            lambda: "begin it anew" in self.mentorctl(server, "get", "theirs"), "the refusal"
        )
        said = " ".join(self.mentorctl(server, "get", "theirs").split())
        command = "mentorctl get theirs --spec | mentorctl create -f -"
        self.assertIn(f"begin it anew: {command}", said)
        done = subprocess.run(
            command.replace("mentorctl", f"'{BIN}/mentorctl' --server {server}")
            + " --id anew --wait",
            shell=True,
            capture_output=True,
            text=True,
            timeout=240,
        )
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
