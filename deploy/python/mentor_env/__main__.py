"""A host of Mentor: environments of Gymnasium, by the options of mentor_env/gymnasium_adapter.py,
or what the class or function NAME of MODULE makes of the options."""

import argparse
import fnmatch
import importlib
from collections.abc import Mapping

from mentor_env.environment import Environment, Refused
from mentor_env.serving import serve


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
    arguments = parser.parse_args()
    for module in arguments.modules:
        importlib.import_module(module)
    if arguments.class_ is not None:
        module, _, name = arguments.class_.partition(":")
        if not name:
            parser.error(f"'{arguments.class_}': give MODULE:NAME")
        serve(getattr(importlib.import_module(module), name))
        return

    from mentor_env.gymnasium_adapter import GymnasiumEnvironment

    def make(options: Mapping[str, str]) -> Environment:
        name = options.get("id", "")
        if arguments.only and not any(fnmatch.fnmatchcase(name, one) for one in arguments.only):
            raise Refused(f"id is '{name}'; this host serves {', '.join(arguments.only)}")
        return GymnasiumEnvironment(options)

    serve(make)


if __name__ == "__main__":
    main()
