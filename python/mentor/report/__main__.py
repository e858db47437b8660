"""Begins the program; python/mentor/report/cli.py has it."""

import signal
import sys

_NEEDED = ("altair", "jinja2", "numpy", "polars", "vl_convert")


def start() -> int:
    """Runs the program; 4 where a library is missing, which Mentor's programs know."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Ends in silence with its reader.
    try:
        from .cli import main
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in _NEEDED:
            raise
        print(
            f"error: a report needs the Python library {missing.name}, which {sys.executable} does "
            "not have: pip install 'mentor[report]'",
            file=sys.stderr,
        )
        return 4
    return main()


if __name__ == "__main__":
    sys.exit(start())
