"""A few of the flips of tests/fault/flipped_bytes.py: a flipped byte in the state of a service
never leads to another result."""

import pathlib
import sys
import unittest

from harness import ClusterTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

import flipped_bytes  # noqa: E402


class FlippedBytesTest(ClusterTest):
    def test_damaged_results_and_checkpoints_of_a_run_are_made_again(self):
        run = self.folder / "run"
        want = self.run_hash(run)
        newest = self.checkpoints(run)[-1]
        results = sorted(run.glob("experiments/*/artifacts/evaluation/*.binpb"))
        files = [newest, results[0], results[-1]]
        whole = {file: file.read_bytes() for file in files}
        for file in files:
            data = bytearray(whole[file])
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        # An earlier hash is not the hash of the run.
        said = self.run_to_end("mentor", "hash", run, code=1)
        self.assertIn("the newest checkpoint is damaged", said)
        for file in run.glob("mentor.db*"):
            file.unlink()
        self.run_to_end("mentor-meta-learner", "--state", run, "reindex")
        self.assertEqual(self.run_hash(run), want)
        for file in files:
            self.assertEqual(file.read_bytes(), whole[file], file)

    def test_a_flipped_byte_is_refused_or_changes_nothing(self):  # Nightly
        said = []
        counts = flipped_bytes.run(1, seed=1, out=said.append)
        self.assertEqual(said, [])
        # Each kind of file was there, and experiments of every kind ended.
        self.assertEqual({kind for kind, _ in counts}, set(flipped_bytes.KINDS))
        outcomes = {outcome for _, outcome in counts}
        self.assertLessEqual({"same", "refused"}, outcomes)


if __name__ == "__main__":
    unittest.main()
