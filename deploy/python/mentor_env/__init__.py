"""Environments for Mentor in Python: implement Environment and serve it, or let `python3 -m
mentor_env` serve any environment of Gymnasium. docs/own_environments.md says how actors start
it."""

from mentor_env.environment import Environment, Facts, Refused, Step
from mentor_env.serving import serve

__all__ = ["Environment", "Facts", "Refused", "Step", "serve"]
