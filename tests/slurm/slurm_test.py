"""deploy/slurm/mentor.sbatch on a real Slurm of three nodes: requeued, preempted, cancelled, and
with other nodes, the hash is that of one process."""

import errno
import importlib.machinery
import importlib.util
import os
import pathlib
import socket
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cluster")]

import harness  # noqa: E402
from cluster import Cluster  # noqa: E402

SCRIPT = harness.ROOT / "deploy/slurm/mentor.sbatch"
UPDATES = 200


class SlurmTest(harness.ClusterTest):
    @classmethod
    def setUpClass(cls):
        cls.shared = cls.enterClassContext(harness.ClusterTest.alone())
        cls.slurm = Cluster(cls.shared)

    def sbatch(self, *words):
        """Submits a job in the test's folder; returns its number."""
        own = {
            "PATH": f"{harness.BIN}:{self.slurm.env['PATH']}",
            "XDG_CACHE_HOME": str(self.folder / "xdg-cache"),
        }
        folder = f"--chdir={self.folder}"
        words = ("sbatch", "--parsable", folder, *words)
        return self.slurm.command(*words, env=own).strip()

    def mentor(self, *words, slurm=("--nodes=1",)):
        return self.sbatch(*slurm, SCRIPT, *words)

    def said(self, number):
        return (self.folder / f"slurm-{number}.out").read_text(encoding="utf-8")

    def ends(self, number, state="COMPLETED", file=None):
        job = self.slurm.wait_for(
            number, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"
        )
        said = self.said(file or number)
        self.assertEqual(job["JobState"], state, said)
        return job, said

    def refused(self, words, *sentences, **options):
        number = self.mentor(*words, **options)
        job, said = self.ends(number, "FAILED")
        for sentence in sentences:
            self.assertIn(sentence, said)
        return job["ExitCode"].partition(":")[0]

    def slow(self, milliseconds):
        """Returns flags for programs whose outer updates take that long each. So a run does not end
        before it is disturbed."""
        folder = self.folder / "bin"
        folder.mkdir()
        for program in harness.BIN.iterdir():
            (folder / program.name).symlink_to(program)
        slowed = folder / "mentor-meta-learner"
        slowed.unlink()
        slowed.write_text(
            f"#!/bin/sh\nexport MENTOR_FAILPOINTS='outer.before_update=*:sleep({milliseconds})'\n"
            f'exec {harness.BIN / slowed.name} "$@"\n',
            encoding="utf-8",
        )
        slowed.chmod(0o755)
        return ("--bin", folder)

    def done(self, state):
        """Outer updates that are kept."""
        steps = self.checkpoints(state)
        return int(steps[-1].stem) if steps else 0

    def wait_for_more(self, state, count=3):
        """Waits for further outer updates; returns how many there are, of an unfinished run."""
        before = self.done(state)
        self.wait_until(lambda: self.done(state) >= before + count, f"{count} more in {state}")
        self.assertLess(self.done(state), UPDATES - 20, "the run ended before it was disturbed")


class GoesOnTest(SlurmTest):
    def test_disturbed_job_has_the_hash_of_one_process(self):
        more = f"rule.outer_updates={UPDATES}"
        words = ("smoke", "--set", more, "--folder", "job")
        folder = self.folder / "job"
        state = folder / "state"
        # The controller decides how long the disturbances take. What follows them is not slowed.
        number = self.mentor(*words, *self.slow(500), slurm=("--nodes=2",))
        self.wait_for_more(state)
        # What a login node sees.
        shown = self.slurm.command(
            "bash", "-c", f"source {folder}/access/env.sh && {harness.BIN}/mentorctl list"
        )
        self.assertIn("smoke", shown)
        # The time limit is near.
        self.slurm.command("scancel", "--batch", "--signal=USR1", number)
        self.slurm.runs_again(number, 1)
        self.assertIn("drained; requeued", self.said(number))
        self.wait_for_more(state)
        # Preempted.
        other = self.sbatch("--partition=high", "--nodes=3", "--exclusive", "--wrap=true")
        self.slurm.wait_for(other, "COMPLETED")
        self.slurm.runs_again(number, 2)
        self.wait_for_more(state)
        # Requeued, with another node.
        node = self.slurm.nodes(number)[0]
        self.slurm.command("scontrol", "update", f"nodename={node}", "state=drain", "reason=test")
        self.slurm.command("scontrol", "requeue", number)
        self.slurm.runs_again(number, 3)
        self.assertNotIn(node, self.slurm.nodes(number))
        self.wait_for_more(state)
        self.slurm.command("scontrol", "update", f"nodename={node}", "state=resume")
        # Cancelled and submitted again.
        self.slurm.command("scancel", number)
        again = self.mentor(*words, slurm=("--nodes=3",))
        _, said = self.ends(again)
        alone = self.hash_alone("--set", more)
        self.assertIn(alone, said)
        self.assertEqual(self.hash(self.folder / "runs/smoke"), alone)
        self.assertFalse((folder / "access").exists(), "credentials outlive the job")


