"""Mentor from Python: runs that learn training signals, their specs and their results.

Names load what they need when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, List

if TYPE_CHECKING:
    from .programs import ProgramError as ProgramError
    from .runs import STOP as STOP
    from .runs import Run as Run
    from .runs import RunError as RunError
    from .runs import Update as Update
    from .runs import run as run
    from .specs import Spec as Spec
    from .specs import SpecError as SpecError
    from .specs import Violation as Violation
    from .specs import spec as spec

# The submodule that has a name.
_HOMES = {
    "ProgramError": "programs",
    "STOP": "runs",
    "Run": "runs",
    "RunError": "runs",
    "Update": "runs",
    "run": "runs",
    "Spec": "specs",
    "SpecError": "specs",
    "Violation": "specs",
    "spec": "specs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mentor' has no attribute '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> List[str]:
    return sorted([*globals(), *_HOMES])
