"""Which claims are compared along their meta-training: the figures of learning curves."""

import dataclasses

UPDATE_STEPS = 180000  # Environment steps of an outer update of ML1 and ML10.
SIZE = "size of the reward"  # sqrt(mean^2 + deviation^2) of an outer update
SUCCESS = "success after two updates"


@dataclasses.dataclass
class Panel:
    title: str
    arms: dict  # claims by their names in the legend
    steps: int = 0  # The end of the axis, where it is not the figure's.


@dataclasses.dataclass
class Figure:
    panels: list
    steps: int  # The end of the axis.
    window: int  # Environment steps of the running mean, which are those of the final return.
    shown: str = "return"
    highest: float = 0  # The end of the vertical axes, where they are alike.


def delayed(name):
    return {
        "PPO": f"delayed-ppo-{name}",
        "LIRPG, c_ex 0": f"lirpg-{name}",
        "LIRPG, c_ex 0.01": f"lirpg-task-{name}",
        "c_ex 0, untrained reward": f"lirpg-untrained-{name}",
        "c_ex 0.01, untrained reward": f"lirpg-task-untrained-{name}",
    }


def undelayed(name):
    return {
        "PPO": f"ppo-{name}",
        "CLN, c_ex 0": f"stn-{name}",
        "CLN, c_ex 1": f"stn-task-{name}",
        "LIRPG": f"lirpg-undelayed-{name}",
    }


def terms(claim):
    return {
        "[17]": f"{claim}-direct",
        "[17] + [12] + [13]": f"{claim}-all",
        "[13]": f"{claim}-reward",
    }


FIGURES = {
    "lirpg_delayed": Figure(
        [
            Panel("Hopper", delayed("hopper")),
            Panel("HalfCheetah", delayed("halfcheetah")),
            Panel("Walker2d", delayed("walker2d")),
        ],
        steps=1000000,
        window=40960,
    ),
    "stn_returns": Figure(
        [Panel("Hopper", undelayed("hopper")), Panel("HalfCheetah", undelayed("halfcheetah"))],
        steps=3014656,
        window=163840,
    ),
    "stn_terms": Figure(
        [
            Panel("Hopper, c_ex 0", terms("stn-terms")),
            Panel("Hopper, c_ex 1", terms("stn-task-terms")),
        ],
        steps=1015808,
        window=163840,
    ),
    "stn_reward": Figure(
        [
            Panel(
                "Hopper, c_ex 0", {"no tanh": "stn-hopper", "within a tanh": "stn-bounded-hopper"}
            ),
            Panel("HalfCheetah, c_ex 0", {"no tanh": "stn-halfcheetah"}),
        ],
        steps=3014656,
        window=0,
        shown=SIZE,
    ),
    "meta_training": Figure(
        [
            Panel(
                task, {"learned advantage": f"{task}-advantage", "learned reward": f"{task}-reward"}
            )
            for task in ("reach", "button-press")
        ]
        + [
            Panel(
                "door-close, learned reward",
                {
                    "shaped reward": "door-close-reward-best",
                    "success alone": "door-close-sparse-only",
                    "the paper's rate": "door-close-paper-rate",
                },
                steps=90000000,
            ),
            Panel(
                "ML10",
                {"learned advantage": "ml10-advantage", "learned reward": "ml10-reward"},
                steps=72000000,
            ),
        ],
        steps=27000000,
        window=20 * UPDATE_STEPS,
        shown=SUCCESS,
    ),
    "black_box_or_meta_gradient": Figure(
        [
            Panel(
                f"door-close, meta-seed {seed}",
                {
                    "meta-gradient, LSTM": f"door-close-meta-gradient-{seed}",
                    "meta-gradient, mlp": f"door-close-meta-gradient-mlp-{seed}",
                    "black box": f"door-close-reward-best-{seed}",
                },
            )
            for seed in (1, 2, 3)
        ],
        steps=2880000,
        window=3 * UPDATE_STEPS,
        shown=SUCCESS,
        highest=0.8,
    ),
}
