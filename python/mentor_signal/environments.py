"""Learned rewards for Gymnasium."""

from __future__ import annotations

import warnings
from typing import Any, Callable, Dict, Optional, Tuple, Union

import gymnasium
import numpy as np

from .errors import SignalError
from .lifetimes import Array, Segment, State, SuccessSignal
from .signal import RewardMix, Signal

# Returns whether a step succeeded, from its reward, terminated and info.
Success = Callable[[float, bool, Dict[str, Any]], bool]

NORMALISED = (
    "has a NormalizeObservation, but networks see observations as they are; put {} inside of it"
)


def success_in_info(reward: float, terminated: bool, info: Dict[str, Any]) -> bool:
    """The keys under which Meta-World, Gymnasium-Robotics and Mentor's environments report
    success."""
    return bool(info.get("success", info.get("is_success", False)))


class SuccessWatch:
    """Warns once that the environment reports no success; the network then sees a constant 0."""

    def __init__(self, success: Success, is_read: bool):
        self._open = is_read and success is success_in_info

    def look(self, info: Dict[str, Any], is_last: bool) -> None:
        """Call with the info of each step. is_last: the episode ends with this step."""
        if not self._open or not (is_last or "success" in info or "is_success" in info):
            return
        self._open = False
        if "success" not in info and "is_success" not in info:
            warnings.warn(
                "the network sees success, but no info has 'success' or 'is_success' at the end of "
                "an episode: to the network nothing ever succeeds; give success=(lambda reward, "
                "terminated, info: ...)",
                stacklevel=3,
            )


def mix_of(signal: Signal, reward: Union[str, RewardMix]) -> RewardMix:
    """as_trained: the reward of the agents that the signal taught. replace: the signal alone. add:
    the task's reward plus the signal. A function: whatever it returns."""
    if isinstance(reward, RewardMix):
        return reward
    if reward == "as_trained":
        return signal.reward
    if reward in ("replace", "add"):
        return RewardMix(
            task=float(reward == "add"), scale=signal.reward.scale, task_reward="shaped"
        )
    raise SignalError(
        "reward", f"is {reward!r}; give 'as_trained', 'replace', 'add' or a RewardMix"
    )


def reads_success(signal: Signal, mix: RewardMix) -> bool:
    """True if the network or the agents see the sparse success signal."""
    return "success_signals" in signal.reads or (mix.task != 0 and mix.task_reward == "success")


def check_stepwise(signal: Signal) -> None:
    """Checks that a signal can be given step by step, as a reward."""
    if not signal.network.gives_signals:
        raise SignalError(
            "signal.network",
            f"'{signal.network.name}' gives no reward by itself; use "
            + ("Signal.loss" if signal.role == "LOSS" else "Signal.skill_reward"),
        )
    if signal.role != "REWARD":
        raise SignalError(
            "signal.role",
            f"is {signal.role}, which is no reward; TaughtPPO of mentor_signal.sb3 learns from it",
        )
    if not signal.causal:
        raise SignalError(
            "signal.network",
            f"'{signal.network.name}' sees later steps of the episode, so a step's reward is known "
            "only when the iteration is complete; TaughtPPO of mentor_signal.sb3 waits for it",
        )


def one_hot(actions: Any, signal: Signal) -> Array:
    """Returns actions as the network sees them: [..., A]."""
    array = np.asarray(actions)
    if not signal.sizes.discrete_actions:
        return array.astype(np.float32)
    return np.eye(signal.sizes.action, dtype=np.float32)[array.astype(np.int64)]


class Lifetimes:
    """The learner's side of S lifetimes, step by step. It feeds the network in the learner's order,
    across the borders of episodes. The wrappers use it."""

    def __init__(self, signal: Signal, lifetimes: int):
        self.signal = signal
        self.lifetimes = lifetimes
        self.reset()

    def reset(self) -> None:
        """Begins new agents."""
        self.state: State = self.signal.initial_state(self.lifetimes)
        self.success = SuccessSignal(self.lifetimes, self.signal.sizes.episode_steps)
        self._begins = np.zeros(self.lifetimes, bool)
        self._born = False

    def begin_episodes(self, which: Any) -> None:
        """Begins new episodes of these lifetimes. The network is not told of a lifetime's first
        one."""
        if self._born:
            self._begins |= np.asarray(which, bool)

    def step(
        self,
        observations: Any,
        actions: Any,
        log_probs: Optional[Any],
        rewards: Any,
        successes: Any,
        mix: RewardMix,
    ) -> Tuple[Array, Array]:
        """Returns the rewards of the agents and the signals, each [S]. observations: before the
        step."""
        if log_probs is not None and not np.isfinite(np.asarray(log_probs, np.float64)).all():
            raise SignalError(
                "log_prob",
                f"is {log_probs} for actions {actions}; give the finite log-density of the action "
                "as the policy drew it, before clipping",
            )
        self._born = True
        starts = self._begins.copy()
        self._begins[:] = False
        sparse = np.zeros(self.lifetimes)
        if reads_success(self.signal, mix):
            sparse = self.success.step(starts, successes)
        shape = (self.lifetimes, 1)
        segment = Segment(
            observations=np.asarray(observations, np.float32).reshape(*shape, -1),
            actions=one_hot(actions, self.signal).reshape(*shape, -1),
            log_probs=None if log_probs is None else np.asarray(log_probs).reshape(shape),
            shaped_rewards=np.asarray(rewards, np.float64).reshape(shape),
            success_signals=sparse.reshape(shape),
            prev_done=starts.astype(np.float32).reshape(shape),
        )
        signals, self.state = self.signal.run(segment, self.state)
        task = sparse if mix.task_reward == "success" else np.asarray(rewards, np.float64)
        given = signals[:, 0].double().numpy()
        return mix.task * mix.scale * task + mix.signal * given, given


class LearnedReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose reward is a learned signal, or contains one.

    signal     of mentor_signal.load: role REWARD, and a network that is causal
    reward     "as_trained", "replace", "add" or a RewardMix
    success    of a step: (reward, terminated, info) -> bool
    log_prob   (observation, action) -> log-density of the action under the policy that drew it;
               needed where the network sees it (`"log_probs" in signal.reads`)

    Give it actions as the policy drew them, before clipping. A lifetime continues over resets;
    new_lifetime() begins a new agent. The task's reward and the signal are in info["task_reward"]
    and info["signal"].
    """

    def __init__(
        self,
        env: "gymnasium.Env[Any, Any]",
        signal: Signal,
        *,
        reward: Union[str, RewardMix] = "as_trained",
        success: Success = success_in_info,
        log_prob: Optional[Callable[[Any, Any], float]] = None,
    ):
        if not isinstance(env, gymnasium.Env):
            raise SignalError(
                "env",
                f"is a {type(env).__name__}, no gymnasium.Env; of several environments wrap each "
                "before they are put together, or take LearnedVecReward of mentor_signal.sb3",
            )
        super().__init__(env)
        check_stepwise(signal)
        check_spaces(env.observation_space, env.action_space, signal)
        inner: Any = env
        while isinstance(inner, gymnasium.Wrapper):
            if isinstance(inner, gymnasium.wrappers.NormalizeObservation):
                raise SignalError("env", NORMALISED.format("LearnedReward"))
            inner = inner.env
        if "log_probs" in signal.reads and log_prob is None:
            raise SignalError(
                "log_prob",
                f"is missing: '{signal.network.name}' sees the density of actions; give "
                "log_prob=..., or LearnedVecReward.attach(model) of mentor_signal.sb3",
            )
        self._mix = mix_of(signal, reward)
        self._success = success
        self._watch = SuccessWatch(success, reads_success(signal, self._mix))
        self._log_prob = log_prob
        self._lifetime = Lifetimes(signal, 1)
        self._observation: Any = None
        self._over = True

    def new_lifetime(self) -> None:
        """Begins a new agent: the network's state is cleared."""
        self._lifetime.reset()

    def reset(
        self, *, seed: Optional[int] = None, options: Optional[Dict[str, Any]] = None
    ) -> Tuple[Any, Dict[str, Any]]:
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._over = False
        self._lifetime.begin_episodes([True])
        return self._observation, info

    def step(self, action: Any) -> Tuple[Any, float, bool, bool, Dict[str, Any]]:
        if self._over:
            raise SignalError(
                "env",
                "has no episode to go on with: call reset() before step(); gymnasium's Autoreset "
                "goes around LearnedReward",
            )
        # Copied, because environments may write the next observation into the same array.
        before = np.array(self._observation)
        density = None if self._log_prob is None else self._log_prob(before, action)
        clipped = action
        if isinstance(self.env.action_space, gymnasium.spaces.Box):
            clipped = np.clip(action, self.env.action_space.low, self.env.action_space.high)
        self._observation, reward, terminated, truncated, info = self.env.step(clipped)
        self._over = terminated or truncated
        success = self._success(float(reward), terminated, info)
        self._watch.look(info, self._over)
        rewards, signals = self._lifetime.step(
            before, action, density, [float(reward)], [success], self._mix
        )
        info = {**info, "task_reward": float(reward), "signal": float(signals[0])}
        return self._observation, float(rewards[0]), terminated, truncated, info


def check_spaces(observations: Any, actions: Any, signal: Signal) -> None:
    """Checks that an environment has the sizes for which the signal was trained."""
    sizes = signal.sizes
    shape = getattr(observations, "shape", None) or ()
    if not isinstance(observations, gymnasium.spaces.Box) or int(np.prod(shape)) != (
        sizes.observation
    ):
        raise SignalError(
            "env.observation_space",
            f"is {observations}, but the signal reads {sizes.observation} numbers; flatten it, or "
            "take an environment of that size",
        )
    if sizes.discrete_actions:
        fits = isinstance(actions, gymnasium.spaces.Discrete)
        fits = fits and (int(actions.n), int(actions.start)) == (sizes.action, 0)
    else:
        fits = isinstance(actions, gymnasium.spaces.Box) and actions.shape == (sizes.action,)
    if not fits:
        kind = "one from 0 of" if sizes.discrete_actions else "vectors of"
        raise SignalError(
            "env.action_space", f"is {actions}, but the signal reads {kind} {sizes.action}"
        )
