"""Compares the task of an environment with those of a signal's training: whether observations show
the goal, and which environment it is. Sizes cannot tell, since a hidden goal is zeros."""

from __future__ import annotations

import re
import warnings
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional

from .errors import SignalError


class Task(NamedTuple):
    """None: not known, or observations have no goal to hide."""

    name: Optional[str]
    goal_visible: Optional[bool]


def trained_names(facts: Dict[str, Any]) -> FrozenSet[str]:
    """Names of the environments of training, as config.json knows them."""
    trained, spec = facts["trained"], str(facts.get("spec"))
    names = {str(trained["environment"]).split(" ")[0]}
    # Benchmarks of several environments; results name those of tests beside them.
    names.update(re.findall(r'\benvironment: "([^"]+)"', spec))
    rows = facts.get("evaluation")
    for row in rows if isinstance(rows, list) else []:
        names.add(str(row.get("environment", "")) if isinstance(row, dict) else "")
    names -= {"", "host", "mjcf"}
    benchmark = str(trained["benchmark"])
    if not names and not re.match(r"(ml|mt)\d+$|custom$|single$", benchmark):
        names = {benchmark}  # That of one environment has its name.
    return frozenset(names)


def trained_visibly(facts: Dict[str, Any]) -> Optional[bool]:
    """Whether observations of training showed the goal. None: some did, or an old export does not
    say."""
    benchmark = str(facts["trained"]["benchmark"])
    if benchmark != "custom":
        return benchmark.startswith("mt")
    spec = str(facts.get("spec"))
    sets = len(re.findall(r"\btask_set \{", spec))
    shown = len(re.findall(r"\bgoal_visible: true", spec))
    return None if 0 < shown < sets or sets == 0 else shown > 0


def _task(name: Any, visible: Any, hidden: Any) -> Task:
    if visible is None and isinstance(hidden, bool):
        visible = not hidden
    return Task(
        name if isinstance(name, str) else None, visible if isinstance(visible, bool) else None
    )


# Mentor's environments have the first two, Meta-World's the last.
_ATTRIBUTES = ("env_name", "goal_visible", "_partially_observable")


def _of_env(env: Any) -> Task:
    inner = env.unwrapped
    task = _task(*(getattr(inner, name, None) for name in _ATTRIBUTES))
    spec = getattr(env, "spec", None)
    if task.name is None and spec is not None:
        name = (getattr(spec, "kwargs", None) or {}).get("env_name") or str(spec.id).split("/")[-1]
        task = task._replace(name=str(name))
    return task


def _of_workers(call: Callable[..., Any]) -> List[Task]:
    """Asks environments in other processes; a question that one cannot answer would end it."""
    columns = []
    for name in _ATTRIBUTES:
        known = all(call("has_wrapper_attr", name))
        columns.append(list(call("get_wrapper_attr", name)) if known else None)
    count = max(len(column or []) for column in columns)
    rows = [column or [None] * count for column in columns]
    return [_task(*row) for row in zip(*rows)]


def tasks_of(env: Any) -> List[Task]:
    """Returns what is known of an environment of Gymnasium, or of each of several."""
    inner = env.unwrapped
    if isinstance(getattr(inner, "envs", None), (list, tuple)):
        return [_of_env(one) for one in inner.envs]
    call = getattr(inner, "env_method", None) or getattr(inner, "call", None)
    if getattr(inner, "num_envs", None) is None or hasattr(inner, "goal_visible") or call is None:
        return [_of_env(env)]
    return _of_workers(call)


class TaskCheck:
    """Refuses environments that show what training hid, or hide what it showed. Warns once of
    environments with other names."""

    def __init__(self, facts: Dict[str, Any]):
        self._visible = trained_visibly(facts)
        self._names = trained_names(facts)
        self._warned = False

    def look(self, env: Any) -> None:
        for name, visible in tasks_of(env):
            if None not in (visible, self._visible) and visible != self._visible:
                is_shown, was = ("shows", "hidden") if visible else ("hides", "shown")
                raise SignalError(
                    "env",
                    f"{is_shown} its goal in observations, but it was {was} where the signal was "
                    f"trained: give gymnasium.make(..., goal_visible={self._visible}); of "
                    f"Meta-World's own, take {'MT1' if self._visible else 'ML1'}",
                )
            if self._warned or not self._names or name is None or name in self._names:
                continue
            self._warned = True
            warnings.warn(
                f"the environment is {name}, but the signal was trained on "
                f"{', '.join(sorted(self._names))}: its rewards may mean nothing here; compare "
                "with agents that learn from the task's own reward",
                stacklevel=4,
            )
