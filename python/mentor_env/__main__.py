"""A simulator of Mentor. It serves environments of Gymnasium by the options of
mentor_env/gymnasium_adapter.py, or what the class or function NAME of MODULE makes of the options.
Exit status: 0 when its actor is done, 1 if a library is missing or no actor started the program, 2
for wrong arguments."""

import argparse
import fnmatch
import importlib
import sys
from collections.abc import Mapping
from types import ModuleType

from mentor_env.environment import Environment, Refused
from mentor_env.missing import explained
from mentor_env.serving import serve


def _module(parser: argparse.ArgumentParser, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The module exists, but something that it imports is missing.
        if not f"{name}.".startswith(f"{error.name}."):
            raise
        parser.error(
            f"there is no module '{name}' here, in PYTHONPATH or in the packages of "
            f"{sys.executable}; an actor's simulator gets a folder by 'env PYTHONPATH=FOLDER "
            "python3 -m "
            "mentor_env ...'"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m mentor_env", description=__doc__)
    parser.add_argument("class_", nargs="?", metavar="MODULE:NAME")
    parser.add_argument(
        "--import", action="append", default=[], dest="modules", metavar="MODULE",
        help="a module that registers environments; again and again for several",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN",
        help="serve ids of Gymnasium like this and no others, for instance 'Fetch*-v4'",
    )  # fmt: skip
    own = parser.add_mutually_exclusive_group()
    own.add_argument(
        "--make", metavar="MODULE:NAME",
        help="serve this class of Gymnasium, or what this function makes, under any id",
    )  # fmt: skip
    own.add_argument(
        "--pickle", metavar="FILE",
        help="the same from a file that cloudpickle wrote, as mentor.run(..., env=...) does. "
        "Reading it runs its code: give a file of your own, or of somebody whom you trust",
    )  # fmt: skip
    parser.add_argument(
        "--errors", metavar="FILE", default="",
        help="write the first exception of --make or --pickle there, with its lines, as JSON",
    )  # fmt: skip
    arguments = parser.parse_args()
    for module in arguments.modules:
        _module(parser, module)
    if arguments.class_ is not None:
        module, _, name = arguments.class_.partition(":")
        if not name:
            parser.error(f"'{arguments.class_}': give MODULE:NAME")
        make_own = getattr(_module(parser, module), name, None)
        if not callable(make_own):
            parser.error(f"'{arguments.class_}': {module} has no class or function {name}")
        serve(make_own)
        return

    try:
        from mentor_env.gymnasium_adapter import GymnasiumEnvironment
    except ModuleNotFoundError as error:
        sys.exit(explained(error))

    if arguments.make or arguments.pickle:
        from mentor_env import own as owned

        if arguments.make:
            _module(parser, arguments.make.partition(":")[0])
            make_gymnasium = owned.imported(arguments.make)
        else:
            make_gymnasium = owned.unpickled(arguments.pickle)
        serve(lambda options: owned.OwnEnvironment(make_gymnasium, options, arguments.errors))
        return

    def make(options: Mapping[str, str]) -> Environment:
        name = options.get("id", "")
        if arguments.only and not any(fnmatch.fnmatchcase(name, one) for one in arguments.only):
            raise Refused(f"id is '{name}'; this simulator serves {', '.join(arguments.only)}")
        return GymnasiumEnvironment(options)

    serve(make)


if __name__ == "__main__":
    main()
