"""LearnedReward: a learned signal as the reward of environments of every kind."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Optional, Union, overload

import gymnasium
import gymnasium.vector

from .environments import LearnedEnvReward, LogProb, Success, success_in_info
from .errors import SignalError
from .names import Path
from .signal import RewardMix, Signal, signal_of
from .vector import LearnedVectorReward

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from .sb3 import LearnedVecReward


@overload
def LearnedReward(  # noqa: N802
    env: "gymnasium.Env[Any, Any]",
    signal: Union[Signal, Path],
    *,
    reward: Union[str, RewardMix] = ...,
    success: Success = ...,
    log_prob: Optional[LogProb] = ...,
) -> LearnedEnvReward:
    ...


@overload
def LearnedReward(
    env: "gymnasium.vector.VectorEnv[Any, Any, Any]",
    signal: Union[Signal, Path],
    *,
    reward: Union[str, RewardMix] = ...,
    success: Success = ...,
    log_prob: Optional[LogProb] = ...,
) -> LearnedVectorReward:
    ...


@overload
def LearnedReward(
    env: "VecEnv",
    signal: Union[Signal, Path],
    *,
    reward: Union[str, RewardMix] = ...,
    success: Success = ...,
) -> "LearnedVecReward":
    ...


def LearnedReward(
    env: Any,
    signal: Union[Signal, Path],
    *,
    reward: Union[str, RewardMix] = "as_trained",
    success: Success = success_in_info,
    log_prob: Optional[LogProb] = None,
) -> Any:
    """Returns an environment whose reward is a learned signal, or contains one.

    env        a gymnasium.Env, a gymnasium.vector.VectorEnv in any autoreset mode, or a VecEnv of
               Stable-Baselines3
    signal     a name or a folder, as load() takes them, or what it returned: of role REWARD, and of
               a network that is causal
    reward     "as_trained", "replace", "add" or a RewardMix
    success    of a step of one environment: (reward, terminated, info) -> bool
    log_prob   (observation, action) -> log-density of the action under the policy that drew it; of
               several environments, of all at once. Needed where the network sees the density
               (`"log_probs" in signal.reads`); drawn(log_prob) before each step does the same

    Give it actions as the policy drew them, before clipping. A lifetime is what one environment
    sees from the call of LearnedReward on: it continues over episodes and resets. new_lifetime()
    begins a new agent; of a vector, new_lifetime(which) those of a mask. The task's reward and the
    signal are in info["task_reward"] and info["signal"].
    """
    signal = signal_of(signal)
    if isinstance(env, gymnasium.Env):
        return LearnedEnvReward(env, signal, reward=reward, success=success, log_prob=log_prob)
    if isinstance(env, gymnasium.vector.VectorEnv):
        return LearnedVectorReward(env, signal, reward=reward, success=success, log_prob=log_prob)
    if "stable_baselines3" in sys.modules:  # Or it is none of its environments.
        from stable_baselines3.common.vec_env import VecEnv

        from .sb3 import LearnedVecReward

        if isinstance(env, VecEnv):
            if log_prob is not None:
                raise SignalError("log_prob", "has no use with a VecEnv: call attach(model)")
            return LearnedVecReward(env, signal, reward=reward, success=success)
    raise SignalError(
        "env",
        f"is a {type(env).__name__}; give what gymnasium.make or make_vec returns, or a VecEnv of "
        "Stable-Baselines3",
    )
