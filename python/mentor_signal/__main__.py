"""python -m mentor_signal DIR: describes a signal, and compares its numbers with Mentor's. Exit
status: 0 when they agree, 1 when they differ or the signal cannot be used, 2 for wrong
arguments."""

from __future__ import annotations

import argparse
import sys

from .errors import SignalError
from .signal import TOLERANCE, compare, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mentor_signal", description=__doc__)
    parser.add_argument("dir", metavar="DIR", help="what `mentor export` wrote")
    arguments = parser.parse_args()
    try:
        signal = load(arguments.dir)
        print(signal)
        if not signal.facts.get("check"):
            print("no recorded lifetime to compare with")
            return 0
        worst = compare(arguments.dir, signal)
    except SignalError as error:
        print(error, file=sys.stderr)
        return 1
    steps = signal.facts["check"]["steps"]
    print(f"greatest difference from Mentor over {steps} recorded steps: {worst:.3g}")
    if not worst <= TOLERANCE:
        print(f"more than {TOLERANCE:g}: do not use it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
