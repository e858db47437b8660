"""Learned rewards for Gymnasium."""

from __future__ import annotations

import warnings
from typing import Any, Callable, Dict, Optional, Tuple, Union

import gymnasium
import gymnasium.vector
import gymnasium.wrappers.vector
import numpy as np


from .errors import SignalError
from .lifetimes import (
    OF_A_SHARE,
    Array,
    Segment,
    State,
    SuccessSignal,
    as_array,
    as_flag,
    as_float32,
)
from .signal import RewardMix, Signal
from .tasks import TaskCheck

# Returns whether a step succeeded, from its reward, terminated and info.
Success = Callable[[float, bool, Dict[str, Any]], bool]

# Returns the log-density of an action under the policy that drew it, from observation and action.
LogProb = Callable[[Any, Any], Any]

NORMALISED = "has a {}, but networks see observations as they are; put {} inside of it"


# The keys under which Meta-World, Gymnasium-Robotics and Mentor's environments report success. The
# first one that is there has the say.
SUCCESS_KEYS = ("success", "is_success")


def success_in_info(reward: float, terminated: bool, info: Dict[str, Any]) -> bool:
    """What SUCCESS_KEYS say; None says nothing."""
    for key in SUCCESS_KEYS:
        if info.get(key) is not None:
            return as_flag(info[key], f"info['{key}']", OF_A_SHARE)
    return False


class SuccessWatch:
    """Warns once that the environment reports no success; the network then sees a constant 0."""

    def __init__(self, success: Success, is_read: bool):
        if not callable(success):
            raise SignalError(
                "success",
                f"is {success!r}; give a function of reward, terminated and info that returns "
                "whether the step succeeded",
            )
        self._open = is_read and success is success_in_info

    def look(self, info: Dict[str, Any], is_last: bool) -> None:
        """Call with the info of each step. is_last: the episode ends with this step."""
        said = any(info.get(key) is not None for key in SUCCESS_KEYS)
        if not self._open or not (is_last or said):
            return
        self._open = False
        if not said:
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
            f"Signal.{signal.network.used_by}",
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
        return as_float32(array)
    return np.eye(signal.sizes.action, dtype=np.float32)[array.astype(np.int64)]


