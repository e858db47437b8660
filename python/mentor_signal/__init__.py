"""Uses training signals that Mentor has learned in other programs.

    import mentor_signal

    signal = mentor_signal.load("signals/reach", check=True)
    env = mentor_signal.LearnedReward(env, signal)

`mentor export` writes such a folder. `mentor_signal.sb3` has the same for Stable-Baselines3:
LearnedVecReward and TaughtPPO. Every failure is a SignalError.
"""

import sys

from .errors import SignalError, explained

try:
    from .environments import LearnedReward, success_in_info
    from .lifetimes import Segment, State, SuccessSignal
    from .networks.base import networks
    from .networks.loss_conv import LossInputs
    from .signal import RewardMix, Signal, compare, load
except ModuleNotFoundError as error:
    said = explained(error, "signal", "torch safetensors numpy gymnasium")
    if sys.argv[:1] == ["-m"]:  # A program prints one sentence for its user, not a traceback.
        sys.exit(said)
    raise ModuleNotFoundError(said, name=error.name) from None

__all__ = [
    "LearnedReward",
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
    "success_in_info",
]
