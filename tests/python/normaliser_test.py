"""mentor_signal's normaliser: what networks with `normalize_observations` see."""

import importlib
import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
WHEELS = ROOT / ".deps" / "hosts"


def setUpModule():
    global np, normaliser
    if not (WHEELS / "numpy").exists() or sys.version_info[:2] != (3, 11):
        raise unittest.SkipTest("run deploy/install.sh --hosts, and this with Python 3.11")
    sys.path.insert(0, str(WHEELS))
    np = importlib.import_module("numpy")
    # The file alone: the package needs more than numpy.
    file = ROOT / "python" / "mentor_signal" / "normaliser.py"
    spec = importlib.util.spec_from_file_location("normaliser", file)
    normaliser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(normaliser)


class NormaliserTest(unittest.TestCase):
    def test_the_first_segment_is_raw_within_the_bound(self):
        seen = normaliser.ObservationNormaliser(1, 2).see(np.array([[[3.0, -1000.0]]]))
        self.assertEqual(seen.dtype, np.float32)
        self.assertEqual(seen.tolist(), [[[3.0, -10.0]]])

    def test_later_segments_have_the_statistics_of_all_earlier_ones(self):
        random = np.random.default_rng(1)
        scale = np.array([1.0, 1000.0, 0.01])
        segments = [5 + scale * random.normal(size=(2, steps, 3)) for steps in (7, 20, 11)]
        own = normaliser.ObservationNormaliser(2, 3)
        for segment in segments[:2]:
            own.see(segment)
            own.add(segment)
        before = np.concatenate(segments[:2], axis=1)
        mean, std = before.mean(axis=1, keepdims=True), before.std(axis=1, keepdims=True)
        expected = np.clip((segments[2] - mean) / np.sqrt(std**2 + 1e-8), -10, 10)
        np.testing.assert_allclose(own.see(segments[2]), expected, rtol=2e-4, atol=2e-4)

    def test_a_constant_observation_is_zero(self):
        own = normaliser.ObservationNormaliser(1, 1)
        own.add(np.full((1, 5, 1), 2.0))
        self.assertEqual(own.see(np.full((1, 1, 1), 2.0)).item(), 0)

    def test_lifetimes_do_not_mix(self):
        own = normaliser.ObservationNormaliser(2, 1)
        own.add(np.array([[[0.0], [2.0]], [[10.0], [30.0]]]))
        seen = own.see(np.array([[[2.0]], [[30.0]]]))
        np.testing.assert_allclose(seen.ravel(), [1, 1], rtol=1e-6)

    def test_wrong_shapes_are_named(self):
        own = normaliser.ObservationNormaliser(2, 3)
        for shape in ((2, 3), (1, 5, 3), (2, 5, 4)):
            with self.assertRaisesRegex(ValueError, "observations: have the shape"):
                own.see(np.zeros(shape))
        with self.assertRaisesRegex(ValueError, "no steps"):
            own.add(np.zeros((2, 0, 3)))


if __name__ == "__main__":
    unittest.main()
