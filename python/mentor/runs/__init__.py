"""Runs: training in a process of its own, followed from Python, and what it left in its folder."""

from __future__ import annotations

from .follow import Update as Update
from .result import Run as Run
from .training import STOP as STOP, RunError as RunError, run as run

__all__ = ["STOP", "Run", "RunError", "Update", "run"]
