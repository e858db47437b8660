"""Learned signals for Stable-Baselines3. LearnedVecReward gives them as the reward of VecEnvs.
TaughtPPO is a PPO that learns from whole iterations, as Mentor's agents do."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Optional, Union

import gymnasium
import numpy as np

from .errors import SignalError, explained

try:
    import torch
    from stable_baselines3 import PPO
except ModuleNotFoundError as error:
    said = explained(error, "signal,sb3", "torch stable-baselines3")
    raise ModuleNotFoundError(said, name=error.name) from None
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_normalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from .environments import (
    NORMALISED,
    Lifetimes,
    Success,
    SuccessWatch,
    check_spaces,
    check_stepwise,
    mix_of,
    one_hot,
    reads_success,
    success_in_info,
)
from .lifetimes import Array, Segment, State, SuccessSignal
from .names import Path
from .signal import RewardMix, Signal, signal_of
from .tasks import TaskCheck

__all__ = ["LearnedVecReward", "TaughtPPO"]


def _cut(done: bool, info: Dict[str, Any]) -> bool:
    """True if a limit ended the episode with this step."""
    return done and bool(info.get("TimeLimit.truncated", False))


def _successes(success: Success, rewards: Any, dones: Any, infos: Any) -> List[bool]:
    return [
        success(float(reward), bool(done) and not _cut(done, info), info)
        for reward, done, info in zip(rewards, dones, infos)
    ]


class LearnedVecReward(VecEnvWrapper):
    """VecEnvs whose reward is a learned signal, or contains one. Each environment is one lifetime.
    Put this wrapper inside VecNormalize, because networks see raw observations.

    signal, reward, success   as in mentor_signal.LearnedReward

    attach(model) lets the wrapper see what the model draws: actions before clipping, and their
    density if the network reads it. Without attach, the actions of step() count as drawn.
    """

    def __init__(
        self,
        venv: VecEnv,
        signal: Union[Signal, Path],
        *,
        reward: Union[str, RewardMix] = "as_trained",
        success: Success = success_in_info,
    ):
        super().__init__(venv)
        signal = signal_of(signal)
        self._lifetimes = Lifetimes(signal, venv.num_envs, reward, success)
        wrong = "VecNormalize" if unwrap_vec_normalize(venv) is not None else ""
        if any(venv.env_is_wrapped(gymnasium.wrappers.NormalizeObservation)):
            wrong = "NormalizeObservation"
        if wrong:
            raise SignalError("venv", NORMALISED.format(wrong, "LearnedVecReward"))
        check_spaces(venv.observation_space, venv.action_space, signal)
        TaskCheck(signal.facts).look(venv)
        self._signal = signal
        self._success = success
        self._observations: Any = None
        self._actions: Any = None
        self._drawn: Optional[Array] = None
        self._log_probs: Optional[Array] = None
        self._uniform: Optional[float] = None

    def attach(self, model: BaseAlgorithm) -> None:
        """Names the acting model: A2C or PPO, which give the density of actions, or SAC."""
        policy = model.policy
        if isinstance(policy, ActorCriticPolicy):

            def on_policy(_module: Any, _inputs: Any, outputs: Any) -> None:
                self._drawn = outputs[0].detach().cpu().numpy()
                self._log_probs = outputs[2].detach().cpu().numpy()

            policy.register_forward_hook(on_policy)
            return
        actor = getattr(policy, "actor", None)
        if hasattr(actor, "action_dist"):
            # The actor draws from -1 to 1; the environment sees actions in its own range.
            space: Any = self.action_space
            scale = float(np.log((space.high - space.low) / 2).sum())

            def off_policy(module: Any, _inputs: Any, outputs: Any) -> None:
                log_probs = module.action_dist.log_prob(outputs)
                self._log_probs = log_probs.detach().cpu().numpy() - scale

            actor.register_forward_hook(off_policy)  # type: ignore[union-attr]
            # Of actions that are drawn before learning starts.
            self._uniform = -float(np.log(space.high - space.low).sum())
            return
        if "log_probs" in self._signal.reads:
            raise SignalError(
                "model",
                f"{type(model).__name__} has no density of actions, which "
                f"'{self._signal.network.name}' sees; take PPO, A2C or SAC",
            )

    def new_lifetime(self, which: Optional[Any] = None) -> None:
        """Begins new agents: all, or those of a mask or of numbers. Their state is cleared."""
        self._lifetimes.reset(which)

    def reset(self) -> VecEnvObs:
        self._observations = self.venv.reset()
        self._lifetimes.begin_episodes(np.ones(self.num_envs, bool))
        return self._observations  # type: ignore[no-any-return]

    def step_async(self, actions: Array) -> None:
        if self._observations is None:
            raise SignalError("venv", "has no episodes yet: call reset() before step()")
        self._actions = actions
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        actions = self._actions
        # Copied, because environments may write the next observations into the same array.
        before = np.array(self._observations)
        observations, rewards, dones, infos = self.venv.step_wait()
        drawn, log_probs = self._drawn, self._log_probs
        self._drawn = self._log_probs = None
        if drawn is not None and len(drawn) == self.num_envs:
            actions = drawn
        if "log_probs" in self._signal.reads:
            log_probs = self._density(log_probs)
        successes = _successes(self._success, rewards, dones, infos)
        given, signals = self._lifetimes.step(before, actions, log_probs, rewards, successes)
        self._observations = observations
        self._lifetimes.begin_episodes(dones)
        for index, info in enumerate(infos):
            self._lifetimes.watch.look(info, bool(dones[index]))
            info["task_reward"] = float(rewards[index])
            info["signal"] = float(signals[index])
        return observations, given.astype(np.float32), dones, infos

    def _density(self, log_probs: Optional[Array]) -> Array:
        if log_probs is not None and log_probs.size == self.num_envs:
            return log_probs.reshape(self.num_envs)
        if self._uniform is not None:
            return np.full(self.num_envs, self._uniform)
        raise SignalError(
            "model",
            f"'{self._signal.network.name}' sees the density of actions: call attach(model) before "
            "model.learn()",
        )


class _Recorder(VecEnvWrapper):
    """Records what a rollout buffer lacks: raw observations and rewards, successes, ends."""

    def __init__(self, venv: VecEnv, observations: Any, success: Success, watch: SuccessWatch):
        super().__init__(venv)
        self._normaliser = unwrap_vec_normalize(venv)
        self._success = success
        self._watch = watch
        self._now = (
            observations if self._normaliser is None else self._normaliser.get_original_obs()
        )
        self.observations: List[Any] = []
        self.rewards: List[Any] = []
        self.successes: List[Any] = []
        # Last observations of episodes that a limit cut short.
        self.ends: List[List[Optional[Any]]] = []

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        raw, self_now = rewards.copy(), np.array(observations, copy=True)
        if self._normaliser is not None:
            raw = self._normaliser.get_original_reward()
            self_now = np.asarray(self._normaliser.get_original_obs())
        self.observations.append(np.array(self._now, copy=True))
        self._now = self_now
        self.rewards.append(np.asarray(raw, np.float64))
        self.successes.append(_successes(self._success, raw, dones, infos))
        for done, info in zip(dones, infos):
            self._watch.look(info, bool(done))
        self.ends.append(
            [
                info.get("terminal_observation") if _cut(done, info) else None
                for done, info in zip(dones, infos)
            ]
        )
        return observations, rewards, dones, infos


class TaughtPPO(PPO):
    """PPO that takes its rewards or advantages from a learned signal. The network sees each rollout
    when it is complete, as in Mentor's learner. Works with every network that gives signals.

    signal     a name or a folder, as mentor_signal.load takes them, or what it returned
    reward     of role REWARD: "as_trained", "replace", "add" or a RewardMix
    success    of a step: (reward, terminated, info) -> bool
    bootstrap  whether an episode that a limit cut short goes on with the value of its last
               observation; default: as of the agents that it taught

    All other arguments are those of stable_baselines3.PPO. **signal.student() makes an agent like
    those that the signal taught. Each environment is one lifetime to the network; in Mentor an
    agent has one lifetime. If no value network is part of the advantage, vf_coef is 0.
    """

    def __init__(
        self,
        policy: Any,
        env: Any,
        signal: Union[Signal, Path, None] = None,
        *,
        reward: Union[str, RewardMix] = "as_trained",
        success: Success = success_in_info,
        bootstrap: Optional[bool] = None,
        **arguments: Any,
    ):
        signal = None if signal is None else signal_of(signal)
        self.signal = signal
        self.success = success
        self.mix = RewardMix()
        self.bootstrap = False
        self._signal_state: Optional[State] = None
        self._success_signal: Optional[SuccessSignal] = None
        self._watch: Optional[SuccessWatch] = None
        if signal is not None:
            if not signal.network.gives_signals or signal.role == "LOSS":
                check_stepwise(signal)
            self.mix = mix_of(signal, reward)
            trained = bool(signal.facts["agent"]["bootstrap_on_truncation"])
            self.bootstrap = trained if bootstrap is None else bootstrap
            if signal.role == "ADVANTAGE" and "values" not in signal.reads:
                arguments["vf_coef"] = 0.0
        elif arguments.get("_init_setup_model", True):
            raise SignalError(
                "signal", "is missing; give a name, or what mentor_signal.load returned"
            )
        super().__init__(policy, env, **arguments)
        if signal is not None and self.env is not None:
            check_spaces(self.observation_space, self.action_space, signal)
            TaskCheck(signal.facts).look(self.env)

    def new_lifetime(self) -> None:
        """Begins a new agent: the network's state is cleared."""
        self._signal_state = self._success_signal = None

    def learn(self, *arguments: Any, **named: Any) -> Any:
        if named.get("reset_num_timesteps", True):
            self.new_lifetime()
        return super().learn(*arguments, **named)

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        if self._watch is None:
            is_read = self.signal is not None and reads_success(self.signal, self.mix)
            self._watch = SuccessWatch(self.success, is_read)
        recorder = _Recorder(env, self._last_obs, self.success, self._watch)
        if not super().collect_rollouts(recorder, callback, rollout_buffer, n_rollout_steps):
            return False
        self._teach(recorder, rollout_buffer)
        return True

    def _teach(self, recorder: _Recorder, buffer: RolloutBuffer) -> None:
        signal = self.signal
        assert signal is not None
        lifetimes = buffer.n_envs
        starts = buffer.episode_starts.T.copy()
        if self._signal_state is None or self._success_signal is None:
            self._signal_state = signal.initial_state(lifetimes)
            self._success_signal = SuccessSignal(lifetimes, signal.sizes.episode_steps)
            starts[:, 0] = 0  # The first episode of a lifetime follows no other episode.
        successes = np.stack(recorder.successes, axis=1)
        sparse = np.zeros(starts.shape)
        if reads_success(signal, self.mix):
            sparse = self._success_signal.steps(starts, successes)
        with torch.no_grad():
            last_values = self._values(self._last_obs)
            final_values = self._final_values(recorder)
        segment = Segment(
            observations=_by_lifetime(recorder.observations).reshape(*starts.shape, -1),
            actions=self._actions_of(buffer, signal),
            log_probs=buffer.log_probs.T.copy(),
            shaped_rewards=_by_lifetime(recorder.rewards),
            success_signals=sparse,
            prev_done=starts,
            last_done=np.asarray(self._last_episode_starts, np.float32),
            values=buffer.values.T.copy(),
            last_values=last_values.cpu().numpy().reshape(lifetimes),
            truncated=None if final_values is None else (~np.isnan(final_values)).astype(float),
            final_values=None if final_values is None else np.nan_to_num(final_values),
        )
        signals, self._signal_state = signal.run(segment, self._signal_state)
        if signal.role == "ADVANTAGE":
            buffer.advantages[:] = signals.T
            buffer.returns[:] = buffer.advantages + buffer.values
            return
        mix = self.mix
        task = sparse if mix.task_reward == "success" else np.asarray(segment.shaped_rewards)
        rewards = mix.task * mix.scale * task + mix.signal * signals.astype(np.float64)
        if final_values is not None:
            rewards = rewards + self.gamma * np.nan_to_num(final_values)
        buffer.rewards[:] = rewards.T
        buffer.compute_returns_and_advantage(
            last_values=last_values, dones=np.asarray(self._last_episode_starts)
        )

    @staticmethod
    def _actions_of(buffer: RolloutBuffer, signal: Signal) -> Array:
        actions = buffer.actions.transpose(1, 0, 2)
        return one_hot(actions[..., 0] if signal.sizes.discrete_actions else actions, signal)

    def _values(self, observations: Any) -> torch.Tensor:
        tensor, _ = self.policy.obs_to_tensor(observations)
        values: torch.Tensor = self.policy.predict_values(tensor)
        return values

    def _final_values(self, recorder: _Recorder) -> Optional[Array]:
        """Returns [S, T]: values for episodes that a limit cut short, NaN elsewhere. None if such
        episodes count as ended."""
        if not self.bootstrap:
            return None
        steps, lifetimes = len(recorder.ends), len(recorder.ends[0])
        values = np.full((lifetimes, steps), math.nan)
        for t, ends in enumerate(recorder.ends):
            for lifetime, observation in enumerate(ends):
                if observation is not None:
                    values[lifetime, t] = float(self._values(observation)[0])
        return values


def _by_lifetime(steps: List[Any]) -> Array:
    """Stacks T arrays [S, ...] to [S, T, ...]."""
    return np.stack([np.asarray(step) for step in steps], axis=1)
