"""Bonuses in Python: the numbers of RLeXplore through the wrapper's class, and the wrapper."""

import json
import unittest

import module

module.make_importable()
import gymnasium  # noqa: E402
import mentor  # noqa: E402
import numpy as np  # noqa: E402
from gymnasium import spaces  # noqa: E402
from gymnasium.utils.env_checker import check_env  # noqa: E402

GOLDEN = module.ROOT / "tests/data/golden/bonuses_rllte.json"
BOX = spaces.Box(-np.inf, np.inf, (3,))
PUSH = spaces.Box(-1, 1, (2,))
SMALL = {"hidden": 16, "latent": 8, "minibatch": 16}


def formula(count, offset):
    i = np.arange(count, dtype=np.int64)
    return 0.3 * (((7919 * i + offset) % 2003) / 2003 - 0.5)


def steps_around(place, count, seed):
    draw = np.random.default_rng(seed)
    before = place + 0.3 * draw.normal(size=(count, 3))
    return before, draw.normal(size=(count, 2)), before + 0.1 * draw.normal(size=(count, 3))


class BonusTest(unittest.TestCase):
    def test_numbers_are_those_of_rlexplore(self):
        for case in json.loads(GOLDEN.read_text())["cases"]:
            with self.subTest(case["name"]):
                rows = {
                    key: np.reshape(case[key]["data"], case[key]["shape"])
                    for key in ("observations", "actions", "next_observations", "rewards")
                }
                d, a = rows["observations"].shape[1], rows["actions"].shape[1]
                settings = {
                    "weight": 1,
                    "scale": case["scale"],
                    "normalize_observations": case["normalise"],
                    "latent": case["latent"],
                    "epochs": 1,
                    "learning_rate": case["learning_rate"],
                }
                encoder = 256 * (d + 1) + case["latent"] * 257
                trained, target = encoder, formula(encoder, 1)
                if case["kind"] == "icm":
                    settings.update(inverse_weight=case["inverse_weight"], forward_weight=1)
                    k = case["latent"]
                    trained += 256 * (2 * k + 1) + a * 257 + 256 * (k + a + 1) + k * 257
                    target = []
                action_space = spaces.Box(-1, 1, (a,))
                actions = rows["actions"]
                if case["discrete"]:
                    action_space, actions = spaces.Discrete(a), actions.argmax(1)
                bonus = mentor.Bonus(
                    case["kind"], spaces.Box(-9, 9, (d,)), action_space, **settings
                )
                moments = [1e-4, *np.zeros(d), *np.ones(d), 1e-4, 0, 1, 0, 0]
                state = [moments, target, formula(trained, 500), np.zeros(2 * trained + 1)]
                bonus.load(np.concatenate(state).astype(np.float64).tobytes())
                given = []
                for part in np.split(np.arange(len(actions)), case["segments"]):
                    steps = (
                        rows["observations"][part],
                        actions[part],
                        rows["next_observations"][part],
                    )
                    given.append(bonus.rewards(*steps))
                    bonus.learn(*steps)
                np.testing.assert_allclose(np.concatenate(given), rows["rewards"], 1e-7, 1e-9)

    def test_bonuses_fall_where_the_agent_was_and_go_on_after_a_save(self):
        for name, settings in (("rnd", SMALL), ("icm", SMALL), ("counts", {"bits": 16})):
            with self.subTest(name):
                bonus = mentor.Bonus(name, BOX, PUSH, **settings)
                here = steps_around(0.5, 64, 1)
                bonus.rewards(*here)
                bonus.learn(*here)
                first = bonus.peek(*here).mean()
                for _ in range(100):
                    bonus.rewards(*here)
                    bonus.learn(*here)
                self.assertLess(bonus.peek(*here).mean(), 0.8 * first)
                other = mentor.Bonus(name, BOX, PUSH, **settings)
                other.load(bonus.save())
                more = steps_around(0.2, 30, 2)
                np.testing.assert_array_equal(bonus.rewards(*more), other.rewards(*more))
                self.assertEqual(bonus.rewards(*more, known=np.zeros(30)).sum(), 0)

    def test_wrong_arguments_are_named(self):
        for arguments, settings, said in (
            (("rmd", BOX, PUSH), {}, "rnd"),
            (("rnd", BOX, PUSH), {"weigth": 1}, "^weigth: unknown.*weight"),
            (("counts", BOX, PUSH), {"bits": 65}, "from 1 to 64"),
            (("rnd", spaces.Discrete(3), PUSH), {}, "FlattenObservation"),
            (("rnd", BOX, spaces.MultiBinary(3)), {}, "Discrete"),
            (("rnd", BOX, PUSH), {"seed": -1}, "seed"),
        ):
            with self.subTest(said), self.assertRaisesRegex(ValueError, said):
                mentor.Bonus(*arguments, **settings)
        bonus = mentor.Bonus("counts", BOX, PUSH)
        before, actions, after = steps_around(0, 4, 1)
        huge = after.copy()
        huge[2, 1] = 1e300  # Finite in 64 bits alone.
        with self.assertRaisesRegex(ValueError, "next_.*number 1 of step 2 is 1e.300.*mend"):
            bonus.rewards(before, actions, huge)
        with self.assertRaisesRegex(ValueError, "actions: number 0 of step 0 is nan.*give finite"):
            bonus.rewards(before, actions * np.nan, before)
        with self.assertRaisesRegex(ValueError, "give"):
            bonus.rewards(before[:3], actions[:3], after)
        with self.assertRaises(ValueError):
            bonus.load(bonus.save()[:-8])


