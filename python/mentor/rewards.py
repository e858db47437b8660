"""Learned rewards, under the name of Mentor: mentor_signal has them.

import mentor

env = mentor.LearnedReward(env, "point-reach-reward")
"""

from mentor_signal import LearnedReward, RewardMix, Signal, SignalError, load

__all__ = ["LearnedReward", "RewardMix", "Signal", "SignalError", "load"]