class ManyTest(SlurmTest):
    def test_array_of_seeds_of_which_one_is_preempted_at_once(self):  # Nightly
        number = self.mentor("smoke", slurm=("--array=3-4", "--nodes=1"))
        task = f"{number}_4"
        self.slurm.wait_for(task, "RUNNING")
        self.slurm.command("scontrol", "requeue", task)
        self.slurm.runs_again(task, 1)
        for seed in (3, 4):
            _, said = self.ends(f"{number}_{seed}")
            alone = self.hash_alone("--set", f"seed={seed}")
            self.assertIn(alone, said)
            self.assertEqual(self.hash(self.folder / f"runs/smoke-seed-{seed}"), alone)

    def test_program_that_is_killed_starts_again(self):  # Nightly
        more = ("--set", f"rule.outer_updates={UPDATES}")
        number = self.mentor("smoke", *more, "--folder", "job", *self.slow(100))
        state = self.folder / "job/state"
        for program in ("mentor-learner", "mentor-meta-learner"):
            self.wait_for_more(state)
            self.slurm.kill(number, program)
        _, said = self.ends(number)
        self.assertIn("; starts again (1 of 5)", said)
        alone = self.hash_alone(*more)
        self.assertIn(alone, said)


class BadInputTest(SlurmTest):
    def test_wrong_input_is_refused_by_a_sentence(self):  # Nightly
        spec = self.folder / "wrong.txtpb"
        spec.write_text('benchmark { name: "point_reech" }\n', encoding="utf-8")
        port = harness.kept_port(self)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            used = taken.getsockname()[1]
            cases = {
                "wrong spec": (("wrong.txtpb",), "2", ("wrong.txtpb: ", "point_reach")),
                "no spec": ((), "2", ("SPEC",)),
                "two of a name": (("smoke", "experiments/smoke"), "2", ("rename one",)),
                "no programs": (("smoke", "--bin", "nowhere"), "2", ("nowhere/mentor", "--bin")),
                "used port": (("smoke", "--port", used), "2", ("cannot listen", "in use")),
                "unknown role": (("smoke", "--flags", "judge=-v"), "2", ("'judge' is no role",)),
                "unknown flag": (("smoke", "--flags", "learner=--nix"), "2", ("--nix",)),
            }
            for name, (words, code, sentences) in cases.items():
                with self.subTest(name):
                    out = ("--out", f"runs-{name.replace(' ', '-')}") if words else ()
                    self.assertEqual(self.refused((*words, *out), *sentences), code)
        with self.subTest("a port that is free"):
            self.ends(self.mentor("smoke", "--port", port))
        with self.subTest("another spec in the folder"):
            words = ("smoke", "--set", "seed=2")
            self.assertEqual(self.refused(words, "is not what", "choose another --folder"), "2")

    @unittest.skipIf(os.path.exists("/dev/nvidiactl"), "here the GPU would learn")
    def test_gpu_of_the_node_goes_to_the_learner(self):
        sentences = ("learner-n3 ended with 2", "--device cuda:0")
        self.assertEqual(self.refused(("smoke",), *sentences, slurm=("--gres=gpu:1",)), "2")

    def test_without_slurm(self):
        said = self.run_script({"PATH": os.environ["PATH"]}, code=2)
        self.assertIn("this is no Slurm job", said)
        job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NODELIST": "n1", "PATH": "/nowhere"}
        self.assertIn("srun is not on PATH", self.run_script(job, code=1))

    def run_script(self, env, code):
        done = self.slurm.run([sys.executable, SCRIPT, "smoke"], env)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout


class ScriptTest(unittest.TestCase):
    """Parts of the script, without a job."""

    def setUp(self):
        loader = importlib.machinery.SourceFileLoader("mentor_sbatch", str(SCRIPT))
        spec = importlib.util.spec_from_loader(loader.name, loader)
        self.script = importlib.util.module_from_spec(spec)
        loader.exec_module(self.script)
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(unittest.mock.patch.dict(os.environ, SLURM_JOB_ID="7"))
        self.script.LOCK_WAIT_S = 0

    def test_folder_of_another_job(self):
        with self.script.lock(self.folder):
            with self.assertRaisesRegex(self.script.Refused, "in use by job 7 on"):
                self.script.lock(self.folder)
        self.script.lock(self.folder).close()

    def test_file_system_without_locks(self):
        for function in ("flock", "lockf"):
            error = OSError(errno.ENOLCK, "No locks available")
            with self.subTest(function), unittest.mock.patch.object(
                self.script.fcntl, function, side_effect=error
            ):
                with self.assertRaisesRegex(self.script.Refused, "without locks .No locks"):
                    self.script.lock(self.folder)

    def test_time_limit_that_lets_nothing_be_done(self):
        job = self.script.Job.__new__(self.script.Job)
        job.folder, job.id = self.folder, "7"
        requeued = self.enterContext(
            unittest.mock.patch.object(self.script, "output", return_value=(0, "", ""))
        )
        kept = self.folder / "state/experiments/uid/checkpoints/1.ckpt"
        job.requeue(job.kept())
        job.requeue(job.kept())
        before = job.kept()
        kept.parent.mkdir(parents=True)
        kept.touch()
        job.requeue(before)
        job.requeue(job.kept())
        job.requeue(job.kept())
        self.assertEqual(requeued.call_count, 5)
        with self.assertRaisesRegex(self.script.Refused, "raise --time"):
            job.requeue(job.kept())
        self.assertEqual(requeued.call_count, 5)


if __name__ == "__main__":
    unittest.main()