class BonusRewardTest(unittest.TestCase):
    def test_the_check_of_gymnasium_passes(self):
        # In its first segment a bonus is 0; the check wants the same rewards of every episode.
        env = mentor.BonusReward(gymnasium.make("mentor/point_reach"), "rnd", **SMALL)
        check_env(env, skip_render_check=True)

    def test_an_observation_beyond_32_bits_is_refused_where_it_appears(self):
        class Huge(gymnasium.ObservationWrapper):
            size = 1.0

            def observation(self, observation):
                return observation * [1, self.size, *np.ones(len(observation) - 2)]

        huge = Huge(gymnasium.make("mentor/point_reach"))
        env = mentor.BonusReward(huge, "rnd", segment=20, normalize_observations=False, **SMALL)
        env.reset(seed=1)
        env.step(env.action_space.sample())
        huge.size = 1e300
        said = "number 1 of step 2 of the episode is .*not finite in 32 bits.*mend the environment"
        with self.assertRaisesRegex(ValueError, said):
            env.step(env.action_space.sample())
        with self.assertRaisesRegex(RuntimeError, "reset"):
            env.step(env.action_space.sample())
        huge.size = 1.0
        env.reset(seed=1)
        huge.size = 1e300
        with self.assertRaisesRegex(ValueError, "of step 0 of the episode is .*32 bits"):
            env.reset(seed=1)
        huge.size, bonuses = 1.0, []
        with self.assertRaisesRegex(RuntimeError, "reset"):
            env.step(env.action_space.sample())
        while len(bonuses) < 40:
            env.reset(seed=1)
            for _ in range(10):
                bonuses.append(env.step(env.action_space.sample())[4]["bonus"])
        self.assertTrue(np.isfinite(bonuses).all() and bonuses[-1] > 0)

    def test_a_reward_is_the_weighted_task_and_the_bonus(self):
        for name, settings in (("rnd", SMALL), ("icm", SMALL), ("counts", {})):
            with self.subTest(name):
                env = mentor.BonusReward(
                    gymnasium.make("mentor/point_reach"),
                    name,
                    segment=None if name == "counts" else 20,
                    task_weight=3,
                    **settings,
                )
                env.action_space.seed(1)
                env.reset(seed=1)
                bonuses = []
                for _ in range(60):
                    _, reward, terminated, truncated, info = env.step(env.action_space.sample())
                    bonuses.append(info["bonus"])
                    self.assertAlmostEqual(reward, 3 * info["task_reward"] + info["bonus"])
                    if terminated or truncated:
                        env.reset()
                self.assertTrue((np.array(bonuses[20:]) > 0).all())
                self.assertEqual(np.count_nonzero(bonuses[:20]), 20 * (name == "counts"))

    @module.needs_signal
    def test_stable_baselines3_learns_from_it(self):  # Nightly
        module.run_with_torch(
            """
import gymnasium, mentor
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
envs = make_vec_env(
    "mentor/point_reach", n_envs=2, wrapper_class=mentor.BonusReward,
    wrapper_kwargs={"bonus": "rnd", "segment": 64, "hidden": 16, "latent": 8},
)
PPO("MlpPolicy", envs, n_steps=64, batch_size=32).learn(256)
"""
        )


if __name__ == "__main__":
    unittest.main()
