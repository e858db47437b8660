"""python -m mentor_signal NAME: describes a signal, and compares its numbers with Mentor's. Exit
status: 0 when they agree, 1 when they differ or the signal cannot be used, 2 for wrong
arguments."""

from __future__ import annotations

import argparse
import sys

from .errors import SignalError
from .names import folder_of
from .signal import TOLERANCE, compare, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m mentor_signal", description=__doc__)
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a signal of the zoo, a folder that `mentor export` wrote, or hf://OWNER/NAME",
    )
    parser.add_argument(
        "--folder", action="store_true", help="only fetch it, and print the folder that it is in"
    )
    arguments = parser.parse_args()
    try:
        if arguments.folder:
            print(folder_of(arguments.name))
            return 0
        signal = load(arguments.name)
        print(signal)
        if not signal.facts.get("check"):
            print("no recorded lifetime to compare with")
            return 0
        worst = compare(arguments.name, signal)
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
