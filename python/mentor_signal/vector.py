"""Learned rewards for the vector environments of Gymnasium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

import gymnasium
import gymnasium.vector
import numpy as np

from .environments import (
    SUCCESS_KEYS,
    Drawn,
    Lifetimes,
    LogProb,
    Success,
    check_raw,
    check_spaces,
    checked_actions,
    clipped,
    success_in_info,
)
from .errors import SignalError
from .lifetimes import OF_A_SHARE, Array, as_flags
from .signal import RewardMix, Signal
from .tasks import TaskCheck

if TYPE_CHECKING:
    VectorWrapper = gymnasium.vector.VectorWrapper[Any, Any, Any, Any, Any]
else:
    VectorWrapper = gymnasium.vector.VectorWrapper  # Not generic in every version.

NEXT_STEP, SAME_STEP, DISABLED = "NextStep", "SameStep", "Disabled"


def autoreset_mode(env: Any) -> str:
    """Returns when a vector environment begins new episodes, as Gymnasium names it."""
    mode = env.metadata.get("autoreset_mode")
    if mode is None and not hasattr(gymnasium.vector, "AutoresetMode"):
        return NEXT_STEP  # Gymnasium 1.0 has no other.
    name = getattr(mode, "value", mode)
    if name not in (NEXT_STEP, SAME_STEP, DISABLED):
        raise SignalError(
            "env.metadata['autoreset_mode']",
            f"is {mode!r}, so it is unknown which steps belong to which episode; set it to one of "
            "gymnasium.vector.AutoresetMode",
        )
    return str(name)


def info_of(infos: Dict[str, Any], index: int) -> Dict[str, Any]:
    """Returns the info of one environment of several."""
    info: Dict[str, Any] = {}
    for key, values in infos.items():
        known = infos.get(f"_{key}")
        if key.startswith("_") or (known is not None and not known[index]):
            continue
        info[key] = info_of(values, index) if isinstance(values, dict) else values[index]
    return info


def successes_in_infos(infos: Dict[str, Any], count: int) -> Array:
    """success_in_info of each environment."""
    found = np.zeros(count, bool)
    for key in reversed(SUCCESS_KEYS):  # The last one has the say where several are.
        if key in infos:
            values = np.asarray(infos[key])
            known = np.broadcast_to(np.asarray(infos.get(f"_{key}", True), bool), values.shape)
            if values.dtype == object:
                known = known & np.array([value is not None for value in values])
            said = values[known].tolist()
            found[known] = as_flags(said, f"info['{key}']", OF_A_SHARE)
    return found


class LearnedVectorReward(VectorWrapper):
    """What LearnedReward gives for a gymnasium.vector.VectorEnv: see there. Each of its
    environments is a lifetime. Steps that only begin an episode (autoreset mode NEXT_STEP) are no
    steps of a lifetime: their reward is 0."""

    def __init__(
        self,
        env: "gymnasium.vector.VectorEnv[Any, Any, Any]",
        signal: Signal,
        *,
        reward: Union[str, RewardMix] = "as_trained",
        success: Success = success_in_info,
        log_prob: Optional[LogProb] = None,
    ):
        super().__init__(env)
        self._lifetimes = Lifetimes(signal, env.num_envs, reward, success)
        check_spaces(env.single_observation_space, env.single_action_space, signal)
        check_raw(env)
        TaskCheck(signal.facts).look(env)
        self._mode = autoreset_mode(env)
        self._success = success
        self._drawn = Drawn(signal, log_prob, env.single_action_space, env.num_envs)
        self._observations: Any = None
        # Environments whose episode has ended and whose next one has not begun.
        self._over = np.ones(env.num_envs, bool)

    def new_lifetime(self, which: Optional[Any] = None) -> None:
        """Begins new agents: all, or those of a mask or of numbers. Their state is cleared."""
        self._lifetimes.reset(which)

    def drawn(self, log_prob: Any, actions: Any = None) -> None:
        """Tells the log-density of each action of the next step() under the policy that drew it, if
        the network reads that. If step() gets clipped actions, give those before clipping, too."""
        self._drawn.tell(log_prob, actions)

    def reset(
        self, *, seed: Any = None, options: Optional[Dict[str, Any]] = None
    ) -> Tuple[Any, Dict[str, Any]]:
        begun = np.ones(self.num_envs, bool)
        if options is not None and options.get("reset_mask") is not None:
            # Copied, because environments take it out of the options.
            begun = np.array(options["reset_mask"], bool)
        self._observations, infos = self.env.reset(seed=seed, options=options)
        self._over &= ~begun
        self._lifetimes.begin_episodes(begun)
        return self._observations, infos

    def step(self, actions: Any) -> Tuple[Any, Array, Any, Any, Dict[str, Any]]:
        live = ~self._over
        if self._observations is None or (self._mode == DISABLED and not live.all()):
            raise SignalError(
                "env",
                f"has no episode to go on with in {np.flatnonzero(self._over).tolist()}: call "
                "reset() before step(); where autoreset is DISABLED, "
                "reset(options={'reset_mask': done})",
            )
        space, count = self.single_action_space, self.num_envs
        # Copied, because environments may write the next observations into the same array.
        before = np.array(self._observations)
        drawn, log_probs = self._drawn.take(before, actions)
        self._observations, rewards, terminated, truncated, infos = self.env.step(
            clipped(checked_actions(actions, space, count), space)
        )
        done = as_flags(terminated, "terminated") | as_flags(truncated, "truncated")
        self._lifetimes.begin_episodes(self._over)
        self._over = np.zeros(count, bool) if self._mode == SAME_STEP else done.copy()
        task = np.array(rewards, np.float64)
        successes = self._successes(infos, task, terminated, done)
        given, signals = self._lifetimes.step(before, drawn, log_probs, task, successes, live)
        if self._mode == SAME_STEP:
            self._lifetimes.begin_episodes(done)
        infos = {
            **infos,
            **{"task_reward": task, "_task_reward": live, "signal": signals, "_signal": live},
        }
        return self._observations, given, terminated, truncated, infos

    def _successes(self, infos: Dict[str, Any], task: Array, terminated: Any, done: Array) -> Array:
        """Returns whether each step succeeded. Where an episode ended and the next one has begun in
        the same step, the info of the step is the final one."""
        final: Dict[str, Any] = infos.get("final_info") or {}
        ended = np.asarray(infos.get("_final_info", done), bool) if final else np.zeros_like(done)
        self._lifetimes.watch.look({**infos, **final}, bool(done.any()))
        if self._success is not success_in_info:
            return np.array(
                [
                    self._success(
                        float(task[index]),
                        bool(terminated[index]),
                        info_of(final if ended[index] else infos, index),
                    )
                    for index in range(len(task))
                ]
            )
        found = successes_in_infos(infos, len(task))
        return np.where(ended, successes_in_infos(final, len(task)), found) if final else found
