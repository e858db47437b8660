"""What a field of config.json may be. The ranges are those of Mentor's specs."""

from __future__ import annotations

import difflib
from typing import Any, Dict, NamedTuple, Tuple, Type, Union

from .errors import SignalError

SIZE_MAX = 1 << 20
ABOVE_0 = 5e-324
REMEDY = "get it anew, or export the signal again"


class Field(NamedTuple):
    """kind: bool, str, int, float (any finite number), or the texts that it may be. A field with a
    default may be missing, as it is in older exports."""

    kind: Union[Type[Any], Tuple[str, ...]]
    least: float = 0
    most: float = SIZE_MAX
    default: Any = None

    def has(self, value: Any) -> bool:
        if isinstance(self.kind, tuple):
            return value in self.kind
        if type(value) is not self.kind and not (self.kind is float and type(value) is int):
            return False
        return self.kind in (bool, str) or self.least <= value <= self.most

    def __str__(self) -> str:
        if isinstance(self.kind, tuple):
            return f"{'none of' if len(self.kind) > 1 else 'not'} {', '.join(self.kind)}"
        if self.kind in (bool, str):
            return "neither true nor false" if self.kind is bool else "no text"
        least = "above 0 and up" if self.least == ABOVE_0 else f"from {self.least}"
        return f"no {'whole ' * (self.kind is int)}number {least} to {self.most}"


# A table has a Field for each name, a table for an object, and [table] for a list of objects.
Table = Dict[str, Any]

UNITS = Field(int, 1, 65536)
UNITS_OR_NONE = Field(int, 0, 65536)
FLAG, TEXT, SIZE = Field(bool), Field(str), Field(int, 1)
OFF = Field(bool, default=False)
# Only the weights at birth depend on these.
STD, GAIN = Field(float, 1e-6, 1000, default=1.0), Field(float, 0, 100, default=1.0)

# Beside these, config.json has the role and the options that its network knows.
CONFIG_FIELDS: Table = {
    "input": Field(("SUCCESS", "SHAPED", "SUCCESS_AND_SHAPED")),
    "sizes": {
        "observation": SIZE,
        "action": SIZE,
        "discrete_actions": FLAG,
        "episode_steps": SIZE,
        "independent_episodes": FLAG,
        "steps_per_iteration": SIZE,
        "iterations": SIZE,
    },
    "columns": [{"name": TEXT, "size": SIZE}],
    "reward": {
        "task": Field(float, 0, 1e30),
        "signal": Field(float, 0, 1000),
        "task_reward": Field(("shaped", "success")),
        "scale": Field(float, ABOVE_0, 1e30),
    },
    "agent": {
        "hidden_units": Field(int, 1, 4096),
        "epochs": Field(int, 1, 10000),
        "minibatches": Field(int, 1, 100000),
        "gamma": Field(float, 0, 1),
        "gae_lambda": Field(float, 0, 1),
        "clip": Field(float, ABOVE_0, 10),
        "value_coef": Field(float, 0, 1000),
        "entropy_coef": Field(float, 0, 1000),
        "max_grad_norm": Field(float, ABOVE_0, 1e308),
        "learning_rate": Field(float, 0, 10),
        "adam_epsilon": Field(float, ABOVE_0, 1e308),
        "initial_std": Field(float, ABOVE_0, 100),
        "output_gain": Field(float, 0, 100),
        "normalize_advantage": FLAG,
        "normalize_observations": FLAG,
        "bootstrap_on_truncation": FLAG,
        "optimizer": Field(("ADAM", "SGD")),
        "surrogate": Field(("CLIP", "DPO"), default="CLIP"),
    },
    "weights": {"file": TEXT, "parameters": SIZE._replace(most=1 << 28), "sha256": TEXT},
    "trained": {
        "benchmark": TEXT,
        "environment": TEXT,
        "outer_updates": Field(int, 0, (1 << 32) - 1),
    },
}
CHECK_FIELDS: Table = {"file": TEXT, "sha256": TEXT, "steps": Field(int, 1, 1 << 32)}
# Every field of these has its part in the numbers, so none may be unknown.
STRICT = ("network.options", "reward")


def check_fields(value: Any, wanted: Any, file: Any, name: str = "") -> None:
    """Raises an error that names the first field of a file that its table does not allow."""

    def refuse(field: str, what: str) -> None:
        raise SignalError(field or "folder", f"{what} in {file}; {REMEDY}")

    if isinstance(wanted, Field):
        if not wanted.has(value):
            refuse(name, f"is {value!r:.200}, and {wanted},")
        return
    if isinstance(wanted, list):
        if not isinstance(value, list) or not value:
            refuse(name, f"is {value!r:.200}, and no list of objects,")
        for number, part in enumerate(value):
            check_fields(part, wanted[0], file, f"{name}[{number}]")
        return
    if not isinstance(value, dict):
        refuse(name, f"is {value!r:.200}, and no object,")
    inside = name and f"{name}."
    for key in value if name in STRICT else ():
        if key not in wanted:
            near = difflib.get_close_matches(key[:50], wanted, n=1, cutoff=0)
            refuse(f"{inside}{key:.50}", f"is unknown, and the nearest known one is '{near[0]}',")
    for key, field in wanted.items():
        if key in value:
            check_fields(value[key], field, file, inside + key)
        elif not isinstance(field, Field) or field.default is None:
            refuse(inside + key, "is missing")
