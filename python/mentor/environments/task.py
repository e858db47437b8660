"""The one task that an episode has, as Python names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Task(NamedTuple):
    """A task of a benchmark: the environment's name, the task's numbers, and whether observations
    show the goal."""

    env_name: str
    parameters: tuple[float, ...]
    goal_visible: bool = True


class Choice(NamedTuple):
    """What decides the tasks of later episodes. Neither: a fresh task for each episode."""

    goal: int | None = None
    parameters: Sequence[float] | None = None

    def changed(self, options: Mapping[str, Any] | None) -> Choice:
        """Returns the choice after reset(options=options). It stays until other options come."""
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"options: is {options!r}; give a dict with goal or parameters")
        options = dict(options or {})
        options.pop("reset_mask", None)
        chosen = {name: options.pop(name) for name in ("goal", "parameters") if name in options}
        if options:
            name = next(iter(options))
            raise ValueError(f"options[{name!r}]: give goal, parameters or reset_mask")
        if not chosen:
            return self
        goal, parameters = chosen.get("goal"), chosen.get("parameters")
        if goal is not None and parameters is not None:
            raise ValueError("options: give goal or parameters, not both")
        given = None if parameters is None else finite("options['parameters']", parameters)
        return Choice(_goal(goal), given)


def _goal(goal: object) -> int | None:
    if goal is None:
        return None
    if isinstance(goal, bool) or not isinstance(goal, (int, np.integer)) or not 0 <= goal < 2**32:
        raise ValueError(f"options['goal']: is {goal!r}; give the number of a goal, from 0 on")
    return int(goal)


def finite(field: str, numbers: Any) -> list[float]:
    try:
        found = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError(f"{field}: give a list of finite numbers")
    return [float(number) for number in found]
