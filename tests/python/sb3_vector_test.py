"""Many environments as the VecEnv of Stable-Baselines3, against its DummyVecEnv."""

import unittest

import module


@module.needs_signal
class VecEnvTest(unittest.TestCase):
    def test_numbers_are_those_of_its_own_over_single_environments(self):
        module.run_with_torch(
            """
import gymnasium, mentor
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

def same(one, two):
    assert np.array_equal(one, two) and one.dtype == two.dtype, (one, two)

ends = {"terminated": 0, "truncated": 0}
for name, steps in (("door-close-v3", 503), ("point_reach", 120), ("Hopper-v5", 120)):
    ours = mentor.sb3_vector(name, 3)
    theirs = DummyVecEnv([lambda: gymnasium.make(f"mentor/{name}")] * 3)
    assert (ours.observation_space, ours.action_space) == (
        theirs.observation_space, theirs.action_space)
    assert ours.seed(7) == theirs.seed(7)
    if name == "door-close-v3":
        ours.set_options({"goal": 3})
        theirs.set_options({"goal": 3})
    same(ours.reset(), theirs.reset())
    assert ours.reset_infos == theirs.reset_infos
    ours.action_space.seed(1)
    for _ in range(steps):
        actions = np.array([ours.action_space.sample() for _ in range(3)])
        one, two = ours.step(actions), theirs.step(actions)
        for a, b in zip(one[:3], two[:3]):
            same(a, b)
        for a, b in zip(one[3], two[3]):
            if "terminal_observation" in b:
                same(a.pop("terminal_observation"), b.pop("terminal_observation"))
                ends["truncated" if b["TimeLimit.truncated"] else "terminated"] += 1
            assert a == b, (a, b)
    same(ours.reset(), theirs.reset())
    ours.close()
assert min(ends.values()) > 0, ends
"""
        )

    def test_ppo_learns_and_learned_rewards_fit(self):  # Nightly
        module.run_with_torch(
            """
import mentor
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

venv = VecNormalize(VecMonitor(mentor.sb3_vector("point_reach", 4, dtype="float32")))
model = PPO("MlpPolicy", venv, n_steps=64, batch_size=64, n_epochs=2, seed=1)
before = [weights.detach().clone() for weights in model.policy.parameters()]
model.learn(2 * 4 * 64)
assert model.num_timesteps == 512 and len(model.ep_info_buffer) > 0
assert any((a != b).any() for a, b in zip(before, model.policy.parameters()))
assert mentor.sb3_vector("MT10").reset().shape == (10, 49)
"""
        )

    def test_attributes_and_methods_of_environments(self):
        module.run_with_torch(
            """
import mentor

venv = mentor.sb3_vector("push-v3", 3, goal_visible=False)
venv.seed(1)
first = venv.reset()
assert venv.get_attr("goal_visible") == [False] * 3 and venv.goal_visible is False
assert venv.env_name == "push-v3" and not venv.has_attr("nothing")
assert venv.env_is_wrapped(object) == [False] * 3
assert [len(one) for one in venv.env_method("scripted_action", indices=[0, 2])] == [4, 4]
state = venv.env_method("save_state", indices=1)[0]
venv.env_method("restore_state", state, indices=1)
for words, call in (
    ("reset: is none of", lambda: venv.env_method("reset")),
    ("goal_seed: give it to mentor.sb3_vector", lambda: venv.set_attr("goal_seed", 2)),
    ("options: give set_options() one dict", lambda: (
        venv.set_options([{"goal": 1}, {}, {}]), venv.reset())),
    ("autoreset_mode='SAME_STEP'", lambda: mentor.MentorVecEnv(mentor.vector("point_reach"))),
):
    try:
        call()
    except (AttributeError, ValueError) as error:
        assert words in str(error), error
    else:
        raise AssertionError(words)
"""
        )


if __name__ == "__main__":
    unittest.main()