class Lifetimes:
    """The learner's side of S lifetimes, step by step. It feeds the network in the learner's order,
    across the borders of episodes. The wrappers use it."""

    def __init__(
        self, signal: Signal, lifetimes: int, reward: Union[str, RewardMix], success: Success
    ):
        check_stepwise(signal)
        self.signal = signal
        self.lifetimes = lifetimes
        self.mix = mix_of(signal, reward)
        self.watch = SuccessWatch(success, reads_success(signal, self.mix))
        self.state: State
        self.success: SuccessSignal
        self._begins: Array
        self._born: Array
        self.reset()

    def reset(self, which: Optional[Any] = None) -> None:
        """Begins new agents: all, or those of a mask or of numbers."""
        state = self.signal.initial_state(self.lifetimes)
        success = SuccessSignal(self.lifetimes, self.signal.sizes.episode_steps)
        begins, born = np.zeros(self.lifetimes, bool), np.zeros(self.lifetimes, bool)
        if which is not None:
            others = np.ones(self.lifetimes, bool)
            try:
                others[which] = False
            except (IndexError, ValueError) as error:
                raise SignalError(
                    "which", f"{error}; give a mask or numbers of {self.lifetimes} lifetimes"
                ) from None
            state = state.with_those(others, self.state.of(others))
            for new, old in (
                (success.episode_steps, self.success.episode_steps),
                (success.succeeded, self.success.succeeded),
                (begins, self._begins),
                (born, self._born),
            ):
                new[others] = old[others]
        self.state = state
        self.success = success
        self._begins, self._born = begins, born

    def begin_episodes(self, which: Any) -> None:
        """Begins new episodes of these lifetimes. The network is not told of a lifetime's first
        one."""
        self._begins |= np.asarray(which, bool) & self._born

    def step(
        self,
        observations: Any,
        actions: Any,
        log_probs: Optional[Any],
        rewards: Any,
        successes: Any,
        which: Optional[Array] = None,
    ) -> Tuple[Array, Array]:
        """Returns the rewards of the agents and the signals, each [S]. observations: before the
        step. which: a mask of the lifetimes that make a step, all if it is None; the others keep
        their state and get 0."""
        live = np.ones(self.lifetimes, bool) if which is None else which
        observations = as_float32(observations).reshape(self.lifetimes, -1)
        if not np.isfinite(observations[live]).all():
            lifetime = int(np.argwhere(live & ~np.isfinite(observations).all(1))[0, 0])
            raise SignalError(
                "observation",
                f"of environment {lifetime} is not finite, and the network would never forget it: "
                f"{observations[lifetime]}; mend the environment, or end the episode there",
            )
        if log_probs is not None:
            log_probs = as_array(log_probs, "log_prob").reshape(self.lifetimes)
            wrong = live & ~np.isfinite(log_probs)
            if wrong.any():
                lifetime = int(np.flatnonzero(wrong)[0])
                raise SignalError(
                    "log_prob",
                    f"is {log_probs[lifetime]} for action {actions[lifetime]} of environment "
                    f"{lifetime}; give the finite log-density of the action as the policy drew it, "
                    "before clipping",
                )
        starts = self._begins & live
        self._begins &= ~live
        self._born |= live
        sparse = np.zeros(self.lifetimes)
        mix = self.mix
        if reads_success(self.signal, mix):
            sparse = self.success.step(starts, successes, live)
        task = np.asarray(rewards, np.float64)
        shape = (self.lifetimes, 1)
        parts = {
            "observations": observations.reshape(*shape, -1),
            "actions": one_hot(actions, self.signal).reshape(*shape, -1),
            "log_probs": None if log_probs is None else log_probs.reshape(shape),
            "shaped_rewards": task.reshape(shape),
            "success_signals": sparse.reshape(shape),
            "prev_done": starts.astype(np.float32).reshape(shape),
        }
        given = np.zeros(self.lifetimes)
        if live.all():
            signals, self.state = self.signal.run(Segment(**parts), self.state)
            given[:] = signals[:, 0]
        elif live.any():
            some = {name: part if part is None else part[live] for name, part in parts.items()}
            signals, after = self.signal.run(Segment(**some), self.state.of(live))
            self.state = self.state.with_those(live, after)
            given[live] = signals[:, 0]
        task = sparse if mix.task_reward == "success" else np.where(live, task, 0.0)
        return mix.task * mix.scale * task + mix.signal * given, given


class Drawn:
    """What the policy said of the next actions: their density, and what they were before
    clipping."""

    def __init__(
        self, signal: Signal, log_prob: Optional[LogProb], space: Any, count: Optional[int] = None
    ):
        """space: that of one environment. count: of environments, if they are several."""
        self._signal = signal
        self._log_prob = log_prob
        self._space = space
        self._count = count
        self._told: Optional[Array] = None
        self._actions: Any = None
        if log_prob is not None and not callable(log_prob):
            raise SignalError(
                "log_prob",
                f"is {log_prob!r}; give a function of observation and action, or call drawn(...) "
                "before each step",
            )

    def tell(self, log_prob: Any, actions: Any = None) -> None:
        self._told = self._of_each(log_prob)
        self._actions = actions

    def take(self, observations: Any, actions: Any) -> Tuple[Array, Optional[Array]]:
        """Returns the actions as they were drawn, and their density if the network reads it."""
        told, drawn = self._told, self._actions
        self._told = self._actions = None
        drawn = actions if drawn is None else drawn
        checked = checked_actions(drawn, self._space, self._count)
        if "log_probs" not in self._signal.reads:
            return checked, None
        if told is None and self._log_prob is not None:
            told = self._of_each(self._log_prob(observations, drawn))
        if told is None:
            raise SignalError(
                "log_prob",
                f"is missing: '{self._signal.network.name}' sees the density of actions; call "
                "drawn(log_prob) before each step(action), or give log_prob=...; for "
                "Stable-Baselines3 take LearnedVecReward.attach(model)",
            )
        return checked, told

    def _of_each(self, log_prob: Any) -> Array:
        log_probs = as_array(log_prob, "log_prob")
        count = self._count or 1
        if log_probs.size != count:
            raise SignalError(
                "log_prob",
                f"has shape {list(log_probs.shape)}; give one number for each of {count} actions, "
                "the sum over the numbers of an action",
            )
        return log_probs.reshape(count)


class LearnedEnvReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What LearnedReward gives for one environment: see there."""

    def __init__(
        self,
        env: "gymnasium.Env[Any, Any]",
        signal: Signal,
        *,
        reward: Union[str, RewardMix] = "as_trained",
        success: Success = success_in_info,
        log_prob: Optional[LogProb] = None,
    ):
        super().__init__(env)
        self._lifetime = Lifetimes(signal, 1, reward, success)
        check_spaces(env.observation_space, env.action_space, signal)
        check_raw(env)
        self._task = TaskCheck(signal.facts)
        self._task.look(env)
        self._success = success
        self._drawn = Drawn(signal, log_prob, env.action_space)
        self._observation: Any = None
        self._over = True

    def new_lifetime(self) -> None:
        """Begins a new agent: the network's state is cleared."""
        self._lifetime.reset()

    def drawn(self, log_prob: Any, action: Any = None) -> None:
        """Call before step() with the log-density of its action under the policy that drew it, if
        the network reads that, and with the action before clipping, if step() gets another."""
        self._drawn.tell(log_prob, action)

    def reset(
        self, *, seed: Optional[int] = None, options: Optional[Dict[str, Any]] = None
    ) -> Tuple[Any, Dict[str, Any]]:
        self._task.look(self.env)  # Tasks of Meta-World's kind decide anew.
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
        drawn, log_probs = self._drawn.take(before, action)
        self._observation, reward, terminated, truncated, info = self.env.step(
            clipped(action, self.env.action_space)
        )
        terminated = as_flag(terminated, "terminated")
        truncated = as_flag(truncated, "truncated")
        self._over = terminated or truncated
        success = self._success(float(reward), terminated, info)
        self._lifetime.watch.look(info, self._over)
        rewards, signals = self._lifetime.step(
            before, drawn[None], log_probs, [float(reward)], [success]
        )
        info = {**info, "task_reward": float(reward), "signal": float(signals[0])}
        return self._observation, float(rewards[0]), terminated, truncated, info


def checked_actions(actions: Any, space: Any, count: Optional[int] = None) -> Array:
    """Returns actions of a space of one environment as an array, [count, ...] if they are those of
    several."""
    array = as_array(actions, "action")
    shape = (*(() if count is None else (count,)), *space.shape)
    if array.size == int(np.prod(shape)) == 1:
        array = array.reshape(shape)
    if array.shape != shape:
        raise SignalError("action", f"has shape {list(array.shape)}; give {list(shape)}")
    if isinstance(space, gymnasium.spaces.Discrete):
        wrong = (array < 0) | (array >= space.n) | (array.dtype.kind not in "iu")
        if np.any(wrong):
            raise SignalError(
                "action", f"is {array[wrong][0]}; give integers from 0 to {space.n - 1}"
            )
    elif not np.isfinite(array).all():
        raise SignalError(
            "action",
            f"has {array[~np.isfinite(array)][0]}; give finite numbers, as the policy drew them",
        )
    return array


def clipped(actions: Any, space: Any) -> Any:
    """Returns actions as the environment accepts them."""
    if not isinstance(space, gymnasium.spaces.Box):
        return actions
    return np.clip(as_array(actions, "action"), space.low, space.high)


def check_raw(env: Any) -> None:
    """Checks that an environment, or each of several, gives observations as they are."""
    wrappers = gymnasium.wrappers
    while isinstance(env, (gymnasium.Wrapper, gymnasium.vector.VectorWrapper)):
        if isinstance(env, (wrappers.NormalizeObservation, wrappers.vector.NormalizeObservation)):
            raise SignalError("env", NORMALISED.format("NormalizeObservation", "LearnedReward"))
        env = env.env
    for each in getattr(env, "envs", ()):
        check_raw(each)


def check_spaces(observations: Any, actions: Any, signal: Signal) -> None:
    """Checks that an environment has the sizes for which the signal was trained."""
    sizes = signal.sizes
    shape = getattr(observations, "shape", None) or ()
    if not isinstance(observations, gymnasium.spaces.Box) or int(np.prod(shape)) != (
        sizes.observation
    ):
        raise SignalError(
            "env.observation_space",
            f"is {observations}, but the signal reads {sizes.observation} numbers; flatten it "
            "by gymnasium.wrappers.FlattenObservation, or take an environment of that size",
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
