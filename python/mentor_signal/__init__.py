"""Uses training signals that Mentor has learned in other programs.

    import mentor_signal

    env = mentor_signal.LearnedReward(env, "point-reach-reward")

That is a signal of the zoo; `mentor export` writes folders like it. NumPy, safetensors and
Gymnasium suffice. For Stable-Baselines3, `mentor_signal.sb3` has LearnedVecReward and TaughtPPO.
Every failure is a SignalError.
"""

import sys

from .errors import SignalError, check_gymnasium, explained

try:
    check_gymnasium()
    from .environments import LearnedEnvReward, success_in_info
    from .lifetimes import Segment, State, SuccessSignal
    from .names import zoo
    from .networks.base import AttentionMap, networks
    from .networks.loss_conv import LossInputs
    from .rewards import LearnedReward
    from .signal import RewardMix, Signal, compare, load, recorded
    from .vector import LearnedVectorReward
except ModuleNotFoundError as error:
    said = explained(error, "signal", "safetensors numpy gymnasium")
    if sys.argv[:1] == ["-m"]:  # A program prints one sentence for its user, not a traceback.
        sys.exit(said)
    raise ModuleNotFoundError(said, name=error.name) from None

__all__ = [
    "AttentionMap",
    "LearnedEnvReward",
    "LearnedReward",
    "LearnedVectorReward",
    "LossInputs",
    "RewardMix",
    "Segment",
    "Signal",
    "SignalError",
    "State",
    "SuccessSignal",
    "compare",
    "load",
    "networks",
    "recorded",
    "success_in_info",
    "zoo",
]
