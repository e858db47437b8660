"""Environments for Mentor in Python: implement Environment and serve it, or let `python3 -m
mentor_env` serve any environment of Gymnasium. docs/own_environments.md says how actors start
it."""

import pkgutil
import sys

# A clone has no stubs beside the sources: those of an installation will do.
__path__ = pkgutil.extend_path(__path__, __name__)

try:
    from mentor_env.environment import Environment, Facts, Refused, Step
    from mentor_env.serving import serve
except ModuleNotFoundError as error:
    from mentor_env.missing import explained

    if sys.argv[:1] == ["-m"]:  # A program prints one sentence for its user, not a traceback.
        sys.exit(explained(error))
    raise ModuleNotFoundError(explained(error), name=error.name) from None

__all__ = ["Environment", "Facts", "Refused", "Step", "serve"]
