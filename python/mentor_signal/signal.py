"""Reads what `mentor export` wrote."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import warnings
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, TypeVar, Union

import numpy as np

from . import hub
from .errors import SignalError
from .fields import REMEDY
from .files import read_facts, read_tensors, read_weights
from .lifetimes import Array, Segment, State, as_array, as_float32
from .names import Path, folder_of
from .networks.base import AttentionMap, Context, Network, Sizes, network_named
from .networks.discriminator import Discriminator
from .networks.drift import Drift
from .networks.loss_conv import LossConv, LossInputs
from .normaliser import ObservationNormaliser

if TYPE_CHECKING:
    import torch

TOLERANCE = 1e-5

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class RewardMix:
    """What agents learn from: task * scale * r + signal * y. r is the task's reward ("shaped") or
    the sparse success signal ("success"); y is the network's output."""

    task: float = 0.0
    signal: float = 1.0
    task_reward: str = "shaped"
    scale: float = 1.0


class Signal:
    """A signal network with its weights and its description.

    role         "REWARD", "ADVANTAGE", or "LOSS" (of a loss network)
    sizes        what it was trained for
    reward       how agents make their reward of the task's and the signal
    facts        all of config.json
    folder       whose files these are, if it was loaded
    """

    def __init__(
        self, facts: Dict[str, Any], weights: Dict[str, Any], folder: Optional[pathlib.Path] = None
    ):
        self.facts = facts
        self.folder = folder
        context = _context(facts)
        self.sizes = context.sizes
        self.role: str = facts["role"]
        self.reward = RewardMix(**facts["reward"])
        arrays = {name: as_array(weight, f"weights.{name}") for name, weight in weights.items()}
        self.network: Network = network_named(facts["network"]["name"])(context, arrays)
        # Whether run() scales the observations, which it gets as the environment gives them.
        self.normalises: bool = context.options.get("normalize_observations", False)

    def __repr__(self) -> str:
        trained = self.facts["trained"]
        return (
            f"<Signal {self.network.name}, {self.role}, trained on {trained['benchmark']} "
            f"{trained['environment']}".rstrip() + f", {trained['outer_updates']} outer updates>"
        )

    @classmethod
    def from_pretrained(cls, name: Path, *, revision: Optional[str] = None) -> "Signal":
        """Loads a folder, or the repository OWNER/NAME of the Hugging Face Hub. load() takes names
        of the zoo, too."""
        if not os.path.isdir(name):
            name = f"{hub.SCHEME}{name}" + (f"@{revision}" if revision else "")
        return load(name, check=None)

    def save_pretrained(self, folder: Path) -> pathlib.Path:
        """Writes the files that this signal was loaded from into a folder, and returns it."""
        return hub.copy(self.folder, pathlib.Path(folder))

    def push_to_hub(
        self, repo_id: str, *, private: Optional[bool] = None, commit_message: Optional[str] = None
    ) -> str:
        """Writes them into a repository of the Hugging Face Hub, and returns the commit's address.
        `hf auth login` says who you are."""
        return hub.push(self.folder, repo_id, private, commit_message)

    @property
    def causal(self) -> bool:
        """True if the signal of each step depends only on that step and earlier ones."""
        return self.network.causal

    @property
    def reads(self) -> "frozenset[str]":
        """Parts of a Segment that the network reads, beside the observations."""
        return self.network.reads

    def initial_state(self, lifetimes: int = 1) -> State:
        """Returns the state of agents at birth. It belongs to a lifetime and continues across
        episodes."""
        state = self.network.initial_state(lifetimes)
        if self.normalises:
            state.lived = ObservationNormaliser(lifetimes, self.sizes.observation)
        return state

    def run(self, segment: Segment, state: State, *, shown: bool = False) -> Tuple[Array, State]:
        """Returns the signals [S, T] of the next steps, and the state after them. Networks that are
        not causal need the segments of training: whole inner iterations. So do those that see
        normalised observations, for the numbers of training: a segment's scale is that of the life
        up to its end. With `shown` the observations are those that the network sees."""
        if not self.network.gives_signals:
            raise SignalError(
                "network",
                f"'{self.network.name}' gives no signals by itself; use {self.network.used_by}()",
            )
        with np.errstate(over="ignore", invalid="ignore"):  # What comes of it is looked at.
            seen, lived = self._seen(segment, state, shown)
            signals, following = self.network.signals(seen, state)
        if not np.isfinite(signals).all():
            raise SignalError(
                "segment", "has numbers that are too large: the signal is not finite; scale them"
            )
        following.lived = lived
        return signals, following

    def explain(self, segment: Segment, state: State, *, shown: bool = False) -> List[AttentionMap]:
        """Returns what each step of the segment attends to, as maps of all episodes. For networks
        `attention`; arguments are those of run()."""
        return self.network.explain(self._seen(segment, state, shown)[0], state)

    def agent_rewards(self, segment: Segment, signals: Any) -> Array:
        """Returns the rewards of the agents that the signal taught, [S, T] float64, from its
        signals."""
        rewards: Array = self.reward.signal * as_array(signals, "signals").astype(np.float64)
        if self.reward.task == 0:
            return rewards
        name = "success_signals" if self.reward.task_reward == "success" else "shaped_rewards"
        task = segment.array(name, np.float64) * self.reward.scale
        return self.reward.task * task + rewards

    def loss(self, inputs: LossInputs) -> "torch.Tensor":
        """Returns a learned loss, [S]; differentiable in `inputs.policy`. Needs PyTorch."""
        if not isinstance(self.network, LossConv):
            raise SignalError("role", f"is {self.role}: the network gives signals; use run(...)")
        return self.network.loss(inputs)

    def log_skills(self, observations: Any) -> Array:
        """Returns ln q(skill | observation) of a discriminator, [..., n]."""
        return self._discriminator().log_skills(observations)

    def skill_reward(self, reached: Any, skill: int) -> Array:
        """Returns a discriminator's reward [...] of the steps that led to these observations."""
        return self._discriminator().reward(reached, skill)

    def drift(self, log_ratio: Any, advantages: Any, clip: Optional[float] = None) -> Array:
        """Returns the drift of steps from the logarithms of their ratios and their advantages. The
        policy's loss is the mean of drift - exp(log_ratio) * advantages. `clip` is that of the
        agents that it taught."""
        if not isinstance(self.network, Drift):
            raise SignalError("network", f"'{self.network.name}' is no drift; use run(...)")
        if clip is None:
            clip = self.facts["agent"]["clip"]
        return self.network.drift(log_ratio, advantages, clip)

    def student(self) -> Dict[str, Any]:
        """Keyword arguments of stable_baselines3.PPO for agents like those that the signal taught.
        n_steps is one inner iteration of one environment."""
        agent, steps = self.facts["agent"], self.sizes.steps_per_iteration
        units = [agent["hidden_units"]] * 2
        if "surrogate" in agent:
            warnings.warn(
                f"the signal taught agents with the surrogate {agent['surrogate']}, and PPO has a "
                "clip in its place",
                stacklevel=2,
            )
        return {
            "n_steps": steps,
            "batch_size": max(2, steps // agent["minibatches"]),
            "n_epochs": agent["epochs"],
            "learning_rate": agent["learning_rate"],
            "gamma": agent["gamma"],
            "gae_lambda": agent["gae_lambda"],
            "clip_range": agent["clip"],
            "vf_coef": agent["value_coef"],
            "ent_coef": agent["entropy_coef"],
            "max_grad_norm": agent["max_grad_norm"],
            "normalize_advantage": agent["normalize_advantage"],
            "policy_kwargs": {
                "net_arch": {"pi": list(units), "vf": list(units)},
                "log_std_init": math.log(agent["initial_std"]),
            },
        }

    def _discriminator(self) -> Discriminator:
        if not isinstance(self.network, Discriminator):
            raise SignalError("network", f"'{self.network.name}' knows no skills; use run(...)")
        return self.network

    def _seen(
        self, segment: Segment, state: State, shown: bool
    ) -> Tuple[Segment, Optional[ObservationNormaliser]]:
        """The segment as the network sees it, and the scale of observations after it."""
        self._check(segment, state)
        seen, lived = segment, state.lived
        if self.normalises and not shown:
            if lived is None:
                raise SignalError(
                    "state",
                    "has no scale of observations, which the network sees normalised; begin with "
                    "Signal.initial_state(lifetimes)",
                )
            lived = lived.clone()
            numbers = lived.show(segment.array("observations"))
            seen = dataclasses.replace(seen, observations=numbers)
        if segment.shaped_rewards is not None and self.reward.scale != 1:
            scaled = segment.array("shaped_rewards") * self.reward.scale
            seen = dataclasses.replace(seen, shaped_rewards=scaled)
        return seen, lived

    def _check(self, segment: Segment, state: State) -> None:
        shape = list(segment.array("observations").shape)
        if len(shape) != 3 or shape[1] == 0:
            raise SignalError(
                "segment.observations",
                f"has shape {shape}; give [lifetimes, steps, numbers] of one step or more",
            )
        lifetimes, steps = segment.lifetimes, segment.steps
        if len(state.previous) != lifetimes:
            raise SignalError(
                "state",
                f"is that of {len(state.previous)} lifetimes, but the segment has {lifetimes}; "
                "begin with initial_state(lifetimes)",
            )
        shapes: Dict[str, List[int]] = {
            "observations": [lifetimes, steps, self.sizes.observation],
            "actions": [lifetimes, steps, self.sizes.action],
            "last_done": [lifetimes],
            "last_values": [lifetimes],
        }
        for name in sorted(self.reads | {"observations"}):
            wanted = shapes.get(name, [lifetimes, steps])
            array = segment.array(name)
            if list(array.shape) != wanted:
                raise SignalError(
                    f"segment.{name}",
                    f"has shape {list(array.shape)}, but the network reads {wanted}",
                )
            # A state that has seen one NaN gives NaN for ever, and networks see 32 bits.
            finite = np.isfinite(as_float32(array))
            if not finite.all():
                place = np.argwhere(~finite)[0].tolist()
                raise SignalError(
                    f"segment.{name}",
                    f"is {array[tuple(place)]} at {place}; give numbers that are finite in 32 bits",
                )


def _context(facts: Dict[str, Any]) -> Context:
    sizes = {field.name: facts["sizes"][field.name] for field in dataclasses.fields(Sizes)}
    network = facts["network"]
    table = network_named(network["name"]).options
    options = {name: field.default for name, field in table.items()}
    options.update(network["options"])
    return Context(Sizes(**sizes), facts["role"], facts["input"], options)


def load(name: Path, *, check: Optional[bool] = False, dtype: Any = np.float32) -> Signal:
    """Loads a signal: of the zoo by its name ("door-close-reward"), of a folder that `mentor
    export` wrote, or of the Hugging Face Hub ("hf://OWNER/NAME", with @REVISION if need be). With
    check=True it also computes the recorded lifetime again and compares the numbers with Mentor's;
    with check=None, if there is one. `dtype`: in which the network computes, float32 or float64, as
    NumPy or PyTorch names them."""
    kind = str(dtype)[len("torch.") :] if str(dtype).startswith("torch.") else dtype
    try:
        precision = np.dtype(kind)
    except TypeError:
        precision = np.dtype(object)
    if precision not in (np.float32, np.float64):
        raise SignalError("dtype", f"is {dtype}; give numpy.float32 or numpy.float64")
    path = folder_of(name)
    facts = read_facts(path)
    network = facts["network"]["name"]
    weights = read_weights(path, facts, network, network_named(network).shapes(_context(facts)))
    arrays = {name: weight.astype(precision) for name, weight in weights.items()}
    signal = Signal(facts, arrays, path)
    if check or (check is None and facts.get("check")):
        worst = compare(path, signal)
        if worst > TOLERANCE:
            raise SignalError(
                "check",
                f"the numbers differ from Mentor's by up to {worst:.3g}, more than {TOLERANCE:g}; "
                "report it with the versions of numpy and of this package",
            )
    return signal


def signal_of(signal: Union[Signal, Path]) -> Signal:
    """Returns a signal, or loads it. Its numbers are then compared with Mentor's if there is a
    recorded lifetime."""
    if isinstance(signal, Signal):
        return signal
    if not isinstance(signal, (str, os.PathLike)):
        raise SignalError(
            "signal",
            f"is a {type(signal).__name__}; give a name or a folder, or what load(NAME) returned",
        )
    return load(signal, check=None)


def recorded(name: Path) -> List[Tuple[Segment, Array]]:
    """Returns the recorded lifetime of a network that gives signals: its inner iterations, each
    with Mentor's signals. Observations are those that the network sees: call run() and explain()
    with `shown`."""
    path = folder_of(name)
    return _of_recording(path, read_facts(path), _segments)


def compare(name: Path, signal: Optional[Signal] = None) -> float:
    """Returns the greatest difference between this package's numbers and those that Mentor
    recorded. It is relative to Mentor's greatest number if that is above 1."""
    path = folder_of(name)
    own = signal or load(path)
    return _of_recording(path, own.facts, lambda arrays: _compare(own, arrays))


def _of_recording(
    path: pathlib.Path, facts: Dict[str, Any], use: Callable[[Dict[str, Array]], Result]
) -> Result:
    entry = facts.get("check")
    if not entry:
        raise SignalError(
            "check", f"{path} has no recorded lifetime; `mentor export` without --no_check has one"
        )
    try:
        return use(read_tensors(path, entry, "check"))
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise SignalError("check", f"{path} has no whole recorded lifetime: {error!r}") from None


def _segments(arrays: Dict[str, Array]) -> List[Tuple[Segment, Array]]:
    known = {field.name for field in dataclasses.fields(Segment)}
    segments = []
    for number in range(1 + max(int(name.split("/")[0]) for name in arrays)):
        parts = {
            name.split("/")[1]: array
            for name, array in arrays.items()
            if name.split("/")[0] == str(number)
        }
        kept = {name: parts[name] for name in parts if name in known}
        segments.append((Segment(**kept), parts["signals"]))
    return segments


def _compare(signal: Signal, arrays: Dict[str, Array]) -> float:
    if isinstance(signal.network, LossConv):
        names = [field.name for field in dataclasses.fields(LossInputs)]
        inputs = LossInputs(**{name: arrays[name] for name in names})
        return _difference(signal.network.value(inputs), arrays["loss"])
    if isinstance(signal.network, Discriminator):
        return _difference(signal.log_skills(arrays["observations"]), arrays["log_skills"])
    if isinstance(signal.network, Drift):
        mine = signal.drift(arrays["log_ratio"], arrays["advantages"])
        return _difference(mine, arrays["drift"])
    worst, state = 0.0, None
    for segment, wanted in _segments(arrays):
        if state is None:
            state = signal.initial_state(segment.lifetimes)
            if signal.normalises:
                _check_shown(segment.array("observations"))
        signals, state = signal.run(segment, state, shown=True)  # As Mentor recorded it.
        worst = max(worst, _difference(signals, wanted))
    return worst


def _check_shown(observations: Array) -> None:
    """The recording has what the network saw, so that its signals are the same with and without
    the option. But the first segment's scale is that of its own observations: their mean square is
    1, and less only for numbers that were cut or hardly differ from 0."""
    if not 0.9 < np.square(observations, dtype=np.float64).mean((0, 1)).max() < 1.001:
        raise SignalError(
            "network.options.normalize_observations",
            "is true in config.json, but observations of the recorded lifetime are not normalised; "
            + REMEDY,
        )


def _difference(mine: Array, recorded: Array) -> float:
    if mine.shape != recorded.shape:
        raise SignalError("check", f"shape {list(mine.shape)}, recorded {list(recorded.shape)}")
    scale = max(1.0, float(np.abs(recorded).max()))
    difference = float(np.abs(mine.astype(np.float64) - recorded.astype(np.float64)).max())
    return math.inf if math.isnan(difference) else difference / scale
