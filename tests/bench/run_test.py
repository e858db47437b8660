"""What run.py makes of programs that measure, fail, lie or hang. Scripts stand for them."""

import contextlib
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE_S = 60
SAYS = 'echo \'{"figures": {"step": {"value": %s, "unit": "%s"}}, "versions": {"x": "7"}}\''


class RunTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def script(self, name, text):
        file = self.folder / name
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return str(file)

    def says(self, name, values, unit="ms"):
        """A program that says the next of these numbers in each round."""
        lines = "\n".join(
            f"{number}) {SAYS % (value, unit)} ;;" for number, value in values.items()
        )
        count = f"echo >> {self.folder}/{name}.rounds; "
        return self.script(
            name, f"{count}case $(wc -l < {self.folder}/{name}.rounds) in\n{lines}\nesac"
        )

    def command(self, ours, *flags, measurement="memory"):
        run = [sys.executable, str(HERE / "run.py"), measurement, "--program", ours]
        return [*run, *map(str, flags)]

    def measure(self, ours, *flags, code=0, **options):
        done = subprocess.run(
            self.command(ours, "--json", *flags, **options),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def test_medians_quartiles_and_ratios_of_interleaved_rounds(self):
        ours = self.says("ours", {1: 4, 2: 1, 3: 2, 4: 5, 5: 3})
        peer = self.says("peer", {1: 8, 2: 3, 3: 2, 4: 20, 5: 3})
        report = self.measure(ours, "--peer", f"memory/jax={peer}")
        figures = report["figures"]
        self.assertEqual(figures["memory/step"]["values"], [4, 1, 2, 5, 3])
        quartiles = [figures["memory/step"][name] for name in ("low", "median", "high")]
        self.assertEqual(quartiles, [2, 3, 4])
        # 8/4, 3/1, 2/2, 20/5, 3/3: of the same round.
        self.assertEqual(figures["memory/step ahead of jax"]["values"], [2, 3, 1, 4, 1])
        self.assertEqual(figures["memory/step jax"]["median"], 3)
        self.assertEqual(report["versions"], {"memory": {"x": "7"}, "memory/jax": {"x": "7"}})
        self.assertEqual(len(report["rounds"]), 5)
        self.assertFalse(report["stopped"])

    def test_a_rate_is_better_when_it_is_greater_and_ratios_are_not_compared(self):
        rate = self.measure(
            *(self.says("ours", {1: 6}, "steps/s"), "--rounds", 1),
            *("--peer", "memory/jax=" + self.says("peer", {1: 3}, "steps/s")),
        )
        self.assertEqual(rate["figures"]["memory/step ahead of jax"]["values"], [2])
        ratio = self.measure(
            *(self.says("ours2", {1: 6}, "ratio"), "--rounds", 1),
            *("--peer", "memory/jax=" + self.says("peer2", {1: 3}, "ratio")),
        )
        self.assertEqual(set(ratio["figures"]), {"memory/step", "memory/step jax"})

    def test_what_fails_hangs_or_lies_is_named_and_the_rest_is_kept(self):
        programs = {
            "fails": "echo a reason; exit 3",
            "hangs": "sleep 600",
            "talks": "echo tomorrow perhaps",
            "lies": 'echo \'{"figures": {"step": {"value": "3", "unit": "ms"}}}\'',
            "empty": "echo '{\"figures\": {}}'",
            "units": SAYS % (1, "s"),
            "works": SAYS % (1, "ms"),
        }
        peers = []
        for name, text in programs.items():
            peers += ["--peer", f"memory/{name}={self.script(name, text)}"]
        peers += ["--peer", "memory/missing=/no/such/program"]
        ours = self.script("ours", f"echo hello >&2; {SAYS % (2, 'ms')}; echo 'freeing 3 things'")
        report = self.measure(ours, "--rounds", 2, "--deadline", 2, *peers, code=1)
        for name, why in {
            "fails": "exit status 3; it printed: a reason",
            "hangs": "no answer in 2 s",
            "talks": "it printed: tomorrow perhaps",
            "lies": "figures",
            "empty": "figures",
            "units": "is in 's', ours is in 'ms'",
            "missing": "cannot be started",
        }.items():
            self.assertIn(why, report["left_out"].pop(f"memory/{name}"), name)
        self.assertEqual(report["left_out"], {})
        self.assertEqual(report["figures"]["memory/step"]["values"], [2, 2])
        self.assertEqual(report["figures"]["memory/step ahead of works"]["values"], [0.5, 0.5])

    def test_what_cannot_measure_here_is_no_failure(self):
        none = self.script("none", 'echo "{\\"none\\": \\"no $MENTOR_BENCH_DEVICE of mine\\"}"')
        report = self.measure(
            *(self.script("ours", SAYS % (2, "ms")), "--rounds", 1),
            *("--device", "cuda:1", "--peer", f"memory/jax={none}"),
        )
        self.assertEqual(report["left_out"], {"memory/jax": "no cuda:1 of mine"})

    def test_chosen_environments_reach_the_program_and_wrong_ones_are_refused(self):
        ours = self.script("ours", f'echo "$@" > {self.folder}/flags; {SAYS % (2, "ms")}')
        self.measure(ours, "--rounds", 1, "--no-peers", "--environments", "a,b", measurement="env")
        self.assertEqual(
            (self.folder / "flags").read_text(), "env --device cpu --environments=a,b\n"
        )
        for flags, why in (
            (["rolout"], "rolout: is none of env, "),
            (["--peer", "jax=python3"], "give MEASUREMENT/NAME=COMMAND"),
        ):
            done = subprocess.run(
                self.command(ours, *flags), capture_output=True, text=True, timeout=DEADLINE_S
            )
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(why, done.stderr)

    @contextlib.contextmanager
    def hanging(self):
        """run.py whose second program hangs: it, and the pipe that this program alone holds."""
        gate = self.folder / "gate"
        os.mkfifo(gate)
        # Between rounds the pipe has no writer, so the end of it is the end of its last program.
        hangs = self.script("hangs", f"exec 9> {gate}; echo here >&9; exec sleep 600")
        ours = self.script("ours", SAYS % (2, "ms"))
        run = subprocess.Popen(
            self.command(ours, "--json", "--peer", f"memory/hangs={hangs}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            reader = os.open(gate, os.O_RDONLY | os.O_NONBLOCK)
            self.addCleanup(os.close, reader)
            self.assertEqual(self.read(reader), b"here\n")
            yield run, reader
        finally:
            run.kill()
            run.communicate(timeout=DEADLINE_S)

    def read(self, reader):
        self.assertTrue(select.select([reader], [], [], DEADLINE_S)[0], "nothing to read")
        return os.read(reader, 100)

    def test_an_interrupt_shows_what_was_measured_and_ends_the_program(self):
        with self.hanging() as (run, reader):
            run.send_signal(signal.SIGINT)
            said, _ = run.communicate(timeout=DEADLINE_S)
            self.assertEqual(self.read(reader), b"")
        self.assertEqual(run.returncode, 1)
        report = json.loads(said)
        self.assertTrue(report["stopped"])
        self.assertEqual(report["figures"]["memory/step"]["values"], [2])

    def test_kill_9_leaves_no_program_behind(self):
        with self.hanging() as (run, reader):
            run.kill()
            self.assertEqual(self.read(reader), b"")


if __name__ == "__main__":
    unittest.main()
