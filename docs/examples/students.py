"""Shared by the examples of mentor_signal: students of Stable-Baselines3, whose lives are counted
as Mentor counts those of its agents."""

import gymnasium
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

import mentor_signal
from mentor_signal.sb3 import LearnedVecReward, TaughtPPO


class SparseReward(gymnasium.Wrapper):
    """The sparse success signal as the reward; episodes have at most episode_steps steps."""

    def __init__(self, env, episode_steps):
        super().__init__(env)
        self.signal = mentor_signal.SuccessSignal(1, episode_steps)
        self.begins = True

    def reset(self, **arguments):
        self.begins = True
        return self.env.reset(**arguments)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        success = mentor_signal.success_in_info(float(reward), terminated, info)
        reward = float(self.signal.step([self.begins], [success])[0])
        self.begins = False
        return observation, reward, terminated, truncated, info


class Life(BaseCallback):
    """Records a student's success rates by iteration in one environment, in `rates`. It ends the
    student's life before the last update, as Mentor does. An episode belongs to the iteration in
    which it ends."""

    def __init__(self, iterations, steps):
        super().__init__()
        self.steps = steps
        self.successes = [[] for _ in range(iterations)]
        self.succeeded = False

    def _on_step(self):
        info = self.locals["infos"][0]
        self.succeeded |= mentor_signal.success_in_info(0.0, False, info)
        if self.locals["dones"][0]:
            self.successes[(self.n_calls - 1) // self.steps].append(self.succeeded)
            self.succeeded = False
        return self.n_calls < len(self.successes) * self.steps

    @property
    def rates(self):
        return [float(np.mean(flags)) for flags in self.successes]


def live(algorithm, arguments, teacher, signal, make, iterations):
    """Returns the success rates by iteration of one student. `algorithm` and its keyword arguments
    make the student, `make` makes its environment. The teacher is learned (the signal), shaped (the
    environment's own reward) or sparse. TaughtPPO takes the signal in its own way."""
    sizes = signal.sizes

    def environment():
        made = make()
        return SparseReward(made, sizes.episode_steps) if teacher == "sparse" else made

    venv = DummyVecEnv([environment])
    arguments = {**arguments, "device": "cpu"}
    if algorithm is TaughtPPO:
        model = TaughtPPO("MlpPolicy", venv, signal, **arguments)
    elif teacher == "learned":
        venv = LearnedVecReward(venv, signal)
        model = algorithm("MlpPolicy", venv, **arguments)
        venv.attach(model)
    else:
        model = algorithm("MlpPolicy", venv, **arguments)
    life = Life(iterations, sizes.steps_per_iteration)
    model.learn(iterations * sizes.steps_per_iteration, callback=life)
    venv.close()
    return life.rates
